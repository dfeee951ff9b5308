use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const NOT_LATEST: &str =
    "invalid credential, access_token is invalid or not latest rid: 68aeab00-21ea7900-3a442400";

fn error(body: &str) -> Option<(i64, String)> {
    read(body.as_bytes()).map(|answer| (answer.errcode, answer.errmsg.into_owned()))
}

fn refusal(asked: Asked, errcode: i64, errmsg: &str) -> Refusal {
    Refusal::answered(asked, &Answer { errcode, errmsg: errmsg.into() })
}

#[test]
fn errors_are_read() {
    for (body, errcode, errmsg) in [
        (r#"{"errcode":40001,"errmsg":"no"}"#, 40001, "no"),
        ("\r\n { \"errmsg\" : \"no\" , \"errcode\" : -1 }", -1, "no"),
        (r#"{"errcode":"42001","errmsg":"no"}"#, 42001, "no"),
        (r#"{"errcode":40001}"#, 40001, ""),
        (r#"{"errcode":40001,"errmsg":null}"#, 40001, ""),
        (r#"{"a":{"errcode":0},"b":["]","\""],"errcode":7,"errmsg":"x\u4e0d\"y"}"#, 7, "x不\"y"),
        ("{\"errcode\":7,\"errmsg\":\"a\tb\\\"\"}", 7, "a\tb\\\""),
        // Cut off behind what counts, or in the middle of the message.
        (r#"{"errcode":7,"errmsg":"no","more":[1,"#, 7, "no"),
        (r#"{"errcode":7,"errmsg":"no"#, 7, ""),
        (r#"{"errcode":7,"errmsg":"no","errcode":8}"#, 7, "no"),
    ] {
        assert_eq!(error(body), Some((errcode, errmsg.to_owned())), "{body}");
    }
}

#[test]
fn what_is_no_error_is_none() {
    for body in [
        "",
        "   ",
        "success",
        "[]",
        r#"["errcode",40001]"#,
        r#"{"access_token":"T","expires_in":7200}"#,
        r#"{"errcode":0,"errmsg":"ok","ticket":"T"}"#,
        r#"{"errcode":"0"}"#,
        r#"{"errcode":40001.5}"#,
        r#"{"errcode":4e4}"#,
        r#"{"errcode":true}"#,
        r#"{"errcode":null}"#,
        r#"{"errcode":99999999999999999999}"#,
        r#"{"errcode":"#,
        r#"{"errcode""#,
        r#"{"errcode":"40001"#,
        // Somebody's text is not the answer's own errcode.
        r#"{"content":"\"errcode\":40001,"}"#,
        r#"{"list":[{"errcode":40001}]}"#,
        r#"{"list":{"errcode":40001,"errmsg":"}"},"total":1}"#,
        r#"{"a":]"errcode":40001}"#,
    ] {
        assert_eq!(error(body), None, "{body}");
    }
    let deep = format!(r#"{{"a":{}{},"errcode":40001}}"#, "[".repeat(500), "]".repeat(500));
    assert_eq!(error(&deep), None);
}

proptest! {
    #[test]
    fn reading_never_panics(body in r#"[{}\[\]",:\\ 0-9a-z]{0,60}"#, bytes: Vec<u8>) {
        for body in [format!("{{\"errcode\"{body}").into_bytes(), [b"{\"errcode\":", &bytes[..]].concat()] {
            prop_assert!(read(&body).is_none_or(|answer| answer.errcode != 0));
        }
    }

    #[test]
    fn reading_agrees_with_a_json_library(
        errcode: i64, errmsg: String, before: String, number: f64, after: Vec<String>,
    ) {
        let body = serde_json::json!({
            "before": { before.clone(): [before, number], "errcode": 1 },
            "errcode": errcode, "errmsg": errmsg, "after": after,
        });
        let expected = (errcode != 0).then_some((errcode, errmsg));
        prop_assert_eq!(error(&body.to_string()), expected.clone());
        prop_assert_eq!(error(&serde_json::to_string_pretty(&body).unwrap()), expected);
    }
}

#[test]
fn rids_are_found_in_both_forms() {
    assert_eq!(rid(NOT_LATEST), Some("68aeab00-21ea7900-3a442400"));
    assert_eq!(rid("invalid code, hints: [ req_id: AbC1_x-9 ]"), Some("AbC1_x-9"));
    assert_eq!(rid("req_id: A rid: B"), Some("B"));
    assert_eq!(rid("grid: 4"), None);
    assert_eq!(rid("rid:"), None);
    assert_eq!(rid("ok"), None);
    assert_eq!(rid(&format!("rid: {}", "a".repeat(65))), None);
}

#[test]
fn labels_are_bounded() {
    assert_eq!(label(-1), "-1");
    assert_eq!(label(40001), "40001");
    assert_eq!(label(40000), "other");
    assert_eq!(label(0), "other");
    let known = (-10..100_000).map(label).filter(|label| *label != "other").count();
    assert_eq!(known + 1, LABELS.len(), "every label once, and `other`");
    assert!(LABELS.len() <= 120);
}

#[test]
fn tokens_are_rejected_by_three_errcodes() {
    let rejected: Vec<i64> = (-10..100_000).filter(|code| is_token_rejected(*code)).collect();
    assert_eq!(rejected, [40001, 40014, 42001]);
}

#[test]
fn refusals_pause_by_their_class() {
    let pause = |errcode| refusal(Asked::Token, errcode, "").pause();
    for errcode in [40001, 40125, 40013, 40002, 41002, 41004] {
        assert_eq!(pause(errcode), Pause::Stop, "{errcode}");
    }
    for (seconds, errcodes) in [
        (60, &[40164, 61004, 45011][..]),
        (600, &[40243, 50002, 89501, 89503]),
        (3600, &[89506, 89507, 45009]),
    ] {
        for errcode in errcodes {
            assert_eq!(pause(*errcode), Pause::For(Duration::from_secs(seconds)), "{errcode}");
        }
    }
    assert_eq!(pause(BUSY), Pause::Backoff);
    assert_eq!(pause(12345), Pause::Backoff);
    assert_eq!(Refusal::unanswered(Asked::Token, "no answer in time").pause(), Pause::Backoff);
}

#[test]
fn a_ticket_endpoint_that_rejects_the_token_says_so() {
    for errcode in [40001, 40014, 42001] {
        let refusal = refusal(Asked::Ticket, errcode, NOT_LATEST);
        assert!(refusal.is_access_tokens());
        assert_eq!(refusal.pause(), Pause::Backoff);
    }
    assert!(!refusal(Asked::Token, 40001, NOT_LATEST).is_access_tokens());
    assert!(!refusal(Asked::Ticket, 40125, "").is_access_tokens());
}

#[test]
fn actions_name_the_address_to_allow() {
    for (errcode, errmsg) in [
        (
            40164,
            "invalid ip 47.94.148.108 ipv6 ::ffff:47.94.148.108, not in whitelist rid: 68aeab00-21ea7900-3a442400",
        ),
        (40164, "invalid ip ::ffff:47.94.148.108, not in whitelist"),
        (
            61004,
            "access clientip is not registered requestIP: 47.94.148.108 rid: 68aeab00-21ea7900-3a442400",
        ),
        (61004, "access clientip is not registered requestIP:47.94.148.108."),
    ] {
        let action = refusal(Asked::Token, errcode, errmsg).action();
        assert!(action.contains(" 47.94.148.108 "), "{errmsg}: {action}");
    }
    let action = refusal(Asked::Token, 40164, "invalid ip").action();
    assert!(action.contains("this machine's public address"), "{action}");
}

#[test]
fn every_action_is_one_sentence() {
    let transport = Refusal::unanswered(Asked::Token, "no answer in time");
    let answered = (-10..100_000).map(|errcode| refusal(Asked::Token, errcode, "why"));
    for refusal in answered.chain([transport, refusal(Asked::Ticket, 40001, "")]) {
        let action = refusal.action();
        assert!(action.ends_with('.') && action.len() < 200, "{action}");
    }
    assert!(refusal(Asked::Token, 12345, "odd").action().contains("errcode 12345, odd"));
}

#[test]
fn what_was_not_sent_may_be_sent_later_or_not() {
    let temporary: Vec<i64> =
        (-10..100_000).filter(|code| Unsent::of(*code).is_temporary()).collect();
    assert_eq!(temporary, [-1, 40001, 40014, 41001, 42001, 45011]);
    for (errcode, label) in [
        (-1, "busy"),
        (45011, "rate"),
        (42001, "token"),
        (45015, "window"),
        (45047, "count"),
        (48001, "unauthorized"),
        (45009, "quota"),
        (45002, "refused"),
        (40003, "refused"),
    ] {
        assert_eq!(Unsent::of(errcode).label(), label, "{errcode}");
    }
    let reached: HashSet<Unsent> = (-10..100_000).map(Unsent::of).collect();
    assert_eq!(reached, HashSet::from(Unsent::ALL));
    let labels: HashSet<&str> = Unsent::ALL.into_iter().map(Unsent::label).collect();
    assert_eq!(labels.len(), Unsent::ALL.len());
    let pauses = Unsent::ALL.into_iter().filter(|why| why.pause().is_some());
    assert_eq!(pauses.collect::<Vec<_>>(), [Unsent::Rate], "WeChat counts by the minute");
}

#[test]
fn shown_messages_are_bounded() {
    let refusal = refusal(Asked::Token, 12345, &format!("a\nb{}", "不".repeat(1000)));
    assert_eq!(refusal.message().chars().count(), 200);
    assert!(refusal.message().starts_with("a b不"));
}
