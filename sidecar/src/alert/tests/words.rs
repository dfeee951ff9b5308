//! The words of every cause, in both languages.

use super::*;
use crate::alert::{Cause, Reason};
use crate::config::Language;

const URL_FAULTS: [FaultKind; 12] = [
    FaultKind::ConnectRefused,
    FaultKind::ConnectTimeout,
    FaultKind::AnswerTimeout,
    FaultKind::TlsInvalid,
    FaultKind::TlsExpired,
    FaultKind::Redirect,
    FaultKind::AnswerStatus,
    FaultKind::EchoQuoted,
    FaultKind::EchoWrong,
    FaultKind::SignatureRefused,
    FaultKind::WrongPort,
    FaultKind::EdgeUnavailable,
];
const REASONS: [&str; 8] =
    ["dns", "dns_timeout", "connect", "connect_timeout", "timeout", "status", "invalid", "reset"];
const ERRCODES: [i64; 19] = [
    -1, 40001, 40013, 40014, 40125, 40164, 40243, 41002, 41004, 45009, 45011, 48001, 50002, 61004,
    89501, 89503, 89506, 89507, 12345,
];

fn app(reason: &str, host: &str) -> Cause {
    unasked(reason, host, 5, 0, false)
}

fn unasked(reason: &str, host: &str, failures: u64, unasked: u64, open: bool) -> Cause {
    let reason: Reason = serde_json::from_value(reason.into()).unwrap();
    Cause::App { reason, host: host.to_owned(), failures, deliveries: 40, unasked, open }
}

fn token(credential: &str, errcode: Option<i64>, action: Option<&str>) -> Cause {
    let (credential, action) = (credential.to_owned(), action.map(str::to_owned));
    Cause::Token { credential, errcode, action }
}

/// Every cause, with all that makes its words differ.
fn causes() -> Vec<Cause> {
    let target = || "example.com:443".to_owned();
    let detail = || "as seen".to_owned();
    let mut causes = Vec::new();
    for reason in REASONS {
        causes.extend([app(reason, "app.internal:3000"), app(reason, "")]);
        for (failures, unasked_, open) in [(5, 7, true), (0, 7, true), (0, 0, true), (5, 7, false)]
        {
            causes.push(unasked(reason, "app.internal", failures, unasked_, open));
        }
    }
    for fault in URL_FAULTS {
        let status = (fault == FaultKind::AnswerStatus).then_some(404);
        causes.push(Cause::Url { fault, target: target(), detail: detail(), status });
    }
    for days in [None, Some(0), Some(1), Some(13)] {
        causes.push(Cause::Certificate { target: target(), days });
    }
    for fault in [FaultKind::DnsFailure, FaultKind::DnsTimeout, FaultKind::Ipv6Only] {
        for (system, failing) in [(true, "system"), (false, "119.29.29.29:53")] {
            let (failing, others) = (vec![failing.to_owned()], vec!["b.example.com".to_owned()]);
            let (host, detail) = ("example.com".to_owned(), detail());
            let (failed, asked) = (2, 3);
            causes.push(Cause::Name {
                host,
                others,
                fault,
                detail,
                failing,
                failed,
                asked,
                system,
            });
        }
    }
    causes.push(Cause::NameAtWeChat { target: target(), others: Vec::new(), detail: detail() });
    for reason in ["connect", "timeout", "status", "invalid"] {
        causes.push(Cause::Proxy { reason: reason.to_owned() });
    }
    for credential in ["access_token", "jsapi", "wx_card"] {
        causes.push(token(credential, None, None));
        for errcode in ERRCODES {
            causes.push(token(credential, Some(errcode), None));
        }
        causes.push(Cause::ForeignRefresh { credential: credential.to_owned() });
    }
    for client in ["", "crm"] {
        let (api, client) = ("/cgi-bin/x".to_owned(), client.to_owned());
        causes.push(Cause::Quota { api, client, used: 81, limit: 100 });
    }
    for (pending, oldest_s, dead) in [(3, 70, 0), (0, 0, 1), (3, 70, 2)] {
        causes.push(Cause::Backlog { pending, oldest_s, dead });
    }
    let appid = "wx0123456789abcdef".to_owned();
    causes.push(Cause::Orphans { appid, pending: 3, dead: 1 });
    for writable in [true, false] {
        causes.push(Cause::Store { writable, bytes: 900 << 20, bytes_max: 1000 << 20 });
    }
    for (signature, replay, decrypt) in [(30, 1, 1), (1, 30, 1), (1, 1, 30)] {
        for clock_ahead_s in [None, Some(400), Some(-400)] {
            causes.push(Cause::Signatures { signature, replay, decrypt, clock_ahead_s });
        }
    }
    causes.push(Cause::MarkFail { silent_s: 24, usual_per_minute: 2.5, visible: 31 });
    causes.push(Cause::MarkFailRisk { visible: 24, threshold: 30, window_s: 300 });
    causes
}

fn alert(cause: Cause) -> Alert {
    Alert {
        kind: Kind::DnsFailure,
        severity: Severity::High,
        state: State::Firing,
        account: None,
        appid: None,
        nickname: None,
        time: 0,
        last: 0,
        resolved: None,
        cause,
        count: 1,
        window_s: 1,
        example: None,
    }
}

fn is_chinese(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

#[test]
fn every_cause_says_what_is_so_and_what_to_do_in_its_language() {
    for cause in causes() {
        let alert = alert(cause);
        for language in [Language::Chinese, Language::English] {
            for words in [alert.description(language), alert.action(language)] {
                let told = format!("{:?}: {words}", alert.cause);
                assert!(words.chars().count() > 10 && words.chars().count() < 300, "{told}");
                assert!(!words.contains(['{', '}', '\n']) && !words.contains("  "), "{told}");
                assert!(!words.contains("Some(") && !words.contains("None"), "{told}");
                assert_eq!(words.contains(is_chinese), language == Language::Chinese, "{told}");
                assert!(words.ends_with(['.', '?', '。', '）']), "{told}");
            }
        }
    }
}

#[test]
fn what_an_operator_needs_first_is_in_them() {
    let action = "Add 47.94.148.108 to the account's IP allow-list in WeChat's console.";
    let table = [
        (token("access_token", Some(40164), Some(action)), "47.94.148.108"),
        (token("access_token", Some(61004), Some("ip ::ffff:0102, 2400:3200::1.")), "2400:3200::1"),
        (token("access_token", Some(12345), Some("Look up 12345.")), "Look up 12345."),
        (app("dns", "app.internal:3000"), "getent hosts app.internal"),
        (app("timeout", "app.internal:3000"), "app.internal:3000"),
        (Cause::Backlog { pending: 0, oldest_s: 0, dead: 4 }, "4"),
    ];
    for (cause, needed) in table {
        let alert = alert(cause);
        for language in [Language::Chinese, Language::English] {
            let words = alert.description(language) + &alert.action(language);
            assert!(words.contains(needed), "{words}");
        }
    }
    // What nobody counted is not said to be none, and a circuit that is closed is not said to be open.
    for (cause, wrong) in [
        (unasked("status", "app.internal", 0, 7, true), ["0 of", "首次投递"]),
        (unasked("status", "app.internal", 5, 7, false), ["circuit is open", "已打开"]),
    ] {
        let alert = alert(cause);
        for (language, wrong) in [Language::English, Language::Chinese].into_iter().zip(wrong) {
            let words = alert.description(language);
            assert!(words.contains('7') && !words.contains(wrong), "{words}");
        }
    }
    // One word for each errcode of the contract.
    let told =
        |errcode| alert(token("access_token", Some(errcode), None)).action(Language::English);
    let mut actions =
        [40164, 40125, 40243, 40013, 89503, 89506, 45009, -1, 12345].map(told).to_vec();
    actions.sort();
    actions.dedup();
    assert_eq!(actions.len(), 9);
}

#[test]
fn the_edges_words_do_not_come_in_without_bounds() {
    let mut world = World::new();
    world.event(Event::Token {
        account: "main".to_owned(),
        credential: "access_token".to_owned(),
        result: "failed".to_owned(),
        errcode: Some(40125),
        action: Some("long\n".repeat(1000)),
    });
    world.pass(1);
    let Cause::Token { action: Some(action), .. } = &world.alert(Kind::TokenFailure).unwrap().cause
    else {
        panic!()
    };
    assert!(action.chars().count() == 200 && !action.contains('\n'));
    // Nor does what an app answered get into a log.
    world.failure("fallback_error", "status", "203.205.140.29");
    world.summary(&[("fallback_error", 3)], &[("status", 3)]);
    world.pass(1);
    let shown = format!("{:?}", world.alert(Kind::ResponseInvalid).unwrap());
    assert!(!shown.contains("Error 500"), "{shown}");
}
