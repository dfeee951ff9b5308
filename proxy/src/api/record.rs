//! One call's entry in metrics and log: made in one place, once.

use super::outcome::Outcome;
use super::refusal::Refusal;
use crate::edge::Edge;
use crate::lines::Line;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use wxedge_wechat::api::errcode::{self, Answer};
use wxedge_wechat::hex::Hex;

/// Begun with a call, finished with its outcome. Dropped unfinished, as when the caller's connection ends, it counts as
/// `client_gone`.
pub struct Record {
    edge: Arc<Edge>,
    begun: Instant,
    peer: IpAddr,
    /// Names the call in the log and in the edge's own errors.
    pub rid: Hex<32>,
    /// Whose call it is; empty until that is known.
    pub client: String,
    /// The account it is for; empty until that is known.
    pub account: String,
    /// The path, if it is a known one, else `other`.
    pub api: &'static str,
    errcode: Option<i64>,
    /// What the edge itself says instead of WeChat.
    pub refusal: Option<Refusal>,
    /// WeChat's id of the call, which its support asks for.
    wechat_rid: Option<String>,
    /// Requests that went to WeChat.
    pub attempts: u32,
    finished: bool,
}

crate::opaque!(Record);

impl Record {
    /// A call has come in.
    pub fn begin(edge: &Arc<Edge>, begun: Instant, peer: IpAddr) -> Record {
        Record {
            edge: edge.clone(),
            begun,
            peer,
            rid: Hex::of(&rand::random::<[u8; 16]>()),
            client: String::new(),
            account: String::new(),
            api: "other",
            errcode: None,
            refusal: None,
            wechat_rid: None,
            attempts: 0,
            finished: false,
        }
    }

    /// WeChat's last word: an error, or none.
    pub fn said(&mut self, error: Option<&Answer<'_>>) {
        self.errcode = error.map(|error| error.errcode);
        self.wechat_rid = error.and_then(|error| errcode::rid(&error.errmsg)).map(str::to_owned);
    }

    /// It is over.
    pub fn finish(mut self, outcome: Outcome) {
        self.record(outcome);
    }

    fn record(&mut self, outcome: Outcome) {
        self.finished = true;
        let took = self.begun.elapsed();
        let metrics = &self.edge.metrics.api;
        if let Some(errcode) = self.errcode {
            metrics.errcode(&self.account, errcode);
        }
        metrics.duration(&self.account, self.api, took);
        // The count last: who sees it finds the rest.
        metrics.request(&self.account, &self.client, self.api, outcome);
        let mut line = Line::begin();
        line.text("request_id", &self.rid);
        line.text("client", &self.client);
        line.text("account", &self.account);
        line.text("api", self.api);
        line.text("result", outcome.label());
        let own = self.refusal.as_ref();
        if let Some(errcode) = self.errcode.or(own.map(Refusal::errcode)) {
            line.integer("errcode", errcode);
        }
        if let Some(own) = own {
            line.sentence("reason", own.message());
        }
        if let Some(rid) = &self.wechat_rid {
            line.text("rid", rid);
        }
        line.integer("attempts", self.attempts.into());
        line.address("source", self.peer);
        line.ms("total_ms", took);
        self.edge.log.add(|log| log.extend_from_slice(&line.end()));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.finished {
            self.record(Outcome::ClientGone);
        }
    }
}
