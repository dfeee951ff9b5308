//! How WeChat fails when it is told to.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::answer::Answer;
use super::quota::{STABLE_TOKEN, TOKEN};
use crate::app::Gate;

/// What fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every request.
    Everything,
    /// `/cgi-bin/token` and `/cgi-bin/stable_token`.
    TokenEndpoints,
    /// Requests with this path.
    Path(String),
}

impl Scope {
    fn holds(&self, path: &str) -> bool {
        match self {
            Scope::Everything => true,
            Scope::TokenEndpoints => matches!(path, TOKEN | STABLE_TOKEN),
            Scope::Path(own) => own == path,
        }
    }
}

impl From<&str> for Scope {
    fn from(path: &str) -> Scope {
        Scope::Path(path.to_owned())
    }
}

/// How it fails. Unless said otherwise WeChat has done what was asked, and the fault is in how it says so.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This error instead of doing anything, in WeChat's words.
    Errcode(i64),
    /// 40164 with this address, instead of doing anything.
    IpNotListed(Ipv4Addr),
    /// 61004 with this address, instead of doing anything: a third-party platform's call.
    ComponentIpNotListed(Ipv4Addr),
    /// This, instead of doing anything.
    Answer(Answer),
    /// HTTP 500 with a page for people, instead of doing anything.
    ServerError,
    /// HTTP 302 to this URL, instead of doing anything.
    Redirect(String),
    /// After a while.
    Slow(Duration),
    /// Once the gate is open.
    Behind(Gate),
    /// Never, and the connection stays.
    Silence,
    /// The connection is closed once the request's head is there; nothing is done.
    CloseAfterHead,
    /// The connection is closed instead of an answer.
    CloseUnanswered,
    /// The connection is closed in the middle of the answer's body.
    CutBody,
    /// Bytes that are no HTTP.
    Garbage,
    /// Chunked, without a length.
    Chunked,
    /// `connection: close`, and so it is.
    Close,
    /// The connection is closed after the answer although nothing said so.
    CloseUnannounced,
    /// A kept connection is closed when the next request has come on it; nothing is done. A first request is served.
    StaleKeepAlive,
    /// Before the request's body is read; the body is read and dropped afterwards.
    EarlyAnswer,
}

#[derive(Debug)]
struct Rule {
    scope: Scope,
    fault: Fault,
    /// For how many more requests; without a number until it is taken back.
    left: Option<u64>,
}

/// All that is to fail: first what is counted, in the order in which it was told, then the rest.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Rule>);

impl Faults {
    /// From now on; what was told so for the same scope is forgotten.
    pub(super) fn always(&mut self, scope: Scope, fault: Fault) {
        self.0.retain(|rule| rule.left.is_some() || rule.scope != scope);
        self.0.push(Rule { scope, fault, left: None });
    }

    /// For this many requests.
    pub(super) fn next(&mut self, scope: Scope, requests: u64, fault: Fault) {
        let counted = self.0.iter().take_while(|rule| rule.left.is_some()).count();
        self.0.insert(counted, Rule { scope, fault, left: Some(requests) });
    }

    pub(super) fn heal(&mut self, scope: &Scope) {
        self.0.retain(|rule| rule.scope != *scope);
    }

    pub(super) fn heal_all(&mut self) {
        self.0.clear();
    }

    /// The fault of a request; `kept` when it is not the first of its connection.
    pub(super) fn pick(&mut self, path: &str, kept: bool) -> Option<Fault> {
        let fits = |rule: &Rule| {
            rule.scope.holds(path) && (kept || !matches!(rule.fault, Fault::StaleKeepAlive))
        };
        let at = self.0.iter().position(fits)?;
        let rule = &mut self.0[at];
        let fault = rule.fault.clone();
        match &mut rule.left {
            Some(1) => drop(self.0.remove(at)),
            Some(left) => *left -= 1,
            None => {}
        }
        Some(fault)
    }
}
