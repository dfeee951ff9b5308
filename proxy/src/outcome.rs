//! Every way a callback can end. This table is the operators' manual; the names are those of the metrics.
//!
//! | outcome | WeChat gets | WeChat sends it again | what it means |
//! |---|---|---|---|
//! | `verified` | 200 echostr | - | the URL was verified in WeChat's console |
//! | `replied` | 200 reply | no | the app's reply went out in time |
//! | `acknowledged` | 200 `success` | no | the app took it and had nothing to say |
//! | `joined` | what the first delivery got | no | a repeat; the app did not see it |
//! | `held` | nothing | yes | `join`: left unanswered so that WeChat's repeat picks the answer up |
//! | `fallback_deadline` | 200 `success` | no | the app did not answer by the deadline; the message is in the spool |
//! | `fallback_error` | 200 `success` | no | the app failed; the message is in the spool |
//! | `fallback_circuit_open` | 200 `success` | no | the app is believed to be down; the message is in the spool |
//! | `fallback_overload` | 200 `success` | no | over `max_in_flight`; the message is in the spool |
//! | `fallback_order` | 200 `success` | no | earlier messages of the user are in the spool, this one behind them |
//! | `rejected_source` | 403 | yes | the sender is not in the source-IP list |
//! | `rejected_timeout` | 408 | yes | the request did not arrive within 3.5 s |
//! | `rejected_signature` | 403 | yes | wrong Token, or not WeChat |
//! | `rejected_replay` | 403 | yes | outside the replay window, or a spent signature |
//! | `rejected_decrypt` | 403 | yes | wrong EncodingAESKey or appid |
//! | `rejected_malformed` | 400 | yes | not a message |
//! | `rejected_size` | 413 | yes | over `max_body_bytes` |
//! | `client_gone` | nothing | yes | the connection was closed before the answer |
//! | `unavailable` | 503 | yes | neither delivered nor stored |

/// How a callback ended. Exactly one a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The URL verification (GET) was answered.
    Verified,
    /// The app's reply went out.
    Replied,
    /// The app took the message and had nothing to say.
    Acknowledged,
    /// A repeated delivery got the first one's answer.
    Joined,
    /// Left unanswered, so that WeChat's repeat picks the answer up.
    Held,
    /// The app did not answer by the deadline; the message is in the spool.
    FallbackDeadline,
    /// The app failed; the message is in the spool.
    FallbackError,
    /// The app is believed to be down; the message is in the spool.
    FallbackCircuitOpen,
    /// Too many callbacks wait; the message is in the spool.
    FallbackOverload,
    /// The message is in the spool, behind earlier ones of its user.
    FallbackOrder,
    /// The sender's address is not allowed.
    RejectedSource,
    /// The request did not arrive in time.
    RejectedTimeout,
    /// The signature is wrong or missing.
    RejectedSignature,
    /// The timestamp is outside the window, or the signature was spent.
    RejectedReplay,
    /// No key decrypts the message, or it is for another appid.
    RejectedDecrypt,
    /// The message is not well-formed.
    RejectedMalformed,
    /// The body is too large.
    RejectedSize,
    /// The client left before the answer.
    ClientGone,
    /// Neither delivered nor stored.
    Unavailable,
}

impl Outcome {
    /// All outcomes, for metrics that exist from the start.
    pub const ALL: [Outcome; 19] = [
        Outcome::Verified,
        Outcome::Replied,
        Outcome::Acknowledged,
        Outcome::Joined,
        Outcome::Held,
        Outcome::FallbackDeadline,
        Outcome::FallbackError,
        Outcome::FallbackCircuitOpen,
        Outcome::FallbackOverload,
        Outcome::FallbackOrder,
        Outcome::RejectedSource,
        Outcome::RejectedTimeout,
        Outcome::RejectedSignature,
        Outcome::RejectedReplay,
        Outcome::RejectedDecrypt,
        Outcome::RejectedMalformed,
        Outcome::RejectedSize,
        Outcome::ClientGone,
        Outcome::Unavailable,
    ];

    /// The name in metrics, logs and events.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Verified => "verified",
            Outcome::Replied => "replied",
            Outcome::Acknowledged => "acknowledged",
            Outcome::Joined => "joined",
            Outcome::Held => "held",
            Outcome::FallbackDeadline => "fallback_deadline",
            Outcome::FallbackError => "fallback_error",
            Outcome::FallbackCircuitOpen => "fallback_circuit_open",
            Outcome::FallbackOverload => "fallback_overload",
            Outcome::FallbackOrder => "fallback_order",
            Outcome::RejectedSource => "rejected_source",
            Outcome::RejectedTimeout => "rejected_timeout",
            Outcome::RejectedSignature => "rejected_signature",
            Outcome::RejectedReplay => "rejected_replay",
            Outcome::RejectedDecrypt => "rejected_decrypt",
            Outcome::RejectedMalformed => "rejected_malformed",
            Outcome::RejectedSize => "rejected_size",
            Outcome::ClientGone => "client_gone",
            Outcome::Unavailable => "unavailable",
        }
    }

    /// The HTTP status WeChat gets.
    pub fn status(self) -> u16 {
        match self {
            Outcome::Verified
            | Outcome::Replied
            | Outcome::Acknowledged
            | Outcome::Joined
            | Outcome::FallbackDeadline
            | Outcome::FallbackError
            | Outcome::FallbackCircuitOpen
            | Outcome::FallbackOverload
            | Outcome::FallbackOrder => 200,
            Outcome::RejectedMalformed => 400,
            Outcome::RejectedSource
            | Outcome::RejectedSignature
            | Outcome::RejectedReplay
            | Outcome::RejectedDecrypt => 403,
            Outcome::RejectedTimeout => 408,
            Outcome::RejectedSize => 413,
            // Nobody reads it; nginx's number for the same thing keeps logs familiar.
            Outcome::ClientGone | Outcome::Held => 499,
            Outcome::Unavailable => 503,
        }
    }

    /// Whether operators should hear of it: a failure event is sent.
    pub fn is_failure(self) -> bool {
        !matches!(
            self,
            Outcome::Verified | Outcome::Replied | Outcome::Acknowledged | Outcome::Joined
        )
    }
}
