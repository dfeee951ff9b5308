//! How often `join` may leave WeChat without an answer: each time is a failure that WeChat sees and alarms about.

use crate::limits;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The visible failures of an account in the last [`limits::JOIN_WINDOW`].
#[derive(Debug, Default)]
pub struct Holds(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// Deliveries that are held and may yet be answered.
    open: usize,
    /// When others were left unanswered, oldest first. Bounded by `join_budget`.
    spent: VecDeque<Instant>,
}

/// The permission to leave one delivery unanswered. Dropped unspent, it is given back.
#[derive(Debug)]
pub struct HoldPermit(Arc<Holds>);

impl Holds {
    /// Permits one more, if that makes at most `budget` in the window.
    pub fn take(self: &Arc<Self>, budget: usize) -> Option<HoldPermit> {
        self.take_at(Instant::now(), budget)
    }

    fn take_at(self: &Arc<Self>, now: Instant, budget: usize) -> Option<HoldPermit> {
        let mut held = self.held();
        while held.spent.front().is_some_and(|at| now.duration_since(*at) > limits::JOIN_WINDOW) {
            held.spent.pop_front();
        }
        if held.open + held.spent.len() >= budget {
            return None;
        }
        held.open += 1;
        Some(HoldPermit(self.clone()))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HoldPermit {
    /// The delivery was left unanswered.
    pub fn spend(self) {
        self.0.held().spent.push_back(Instant::now());
    }
}

impl Drop for HoldPermit {
    fn drop(&mut self) {
        self.0.held().open -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_permit_is_given_back_unless_it_is_spent() {
        let holds = Arc::new(Holds::default());
        let [first, second] = [holds.take(2), holds.take(2)].map(Option::unwrap);
        assert!(holds.take(2).is_none());
        drop(first);
        second.spend();
        let third = holds.take(2).unwrap();
        assert!(holds.take(2).is_none(), "what was spent stays spent");
        third.spend();
        assert!(holds.take(2).is_none());
        assert!(holds.take(3).is_some(), "the budget is what it is now");
        assert!(holds.take(0).is_none());
    }

    #[test]
    fn what_was_spent_long_ago_is_forgotten() {
        let holds = Arc::new(Holds::default());
        let now = Instant::now();
        holds.take_at(now, 1).unwrap().spend();
        assert!(holds.take_at(now + limits::JOIN_WINDOW - Duration::from_secs(1), 1).is_none());
        assert!(holds.take_at(now + limits::JOIN_WINDOW + Duration::from_secs(1), 1).is_some());
    }
}
