//! `signature_failures`: 20 rejected callbacks in 60 s: wrong Token or key, a wrong clock, or an attack. Over when for
//! another minute, all of it seen, no 60 s had 10 of them: what comes and goes around 20 is said once.

use super::book::{Level, Sign};
use super::window::Window;
use super::{Cause, Example, Kind};
use crate::edge::event::{Failure, Summary};
use crate::observation::Millis;
use serde::{Deserialize, Serialize};

const MANY: u64 = 20;
const FEW: u64 = 10;
const WINDOW_S: u64 = 60;

/// An account's rejected callbacks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Signatures {
    signature: Window<WINDOW_S>,
    replay: Window<WINDOW_S>,
    decrypt: Window<WINDOW_S>,
    firing: Option<Millis>,
    /// The most of 60 s since it fires: by signature, by time, by encryption.
    #[serde(default)]
    most: [u64; 3],
    /// When it last was, or may have been, too much to be over.
    busy: Millis,
    last: Millis,
    example: Option<Example>,
}

impl Signatures {
    pub(super) fn summary(&mut self, at: Millis, summary: &Summary) {
        for (outcome, window) in [
            ("rejected_signature", &mut self.signature),
            ("rejected_replay", &mut self.replay),
            ("rejected_decrypt", &mut self.decrypt),
        ] {
            let n = summary.outcome(outcome);
            if n > 0 {
                window.add(at, n);
                self.last = at;
            }
        }
        if self.firing.is_none() && self.sum(at) >= MANY {
            let windows = [&self.signature, &self.replay, &self.decrypt];
            self.firing = windows.iter().filter_map(|window| window.oldest(at)).min();
            self.most = [0; 3];
        }
        let now = [self.signature.sum(at), self.replay.sum(at), self.decrypt.sum(at)];
        if now.iter().sum::<u64>() > self.most.iter().sum() {
            self.most = now;
        }
    }

    /// Keeps the callback as an example.
    pub(super) fn failure(&mut self, failure: &Failure) {
        let rejected = ["rejected_signature", "rejected_replay", "rejected_decrypt"];
        if rejected.contains(&failure.outcome.as_str()) {
            self.example = Some(Example::of(failure));
        }
    }

    /// `seen_since` is since when all that happens is seen.
    pub(super) fn tick(&mut self, now: Millis, seen_since: Option<Millis>) {
        if seen_since.is_none() || self.sum(now) >= FEW {
            self.busy = now;
        }
        let calm_since = self.busy.max(seen_since.unwrap_or(now));
        if now.saturating_sub(calm_since) >= WINDOW_S * 1000 {
            self.firing = None;
        }
    }

    /// `clock_ahead_s` is how far the clock is ahead, when that is too far.
    pub(super) fn sign(
        &self,
        now: Millis,
        account: &str,
        clock_ahead_s: Option<i64>,
    ) -> Option<Sign> {
        let [signature, replay, decrypt] = self.most;
        Some(Sign {
            kind: Kind::SignatureFailures,
            account: Some(account.to_owned()),
            level: Level::Firing,
            severity: Kind::SignatureFailures.severity(),
            cause: Cause::Signatures { signature, replay, decrypt, clock_ahead_s },
            first: self.firing?,
            last: self.last,
            count: self.sum(now),
            window_s: WINDOW_S,
            example: self.example.clone(),
        })
    }

    fn sum(&self, now: Millis) -> u64 {
        self.signature.sum(now) + self.replay.sum(now) + self.decrypt.sum(now)
    }
}
