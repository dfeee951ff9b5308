//! A strict reader for replies that shares nothing with wxedge's own: a bug there must not hide itself here.

use quick_xml::Reader;
use quick_xml::events::Event;

/// An element with the elements in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its own text.
    pub text: String,
    /// What stands in it.
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a document.
    ///
    /// # Errors
    /// Why it is not well-formed, or more than WeChat's simple parser takes.
    pub fn parse(text: &str) -> Result<Element, String> {
        if let Some(illegal) = text.chars().find(|c| !is_legal(*c)) {
            return Err(format!("{illegal:?} is no XML character"));
        }
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = true;
        let mut open = vec![Element::default()];
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            let innermost = open.last_mut().ok_or("an end without a start")?;
            match event {
                Event::Start(start) => {
                    let name = start.name().as_ref().to_owned();
                    open.push(Element { name, ..Element::default() });
                }
                Event::End(_) => {
                    let done = open.pop().ok_or("an end without a start")?;
                    open.last_mut().ok_or("an end without a start")?.children.push(done);
                }
                Event::Text(text) => innermost.text.push_str(&text),
                Event::CData(text) => innermost.text.push_str(&text),
                Event::Eof => break,
                other => return Err(format!("{other:?} in a reply")),
            }
        }
        match (open.pop(), open.len()) {
            (Some(mut document), 0)
                if document.children.len() == 1 && document.text.trim().is_empty() =>
            {
                document.children.pop().ok_or_else(|| "no root".to_owned())
            }
            _ => Err("not one closed root".to_owned()),
        }
    }

    /// The first child of a name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text at a path of names, such as `Image/MediaId`.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&str> {
        path.split('/').try_fold(self, |element, name| element.child(name)).map(|e| e.text.as_str())
    }
}

/// A character that XML 1.0 has.
fn is_legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_and_broken_ones_are_not() {
        let reply = "<xml><A><![CDATA[1]]]]><![CDATA[>2]]></A><B><C>3</C></B></xml>";
        let element = Element::parse(reply).unwrap();
        assert_eq!(element.at("A"), Some("1]]>2"));
        assert_eq!(element.at("B/C"), Some("3"));
        assert_eq!(element.at("B/D"), None);
        for broken in [
            "",
            "success",
            "<xml>",
            "<xml></xm>",
            "<xml/><xml/>",
            "<xml></xml>a",
            "<xml>\u{1}</xml>",
            "{}",
        ] {
            assert!(Element::parse(broken).is_err(), "{broken}");
        }
    }
}
