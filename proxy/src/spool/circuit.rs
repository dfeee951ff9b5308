//! What the app's successes and failures mean for the callbacks that come, and what callbacks ask before they go to the app.

use super::AccountSpool;
use super::account::State;
use super::breaker::State as Circuit;
use crate::callback::judge::Subject;
use crate::outcome::Outcome;
use crate::upstream::{Failure, Fate};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl AccountSpool {
    /// How a callback ends that does not go to the app: because earlier ones of its user have not gone yet, or because the
    /// app is believed to be down.
    pub fn detour(&self, subject: &Subject<'_>) -> Option<Outcome> {
        if self.open.load(Ordering::Acquire) {
            // Without an entry to probe with, a live message is the probe. None is tried while the disk cannot be written.
            let live = !self.ground.store.is_writable();
            let user = live.then(|| self.user(subject));
            let mut state = self.state();
            let alone =
                user.map_or(!state.callbacks.has_untaken(), |user| !state.callbacks.holds(user));
            let probe = alone && {
                let before = state.breaker.state();
                state.breaker.try_probe(self.ground.now_ms()) && {
                    self.tell_circuit(before, &state);
                    true
                }
            };
            return (!probe).then_some(Outcome::FallbackCircuitOpen);
        }
        if !self.ground.others.are_gone() {
            return self.ground.others_wait(&self.appid).then_some(Outcome::FallbackOrder);
        }
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let user = self.user(subject);
        self.state().callbacks.holds(user).then_some(Outcome::FallbackOrder)
    }

    /// The app took a callback in time.
    pub fn app_succeeded(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        if self.open.load(Ordering::Acquire) {
            self.probe_ended(true);
        }
    }

    /// The app took a callback late, after its call was counted as failed at `failed_at`.
    pub fn app_succeeded_late(&self, failed_at: Option<Instant>) {
        let Some(at) = failed_at else { return self.app_succeeded() };
        let at = at.saturating_duration_since(self.ground.started).as_millis() as u64;
        self.turned_away.no_longer();
        self.state().breaker.took_back(at);
        if self.open.load(Ordering::Acquire) {
            self.probe_ended(true);
        }
    }

    /// The app failed, or did not answer by the deadline.
    pub fn app_failed(&self, failure: &Failure) {
        let counts = matches!(failure.fate(), Fate::Redeliver { counts: true, .. });
        // Of a probe every end counts, or the next one would wait as if it were lost.
        if !counts && !self.open.load(Ordering::Acquire) {
            return;
        }
        if counts {
            // It does not turn messages away, it is in trouble.
            self.turned_away.no_longer();
        }
        let now = self.ground.now_ms();
        let mut state = self.state();
        self.count_successes(&mut state, now);
        let before = state.breaker.state();
        if before != Circuit::Closed {
            state.breaker.probe_ended(false);
        } else if counts {
            state.breaker.failed(now);
        }
        self.tell_circuit(before, &state);
    }

    /// A redelivery has succeeded, or failed.
    pub(super) fn redelivered(&self, probe: bool, failure: Option<&Failure>) {
        match failure {
            Some(failure) => self.app_failed(failure),
            None if probe => self.probe_ended(true),
            None => self.app_succeeded(),
        }
    }

    /// A probe of the open circuit has ended, or a call that says as much.
    fn probe_ended(&self, success: bool) {
        if success {
            self.turned_away.no_longer();
        }
        let mut state = self.state();
        let before = state.breaker.state();
        state.breaker.probe_ended(success);
        if before != Circuit::Closed && state.breaker.state() == Circuit::Closed {
            state.callbacks.pull(self.ground.now_ms());
            state.unheard = false;
        }
        self.tell_circuit(before, &state);
    }

    pub(super) fn count_successes(&self, state: &mut State, now: u64) {
        let successes = self.successes.swap(0, Ordering::Relaxed);
        if successes > 0 {
            self.turned_away.no_longer();
            state.breaker.succeeded(now, successes.into());
            state.callbacks.succeeded(successes);
            if std::mem::take(&mut state.unheard) {
                state.callbacks.pull(now);
            }
        }
    }

    /// Says that the circuit has another state than before.
    pub(super) fn tell_circuit(&self, before: Circuit, state: &State) {
        let circuit = state.breaker.state();
        if circuit != before {
            self.open.store(circuit != Circuit::Closed, Ordering::Release);
            let name = self.name.load();
            self.ground.events.send("circuit", Some(&name), json!({"state": circuit.label()}));
            match (before, circuit) {
                (Circuit::Closed, Circuit::Open) => log::warn!(
                    "{name}: the app fails again and again; messages go to the spool until it takes one"
                ),
                (_, Circuit::Closed) => log::warn!("{name}: the app is back"),
                _ => {}
            }
            self.changed.notify_one();
        }
    }
}
