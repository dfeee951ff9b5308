//! How requests ended, as the metrics tell it: callbacks by outcome, the rest by status.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wxedge_tests::edge::Edge;

/// What ended how often; only what happened at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// The metrics now.
    pub(crate) fn of(edge: &Edge) -> Tally {
        let metrics = edge.metrics();
        let mut tally = Tally::default();
        for (name, label) in
            [("wxedge_callbacks_total", "outcome"), ("wxedge_unrouted_total", "status")]
        {
            for value in metrics.label_values(name, label) {
                let count = metrics.sum(name, &[(label, &value)]).unwrap_or_default();
                if count > 0.0 {
                    tally.0.insert(value, count as u64);
                }
            }
        }
        tally
    }

    /// One more that ended so.
    pub(crate) fn add(&mut self, end: &str) {
        *self.0.entry(end.to_owned()).or_default() += 1;
    }

    /// How many ended so.
    pub(crate) fn get(&self, end: &str) -> u64 {
        self.0.get(end).copied().unwrap_or_default()
    }

    /// All requests.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Waits until the metrics say this, because a callback is counted after its answer went out.
    pub(crate) fn agrees(&self, edge: &Edge) -> Result<(), Tally> {
        let begun = Instant::now();
        loop {
            let now = Tally::of(edge);
            if now == *self {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(2) {
                return Err(now);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
