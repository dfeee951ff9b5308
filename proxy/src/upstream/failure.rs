//! Why the app gave no answer.

use crate::limits;
use std::time::Duration;

/// What a failure means for a message that the app has not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is delivered again.
    Redeliver {
        /// Whether the app itself is in trouble, so that the failure counts for the circuit breaker.
        counts: bool,
        /// Since the message arrived, where that is shorter than `spool.give_up_after_s`.
        at_most: Option<Duration>,
    },
    /// The app will never take it: a dead letter.
    Dead,
}

/// One reason for each way a call to the app fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The name does not resolve.
    #[error("the app's name does not resolve")]
    Dns,
    /// The resolver does not answer.
    #[error("the app's name did not resolve in time")]
    DnsTimeout,
    /// The connection is refused, or its TLS fails.
    #[error("the app refuses the connection")]
    Connect,
    /// The connection is not taken in time.
    #[error("the app did not take the connection in time")]
    ConnectTimeout,
    /// No complete answer in time.
    #[error("the app did not answer in time")]
    Timeout,
    /// An answer whose status is not 2xx.
    #[error("the app answered {0}")]
    Status(u16),
    /// An answer that is no HTTP, too long, or no valid reply.
    #[error("the app's answer is not valid")]
    Invalid,
    /// The connection broke before the answer was complete.
    #[error("the app closed the connection before its answer was complete")]
    Reset,
}

impl Failure {
    /// The names in metrics, in the order of [`Failure::index`].
    pub const REASONS: [&'static str; 8] = [
        "dns",
        "dns_timeout",
        "connect",
        "connect_timeout",
        "timeout",
        "status",
        "invalid",
        "reset",
    ];

    /// The name in metrics, logs and events.
    pub fn reason(&self) -> &'static str {
        Self::REASONS[self.index()]
    }

    /// What becomes of the message.
    ///
    /// A status is the app's own word: with 5xx, 429 and 408 it is in trouble; 401, 403 and 404 it says also while it
    /// is being deployed or its keys are changed; any other 3xx or 4xx is about this message, and would be said
    /// again.
    pub fn fate(&self) -> Fate {
        match self {
            Failure::Status(401 | 403 | 404) => {
                Fate::Redeliver { counts: false, at_most: Some(limits::TURNED_AWAY) }
            }
            Failure::Status(408 | 429) => Fate::Redeliver { counts: true, at_most: None },
            Failure::Status(300..=499) => Fate::Dead,
            Failure::Status(_)
            | Failure::Dns
            | Failure::DnsTimeout
            | Failure::Connect
            | Failure::ConnectTimeout
            | Failure::Timeout
            | Failure::Invalid
            | Failure::Reset => Fate::Redeliver { counts: true, at_most: None },
        }
    }

    /// The place in [`Failure::REASONS`].
    pub fn index(&self) -> usize {
        match self {
            Failure::Dns => 0,
            Failure::DnsTimeout => 1,
            Failure::Connect => 2,
            Failure::ConnectTimeout => 3,
            Failure::Timeout => 4,
            Failure::Status(_) => 5,
            Failure::Invalid => 6,
            Failure::Reset => 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_decides_what_becomes_of_the_message() {
        let again = Fate::Redeliver { counts: true, at_most: None };
        let for_a_while =
            Fate::Redeliver { counts: false, at_most: Some(Duration::from_secs(600)) };
        for status in 300..=999 {
            let expected = match status {
                401 | 403 | 404 => for_a_while,
                408 | 429 | 500.. => again,
                _ => Fate::Dead,
            };
            assert_eq!(Failure::Status(status).fate(), expected, "{status}");
        }
    }

    #[test]
    fn without_an_answer_the_app_has_not_taken_it() {
        for failure in [
            Failure::Dns,
            Failure::DnsTimeout,
            Failure::Connect,
            Failure::ConnectTimeout,
            Failure::Timeout,
            Failure::Invalid,
            Failure::Reset,
        ] {
            assert_eq!(
                failure.fate(),
                Fate::Redeliver { counts: true, at_most: None },
                "{failure}"
            );
        }
    }
}
