//! Why the app gave no answer.

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
