//! Stage 5: the app sees a message once, however often WeChat sends it.
//!
//! The first delivery of a message claims it. A repeat joins: while the first one runs it waits for the same answer,
//! for 60 s afterwards it gets the kept answer, later a plain acknowledgement. A message that was neither delivered
//! nor stored is forgotten, so that its repeat is a first delivery again.
//!
//! Memory: 100 000 entries cost about 10 MB; answers, kept for 60 s, add at most `DEDUPE_ANSWER_BYTES` and 200 bytes
//! of bookkeeping each.

use crate::connection::Response;
use crate::limits;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use wxedge_wechat::message::Identity;

/// What an account remembers of the messages it saw.
#[derive(Debug)]
pub struct Dedupe {
    /// How long a message is remembered, in milliseconds.
    kept_ms: AtomicU64,
    messages: DashMap<Identity, Slot>,
    order: Mutex<Order>,
}

#[derive(Debug)]
struct Slot {
    claim: u64,
    /// None once the answer is no longer kept.
    flight: Option<Arc<Flight>>,
}

/// Everything remembered, oldest first.
#[derive(Debug, Default)]
struct Order {
    claims: u64,
    entries: VecDeque<Remembered>,
    answers: VecDeque<(Remembered, usize)>,
    answer_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Remembered {
    since: Instant,
    claim: u64,
    identity: Identity,
}

/// One message on its way through the app.
#[derive(Debug, Default)]
pub struct Flight {
    /// The answer; `None` inside when there will be none.
    landed: OnceLock<Option<Response>>,
    landing: Notify,
}

/// What a delivery finds.
#[derive(Debug)]
pub enum Claim {
    /// It is the first: the app has to see it.
    First(Claimed),
    /// It is a repeat of a message that runs or was just answered.
    Again(Arc<Flight>),
    /// It is a repeat of a message answered a while ago.
    Answered,
}

/// The right, and the duty, to settle a message. Dropped unsettled, the message is forgotten.
#[derive(Debug)]
pub struct Claimed {
    dedupe: Arc<Dedupe>,
    flight: Arc<Flight>,
    remembered: Remembered,
}

impl Dedupe {
    /// Remembers messages for `kept`.
    pub fn new(kept: Duration) -> Dedupe {
        let dedupe = Dedupe {
            kept_ms: AtomicU64::new(0),
            messages: DashMap::new(),
            order: Mutex::default(),
        };
        dedupe.keep(kept);
        dedupe
    }

    /// Remembers messages for `kept` from now on, the ones there included.
    pub fn keep(&self, kept: Duration) {
        self.kept_ms.store(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many messages are remembered.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Claims a message for its first delivery.
    pub fn claim(self: &Arc<Self>, identity: Identity) -> Claim {
        let now = Instant::now();
        self.sweep(now);
        match self.messages.entry(identity) {
            Entry::Occupied(slot) => match &slot.get().flight {
                Some(flight) => Claim::Again(flight.clone()),
                None => Claim::Answered,
            },
            Entry::Vacant(slot) => {
                let flight = Arc::new(Flight::default());
                let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
                order.claims += 1;
                let remembered = Remembered { since: now, claim: order.claims, identity };
                order.entries.push_back(remembered);
                drop(order);
                slot.insert(Slot { claim: remembered.claim, flight: Some(flight.clone()) });
                Claim::First(Claimed { dedupe: self.clone(), flight, remembered })
            }
        }
    }

    /// Forgets what is too old or too much.
    pub fn sweep(&self, now: Instant) {
        let kept = Duration::from_millis(self.kept_ms.load(Ordering::Relaxed));
        let mut forgotten = Vec::new();
        let mut stale = Vec::new();
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((oldest, bytes)) = order.answers.front().copied()
            && (now.duration_since(oldest.since) > limits::DEDUPE_ANSWER
                || order.answer_bytes > limits::DEDUPE_ANSWER_BYTES)
        {
            order.answers.pop_front();
            order.answer_bytes -= bytes;
            stale.push(oldest);
        }
        while let Some(oldest) = order.entries.front().copied()
            && (now.duration_since(oldest.since) > kept
                || order.entries.len() >= limits::DEDUPE_ENTRIES)
        {
            order.entries.pop_front();
            forgotten.push(oldest);
        }
        drop(order);
        for old in stale {
            if let Some(mut slot) = self.messages.get_mut(&old.identity)
                && slot.claim == old.claim
            {
                slot.flight = None;
            }
        }
        for old in forgotten {
            self.messages.remove_if(&old.identity, |_, slot| slot.claim == old.claim);
        }
    }
}

impl Claimed {
    /// Gives every delivery of the message this answer.
    pub fn settle(self, response: &Response) {
        let bytes = response.body.len();
        let mut order = self.dedupe.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.answer_bytes += bytes;
        order.answers.push_back((Remembered { since: Instant::now(), ..self.remembered }, bytes));
        drop(order);
        self.flight.land(Some(response.clone()));
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if self.flight.landed.get().is_none() {
            let claim = self.remembered.claim;
            self.dedupe
                .messages
                .remove_if(&self.remembered.identity, |_, slot| slot.claim == claim);
            self.flight.land(None);
        }
    }
}

impl Flight {
    fn land(&self, response: Option<Response>) {
        // A second landing changes nothing: the first answer went out already.
        let _first = self.landed.set(response);
        self.landing.notify_waiters();
    }

    /// Waits for the answer; none when the first delivery ended without one.
    pub async fn landed(&self) -> Option<Response> {
        let landing = self.landing.notified();
        match self.landed.get() {
            Some(response) => response.clone(),
            None => {
                landing.await;
                self.landed.get().cloned().flatten()
            }
        }
    }
}
