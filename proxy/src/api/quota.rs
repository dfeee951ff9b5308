//! WeChat's own daily quotas, which grow with the followers: asked for once an hour, for the APIs that have a budget.

use super::budget::{Budgets, Count, Key};
use crate::callback::unix_now_s;
use crate::credential::{Ask, Credentials};
use crate::edge::Edge;
use serde_json::json;
use std::sync::Arc;

/// Shows how full the budgets are, and asks for the quotas that are due. Called once a second.
pub fn upkeep(edge: &Edge, budgets: &Budgets) {
    let now_s = unix_now_s();
    let mut fullest: Vec<(&Key, f64)> = Vec::new();
    for (key, count) in budgets.iter() {
        let ratio = count.used(now_s) as f64 / count.limit(now_s).max(1) as f64;
        let same =
            |other: &&mut (&Key, f64)| other.0.account == key.account && other.0.api == key.api;
        match fullest.iter_mut().find(same) {
            Some(other) => other.1 = other.1.max(ratio),
            None => fullest.push((key, ratio)),
        }
        let credentials =
            edge.account(&key.account).and_then(|account| account.credentials.clone());
        if let Some(credentials) = credentials.filter(|own| own.access_token.value().is_some())
            && count.is_quota_due(now_s)
        {
            tokio::spawn(learn(credentials, key.clone(), count.clone()));
        }
    }
    for (key, ratio) in fullest {
        edge.metrics.api.budget_used(&key.account, &key.api, ratio);
    }
}

async fn learn(credentials: Arc<Credentials>, key: Key, count: Arc<Count>) {
    let path = "/cgi-bin/openapi/quota/get";
    let ask = Ask { path, body: Some(json!({"cgi_path": key.api})), repeatable: false };
    match credentials.ask(&ask).await {
        Ok(answer) => {
            if let Some(limit) = answer["quota"]["daily_limit"].as_u64().filter(|limit| *limit > 0)
            {
                count.learn(unix_now_s(), limit);
            }
        }
        Err(error) => log::info!("{}: the quota of {} is not known: {error}", key.account, key.api),
    }
}
