//! How often something may be done within 24 hours.

use super::clock::Moment;
use std::collections::VecDeque;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// At most so many in any 24 hours, which is at most so many a day wherever the day begins.
#[derive(Debug)]
pub(super) struct Allowance {
    max: usize,
    spacing: Duration,
    /// When it was done, oldest first; at most `max`.
    spent: VecDeque<Moment>,
    /// WeChat said that it has had enough until then.
    closed: Moment,
}

impl Allowance {
    /// `max` in 24 hours, `spacing` apart.
    pub(super) fn new(max: usize, spacing: Duration) -> Allowance {
        Allowance { max, spacing, spent: VecDeque::new(), closed: Moment::PAST }
    }

    /// From when on it may be done again.
    pub(super) fn opens(&self) -> Moment {
        let spaced = self.spent.back().map_or(Moment::PAST, |last| last.plus(self.spacing));
        let within = match self.spent.front() {
            Some(oldest) if self.spent.len() >= self.max => oldest.plus(DAY),
            _ => Moment::PAST,
        };
        spaced.max(within).max(self.closed)
    }

    /// It is done now.
    pub(super) fn spend(&mut self, now: Moment) {
        while self.spent.len() >= self.max
            || self.spent.front().is_some_and(|oldest| now.since(*oldest) >= DAY)
        {
            self.spent.pop_front();
        }
        self.spent.push_back(now);
    }

    /// It may not be done until then, whatever was counted.
    pub(super) fn close(&mut self, until: Moment) {
        self.closed = until;
    }

    /// When it was done, oldest first.
    pub(super) fn spent(&self) -> impl Iterator<Item = Moment> {
        self.spent.iter().copied()
    }
}
