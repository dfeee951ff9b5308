//! Signatures that were used, for plain mode.
//!
//! In plain mode a signature covers Token, timestamp and nonce, not the body: whoever has seen one valid URL could
//! post anything with it. So a signature is bound to the first body that comes with it, and one that verified a URL
//! serves no message.

use crate::limits;
use dashmap::DashMap;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
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
    kept: Duration,
    uses: DashMap<Signature, Use>,
    order: Mutex<VecDeque<(Instant, Signature)>>,
}

impl Spent {
    /// Remembers signatures for `kept`.
    pub fn new(kept: Duration) -> Spent {
        Spent { kept, uses: DashMap::new(), order: Mutex::new(VecDeque::new()) }
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
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((since, oldest)) = order.front().copied()
            && (now.duration_since(since) > self.kept || order.len() >= limits::SPENT_SIGNATURES)
        {
            order.pop_front();
            self.uses.remove(&oldest);
        }
    }
}
