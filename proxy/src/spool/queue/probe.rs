//! Who an open circuit is probed with.

use super::agenda::Agenda;
use crate::limits;

/// The last probe, and what it leaves to the next.
#[derive(Default)]
pub(super) struct Probe {
    id: Option<u64>,
    /// Its failures in a row.
    failures: u32,
    /// Older ones have given way.
    from: u64,
}

impl Probe {
    /// Takes the oldest entry that has not given way; when all have, the oldest.
    pub(super) fn take(&mut self, agenda: &mut Agenda) -> Option<u64> {
        let id = match agenda.take_from(self.from) {
            Some(id) => id,
            None => {
                let id = agenda.take_from(0)?;
                *self = Probe::default();
                id
            }
        };
        if self.id != Some(id) {
            self.id = Some(id);
            self.failures = 0;
        }
        Some(id)
    }

    pub(super) fn failed(&mut self, id: u64) {
        if self.id == Some(id) {
            self.failures += 1;
            if self.failures >= limits::SPOOL_PROBE_FAILURES {
                self.from = id.saturating_add(1);
            }
        }
    }
}
