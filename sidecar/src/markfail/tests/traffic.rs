//! Traffic of made-up accounts, the same for the same seed on every machine.

use crate::observation::Millis;

pub(super) const DAY_S: u64 = 86_400;
/// Midnight in China, a Monday.
pub(super) const START: Millis = 1_767_542_400_000;

/// How callbacks come. Rates are per second.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// As they like, always alike.
    Steady,
    /// As a day goes: a tenth of the noon's at night, up and down in hours.
    Daily,
    /// Open from 8 to 23, and hardly anything (1 in 500) at night, with sharp edges.
    QuietNight,
    /// Switches between its rate and eight times as much: for 2 min, twice an hour.
    Switching,
    /// Batches of three on average in the same second.
    Batches,
    /// By day, and some times a day a storm: 30/s that calm down within 10 min, as when a template message went to all.
    Storms,
    /// People who write several messages, some seconds apart; by day.
    Talks,
    /// As a day goes, with a tenth on weekends.
    Weekdays,
}

pub(super) struct Traffic {
    shape: Shape,
    rate: f64,
    chance: Chance,
    /// Extra rate of a storm, whether switched on, people who talk.
    storm: f64,
    high: bool,
    talks: u32,
}

impl Traffic {
    pub(super) fn new(shape: Shape, rate: f64, seed: u64) -> Traffic {
        let chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ rate.to_bits());
        Traffic { shape, rate, chance, storm: 0.0, high: false, talks: 0 }
    }

    /// The rate at which callbacks come now, leaving out what is on top of it.
    pub(super) fn base(&self, at: Millis) -> f64 {
        let second = (at - START) / 1000;
        let hour = (second % DAY_S) as f64 / 3600.0;
        let daily = 0.55 - 0.45 * ((hour - 3.0) / 24.0 * std::f64::consts::TAU).cos();
        self.rate
            * match self.shape {
                Shape::Steady | Shape::Switching | Shape::Batches => 1.0,
                Shape::QuietNight if (8.0..23.0).contains(&hour) => 1.0,
                Shape::QuietNight => 0.002,
                Shape::Weekdays if second / DAY_S % 7 >= 5 => daily / 10.0,
                Shape::Daily | Shape::Storms | Shape::Talks | Shape::Weekdays => daily,
            }
    }

    /// Callbacks in the next second.
    pub(super) fn second(&mut self, at: Millis) -> u64 {
        let base = self.base(at);
        match self.shape {
            Shape::Switching => {
                let switch = if self.high { 1.0 / 120.0 } else { 1.0 / 1800.0 };
                self.high ^= self.chance.happens(switch);
                self.chance.poisson(if self.high { 8.0 * base } else { base })
            }
            Shape::Batches => {
                (0..self.chance.poisson(base)).map(|_| 1 + self.chance.geometric(2.0)).sum()
            }
            Shape::Storms => {
                self.storm =
                    if self.chance.happens(3.0 / DAY_S as f64) { 30.0 } else { self.storm * 0.99 };
                self.chance.poisson(base + self.storm)
            }
            Shape::Talks => {
                // Four messages a talk, 12 s apart.
                self.talks += self.chance.poisson(base / 4.0) as u32;
                let said =
                    (0..self.talks).filter(|_| self.chance.happens(1.0 / 12.0)).count() as u32;
                let ended = (0..said).filter(|_| self.chance.happens(0.25)).count() as u32;
                self.talks -= ended;
                u64::from(said)
            }
            _ => self.chance.poisson(base),
        }
    }
}

/// SplitMix64.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn happens(&mut self, chance: f64) -> bool {
        self.next() < chance
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.next() * bound as f64) as u64
    }

    fn geometric(&mut self, mean: f64) -> u64 {
        (self.next().max(f64::MIN_POSITIVE).ln() / (mean / (1.0 + mean)).ln()) as u64
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.next(), 0);
        while product > limit {
            product *= self.next();
            count += 1;
        }
        count
    }
}
