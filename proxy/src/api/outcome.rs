//! How a call ends: exactly one of these, counted once.

/// The `result` of `wxedge_api_requests_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// WeChat answered, without an error code where one could be seen.
    Ok,
    /// WeChat answered with an `errcode` other than 0.
    Errcode,
    /// Answered by the edge itself: a token, a ticket, a JS-SDK configuration.
    Cached,
    /// The edge does not let it through: what it asks, or who asks.
    Refused,
    /// More calls than `rate_per_second`.
    RateLimited,
    /// An enforced budget is used up.
    BudgetUsedUp,
    /// No token, no room: WeChat was not asked.
    Unavailable,
    /// WeChat was not reached, did not answer, or refuses every token.
    Failed,
    /// The caller left before it was answered.
    ClientGone,
}

impl Outcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Outcome; 9] = [
        Outcome::Ok,
        Outcome::Errcode,
        Outcome::Cached,
        Outcome::Refused,
        Outcome::RateLimited,
        Outcome::BudgetUsedUp,
        Outcome::Unavailable,
        Outcome::Failed,
        Outcome::ClientGone,
    ];

    /// The name in metrics and log.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Errcode => "errcode",
            Outcome::Cached => "cached",
            Outcome::Refused => "refused",
            Outcome::RateLimited => "rate_limited",
            Outcome::BudgetUsedUp => "budget_used_up",
            Outcome::Unavailable => "unavailable",
            Outcome::Failed => "failed",
            Outcome::ClientGone => "client_gone",
        }
    }
}
