//! Stage 8: what goes on when a delivery is over, or cannot be answered before the message is on disk.
//!
//! A [`Keeper`] has the message from then on, in a task of its own that no client can cut off. It writes the message into
//! the spool as soon as somebody has to be told that it has arrived, tells the deliveries that wait, sees the call to the
//! app through to its end, and hands what comes of it to the spool. Whatever is acknowledged without the app having taken
//! it was on disk before.

use super::Facts;
use super::answer::Call;
use super::decrypt::SealedWith;
use super::dedupe::{Claimed, Flight};
use super::judge::{Fallen, Judged, Subject, judge};
use super::record::Notes;
use crate::account::{Account, Late, Place};
use crate::connection::{Arrival, Response};
use crate::edge::Edge;
use crate::limits;
use crate::outcome::Outcome;
use crate::spool::{Kept, Leased, Refused, late};
use crate::upstream::{AppAnswer, Failure};
use std::sync::Arc;
use std::time::Instant;
use tokio::time::{sleep_until, timeout_at};
use wxedge_wechat::message::Message;
use wxedge_wechat::reply::Answer;

/// A message that no delivery has in hand any more, or none alone.
pub struct Keeper {
    edge: Arc<Edge>,
    account: Arc<Account>,
    /// What the spool gets of it.
    message: Kept,
    sealed_with: Option<SealedWith>,
    facts: Facts,
    acknowledgement: Response,
    /// First byte of the delivery that the app was called for.
    begun: Instant,
}

crate::opaque!(Keeper);

impl Keeper {
    /// Takes a message over.
    pub fn new(subject: &Subject<'_>, arrival: Arrival) -> Keeper {
        Keeper {
            edge: subject.edge.clone(),
            account: subject.account.clone(),
            message: Kept::new(subject),
            sealed_with: subject.sealed_with,
            facts: subject.facts.clone(),
            acknowledgement: subject.acknowledge(),
            begun: arrival.first_byte,
        }
    }

    /// The app is not asked: the message goes to the spool, and WeChat is told.
    pub fn detour(self, claimed: Claimed, outcome: Outcome) {
        tokio::spawn(async move {
            let stored = self.account.spool.keep(&self.message, None).await;
            self.tell(claimed, outcome, stored);
        });
    }

    /// The app has failed: the message goes to the spool, and WeChat is told.
    pub fn store(self, claimed: Claimed, fallen: Fallen) {
        tokio::spawn(async move { self.store_now(claimed, fallen).await });
    }

    /// The app is still at it: sees the call through. When a delivery falls due before, or none comes any more, the message
    /// goes to the spool first.
    pub fn hold(self, claimed: Claimed, call: Call, place: Place) {
        tokio::spawn(async move {
            match place.late() {
                Some(late) => self.see_through(claimed, call, late).await,
                // Beyond the bound of calls that go on this one ends here; the spool makes another.
                None => {
                    let failure = Failure::Timeout;
                    self.account.failed(failure);
                    self.store_now(claimed, Fallen { failure, answer: None }).await;
                }
            }
        });
    }

    /// The app has answered in time, with something that can only follow as a customer-service message. The callback
    /// keeps its place until then: there are no more of these than callbacks, and the edge does not end before them.
    pub fn follow(self, answer: Answer, place: Place) {
        tokio::spawn(async move {
            self.late_reply(None, answer).await;
            drop(place);
        });
    }

    async fn store_now(&self, claimed: Claimed, fallen: Fallen) {
        let stored = self.account.spool.keep(&self.message, Some(&fallen)).await;
        self.tell(claimed, Outcome::FallbackError, stored);
    }

    /// Tells every delivery that waits.
    fn tell(&self, claimed: Claimed, outcome: Outcome, stored: Result<(), Refused>) {
        match stored {
            Ok(()) => claimed.settle(outcome, &self.acknowledgement),
            Err(refused) => claimed.abandon(refused.reason()),
        }
    }

    async fn see_through(self, claimed: Claimed, call: Call, place: Late) {
        let flight = claimed.flight().clone();
        let mut held = Held::Claimed(claimed);
        // When the call was counted as failed, if it was.
        let mut overdue = None;
        let mut not_before = Instant::now();
        let mut answer = std::pin::pin!(rest(call, &self.account));
        let result = loop {
            tokio::select! {
                biased;
                result = &mut answer => break result,
                () = self.must_be_stored(&flight, not_before), if matches!(held, Held::Claimed(_)) => {}
            }
            if overdue.is_none() {
                overdue = Some(Instant::now());
                self.account.failed(Failure::Timeout);
                self.account.spool.app_failed(&Failure::Timeout);
            }
            held = match (held, self.account.spool.lease(&self.message).await) {
                (Held::Claimed(claimed), Ok(leased)) => {
                    claimed.settle(Outcome::FallbackDeadline, &self.acknowledgement);
                    Held::Leased(leased)
                }
                (held, _) => held,
            };
            not_before = Instant::now() + limits::STORE_REOPEN;
        };
        // It was parsed once, so it parses again.
        let Ok(message) = Message::parse(&self.message.content.body) else { return };
        let judged =
            judge(&self.account, &message, result, &mut Notes::default(), overdue.is_some());
        match (judged, held) {
            (Judged::Taken(answer), held) => {
                self.account.spool.app_succeeded_late(overdue);
                match held {
                    Held::Leased(leased) => self.late_reply(Some(leased), answer).await,
                    Held::Claimed(claimed) => self.answer_repeat(claimed, &message, answer).await,
                }
            }
            (Judged::Failed(fallen), Held::Leased(leased)) => {
                self.account.spool.first_failed(leased, fallen, overdue.is_some()).await;
            }
            (Judged::Failed(fallen), Held::Claimed(claimed)) => {
                if overdue.is_none() {
                    self.account.spool.app_failed(&fallen.failure);
                }
                self.store_now(claimed, fallen).await;
            }
        }
        drop(place);
    }

    /// Until a delivery has to be answered, WeChat will not repeat the message any more, or the edge ends.
    async fn must_be_stored(&self, flight: &Flight, not_before: Instant) {
        sleep_until(not_before.into()).await;
        tokio::select! {
            () = flight.due() => {}
            () = self.repeats_end() => {}
        }
    }

    /// WeChat will not repeat the message any more, or not to this process.
    async fn repeats_end(&self) {
        tokio::select! {
            () = sleep_until((self.begun + limits::REPEATS_END).into()) => {}
            () = self.edge.drain_begun() => {}
        }
    }

    /// The answer waits for WeChat's repeat; when none comes it goes out as a late reply.
    async fn answer_repeat(&self, claimed: Claimed, message: &Message<'_>, answer: Answer) {
        let subject = Subject {
            edge: &self.edge,
            account: &self.account,
            message,
            clear: &self.message.content.body,
            sealed_with: self.sealed_with,
            facts: &self.facts,
        };
        let flight = claimed.flight().clone();
        let passive = subject.passive(&answer, &mut Notes::default());
        claimed.settle(passive.outcome, &passive.response);
        if passive.outcome == Outcome::Replied {
            self.repeats_end().await;
            if !flight.take_late() {
                return;
            }
        }
        // What is dropped was counted with the passive answer.
        if answer != Answer::Dropped {
            self.late_reply(None, answer).await;
        }
    }

    async fn late_reply(&self, leased: Option<Leased>, answer: Answer) {
        late::reply(&self.account, &self.message, leased, answer).await;
    }
}

/// Who has to hear of a message.
enum Held {
    /// The deliveries that wait for its answer.
    Claimed(Claimed),
    /// Nobody, it is in the spool.
    Leased(Leased),
}

/// What comes of a call in the time that `late_timeout_s` leaves it.
async fn rest(call: Call, account: &Account) -> Result<AppAnswer, Failure> {
    let whole = account.config.upstream.late_timeout;
    match timeout_at((call.begun + whole).into(), call.answer).await {
        Ok(result) => result,
        Err(_elapsed) => {
            account.metrics.upstream_duration.observe(whole.as_secs_f64());
            Err(Failure::Timeout)
        }
    }
}
