//! Redelivery: one task an account, which asks its spool what is to be tried, and tries it.

use super::account::Running;
use super::lease::Leased;
use super::{Call, Ended, Kept, late};
use crate::account::{Account, App};
use crate::callback::judge::{self, Judged};
use crate::callback::normalize::normalize;
use crate::callback::record::Notes;
use crate::callback::{Facts, Random, unix_now_s};
use crate::edge::Edge;
use crate::limits;
use crate::metrics::Redelivery;
use crate::store::spool::{EntryKind, Failed, Unreadable};
use crate::upstream::Failure;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};
use wxedge_wechat::message::Message;

/// Redelivers until the edge drains or the account is no longer in the configuration.
pub(super) async fn run(edge: Arc<Edge>, running: Running) {
    let spool = &running.0;
    let mut calls = JoinSet::new();
    spool.bury_unsure().await;
    while !edge.draining()
        && let Some(account) = edge.account_of(spool.appid())
    {
        while calls.try_join_next().is_some() {}
        let next = spool.next();
        if !next.leased.is_empty() {
            try_all(&account, next.leased, &mut calls).await;
            continue;
        }
        let idle = Instant::now() + limits::SPOOL_IDLE;
        let at = next.at.map_or(idle, |at| at.min(idle));
        tokio::select! {
            () = spool.changed() => {}
            () = sleep_until(at.into()) => {}
            () = edge.drain_begun() => {}
        }
    }
    // What is on its way is seen through, as long as the process lives.
    while calls.join_next().await.is_some() {}
}

/// Reads what is to be tried, all at once, and tries each by itself.
async fn try_all(account: &Arc<Account>, all: Vec<Leased>, calls: &mut JoinSet<()>) {
    let mut contents = match account.spool.contents(all.iter().map(|leased| leased.id)).await {
        Ok(contents) => contents,
        Err(error) => {
            log::error!("{}: the spool cannot be read: {error}", account.config.name);
            tokio::time::sleep(limits::STORE_REOPEN).await;
            // It may be one of these only. Callbacks are given pauses as after a failure, so that others have their turn.
            let (callbacks, replies) =
                all.into_iter().partition(|leased| leased.kind == EntryKind::Callback);
            drop::<Vec<_>>(callbacks);
            return account.spool.put_back(replies);
        }
    };
    for leased in all {
        let account = account.clone();
        let content = contents.remove(&leased.id);
        calls.spawn(async move {
            match content {
                None => account.spool.forget(leased),
                Some(Ok(kept)) if leased.kind == EntryKind::Callback => {
                    redeliver(&account, leased, kept).await;
                }
                Some(Ok(kept)) => late::resend(&account, leased, kept).await,
                Some(Err(why)) => account.spool.bury(leased, unreadable(why)).await,
            }
        });
    }
}

fn unreadable(why: Unreadable) -> Failed {
    Failed { reason: why.reason().to_owned(), detail: why.to_string(), answer: None }
}

/// Calls the app with a message, and sees to what comes of it.
async fn redeliver(account: &Arc<Account>, leased: Leased, kept: Kept) {
    let spool = &account.spool;
    let Ok(message) = Message::parse(&kept.content.body) else {
        return spool.bury(leased, unreadable(Unreadable::Damaged)).await;
    };
    let now_s = unix_now_s();
    let facts = Facts {
        now_s,
        ce_id: message.identity(&account.config.appid).hex(),
        random: Random::draw(),
    };
    let (begun, attempt) = (Instant::now(), leased.attempt);
    let result = match &account.app {
        App::Echo => Ok(judge::echo(&message)),
        App::Http(upstream) => {
            let deadline = Instant::now() + account.config.upstream.late_timeout;
            let delivery =
                normalize(account, &message, &kept.content.body, &facts, leased.attempt, deadline);
            let result = if leased.probe {
                timeout_at(deadline.into(), upstream.probe(delivery)).await
            } else {
                timeout_at(deadline.into(), upstream.call(delivery)).await
            };
            account.metrics.upstream_duration.observe(begun.elapsed().as_secs_f64());
            result.unwrap_or(Err(Failure::Timeout))
        }
    };
    let (took, kind) = (begun.elapsed(), message.kind());
    let mut notes = Notes::default();
    let judged = judge::judge(account, &message, result, &mut notes, false);
    let tell = |result: Redelivery| {
        account.metrics.spool.redelivery(result);
        spool.log(&Ended {
            call: Call::Redelivery,
            request_id: Some(&facts.random.request_id),
            kind: Some(kind),
            ce_id: &facts.ce_id,
            attempt,
            result: result.label(),
            reason: notes.reason,
            app_status: notes.app_status,
            errcode: None,
            took,
        });
    };
    match judged {
        Judged::Taken(answer) => {
            spool.redelivered(leased.probe, None);
            tell(Redelivery::Taken);
            match late::parcel(account, &kept, &answer) {
                Some(parcel) => late::entrust(account, &kept, Some(leased), parcel).await,
                None => {
                    // Others are called meanwhile: what is only waited for is not held.
                    drop(kept);
                    spool.taken(leased).await;
                }
            }
        }
        Judged::Failed(fallen) => {
            spool.redelivered(leased.probe, Some(&fallen.failure));
            let dead = spool.failed(leased, &fallen).await;
            tell(if dead { Redelivery::Dead } else { Redelivery::Failed });
        }
    }
}
