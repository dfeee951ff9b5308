//! The event stream: what the sidecar hears. Readers that are slow lose events and are told how many.

use crate::limits;
use crate::lines::unix_now;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// One event as readers get it: `id`, `event` and `data` of the stream.
#[derive(Clone)]
pub struct Event {
    /// Counts up from 1.
    pub id: u64,
    /// Its name.
    pub name: &'static str,
    /// A JSON object.
    pub data: Arc<str>,
}

/// A callback that did not end well.
pub struct Failed<'a> {
    /// Whose.
    pub account: &'a str,
    /// How it ended.
    pub outcome: &'static str,
    /// Why.
    pub reason: &'static str,
    /// What it was.
    pub kind: &'static str,
    /// Who sent it.
    pub peer: IpAddr,
    /// How long it took.
    pub took: Duration,
    /// What the app answered.
    pub response: &'a [u8],
}

// An app's answer is in both.
crate::opaque!(Event, Failed<'_>);

/// All readers of the stream.
#[derive(Debug)]
pub struct Events {
    readers: broadcast::Sender<Event>,
    last_id: AtomicU64,
    sent: Mutex<HashMap<(String, &'static str), Sent>>,
}

/// How many events of one kind were sent for an account in the second that began then.
type Sent = (Instant, u32);

impl Default for Events {
    fn default() -> Self {
        Events {
            readers: broadcast::Sender::new(limits::EVENTS),
            last_id: AtomicU64::new(0),
            sent: Mutex::default(),
        }
    }
}

impl Events {
    /// A new reader; it gets what happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.readers.subscribe()
    }

    /// Sends an event to all readers. `data` is an object; time and account are added.
    pub fn send(&self, name: &'static str, account: Option<&str>, data: Value) {
        if self.readers.receiver_count() > 0 {
            // Without readers an event is nobody's.
            let _nobody = self.readers.send(self.event(name, account, data));
        }
    }

    /// An event for one reader.
    pub fn event(&self, name: &'static str, account: Option<&str>, mut data: Value) -> Event {
        data["t"] = unix_now().into();
        data["account"] = account.into();
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        Event { id, name, data: data.to_string().into() }
    }

    /// Sends a failure, unless its account had too many this second.
    pub fn failure(&self, failed: &Failed<'_>) {
        if self.readers.receiver_count() == 0 || !self.may_send(failed.account, "failure") {
            return;
        }
        let data = json!({
            "outcome": failed.outcome,
            "reason": failed.reason,
            "kind": failed.kind,
            "peer": failed.peer,
            "duration_ms": failed.took.as_millis() as u64,
            "response_length": failed.response.len(),
            "response": shown(failed.response),
        });
        self.send("failure", Some(failed.account), data);
    }

    /// Sends what happened to an entry of the spool, unless the same happened to too many this second. `response` is what
    /// the app answered to a redelivery that it failed, if anything.
    pub fn spool(
        &self,
        account: &str,
        action: &'static str,
        id: u64,
        reason: &str,
        response: Option<&[u8]>,
    ) {
        if self.readers.receiver_count() == 0 || !self.may_send(account, action) {
            return;
        }
        let mut data = json!({"action": action, "id": id.to_string(), "reason": reason});
        if let Some(response) = response {
            data["response_length"] = response.len().into();
            data["response"] = shown(response).into();
        }
        self.send("spool", Some(account), data);
    }

    fn may_send(&self, account: &str, what: &'static str) -> bool {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded: accounts come from the configuration.
        let (since, sent) =
            sent.entry((account.to_owned(), what)).or_insert_with(|| (Instant::now(), 0));
        if since.elapsed() >= Duration::from_secs(1) {
            (*since, *sent) = (Instant::now(), 0);
        }
        *sent += 1;
        *sent <= limits::EVENTS_A_SECOND
    }
}

/// How an answer begins.
fn shown(response: &[u8]) -> String {
    // A character has four bytes at most; the rest is not looked at.
    let shown = response.len().min(4 * limits::EVENT_RESPONSE_CHARS);
    let response = String::from_utf8_lossy(&response[..shown]);
    response.chars().take(limits::EVENT_RESPONSE_CHARS).collect()
}
