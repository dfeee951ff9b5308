//! The way out: nothing new comes in, and what runs has some time left.

use super::Edge;
use crate::limits;
use std::time::Instant;

impl Edge {
    /// The edge ends soon: nothing new comes in, and what runs has until `ends`. Counts once.
    pub fn begin_drain(&self, ends: Instant) {
        // A second call changes nothing.
        let _begun = self.drain_ends.set(ends);
    }

    /// Whether the edge ends soon.
    pub fn draining(&self) -> bool {
        self.drain_ends().is_some()
    }

    /// When whatever still runs is cut off, once the edge drains. One atomic load.
    pub fn drain_ends(&self) -> Option<Instant> {
        self.drain_ends.get().copied()
    }

    /// Waits until it is time to answer whatever still waits, so that it is answered before the edge ends. Never, where
    /// `grace_s` is longer than a callback waits anyway.
    pub async fn last_call(&self) {
        if self.grace > limits::ANSWER_BY + limits::DRAIN_ANSWER {
            std::future::pending().await
        }
        let ends = *self.drain_ends.wait().await;
        let last = ends.checked_sub(limits::DRAIN_ANSWER).unwrap_or(ends);
        tokio::time::sleep_until(last.into()).await;
    }

    /// Waits until the edge drains. May be dropped and called again at any time.
    pub async fn drain_begun(&self) {
        self.drain_ends.wait().await;
    }
}
