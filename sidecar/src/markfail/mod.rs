//! Whether WeChat has stopped pushing an account's callbacks.
//!
//! After too many failures WeChat stops for 60 s. Nobody says so; requests just do not come. The [`Detector`] of an account is
//! told of every second how many callbacks came, how many failures WeChat saw and whether anybody watched. It is a pure function
//! of that.
//!
//! # The model
//!
//! A second is busy when a callback came in it. A silence of age `a` has had `a` seconds without one since the last busy second.
//! How probable its end is in the next second is learned from the gaps that were seen, by age and by the level of traffic
//! before the gap:
//!
//! ```text
//! share     = least of: busy seconds of the last 5 min (exponential), usual busy seconds in this half-hour of the day (4 days)
//! level     = 2·log2(2 / -ln(1 - share)), 20 of them, each √2 of the one before
//! h(0)      = ended / (seen + 3600 s)
//! h(age)    = (5 + ended) / (5 / prior + seen),  prior = 1 - (1 - h(age before))^0.8     ages by √2: 1 2 3 4 6 8 12 16 24 …
//! evidence  = Σ -ln(1 - h(a)) over the seconds of the silence                            = -ln P(so long by itself)
//! needed    = 15 - 8·min(1, visible failures in the window / 80 % of `visible_failures`)
//! suspected = evidence ≥ needed, and the silence is from `silence` (20 s) to 15 min long
//! ```
//!
//! `seen` are the seconds that silences had this age at this level, `ended` how many ended at it; a day leaves 95 % of both.
//! Nothing is assumed of how gaps are distributed: where bursts and lulls alternate, silences that are old already end more
//! rarely, and that is what is counted. Where no silence was ever so old, `h` falls by `^0.8` from age to age, which makes the
//! tail heavier than that of a Poisson process. In the first hours `h` is small, and so nothing is improbable. At night, at
//! weekends and after a storm of events the level is another one, and with it what is improbable; the time of the day is needed
//! where the traffic of late says nothing about the next minute: at the end of a storm and of a working day.
//!
//! 15 is once in three million gaps: at 0.5/s, where it counts most, once in four months. 8 less after failures is what they say
//! beforehand: WeChat stops only after failures, but not all of them can be seen from here.
//!
//! # What is not learned
//!
//! * Seconds that nobody watched, and the silence that they interrupt.
//! * A silence that was suspected and has the length of a block, 55 s to 3 min. One that was shorter or longer was no block,
//!   and is learned from: a false alarm is not raised twice. After it the rate of late is forgotten, for it is another one.
//! * The rate, in the first 3 min of a suspected silence.
//!
//! # States
//!
//! [`State::AtRisk`] from 80 % of `visible_failures` in `window`. [`State::Suspected`] until a callback comes, however long: only
//! that disproves it, and a silence far longer than a block is worth saying even more; [`Evidence::silent_s`] tells it from one.
//! Then [`State::Recovered`] for 5 min, or until failures put it at risk again. A suspicion outlasts 60 s that nobody watches, no
//! longer: by then a block would be over.
//!
//! # What that is worth
//!
//! Simulated (`tests.rs` says how to repeat it), 25 weeks of each shape and 100 blocks out of the blue in every one of them:
//!
//! | traffic | blocks found within 30 s | while they last | false alarms a week |
//! |---|---|---|---|
//! | 1/s and more: steady, by day, quiet nights, bursts, batches, storms | 99.9 %, most after 20 s | 99.9 % | 0.01 |
//! | 0.5/s | 99 % (83 % in the first weeks) | 100 % | 0.04 |
//! | 0.35/s | 1 % | 100 % | 0 |
//! | 0.2/s | 0 % | 0 % | |
//! | 0.2/s, 30 visible failures before | 34 % | 100 % | |
//! | 0.003/s and 0.05/s, seven shapes, after the first week | | | 0.01; with three storms a day 0.14 |
//!
//! The first evening of an account that closes within a second is a false alarm about every other time: once. Between 0.003/s
//! and 0.2/s only failures make a block of 60 s suspect; what is suspected there are silences of minutes. Many blocks an hour
//! that are too weak to be suspected are learned as if they were traffic. A rate that falls to a tenth at once, at an hour at
//! which it has not done so for days (Saturday, 0:00), is a false alarm once in three weeks.

use serde::{Deserialize, Deserializer, Serialize};

use crate::observation::Millis;

pub use detector::Detector;

mod detector;
mod failures;
mod rate;
mod silence;
#[cfg(test)]
mod tests;

/// What is believed of WeChat's pushing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing speaks against it.
    #[default]
    Healthy,
    /// WeChat sees so many failures that it may stop.
    AtRisk,
    /// It is believed to have stopped.
    Suspected,
    /// It pushes again, since a short time.
    Recovered,
}

impl State {
    /// All states, for metrics that exist from the start.
    pub const ALL: [State; 4] = [State::Healthy, State::AtRisk, State::Suspected, State::Recovered];

    /// The name in metrics and pages.
    pub fn name(self) -> &'static str {
        match self {
            State::Healthy => "healthy",
            State::AtRisk => "at_risk",
            State::Suspected => "suspected",
            State::Recovered => "recovered",
        }
    }
}

/// What is known of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// When it began.
    pub at: Millis,
    /// Whether the whole of it was watched: no silence grows out of seconds that nobody watched.
    pub known: bool,
    /// Callbacks that came.
    pub arrivals: u64,
    /// Failures that WeChat can see.
    pub visible: u64,
}

/// What a state goes by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// For how long nothing came, in seconds, as far as it was watched.
    pub silent_s: f64,
    /// Callbacks per second before that.
    pub usual_per_s: f64,
    /// Failures in the window that WeChat can see.
    pub visible: u64,
    /// Of so many silences after such traffic one lasts so long by itself.
    pub improbability: f64,
    /// The improbability that is suspect.
    pub needed: f64,
    /// When the state was entered.
    pub since: Millis,
}

/// A list of `N`, as it was written down; of another length it is of another version.
fn sized<'de, D, T, const N: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Vec::deserialize(from)?;
    match list.len() {
        length if length == N => Ok(list),
        length => Err(serde::de::Error::invalid_length(
            length,
            &"a list of the length that this version writes",
        )),
    }
}
