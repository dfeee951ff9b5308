//! Why WeChat gave no answer.

/// One reason for each way a call to WeChat fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The name does not resolve.
    #[error("the name of WeChat's server does not resolve")]
    Dns,
    /// The resolver does not answer.
    #[error("the name of WeChat's server did not resolve in time")]
    DnsTimeout,
    /// The connection is refused.
    #[error("WeChat's server refuses the connection")]
    Connect,
    /// The connection, TLS included, is not there in time.
    #[error("WeChat's server did not take the connection in time")]
    ConnectTimeout,
    /// TLS fails: a certificate that is not trusted, or none.
    #[error("TLS to WeChat's server fails; its certificate may not be trusted")]
    Tls,
    /// The egress proxy does not connect us.
    #[error("the egress proxy (wechat.proxy) does not connect to WeChat's server")]
    Proxy,
    /// No answer, or no more of it, in time.
    #[error("WeChat did not answer in time; the call may have been executed")]
    Timeout,
    /// An answer that is no HTTP, or too long.
    #[error("WeChat's answer is not valid HTTP")]
    Invalid,
    /// The connection broke before the answer was complete.
    #[error(
        "WeChat closed the connection before its answer was complete; the call may have been executed"
    )]
    Reset,
}

impl Failure {
    /// The name for operators.
    pub fn reason(&self) -> &'static str {
        match self {
            Failure::Dns => "dns",
            Failure::DnsTimeout => "dns_timeout",
            Failure::Connect => "connect",
            Failure::ConnectTimeout => "connect_timeout",
            Failure::Tls => "tls",
            Failure::Proxy => "proxy",
            Failure::Timeout => "timeout",
            Failure::Invalid => "invalid",
            Failure::Reset => "reset",
        }
    }

    /// Whether there was no connection, so that nothing of the call can have arrived.
    pub fn is_unsent(&self) -> bool {
        match self {
            Failure::Dns
            | Failure::DnsTimeout
            | Failure::Connect
            | Failure::ConnectTimeout
            | Failure::Tls
            | Failure::Proxy => true,
            Failure::Timeout | Failure::Invalid | Failure::Reset => false,
        }
    }
}

impl From<crate::upstream::Failure> for Failure {
    /// What a lookup says.
    fn from(failure: crate::upstream::Failure) -> Failure {
        match failure {
            crate::upstream::Failure::DnsTimeout => Failure::DnsTimeout,
            _ => Failure::Dns,
        }
    }
}
