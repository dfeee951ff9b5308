//! Why a token or ticket endpoint gave none, what somebody should do about it, and how long to leave WeChat alone.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{Answer, BUSY, is_token_rejected};

const MINUTE: Duration = Duration::from_secs(60);
const TEN_MINUTES: Duration = Duration::from_secs(600);
/// WeChat's own messages speak of up to 24 hours; what an operator mends should be found mended sooner.
const HOUR: Duration = Duration::from_secs(3600);

/// Which endpoint refused: the same errcode means different things on different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `/cgi-bin/stable_token` or `/cgi-bin/token`, with appid and secret.
    Token,
    /// `/cgi-bin/ticket/getticket`, with an access token.
    Ticket,
}

/// Why there is no new token or ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    asked: Asked,
    errcode: Option<i64>,
    message: String,
}

/// How long an endpoint that refused is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Until the configuration changes or an operator asks: the same question would get the same answer.
    Stop,
    /// This long.
    For(Duration),
    /// A second at first, doubled each time up to a minute.
    Backoff,
}

/// What an errcode of these endpoints is about.
#[derive(Clone, Copy)]
enum Class {
    Secret,
    Appid,
    Request,
    AllowList,
    SecretFrozen,
    AccountLimited,
    Confirmation,
    Denied,
    Unauthorized,
    Quota,
    Rate,
    AccessToken,
    Busy,
    Unknown,
    Transport,
}

impl Refusal {
    /// WeChat answered with an error.
    #[must_use]
    pub fn answered(asked: Asked, answer: &Answer<'_>) -> Refusal {
        Refusal { asked, errcode: Some(answer.errcode), message: answer.shown() }
    }

    /// There was no answer that can be read: no connection, no time, no JSON, no token in it. Whether WeChat acted is
    /// not known.
    #[must_use]
    pub fn unanswered(asked: Asked, why: &'static str) -> Refusal {
        Refusal { asked, errcode: None, message: why.to_owned() }
    }

    /// WeChat's errcode; none without an answer.
    #[must_use]
    pub const fn errcode(&self) -> Option<i64> {
        self.errcode
    }

    /// WeChat's message as it is shown; without an answer what is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether a ticket endpoint did not take the access token. That token has to be looked after, not the ticket.
    #[must_use]
    pub fn is_access_tokens(&self) -> bool {
        matches!(self.class(), Class::AccessToken)
    }

    /// Whether it says that too much was asked, in a day or a minute.
    #[must_use]
    pub fn is_quota(&self) -> bool {
        matches!(self.class(), Class::Quota | Class::Rate)
    }

    /// How long to leave the endpoint alone.
    #[must_use]
    pub fn pause(&self) -> Pause {
        match self.class() {
            Class::Secret | Class::Appid | Class::Request => Pause::Stop,
            Class::AllowList | Class::Rate => Pause::For(MINUTE),
            Class::SecretFrozen
            | Class::AccountLimited
            | Class::Confirmation
            | Class::Unauthorized => Pause::For(TEN_MINUTES),
            Class::Denied | Class::Quota => Pause::For(HOUR),
            Class::AccessToken | Class::Busy | Class::Unknown | Class::Transport => Pause::Backoff,
        }
    }

    /// What to do about it, in one English sentence.
    #[must_use]
    pub fn action(&self) -> String {
        match self.class() {
            Class::Secret => "Correct the account's `secret` (AppSecret): WeChat does not accept it.",
            Class::Appid => "Correct the account's `appid`: WeChat does not know it.",
            Class::Request => "Check the account's `appid` and `secret`: WeChat refuses the request.",
            Class::AllowList => return self.allow_list_action(),
            Class::SecretFrozen => "Unfreeze the AppSecret in WeChat's console: it is frozen.",
            Class::AccountLimited => "Look for a notice in WeChat's console: the account is limited or frozen.",
            Class::Confirmation => "Ask an administrator of the account to confirm this machine's calls in WeChat.",
            Class::Denied => "Ask the account's administrator, who refused this machine's calls, to allow them.",
            Class::Unauthorized => "Check in WeChat's console that the account may use this API: it may not, or was banned.",
            Class::Quota => "Wait until midnight in Beijing or clear the quota: the day's calls are used up.",
            Class::Rate => "Look for another system that uses this appid if this lasts: too many calls a minute.",
            Class::AccessToken => "Look at the account's access token: WeChat did not accept it here.",
            Class::Busy => "Wait: WeChat is busy.",
            Class::Unknown => return format!("Look up what WeChat says: {self}."),
            Class::Transport => {
                return format!("Check the network, DNS and egress proxy towards WeChat: {self}.");
            }
        }
        .to_owned()
    }

    fn allow_list_action(&self) -> String {
        match address(&self.message) {
            Some(ip) => format!("Add {ip} to the account's IP allow-list in WeChat's console."),
            None => "Add this machine's public address to the account's IP allow-list in WeChat's console.".to_owned(),
        }
    }

    fn class(&self) -> Class {
        match (self.asked, self.errcode) {
            (_, None) => Class::Transport,
            (Asked::Ticket, Some(errcode)) if is_token_rejected(errcode) => Class::AccessToken,
            (_, Some(errcode)) => match errcode {
                40001 | 40125 | 41004 => Class::Secret,
                40013 | 41002 => Class::Appid,
                40002 => Class::Request,
                40164 | 61004 => Class::AllowList,
                40243 => Class::SecretFrozen,
                50002 => Class::AccountLimited,
                89501 | 89503 => Class::Confirmation,
                89506 | 89507 => Class::Denied,
                48001 | 48004 => Class::Unauthorized,
                45009 => Class::Quota,
                45011 => Class::Rate,
                BUSY => Class::Busy,
                _ => Class::Unknown,
            },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errcode {
            Some(errcode) => write!(f, "errcode {errcode}, {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// The first IP address in a message such as `invalid ip 47.94.148.108 ipv6 ::ffff:47.94.148.108, not in whitelist` or
/// `access clientip is not registered requestIP: 47.94.148.108`.
fn address(message: &str) -> Option<IpAddr> {
    message
        .split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')))
        .find_map(|word| {
            let address = word.parse::<IpAddr>();
            address.or_else(|_| word.trim_matches([':', '.']).parse()).ok()
        })
        .map(|ip| ip.to_canonical())
}
