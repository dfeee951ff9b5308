//! When which target is looked at. It knows no clock and no network: it is told the time.

use crate::config;
use crate::edge::status::{Account, Status};
use crate::limits;
use crate::probe::url::literal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// An account's public URL.
    Callback { account: String },
    /// An account's callback URL, by WeChat.
    Check { account: String },
    /// The name of an account's app.
    App { account: String, host: String },
    /// One of WeChat's servers.
    ApiBase { base: Url },
}

/// The targets and when each is due.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    entries: BTreeMap<Target, Entry>,
}

#[derive(Debug)]
struct Entry {
    due: Instant,
    running: bool,
    /// Not a target any more, but a look at it still runs.
    gone: bool,
}

/// The targets of a configuration and a status, at most [`limits::TARGETS`].
pub(super) fn targets(probe: &config::Probe, status: &Status) -> BTreeSet<Target> {
    let callbacks = probe.public_url.keys().cloned().map(|account| Target::Callback { account });
    let bases = status.api_base.iter().filter(|base| !base.by_proxy);
    let bases = bases.filter_map(|base| base.base.parse().ok());
    let bases = bases.map(|base| Target::ApiBase { base });
    let checks = status.accounts.iter().filter(|account| !account.credentials.is_empty());
    let checks = checks.map(|account| Target::Check { account: account.account.clone() });
    let apps = status.accounts.iter().filter_map(app);
    callbacks.chain(bases).chain(checks).chain(apps).take(limits::TARGETS).collect()
}

/// The app, when its host is a name.
fn app(Account { account, upstream, .. }: &Account) -> Option<Target> {
    let host = &upstream.host;
    let named = !host.is_empty() && !host.starts_with("builtin:") && literal(host).is_none();
    named.then(|| Target::App { account: account.clone(), host: host.clone() })
}

impl Schedule {
    /// Nothing to look at; `interval` is from one look to the next.
    pub(super) fn new(interval: Duration) -> Schedule {
        Schedule { interval, entries: BTreeMap::new() }
    }

    /// Takes over what is to be looked at from now on. What is new is due soon, the rest stays due when it was.
    pub(super) fn follow(&mut self, targets: BTreeSet<Target>, now: Instant) {
        self.entries.retain(|target, entry| {
            entry.gone = !targets.contains(target);
            entry.running || !entry.gone
        });
        for target in targets {
            let spread = limits::FIRST_LOOK.min(self.interval).mul_f64(rand::random());
            let fresh = Entry { due: now + spread, running: false, gone: false };
            self.entries.entry(target).or_insert(fresh);
        }
    }

    /// When the next target is due; nothing while there is none that could be.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting().map(|(_, entry)| entry.due).min()
    }

    /// The target that is due longest. It is not due again before its look has [`ended`](Schedule::ended).
    pub(super) fn start(&mut self, now: Instant) -> Option<Target> {
        let due = self.waiting().filter(|(_, entry)| entry.due <= now);
        let target = due.min_by_key(|(_, entry)| entry.due)?.0.clone();
        let interval = match target {
            Target::Check { .. } => limits::CHECK_INTERVAL,
            _ => self.interval,
        };
        let entry = self.entries.get_mut(&target)?;
        entry.running = true;
        // ±20 %, so that the looks of several sidecars and targets do not stay together.
        entry.due = now + interval.mul_f64(0.8 + 0.4 * rand::random::<f64>());
        Some(target)
    }

    /// The look at a target has ended.
    pub(super) fn ended(&mut self, target: &Target) {
        if let Some(entry) = self.entries.get_mut(target) {
            entry.running = false;
            if entry.gone {
                self.entries.remove(target);
            }
        }
    }

    fn waiting(&self) -> impl Iterator<Item = (&Target, &Entry)> {
        self.entries.iter().filter(|(_, entry)| !entry.running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn callback(account: &str) -> Target {
        Target::Callback { account: account.to_owned() }
    }

    #[test]
    fn a_status_says_what_is_looked_at() {
        let status = serde_json::json!({
            "api_base": [
                {"base": "https://api.example.com", "up": true},
                {"base": "https://api2.example.com", "up": true, "by_proxy": true},
            ],
            "accounts": [
                {"account": "a", "upstream": {"host": "app.internal"},
                    "credentials": [{"credential": "access_token", "state": "ok"}]},
                {"account": "b", "upstream": {"host": "builtin:echo"}},
                {"account": "c", "upstream": {"host": "[::1]"}},
            ],
        });
        let config = config::Config::parse(
            "[probe.public_url]\na = 'http://example.com/a'",
            &BTreeMap::new(),
        );
        let targets = targets(&config.unwrap().probe, &serde_json::from_value(status).unwrap());
        let a = || "a".to_owned();
        let expected = BTreeSet::from([
            callback("a"),
            Target::ApiBase { base: "https://api.example.com".parse().unwrap() },
            Target::Check { account: a() },
            Target::App { account: a(), host: "app.internal".to_owned() },
        ]);
        assert_eq!(targets, expected);
    }

    #[test]
    fn every_target_is_due_soon_and_then_once_an_interval() {
        let (mut schedule, start) = (Schedule::new(INTERVAL), Instant::now());
        schedule.follow(BTreeSet::from([callback("a"), callback("b")]), start);
        assert!(schedule.next_due().unwrap() < start + limits::FIRST_LOOK);
        let now = start + limits::FIRST_LOOK;
        let first = schedule.start(now).unwrap();
        let second = schedule.start(now).unwrap();
        assert_ne!(first, second);
        // None is looked at twice at once, however long a look takes.
        assert_eq!((schedule.start(now + INTERVAL * 10), schedule.next_due()), (None, None));
        schedule.ended(&first);
        let due = schedule.next_due().unwrap() - now;
        assert!(due >= INTERVAL.mul_f64(0.8) && due <= INTERVAL.mul_f64(1.2), "{due:?}");
        assert_eq!(schedule.start(now + INTERVAL.mul_f64(1.2)), Some(first));
    }

    #[test]
    fn wechat_is_asked_every_ten_minutes_only() {
        let (mut schedule, start) = (Schedule::new(INTERVAL), Instant::now());
        schedule.follow(BTreeSet::from([Target::Check { account: "a".to_owned() }]), start);
        let now = start + limits::FIRST_LOOK;
        let target = schedule.start(now).unwrap();
        schedule.ended(&target);
        assert!(schedule.next_due().unwrap() - now >= limits::CHECK_INTERVAL.mul_f64(0.8));
    }

    #[test]
    fn targets_come_and_go_but_no_look_runs_twice() {
        let (mut schedule, start) = (Schedule::new(INTERVAL), Instant::now());
        let later = start + limits::FIRST_LOOK;
        schedule.follow(BTreeSet::from([callback("a")]), start);
        assert_eq!(schedule.start(later), Some(callback("a")));
        schedule.follow(BTreeSet::from([callback("b")]), later);
        schedule.follow(BTreeSet::from([callback("a"), callback("b")]), later);
        let now = later + INTERVAL * 2;
        assert_eq!((schedule.start(now), schedule.start(now)), (Some(callback("b")), None));
        schedule.follow(BTreeSet::from([]), now);
        schedule.ended(&callback("a"));
        schedule.ended(&callback("b"));
        assert_eq!(schedule.entries.len(), 0);
    }

    #[test]
    fn there_are_not_more_targets_than_can_be_looked_at() {
        let accounts = (0..limits::TARGETS + 5).map(|n| {
            let account = format!("a{n}");
            let upstream =
                crate::edge::status::Upstream { host: "app".into(), ..Default::default() };
            Account { account, upstream, ..Account::default() }
        });
        let status = Status { accounts: accounts.collect(), ..Status::default() };
        let probe = config::Config::parse("", &BTreeMap::new()).unwrap().probe;
        assert_eq!(targets(&probe, &status).len(), limits::TARGETS);
    }
}
