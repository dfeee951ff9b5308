//! What the engine is told and what it says.

use crate::config::Secret;
use std::time::Duration;
use wxedge_wechat::api::errcode::Asked;

/// Where a credential comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `/cgi-bin/stable_token`.
    StableToken,
    /// `/cgi-bin/token`: knows no force, and every fetch makes a new token.
    Token,
    /// `/cgi-bin/ticket/getticket`: fetched when first asked for, then kept fresh while it is asked for.
    Ticket,
}

/// What the configuration says of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Where it comes from.
    pub source: Source,
    /// A hash of appid and secret: with another one a stop ends.
    pub configuration: u64,
}

/// An order to ask WeChat. With `force`, [`super::Engine::saved`] has to be durable before the request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an order that is not carried out counts as lost only after a while"]
pub struct Fetch {
    /// Its number, for [`super::Engine::fetched`].
    pub flight: u64,
    /// `force_refresh`.
    pub force: bool,
}

/// What WeChat handed out.
#[derive(Debug)]
pub struct Issued {
    /// The token or ticket.
    pub value: Secret,
    /// `expires_in`, in seconds, as it came.
    pub expires_in_s: i64,
}

/// What to do for somebody who needs a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Use the value there is, which has this generation.
    Use(u64),
    /// Wait for the fetch that runs, then ask again.
    Wait,
    /// Fetch, then ask again.
    Fetch(Fetch),
    /// Go without.
    Refused(Why),
}

/// Why there is no value, or no better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// WeChat has just handed out the very value that it rejects.
    Confirmed,
    /// After a failure, or because values are rejected one after the other; asked again after this long.
    Pausing(Duration),
    /// Not before the configuration changes or an operator asks.
    Stopped,
}

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: it is not the answer that is waited for.
    Ignored,
    /// There is a new value.
    New,
    /// There is a new value, and another system had it made: the old one had long to live.
    Foreign,
    /// The value there was goes on. When it was rejected and may be forced, the order to do so.
    Confirmed(Option<Fetch>),
    /// There was no value in it. [`super::Engine::status`] says why.
    Failed,
}

impl Source {
    pub(super) fn asked(self) -> Asked {
        match self {
            Source::StableToken | Source::Token => Asked::Token,
            Source::Ticket => Asked::Ticket,
        }
    }
}

impl Outcome {
    /// Every name that [`Outcome::name`] gives.
    pub const NAMES: [&'static str; 4] = ["new", "foreign", "confirmed", "failed"];

    /// The name in metrics and events; none for what is ignored.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Outcome::Ignored => None,
            Outcome::New => Some("new"),
            Outcome::Foreign => Some("foreign"),
            Outcome::Confirmed(_) => Some("confirmed"),
            Outcome::Failed => Some("failed"),
        }
    }
}
