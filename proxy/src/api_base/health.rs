//! Whether a base is believed to be up. With hysteresis, so that one lost packet moves nothing and a base that comes and
//! goes is left alone until it stays.

use crate::limits;

/// What is believed of a base, and how firmly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Health {
    up: bool,
    /// Attempts in a row that spoke against it.
    against: u32,
}

impl Default for Health {
    fn default() -> Self {
        Health { up: true, against: 0 }
    }
}

impl Health {
    /// An attempt reached the base, or did not. Says what is believed now, when that has changed.
    pub(super) fn note(&mut self, reached: bool) -> Option<bool> {
        if reached == self.up {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let enough = if self.up { limits::API_BASE_DOWN_AFTER } else { limits::API_BASE_UP_AFTER };
        if self.against < enough {
            return None;
        }
        *self = Health { up: reached, against: 0 };
        Some(reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(attempts: &[bool]) -> Vec<(usize, bool)> {
        let mut health = Health::default();
        let note = |(place, reached): (usize, &bool)| Some((place, health.note(*reached)?));
        attempts.iter().enumerate().filter_map(note).collect()
    }

    #[test]
    fn it_takes_two_failures_in_a_row_to_go_down_and_three_successes_to_come_back() {
        assert_eq!(changes(&[false, true, false, true, false, true]), []);
        assert_eq!(changes(&[true, false, false, false]), [(2, false)]);
        let flapping = [false, false, true, true, false, true, true, true, true];
        assert_eq!(changes(&flapping), [(1, false), (7, true)]);
    }
}
