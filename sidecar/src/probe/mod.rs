//! Looks from outside: at the public URLs as WeChat calls them, at WeChat's API, at the apps' names, at the clock.
//!
//! Every probe has a file and is a function that returns a [`Finding`]. [`look`] puts them in order for one target,
//! schedule says when which target is looked at, and [`run()`] does it.

pub mod callback_check;
pub mod clock;
pub mod dns;
pub mod echo;
mod exchange;
pub mod look;
mod run;
mod schedule;
pub mod tcp;
pub mod tls;
mod url;

pub use run::run;

use crate::config;
use crate::edge::client::Client;
use crate::observation::{Facts, Fault, FaultKind, Finding, Probe, excerpt};
use dns::Resolver;
use std::time::Duration;
use tls::Trust;

/// Where is looked from, and at which public URLs.
#[derive(Debug)]
pub struct Prober {
    /// Public URLs, and how often they are looked at.
    pub config: config::Probe,
    /// The system's resolver first, then the configured ones.
    pub resolvers: Vec<Resolver>,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// The edge, for what only it can sign or ask WeChat.
    pub edge: Client,
}

impl Prober {
    /// With the system's resolver and the configured ones.
    pub fn new(config: config::Probe, trust: Trust, edge: Client) -> Prober {
        let configured = config.dns_resolvers.iter().copied().map(Resolver::at);
        let resolvers = std::iter::once(Resolver::system()).chain(configured).collect();
        Prober { config, resolvers, trust, edge }
    }
}

/// What was found after `took`.
fn finding(probe: Probe, target: String, took: Duration, found: Found) -> Finding {
    let took_ms = took.as_secs_f64() * 1000.0;
    // To the microsecond: the rest is noise.
    let took_ms = (took_ms * 1000.0).round() / 1000.0;
    Finding { probe, account: None, target, took_ms, fault: found.fault, facts: found.facts }
}

/// The part of a finding that is about what was looked at.
#[derive(Debug, Default, PartialEq)]
struct Found {
    fault: Option<Fault>,
    facts: Facts,
}

impl From<Fault> for Found {
    fn from(fault: Fault) -> Found {
        Found { fault: Some(fault), facts: Facts::default() }
    }
}

impl Fault {
    fn new(kind: FaultKind, detail: impl Into<String>) -> Fault {
        Fault { kind, detail: excerpt(&detail.into()) }
    }
}
