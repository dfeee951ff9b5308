//! How improbable a silence is.

use serde::{Deserialize, Serialize};

use super::sized;

/// Levels of traffic, each √2 below the one before: down to one busy second in 6 min, below which no block can be found.
const LEVELS: usize = 20;
/// Above this rate, per second, all is level 0: a silence of 20 s is improbable anyway.
const TOP: f64 = 2.0;
/// Ages of a silence: 0, 1, 2, 3, 4–5, 6–7, 8–11, 12–15 … 3072 s and more.
const AGES: usize = 24;
/// A level is believed to the half when it was seen for so many seconds: in the first hours hardly anything is improbable.
const DOUBT_S: f64 = 3600.0;
/// Where a silence gets older than those that were seen, a callback is taken to be less likely from one age to the next: the
/// tails of gaps are longer than those of a Poisson process.
const TAIL: f64 = 0.8;
/// How many ends of silences that assumption is worth against those that were seen.
const TAIL_WORTH: f64 = 5.0;
/// What a day leaves of what was learned before it: three weeks count.
const KEPT_PER_DAY: f32 = 0.95;

/// The gaps between callbacks that were seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Gaps {
    /// By level and age: seconds that silences were of this age, and how many of them ended it.
    #[serde(deserialize_with = "sized::<_, _, { LEVELS * AGES }>")]
    cells: Vec<(f32, f32)>,
}

impl Gaps {
    pub(super) fn new() -> Gaps {
        Gaps { cells: vec![(0.0, 0.0); LEVELS * AGES] }
    }

    /// A callback ended a silence of `seconds`.
    fn learn(&mut self, level: usize, seconds: u32) {
        let last = age(seconds);
        for index in 0..=last {
            let Some((seen, ended)) = self.cells.get_mut(level * AGES + index) else { return };
            let until = if index == last { seconds + 1 } else { begin(index + 1) };
            *seen += (until - begin(index)) as f32;
            if index == last {
                *ended += 1.0;
            }
        }
    }

    /// A day is over.
    pub(super) fn fade(&mut self) {
        for (seen, ended) in &mut self.cells {
            *seen *= KEPT_PER_DAY;
            *ended *= KEPT_PER_DAY;
        }
    }

    /// The chance per second that a silence of this age ends, given the chance at the age before.
    fn chance(&self, level: usize, age: usize, before: f64) -> f64 {
        let (seen, ended) = self.cells.get(level * AGES + age).copied().unwrap_or_default();
        let (seen, ended) = (f64::from(seen), f64::from(ended));
        if age == 0 {
            return ended / (seen + DOUBT_S);
        }
        let expected = -(TAIL * (-before).ln_1p()).exp_m1();
        if expected > 0.0 { (TAIL_WORTH + ended) / (TAIL_WORTH / expected + seen) } else { 0.0 }
    }
}

/// The silence since the last callback.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Silence {
    /// Whether its begin was seen, or only that it was going on.
    pub(super) whole: bool,
    /// In seconds.
    pub(super) seconds: u32,
    /// Minus the logarithm of the chance that it lasts so long.
    pub(super) evidence: f64,
    level: usize,
    chance: f64,
    /// Callbacks per second before it.
    pub(super) usual_per_s: f64,
}

impl Silence {
    /// Begins after a second with callbacks, or where watching begins; `share` of the seconds had callbacks before.
    pub(super) fn begin(whole: bool, share: f64, usual_per_s: f64) -> Silence {
        Silence { whole, seconds: 0, evidence: 0.0, level: level(share), chance: 0.0, usual_per_s }
    }

    /// One second more, at a time when no more than `share` of the seconds have callbacks as a rule.
    pub(super) fn grow(&mut self, gaps: &Gaps, share: f64) {
        let level = level(share).max(self.level);
        let now = age(self.seconds);
        if level != self.level {
            self.level = level;
            self.chance = (0..=now).fold(0.0, |before, age| gaps.chance(level, age, before));
        } else if self.seconds == begin(now) {
            self.chance = gaps.chance(level, now, self.chance);
        }
        self.evidence -= (-self.chance).ln_1p();
        self.seconds = self.seconds.saturating_add(1);
    }

    /// A callback has ended it: what that says about silences after such traffic.
    pub(super) fn learn(&self, gaps: &mut Gaps) {
        if self.whole {
            gaps.learn(self.level, self.seconds);
        }
    }
}

/// The level of traffic with callbacks in this share of its seconds.
fn level(share: f64) -> usize {
    let per_s = -(-share).ln_1p();
    // A cast of what is too large, infinite or none stays within the levels.
    ((2.0 * (TOP / per_s).log2()) as usize).min(LEVELS - 1)
}

/// The number of the age that contains `seconds`.
fn age(seconds: u32) -> usize {
    let index = match seconds {
        0 | 1 => seconds,
        _ => 2 * seconds.ilog2() + ((seconds >> (seconds.ilog2() - 1)) & 1),
    };
    (index as usize).min(AGES - 1)
}

/// The first second of an age.
fn begin(age: usize) -> u32 {
    match age as u32 {
        index @ 0..2 => index,
        index => (2 + index % 2) << (index / 2 - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_has_an_age_that_begins_at_or_before_it() {
        for seconds in 0..5000 {
            let age = age(seconds);
            assert!(begin(age) <= seconds);
            assert!(age == AGES - 1 || seconds < begin(age + 1), "{seconds}");
        }
    }

    #[test]
    fn levels_fall_with_the_share_of_busy_seconds() {
        for (share, expected) in
            [(1.0, 0), (0.9, 0), (0.632, 2), (0.39, 4), (0.0, LEVELS - 1), (f64::NAN, 0)]
        {
            assert_eq!(level(share), expected, "{share}");
        }
    }

    #[test]
    fn evidence_is_that_of_a_poisson_process_where_gaps_are_of_one() {
        let mut gaps = Gaps::new();
        // A second is busy with a chance of 0.3: so many gaps of each length in 100 000.
        for length in 0..30_u32 {
            for _ in 0..(100_000.0 * 0.3 * 0.7_f64.powi(length as i32)) as u32 {
                gaps.learn(level(0.3), length);
            }
        }
        let mut silence = Silence::begin(true, 0.3, 0.36);
        (0..20).for_each(|_| silence.grow(&gaps, 0.3));
        let expected = -20.0 * 0.7_f64.ln();
        assert!(
            (silence.evidence / expected - 1.0).abs() < 0.1,
            "{} of {expected}",
            silence.evidence
        );
    }

    #[test]
    fn nothing_is_improbable_before_anything_was_learned() {
        let mut silence = Silence::begin(true, 0.9, 5.0);
        (0..10_000).for_each(|_| silence.grow(&Gaps::new(), 0.9));
        assert_eq!(silence.evidence, 0.0);
    }
}
