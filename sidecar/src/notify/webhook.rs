//! Any other receiver: a `POST` of JSON, a status from 200 to 299 is a yes.
//!
//! `{"version":"1","status":"firing|resolved","alerts":[…],"omitted":0}`: the alerts as `GET /alerts` shows them, `firing` when
//! one of them is, `omitted` how many more there were.

use super::lane::{Receiver, json};
use super::message::Message;
use super::retry::{self, Verdict};
use crate::config::{Language, Secret};
use crate::limits;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Webhook {
    pub(super) address: Secret,
    pub(super) language: Language,
}

impl Receiver<Message> for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn pace(&self) -> Duration {
        Duration::ZERO
    }

    fn room(&self) -> usize {
        limits::MESSAGES
    }

    fn request(&self, http: &Client, message: &Message, _now: u64) -> RequestBuilder {
        let alerts = message.entries.iter().map(|entry| entry.alert.to_json(self.language));
        let body = json!({
            "version": "1",
            "status": if message.firing > 0 { "firing" } else { "resolved" },
            "alerts": alerts.collect::<Vec<Value>>(),
            "omitted": message.omitted(),
        });
        json(http.post(self.address.expose()), body.to_string())
    }

    fn verdict(&self, status: u16, _body: &[u8]) -> Verdict {
        retry::by_status(status)
    }
}
