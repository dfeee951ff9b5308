//! Silences: alerts that nobody wants to hear of for a while. Alertmanager has its own, and hears of all.

use crate::alert::{Alert, Kind};
use crate::limits;
use crate::observation::Millis;
use serde::{Deserialize, Serialize};

/// What is not told until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its name.
    pub id: String,
    /// Of this kind only, if one is given.
    pub alert: Option<Kind>,
    /// Of this account only, if one is given.
    pub account: Option<String>,
    /// When it ends, in Unix seconds.
    pub until: i64,
    /// Why, in somebody's words.
    pub comment: String,
}

/// What a new silence should be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Of this kind only.
    #[serde(default)]
    pub alert: Option<Kind>,
    /// Of this account only.
    #[serde(default)]
    pub account: Option<String>,
    /// When it ends, in Unix seconds.
    pub until: i64,
    /// Why: at most [`limits::SILENCE_COMMENT`] characters.
    #[serde(default)]
    pub comment: String,
}

/// Why there is no such silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    /// It would silence everything.
    #[error("a silence needs an alert, an account or both")]
    Everything,
    /// It is over already.
    #[error("until must be in the future")]
    Past,
    /// It would be forgotten.
    #[error("until must be within {} days", limits::SILENCE_LONGEST.as_secs() / 86_400)]
    TooLong,
    /// The comment is.
    #[error("the comment may have {} characters", limits::SILENCE_COMMENT)]
    Comment,
    /// There are too many.
    #[error("there are {} silences already", limits::SILENCES)]
    TooMany,
}

/// All silences.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Silences {
    list: Vec<Silence>,
    /// So many there have been: ids are not used again.
    count: u64,
}

impl Silences {
    pub(super) fn list(&self) -> &[Silence] {
        &self.list
    }

    /// Adds one.
    ///
    /// # Errors
    /// When it is none, or one too many.
    pub(super) fn add(&mut self, now: Millis, wanted: Wanted) -> Result<Silence, SilenceError> {
        let now = (now / 1000).cast_signed();
        self.end(now);
        if wanted.alert.is_none() && wanted.account.is_none() {
            return Err(SilenceError::Everything);
        }
        if wanted.until <= now {
            return Err(SilenceError::Past);
        }
        if wanted.until - now > limits::SILENCE_LONGEST.as_secs().cast_signed() {
            return Err(SilenceError::TooLong);
        }
        if wanted.comment.chars().count() > limits::SILENCE_COMMENT {
            return Err(SilenceError::Comment);
        }
        if self.list.len() >= limits::SILENCES {
            return Err(SilenceError::TooMany);
        }
        self.count += 1;
        let Wanted { alert, account, until, comment } = wanted;
        let silence = Silence { id: self.count.to_string(), alert, account, until, comment };
        self.list.push(silence.clone());
        Ok(silence)
    }

    /// Ends one before its time; false when there is none of that name.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let before = self.list.len();
        self.list.retain(|silence| silence.id != id);
        self.list.len() < before
    }

    /// Forgets those that are over at `now`, in Unix seconds.
    pub(super) fn end(&mut self, now: i64) {
        self.list.retain(|silence| silence.until > now);
    }

    pub(super) fn silenced(&self, alert: &Alert) -> bool {
        self.list.iter().any(|silence| {
            silence.alert.is_none_or(|kind| kind == alert.kind)
                && (silence.account.is_none() || silence.account == alert.account)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::tests::alert;

    fn wanted(alert: Option<Kind>, account: Option<&str>, until: i64) -> Wanted {
        Wanted { alert, account: account.map(str::to_owned), until, comment: "why".to_owned() }
    }

    #[test]
    fn a_silence_is_of_a_kind_an_account_or_both() {
        let dns = alert(Kind::DnsFailure);
        let nobodys = Alert { account: None, ..dns.clone() };
        for (kind, account, expected) in [
            (Some(Kind::DnsFailure), None, (true, true)),
            (None, Some("main"), (true, false)),
            (Some(Kind::DnsFailure), Some("main"), (true, false)),
            (Some(Kind::DnsFailure), Some("other"), (false, false)),
            (Some(Kind::QuotaLow), Some("main"), (false, false)),
        ] {
            let mut silences = Silences::default();
            silences.add(0, wanted(kind, account, 10)).unwrap();
            assert_eq!((silences.silenced(&dns), silences.silenced(&nobodys)), expected);
        }
    }

    #[test]
    fn what_is_no_silence_is_refused() {
        let mut silences = Silences::default();
        let mut add = |wanted| silences.add(100_000, wanted).unwrap_err();
        assert_eq!(add(wanted(None, None, 200)), SilenceError::Everything);
        assert_eq!(add(wanted(None, Some("main"), 100)), SilenceError::Past);
        let month = 100 + 30 * 86_400;
        assert_eq!(add(wanted(None, Some("main"), month + 1)), SilenceError::TooLong);
        let long = Wanted { comment: "字".repeat(201), ..wanted(None, Some("main"), 200) };
        assert_eq!(add(long), SilenceError::Comment);
        assert!(silences.add(100_000, wanted(None, Some("main"), month)).is_ok());
    }

    #[test]
    fn they_are_bounded_and_named_once() {
        let mut silences = Silences::default();
        for _ in 0..limits::SILENCES {
            silences.add(0, wanted(None, Some("main"), 10)).unwrap();
        }
        let more = || wanted(None, Some("main"), 20);
        assert_eq!(silences.add(0, more()), Err(SilenceError::TooMany));
        assert!(silences.remove("64"));
        assert!(!silences.remove("64"));
        assert_eq!(silences.add(0, more()).unwrap().id, "65");
        assert!(silences.add(10_000, more()).is_ok(), "those that are over make room");
        assert_eq!(silences.list().len(), 2);
    }
}
