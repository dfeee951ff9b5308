//! Redelivery: one task an account, which asks its queues what is to be tried, and tries it.

use super::account::Leased;
use super::{AccountSpool, Kept, late};
use crate::account::{Account, App};
use crate::callback::judge::{self, Judged, judge};
use crate::callback::normalize::normalize;
use crate::callback::record::Notes;
use crate::callback::{Facts, Random, unix_now_s};
use crate::edge::Edge;
use crate::limits;
use crate::metrics::Redelivery;
use crate::store::{Content, Damaged, EntryKind, Failed};
use crate::upstream::{AppAnswer, Failure};
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};
use wxedge_wechat::message::Message;

/// Redelivers until the edge drains or the account is no longer in the configuration.
pub(super) async fn run(edge: Arc<Edge>, spool: Arc<AccountSpool>) {
    let mut calls = JoinSet::new();
    while let Some(account) = edge.account_of(spool.appid()) {
        while calls.try_join_next().is_some() {}
        let next = spool.next();
        if !next.attempts.is_empty() {
            begin(&account, next.attempts, next.probe, &mut calls).await;
            continue;
        }
        let at = next.at.unwrap_or_else(|| Instant::now() + limits::SPOOL_IDLE);
        tokio::select! {
            () = spool.changed() => {}
            () = sleep_until(at.into()) => {}
            () = edge.draining() => break,
        }
    }
    // What is on its way is seen through, as long as the process lives.
    while calls.join_next().await.is_some() {}
}

/// Reads what is to be tried, all at once, and tries each by itself.
async fn begin(
    account: &Arc<Account>,
    attempts: Vec<(Leased, u32)>,
    probe: bool,
    calls: &mut JoinSet<()>,
) {
    let spool = &account.spool;
    let ids: Vec<u64> = attempts.iter().map(|(leased, _)| leased.id).collect();
    let contents = spool.contents(ids).await;
    let mut contents = match contents {
        Ok(contents) => contents,
        Err(error) => {
            log::error!("{}: what is in the spool cannot be read: {error}", account.config.name);
            return spool.put_back(attempts);
        }
    };
    for (leased, attempt) in attempts {
        let account = account.clone();
        match contents.remove(&leased.id) {
            Some(Ok(content)) => {
                calls.spawn(async move {
                    match leased.kind {
                        EntryKind::Callback => redeliver(&account, leased, attempt, content, probe).await,
                        EntryKind::Reply => late::resend(&account, leased, attempt, &content).await,
                    }
                });
            }
            damaged_or_gone => {
                calls.spawn(async move { damaged(&account, leased, attempt, damaged_or_gone).await });
            }
        }
    }
}
