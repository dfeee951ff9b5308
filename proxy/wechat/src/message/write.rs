//! The message as the app gets it: plain JSON in WeChat's own field names, written straight from
//! the nodes.
//!
//! One rule for values: everything is a string, exactly as sent, except the message's `CreateTime`,
//! an integer.

use super::{Message, Shape, is_blank};
use crate::hex::Hex;

/// Elements that are lists by nature: always arrays, so that one entry does not look different from
/// two.
const ALWAYS_ARRAYS: [&str; 4] = ["item", "List", "fail_idx", "AroundBeacon"];

impl Message<'_> {
    /// Appends the JSON object to `out`. Total: whatever was parsed can be written, and nothing of
    /// it is lost.
    ///
    /// Nested elements become objects, repeated ones arrays (in the place of the first), attributes
    /// `@name`, an element's own text beside other content `#text`, and what is empty `""`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        Writer { message: self, out }.object(0);
    }
}

struct Writer<'a, 'm> {
    message: &'m Message<'a>,
    out: &'m mut Vec<u8>,
}

impl Writer<'_, '_> {
    fn object(&mut self, index: usize) {
        let message = self.message;
        self.out.push(b'{');
        let mut first = true;
        for child in message.children(index) {
            if !message.nodes[child].is_repeated {
                self.separate(&mut first);
                self.member(child, index);
            }
        }
        if !is_blank(&message.nodes[index].text) {
            self.separate(&mut first);
            self.out.extend_from_slice(b"\"#text\":");
            string(&message.nodes[index].text, self.out);
        }
        self.out.push(b'}');
    }

    /// A name and its value, with all later siblings of that name.
    fn member(&mut self, index: usize, parent: usize) {
        let message = self.message;
        let node = &message.nodes[index];
        if node.shape == Shape::Attribute {
            self.out.extend_from_slice(b"\"@");
            escape(&node.name, self.out);
            self.out.extend_from_slice(b"\":");
            return string(&node.text, self.out);
        }
        string(&node.name, self.out);
        self.out.push(b':');
        if parent == 0
            && node.name == "CreateTime"
            && let Some(seconds) = message.create_time()
        {
            return self.out.extend_from_slice(seconds.to_string().as_bytes());
        }

        let is_array = node.next_alike.is_some()
            || (node.shape != Shape::Array && ALWAYS_ARRAYS.contains(&&*node.name));
        if is_array {
            self.out.push(b'[');
        }
        self.value(index);
        let mut alike = node.next_alike;
        while let Some(sibling) = alike {
            self.out.push(b',');
            self.value(sibling.get());
            alike = message.nodes[sibling.get()].next_alike;
        }
        if is_array {
            self.out.push(b']');
        }
    }

    fn value(&mut self, index: usize) {
        let message = self.message;
        let node = &message.nodes[index];
        match node.shape {
            Shape::Array => {
                self.out.push(b'[');
                let mut first = true;
                for child in message.children(index) {
                    self.separate(&mut first);
                    self.value(child);
                }
                self.out.push(b']');
            }
            Shape::Object => self.object(index),
            Shape::Element if message.has_children(index) => self.object(index),
            Shape::Element | Shape::Attribute => string(&node.text, self.out),
        }
    }

    fn separate(&mut self, first: &mut bool) {
        if !std::mem::take(first) {
            self.out.push(b',');
        }
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

/// Escapes what JSON wants escaped, and copies the stretches between.
pub(crate) fn escape(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    // Few texts want it, and a fold without early exit becomes vector code.
    if !rest.iter().fold(false, |any, byte| any | is_escaped(*byte)) {
        return out.extend_from_slice(rest);
    }
    while let Some(end) = rest.iter().position(|byte| is_escaped(*byte)) {
        out.extend_from_slice(&rest[..end]);
        match rest[end] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(Hex::<2>::of(&[control]).as_bytes());
            }
        }
        rest = &rest[end + 1..];
    }
    out.extend_from_slice(rest);
}

/// Control characters, `"` and `\`.
fn is_escaped(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}
