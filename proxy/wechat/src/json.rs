//! A scanner for JSON messages that hands on what stands there: numbers by their digits, names in
//! their order.
//!
//! A JSON library would round 64-bit ids or sort names. Every value becomes text: strings
//! unescaped, numbers and `true`/`false` as written, `null` empty. Raw control characters in
//! strings are kept, as they are in XML.

use std::borrow::Cow;

use crate::tree::{Guard, ParseError, Shape, Sink};

/// Scans a document that begins with `{` into `sink`.
pub(crate) fn scan<'a>(document: &'a str, sink: &mut impl Sink<'a>) -> Result<(), ParseError> {
    let mut scanner = Scanner { rest: document, guard: Guard::default(), sink };
    scanner.object()?;
    scanner.blanks();
    if scanner.rest.is_empty() { Ok(()) } else { Err(ParseError::Trailing) }
}

struct Scanner<'a, 's, S> {
    rest: &'a str,
    guard: Guard,
    sink: &'s mut S,
}

impl<'a, S: Sink<'a>> Scanner<'a, '_, S> {
    fn object(&mut self) -> Result<(), ParseError> {
        self.expect('{')?;
        if self.next_is('}')? {
            return self.expect('}');
        }
        loop {
            self.blanks();
            // WeChat's own samples have names that begin with a blank.
            let name = match self.string()? {
                Cow::Borrowed(name) => Cow::Borrowed(name.trim_ascii()),
                Cow::Owned(name) => Cow::Owned(name.trim_ascii().to_owned()),
            };
            self.blanks();
            self.expect(':')?;
            self.value(name)?;
            if self.next_is('}')? {
                return self.expect('}');
            }
            self.expect(',')?;
        }
    }

    fn array(&mut self) -> Result<(), ParseError> {
        self.expect('[')?;
        if self.next_is(']')? {
            return self.expect(']');
        }
        loop {
            self.value(Cow::Borrowed(""))?;
            if self.next_is(']')? {
                return self.expect(']');
            }
            self.expect(',')?;
        }
    }

    /// Recursion ends where [`Guard::enter`] says so.
    fn value(&mut self, name: Cow<'a, str>) -> Result<(), ParseError> {
        self.blanks();
        self.guard.enter(&name)?;
        match self.rest.as_bytes().first() {
            Some(b'{') => {
                self.sink.open(name, Shape::Object);
                self.object()?;
            }
            Some(b'[') => {
                self.sink.open(name, Shape::Array);
                self.array()?;
            }
            Some(b'"') => {
                self.sink.open(name, Shape::Element);
                let text = self.string()?;
                self.sink.text(text);
            }
            Some(_) => {
                self.sink.open(name, Shape::Element);
                let text = self.literal()?;
                self.sink.text(Cow::Borrowed(text));
            }
            None => return Err(ParseError::Unclosed),
        }
        self.guard.leave();
        self.sink.close();
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, ParseError> {
        self.expect('"')?;
        let end = self.rest.find(['"', '\\']).ok_or(ParseError::Unclosed)?;
        let (plain, rest) = self.rest.split_at(end);
        self.rest = rest;
        if let Some(rest) = rest.strip_prefix('"') {
            self.rest = rest;
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = String::from(plain);
        loop {
            let end = self.rest.find(['"', '\\']).ok_or(ParseError::Unclosed)?;
            text.push_str(&self.rest[..end]);
            let is_end = self.rest[end..].starts_with('"');
            self.rest = &self.rest[end + 1..];
            if is_end {
                return Ok(Cow::Owned(text));
            }
            text.push(self.escaped()?);
        }
    }

    /// After `\`.
    fn escaped(&mut self) -> Result<char, ParseError> {
        let mut chars = self.rest.chars();
        let escape = chars.next().ok_or(ParseError::Unclosed)?;
        self.rest = chars.as_str();
        Ok(match escape {
            '"' | '\\' | '/' => escape,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let high = self.code_unit()?;
                let units = if (0xd800..0xdc00).contains(&high) {
                    self.rest = self.rest.strip_prefix("\\u").ok_or(ParseError::Malformed)?;
                    [high, self.code_unit()?]
                } else {
                    [high, 0]
                };
                char::decode_utf16(units)
                    .next()
                    .and_then(Result::ok)
                    .ok_or(ParseError::Malformed)?
            }
            _ => return Err(ParseError::Malformed),
        })
    }

    fn code_unit(&mut self) -> Result<u16, ParseError> {
        let (digits, rest) = self.rest.split_at_checked(4).ok_or(ParseError::Malformed)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseError::Malformed);
        }
        self.rest = rest;
        u16::from_str_radix(digits, 16).map_err(|_| ParseError::Malformed)
    }

    /// A number, `true`, `false` or `null`.
    fn literal(&mut self) -> Result<&'a str, ParseError> {
        let end = self
            .rest
            .bytes()
            .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')));
        let (word, rest) = self.rest.split_at(end.ok_or(ParseError::Unclosed)?);
        self.rest = rest;
        match word {
            "null" => Ok(""),
            "true" | "false" => Ok(word),
            _ if is_number(word) => Ok(word),
            _ => Err(ParseError::Malformed),
        }
    }

    fn next_is(&mut self, character: char) -> Result<bool, ParseError> {
        self.blanks();
        if self.rest.is_empty() {
            return Err(ParseError::Unclosed);
        }
        Ok(self.rest.starts_with(character))
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn expect(&mut self, character: char) -> Result<(), ParseError> {
        match self.rest.strip_prefix(character) {
            Some(rest) => self.rest = rest,
            None if self.rest.is_empty() => return Err(ParseError::Unclosed),
            None => return Err(ParseError::Malformed),
        }
        Ok(())
    }
}

/// JSON's grammar of numbers: `-? (0 | 1-9 digits) (. digits)? ([eE] [+-]? digits)?`.
fn is_number(word: &str) -> bool {
    let word = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) =
        word.split_once(['e', 'E']).map_or((word, None), |(m, e)| (m, Some(e)));
    let (integer, fraction) =
        mantissa.split_once('.').map_or((mantissa, None), |(i, f)| (i, Some(f)));
    let exponent = exponent.map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
    is_digits(integer)
        && (integer == "0" || !integer.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(is_digits)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
