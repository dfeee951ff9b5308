//! The words of the doctor, all of them, in both languages.

mod credentials;
mod faults;
mod labels;
mod topics;

use super::report::Trouble;
use crate::config::Language;
use crate::observation::FaultKind;

/// The words of one language.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words(pub(super) Language);

/// In Chinese and in English.
type Both = [&'static str; 2];

/// What it means, and what to do about it.
#[derive(Debug, Clone, Copy)]
struct Advice {
    meaning: Both,
    fix: Both,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Worth knowing; all is well nevertheless.
    Hint,
    /// Something has to be done.
    Problem,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Edge,
    Admin,
    Api,
    Version,
    Ready,
    Store,
    Configuration,
    Accounts,
    Account,
    PublicUrl,
    Dns,
    Tcp,
    Tls,
    Echo,
    CallbackCheck,
    Clock,
    Circuit,
    Credential,
    SourceIp,
    Refused,
    Taken,
    ApiBase,
    FromTheEdge,
    Notifications,
    Channels,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// What a probe found.
    Fault(FaultKind),
    /// A token or ticket that WeChat does not give: its errcode, 0 when it gave none.
    Credential(i64),
    EdgeDown,
    EdgeSilent,
    KeyWrong,
    NoEdge,
    ApiSilent,
    VersionDiffers,
    NotReady,
    StoreReadOnly,
    ConfigRefused,
    NoAccounts,
    UnknownAccount,
    NoPublicUrl,
    CircuitOpen,
    NoSourceIps,
    SignaturesRefused,
    DecryptionFails,
    OutsideTheWindow,
    ApiBaseDown,
    NoNotifications,
}

impl Topic {
    /// As bad as it usually is.
    pub(super) fn trouble(self) -> Trouble {
        Trouble { topic: self, level: self.level() }
    }

    fn level(self) -> Level {
        match self {
            Topic::Fault(kind) => faults::level(kind),
            Topic::ApiSilent
            | Topic::VersionDiffers
            | Topic::NoAccounts
            | Topic::NoPublicUrl
            | Topic::NoSourceIps
            | Topic::NoNotifications => Level::Hint,
            Topic::Credential(_)
            | Topic::EdgeDown
            | Topic::EdgeSilent
            | Topic::KeyWrong
            | Topic::NoEdge
            | Topic::NotReady
            | Topic::StoreReadOnly
            | Topic::ConfigRefused
            | Topic::UnknownAccount
            | Topic::CircuitOpen
            | Topic::SignaturesRefused
            | Topic::DecryptionFails
            | Topic::OutsideTheWindow
            | Topic::ApiBaseDown => Level::Problem,
        }
    }
}

impl Words {
    /// The name of what is looked at.
    pub(super) fn label(self, label: Label) -> &'static str {
        self.of(labels::label(label))
    }

    /// What it means, and what to do about it.
    pub(super) fn explain(self, topic: Topic) -> (&'static str, &'static str) {
        let advice = topics::advice(topic);
        (self.of(advice.meaning), self.of(advice.fix))
    }

    /// Stands before what to do.
    pub(super) fn to_do(self) -> &'static str {
        self.of(["处理：", "To do: "])
    }

    /// Instead of what was explained before.
    pub(super) fn as_above(self) -> &'static str {
        self.of(["原因和处理同上。", "As above."])
    }

    /// How long a certificate is valid.
    pub(super) fn days_left(self, days: i64) -> String {
        match self.0 {
            Language::Chinese => format!("还有 {days} 天到期"),
            Language::English => format!("{days} days left"),
        }
    }

    /// The last line.
    pub(super) fn sum(self, problems: usize, hints: usize) -> String {
        match (self.0, problems, hints) {
            (Language::Chinese, 0, 0) => "一切正常。".to_owned(),
            (Language::Chinese, ..) => format!("{problems} 个问题，{hints} 个提示。"),
            (Language::English, 0, 0) => "All is well.".to_owned(),
            (Language::English, ..) => format!("Problems: {problems}. Hints: {hints}."),
        }
    }

    fn of(self, [chinese, english]: Both) -> &'static str {
        match self.0 {
            Language::Chinese => chinese,
            Language::English => english,
        }
    }
}
