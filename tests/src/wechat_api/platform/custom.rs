//! `/cgi-bin/message/custom/send`: to whom it may be sent, and what. Source: protocol.md §4.5.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::Value;

use super::{Answer, Call, Platform};

/// The longest text, in bytes.
const TEXT_MAX: usize = 2048;
/// How many messages are kept; the oldest go first.
const MESSAGES_KEPT: usize = 10_000;

/// A customer-service message that WeChat took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomMessage {
    /// Who got it.
    pub touser: String,
    /// What was posted, byte for byte.
    pub body: Vec<u8>,
}

impl CustomMessage {
    /// The body as JSON.
    ///
    /// # Panics
    /// Never: only JSON is taken.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("what was taken as JSON")
    }
}

/// The users, as far as customer-service messages go.
#[derive(Debug, Default)]
pub(in super::super) struct Customers {
    /// How many messages are left, and until when. Who has none may be written to at any time.
    windows: HashMap<String, (u32, Duration)>,
    pub(in super::super) got: VecDeque<CustomMessage>,
}

impl Customers {
    pub(in super::super) fn open_window(&mut self, touser: &str, messages: u32, until: Duration) {
        self.windows.insert(touser.to_owned(), (messages, until));
    }

    /// Takes a message, if the user's window is open and has one left.
    fn take(&mut self, message: CustomMessage, now: Duration) -> Result<(), i64> {
        match self.windows.get_mut(&message.touser) {
            Some((_, until)) if now >= *until => return Err(45015),
            Some((0, _)) => return Err(45047),
            Some((left, _)) => *left -= 1,
            None => {}
        }
        if self.got.len() >= MESSAGES_KEPT {
            self.got.pop_front();
        }
        self.got.push_back(message);
        Ok(())
    }
}

impl Platform {
    /// A body without a `msgtype` is no message: whoever only wants to call something is answered, and nobody gets it.
    pub(super) fn custom_send(&mut self, call: &Call<'_>) -> Result<Answer, Answer> {
        let message = call.json()?;
        let Some(msgtype) = message["msgtype"].as_str() else { return Ok(Answer::ok()) };
        let refused = |errcode| call.error(errcode);
        let touser = message["touser"].as_str().filter(|touser| !touser.is_empty());
        let touser = touser.ok_or_else(|| refused(40003))?.to_owned();
        check(msgtype, &message[msgtype]).map_err(refused)?;
        let message = CustomMessage { touser, body: call.request.body.kept().to_vec() };
        self.customers.take(message, call.now).map_err(refused)?;
        Ok(Answer::ok())
    }
}

/// What is wrong with the content.
fn check(msgtype: &str, content: &Value) -> Result<(), i64> {
    match msgtype {
        "text" => match content["content"].as_str().unwrap_or_default() {
            text if text.trim().is_empty() => Err(44004),
            text if text.len() > TEXT_MAX => Err(45002),
            _ => Ok(()),
        },
        "news" if content["articles"].as_array().map_or(0, Vec::len) != 1 => Err(45008),
        _ if content.is_object() => Ok(()),
        _ => Err(40008),
    }
}
