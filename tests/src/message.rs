//! Messages and events as WeChat words them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::canary;

/// The account's original id in every message that does not say otherwise.
pub const TO_USER: &str = "gh_5d41402abc4b";

/// A message on its way to the account; every one has a sender and an id of its own until told otherwise.
#[derive(Debug, Clone)]
pub struct Message {
    fields: Vec<Field>,
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    text: String,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In a CDATA section, as WeChat writes texts.
    Text,
    /// As it is: numbers, and elements inside.
    Raw,
}

impl Message {
    fn new(msg_type: &str) -> Message {
        Message { fields: Vec::new() }
            .text_field("ToUserName", TO_USER)
            .text_field("FromUserName", &openid())
            .raw_field("CreateTime", &now_s().to_string())
            .text_field("MsgType", msg_type)
    }

    /// A text message.
    #[must_use]
    pub fn text(content: &str) -> Message {
        Message::new("text").text_field("Content", content).raw_field("MsgId", &msg_id())
    }

    /// A message of a kind that is given by its fields.
    #[must_use]
    pub fn of(msg_type: &str, fields: &[(&str, &str)]) -> Message {
        let message = Message::new(msg_type);
        let message = fields.iter().fold(message, |m, (name, text)| m.text_field(name, text));
        message.raw_field("MsgId", &msg_id())
    }

    /// An event.
    #[must_use]
    pub fn event(event: &str) -> Message {
        Message::new("event").text_field("Event", event)
    }

    /// Sets a field that WeChat writes in CDATA.
    #[must_use]
    pub fn text_field(self, name: &str, text: &str) -> Message {
        self.field(name, text, Form::Text)
    }

    /// Sets a field that WeChat writes as it is: a number, or elements.
    #[must_use]
    pub fn raw_field(self, name: &str, text: &str) -> Message {
        self.field(name, text, Form::Raw)
    }

    fn field(mut self, name: &str, text: &str, form: Form) -> Message {
        let field = Field { name: name.to_owned(), text: text.to_owned(), form };
        match self.fields.iter_mut().find(|field| field.name == name) {
            Some(old) => *old = field,
            None => self.fields.push(field),
        }
        self
    }

    /// Without a field.
    #[must_use]
    pub fn without(mut self, name: &str) -> Message {
        self.fields.retain(|field| field.name != name);
        self
    }

    /// From this user.
    #[must_use]
    pub fn from(self, openid: &str) -> Message {
        self.text_field("FromUserName", openid)
    }

    /// A field's text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.name == name).map(|field| field.text.as_str())
    }

    /// The sender.
    #[must_use]
    pub fn openid(&self) -> &str {
        self.get("FromUserName").unwrap_or_default()
    }

    /// Whether WeChat wants a JSON acknowledgement for it: virtual payment and games.
    #[must_use]
    pub fn is_money(&self) -> bool {
        let event = self.get("Event").unwrap_or_default();
        event.starts_with("xpay_") || event.starts_with("minigame_")
    }

    /// As XML, in WeChat's layout.
    #[must_use]
    pub fn to_xml(&self) -> Vec<u8> {
        let line = |Field { name, text, form }: &Field| match form {
            Form::Text => {
                format!("<{name}><![CDATA[{}]]></{name}>\n", text.replace("]]>", "]]]]><![CDATA[>"))
            }
            Form::Raw => format!("<{name}>{text}</{name}>\n"),
        };
        let fields: String = self.fields.iter().map(line).collect();
        format!("<xml>{fields}</xml>").into_bytes()
    }

    /// As JSON, which mini programs may choose. Raw fields are written as they are: numbers keep all their digits.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let member = |Field { name, text, form }: &Field| match form {
            Form::Text => format!("{}:{}", Value::from(name.as_str()), Value::from(text.as_str())),
            Form::Raw => format!("{}:{text}", Value::from(name.as_str())),
        };
        let members: Vec<String> = self.fields.iter().map(member).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    }
}

/// A new user.
#[must_use]
pub fn openid() -> String {
    format!("{}{:021}", canary::OPENID, unique())
}

/// A new message id: 17 digits, more than a double holds.
#[must_use]
pub fn msg_id() -> String {
    format!("{}", 23_637_352_235_060_881 + unique())
}

/// Never the same twice in this process, and hardly ever in two.
#[must_use]
pub fn unique() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let process = u64::from(std::process::id()) << 24;
    process + COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Unix time in seconds.
///
/// # Panics
/// Before 1970.
#[must_use]
pub fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs() as i64
}
