//! The way to one receiver: a queue of its own, a pace of its own, tries of its own. None waits for another.

use super::retry::{self, Verdict};
use crate::clock::millis;
use crate::log::{info, warn};
use crate::{http, limits};
use rand::RngExt;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

/// A receiver: how it is asked, and what its answers mean.
pub(super) trait Receiver<T>: std::fmt::Debug + Send + Sync {
    /// Its name in metrics.
    fn name(&self) -> &'static str;

    /// The least from one request to the next.
    fn pace(&self) -> Duration;

    /// How many messages may wait for it; the oldest goes first.
    fn room(&self) -> usize;

    /// The request. `now` is for signatures: milliseconds since 1970.
    fn request(&self, http: &Client, message: &T, now: u64) -> RequestBuilder;

    /// What an answer means.
    fn verdict(&self, status: u16, body: &[u8]) -> Verdict;
}

/// A request with this JSON.
pub(super) fn json(request: RequestBuilder, body: String) -> RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(body)
}

/// How a receiver is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Which.
    pub output: &'static str,
    /// Messages it has taken.
    pub sent: u64,
    /// Messages that were given up.
    pub failed: u64,
    /// Messages that newer ones pushed out of the queue.
    pub dropped: u64,
    /// Tries after the first.
    pub retries: u64,
    /// Messages that wait.
    pub waiting: usize,
    /// Why the last try did not work, in one or two words; none when it did.
    pub error: Option<String>,
}

/// What was counted, by receiver.
pub(super) type Counted = BTreeMap<&'static str, Health>;

/// Queue and counters.
#[derive(Debug)]
pub(super) struct Lane<T> {
    receiver: Box<dyn Receiver<T>>,
    inner: Mutex<Inner<T>>,
    pushed: Notify,
}

#[derive(Debug)]
struct Inner<T> {
    /// The number of the first message in the queue.
    first: u64,
    queue: VecDeque<Arc<T>>,
    /// The number of the message that is on its way now.
    under_way: Option<u64>,
    health: Health,
}

impl<T> Lane<T> {
    /// Counts on from `before`, what lanes before it have counted, by their receiver.
    pub(super) fn new(receiver: Box<dyn Receiver<T>>, before: &Counted) -> Lane<T> {
        let output = receiver.name();
        let before = before.get(output).cloned().unwrap_or_default();
        let health = Health { output, waiting: 0, error: None, ..before };
        let inner = Inner { first: 0, queue: VecDeque::new(), under_way: None, health };
        Lane { receiver, inner: Mutex::new(inner), pushed: Notify::new() }
    }

    /// Never waits: when there is no room, the oldest message makes some.
    pub(super) fn push(&self, message: Arc<T>) {
        let mut inner = self.lock();
        if inner.queue.len() >= self.receiver.room() {
            inner.queue.pop_front();
            // What is under way may still be taken.
            let dropped = inner.under_way != Some(inner.first);
            inner.health.dropped += u64::from(dropped);
            inner.first += 1;
        }
        inner.queue.push_back(message);
        drop(inner);
        self.pushed.notify_one();
    }

    pub(super) fn health(&self) -> Health {
        let inner = self.lock();
        Health { waiting: inner.queue.len(), ..inner.health.clone() }
    }

    /// What has not been taken yet, the oldest first.
    pub(super) fn waiting(&self) -> Vec<Arc<T>> {
        self.lock().queue.iter().cloned().collect()
    }

    /// Delivers, one after the other, for ever.
    pub(super) async fn deliver(&self, http: &Client) {
        let (mut tried, mut began) = ((0, 0), Instant::now());
        loop {
            let (number, message) = self.front().await;
            if tried.0 != number || tried.1 == 0 {
                (tried, began) = ((number, 0), Instant::now());
            }
            tried.1 += 1;
            let next = Instant::now() + self.receiver.pace();
            let (verdict, asked) = self.attempt(http, &message).await;
            let chance = rand::rng().random();
            let wait = retry::wait(&verdict, tried.1, began.elapsed(), asked, chance);
            self.note(number, verdict, wait.is_some());
            match wait {
                Some(wait) => sleep(wait).await,
                None => tried.1 = 0,
            }
            sleep_until(next).await;
        }
    }

    /// One try, and how long it asks to be left alone.
    async fn attempt(&self, http: &Client, message: &T) -> (Verdict, Option<Duration>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let request = self.receiver.request(http, message, millis(now));
        let response = match request.timeout(limits::NOTIFY_TIMEOUT).send().await {
            Ok(response) => response,
            // The error's own words have the address in them.
            Err(error) => return (failed(&error), None),
        };
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|value| retry::after(value, now.as_secs().cast_signed()));
        let status = response.status().as_u16();
        let body = http::body(response, limits::NOTIFY_ANSWER_BYTES).await.unwrap_or_default();
        (self.receiver.verdict(status, &body), asked)
    }

    async fn front(&self) -> (u64, Arc<T>) {
        loop {
            {
                let mut inner = self.lock();
                if let Some(message) = inner.queue.front().cloned() {
                    inner.under_way = Some(inner.first);
                    return (inner.first, message);
                }
            }
            self.pushed.notified().await;
        }
    }

    fn note(&self, number: u64, verdict: Verdict, again: bool) {
        let mut inner = self.lock();
        // Newer ones may have pushed it out meanwhile.
        let there = inner.first == number;
        inner.under_way = None;
        let health = &mut inner.health;
        match verdict {
            Verdict::Sent => health.sent += 1,
            _ if !there => health.dropped += 1,
            _ if again => health.retries += 1,
            _ => health.failed += 1,
        }
        let error = match verdict {
            Verdict::Sent => None,
            Verdict::Refused(reason) | Verdict::TooOften(reason) | Verdict::Failed(reason) => {
                Some(reason)
            }
        };
        let (name, was) = (health.output, std::mem::replace(&mut health.error, error));
        match (was, &health.error) {
            (None, Some(reason)) => warn(format_args!("notify.{name} is not told: {reason}")),
            (Some(_), None) => info(format_args!("notify.{name} is told again")),
            _ => {}
        }
        if there && !again {
            inner.queue.pop_front();
            inner.first += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(error: &reqwest::Error) -> Verdict {
    if error.is_builder() {
        return Verdict::Refused("address".to_owned());
    }
    let reason = match error {
        _ if error.is_timeout() => "timeout",
        _ if error.is_connect() => "connect",
        _ => "connection",
    };
    Verdict::Failed(reason.to_owned())
}
