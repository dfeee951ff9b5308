//! The same answer when it is too late for a passive reply: as customer-service messages.
//!
//! Source: `/cgi-bin/message/custom/send`
//! (<https://developers.weixin.qq.com/doc/offiaccount/Customer_Service/Customer_Service_Messages.html>).

use serde_json::{Map, Value, json};

use super::Answer;
use super::kinds::{Layout, Reply, TRANSFER, is_shown};

/// The longest text of one message, in bytes of UTF-8; more is 45002.
const TEXT_BYTES_MAX: usize = 2048;

impl Answer {
    /// What is to be sent to `touser`, in this order, each as the body of one call. Nothing for an answer that has no
    /// customer-service form: an acknowledgement, the hand-over to a human, the app's own words about money.
    #[must_use]
    pub fn customer_service_messages(&self, touser: &str) -> Vec<Map<String, Value>> {
        match self {
            Self::Reply(reply) => reply.customer_service_messages(touser),
            Self::CustomerService(message) => {
                let mut message = message.clone();
                message.insert("touser".to_owned(), touser.into());
                vec![message]
            }
            Self::Acknowledge | Self::Verbatim(_) | Self::Dropped | Self::Invalid(_) => Vec::new(),
        }
    }
}

impl Reply {
    /// One message, but for what is too much for one: long text goes out in pieces, and each article by itself, since
    /// more than one is 45008. Nothing for `transfer_customer_service`: only a passive reply can hand a user over.
    fn customer_service_messages(&self, touser: &str) -> Vec<Map<String, Value>> {
        let msgtype = self.msgtype();
        if msgtype == TRANSFER {
            return Vec::new();
        }
        let message = |content: Value| {
            let members =
                [("touser", touser.into()), ("msgtype", msgtype.into()), (msgtype, content)];
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        };
        if let (Layout::Flat, [text]) = (self.kind.layout, self.entries.as_slice()) {
            let content = text.iter().flatten().flat_map(|text| pieces(text));
            return content.map(|piece| message(json!({ "content": piece }))).collect();
        }
        let objects = self.entries.iter().map(|entry| {
            let fields = self.kind.fields.iter().zip(entry);
            let filled =
                fields.filter_map(|(f, v)| Some((f.json.to_owned(), v.as_deref()?.into())));
            Value::Object(filled.collect())
        });
        match self.kind.layout {
            Layout::Articles => {
                objects.map(|article| message(json!({ "articles": [article] }))).collect()
            }
            Layout::Flat | Layout::Within(_) | Layout::Optional(_) => {
                objects.map(message).collect()
            }
        }
    }
}

/// The text in pieces that WeChat takes, cut between characters. Blank ones are left out: they would be refused, and
/// the rest with them.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    let pieces = std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(TEXT_BYTES_MAX));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    pieces.filter(|piece| piece.chars().any(is_shown))
}
