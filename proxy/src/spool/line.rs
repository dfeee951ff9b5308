//! A line in the log for every call that no callback's line tells of: a call that went on after its callback, a
//! redelivery, a late reply. Like all lines they are dropped before they slow anything, however fast the spool drains.

use super::AccountSpool;
use crate::lines::Line;
use std::time::Duration;
use wxedge_wechat::message::Kind;

/// How a call has ended.
#[derive(Debug)]
pub struct Ended<'a> {
    /// What was called for.
    pub call: Call,
    /// As in the call's `traceparent`, where it had one.
    pub request_id: Option<&'a str>,
    /// The message's kind, where it is known.
    pub kind: Option<Kind>,
    /// The message's.
    pub ce_id: &'a str,
    /// Which call this was, counted from 1.
    pub attempt: u32,
    /// As in the series of such calls.
    pub result: &'static str,
    /// Why it is no good one: a word of a closed list, or nothing.
    pub reason: &'static str,
    /// What the app answered, when that was not good.
    pub app_status: Option<u16>,
    /// What WeChat answered, when it refused.
    pub errcode: Option<i64>,
    /// How long it took.
    pub took: Duration,
}

/// What is called for.
#[derive(Debug, Clone, Copy)]
pub enum Call {
    /// The first call of a message, over after its callback was.
    Late,
    /// A later one.
    Redelivery,
    /// What the app said, to WeChat.
    LateReply,
}

impl Call {
    fn label(self) -> &'static str {
        match self {
            Call::Late => "late_call",
            Call::Redelivery => "redelivery",
            Call::LateReply => "late_reply",
        }
    }
}

impl AccountSpool {
    /// Adds the line of a call.
    pub fn log(&self, ended: &Ended<'_>) {
        let mut line = Line::begin();
        if let Some(id) = ended.request_id {
            line.text("request_id", id);
        }
        line.text("account", &self.name.load());
        line.text("call", ended.call.label());
        if let Some(kind) = ended.kind {
            line.text("kind", kind.label());
        }
        line.text("result", ended.result);
        if !ended.reason.is_empty() {
            line.text("reason", ended.reason);
        }
        if let Some(status) = ended.app_status {
            line.integer("app_status", status.into());
        }
        if let Some(errcode) = ended.errcode {
            line.integer("errcode", errcode);
        }
        line.integer("attempt", ended.attempt.into());
        // It may come from the disk, where it can be anything.
        line.sentence("ce_id", ended.ce_id);
        line.ms("total_ms", ended.took);
        self.ground.log.add(|log| log.extend_from_slice(&line.end()));
    }
}
