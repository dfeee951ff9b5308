//! Signatures that were used, for plain mode.
//!
//! In plain mode a signature covers Token, timestamp and nonce, not the body: whoever has seen one valid URL could
//! post anything with it. So a signature is bound to the first body that comes with it, and one that verified a URL
//! serves no message.

use crate::limits;
use dashmap::DashMap;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use wxedge_wechat::signature::Signature;

/// What a signature was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A URL verification.
    Get,
    /// A message with this SHA-256.
    Post([u8; 32]),
}

impl Use {
    /// A message.
    pub fn post(body: &[u8]) -> Use {
        Use::Post(Sha256::digest(body).into())
    }
}

/// The signatures an account saw within its replay window.
#[derive(Debug)]
pub struct Spent {
    /// How long a signature is remembered, in milliseconds.
    kept_ms: AtomicU64,
    uses: DashMap<Signature, Use>,
    order: Mutex<VecDeque<(Instant, Signature)>>,
}

impl Spent {
    /// Remembers signatures for `kept`.
    pub fn new(kept: Duration) -> Spent {
        let spent =
            Spent { kept_ms: AtomicU64::new(0), uses: DashMap::new(), order: Mutex::default() };
        spent.keep(kept);
        spent
    }

    /// Remembers signatures for `kept` from now on, the ones there included.
    pub fn keep(&self, kept: Duration) {
        self.kept_ms.store(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Binds a signature to its first use. Says whether this use is that one.
    pub fn spend(&self, signature: Signature, new: Use) -> bool {
        let now = Instant::now();
        self.sweep(now);
        let mut first = false;
        let bound = *self.uses.entry(signature).or_insert_with(|| {
            first = true;
            new
        });
        if first {
            self.order.lock().unwrap_or_else(PoisonError::into_inner).push_back((now, signature));
        }
        bound == new
    }

    /// Forgets what is too old or too much.
    pub fn sweep(&self, now: Instant) {
        let kept = Duration::from_millis(self.kept_ms.load(Ordering::Relaxed));
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((since, oldest)) = order.front().copied()
            && (now.duration_since(since) > kept || order.len() >= limits::SPENT_SIGNATURES)
        {
            order.pop_front();
            self.uses.remove(&oldest);
        }
    }
}
