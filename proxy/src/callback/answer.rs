//! Stage 7: what WeChat gets, by the deadline, whatever the app does.
//!
//! As long as the app answers in time everything happens here, in the callback's own task. What takes longer, or has to
//! be on disk first, is handed to a [`Keeper`]; then this delivery waits for the answer as its repeats do.

use super::dedupe::{Claimed, Flight, Landing};
use super::holds::HoldPermit;
use super::judge::{Judged, Subject};
use super::record::Record;
use super::remember::Keeper;
use super::{Rejection, judge};
use crate::account::{Account, App, Place};
use crate::connection::{Arrival, Response};
use crate::limits;
use crate::outcome::Outcome;
use crate::upstream::{self, AppAnswer, Failure, Fate, Upstream};
use pingora::ErrorType;
use pingora::protocols::http::ServerSession;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::{sleep_until, timeout_at};
use wxedge_wechat::reply::Answer;

/// A delivery of a message: it has to be answered, once.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The message.
    pub subject: Subject<'a>,
    /// When it came.
    pub arrival: Arrival,
}

impl Delivery<'_> {
    /// The first delivery: calls the app and answers by the deadline. Without a `place` there are too many callbacks already.
    ///
    /// # Errors
    /// `unavailable` when the message was neither taken nor stored, `client_gone`.
    pub async fn first(
        &self,
        session: &mut ServerSession,
        claimed: Claimed,
        place: Option<Place>,
        record: &mut Record,
    ) -> Result<(Outcome, Response), Rejection> {
        let account = self.subject.account;
        let detour = match &place {
            None => Some(Outcome::FallbackOverload),
            Some(_) => account.spool.detour(&self.subject),
        };
        let (Some(place), None) = (place, detour) else {
            let detour = detour.unwrap_or(Outcome::FallbackOverload);
            return Box::pin(self.detour(session, claimed, detour)).await;
        };
        let deadline = self.deadline();
        let holds = self.subject.may_be_held();
        let shown = if holds { self.arrival.first_byte + limits::JOIN_DEADLINE } else { deadline };
        let mut call = self.call(shown);
        let result = tokio::select! {
            biased;
            result = &mut call.answer => result,
            // Not Pingora's cheaper timer: that one can miss a moment that is nearly here.
            () = self.must_answer(deadline) => {
                record.app_answered();
                record.notes().reason = Failure::Timeout.reason();
                return Box::pin(self.late(session, call, claimed, place)).await;
            }
            () = gone(session) => {
                self.keeper().hold(claimed, call, place);
                return Err(Rejection::new(Outcome::ClientGone, "waiting"));
            }
        };
        record.app_answered();
        match judge::judge(account, self.subject.message, result, record.notes(), false) {
            Judged::Taken(answer) => {
                account.spool.app_succeeded();
                let passive = self.subject.passive(&answer, record.notes());
                claimed.settle(passive.outcome, &passive.response);
                if matches!(answer, Answer::CustomerService(_)) {
                    self.keeper().follow(answer, place);
                }
                Ok((passive.outcome, passive.response))
            }
            Judged::Failed(fallen) => {
                account.spool.app_failed(&fallen.failure);
                let flight = claimed.flight().clone();
                let dead = fallen.failure.fate() == Fate::Dead;
                self.keeper().store(claimed, fallen);
                let landed = Box::pin(self.landing(session, &flight)).await;
                record.notes().dead_letter = dead && landed.is_ok();
                landed
            }
        }
    }

    /// A repeat waits for the first delivery's answer, by its own deadline. Nothing when the first delivery ended without
    /// one: then this is the first.
    ///
    /// # Errors
    /// `client_gone`; `unavailable` when the message was neither taken nor stored.
    pub async fn again(
        &self,
        session: &mut ServerSession,
        flight: &Flight,
    ) -> Result<Option<(Outcome, Response)>, Rejection> {
        let nth = flight.join();
        tokio::select! {
            biased;
            // Who has left takes no answer away from a repeat or a late reply.
            () = gone(session) => return Err(Rejection::new(Outcome::ClientGone, "waiting")),
            landed = flight.landed() => return Ok(landed.ok().map(|landing| {
                // What goes to the user as a late reply goes to nobody else.
                let response =
                    if flight.take() { landing.response } else { self.subject.acknowledge() };
                (Outcome::Joined, response)
            })),
            () = self.must_answer(self.deadline()) => {}
        }
        let last = nth >= limits::DELIVERIES
            || self.arrival.first_byte.duration_since(flight.begun) >= limits::JOIN_LAST;
        let permit = if last { None } else { self.hold_permit() };
        let (outcome, response) = self.overdue(session, flight, permit).await?;
        let outcome = match outcome {
            Outcome::FallbackDeadline | Outcome::Held => outcome,
            _ => Outcome::Joined,
        };
        Ok(Some((outcome, response)))
    }

    /// The message goes to the spool without a call.
    async fn detour(
        &self,
        session: &mut ServerSession,
        claimed: Claimed,
        outcome: Outcome,
    ) -> Result<(Outcome, Response), Rejection> {
        let flight = claimed.flight().clone();
        self.keeper().detour(claimed, outcome);
        self.landing(session, &flight).await
    }

    /// The deadline has come. The call goes on.
    async fn late(
        &self,
        session: &mut ServerSession,
        call: Call,
        claimed: Claimed,
        place: Place,
    ) -> Result<(Outcome, Response), Rejection> {
        let flight = claimed.flight().clone();
        self.keeper().hold(claimed, call, place);
        self.overdue(session, &flight, self.hold_permit()).await
    }

    /// The deadline of this delivery has come: it is held when it may be, or answered.
    async fn overdue(
        &self,
        session: &mut ServerSession,
        flight: &Flight,
        permit: Option<HoldPermit>,
    ) -> Result<(Outcome, Response), Rejection> {
        match permit {
            Some(permit) => self.hold(session, flight, permit).await,
            None => {
                flight.fall_due();
                self.landing(session, flight).await
            }
        }
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(&self.subject, self.arrival)
    }

    /// Left unanswered, so that WeChat sends the message again. An answer that comes meanwhile still goes out.
    async fn hold(
        &self,
        session: &mut ServerSession,
        flight: &Flight,
        permit: HoldPermit,
    ) -> Result<(Outcome, Response), Rejection> {
        let until = self.arrival.first_byte + limits::JOIN_HELD;
        tokio::select! {
            biased;
            () = gone(session) => {}
            landed = flight.landed() => return self.landed(flight, landed),
            () = sleep_until(until.into()) => {}
        }
        permit.spend();
        session.set_keepalive(None);
        Ok((Outcome::Held, Response::empty(Outcome::Held.status())))
    }

    /// What the keeper of the message answers, as long as WeChat listens.
    async fn landing(
        &self,
        session: &mut ServerSession,
        flight: &Flight,
    ) -> Result<(Outcome, Response), Rejection> {
        let last = self.arrival.first_byte + self.subject.answer_by();
        let landed = tokio::select! {
            biased;
            () = gone(session) => return Err(Rejection::new(Outcome::ClientGone, "waiting")),
            landed = timeout_at(last.into(), flight.landed()) => landed,
        };
        self.landed(flight, landed.unwrap_or(Err("store_slow")))
    }

    fn landed(
        &self,
        flight: &Flight,
        landed: Result<Landing, &'static str>,
    ) -> Result<(Outcome, Response), Rejection> {
        match landed {
            Ok(landing) if flight.take() => Ok((landing.outcome, landing.response)),
            Ok(landing) => Ok((landing.outcome, self.subject.acknowledge())),
            Err(reason) => Err(Rejection::new(Outcome::Unavailable, reason)),
        }
    }

    /// Waits for the deadline, or until the edge ends too soon to wait for it.
    async fn must_answer(&self, deadline: Instant) {
        tokio::select! {
            () = sleep_until(deadline.into()) => {}
            () = self.subject.edge.last_call() => {}
        }
    }

    /// The permission to leave this delivery unanswered.
    fn hold_permit(&self) -> Option<HoldPermit> {
        let account = self.subject.account;
        self.subject.may_be_held().then(|| account.holds.take(account.config.join_budget)).flatten()
    }

    /// The call to the app, begun with the first poll.
    fn call(&self, deadline: Instant) -> Call {
        let account = self.subject.account;
        match &account.app {
            App::Echo => {
                let echoed = Ok(judge::echo(self.subject.message));
                Call { begun: Instant::now(), answer: Box::pin(async move { echoed }) }
            }
            App::Http(upstream) => {
                Call::begin(account, upstream, self.subject.normalize(1, deadline))
            }
        }
    }

    fn deadline(&self) -> Instant {
        let upstream = &self.subject.account.config.upstream;
        let deadline = match self.subject.message.is_minigame() {
            true => upstream.deadline_minigame,
            false => upstream.deadline,
        };
        self.arrival.first_byte + deadline
    }
}

/// A call to the app that can go on without the callback it began in.
pub struct Call {
    /// When it began.
    pub begun: Instant,
    /// What comes of it, timed.
    pub answer: Pin<Box<dyn Future<Output = Result<AppAnswer, Failure>> + Send>>,
}

crate::opaque!(Call);

impl Call {
    /// The call begins with the first poll.
    pub fn begin(
        account: &Arc<Account>,
        upstream: &Arc<Upstream>,
        delivery: upstream::Delivery,
    ) -> Call {
        let (account, upstream) = (account.clone(), upstream.clone());
        let begun = Instant::now();
        let answer = Box::pin(async move {
            let result = upstream.call(delivery).await;
            account.metrics.upstream_duration.observe(begun.elapsed().as_secs_f64());
            result
        });
        Call { begun, answer }
    }
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
