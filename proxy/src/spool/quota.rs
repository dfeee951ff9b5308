//! `spool.max_bytes`, shared so that one account's storm leaves room for the others.
//!
//! Half of the room is everybody's. The other half is divided: each account has its own share, which nobody else can use.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who uses how much.
#[derive(Debug, Default)]
pub(super) struct Quota(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    max_bytes: u64,
    /// What each account has for itself.
    share: u64,
    /// Bounded: appids come from the configuration and what it was.
    accounts: HashMap<String, u64>,
}

impl Quota {
    pub(super) fn configure(&self, max_bytes: u64, accounts: usize) {
        let mut used = self.used();
        used.max_bytes = max_bytes;
        used.share = max_bytes / 2 / accounts.max(1) as u64;
    }

    /// Takes room for one account, if there is any for it.
    pub(super) fn take(&self, appid: &str, bytes: u64) -> bool {
        let mut used = self.used();
        let all: u64 = used.accounts.values().sum();
        let own = used.accounts.get(appid).copied().unwrap_or(0);
        let beyond = |bytes: u64| bytes.saturating_sub(used.share);
        let shared: u64 = used.accounts.values().copied().map(beyond).sum();
        let shared = shared - beyond(own) + beyond(own + bytes);
        let room = beyond(own + bytes) == 0 || shared <= used.max_bytes / 2;
        // The bound is a bound also when the configuration has just made it smaller.
        if !room || all + bytes > used.max_bytes {
            return false;
        }
        used.add(appid, bytes);
        true
    }

    /// Counts what is there already.
    pub(super) fn restore(&self, appid: &str, bytes: u64) {
        self.used().add(appid, bytes);
    }

    /// Gives room back.
    pub(super) fn give_back(&self, appid: &str, bytes: u64) {
        if let Some(own) = self.used().accounts.get_mut(appid) {
            *own = own.saturating_sub(bytes);
        }
    }

    /// What all accounts use.
    pub(super) fn bytes(&self) -> u64 {
        self.used().accounts.values().sum()
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn add(&mut self, appid: &str, bytes: u64) {
        match self.accounts.get_mut(appid) {
            Some(own) => *own += bytes,
            None => {
                self.accounts.insert(appid.to_owned(), bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Quota;

    #[test]
    fn one_account_has_all_the_room() {
        let quota = Quota::default();
        quota.configure(1_000, 1);
        assert!(quota.take("a", 1_000));
        assert!(!quota.take("a", 1));
        quota.give_back("a", 1);
        assert!(quota.take("a", 1));
    }

    #[test]
    fn a_storm_leaves_the_others_their_share() {
        let quota = Quota::default();
        quota.configure(1_000, 2);
        assert!(quota.take("a", 750));
        assert!(!quota.take("a", 1));
        assert!(quota.take("b", 250));
        assert!(!quota.take("b", 1));
    }

    #[test]
    fn a_smaller_bound_takes_nothing_away_but_lets_nothing_in() {
        let quota = Quota::default();
        quota.configure(1_000, 1);
        assert!(quota.take("a", 900));
        quota.configure(500, 1);
        assert!(!quota.take("a", 1));
        quota.give_back("a", 500);
        assert!(quota.take("a", 100));
        assert_eq!(quota.bytes(), 500);
    }
}
