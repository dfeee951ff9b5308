//! Stage 5: the app sees a message once, however often WeChat sends it.
//!
//! The first delivery of a message claims it. A repeat joins: while the first one runs it waits for the same answer,
//! for 60 s afterwards it gets the kept answer, later a plain acknowledgement. A message that was neither delivered
//! nor stored is forgotten, so that its repeat is a first delivery again.
//!
//! Memory: 100 000 messages cost 31 MB, measured with encrypted replies, of which `DEDUPE_ANSWER_BYTES` are answers and go
//! after 60 s. Above 100 000 messages in that time the oldest are forgotten first: at 5 000 a second that is
//! after 20 s, still longer than WeChat repeats.

use crate::connection::Response;
use crate::limits;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use wxedge_wechat::message::Identity;

/// What an account remembers of the messages it saw.
#[derive(Debug)]
pub struct Dedupe {
    /// How long an answered message is remembered, in milliseconds.
    kept_ms: AtomicU64,
    messages: DashMap<Identity, Slot, BuildHasherDefault<Uniform>>,
    answered: Mutex<Answered>,
    claims: AtomicU64,
}

/// An identity is a part of a SHA-256 over what WeChat signed: its first bytes are as good a hash as any.
#[derive(Default)]
struct Uniform(u64);

impl Hasher for Uniform {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
struct Slot {
    claim: u64,
    /// None once the answer is no longer kept.
    flight: Option<Arc<Flight>>,
}

/// The answered messages, oldest first. Those that still run are bounded by `max_in_flight`.
#[derive(Debug, Default)]
struct Answered {
    messages: VecDeque<Remembered>,
    /// How many of them, from the front, have lost their answer.
    bare: usize,
    /// What the other answers hold.
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Remembered {
    since: Instant,
    claim: u64,
    identity: Identity,
    bytes: usize,
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
    identity: Identity,
    claim: u64,
}

impl Dedupe {
    /// Remembers answered messages for `kept`.
    pub fn new(kept: Duration) -> Dedupe {
        let dedupe = Dedupe {
            kept_ms: AtomicU64::new(0),
            messages: DashMap::default(),
            answered: Mutex::default(),
            claims: AtomicU64::new(0),
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
        match self.messages.entry(identity) {
            Entry::Occupied(slot) => match &slot.get().flight {
                Some(flight) => Claim::Again(flight.clone()),
                None => Claim::Answered,
            },
            Entry::Vacant(slot) => {
                let flight = Arc::new(Flight::default());
                let claim = self.claims.fetch_add(1, Ordering::Relaxed);
                slot.insert(Slot { claim, flight: Some(flight.clone()) });
                Claim::First(Claimed { dedupe: self.clone(), flight, identity, claim })
            }
        }
    }

    /// Forgets what is too old.
    pub fn sweep(&self, now: Instant) {
        self.forget(self.answered.lock().unwrap_or_else(PoisonError::into_inner), now);
    }

    /// Remembers an answered message, in the place of those that are too many for it.
    fn remember(&self, message: Remembered) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.bytes += message.bytes;
        answered.messages.push_back(message);
        self.forget(answered, message.since);
    }

    /// Forgets what is too old or too much.
    fn forget(&self, mut answered: MutexGuard<'_, Answered>, now: Instant) {
        let kept = Duration::from_millis(self.kept_ms.load(Ordering::Relaxed));
        let mut stale = Vec::new();
        let mut forgotten = Vec::new();
        while let Some(oldest) = answered.messages.get(answered.bare).copied()
            && (now.duration_since(oldest.since) > limits::DEDUPE_ANSWER
                || answered.bytes > limits::DEDUPE_ANSWER_BYTES)
        {
            answered.bare += 1;
            answered.bytes -= oldest.bytes;
            stale.push(oldest);
        }
        while let Some(oldest) = answered.messages.front().copied()
            && (now.duration_since(oldest.since) > kept
                || answered.messages.len() > limits::DEDUPE_ENTRIES)
        {
            answered.messages.pop_front();
            match answered.bare.checked_sub(1) {
                Some(bare) => answered.bare = bare,
                None => answered.bytes -= oldest.bytes,
            }
            forgotten.push(oldest);
        }
        // The table has locks of its own, which are never waited for under this one.
        drop(answered);
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
        self.flight.land(Some(response.clone()));
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        // A repeat whose own deadline came may have settled it before.
        if let Some(Some(response)) = self.flight.landed.get() {
            let (since, bytes) = (Instant::now(), response.body.len());
            let (claim, identity) = (self.claim, self.identity);
            self.dedupe.remember(Remembered { since, claim, identity, bytes });
        } else {
            let claim = self.claim;
            self.dedupe.messages.remove_if(&self.identity, |_, slot| slot.claim == claim);
            self.flight.land(None);
        }
    }
}

impl Flight {
    /// Gives the answer, or says that there is none. A second landing changes nothing: the first one went out.
    pub fn land(&self, response: Option<Response>) {
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
