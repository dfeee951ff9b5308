//! Why WeChat did not send a customer-service message. Whatever the errcode, the message was not sent.

use std::time::Duration;

use super::{BUSY, is_token_rejected};

/// Calls of a minute are used up until the next one.
const MINUTE: Duration = Duration::from_secs(60);

/// What an errcode of `/cgi-bin/message/custom/send` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unsent {
    /// WeChat is busy.
    Busy,
    /// Too many calls this minute.
    Rate,
    /// The access token is missing or not valid.
    Token,
    /// The user's window has closed, or the user does not follow any more.
    Window,
    /// The user's window has no message left.
    Count,
    /// The account may not send customer-service messages.
    Unauthorized,
    /// The day's calls are used up.
    Quota,
    /// Anything else: the user, the content, the account.
    Other,
}

impl Unsent {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Busy,
        Self::Rate,
        Self::Token,
        Self::Window,
        Self::Count,
        Self::Unauthorized,
        Self::Quota,
        Self::Other,
    ];

    /// The reason behind an errcode other than 0.
    #[must_use]
    pub const fn of(errcode: i64) -> Self {
        match errcode {
            BUSY => Self::Busy,
            45011 => Self::Rate,
            41001 => Self::Token,
            _ if is_token_rejected(errcode) => Self::Token,
            45015 => Self::Window,
            45047 => Self::Count,
            48001 | 48004 => Self::Unauthorized,
            45009 => Self::Quota,
            _ => Self::Other,
        }
    }

    /// Whether the same message may be taken later.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Busy | Self::Rate | Self::Token)
    }

    /// How long WeChat wants to be left alone, where it says so.
    #[must_use]
    pub const fn pause(self) -> Option<Duration> {
        match self {
            Self::Rate => Some(MINUTE),
            _ => None,
        }
    }

    /// The name for operators.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Rate => "rate",
            Self::Token => "token",
            Self::Window => "window",
            Self::Count => "count",
            Self::Unauthorized => "unauthorized",
            Self::Quota => "quota",
            Self::Other => "refused",
        }
    }
}
