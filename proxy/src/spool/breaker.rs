//! The circuit breaker of one account: when the app takes nothing, it is not asked any more but once a second.
//!
//! Pure: no I/O, no clock. What a failure is, the caller decides. Times are milliseconds of a monotonic clock.
//!
//! | state | left by |
//! |---|---|
//! | closed | 10 failures in a row, or at least half of at least 20 calls within 30 s: open |
//! | open | the next probe, one a second: probing |
//! | probing | its end: closed after a success, else open |

use crate::limits;

/// How many seconds are counted.
const SECONDS: usize = limits::CIRCUIT_WINDOW.as_secs() as usize;

/// What becomes of calls to the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// They are made.
    Closed,
    /// None is made before the next probe.
    Open,
    /// One is being made, to see whether the app is back.
    Probing,
}

impl State {
    /// All states, in the order of their numbers.
    pub const ALL: [State; 3] = [State::Closed, State::Open, State::Probing];

    /// The name in metrics, status and events.
    pub fn label(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open => "open",
            State::Probing => "probing",
        }
    }
}

/// The circuit between the edge and one account's app.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// Failures since the last success, while closed.
    in_a_row: u32,
    window: [Second; SECONDS],
    /// When it opened or was last probed.
    tried: u64,
}

/// The calls that ended within one second.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    /// Which one, since the clock's start.
    at: u64,
    failed: u64,
    all: u64,
}

impl Default for Breaker {
    fn default() -> Breaker {
        let window = [Second::default(); SECONDS];
        Breaker { state: State::Closed, in_a_row: 0, window, tried: 0 }
    }
}

impl Breaker {
    /// Whether calls are made.
    pub fn state(&self) -> State {
        self.state
    }

    /// `count` calls have succeeded. Those that began before the circuit opened do not close it.
    pub fn succeeded(&mut self, now: u64, count: u64) {
        if self.state == State::Closed && count > 0 {
            self.in_a_row = 0;
            self.second(now).all += count;
        }
    }

    /// A call has failed. Gives the new state if that opens the circuit.
    pub fn failed(&mut self, now: u64) -> Option<State> {
        if self.state != State::Closed {
            return None;
        }
        self.in_a_row += 1;
        let second = self.second(now);
        second.all += 1;
        second.failed += 1;
        let oldest = (now / 1_000).saturating_sub(SECONDS as u64 - 1);
        let (mut failed, mut all) = (0, 0);
        for second in self.window.iter().filter(|second| second.at >= oldest) {
            failed += second.failed;
            all += second.all;
        }
        let often = all >= limits::CIRCUIT_CALLS && failed * 2 >= all;
        if self.in_a_row < limits::CIRCUIT_FAILURES && !often {
            return None;
        }
        self.tried = now;
        self.state = State::Open;
        Some(State::Open)
    }

    /// The call that counted as failed at `failed_at`, for want of an answer, has been answered well after all: it
    /// counts as a success of that time.
    pub fn took_back(&mut self, failed_at: u64) {
        if self.state == State::Closed {
            self.in_a_row = self.in_a_row.saturating_sub(1);
            let at = failed_at / 1_000;
            if let Some(second) = self.window.iter_mut().find(|second| second.at == at) {
                second.failed = second.failed.saturating_sub(1);
            }
        }
    }

    /// Whether the caller is to make a call now, with the oldest entry or, if none waits, with a live message, and to
    /// tell its end with [`Breaker::probe_ended`]: one a second, one at a time.
    pub fn try_probe(&mut self, now: u64) -> bool {
        let pause = match self.state {
            State::Closed => return false,
            State::Open => limits::CIRCUIT_PROBE,
            State::Probing => limits::CIRCUIT_PROBE_HANGS,
        };
        if u128::from(now.saturating_sub(self.tried)) < pause.as_millis() {
            return false;
        }
        self.tried = now;
        self.state = State::Probing;
        true
    }

    /// A probe has ended. Gives the new state if it is another.
    pub fn probe_ended(&mut self, success: bool) -> Option<State> {
        match (self.state, success) {
            (State::Closed, _) | (State::Open, false) => None,
            (State::Probing, false) => {
                self.state = State::Open;
                Some(State::Open)
            }
            (State::Open | State::Probing, true) => {
                *self = Breaker::default();
                Some(State::Closed)
            }
        }
    }

    /// Where calls that end now are counted.
    fn second(&mut self, now: u64) -> &mut Second {
        let at = now / 1_000;
        let second = &mut self.window[at as usize % SECONDS];
        if second.at < at {
            *second = Second { at, ..Second::default() };
        }
        second
    }
}

#[cfg(test)]
mod tests;
