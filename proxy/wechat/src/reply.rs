//! The app's answer, and what WeChat gets for it.

use serde_json::{Map, Value};

use crate::message::{Class, Message};

mod customer_service;
mod kinds;
mod render;

pub use kinds::Reply;

/// What a complete 2xx answer of the app means.
#[derive(Clone, PartialEq)]
pub enum Answer {
    /// The app has nothing to say: [`Message::acknowledgement`].
    Acknowledge,
    /// A passive reply.
    Reply(Reply),
    /// A kind without a passive form, to be sent by `/cgi-bin/message/custom/send`; `touser` is
    /// filled in.
    CustomerService(Map<String, Value>),
    /// WeChat wants the app's own words: money and logistics.
    Verbatim(Vec<u8>),
    /// A reply to an event that nobody reads the reply of.
    Dropped,
    /// Nothing that WeChat would take.
    Invalid(InvalidReply),
}

crate::opaque!(Answer, Reply);

/// Why an answer is nothing that WeChat would take. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidReply {
    /// Not UTF-8.
    #[error("answer is not UTF-8")]
    Encoding,
    /// Begins with `{` and is no JSON.
    #[error("answer is not valid JSON")]
    Json,
    /// Begins with `<xml` and is not well-formed.
    #[error("answer is not well-formed XML")]
    Xml,
    /// Neither JSON nor XML nor `text/plain`.
    #[error("answer is neither JSON nor XML nor plain text")]
    Unrecognized,
    /// XML without a `MsgType` that WeChat takes, or a `msgtype` that is no text.
    #[error("unknown message type")]
    Kind,
    /// A field without which WeChat refuses the reply.
    #[error("a required field is missing")]
    Incomplete,
    /// A text reply without text, which is not the same to WeChat as no reply.
    #[error("empty text")]
    EmptyText,
}

impl InvalidReply {
    /// The name in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Unrecognized => "unrecognized",
            Self::Kind => "kind",
            Self::Incomplete => "incomplete",
            Self::EmptyText => "empty_text",
        }
    }
}

/// Bodies by which frameworks and habits say "fine".
const ACKNOWLEDGEMENTS: [&str; 6] = ["", "success", "ok", "true", "1", "null"];

impl Answer {
    /// Interprets the body of a complete 2xx answer to `message`. JSON and XML are recognized by
    /// their first character; the content type only tells plain text from what nobody understands.
    ///
    /// Whoever reads the answer bounds its length. WeChat takes 2048 bytes of text; what is longer
    /// is passed on, the limit being WeChat's to set.
    #[must_use]
    pub fn interpret(content_type: Option<&str>, body: &[u8], message: &Message) -> Self {
        let text = match clean_text(body) {
            Ok(text) => text,
            Err(invalid) => return Self::Invalid(invalid),
        };
        if ACKNOWLEDGEMENTS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
            return Self::Acknowledge;
        }
        let class = message.class();
        if class == Class::Verbatim && is_structured(text) {
            return Self::Verbatim(text.as_bytes().to_vec());
        }
        let answer = if is_xml(text) {
            from_xml(text)
        } else if text.starts_with('{') {
            from_json(text, message)
        } else if is_plain_text(content_type) {
            Reply::text(text).map(Self::Reply)
        } else if serde_json::from_str::<Value>(text).is_ok() {
            Ok(Self::Acknowledge)
        } else {
            Err(InvalidReply::Unrecognized)
        };
        match answer {
            Ok(Self::Reply(_) | Self::CustomerService(_)) if class != Class::Conversation => {
                Self::Dropped
            }
            Ok(answer) => answer,
            Err(invalid) => Self::Invalid(invalid),
        }
    }
}

fn clean_text(body: &[u8]) -> Result<&str, InvalidReply> {
    let text = std::str::from_utf8(body).map_err(|_| InvalidReply::Encoding)?;
    Ok(text.trim_start_matches('\u{feff}').trim_ascii())
}

fn is_xml(text: &str) -> bool {
    text.starts_with("<xml") || text.starts_with("<?xml")
}

/// A whole JSON object, or a whole XML document where the account gets its events as XML.
fn is_structured(text: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(text).is_ok()
        || (is_xml(text) && Message::parse(text.as_bytes()).is_ok())
}

fn is_plain_text(content_type: Option<&str>) -> bool {
    content_type
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("text/plain"))
}

fn from_xml(text: &str) -> Result<Answer, InvalidReply> {
    let reply = Message::parse(text.as_bytes()).map_err(|_| InvalidReply::Xml)?;
    // A MsgType that WeChat has no passive form for would be shown to the user as a failure.
    Reply::from_xml(&reply).map(Answer::Reply)
}

fn from_json(text: &str, message: &Message) -> Result<Answer, InvalidReply> {
    let mut json: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| InvalidReply::Json)?;
    let msgtype = match json.get("msgtype") {
        None | Some(Value::Null) => return Ok(Answer::Acknowledge),
        Some(Value::String(msgtype)) => msgtype.to_ascii_lowercase(),
        Some(_) => return Err(InvalidReply::Kind),
    };
    if let Some(reply) = Reply::from_json(&msgtype, &json) {
        return reply.map(Answer::Reply);
    }
    if !json.get(&msgtype).is_some_and(Value::is_object) {
        return Err(InvalidReply::Incomplete);
    }
    json.insert("msgtype".to_owned(), Value::String(msgtype));
    json.insert("touser".to_owned(), message.from_user().unwrap_or_default().into());
    Ok(Answer::CustomerService(json))
}

#[cfg(test)]
mod tests;
