//! Stage 7: what the app's answer means, for WeChat and for the message.

use super::Facts;
use super::decrypt::SealedWith;
use super::normalize::normalize;
use super::record::Notes;
use crate::account::Account;
use crate::config::OnDeadline;
use crate::connection::Response;
use crate::edge::Edge;
use crate::limits;
use crate::metrics::LateReply;
use crate::outcome::Outcome;
use crate::upstream::{self, AppAnswer, Failure};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wxedge_wechat::envelope::Seal;
use wxedge_wechat::message::{Class, Format, Message};
use wxedge_wechat::reply::Answer;

/// A message, and all that answering it takes.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The edge.
    pub edge: &'a Arc<Edge>,
    /// Whose message it is.
    pub account: &'a Arc<Account>,
    /// The message.
    pub message: &'a Message<'a>,
    /// Its bytes.
    pub clear: &'a [u8],
    /// What a reply is sealed with; nothing in plain mode.
    pub sealed_with: Option<SealedWith>,
    /// Its name and randomness.
    pub facts: &'a Facts,
}

/// What came of a call to the app.
#[derive(Debug)]
pub enum Judged {
    /// The app has the message; this is what it says to it.
    Taken(Answer),
    /// It does not have it.
    Failed(Fallen),
}

/// A call that failed.
#[derive(Debug)]
pub struct Fallen {
    /// Why.
    pub failure: Failure,
    /// What the app said, if it said anything.
    pub answer: Option<AppAnswer>,
}

/// What WeChat gets of an answer in time.
#[derive(Debug)]
pub struct Passive {
    /// How the callback ends.
    pub outcome: Outcome,
    /// What WeChat gets.
    pub response: Response,
}

/// Judges the result of a call. Failures are counted, unless this call's was `counted` at the deadline.
pub fn judge(
    account: &Account,
    message: &Message<'_>,
    result: Result<AppAnswer, Failure>,
    notes: &mut Notes,
    counted: bool,
) -> Judged {
    let fallen = match result {
        Ok(answer) if (200..300).contains(&answer.status) => {
            let meant = Answer::interpret(answer.content_type.as_deref(), &answer.body, message);
            if let Answer::Invalid(invalid) = &meant {
                account.failed(Failure::Invalid);
                *notes = Notes {
                    reason: invalid.label(),
                    invalid: true,
                    response: answer.body,
                    app_status: Some(answer.status),
                    dead_letter: false,
                };
            }
            return Judged::Taken(meant);
        }
        Ok(answer) => Fallen { failure: Failure::Status(answer.status), answer: Some(answer) },
        Err(failure) => Fallen { failure, answer: None },
    };
    if !counted {
        account.failed(fallen.failure);
    }
    let response = fallen.answer.as_ref().map(|answer| answer.body.clone()).unwrap_or_default();
    *notes = Notes {
        reason: fallen.failure.reason(),
        invalid: false,
        response,
        app_status: fallen.answer.as_ref().map(|answer| answer.status),
        dead_letter: false,
    };
    Judged::Failed(fallen)
}

impl Subject<'_> {
    /// The answer to WeChat for an answer of the app that came in time.
    pub fn passive(&self, answer: &Answer, notes: &mut Notes) -> Passive {
        let (outcome, response) = match answer {
            Answer::Acknowledge | Answer::Invalid(_) => (Outcome::Acknowledged, self.acknowledge()),
            Answer::Reply(reply) => {
                let to = self.message.from_user().unwrap_or_default();
                let from = self.message.to_user().unwrap_or_default();
                let reply = reply.render(self.message.format(), to, from, self.facts.now_s);
                (Outcome::Replied, self.seal(reply))
            }
            Answer::Verbatim(json) => (Outcome::Replied, typed(Format::Json, json.clone())),
            Answer::CustomerService(_) => {
                notes.reason = "customer_service";
                (Outcome::Acknowledged, self.acknowledge())
            }
            Answer::Dropped => {
                self.account.metrics.spool.late_reply(LateReply::ContentDropped);
                notes.reason = "content_dropped";
                (Outcome::Acknowledged, self.acknowledge())
            }
        };
        Passive { outcome, response }
    }

    /// The acknowledgement of the message; never encrypted.
    pub fn acknowledge(&self) -> Response {
        acknowledge(self.message)
    }

    /// Encrypts a reply with what the message was encrypted with.
    fn seal(&self, reply: Vec<u8>) -> Response {
        let format = self.message.format();
        let account = &self.account.config;
        let sealed = self.sealed_with.and_then(|with| {
            let seal = Seal {
                key: account.aes_keys.get(with.key)?,
                token: account.tokens.get(with.token)?.expose(),
                appid: &account.appid,
                timestamp: self.facts.now_s,
                nonce: &self.facts.random.nonce,
                random: self.facts.random.padding,
            };
            Some(seal.seal(format, &reply))
        });
        typed(format, sealed.unwrap_or(reply))
    }

    /// The request to the app.
    pub fn normalize(&self, attempt: u32, deadline: Instant) -> upstream::Delivery {
        normalize(self.account, self.message, self.clear, self.facts, attempt, deadline)
    }

    /// Whether WeChat may be left without an answer so that it repeats the message. Only what a user waits for: what
    /// they wrote, tapped or scanned.
    pub fn may_be_held(&self) -> bool {
        self.account.config.on_deadline == OnDeadline::Join && self.message.reply_window().is_some()
    }

    /// The last moment for an answer, from the delivery's first byte.
    pub fn answer_by(&self) -> Duration {
        let upstream = &self.account.config.upstream;
        let (deadline, answer_by) = if self.message.is_minigame() {
            (upstream.deadline_minigame, limits::ANSWER_BY_MINIGAME)
        } else {
            (upstream.deadline, limits::ANSWER_BY)
        };
        answer_by.max(deadline + limits::ANSWER_AFTER_DEADLINE)
    }
}

/// The acknowledgement of a message; never encrypted.
pub fn acknowledge(message: &Message<'_>) -> Response {
    let body = Bytes::from_static(message.acknowledgement());
    match message.class() {
        Class::Verbatim => {
            Response { content_type: "application/json", ..Response::text(200, body) }
        }
        Class::Conversation | Class::NoContent => Response::text(200, body),
    }
}

fn typed(format: Format, body: Vec<u8>) -> Response {
    let content_type = match format {
        Format::Xml => "text/xml; charset=utf-8",
        Format::Json => "application/json; charset=utf-8",
    };
    Response { status: 200, content_type, body: body.into() }
}

/// `builtin:echo`: text and images come back, everything else is acknowledged.
pub fn echo(message: &Message<'_>) -> AppAnswer {
    let field = |name| message.get(name).unwrap_or_default();
    let reply = match message.kind().label() {
        "text" => serde_json::json!({"msgtype": "text", "text": {"content": field("Content")}})
            .to_string(),
        "image" => serde_json::json!({"msgtype": "image", "image": {"media_id": field("MediaId")}})
            .to_string(),
        _ => String::new(),
    };
    let json = Some("application/json".to_owned());
    AppAnswer { status: 200, content_type: json, body: reply.into(), retry_after: None }
}
