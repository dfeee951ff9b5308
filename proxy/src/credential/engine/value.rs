//! Tokens and tickets: the one that is current, and those it replaced.

use super::clock::{Moment, Now};
use crate::config::Secret;
use crate::limits;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::time::Duration;

/// A token or ticket that WeChat handed out.
#[derive(Debug, Clone)]
pub struct Value {
    pub(super) secret: Secret,
    pub(super) digest: Digest,
    pub(super) generation: u64,
    pub(super) fetched: Moment,
    pub(super) confirmed: Moment,
    pub(super) expires: Moment,
    /// It comes from an earlier process and no answer has spoken of it since.
    pub(super) restored: bool,
}

/// The SHA-256 of a token, to know it again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest([u8; 32]);

crate::opaque!(Digest);

/// Tokens that are no longer current, oldest first.
#[derive(Debug, Default)]
pub(super) struct Replaced(VecDeque<(Digest, Moment)>);

impl Value {
    /// The token or ticket itself.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Its number: the next value of this credential has a higher one, after a restart, too.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How much longer it is given out; zero when it is not.
    pub fn life(&self, now: Now) -> Duration {
        self.expires.since(now.moment())
    }
}

impl Digest {
    /// The digest of a token or ticket.
    pub fn of(value: &str) -> Digest {
        Digest(Sha256::digest(value.as_bytes()).into())
    }
}

impl Replaced {
    /// Remembers a token, and forgets what is too old or too much.
    pub(super) fn push(&mut self, digest: Digest, at: Moment) {
        self.0.retain(|(_, since)| at.since(*since) < limits::REPLACED_KEPT);
        while self.0.len() >= limits::REPLACED_ENTRIES {
            self.0.pop_front();
        }
        self.0.push_back((digest, at));
    }

    /// Those of the last 24 hours and when they were replaced, oldest first.
    pub(super) fn kept(&self, at: Moment) -> impl Iterator<Item = (Digest, Moment)> {
        let kept = move |(_, since): &(Digest, Moment)| at.since(*since) < limits::REPLACED_KEPT;
        self.0.iter().copied().filter(kept)
    }
}
