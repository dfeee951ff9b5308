//! The message itself: what WeChat tells the app, from XML or JSON.
//!
//! A message is a flat list of nodes that borrow from the body. Nothing is known of the fields
//! beyond those that route it: what WeChat adds tomorrow passes through.

use std::borrow::Cow;
use std::num::NonZeroUsize;

pub use crate::tree::{ATTRIBUTES_MAX, DEPTH_MAX, ELEMENTS_MAX, Format, ParseError};
use crate::tree::{Shape, Sink, scan};

mod class;
mod identity;
mod kind;
mod window;
mod write;

pub use class::Class;
pub use identity::Identity;
pub use kind::Kind;
pub(crate) use write::escape as escape_json;

/// A parsed message.
#[derive(Clone)]
pub struct Message<'a> {
    format: Format,
    kind: Kind,
    /// The root, then every node before what it contains.
    nodes: Vec<Node<'a>>,
}

crate::opaque!(Message<'_>);

#[derive(Clone)]
struct Node<'a> {
    name: Cow<'a, str>,
    /// An element's own text, an attribute's value.
    text: Cow<'a, str>,
    shape: Shape,
    /// Where the nodes inside this one end, and hence where the next sibling is.
    end: usize,
    /// The next sibling of the same name.
    next_alike: Option<NonZeroUsize>,
    /// Whether a sibling before has the same name.
    is_repeated: bool,
}

/// Room for the root and the fields of nearly every message, in one small allocation.
const NODES_USUAL: usize = 12;

impl<'a> Message<'a> {
    /// Parses a decrypted or plaintext body, XML or JSON by its first character.
    ///
    /// # Errors
    /// [`ParseError`] for what is not well-formed, not bounded, or says who sent it twice.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut builder = Builder {
            nodes: Vec::with_capacity(NODES_USUAL),
            open: [0; DEPTH_MAX + 1],
            depth: 0,
            by_name: Vec::with_capacity(NODES_USUAL),
        };
        builder.begin(Cow::Borrowed(""), Shape::Object);
        let format = scan(body, &mut builder)?;
        builder.close();
        let mut message = Self { format, kind: Kind::Unknown, nodes: builder.nodes };
        message.kind = message.named_kind();
        Ok(message)
    }

    /// How it is written.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The text of a top-level field; `None` if it is not there or is no plain text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.text(self.find(0, name)?)
    }

    /// `Event`, as sent: WeChat's own spelling is not constant.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        self.get("Event")
    }

    /// `FromUserName`: the user's openid, with few exceptions; see [`Message::subject`].
    #[must_use]
    pub fn from_user(&self) -> Option<&str> {
        self.get("FromUserName")
    }

    /// `ToUserName`: the account's original id.
    #[must_use]
    pub fn to_user(&self) -> Option<&str> {
        self.get("ToUserName")
    }

    /// `CreateTime` in seconds since 1970, if it is an integer.
    #[must_use]
    pub fn create_time(&self) -> Option<i64> {
        integer(self.get("CreateTime")?)
    }

    /// The openid of the user whom the message is about. Authorization changes come from the
    /// platform's own account and name the user in `OpenID`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        const ABOUT_ANOTHER: [&str; 3] =
            ["user_info_modified", "user_authorization_revoke", "user_authorization_cancellation"];
        let about_another = self
            .event()
            .is_some_and(|event| ABOUT_ANOTHER.iter().any(|name| event.eq_ignore_ascii_case(name)));
        let openid = if about_another {
            self.get("OpenID").filter(|openid| !openid.is_empty())
        } else {
            None
        };
        openid.or_else(|| self.from_user()).filter(|openid| !openid.is_empty())
    }

    /// The first node of a name directly inside another; 0 is the root.
    pub(crate) fn find(&self, parent: usize, name: &str) -> Option<usize> {
        self.named(parent, name).next()
    }

    /// All nodes of a name directly inside another.
    pub(crate) fn named(&self, parent: usize, name: &str) -> impl Iterator<Item = usize> {
        self.children(parent).filter(move |index| self.nodes[*index].name == name)
    }

    /// A node's text, if it is nothing but text.
    pub(crate) fn text(&self, index: usize) -> Option<&str> {
        let node = &self.nodes[index];
        (node.shape == Shape::Element && !self.has_children(index)).then_some(&*node.text)
    }

    /// The indexes of the nodes directly inside one.
    pub(crate) fn children(&self, parent: usize) -> impl Iterator<Item = usize> {
        let end = self.nodes[parent].end;
        let within = move |index: &usize| *index < end;
        std::iter::successors(Some(parent + 1).filter(within), move |index| {
            Some(self.nodes[*index].end).filter(within)
        })
    }

    fn has_children(&self, index: usize) -> bool {
        self.nodes[index].end > index + 1
    }
}

/// An integer in plain digits; `+1` and blanks are none.
fn integer(text: &str) -> Option<i64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

/// Lays the nodes down in the order in which they come.
struct Builder<'a> {
    nodes: Vec<Node<'a>>,
    /// Indexes of the open nodes, the root's first.
    open: [usize; DEPTH_MAX + 1],
    depth: usize,
    /// Scratch of [`Builder::link_alike`].
    by_name: Vec<usize>,
}

impl<'a> Builder<'a> {
    fn begin(&mut self, name: Cow<'a, str>, shape: Shape) {
        self.open[self.depth] = self.nodes.len();
        self.depth += 1;
        self.push(name, Cow::Borrowed(""), shape);
    }

    fn push(&mut self, name: Cow<'a, str>, text: Cow<'a, str>, shape: Shape) {
        let end = self.nodes.len() + 1;
        self.nodes.push(Node { name, text, shape, end, next_alike: None, is_repeated: false });
    }

    /// Links the elements of one name in a parent. By sorting, so that a thousand of them cost no
    /// more than they should.
    fn link_alike(&mut self, parent: usize) {
        let nodes = &mut self.nodes;
        let end = nodes[parent].end;
        self.by_name.clear();
        let mut child = parent + 1;
        while child < end {
            if nodes[child].shape != Shape::Attribute {
                self.by_name.push(child);
            }
            child = nodes[child].end;
        }
        // Any order will do that puts equal names together; by length first, names are rarely
        // compared.
        let key = |index: &usize| (nodes[*index].name.len(), &nodes[*index].name, *index);
        self.by_name.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        for pair in self.by_name.windows(2) {
            if nodes[pair[0]].name == nodes[pair[1]].name {
                nodes[pair[0]].next_alike = NonZeroUsize::new(pair[1]);
                nodes[pair[1]].is_repeated = true;
            }
        }
    }

    /// The innermost open node; the root is open until the scanner is done.
    fn innermost(&self) -> usize {
        self.open[self.depth - 1]
    }
}

impl<'a> Sink<'a> for Builder<'a> {
    fn open(&mut self, name: Cow<'a, str>, shape: Shape) {
        // Blanks before an element are layout, not text.
        let parent = self.innermost();
        let text = &mut self.nodes[parent].text;
        if is_blank(text) {
            *text = Cow::Borrowed("");
        }
        self.begin(name, shape);
    }

    fn attribute(&mut self, name: &'a str, value: Cow<'a, str>) {
        self.push(Cow::Borrowed(name), value, Shape::Attribute);
    }

    fn text(&mut self, piece: Cow<'a, str>) {
        let parent = self.innermost();
        let has_children = self.nodes.len() > parent + 1;
        if has_children && is_blank(&piece) {
            return;
        }
        let text = &mut self.nodes[parent].text;
        if text.is_empty() {
            *text = piece;
        } else {
            text.to_mut().push_str(&piece);
        }
    }

    fn close(&mut self) {
        let index = self.innermost();
        self.nodes[index].end = self.nodes.len();
        self.depth -= 1;
        // The values of an array have no names.
        if self.nodes.len() > index + 1 && self.nodes[index].shape != Shape::Array {
            self.link_alike(index);
        }
    }
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_whitespace())
}

#[cfg(test)]
mod tests;
