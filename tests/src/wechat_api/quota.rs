//! What may be called how often. Source: protocol.md §5.1, §5.7.

use std::collections::HashMap;
use std::time::Duration;

use super::clock;

/// What every API has that is not named here, a day.
const OTHERS_A_DAY: u64 = 100_000_000;
const STABLE_A_MINUTE: u64 = 10_000;
const FORCED_A_DAY: u64 = 20;
const CLEARED_A_MONTH: u64 = 10;
/// How many APIs of all accounts are counted; the others never run out.
const COUNTED: usize = 10_000;

pub(super) const TOKEN: &str = "/cgi-bin/token";
pub(super) const STABLE_TOKEN: &str = "/cgi-bin/stable_token";

/// Calls in a period, by its number.
#[derive(Debug, Default, Clone, Copy)]
struct Counter {
    period: u64,
    calls: u64,
}

impl Counter {
    fn used(&self, period: u64) -> u64 {
        if self.period == period { self.calls } else { 0 }
    }

    /// Counts one more, unless there are as many already.
    fn spend(&mut self, period: u64, limit: u64) -> bool {
        let used = self.used(period);
        if used >= limit {
            return false;
        }
        *self = Counter { period, calls: used + 1 };
        true
    }
}

/// The counts of one account.
#[derive(Debug, Default)]
struct Counters {
    day: HashMap<String, Counter>,
    stable_minute: Counter,
    forced: Counter,
    cleared: Counter,
}

/// The limits, and what of them is used up.
#[derive(Debug)]
pub(super) struct Quotas {
    limits: HashMap<String, u64>,
    accounts: HashMap<String, Counters>,
}

impl Quotas {
    pub(super) fn new() -> Quotas {
        let limits = [(TOKEN, 2_000), (STABLE_TOKEN, 500_000)];
        let limits = limits.map(|(path, limit)| (path.to_owned(), limit));
        Quotas { limits: limits.into(), accounts: HashMap::new() }
    }

    /// `path` may be called so often a day.
    pub(super) fn limit(&mut self, path: &str, limit: u64) {
        self.limits.insert(path.to_owned(), limit);
    }

    /// The limit of an API a day, and what of it is used.
    pub(super) fn of(&self, appid: &str, path: &str, now: Duration) -> (u64, u64) {
        let limit = self.limits.get(path).copied().unwrap_or(OTHERS_A_DAY);
        let counter = self.accounts.get(appid).and_then(|account| account.day.get(path));
        (limit, counter.map_or(0, |counter| counter.used(clock::day(now))))
    }

    /// One call of an API: whether the day has room for it.
    pub(super) fn spend(&mut self, appid: &str, path: &str, now: Duration) -> bool {
        let limit = self.limits.get(path).copied().unwrap_or(OTHERS_A_DAY);
        let account = self.account(appid);
        if let Some(counter) = account.day.get_mut(path) {
            return counter.spend(clock::day(now), limit);
        }
        if account.day.len() >= COUNTED {
            return true;
        }
        account.day.entry(path.to_owned()).or_default().spend(clock::day(now), limit)
    }

    /// One call of `stable_token`: whether the minute has room for it.
    pub(super) fn spend_minute(&mut self, appid: &str, now: Duration) -> bool {
        self.account(appid).stable_minute.spend(clock::minute(now), STABLE_A_MINUTE)
    }

    /// One forced refresh.
    pub(super) fn spend_forced(&mut self, appid: &str, now: Duration) -> bool {
        self.account(appid).forced.spend(clock::day(now), FORCED_A_DAY)
    }

    /// `clear_quota`: every daily count begins anew, forced refreshes excepted, if the month has room for it.
    pub(super) fn clear(&mut self, appid: &str, now: Duration) -> bool {
        let account = self.account(appid);
        let cleared = account.cleared.spend(clock::month(now), CLEARED_A_MONTH);
        if cleared {
            account.day.clear();
        }
        cleared
    }

    /// `openapi/quota/clear`: one API's, out of the same number a month.
    pub(super) fn clear_one(&mut self, appid: &str, path: &str, now: Duration) -> bool {
        let account = self.account(appid);
        let cleared = account.cleared.spend(clock::month(now), CLEARED_A_MONTH);
        if cleared {
            account.day.remove(path);
        }
        cleared
    }

    fn account(&mut self, appid: &str) -> &mut Counters {
        if !self.accounts.contains_key(appid) {
            self.accounts.insert(appid.to_owned(), Counters::default());
        }
        self.accounts.get_mut(appid).expect("an account that was put in")
    }
}
