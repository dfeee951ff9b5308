//! Late replies: what the app said after its callback was over, or what no passive reply can say, as customer-service
//! messages.
//!
//! A reply goes out once. It is marked `sending` on disk before it leaves, and sent again only after a failure that
//! proves that it did not arrive; where nobody knows it becomes a dead letter, `maybe_sent`, for a person to decide.

use super::lease::Leased;
use super::reply::{self, Sent};
use super::{Call, Ended, Kept};
use crate::account::Account;
use crate::config::LateReplyVia;
use crate::limits;
use crate::metrics::LateReply;
use crate::store::spool::{Content, Failed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Instant;
use wxedge_wechat::message::Message;
use wxedge_wechat::reply::Answer;

/// A reply as the spool keeps it.
#[derive(Serialize, Deserialize)]
pub(super) struct Parcel {
    /// Unix seconds: WeChat takes it until then.
    until_s: i64,
    /// How many of the messages are with WeChat.
    sent: usize,
    /// Bodies of calls, in their order.
    messages: Vec<Map<String, Value>>,
}

crate::opaque!(Parcel);

/// What becomes of an answer that came too late for its callback, or that is no passive reply. The message's own entry, if
/// there is one, is gone when the reply is on disk.
pub async fn reply(account: &Arc<Account>, kept: &Kept, leased: Option<Leased>, answer: Answer) {
    match parcel(account, kept, &answer) {
        Some(parcel) => entrust(account, kept, leased, parcel).await,
        None => {
            if let Some(leased) = leased {
                account.spool.taken(leased).await;
            }
        }
    }
}

/// Writes a reply down, in the place of the message's own entry, and sends it.
pub(super) async fn entrust(
    account: &Arc<Account>,
    kept: &Kept,
    leased: Option<Leased>,
    parcel: Parcel,
) {
    let spool = &account.spool;
    let content = Content { body: parcel.to_json(), ..kept.content.clone() };
    let reply = Kept { content, ..*kept };
    let tried = Tried::begin(account, &reply.content, 0);
    if parcel.is_over(spool.sure_s()) {
        tried.ended(LateReply::Window, WINDOW);
        return spool.taken_with_dead_reply(leased, &reply, window_over()).await;
    }
    match spool.taken_with_reply(leased, &reply).await {
        Ok(Some(sending)) => dispatch(account, sending, parcel, reply.content, true).await,
        Ok(None) => {}
        Err(refused) => {
            tried.ended(LateReply::Lost, refused.reason());
            log::error!("{}: a late reply is lost: {refused}", account.config.name);
        }
    }
}

/// Sends an entry of the spool, which may have been tried before.
pub(super) async fn resend(account: &Arc<Account>, leased: Leased, kept: Kept) {
    match serde_json::from_slice(&kept.content.body) {
        Ok(parcel) => dispatch(account, leased, parcel, kept.content, false).await,
        Err(_) => account.spool.bury(leased, failed("damaged", "it cannot be read")).await,
    }
}

/// Sends what is left of a parcel. `marked`: the first message is already known to be on its way.
async fn dispatch(
    account: &Arc<Account>,
    leased: Leased,
    mut parcel: Parcel,
    content: Content,
    mut marked: bool,
) {
    let spool = &account.spool;
    let tried = Tried::begin(account, &content, leased.attempt);
    let Some(credentials) = &account.credentials else {
        return spool.bury(leased, failed("no_secret", "the account has no AppSecret")).await;
    };
    let before = parcel.sent;
    while let Some(message) = parcel.messages.get(parcel.sent) {
        if parcel.is_over(spool.sure_s()) {
            tried.ended(LateReply::Window, WINDOW);
            return spool.bury(leased, window_over()).await;
        }
        if !std::mem::take(&mut marked) {
            let content = Content { body: parcel.to_json(), ..content.clone() };
            match spool.mark_sending(&leased, content).await {
                Ok(true) => {}
                // Deleted meanwhile.
                Ok(false) => return spool.forget(leased),
                // Those that are sent already are so on no disk: from the beginning would be twice.
                Err(error) if parcel.sent > before && !error.is_final() => {
                    tokio::time::sleep(limits::STORE_REOPEN).await;
                    continue;
                }
                Err(error) => {
                    let failed = failed("store", &error.to_string());
                    spool.reply_failed(leased, failed, None).await;
                    return;
                }
            }
        }
        match reply::send(credentials, message).await {
            Sent::Taken => parcel.sent += 1,
            Sent::Unsent { reason, detail, pause } => {
                let dead = spool.reply_failed(leased, failed(reason, &detail), pause).await;
                let result = if dead { LateReply::GaveUp } else { LateReply::Retried };
                return tried.ended(result, reason);
            }
            Sent::Refused { errcode, reason, detail } => {
                tried.refused(errcode, reason);
                return spool.bury(leased, failed(reason, &detail)).await;
            }
            Sent::Maybe { reason, detail } => {
                tried.ended(LateReply::MaybeSent, reason);
                return spool.bury(leased, maybe_sent(&detail)).await;
            }
        }
    }
    tried.ended(LateReply::Sent, "");
    drop((parcel, content));
    spool.taken(leased).await;
}

/// A reply on its way: counted and logged once, when it is known what has become of it.
struct Tried<'a> {
    account: &'a Account,
    content: &'a Content,
    attempt: u32,
    begun: Instant,
}

impl<'a> Tried<'a> {
    fn begin(account: &'a Account, content: &'a Content, attempt: u32) -> Tried<'a> {
        Tried { account, content, attempt, begun: Instant::now() }
    }

    fn ended(&self, result: LateReply, reason: &'static str) {
        self.record(result, reason, None);
    }

    fn refused(&self, errcode: i64, reason: &'static str) {
        self.record(LateReply::Refused, reason, Some(errcode));
    }

    fn record(&self, result: LateReply, reason: &'static str, errcode: Option<i64>) {
        self.account.metrics.spool.late_reply(result);
        self.account.spool.log(&Ended {
            call: Call::LateReply,
            request_id: None,
            kind: None,
            ce_id: &self.content.ce_id,
            attempt: self.attempt,
            result: result.label(),
            reason,
            app_status: None,
            errcode,
            took: self.begun.elapsed(),
        });
    }
}

/// Why a reply is dead that came when WeChat takes none any more.
const WINDOW: &str = "window";

/// Nobody knows whether the reply is with WeChat.
pub(super) const MAYBE_SENT: &str = "maybe_sent";

/// Why a reply that may be with WeChat is a dead letter.
pub(super) fn maybe_sent(detail: &str) -> Failed {
    failed(MAYBE_SENT, detail)
}

fn window_over() -> Failed {
    failed(
        WINDOW,
        "WeChat takes messages to a user for 48 h after a message, 60 s after a click, follow or scan",
    )
}

fn failed(reason: &str, detail: &str) -> Failed {
    Failed { reason: reason.to_owned(), detail: detail.to_owned(), answer: None }
}

/// The messages of an answer; nothing, which is counted, where it has none or may not be sent.
pub(super) fn parcel(account: &Account, kept: &Kept, answer: &Answer) -> Option<Parcel> {
    // It was parsed before, so it parses again.
    let message = Message::parse(&kept.content.body).ok()?;
    if matches!(answer, Answer::Acknowledge | Answer::Verbatim(_) | Answer::Invalid(_)) {
        return None;
    }
    let messages = answer.customer_service_messages(message.from_user().unwrap_or_default());
    let dropped = |result, reason| {
        Tried::begin(account, &kept.content, 0).ended(result, reason);
        None
    };
    if matches!(answer, Answer::Dropped) {
        return dropped(LateReply::ContentDropped, "");
    }
    if account.config.late_reply_via == LateReplyVia::Drop {
        return dropped(LateReply::Dropped, "via_drop");
    }
    if account.credentials.is_none() {
        return dropped(LateReply::Dropped, "no_secret");
    }
    if messages.is_empty() {
        return dropped(LateReply::Dropped, "no_message");
    }
    // Where there is no window it is over, whatever a clock says.
    let until_s = message.reply_window().map_or(0, |window| {
        kept.received_s.saturating_add(i64::try_from(window.as_secs()).unwrap_or(0))
    });
    Some(Parcel { until_s, sent: 0, messages })
}

impl Parcel {
    fn is_over(&self, now_s: i64) -> bool {
        now_s >= self.until_s
    }

    fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and maps of them always become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parcel(until_s: i64) -> Parcel {
        let messages = ["一", "二"].map(|text| json!({"text": text}).as_object().unwrap().clone());
        Parcel { until_s, sent: 1, messages: messages.into() }
    }

    #[test]
    fn a_parcel_is_what_it_was_after_the_disk() {
        let json = parcel(7).to_json();
        let expected = r#"{"until_s":7,"sent":1,"messages":[{"text":"一"},{"text":"二"}]}"#;
        assert_eq!(String::from_utf8(json.clone()).unwrap(), expected);
        let read: Parcel = serde_json::from_slice(&json).unwrap();
        assert_eq!(read.messages, parcel(7).messages);
        assert_eq!((read.until_s, read.sent), (7, 1));
        assert!(expected.as_bytes().starts_with(Content::REPLY));
    }

    #[test]
    fn a_window_ends_with_its_last_second() {
        assert!(parcel(60).is_over(60));
        assert!(!parcel(60).is_over(59));
    }
}
