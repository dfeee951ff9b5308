//! Stage 5: the app sees a message once, however often WeChat sends it.
//!
//! The first delivery of a message claims it. A repeat joins: while the first one runs it waits for the same answer,
//! for 60 s afterwards it gets the kept answer, later a plain acknowledgement. A message that was neither delivered
//! nor stored is forgotten, so that its repeat is a first delivery again.
//!
//! Memory: 100 000 messages cost 31 MB, measured with encrypted replies, of which `DEDUPE_ANSWER_BYTES` are answers. After
//! 60 s, or when there are more, only a number is left of a message (`seen`): 10 to 20 bytes, and room for
//! `DEDUPE_SEEN` of them. At 5 000 a second answers go after 20 s, still longer than WeChat repeats.

mod seen;

use crate::connection::Response;
use crate::limits;
use crate::outcome::Outcome;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use seen::Seen;
use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
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
    /// Those that are in neither any more.
    seen: Mutex<Seen>,
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
    flight: Arc<Flight>,
}

/// The messages whose answers are kept, oldest first. Those that still run are bounded by `max_in_flight`.
#[derive(Debug, Default)]
struct Answered {
    messages: VecDeque<Remembered>,
    /// What the answers hold.
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
#[derive(Debug)]
pub struct Flight {
    /// When its first delivery began.
    pub begun: Instant,
    /// How many deliveries there were.
    deliveries: AtomicU32,
    /// How it ended, or why it ended without an answer.
    landed: OnceLock<Result<Landing, &'static str>>,
    landing: Notify,
    /// Who has the answer: see [`Flight::take`].
    taken: AtomicU8,
    /// A delivery must be answered now, whatever the app does.
    due: Notify,
}

/// The answer, and what it is to the delivery that the app was called for.
#[derive(Debug, Clone)]
pub struct Landing {
    /// How that delivery ends.
    pub outcome: Outcome,
    /// What every delivery gets.
    pub response: Response,
}

/// Nobody has the answer yet.
const FREE: u8 = 0;
/// It went out to a delivery.
const ANSWERED: u8 = 1;
/// It goes to the user as a late reply.
const LATE: u8 = 2;

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
            seen: Mutex::default(),
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
        self.messages.len() + self.seen().len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Claims a message for the delivery that began at `first_byte`; a repeat is counted.
    pub fn claim(self: &Arc<Self>, identity: Identity, first_byte: Instant) -> Claim {
        match self.messages.entry(identity) {
            Entry::Occupied(slot) => Claim::Again(slot.get().flight.clone()),
            Entry::Vacant(_) if self.seen().contains(seen::number(&identity)) => Claim::Answered,
            Entry::Vacant(slot) => {
                let flight = Arc::new(Flight::new(first_byte));
                let claim = self.claims.fetch_add(1, Ordering::Relaxed);
                slot.insert(Slot { claim, flight: flight.clone() });
                Claim::First(Claimed { dedupe: self.clone(), flight, identity, claim })
            }
        }
    }

    /// Forgets what is too old.
    pub fn sweep(&self, now: Instant) {
        self.forget(self.answered.lock().unwrap_or_else(PoisonError::into_inner), now);
        self.seen().sweep(now, self.kept());
    }

    /// Keeps the answer to a message, in the place of those that are too many for it.
    fn remember(&self, message: Remembered) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.bytes += message.bytes;
        answered.messages.push_back(message);
        self.forget(answered, message.since);
    }

    /// Forgets answers that are too old or too much; their messages stay known.
    fn forget(&self, mut answered: MutexGuard<'_, Answered>, now: Instant) {
        let mut stale = Vec::new();
        while let Some(oldest) = answered.messages.front().copied()
            && (now.duration_since(oldest.since) > limits::DEDUPE_ANSWER
                || answered.bytes > limits::DEDUPE_ANSWER_BYTES
                || answered.messages.len() > limits::DEDUPE_ENTRIES)
        {
            answered.messages.pop_front();
            answered.bytes -= oldest.bytes;
            stale.push(oldest);
        }
        // The table has locks of its own, which are never waited for under these.
        drop(answered);
        if stale.is_empty() {
            return;
        }
        let (mut known, kept) = (self.seen(), self.kept());
        stale.iter().for_each(|old| known.add(seen::number(&old.identity), old.since, kept));
        drop(known);
        for old in stale {
            self.messages.remove_if(&old.identity, |_, slot| slot.claim == old.claim);
        }
    }

    fn kept(&self) -> Duration {
        Duration::from_millis(self.kept_ms.load(Ordering::Relaxed))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimed {
    /// The message's flight.
    pub fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Gives every delivery of the message this answer.
    pub fn settle(self, outcome: Outcome, response: &Response) {
        self.flight.land(Ok(Landing { outcome, response: response.clone() }));
    }

    /// Ends without an answer: the next delivery is a first one again.
    pub fn abandon(self, reason: &'static str) {
        self.forget();
        self.flight.land(Err(reason));
    }

    fn forget(&self) {
        let claim = self.claim;
        self.dedupe.messages.remove_if(&self.identity, |_, slot| slot.claim == claim);
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        match self.flight.landed.get() {
            Some(Ok(landing)) => {
                let (since, bytes) = (Instant::now(), landing.response.body.len());
                let (claim, identity) = (self.claim, self.identity);
                self.dedupe.remember(Remembered { since, claim, identity, bytes });
            }
            Some(Err(_abandoned)) => {}
            None => {
                self.forget();
                self.flight.land(Err("cancelled"));
            }
        }
    }
}

impl Flight {
    fn new(begun: Instant) -> Flight {
        Flight {
            begun,
            deliveries: AtomicU32::new(1),
            landed: OnceLock::new(),
            landing: Notify::new(),
            taken: AtomicU8::new(FREE),
            due: Notify::new(),
        }
    }

    /// One more delivery; says which, counted from 1.
    pub fn join(&self) -> u32 {
        self.deliveries.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn land(&self, landing: Result<Landing, &'static str>) {
        let _first = self.landed.set(landing);
        self.landing.notify_waiters();
    }

    /// Waits for the answer; the reason when there will be none.
    pub async fn landed(&self) -> Result<Landing, &'static str> {
        let landing = self.landing.notified();
        match self.landed.get() {
            Some(landed) => landed.clone(),
            None => {
                landing.await;
                self.landed.get().cloned().unwrap_or(Err("cancelled"))
            }
        }
    }

    /// Takes the answer for a delivery. Not when it goes to the user as a late reply: twice would be once too often.
    pub fn take(&self) -> bool {
        let before =
            self.taken.compare_exchange(FREE, ANSWERED, Ordering::AcqRel, Ordering::Acquire);
        before != Err(LATE)
    }

    /// Takes the answer for a late reply. Not when a delivery has it.
    pub fn take_late(&self) -> bool {
        self.taken.compare_exchange(FREE, LATE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// A delivery cannot wait for the app any longer: it must be acknowledged.
    pub fn fall_due(&self) {
        self.due.notify_one();
    }

    /// Waits until a delivery can wait no longer. For the one who keeps the call.
    pub async fn due(&self) {
        self.due.notified().await;
    }
}

#[cfg(test)]
mod tests;
