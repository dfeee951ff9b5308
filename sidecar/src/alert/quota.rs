//! `quota_low`: 80 % of an API's daily budget are used up.

use super::book::{Level, Sign};
use super::{Cause, Kind};
use crate::edge::status::{Account, Budget};
use crate::observation::Millis;
use serde::{Deserialize, Serialize};

const PERCENT: u128 = 80;

/// The budget of an account that is used up the most.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Quota {
    low: Option<Low>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Low {
    first: Millis,
    last: Millis,
    /// How many budgets are.
    count: u64,
    worst: Budget,
}

impl Quota {
    pub(super) fn status(&mut self, at: Millis, account: &Account) {
        let low = account.budgets.iter().filter(|budget| is_low(budget));
        let first = self.low.as_ref().map_or(at, |low| low.first);
        let count = low.clone().count() as u64;
        let worst = low.reduce(|a, b| if share(b) > share(a) { b } else { a });
        self.low = worst.map(|worst| Low { first, last: at, count, worst: worst.clone() });
    }

    pub(super) fn sign(&self, account: &str) -> Option<Sign> {
        let Low { first, last, count, worst } = self.low.as_ref()?;
        Some(Sign {
            kind: Kind::QuotaLow,
            account: Some(account.to_owned()),
            level: Level::Firing,
            severity: Kind::QuotaLow.severity(),
            cause: Cause::Quota {
                api: worst.api.clone(),
                client: worst.client.clone(),
                used: worst.used,
                limit: worst.limit.unwrap_or(0),
            },
            first: *first,
            last: *last,
            count: *count,
            window_s: 0,
            example: None,
        })
    }
}

/// Used, in parts of ten thousand. Without a limit, or one of nothing, there is no share.
fn share(budget: &Budget) -> u128 {
    let limit = budget.limit.unwrap_or(0);
    (u128::from(budget.used) * 10_000).checked_div(u128::from(limit)).unwrap_or(0)
}

fn is_low(budget: &Budget) -> bool {
    share(budget) >= PERCENT * 100
}
