//! Stage 7: what WeChat gets, by the deadline, whatever the app does.

use super::decrypt::Clear;
use super::dedupe::{Claimed, Flight};
use super::normalize::normalize;
use super::record::{Notes, Record};
use super::{Facts, Rejection, remember};
use crate::account::{Account, App, Place};
use crate::connection::{Arrival, Response};
use crate::edge::Edge;
use crate::outcome::Outcome;
use crate::upstream::{AppAnswer, Failure};
use bytes::Bytes;
use pingora::ErrorType;
use pingora::protocols::http::ServerSession;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::sleep_until;
use wxedge_wechat::envelope::Seal;
use wxedge_wechat::message::{Class, Format, Message};
use wxedge_wechat::reply::Answer;

/// A call to the app that can go on without the callback it began in.
pub struct Call {
    /// When it began.
    pub begun: Instant,
    /// What comes of it, timed and counted.
    pub answer: Pin<Box<dyn Future<Output = Result<AppAnswer, Failure>> + Send>>,
}

/// The first delivery of a message: it has to be answered, once.
pub struct First<'a> {
    /// The edge.
    pub edge: &'a Arc<Edge>,
    /// Whose message it is.
    pub account: &'a Arc<Account>,
    /// The message.
    pub message: &'a Message<'a>,
    /// Its bytes.
    pub clear: &'a Clear<'a>,
    /// Its name and randomness.
    pub facts: &'a Facts,
    /// Whether its call was counted as failed when the deadline came. A call counts once.
    pub overdue: bool,
}

crate::opaque!(First<'_>, Call);

impl First<'_> {
    /// Calls the app and answers by the deadline.
    ///
    /// # Errors
    /// `unavailable` when the message may not be acknowledged, `client_gone`.
    pub async fn answer(
        &self,
        session: &mut ServerSession,
        arrival: Arrival,
        claimed: Claimed,
        place: Place,
        record: &mut Record,
    ) -> Result<(Outcome, Response), Rejection> {
        let deadline = deadline(self.account, self.message, arrival);
        let mut call = self.call(deadline);
        let result = tokio::select! {
            biased;
            result = &mut call.answer => result,
            // Not Pingora's cheaper timer: that one can miss a moment that is nearly here.
            () = sleep_until(deadline.into()) => return self.late(call, claimed, place, record),
            () = gone(session) => {
                remember::for_the_repeat(self, call, claimed, place);
                return Err(Rejection::new(Outcome::ClientGone, "waiting"));
            }
        };
        record.app_answered();
        let (outcome, response) = self.judge(result, record.notes());
        if outcome != Outcome::Unavailable {
            claimed.settle(&response);
        }
        // Otherwise the claim is dropped: the repeat is a first delivery again.
        Ok((outcome, response))
    }

    /// The deadline has come. The call goes on: for the spool's late replies, or for WeChat's repeat.
    fn late(
        &self,
        call: Call,
        claimed: Claimed,
        place: Place,
        record: &mut Record,
    ) -> Result<(Outcome, Response), Rejection> {
        record.app_answered();
        record.notes().reason = Failure::Timeout.reason();
        self.account.failed(Failure::Timeout);
        let (outcome, response) = self.fall_back(Outcome::FallbackDeadline);
        if outcome == Outcome::Unavailable {
            let overdue = First { overdue: true, ..*self };
            remember::for_the_repeat(&overdue, call, claimed, place);
        } else {
            claimed.settle(&response);
            remember::after_deadline(call, place);
        }
        Ok((outcome, response))
    }

    /// The call to the app, begun with the first poll.
    fn call(&self, deadline: Instant) -> Call {
        let account = self.account.clone();
        let begun = Instant::now();
        match &self.account.app {
            App::Echo => {
                let echoed = Ok(echo(self.message));
                Call { begun, answer: Box::pin(async move { echoed }) }
            }
            App::Http(upstream) => {
                let delivery =
                    normalize(&account, self.message, &self.clear.message, self.facts, 1, deadline);
                let upstream = upstream.clone();
                let answer = Box::pin(async move {
                    let result = upstream.call(delivery).await;
                    account.metrics.upstream_duration.observe(begun.elapsed().as_secs_f64());
                    result
                });
                Call { begun, answer }
            }
        }
    }

    /// What the app's answer, or its failure, means for WeChat.
    pub fn judge(
        &self,
        result: Result<AppAnswer, Failure>,
        notes: &mut Notes,
    ) -> (Outcome, Response) {
        let answer = match result {
            Ok(answer) if (200..300).contains(&answer.status) => answer,
            Ok(answer) => return self.failed(Failure::Status(answer.status), answer.body, notes),
            Err(failure) => return self.failed(failure, Bytes::new(), notes),
        };
        match Answer::interpret(answer.content_type.as_deref(), &answer.body, self.message) {
            Answer::Acknowledge => (Outcome::Acknowledged, acknowledge(self.message)),
            Answer::Reply(reply) => {
                let to = self.message.from_user().unwrap_or_default();
                let from = self.message.to_user().unwrap_or_default();
                let reply = reply.render(self.message.format(), to, from, self.facts.now_s);
                (Outcome::Replied, self.seal(reply))
            }
            Answer::Verbatim(json) => (Outcome::Replied, typed(Format::Json, json)),
            Answer::CustomerService(_) => {
                // Until there are late replies it is dropped, which is counted.
                self.account.metrics.late_reply_dropped.inc();
                notes.reason = "customer_service";
                (Outcome::Acknowledged, acknowledge(self.message))
            }
            Answer::Dropped => {
                self.account.metrics.content_dropped.inc();
                notes.reason = "content_dropped";
                (Outcome::Acknowledged, acknowledge(self.message))
            }
            Answer::Invalid(invalid) => {
                self.count(Failure::Invalid);
                *notes = Notes { reason: invalid.label(), invalid: true, response: answer.body };
                (Outcome::Acknowledged, acknowledge(self.message))
            }
        }
    }

    fn failed(&self, failure: Failure, response: Bytes, notes: &mut Notes) -> (Outcome, Response) {
        self.count(failure);
        *notes = Notes { reason: failure.reason(), invalid: false, response };
        self.fall_back(Outcome::FallbackError)
    }

    fn count(&self, failure: Failure) {
        if !self.overdue {
            self.account.failed(failure);
        }
    }

    /// `success` in the app's place; not for messages that stand for money, which are acknowledged by the app or,
    /// once it exists, by the spool.
    fn fall_back(&self, outcome: Outcome) -> (Outcome, Response) {
        match self.message.class() {
            Class::Conversation | Class::NoContent => (outcome, acknowledge(self.message)),
            Class::Verbatim => {
                (Outcome::Unavailable, Response::empty(Outcome::Unavailable.status()))
            }
        }
    }

    /// Encrypts a reply with what the message was encrypted with.
    fn seal(&self, reply: Vec<u8>) -> Response {
        let format = self.message.format();
        let account = &self.account.config;
        let sealed = self.clear.sealed_with.and_then(|with| {
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
}

/// A repeat waits for the first delivery's answer, by its own deadline. Nothing when the first delivery ended without
/// one: then the repeat is the first.
///
/// # Errors
/// `client_gone`; `unavailable` at the deadline, for messages that stand for money.
pub async fn join(
    account: &Account,
    session: &mut ServerSession,
    arrival: Arrival,
    message: &Message<'_>,
    flight: &Flight,
) -> Result<Option<(Outcome, Response)>, Rejection> {
    let deadline = deadline(account, message, arrival);
    tokio::select! {
        biased;
        landed = flight.landed() => Ok(landed.map(|response| (Outcome::Joined, response))),
        () = sleep_until(deadline.into()) => match message.class() {
            Class::Verbatim => Err(Rejection::new(Outcome::Unavailable, "timeout")),
            Class::Conversation | Class::NoContent => {
                // It is acknowledged here and now, so the late answer of the call is no repeat's any more.
                let response = acknowledge(message);
                flight.land(Some(response.clone()));
                Ok(Some((Outcome::FallbackDeadline, response)))
            }
        },
        () = gone(session) => Err(Rejection::new(Outcome::ClientGone, "waiting")),
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

fn deadline(account: &Account, message: &Message<'_>, arrival: Arrival) -> Instant {
    let upstream = &account.config.upstream;
    arrival.first_byte
        + if message.is_minigame() { upstream.deadline_minigame } else { upstream.deadline }
}

/// Resolves when the client has left; never when it waits as it should.
async fn gone(session: &mut ServerSession) {
    match session.read_body_or_idle(true).await {
        // Bytes after the request: the connection cannot be used again, but the answer is still awaited.
        Err(error) if *error.etype() == ErrorType::ConnectError => session.set_keepalive(None),
        Err(_left) => return,
        Ok(_) => {}
    }
    std::future::pending().await
}

/// `builtin:echo`: text and images come back, everything else is acknowledged.
fn echo(message: &Message<'_>) -> AppAnswer {
    let field = |name| message.get(name).unwrap_or_default();
    let reply = match message.kind().label() {
        "text" => serde_json::json!({"msgtype": "text", "text": {"content": field("Content")}})
            .to_string(),
        "image" => serde_json::json!({"msgtype": "image", "image": {"media_id": field("MediaId")}})
            .to_string(),
        _ => String::new(),
    };
    AppAnswer {
        status: 200,
        content_type: Some("application/json".to_owned()),
        retry_after: None,
        body: reply.into(),
    }
}
