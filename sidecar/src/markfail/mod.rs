//! Whether WeChat has stopped pushing an account's callbacks.

use serde::{Deserialize, Serialize};

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
