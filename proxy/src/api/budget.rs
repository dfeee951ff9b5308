//! Daily budgets: how often a client has called an API today, in Beijing's day, as WeChat counts.

use crate::config::{self, Budget};
use crate::limits;
use crate::store::Counter;
use chrono::{DateTime, NaiveDate, NaiveTime};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The hours Beijing is ahead of UTC, in seconds. China has no summer time.
const BEIJING_S: i64 = 8 * 3_600;
const DAY_S: i64 = 86_400;

/// The number of the day in Beijing, from 1970-01-01.
pub fn beijing_day(now_s: i64) -> i64 {
    (now_s + BEIJING_S).div_euclid(DAY_S)
}

/// Whose budget it is, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The client's name.
    pub client: String,
    /// The account's name.
    pub account: String,
    /// The API's path.
    pub api: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names have no blank, paths neither.
        write!(f, "{} {} {}", self.client, self.account, self.api)
    }
}

impl Key {
    fn read(text: &str) -> Option<Key> {
        let mut words = text.split(' ').map(str::to_owned);
        Some(Key { client: words.next()?, account: words.next()?, api: words.next()? })
    }
}

/// A [`beijing_day`] as people write it: `2026-11-20`.
pub fn date(day: i64) -> String {
    DateTime::from_timestamp(day.saturating_mul(DAY_S), 0)
        .map_or_else(String::new, |time| time.format("%Y-%m-%d").to_string())
}

fn day_of(date: &str) -> Option<i64> {
    let date = date.parse::<NaiveDate>().ok()?;
    Some(date.and_time(NaiveTime::MIN).and_utc().timestamp().div_euclid(DAY_S))
}

/// Whether a clock that was wrong has counted on `day`: at midnight a right one may be a day ahead of one set back, but no
/// more. Its calls are taken as today's.
fn is_ahead(day: i64, today: i64) -> bool {
    day > today + 1
}

/// All budgets of the configuration.
#[derive(Debug, Default)]
pub struct Budgets(HashMap<Key, Arc<Count>>);

/// One budget. A reload keeps what is used and takes the new limit.
#[derive(Debug)]
pub struct Count {
    limit: u64,
    enforced: bool,
    used: Arc<Mutex<Used>>,
}

/// What is used of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// The [`beijing_day`] it was used on.
    pub day: i64,
    /// Calls.
    pub calls: u64,
    /// What WeChat itself allows the account a day, if that is known.
    pub quota: Option<u64>,
    /// When WeChat was asked for that, in Unix seconds.
    asked_s: i64,
    /// The highest limit of which it was said today that it is used up.
    said: u64,
    /// Changed since it was written down.
    dirty: bool,
}

impl Default for Used {
    fn default() -> Self {
        Used { day: i64::MIN, calls: 0, quota: None, asked_s: 0, said: 0, dirty: false }
    }
}

/// Whether there is something left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// There is, or nobody counts.
    Some,
    /// There is not, from this call on; it is said, the call goes on.
    None,
    /// There is not, and the call does not go on.
    Refused,
}

impl Budgets {
    /// The budgets of `clients`, with what `before` had used.
    pub fn new(
        clients: &BTreeMap<String, Arc<config::Client>>,
        before: Option<&Budgets>,
    ) -> Budgets {
        let mut counts = HashMap::new();
        for client in clients.values().filter(|client| client.budget != Budget::Off) {
            for account in &client.accounts {
                for (api, limit) in &client.budgets {
                    let key = Key {
                        client: client.name.clone(),
                        account: account.clone(),
                        api: api.clone(),
                    };
                    let used = before.and_then(|before| before.0.get(&key));
                    let used = used.map(|count| count.used.clone()).unwrap_or_default();
                    let enforced = client.budget == Budget::Enforce;
                    counts.insert(key, Arc::new(Count { limit: *limit, enforced, used }));
                }
            }
        }
        Budgets(counts)
    }

    /// The budget of a call, if it has one.
    pub fn get(&self, client: &str, account: &str, api: &str) -> Option<&Arc<Count>> {
        if self.0.is_empty() {
            return None;
        }
        let key = Key { client: client.into(), account: account.into(), api: api.into() };
        self.0.get(&key)
    }

    /// Their name in the store.
    pub const SCOPE: &str = "budget";

    /// What an earlier process has used.
    pub fn restore(&self, now_s: i64, counters: &[Counter]) {
        for counter in counters {
            let Some(day) = day_of(&counter.period) else { continue };
            let Some(key) = Key::read(&counter.key) else { continue };
            if let Some(count) = self.0.get(&key) {
                count.restore(now_s, day, counter.count);
            }
        }
    }

    /// What has to be written down since the last time.
    pub fn unwritten(&self) -> Vec<Counter> {
        self.counters(Count::unwritten)
    }

    /// These could not be written down.
    pub fn not_written(&self, counters: &[Counter]) {
        let keys = counters.iter().filter_map(|counter| Key::read(&counter.key));
        keys.filter_map(|key| self.0.get(&key)).for_each(|count| count.lock().dirty = true);
    }

    /// All that is used, whether it was written down or not.
    pub fn used(&self) -> Vec<Counter> {
        self.counters(|count| Some(*count.lock()).filter(|used| used.calls > 0))
    }

    fn counters(&self, used: impl Fn(&Count) -> Option<Used>) -> Vec<Counter> {
        let counter = |(key, count): (&Key, &Arc<Count>)| {
            let used = used(count)?;
            Some(Counter {
                scope: Budgets::SCOPE.to_owned(),
                key: key.to_string(),
                period: date(used.day),
                count: used.calls,
            })
        };
        self.0.iter().filter_map(counter).collect()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<Count>)> {
        self.0.iter()
    }
}

impl Count {
    /// Counts a call.
    pub fn take(&self, now_s: i64) -> Left {
        let mut used = self.today(now_s);
        let limit = self.limit_of(&used);
        if used.calls >= limit && self.enforced {
            return Left::Refused;
        }
        used.calls += 1;
        used.dirty = true;
        if used.calls <= limit || used.said >= limit {
            return Left::Some;
        }
        used.said = limit;
        Left::None
    }

    /// What is used today.
    pub fn used(&self, now_s: i64) -> u64 {
        self.today(now_s).calls
    }

    /// What it is measured against: WeChat's own quota, which grows with the followers, where it is known and the budget is
    /// not a bound of our own.
    pub fn limit(&self, now_s: i64) -> u64 {
        self.limit_of(&self.today(now_s))
    }

    fn limit_of(&self, used: &Used) -> u64 {
        used.quota.filter(|_| !self.enforced).unwrap_or(self.limit)
    }

    /// Whether WeChat's own quota is to be asked for: where it is the measure, and somebody calls.
    pub fn is_quota_due(&self, now_s: i64) -> bool {
        let used = self.today(now_s);
        let refresh_s = limits::QUOTA_REFRESH.as_secs() as i64;
        // A clock that was ahead does not put it off.
        let is_fresh = (used.asked_s..used.asked_s + refresh_s).contains(&now_s);
        !self.enforced && used.calls > 0 && !is_fresh
    }

    /// It is asked for now.
    pub fn quota_asked(&self, now_s: i64) {
        self.today(now_s).asked_s = now_s;
    }

    /// WeChat allows the account so many calls a day.
    pub fn learn(&self, now_s: i64, quota: u64) {
        self.today(now_s).quota = Some(quota);
    }

    /// What was used, as it was written down.
    pub fn restore(&self, now_s: i64, day: i64, calls: u64) {
        let mut used = self.lock();
        let today = beijing_day(now_s);
        let ahead = is_ahead(day, today);
        let day = if ahead { today } else { day };
        if (used.day, used.calls) < (day, calls) {
            *used = Used { day, calls, dirty: used.dirty || ahead, ..*used };
        }
    }

    /// What is to be written down, if anything has changed.
    pub fn unwritten(&self) -> Option<Used> {
        let mut used = self.lock();
        std::mem::take(&mut used.dirty).then_some(*used)
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn today(&self, now_s: i64) -> MutexGuard<'_, Used> {
        let mut used = self.lock();
        let today = beijing_day(now_s);
        // A clock that is set back gives nobody a second day.
        if used.day < today {
            *used = Used { day: today, calls: 0, said: 0, dirty: true, ..*used };
        } else if is_ahead(used.day, today) {
            *used = Used { day: today, dirty: true, ..*used };
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20 00:00:00 in Beijing.
    const MIDNIGHT: i64 = 1_795_104_000;

    fn count(limit: u64, enforced: bool) -> Count {
        Count { limit, enforced, used: Arc::default() }
    }

    #[test]
    fn the_day_begins_at_midnight_in_beijing() {
        assert_eq!(beijing_day(MIDNIGHT) - beijing_day(MIDNIGHT - 1), 1);
        assert_eq!(beijing_day(MIDNIGHT + DAY_S - 1), beijing_day(MIDNIGHT));
        let count = count(2, true);
        let take = |now_s| count.take(now_s);
        assert_eq!([take(MIDNIGHT - 1), take(MIDNIGHT - 1)], [Left::Some, Left::Some]);
        assert_eq!(take(MIDNIGHT - 1), Left::Refused);
        assert_eq!((take(MIDNIGHT), count.used(MIDNIGHT)), (Left::Some, 1));
        assert_eq!((take(MIDNIGHT - 1), take(MIDNIGHT - 1)), (Left::Some, Left::Refused));
    }

    #[test]
    fn a_reported_budget_is_said_once_and_lets_through() {
        let count = count(1, false);
        let took = [0; 4].map(|_| count.take(MIDNIGHT));
        assert_eq!(took, [Left::Some, Left::None, Left::Some, Left::Some]);
        assert_eq!((count.used(MIDNIGHT), count.limit(MIDNIGHT)), (4, 1));
        count.learn(MIDNIGHT, 500);
        assert_eq!(count.limit(MIDNIGHT), 500);
    }

    #[test]
    fn used_up_is_said_of_wechats_own_quota_where_that_is_the_measure() {
        let reported = count(1, false);
        reported.learn(MIDNIGHT, 3);
        let took = [0; 5].map(|_| reported.take(MIDNIGHT));
        assert_eq!(took, [Left::Some, Left::Some, Left::Some, Left::None, Left::Some]);
        // It was said of the budget, before the quota was known: it is said again of the quota.
        let early = count(1, false);
        assert_eq!([early.take(MIDNIGHT), early.take(MIDNIGHT)], [Left::Some, Left::None]);
        early.learn(MIDNIGHT, 2);
        assert_eq!([early.take(MIDNIGHT), early.take(MIDNIGHT)], [Left::None, Left::Some]);
        // And once every day.
        let tomorrow = MIDNIGHT + DAY_S;
        let took = [0; 3].map(|_| early.take(tomorrow));
        assert_eq!(took, [Left::Some, Left::Some, Left::None]);
        let enforced = count(1, true);
        enforced.learn(MIDNIGHT, 3);
        assert_eq!([0; 2].map(|_| enforced.take(MIDNIGHT)), [Left::Some, Left::Refused]);
    }

    /// What is written down of `count`.
    fn written(count: &Count) -> Used {
        count.unwritten().unwrap()
    }

    #[test]
    fn what_was_written_down_counts_on() {
        let first = count(3, true);
        first.take(MIDNIGHT);
        first.take(MIDNIGHT);
        let Used { day, calls, .. } = written(&first);
        assert_eq!(first.unwritten(), None);
        let second = count(3, true);
        second.restore(MIDNIGHT, day, calls);
        assert_eq!([second.take(MIDNIGHT), second.take(MIDNIGHT)], [Left::Some, Left::Refused]);
    }

    #[test]
    fn a_clock_that_was_years_ahead_locks_nobody_out_and_gives_nobody_a_second_day() {
        const AHEAD: i64 = MIDNIGHT + 10 * 365 * DAY_S;
        let today = beijing_day(MIDNIGHT);
        let running = count(2, true);
        assert_eq!([running.take(AHEAD), running.take(AHEAD)], [Left::Some, Left::Some]);
        assert_eq!(running.take(MIDNIGHT), Left::Refused, "what was used is used");
        assert_eq!(written(&running).day, today);
        assert_eq!(running.take(MIDNIGHT + DAY_S), Left::Some, "but tomorrow is another day");

        let restored = count(2, true);
        restored.restore(MIDNIGHT, beijing_day(AHEAD), 2);
        restored.restore(MIDNIGHT, today, 1);
        let Used { day, calls, .. } = written(&restored);
        assert_eq!((day, calls), (today, 2), "written down anew");
        assert_eq!(restored.take(MIDNIGHT), Left::Refused);
        assert_eq!(restored.take(MIDNIGHT + DAY_S), Left::Some);
        // A day ahead is a clock that is a little ahead at midnight.
        let tomorrow = count(2, true);
        tomorrow.restore(MIDNIGHT, today + 1, 2);
        assert_eq!(tomorrow.take(MIDNIGHT), Left::Refused);
        assert_eq!(tomorrow.take(MIDNIGHT + DAY_S), Left::Refused);
    }

    #[test]
    fn what_could_not_be_written_down_is_written_later_and_at_the_end_all_is() {
        let client = r#"
            [accounts.main]
            appid = 'wx1'
            token = 'abc'
            mode = 'plain'
            upstream.url = 'builtin:echo'
            [clients.crm]
            key = 'k'
            accounts = ['main']
            budgets = { '/a' = 5, '/b' = 5 }
        "#;
        let config = config::Config::parse(client, &BTreeMap::new()).unwrap();
        let budgets = Budgets::new(&config.clients, None);
        budgets.get("crm", "main", "/a").unwrap().take(MIDNIGHT);
        let first = budgets.unwritten();
        assert_eq!((first.len(), first[0].count), (1, 1));
        assert_eq!(budgets.unwritten(), Vec::new());
        budgets.not_written(&first);
        assert_eq!(budgets.unwritten(), first);
        assert_eq!(budgets.used(), first, "also what may still be on its way");
    }
}
