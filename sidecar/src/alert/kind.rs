//! The kinds of alerts.

use serde::{Deserialize, Serialize};

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A callback, API or app host cannot be resolved.
    DnsFailure,
    /// Resolution took over 5 s.
    DnsTimeout,
    /// The app or the public URL does not take connections.
    ConnectTimeout,
    /// The app does not answer by the deadline, or the public URL within 5 s.
    RequestTimeout,
    /// The app answers an error or no valid reply, or the public URL not with the `echostr`.
    ResponseInvalid,
    /// WeChat is believed to have stopped pushing.
    #[serde(rename = "markfail")]
    MarkFail,
    /// Failures that WeChat can see come near its threshold.
    #[serde(rename = "markfail_risk")]
    MarkFailRisk,
    /// The proxy's admin API does not answer.
    ProxyDown,
    /// A token cannot be refreshed.
    TokenFailure,
    /// Another system refreshes this appid.
    TokenForeignRefresh,
    /// A daily budget is nearly used up.
    QuotaLow,
    /// Acknowledged messages wait too long, are dead letters, or the store fills up.
    SpoolBacklog,
    /// Callbacks are rejected for their signature.
    SignatureFailures,
    /// The certificate of the public URL ends soon.
    TlsExpiry,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should look today.
    Medium,
    /// Users or WeChat are about to notice.
    High,
    /// They have.
    Critical,
}

impl Kind {
    /// All kinds, for metrics that exist from the start.
    pub const ALL: [Kind; 14] = [
        Kind::DnsFailure,
        Kind::DnsTimeout,
        Kind::ConnectTimeout,
        Kind::RequestTimeout,
        Kind::ResponseInvalid,
        Kind::MarkFail,
        Kind::MarkFailRisk,
        Kind::ProxyDown,
        Kind::TokenFailure,
        Kind::TokenForeignRefresh,
        Kind::QuotaLow,
        Kind::SpoolBacklog,
        Kind::SignatureFailures,
        Kind::TlsExpiry,
    ];

    /// The name in `/alerts`, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::DnsFailure => "dns_failure",
            Kind::DnsTimeout => "dns_timeout",
            Kind::ConnectTimeout => "connect_timeout",
            Kind::RequestTimeout => "request_timeout",
            Kind::ResponseInvalid => "response_invalid",
            Kind::MarkFail => "markfail",
            Kind::MarkFailRisk => "markfail_risk",
            Kind::ProxyDown => "proxy_down",
            Kind::TokenFailure => "token_failure",
            Kind::TokenForeignRefresh => "token_foreign_refresh",
            Kind::QuotaLow => "quota_low",
            Kind::SpoolBacklog => "spool_backlog",
            Kind::SignatureFailures => "signature_failures",
            Kind::TlsExpiry => "tls_expiry",
        }
    }

    /// How bad it is unless what was found says otherwise.
    pub fn severity(self) -> Severity {
        match self {
            Kind::MarkFail | Kind::ProxyDown | Kind::TokenFailure => Severity::Critical,
            Kind::DnsFailure
            | Kind::ConnectTimeout
            | Kind::RequestTimeout
            | Kind::ResponseInvalid
            | Kind::MarkFailRisk
            | Kind::SpoolBacklog
            | Kind::TlsExpiry => Severity::High,
            Kind::DnsTimeout
            | Kind::TokenForeignRefresh
            | Kind::QuotaLow
            | Kind::SignatureFailures => Severity::Medium,
        }
    }
}
