//! What makes two deliveries the same message.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Kind, Message};
use crate::hex::Hex;

/// The same for every delivery of one message and for no other message: half a SHA-256 over appid
/// and the fields that WeChat says to tell messages apart by. Displayed as 32 hexadecimal digits,
/// the `ce-id`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity([u8; 16]);

impl Identity {
    /// The `ce-id`.
    #[must_use]
    pub fn hex(&self) -> Hex<32> {
        Hex::of(&self.0)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

/// What identifies an event to WeChat. Too little for several card events in one second, so the
/// rest counts as well.
const EVENT_FIELDS: [&str; 4] = ["FromUserName", "CreateTime", "Event", "EventKey"];

impl Message<'_> {
    /// Its identity within an account. Messages: `FromUserName` and `MsgId`. Events, and whatever
    /// has no `MsgId`: `FromUserName`, `CreateTime`, `Event`, `EventKey` and a digest of all other
    /// fields in their order.
    #[must_use]
    pub fn identity(&self, appid: &str) -> Identity {
        let mut fields = Fields(Sha256::new());
        fields.add(appid);
        match self.get("MsgId") {
            Some(msg_id) if !msg_id.is_empty() && self.kind() != Kind::Event => {
                fields.add("message");
                fields.add(self.from_user().unwrap_or_default());
                fields.add(msg_id);
            }
            _ => {
                fields.add("event");
                for name in EVENT_FIELDS {
                    fields.add(self.get(name).unwrap_or_default());
                }
                fields.add_bytes(&self.rest());
            }
        }
        let digest: [u8; 32] = fields.0.finalize().into();
        let (half, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
        Identity(*half)
    }

    /// A digest of the nodes that are none of `EVENT_FIELDS`, with their place in the tree.
    fn rest(&self) -> [u8; 32] {
        let mut fields = Fields(Sha256::new());
        fields.add(&self.nodes[0].text);
        for child in self.children(0) {
            if EVENT_FIELDS.contains(&&*self.nodes[child].name) && !self.has_children(child) {
                continue;
            }
            for (index, node) in (child..).zip(&self.nodes[child..self.nodes[child].end]) {
                fields.add(&node.name);
                fields.add(&node.text);
                fields.add_bytes(&[node.shape as u8]);
                fields.add_bytes(&((node.end - index) as u64).to_be_bytes());
            }
        }
        fields.0.finalize().into()
    }
}

/// A hash of fields, each after its length, so that nothing can be shifted from one to the next.
struct Fields(Sha256);

impl Fields {
    fn add(&mut self, field: &str) {
        self.add_bytes(field.as_bytes());
    }

    fn add_bytes(&mut self, field: &[u8]) {
        self.0.update((field.len() as u64).to_be_bytes());
        self.0.update(field);
    }
}
