//! Stage 8: what goes on when the callback is over.
//!
//! A call to the app is not cut off because WeChat stopped waiting, unless as many as `max_in_flight` go on already. What
//! comes of it has nobody to go to yet: here
//! the spool and the late replies will stand. Whatever is acknowledged without the app having taken it ends in
//! `fallback_deadline` or `fallback_error`.

use super::Facts;
use super::answer::{Call, First};
use super::decrypt::{Clear, SealedWith};
use super::dedupe::Claimed;
use super::record::Notes;
use crate::account::{Account, Place};
use crate::edge::Edge;
use crate::outcome::Outcome;
use crate::upstream::{AppAnswer, Failure};
use std::borrow::Cow;
use std::sync::Arc;
use tokio::time::timeout_at;
use wxedge_wechat::message::Message;

/// `success` went out at the deadline; the call goes on, up to `late_timeout_s`.
pub fn after_deadline(call: Call, place: Place) {
    // Beyond the bound of calls that go on, this one ends here.
    let Some(place) = place.late() else { return };
    tokio::spawn(async move {
        // Nobody waits for it: the late reply is the spool's to come.
        let _late = rest(call, place.account()).await;
    });
}

/// Nothing was acknowledged, so WeChat sends the message again. The call goes on, and its answer waits for the repeat.
pub fn for_the_repeat(first: &First<'_>, call: Call, claimed: Claimed, place: Place) {
    let orphan = Orphan {
        edge: first.edge.clone(),
        account: first.account.clone(),
        clear: first.clear.message.to_vec(),
        sealed_with: first.clear.sealed_with,
        facts: first.facts.clone(),
        overdue: first.overdue,
    };
    let Some(place) = place.late() else { return };
    tokio::spawn(async move {
        let result = rest(call, place.account()).await;
        orphan.settle(result, claimed);
    });
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

/// A message that nobody waits for, with all that judging the app's answer needs.
struct Orphan {
    edge: Arc<Edge>,
    account: Arc<Account>,
    clear: Vec<u8>,
    sealed_with: Option<SealedWith>,
    facts: Facts,
    overdue: bool,
}

impl Orphan {
    /// Keeps a good answer for the repeat. After a failure the claim is dropped, so that the repeat goes to the app.
    fn settle(&self, result: Result<AppAnswer, Failure>, claimed: Claimed) {
        // It was parsed once, so it parses again.
        let Ok(message) = Message::parse(&self.clear) else { return };
        let clear = Clear { message: Cow::Borrowed(&self.clear), sealed_with: self.sealed_with };
        let first = First {
            edge: &self.edge,
            account: &self.account,
            message: &message,
            clear: &clear,
            facts: &self.facts,
            overdue: self.overdue,
        };
        let (outcome, response) = first.judge(result, &mut Notes::default());
        if matches!(outcome, Outcome::Replied | Outcome::Acknowledged) {
            claimed.settle(&response);
        }
    }
}
