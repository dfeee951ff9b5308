//! What the XML and the JSON scanner have in common: the bounds and refusals that hold for both,
//! and the receiver of what they find.

use std::borrow::Cow;

/// Deepest nesting of elements; `<xml>`, or the outer JSON object, not counted.
pub const DEPTH_MAX: usize = 16;
/// Most elements of a message; `<xml>` not counted.
pub const ELEMENTS_MAX: usize = 1024;
/// Most XML attributes of a message. WeChat sends none.
pub const ATTRIBUTES_MAX: usize = 256;

/// The bit of a field that decides who a message is from or what it is; 0 for any other. Twice the
/// same one means that two readers may disagree.
fn critical(name: &str) -> u8 {
    match name {
        "ToUserName" => 1,
        "FromUserName" => 2,
        "MsgType" => 4,
        "Event" => 8,
        "MsgId" => 16,
        "CreateTime" => 32,
        "Encrypt" => 64,
        _ => 0,
    }
}

/// A body that is not a message. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No body.
    #[error("empty body")]
    Empty,
    /// Not UTF-8.
    #[error("body is not UTF-8")]
    Encoding,
    /// Neither well-formed XML nor valid JSON.
    #[error("body is neither XML nor JSON")]
    Malformed,
    /// The end came before the end of the root.
    #[error("body is cut off")]
    Unclosed,
    /// Something follows the root.
    #[error("content after the end of the body")]
    Trailing,
    /// A DOCTYPE or another declaration.
    #[error("document type declaration")]
    Doctype,
    /// A processing instruction other than the XML declaration.
    #[error("processing instruction")]
    Instruction,
    /// An entity other than the five predefined ones, or a reference to no character.
    #[error("undefined entity")]
    Entity,
    /// A critical field, or an attribute of one element, twice.
    #[error("repeated field")]
    Repeated,
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("nested too deeply")]
    Depth,
    /// More than [`ELEMENTS_MAX`] elements.
    #[error("too many elements")]
    Elements,
    /// More than [`ATTRIBUTES_MAX`] attributes.
    #[error("too many attributes")]
    Attributes,
}

impl ParseError {
    /// The name in metrics and logs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Encoding => "encoding",
            Self::Malformed => "malformed",
            Self::Unclosed => "unclosed",
            Self::Trailing => "trailing",
            Self::Doctype => "doctype",
            Self::Instruction => "instruction",
            Self::Entity => "entity",
            Self::Repeated => "repeated",
            Self::Depth => "depth",
            Self::Elements => "elements",
            Self::Attributes => "attributes",
        }
    }
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Official accounts, and mini programs by default.
    Xml,
    /// Mini programs and mini games, by choice in their console.
    Json,
}

/// Receives a document in order. The root itself is not announced.
pub(crate) trait Sink<'a> {
    /// An element, an object or an array, or a value's name, begins.
    fn open(&mut self, name: Cow<'a, str>, shape: Shape);
    /// An attribute of the element just opened, or of the root.
    fn attribute(&mut self, name: &'a str, value: Cow<'a, str>);
    /// A piece of the text of the innermost open element, or of the root.
    fn text(&mut self, piece: Cow<'a, str>);
    /// The innermost open element ends.
    fn close(&mut self);
}

/// What kind of thing a node is. The numbers are part of every event's identity, hence fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An XML element, or a JSON string, number, `true`, `false` or `null`.
    Element = 0,
    /// An XML attribute.
    Attribute = 1,
    /// A JSON object.
    Object = 2,
    /// A JSON array; the names of its values mean nothing.
    Array = 3,
}

/// Counts what passes and refuses what is too much or there twice.
#[derive(Default)]
pub(crate) struct Guard {
    depth: usize,
    elements: usize,
    attributes: usize,
    /// The bits of the [`critical`] fields that were there.
    seen: u8,
}

impl Guard {
    pub(crate) fn enter(&mut self, name: &str) -> Result<(), ParseError> {
        if self.depth == DEPTH_MAX {
            return Err(ParseError::Depth);
        }
        if self.elements == ELEMENTS_MAX {
            return Err(ParseError::Elements);
        }
        if self.depth == 0 {
            let bit = critical(name);
            if self.seen & bit != 0 {
                return Err(ParseError::Repeated);
            }
            self.seen |= bit;
        }
        self.depth += 1;
        self.elements += 1;
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    pub(crate) fn attribute(&mut self) -> Result<(), ParseError> {
        if self.attributes == ATTRIBUTES_MAX {
            return Err(ParseError::Attributes);
        }
        self.attributes += 1;
        Ok(())
    }
}

/// Scans a body into `sink`, by its first character. Byte order mark and leading blanks do not
/// count; some senders put them there.
pub(crate) fn scan<'a>(body: &'a [u8], sink: &mut impl Sink<'a>) -> Result<Format, ParseError> {
    let text = std::str::from_utf8(body).map_err(|_| ParseError::Encoding)?;
    let text = text.trim_start_matches(|c: char| c <= ' ' || c == '\u{feff}');
    match text.as_bytes().first() {
        Some(b'<') => crate::xml::scan(text, sink).map(|()| Format::Xml),
        Some(b'{') => crate::json::scan(text, sink).map(|()| Format::Json),
        Some(_) => Err(ParseError::Malformed),
        None => Err(ParseError::Empty),
    }
}
