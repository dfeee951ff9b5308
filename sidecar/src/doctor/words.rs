//! The words of the doctor, in both languages. What an alert says as well is said in the alert's words.

mod faults;
mod labels;
mod topics;

use super::report::Trouble;
use crate::alert::Cause;
use crate::config::Language;
use crate::edge::status::Spool;
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
    Orphans,
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
    Spool,
    Credential,
    SourceIp,
    Refused,
    Taken,
    ApiBase,
    FromTheEdge,
    FromHere,
    Notifications,
    Channels,
}

/// What can be wrong.
#[derive(Debug, PartialEq)]
pub(super) enum Topic {
    /// What a probe found.
    Fault(FaultKind),
    /// What an alert would say.
    Alert(Cause),
    EdgeDown,
    EdgeSilent,
    KeyWrong,
    NoEdge,
    ApiSilent,
    VersionDiffers,
    NotReady,
    StoreDamaged,
    StoreSalvaged,
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
        let level = self.level();
        Trouble { topic: self, level }
    }

    fn level(&self) -> Level {
        match self {
            Topic::Fault(kind) => faults::level(*kind),
            Topic::ApiSilent
            | Topic::VersionDiffers
            | Topic::StoreSalvaged
            | Topic::NoAccounts
            | Topic::NoPublicUrl
            | Topic::NoSourceIps
            | Topic::NoNotifications => Level::Hint,
            Topic::Alert(_)
            | Topic::EdgeDown
            | Topic::EdgeSilent
            | Topic::KeyWrong
            | Topic::NoEdge
            | Topic::NotReady
            | Topic::StoreDamaged
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
    pub(super) fn explain(self, topic: &Topic) -> (String, String) {
        match topics::advice(topic) {
            Ok(advice) => (self.of(advice.meaning).to_owned(), self.of(advice.fix).to_owned()),
            Err(cause) => (cause.description(self.0), cause.action(self.0)),
        }
    }

    /// Stands before what to do.
    pub(super) fn to_do(self) -> &'static str {
        self.of(["处理：", "To do: "])
    }

    /// Instead of what was explained before.
    pub(super) fn as_above(self) -> &'static str {
        self.of(["原因和处理同上。", "As above."])
    }

    /// Of what the edge reaches another way.
    pub(super) fn behind_a_proxy(self) -> &'static str {
        self.of([
            "经出口代理访问，不直接探测",
            "reached by the egress proxy, so not looked at directly",
        ])
    }

    /// Of what only the edge can try.
    pub(super) fn not_tried_yet(self) -> &'static str {
        self.of(["尚未探测", "not tried yet"])
    }

    /// What waits for an app.
    pub(super) fn spool(self, Spool { pending, dead, oldest_s }: &Spool) -> String {
        match self.0 {
            Language::Chinese if *pending > 0 => {
                format!("待投 {pending} 条，最早的已等 {oldest_s} 秒；死信 {dead} 条")
            }
            Language::Chinese => format!("没有待投；死信 {dead} 条"),
            Language::English if *pending > 0 => {
                format!("{pending} pending, the oldest for {oldest_s} s; dead letters: {dead}")
            }
            Language::English => format!("nothing pending; dead letters: {dead}"),
        }
    }

    /// What was left of a store that was damaged.
    pub(super) fn salvaged(self, saved: u64, lost: u64, folder: &str) -> String {
        match self.0 {
            Language::Chinese => format!("救回 {saved} 条，丢失 {lost} 条；原文件在 {folder}"),
            Language::English => format!("{saved} saved, {lost} lost; what it was is in {folder}"),
        }
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
