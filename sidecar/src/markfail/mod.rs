//! Whether WeChat has stopped pushing an account's callbacks.

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
