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
use crate::metrics::Redelivery;
use crate::outcome::Outcome;
use crate::spool::{self, Ended, Kept, Leased, Refused, late};
use crate::upstream::{AppAnswer, Failure, Fate};
use std::pin::Pin;
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
        let (flight, begun) = (claimed.flight().clone(), call.begun);
        let mut held = Held::Claimed(claimed);
        // When the call was counted as failed, if it was.
        let mut overdue = None;
        let mut not_before = Instant::now();
        let mut answer = std::pin::pin!(rest(call, &self.account));
        let (result, held) = loop {
            held = match held {
                Held::Claimed(claimed) => tokio::select! {
                    biased;
                    result = &mut answer => break (result, Held::Claimed(claimed)),
                    () = self.must_be_stored(&flight, not_before) => {
                        if overdue.is_none() {
                            overdue = Some(Instant::now());
                            self.account.failed(Failure::Timeout);
                            self.account.spool.app_failed(&Failure::Timeout);
                        }
                        let write = Box::pin(self.account.spool.lease(&self.message));
                        Held::Written(claimed, write)
                    }
                },
                // A disk that hangs keeps nobody from the app's answer.
                Held::Written(claimed, mut write) => tokio::select! {
                    biased;
                    result = &mut answer => break (result, Held::Written(claimed, write)),
                    stored = &mut write => {
                        not_before = Instant::now() + limits::STORE_REOPEN;
                        match stored {
                            Ok(leased) => {
                                claimed.settle(Outcome::FallbackDeadline, &self.acknowledgement);
                                Held::Leased(leased)
                            }
                            Err(_refused) => Held::Claimed(claimed),
                        }
                    }
                },
                Held::Leased(leased) => break (answer.await, Held::Leased(leased)),
            };
        };
        // It was parsed once, so it parses again.
        let Ok(message) = Message::parse(&self.message.content.body) else { return };
        let mut notes = Notes::default();
        let judged = judge(&self.account, &message, result, &mut notes, overdue.is_some());
        self.log(&message, &judged, &notes, begun);
        match judged {
            Judged::Taken(answer) => {
                self.account.spool.app_succeeded_late(overdue);
                self.taken(held, &message, answer).await;
            }
            Judged::Failed(fallen) => self.failed(held, fallen, overdue.is_some()).await,
        }
        drop(place);
    }

    /// The app has taken the message after all.
    async fn taken(&self, held: Held<'_>, message: &Message<'_>, answer: Answer) {
        match held {
            Held::Claimed(claimed) => self.answer_repeat(claimed, message, answer).await,
            Held::Written(claimed, write) => {
                // Who waits for the message gets the app's answer, and nobody needs its row any more.
                let forget = async {
                    if let Ok(leased) = write.await {
                        self.account.spool.taken(leased).await;
                    }
                };
                tokio::join!(self.answer_repeat(claimed, message, answer), forget);
            }
            Held::Leased(leased) => self.late_reply(Some(leased), answer).await,
        }
    }

    /// The app has not taken the message. `counted`: as a failure, when it was overdue.
    async fn failed(&self, held: Held<'_>, fallen: Fallen, counted: bool) {
        let spool = &self.account.spool;
        let (claimed, leased) = match held {
            Held::Claimed(claimed) => (claimed, None),
            Held::Written(claimed, write) => (claimed, write.await.ok()),
            Held::Leased(leased) => return spool.first_failed(leased, fallen, counted).await,
        };
        if let Some(leased) = leased {
            claimed.settle(Outcome::FallbackDeadline, &self.acknowledgement);
            return spool.first_failed(leased, fallen, counted).await;
        }
        if !counted {
            spool.app_failed(&fallen.failure);
        }
        self.store_now(claimed, fallen).await;
    }

    /// The callback's own line was written without the end of the call.
    fn log(&self, message: &Message<'_>, judged: &Judged, notes: &Notes, begun: Instant) {
        let result = match judged {
            Judged::Taken(_) => Redelivery::Taken,
            Judged::Failed(fallen) if fallen.failure.fate() == Fate::Dead => Redelivery::Dead,
            Judged::Failed(_) => Redelivery::Failed,
        };
        self.account.spool.log(&Ended {
            call: spool::Call::Late,
            request_id: Some(&self.facts.random.request_id),
            kind: Some(message.kind()),
            ce_id: &self.facts.ce_id,
            attempt: 1,
            result: result.label(),
            reason: notes.reason,
            app_status: notes.app_status,
            errcode: None,
            took: begun.elapsed(),
        });
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
enum Held<'a> {
    /// The deliveries that wait for its answer.
    Claimed(Claimed),
    /// They too, while it is on its way to the disk.
    Written(Claimed, Pin<Box<dyn Future<Output = Result<Leased, Refused>> + Send + 'a>>),
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
