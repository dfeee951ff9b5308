//! How access tokens come and go. Source: protocol.md §5.1.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rand::distr::{Alphanumeric, SampleString};

use crate::canary;

/// How long an old token serves beside the new one, and how long before its end `stable_token` has a new one.
const GRACE: Duration = Duration::from_secs(300);
/// Forced refreshes in less than this do not refresh.
const FORCE_SPACING: Duration = Duration::from_secs(30);
/// How many tokens are remembered; older ones are unknown.
const REMEMBERED: usize = 10_000;

/// What an endpoint hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) text: String,
    pub(super) expires_in_s: u64,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invalid {
    /// Nobody ever got it.
    Unknown,
    /// Its time is up.
    Expired,
    /// A later one has replaced it.
    NotLatest,
}

#[derive(Debug)]
struct Token {
    appid: String,
    expires: Duration,
    /// When it is dead because of a later one; that may be after it would have expired.
    replaced: Option<Duration>,
    /// It serves no more, but the endpoint does not know.
    refused: bool,
}

impl Token {
    fn state(&self, now: Duration) -> Result<(), Invalid> {
        match self.replaced {
            _ if self.refused => Err(Invalid::NotLatest),
            Some(dead) if now >= dead => Err(Invalid::NotLatest),
            None if now >= self.expires => Err(Invalid::Expired),
            _ => Ok(()),
        }
    }
}

/// What an account has at the moment, by endpoint.
#[derive(Debug, Default)]
struct Current {
    plain: Option<String>,
    stable: Option<String>,
    forced: Option<Duration>,
}

/// The tokens of all accounts.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) length: usize,
    pub(super) lifetime: Duration,
    /// How long an old token of `/cgi-bin/token` serves beside the new one.
    pub(super) grace: Duration,
    issued: HashMap<String, Token>,
    order: VecDeque<String>,
    current: HashMap<String, Current>,
}

impl Tokens {
    pub(super) fn new() -> Tokens {
        Tokens {
            length: 157,
            lifetime: Duration::from_secs(7200),
            grace: GRACE,
            issued: HashMap::new(),
            order: VecDeque::new(),
            current: HashMap::new(),
        }
    }

    /// `/cgi-bin/token`: always a new one.
    pub(super) fn plain(&mut self, appid: &str, now: Duration) -> Granted {
        let granted = self.issue(appid, now);
        let new = Some(granted.text.clone());
        let old = std::mem::replace(&mut self.current(appid).plain, new);
        self.replace(old, now + self.grace);
        granted
    }

    /// `/cgi-bin/stable_token`: the same one until its last five minutes.
    pub(super) fn stable(&mut self, appid: &str, now: Duration) -> Granted {
        match self.stable_now(appid, now) {
            Some(granted) if granted.expires_in_s > GRACE.as_secs() => granted,
            _ => self.renew(appid, now, now + GRACE),
        }
    }

    /// Whether a forced refresh would be one.
    pub(super) fn would_force(&self, appid: &str, now: Duration) -> bool {
        let forced = self.current.get(appid).and_then(|current| current.forced);
        forced.is_none_or(|at| now >= at + FORCE_SPACING) || self.stable_now(appid, now).is_none()
    }

    /// `force_refresh`: the old one is dead at once.
    pub(super) fn force(&mut self, appid: &str, now: Duration) -> Granted {
        self.current(appid).forced = Some(now);
        self.renew(appid, now, now)
    }

    /// The account whose token this is.
    pub(super) fn owner(&self, text: &str, now: Duration) -> Result<&str, Invalid> {
        let token = self.issued.get(text).ok_or(Invalid::Unknown)?;
        token.state(now).map(|()| token.appid.as_str())
    }

    /// Another system has refreshed: every token of the account is dead, and the stable endpoint has a new one.
    pub(super) fn kill(&mut self, appid: &str, now: Duration) {
        for token in self.issued.values_mut().filter(|token| token.appid == appid) {
            token.replaced = Some(token.replaced.map_or(now, |dead| dead.min(now)));
        }
        self.renew(appid, now, now);
    }

    /// The current tokens serve no more, but the stable endpoint goes on handing its one out.
    pub(super) fn refuse_current(&mut self, appid: &str) {
        let current = self.current(appid);
        for text in [current.plain.clone(), current.stable.clone()].into_iter().flatten() {
            if let Some(token) = self.issued.get_mut(&text) {
                token.refused = true;
            }
        }
    }

    /// What `/cgi-bin/stable_token` would hand out at this moment, if it is not too old.
    pub(super) fn stable_now(&self, appid: &str, now: Duration) -> Option<Granted> {
        let text = self.current.get(appid)?.stable.as_ref()?;
        let left = self.issued.get(text)?.expires.checked_sub(now)?;
        let expires_in_s = left.as_secs();
        (expires_in_s > 0).then(|| Granted { text: text.clone(), expires_in_s })
    }

    fn renew(&mut self, appid: &str, now: Duration, old_dies: Duration) -> Granted {
        let granted = self.issue(appid, now);
        let new = Some(granted.text.clone());
        let old = std::mem::replace(&mut self.current(appid).stable, new);
        self.replace(old, old_dies);
        granted
    }

    fn issue(&mut self, appid: &str, now: Duration) -> Granted {
        let text = random_text(canary::ACCESS_TOKEN_PREFIX, self.length);
        let token = Token {
            appid: appid.to_owned(),
            expires: now + self.lifetime,
            replaced: None,
            refused: false,
        };
        self.issued.insert(text.clone(), token);
        self.order.push_back(text.clone());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.issued.remove(&oldest);
        }
        Granted { text, expires_in_s: self.lifetime.as_secs() }
    }

    /// Nothing brings a dead token back.
    fn replace(&mut self, old: Option<String>, dies: Duration) {
        let token = old.and_then(|text| self.issued.get_mut(&text));
        if let Some(token) = token.filter(|token| token.replaced.is_none()) {
            token.replaced = Some(dies);
        }
    }

    fn current(&mut self, appid: &str) -> &mut Current {
        self.current.entry(appid.to_owned()).or_default()
    }
}

/// Text that begins with `prefix` and looks random.
pub(super) fn random_text(prefix: &str, length: usize) -> String {
    let rest = length.saturating_sub(prefix.len()).max(16);
    format!("{prefix}{}", Alphanumeric.sample_string(&mut rand::rng(), rest))
}
