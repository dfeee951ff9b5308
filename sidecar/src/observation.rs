//! What the sidecar has seen: everything that the alerts and the MarkFail detector are told, and all they go by. A stream of
//! observations that was written down leads to the same alerts again.

use crate::edge::event::Event;
use crate::edge::status::Status;
use crate::limits;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Milliseconds since 1970, by a clock that never jumps while the sidecar runs: the wall clock at its start and a monotonic
/// one from there.
pub type Millis = u64;

/// Something seen, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Observation {
    /// When.
    pub at: Millis,
    /// What.
    #[serde(flatten)]
    pub seen: Seen,
}

/// What can be seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "seen", rename_all = "snake_case")]
pub enum Seen {
    /// The edge's event stream is being read: from now on a second without a summary is one without callbacks.
    StreamOpened,
    /// The event stream has ended; until it is opened again nobody knows what happens.
    StreamClosed,
    /// An event of the stream.
    Event {
        /// The event.
        of: Event,
    },
    /// The edge's status, asked for every 3 s.
    Status {
        /// The answer.
        of: Box<Status>,
    },
    /// The edge's status could not be had.
    NoStatus {
        /// One word: `connect`, `timeout`, `unauthorized`, `status`, `invalid`.
        reason: String,
    },
    /// The addresses that WeChat calls an account from, as the edge knows them.
    CallbackIps {
        /// Whose.
        account: String,
        /// Addresses and networks, as WeChat writes them.
        list: Vec<String>,
    },
    /// A look from outside.
    Probe {
        /// What it found.
        of: Finding,
    },
}

/// What one probe of one target found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which probe.
    pub probe: Probe,
    /// For this account; none when it is for all of them.
    pub account: Option<String>,
    /// What was looked at, short and of a closed list: a host, `host:port`, a resolver's address and host. Never a whole URL.
    pub target: String,
    /// How long it took, in milliseconds; the whole timeout when that passed.
    pub took_ms: f64,
    /// What is wrong, if anything is.
    pub fault: Option<Fault>,
    /// Facts found on the way.
    #[serde(default)]
    pub facts: Facts,
}

/// The probes, in the order in which a `doctor` runs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A name, by one resolver.
    Dns,
    /// A TCP connection.
    Tcp,
    /// The TLS chain and how long it is valid.
    Tls,
    /// A signed `echostr` through the public URL.
    Echo,
    /// WeChat's own DNS lookup and ping of the callback URL.
    CallbackCheck,
    /// The clock here against WeChat's `Date`.
    Clock,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The kind of it.
    pub kind: FaultKind,
    /// In a few words, for people: no secret, no query string.
    pub detail: String,
}

/// The kinds of what can be wrong; each has a text that says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The name does not exist, or the resolver refuses.
    DnsFailure,
    /// The resolver does not answer within 5 s.
    DnsTimeout,
    /// The name has IPv6 addresses only.
    Ipv6Only,
    /// Resolvers answer differently.
    DnsDiffers,
    /// The connection is refused, or reset before it is of use.
    ConnectRefused,
    /// The connection is not taken within 3 s.
    ConnectTimeout,
    /// TLS fails: the name does not match, the chain is incomplete or not trusted.
    TlsInvalid,
    /// The certificate is over.
    TlsExpired,
    /// The certificate ends in under 14 days.
    TlsExpires,
    /// No answer within 5 s.
    AnswerTimeout,
    /// An answer that is a redirect.
    Redirect,
    /// An answer whose status is not 200.
    AnswerStatus,
    /// The `echostr` came back in quotes.
    EchoQuoted,
    /// Something else than the `echostr` came back.
    EchoWrong,
    /// The edge behind the URL does not know this signature: another Token, another account, another edge.
    SignatureRefused,
    /// The port is none that WeChat calls: 80 and 443.
    WrongPort,
    /// WeChat loses pings to the callback address.
    PingLoss,
    /// WeChat resolves the callback name to another address than the sidecar does.
    CheckDiffers,
    /// WeChat refuses to check: the errcode is in the detail.
    CheckRefused,
    /// The clock is off by more than callbacks may be.
    ClockSkew,
    /// The edge was needed for the probe and did not help.
    EdgeUnavailable,
}

/// What a probe learned besides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Addresses found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The HTTP status of the answer.
    pub status: Option<u16>,
    /// How the answer begins; at most 200 characters.
    pub response: Option<String>,
    /// Bytes of the answer.
    pub response_length: Option<u64>,
    /// When the certificate ends, in Unix seconds.
    pub not_after: Option<i64>,
    /// How far the clock here is ahead of the other one, in milliseconds.
    pub ahead_ms: Option<i64>,
    /// Whether the name is resolved by the system's own resolver.
    pub system: Option<bool>,
}

impl Probe {
    /// The name in metrics and pages.
    pub fn name(self) -> &'static str {
        match self {
            Probe::Dns => "dns",
            Probe::Tcp => "tcp",
            Probe::Tls => "tls",
            Probe::Echo => "echo",
            Probe::CallbackCheck => "callback_check",
            Probe::Clock => "clock",
        }
    }
}

/// The beginning of a text from elsewhere, on one line; at most [`limits::EXCERPT_CHARS`].
pub(crate) fn excerpt(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(visible).take(limits::EXCERPT_CHARS).collect()
}
