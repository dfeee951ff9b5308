//! A passive reply on the wire: XML that is valid whatever the text, or JSON where the callback was
//! JSON.

use super::Reply;
use super::kinds::Layout;
use crate::message::{Format, escape_json};
use crate::xml::{is_xml, until};

impl Reply {
    /// Writes the reply to `to` (the user) from `from` (the account), always in these names,
    /// whatever the app said.
    #[must_use]
    pub fn render(&self, format: Format, to: &str, from: &str, create_time_s: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let writer: &mut dyn Writer = match format {
            Format::Xml => &mut Xml(&mut out),
            Format::Json => &mut Json { out: &mut out, first: true },
        };
        writer.begin("xml");
        writer.text("ToUserName", to);
        writer.text("FromUserName", from);
        writer.integer("CreateTime", create_time_s);
        writer.text("MsgType", self.kind.msgtype);
        match self.kind.layout {
            Layout::Flat => self.entries.iter().for_each(|entry| self.fields(entry, writer)),
            Layout::Within(name) | Layout::Optional(name) => {
                for entry in &self.entries {
                    writer.open(name);
                    self.fields(entry, writer);
                    writer.close(name);
                }
            }
            Layout::Articles => {
                writer.integer("ArticleCount", self.entries.len() as i64);
                writer.open_list("Articles");
                for entry in &self.entries {
                    writer.begin("item");
                    self.fields(entry, writer);
                    writer.close("item");
                }
                writer.close_list("Articles");
            }
        }
        writer.close("xml");
        out
    }

    fn fields(&self, entry: &[Option<String>], writer: &mut dyn Writer) {
        for (field, value) in self.kind.fields.iter().zip(entry) {
            if let (Some(name), Some(value)) = (field.xml, value) {
                writer.text(name, value);
            }
        }
    }
}

/// The two ways to write the same tree.
trait Writer {
    /// An object without a name of its own: the root, an entry of a list.
    fn begin(&mut self, name: &str);
    fn open(&mut self, name: &str);
    fn close(&mut self, name: &str);
    fn open_list(&mut self, name: &str);
    fn close_list(&mut self, name: &str);
    fn text(&mut self, name: &str, text: &str);
    fn integer(&mut self, name: &str, number: i64);
}

struct Xml<'o>(&'o mut Vec<u8>);

impl Xml<'_> {
    fn put(&mut self, pieces: &[&str]) {
        pieces.iter().for_each(|piece| self.0.extend_from_slice(piece.as_bytes()));
    }
}

impl Writer for Xml<'_> {
    fn begin(&mut self, name: &str) {
        self.put(&["<", name, ">"]);
    }

    fn open(&mut self, name: &str) {
        self.begin(name);
    }

    fn close(&mut self, name: &str) {
        self.put(&["</", name, ">"]);
    }

    fn open_list(&mut self, name: &str) {
        self.begin(name);
    }

    fn close_list(&mut self, name: &str) {
        self.close(name);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.put(&["<", name, "><![CDATA["]);
        cdata(text, self.0);
        self.put(&["]]></", name, ">"]);
    }

    fn integer(&mut self, name: &str, number: i64) {
        self.put(&["<", name, ">", &number.to_string(), "</", name, ">"]);
    }
}

/// Characters that XML does not have are left out, `]]>` is split over two sections.
fn cdata(text: &str, out: &mut Vec<u8>) {
    // All of those begin with one of these bytes, which few texts have. A fold without early exit becomes vector code.
    let is_odd = |byte: u8| (byte < b' ') | (byte == 0xef);
    let clean: String;
    let mut rest = text;
    if text.bytes().fold(false, |any, byte| any | is_odd(byte)) && !text.chars().all(is_xml) {
        clean = text.chars().filter(|c| is_xml(*c)).collect();
        rest = &clean;
    }
    while let Some((part, after)) = until(rest, "]]") {
        out.extend_from_slice(part.as_bytes());
        out.extend_from_slice(b"]]]]><![CDATA[>");
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
}

struct Json<'o> {
    out: &'o mut Vec<u8>,
    /// Nothing stands before in this object or list.
    first: bool,
}

impl Json<'_> {
    fn separate(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
    }

    fn name(&mut self, name: &str) {
        self.separate();
        self.string(name);
        self.out.push(b':');
    }

    fn string(&mut self, text: &str) {
        self.out.push(b'"');
        escape_json(text, self.out);
        self.out.push(b'"');
    }

    fn start(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.first = true;
    }

    fn end(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.first = false;
    }
}

impl Writer for Json<'_> {
    fn begin(&mut self, _name: &str) {
        self.separate();
        self.start(b'{');
    }

    fn open(&mut self, name: &str) {
        self.name(name);
        self.start(b'{');
    }

    fn close(&mut self, _name: &str) {
        self.end(b'}');
    }

    fn open_list(&mut self, name: &str) {
        self.name(name);
        self.start(b'[');
    }

    fn close_list(&mut self, _name: &str) {
        self.end(b']');
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.string(text);
    }

    fn integer(&mut self, name: &str, number: i64) {
        self.name(name);
        self.out.extend_from_slice(number.to_string().as_bytes());
    }
}
