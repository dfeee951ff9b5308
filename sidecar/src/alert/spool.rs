//! `spool_backlog`: an account's oldest pending message is over 60 s old, or it has dead letters; an appid that no account
//! has any more has any; or the store is 80 % full or cannot be written, which is nobody's.

use super::book::{Level, Sign};
use super::{Cause, Kind};
use crate::edge::status::{self, Orphan, Store};
use crate::limits;
use crate::observation::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const OLDEST_S: u64 = 60;
const FULL_PERCENT: u64 = 80;
/// Below this it is over, so that one that comes and goes around the other is said once.
const NOT_FULL_PERCENT: u64 = 75;

/// What waits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Spool {
    accounts: BTreeMap<String, Held<status::Spool>>,
    /// By appid.
    #[serde(default)]
    orphans: BTreeMap<String, Held<status::Spool>>,
    store: Option<Held<Store>>,
}

/// Something that is so since then, as the status had it last.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Held<T> {
    first: Millis,
    last: Millis,
    of: T,
}

impl Spool {
    pub(super) fn status(&mut self, at: Millis, status: &status::Status) {
        let accounts = status.accounts.iter().map(|one| (&one.account, &one.spool));
        let behind = accounts.filter(|(_, spool)| Cause::backlog(spool).is_some());
        self.accounts = held(&self.accounts, at, behind);
        let left = status.spool_orphans.iter().filter(|one| Cause::orphans(one).is_some());
        let left = left.map(|one| (&one.appid, &one.spool));
        self.orphans = held(&self.orphans, at, left.take(limits::ALERT_ACCOUNTS));
        let percent = if self.store.is_some() { NOT_FULL_PERCENT } else { FULL_PERCENT };
        let first = self.store.as_ref().map_or(at, |held| held.first);
        let held = Held { first, last: at, of: status.store.clone() };
        self.store = bad(&status.store, percent).then_some(held);
    }

    pub(super) fn signs(&self) -> Vec<Sign> {
        let backlog = |(account, held): (&String, &Held<status::Spool>)| {
            let cause = Cause::backlog(&held.of)?;
            Some(sign(Some(account.clone()), held, cause, held.of.pending + held.of.dead))
        };
        let orphan = |(appid, held): (&String, &Held<status::Spool>)| {
            let cause = Cause::orphans(&Orphan { appid: appid.clone(), spool: held.of.clone() })?;
            Some(sign(Some(appid.clone()), held, cause, held.of.pending + held.of.dead))
        };
        let store = self.store.as_ref().map(|held| sign(None, held, cause_of(&held.of), 1));
        let accounts = self.accounts.iter().filter_map(backlog);
        accounts.chain(self.orphans.iter().filter_map(orphan)).chain(store).collect()
    }
}

impl Cause {
    /// That an account's messages wait for too long, or are given up; none when neither is so.
    pub(crate) fn backlog(spool: &status::Spool) -> Option<Cause> {
        let status::Spool { pending, dead, oldest_s } = *spool;
        (oldest_s > OLDEST_S || dead > 0).then_some(Cause::Backlog { pending, oldest_s, dead })
    }

    /// That messages have no account any more; none when there are none.
    pub(crate) fn orphans(Orphan { appid, spool }: &Orphan) -> Option<Cause> {
        let status::Spool { pending, dead, .. } = *spool;
        (pending + dead > 0).then(|| Cause::Orphans { appid: appid.clone(), pending, dead })
    }

    /// That the store is nearly full or cannot be written; none when it is well.
    pub(crate) fn store(store: &Store) -> Option<Cause> {
        bad(store, FULL_PERCENT).then(|| cause_of(store))
    }
}

/// Whether the store cannot be written, or is that full.
fn bad(store: &Store, percent: u64) -> bool {
    let full = store.bytes_max > 0
        && u128::from(store.bytes) * 100 >= u128::from(store.bytes_max) * u128::from(percent);
    full || !store.writable
}

fn cause_of(store: &Store) -> Cause {
    let Store { writable, bytes, bytes_max, .. } = *store;
    Cause::Store { writable, bytes, bytes_max }
}

/// What is held now, each since it was first seen.
fn held<'a>(
    before: &BTreeMap<String, Held<status::Spool>>,
    at: Millis,
    now: impl Iterator<Item = (&'a String, &'a status::Spool)>,
) -> BTreeMap<String, Held<status::Spool>> {
    now.map(|(name, spool)| {
        let first = before.get(name).map_or(at, |held| held.first);
        (name.clone(), Held { first, last: at, of: spool.clone() })
    })
    .collect()
}

fn sign<T>(account: Option<String>, held: &Held<T>, cause: Cause, count: u64) -> Sign {
    Sign {
        kind: Kind::SpoolBacklog,
        account,
        level: Level::Firing,
        severity: Kind::SpoolBacklog.severity(),
        cause,
        first: held.first,
        last: held.last,
        count,
        window_s: 0,
        example: None,
    }
}
