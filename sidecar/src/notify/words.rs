//! The words of messages, in both languages. Where WeChat has a name for an alarm, it is that one.

use crate::alert::{Kind, Severity};
use crate::config::Language::{self, Chinese, English};

/// What an alert is called.
pub(super) fn name(kind: Kind, language: Language) -> &'static str {
    let (chinese, english) = match kind {
        Kind::DnsFailure => ("DNS失败", "DNS failure"),
        Kind::DnsTimeout => ("DNS超时", "DNS timeout"),
        Kind::ConnectTimeout => ("连接超时", "Connection timeout"),
        Kind::RequestTimeout => ("请求超时", "Request timeout"),
        Kind::ResponseInvalid => ("回应失败", "Invalid response"),
        Kind::MarkFail => ("MarkFail（自动屏蔽）", "MarkFail (WeChat stopped pushing)"),
        Kind::MarkFailRisk => ("MarkFail风险", "MarkFail at risk"),
        Kind::ProxyDown => ("代理无响应", "Proxy down"),
        Kind::TokenFailure => ("凭证刷新失败", "Token failure"),
        Kind::TokenForeignRefresh => ("凭证被其他系统刷新", "Token refreshed elsewhere"),
        Kind::QuotaLow => ("接口额度将用尽", "Quota low"),
        Kind::SpoolBacklog => ("消息积压", "Spool backlog"),
        Kind::SignatureFailures => ("签名校验失败", "Signature failures"),
        Kind::TlsExpiry => ("证书即将到期", "Certificate expires"),
    };
    match language {
        Chinese => chinese,
        English => english,
    }
}

pub(super) fn severity(severity: Severity, language: Language) -> &'static str {
    match (severity, language) {
        (Severity::Critical, Chinese) => "紧急",
        (Severity::High, Chinese) => "严重",
        (Severity::Medium, Chinese) => "注意",
        (Severity::Critical, English) => "critical",
        (Severity::High, English) => "high",
        (Severity::Medium, English) => "medium",
    }
}

/// The words between the facts.
pub(super) struct Words {
    /// After a label.
    pub(super) colon: &'static str,
    pub(super) account: &'static str,
    pub(super) first: &'static str,
    pub(super) description: &'static str,
    /// The same of what is over.
    pub(super) was: &'static str,
    pub(super) count: &'static str,
    pub(super) example: &'static str,
    pub(super) action: &'static str,
    pub(super) still: &'static str,
    pub(super) resolved: &'static str,
    pub(super) until: &'static str,
}

pub(super) fn words(language: Language) -> &'static Words {
    match language {
        Chinese => &Words {
            colon: "：",
            account: "账号",
            first: "首次",
            description: "内容",
            was: "此前",
            count: "次数",
            example: "错误样例",
            action: "处理",
            still: "仍在告警",
            resolved: "已恢复",
            until: "至",
        },
        English => &Words {
            colon: ": ",
            account: "Account",
            first: "First",
            description: "What",
            was: "Was",
            count: "Count",
            example: "Example",
            action: "To do",
            still: "still firing",
            resolved: "resolved",
            until: "until",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_says_the_same() {
        let console = include_str!("../console/words.js");
        let row = |key: String, word: &dyn Fn(Language) -> &'static str| {
            let row = format!("\n  {key}: ['{}', '{}'],\n", word(Chinese), word(English));
            assert!(console.contains(&row), "{row}");
        };
        for kind in Kind::ALL {
            row(format!("alert_{}", kind.name()), &|language| name(kind, language));
        }
        for (key, one) in [
            ("sev_critical", Severity::Critical),
            ("sev_high", Severity::High),
            ("sev_medium", Severity::Medium),
        ] {
            row(key.to_owned(), &|language| severity(one, language));
        }
    }
}
