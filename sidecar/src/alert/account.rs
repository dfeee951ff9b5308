//! What the rules remember of one account.

use super::app::App;
use super::book::Sign;
use super::pushing::Pushing;
use super::quota::Quota;
use super::signatures::Signatures;
use super::token::{News, Tokens};
use crate::config;
use crate::edge::event::{Failure, Summary};
use crate::edge::status;
use crate::observation::Millis;
use serde::{Deserialize, Serialize};

/// One account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) app: App,
    pub(super) signatures: Signatures,
    pub(super) tokens: Tokens,
    pub(super) pushing: Pushing,
    quota: Quota,
}

/// What all accounts are judged by.
pub(super) struct Ground<'a> {
    pub(super) terms: &'a config::MarkFail,
    /// How far signs' times are ahead of the wall clock.
    pub(super) ahead: Millis,
    /// How far the clock is ahead of WeChat's, when that is too far.
    pub(super) clock_ahead_s: Option<i64>,
}

impl Account {
    pub(super) fn new(terms: &config::MarkFail) -> Account {
        Account {
            app: App::default(),
            signatures: Signatures::default(),
            tokens: Tokens::default(),
            pushing: Pushing::new(terms),
            quota: Quota::default(),
        }
    }

    pub(super) fn summary(&mut self, at: Millis, summary: &Summary) {
        self.app.summary(at, summary);
        self.signatures.summary(at, summary);
        self.pushing.summary(summary);
    }

    pub(super) fn failure(&mut self, at: Millis, failure: &Failure) {
        self.app.failure(at, failure);
        self.signatures.failure(failure);
        self.pushing.failure(failure);
    }

    pub(super) fn token(&mut self, at: Millis, result: &str, news: &News<'_>) {
        self.tokens.event(at, result, news);
    }

    pub(super) fn status(&mut self, at: Millis, status: &status::Account) {
        self.app.status(at, &status.upstream);
        self.tokens.status(at, &status.credentials);
        self.quota.status(at, status);
    }

    /// `seen_since` is since when all that happens is seen.
    pub(super) fn tick(&mut self, now: Millis, seen_since: Option<Millis>) {
        self.app.tick(now, seen_since);
        self.signatures.tick(now, seen_since);
        self.tokens.tick(now, seen_since);
    }

    pub(super) fn signs(&self, now: Millis, account: &str, ground: &Ground<'_>) -> Vec<Sign> {
        let mut signs = self.app.signs(now, account);
        signs.extend(self.tokens.signs(now, account));
        signs.extend(self.quota.sign(account));
        signs.extend(self.signatures.sign(now, account, ground.clock_ahead_s));
        signs.extend(self.pushing.signs(account, ground.terms, ground.ahead));
        signs
    }
}
