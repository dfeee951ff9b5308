//! WeChat's own daily quotas, which grow with the followers: asked for once an hour, for the APIs that have a budget which
//! they are the measure of.

use super::budget::{Budgets, Count};
use crate::callback::unix_now_s;
use crate::credential::{Ask, Credentials};
use crate::edge::Edge;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// A quota that is due, and the budgets of all clients that it is the measure of.
struct Quota {
    account: String,
    api: String,
    credentials: Arc<Credentials>,
    counts: Vec<Arc<Count>>,
}

/// Shows how full the budgets are, and asks for the quotas that are due. Called once a second.
pub fn upkeep(edge: &Edge, budgets: &Budgets) {
    let now_s = unix_now_s();
    // Several clients may share an API of an account.
    let mut shared: BTreeMap<(&str, &str), Vec<&Arc<Count>>> = BTreeMap::new();
    for (key, count) in budgets.iter() {
        shared.entry((&key.account, &key.api)).or_default().push(count);
    }
    let ratio = |count: &Arc<Count>| count.used(now_s) as f64 / count.limit(now_s).max(1) as f64;
    let fullest =
        |counts: &[&Arc<Count>]| counts.iter().map(|count| ratio(count)).fold(0.0, f64::max);
    let ratios = shared.iter().map(|(key, counts)| (*key, fullest(counts))).collect();
    edge.metrics.api.budgets_used(&ratios);

    // One after the other, so that WeChat is not asked for all at once after a restart.
    let Ok(turn) = edge.quotas.clone().try_acquire_owned() else { return };
    let due = |((account, api), counts): ((&str, &str), Vec<&Arc<Count>>)| {
        let account = edge.account(account)?;
        let credentials = account.credentials.clone()?;
        let is_due = credentials.access_token.value().is_some()
            && counts.iter().any(|count| count.is_quota_due(now_s));
        is_due.then(|| Quota {
            account: account.config.name.clone(),
            api: api.to_owned(),
            credentials,
            counts: counts.into_iter().cloned().collect(),
        })
    };
    let due: Vec<_> = shared.into_iter().filter_map(due).collect();
    if !due.is_empty() {
        due.iter().flat_map(|quota| &quota.counts).for_each(|count| count.quota_asked(now_s));
        tokio::spawn(learn(due, turn));
    }
}

async fn learn(due: Vec<Quota>, _turn: OwnedSemaphorePermit) {
    for Quota { account, api, credentials, counts } in due {
        let path = "/cgi-bin/openapi/quota/get";
        let ask = Ask { path, body: Some(json!({"cgi_path": api})), repeatable: false };
        match credentials.ask(&ask).await {
            Ok(answer) => {
                let limit = answer["quota"]["daily_limit"].as_u64().filter(|limit| *limit > 0);
                if let Some(limit) = limit {
                    counts.iter().for_each(|count| count.learn(unix_now_s(), limit));
                }
            }
            Err(error) => log::info!("{account}: the quota of {api} is not known: {error}"),
        }
    }
}
