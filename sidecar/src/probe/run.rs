//! Looks at every target again and again.

use super::Prober;
use super::schedule::{Schedule, Target, targets};
use crate::edge::status::Status;
use crate::limits;
use crate::log::warn;
use crate::observation::Seen;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use url::Url;

/// Looks at the public URLs of the configuration and at what the edge's status names, and tells `observe` what is found.
/// While there is no status, it goes on with the last one. Ends when nobody gives a status any more.
pub async fn run(
    prober: Arc<Prober>,
    mut status: watch::Receiver<Option<Arc<Status>>>,
    observe: impl Fn(Seen),
) {
    let mut known = status.borrow_and_update().clone().unwrap_or_default();
    let mut schedule = Schedule::new(prober.config.interval);
    schedule.follow(targets(&prober.config, &known), Instant::now());
    let mut unknown = Vec::new();
    say_unknown(&prober.config.public_url, &known, &mut unknown);
    let (mut looks, mut looked_at) = (JoinSet::new(), HashMap::<Id, Target>::new());
    loop {
        let free = looks.len() < limits::LOOKS;
        let due = schedule.next_due().filter(|_| free);
        tokio::select! {
            changed = status.changed() => {
                if changed.is_err() {
                    return;
                }
                if let Some(fresh) = status.borrow_and_update().clone() {
                    known = fresh;
                    say_unknown(&prober.config.public_url, &known, &mut unknown);
                    schedule.follow(targets(&prober.config, &known), Instant::now());
                }
            }
            Some(ended) = looks.join_next_with_id() => {
                let (id, seen) = match ended {
                    Ok((id, seen)) => (id, seen),
                    // It panicked: the next look may not.
                    Err(error) => (error.id(), Vec::new()),
                };
                if let Some(target) = looked_at.remove(&id) {
                    schedule.ended(&target);
                }
                seen.into_iter().for_each(&observe);
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some(target) = schedule.start(Instant::now()) {
                    let look = look(prober.clone(), target.clone(), known.clone());
                    looked_at.insert(looks.spawn(look).id(), target);
                }
            }
        }
    }
}

/// Says which accounts the edge does not have, when those are others than the ones that were `said`.
fn say_unknown(public_url: &BTreeMap<String, Url>, status: &Status, said: &mut Vec<String>) {
    let unknown: Vec<_> =
        public_url.keys().filter(|account| status.lacks(account)).cloned().collect();
    if unknown != *said && !unknown.is_empty() {
        let names: Vec<_> = status.accounts.iter().map(|one| one.account.as_str()).collect();
        let (unknown, names) = (unknown.join(", "), names.join(", "));
        warn(format_args!("[probe.public_url] has {unknown}, but the edge's accounts are {names}"));
    }
    *said = unknown;
}

async fn look(prober: Arc<Prober>, target: Target, status: Arc<Status>) -> Vec<Seen> {
    let findings = match target {
        Target::Callback { account } => {
            let Some(url) = prober.config.public_url.get(&account) else { return Vec::new() };
            if status.lacks(&account) {
                return vec![Seen::Probe { of: prober.unknown_account(&account, url) }];
            }
            prober.callback(&account, url, status.enforces(&account)).await
        }
        Target::ApiBase { base } => prober.api_base(&base).await,
        Target::App { account, host } => prober.app(&account, &host).await.into_iter().collect(),
        Target::Check { account } => {
            let mut seen = vec![Seen::Probe { of: prober.check(&account).await }];
            // What the edge does not tell now it tells in ten minutes; that it is down is said elsewhere.
            if let Ok(list) = prober.callback_ips(&account).await {
                seen.push(Seen::CallbackIps { account, list });
            }
            return seen;
        }
    };
    findings.into_iter().map(|of| Seen::Probe { of }).collect()
}
