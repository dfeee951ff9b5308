//! A scanner for the XML that WeChat sends: elements, attributes, text, CDATA, comments, one
//! declaration.
//!
//! No DOCTYPE, no entities but the five, no processing instructions: what has been used for attacks
//! is not switched off here, it does not exist. Stricter than XML where two readers could disagree,
//! laxer where WeChat passes on what a user typed: control characters and a bare `]]>` in text are
//! kept.

use std::borrow::Cow;

use memchr::memchr_iter;

use crate::cut;
use crate::tree::{DEPTH_MAX, Guard, ParseError, Shape, Sink};

/// Scans a document that begins with `<` into `sink`.
pub(crate) fn scan<'a>(document: &'a str, sink: &mut impl Sink<'a>) -> Result<(), ParseError> {
    let mut scanner = Scanner {
        rest: document,
        open: [""; DEPTH_MAX + 1],
        depth: 0,
        attributes: Vec::new(),
        guard: Guard::default(),
        sink,
    };
    scanner.declaration()?;
    scanner.root()
}

struct Scanner<'a, 's, S> {
    rest: &'a str,
    /// Names of the open elements, the root's first.
    open: [&'a str; DEPTH_MAX + 1],
    depth: usize,
    /// Attribute names of the tag at hand.
    attributes: Vec<&'a str>,
    guard: Guard,
    sink: &'s mut S,
}

impl<'a, S: Sink<'a>> Scanner<'a, '_, S> {
    /// `<?xml version="1.0"?>`, if it is there. What it says is not looked at: the text is UTF-8 or
    /// was refused.
    fn declaration(&mut self) -> Result<(), ParseError> {
        if let Some(rest) = self.rest.strip_prefix("<?xml")
            && rest.starts_with(|c: char| c.is_ascii_whitespace() || c == '?')
        {
            self.rest = until(rest, "?").ok_or(ParseError::Unclosed)?.1;
        }
        Ok(())
    }

    fn root(&mut self) -> Result<(), ParseError> {
        let mut before = true;
        loop {
            let Some((text, rest)) = cut(self.rest, b'<') else {
                return match (before, self.depth, is_layout(self.rest)) {
                    (false, 0, true) => Ok(()),
                    (false, 0, false) => Err(ParseError::Trailing),
                    _ => Err(ParseError::Unclosed),
                };
            };
            self.rest = rest;
            if self.depth > 0 {
                self.text(text)?;
            } else if !is_layout(text) {
                return Err(if before { ParseError::Malformed } else { ParseError::Trailing });
            }
            match rest.as_bytes().first() {
                Some(b'/') if self.depth > 0 => self.end_tag()?,
                Some(b'!') => self.comment_or_cdata()?,
                Some(b'?') => return Err(ParseError::Instruction),
                Some(_) if self.depth == 0 && !before => return Err(ParseError::Trailing),
                Some(_) => {
                    before = false;
                    self.start_tag()?;
                }
                None => return Err(ParseError::Unclosed),
            }
        }
    }

    fn text(&mut self, text: &'a str) -> Result<(), ParseError> {
        if !text.is_empty() {
            self.sink.text(unescape(text)?);
        }
        Ok(())
    }

    /// After `<!`.
    fn comment_or_cdata(&mut self) -> Result<(), ParseError> {
        if let Some(rest) = self.rest.strip_prefix("!--") {
            self.rest = until(rest, "--").ok_or(ParseError::Unclosed)?.1;
            return Ok(());
        }
        match self.rest.strip_prefix("![CDATA[") {
            Some(rest) if self.depth > 0 => {
                let (text, rest) = until(rest, "]]").ok_or(ParseError::Unclosed)?;
                if !text.is_empty() {
                    self.sink.text(Cow::Borrowed(text));
                }
                self.rest = rest;
                Ok(())
            }
            Some(_) => Err(ParseError::Malformed),
            None => Err(ParseError::Doctype),
        }
    }

    /// After `<`.
    fn start_tag(&mut self) -> Result<(), ParseError> {
        let name = self.name()?;
        if self.depth > 0 {
            self.guard.enter(name)?;
            self.sink.open(Cow::Borrowed(name), Shape::Element);
        }
        // `enter` refuses what would not fit.
        self.open[self.depth] = name;
        self.depth += 1;

        self.attributes.clear();
        loop {
            let blank = self.blanks();
            match self.rest.as_bytes() {
                [b'>', ..] => {
                    self.rest = &self.rest[1..];
                    return Ok(());
                }
                [b'/', b'>', ..] => {
                    self.rest = &self.rest[2..];
                    self.close();
                    return Ok(());
                }
                [] => return Err(ParseError::Unclosed),
                _ if blank => self.attribute()?,
                _ => return Err(ParseError::Malformed),
            }
        }
    }

    /// `name="value"`.
    fn attribute(&mut self) -> Result<(), ParseError> {
        self.guard.attribute()?;
        let name = self.name()?;
        if self.attributes.contains(&name) {
            return Err(ParseError::Repeated);
        }
        self.attributes.push(name);
        self.blanks();
        self.expect('=')?;
        self.blanks();
        let quote = match self.rest.as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            Some(_) => return Err(ParseError::Malformed),
            None => return Err(ParseError::Unclosed),
        };
        let (value, rest) = cut(&self.rest[1..], quote).ok_or(ParseError::Unclosed)?;
        if value.contains('<') {
            return Err(ParseError::Malformed);
        }
        self.rest = rest;
        self.sink.attribute(name, unescape(value)?);
        Ok(())
    }

    /// After `<`, at `/`.
    fn end_tag(&mut self) -> Result<(), ParseError> {
        match self.rest[1..].strip_prefix(self.open[self.depth - 1]) {
            Some(rest) => self.rest = rest,
            None if self.rest.contains('>') => return Err(ParseError::Malformed),
            None => return Err(ParseError::Unclosed),
        }
        self.blanks();
        self.expect('>')?;
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        if self.depth > 0 {
            self.guard.leave();
            self.sink.close();
        }
    }

    fn name(&mut self) -> Result<&'a str, ParseError> {
        let bytes = self.rest.as_bytes();
        let end =
            bytes.iter().position(|b| !IS_NAME[usize::from(*b)]).ok_or(ParseError::Unclosed)?;
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || matches!(bytes[0], b'0'..=b'9' | b'-' | b'.') {
            return Err(ParseError::Malformed);
        }
        self.rest = rest;
        Ok(name)
    }

    /// Skips blanks; whether there were any.
    fn blanks(&mut self) -> bool {
        let rest = self.rest.trim_ascii_start();
        let any = rest.len() < self.rest.len();
        self.rest = rest;
        any
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

/// What stands before and after the first `mark` with a `>` behind it. Looks for the `>`: it is rarer than what
/// precedes it, and one character is found faster than three.
pub(crate) fn until<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    memchr_iter(b'>', text.as_bytes())
        .find_map(|end| Some((text[..end].strip_suffix(mark)?, &text[end + 1..])))
}

/// The bytes of names. All that is not ASCII may stand in one; XML's own tables make no difference
/// here.
const IS_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] =
            b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-' | b'.') || !b.is_ascii();
        byte += 1;
    }
    table
};

/// Blanks and stray control characters, which may stand around the root.
fn is_layout(text: &str) -> bool {
    text.bytes().all(|b| b <= b' ')
}

/// Resolves the five entities and character references.
fn unescape(text: &str) -> Result<Cow<'_, str>, ParseError> {
    let Some((start, mut rest)) = cut(text, b'&') else {
        return Ok(Cow::Borrowed(text));
    };
    let mut plain = String::with_capacity(text.len());
    plain.push_str(start);
    loop {
        let (entity, after) = cut(rest, b';').ok_or(ParseError::Entity)?;
        plain.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => entity.strip_prefix('#').and_then(referenced).ok_or(ParseError::Entity)?,
        });
        let Some((piece, next)) = cut(after, b'&') else {
            plain.push_str(after);
            return Ok(Cow::Owned(plain));
        };
        plain.push_str(piece);
        rest = next;
    }
}

/// The character of `&#10;` or `&#xA;`, if XML has it.
fn referenced(number: &str) -> Option<char> {
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |hex| (hex, 16));
    // `from_str_radix` would take a sign.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, radix).ok()?).filter(|c| is_xml(*c))
}

/// Whether XML 1.0 allows a character.
pub(crate) fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
