use super::*;
use crate::alert::{Example, Kind};
use crate::notify::tests::alert;

fn message(entries: Vec<(News, Alert)>) -> Message {
    let entries = entries.into_iter().map(|(news, alert)| Entry { news, alert }).collect();
    Message::of(entries).unwrap()
}

fn over(kind: Kind) -> Alert {
    Alert { state: State::Resolved, resolved: Some(1_423_052_109), ..alert(kind) }
}

#[test]
fn in_chinese_it_reads_like_wechats_own() {
    let mut timeout = alert(Kind::RequestTimeout);
    timeout.count = 1272;
    let message = message(vec![
        (News::Firing, timeout),
        (News::Still, alert(Kind::ProxyDown)),
        (News::Resolved, over(Kind::DnsFailure)),
    ]);
    assert_eq!(title(&message, Language::Chinese), "[紧急] wxedge 告警 2 项\u{ff0c}恢复 1 项");
    let text = body(&message, Language::Chinese, 4096);
    let expected = "\
**[严重] 请求超时**
账号：店铺 (main, wx0000000000000001)
首次：2015-02-04 20:13:09 +08:00
次数：5分钟 1272次
错误样例：[IP=203.205.140.29][Msg=event][response_length=10][response_content=Error 500:]

**[紧急] 代理无响应** (仍在告警)
账号：店铺 (main, wx0000000000000001)
首次：2015-02-04 20:13:09 +08:00
次数：5分钟 3次
错误样例：[IP=203.205.140.29][Msg=event][response_length=10][response_content=Error 500:]

**[已恢复] DNS失败**
账号：店铺 (main, wx0000000000000001)
首次：2015-02-04 20:13:09 +08:00 至 2015-02-04 20:15:09 +08:00
次数：5分钟 3次";
    assert_eq!(without_words(&text), expected);
}

#[test]
fn in_english_times_are_utc() {
    let message = message(vec![(News::Firing, alert(Kind::RequestTimeout))]);
    assert_eq!(title(&message, Language::English), "[high] wxedge: 1 firing");
    let text = body(&message, Language::English, 4096);
    assert_eq!(
        without_words(&text),
        "**[high] Request timeout**\n\
         Account: 店铺 (main, wx0000000000000001)\n\
         First: 2015-02-04 12:13:09Z\n\
         Count: 3 in 5 min\n\
         Example: [IP=203.205.140.29][Msg=event][response_length=10][response_content=Error 500:]"
    );
    let message = self::message(vec![(News::Resolved, over(Kind::RequestTimeout))]);
    assert_eq!(title(&message, Language::English), "[resolved] wxedge: 1 resolved");
    let text = body(&message, Language::English, 4096);
    assert!(text.contains("\nWas: ") && !text.contains("\nWhat: "), "{text}");
}

/// Without what the alert itself has words for.
fn without_words(text: &str) -> String {
    let theirs = ["内容", "此前", "处理", "What", "To do"];
    let lines = text.lines().filter(|line| !theirs.iter().any(|label| line.starts_with(label)));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_others_wrote_calls_nobody_and_links_nowhere() {
    let mut alert = alert(Kind::ResponseInvalid);
    alert.nickname = Some("**shop**\nFake: line".to_owned());
    alert.example = Some(Example {
        ip: None,
        msg_type: None,
        response: Some(
            "<at id=all></at> [pay](https://evil.example) `x` \u{202e}<@all>".to_owned(),
        ),
        response_length: None,
    });
    let text = body(&message(vec![(News::Firing, alert)]), Language::English, 4096);
    for (part, count) in [("<", 0), ("](", 0), ("`", 0), ("\u{202e}", 0), ("\nFake", 0), ("**", 2)]
    {
        assert_eq!(text.matches(part).count(), count, "{part} in {text}");
    }
}

#[test]
fn what_is_too_long_is_cut_and_counted() {
    let kinds = Kind::ALL.into_iter();
    let many = kinds.flat_map(|kind| (0..30).map(move |_| (News::Firing, alert(kind)))).collect();
    let message = message(many);
    assert_eq!((message.entries.len(), message.omitted()), (200, 220));
    for language in [Language::Chinese, Language::English] {
        for most in [512, 1000, 4096, 8192] {
            let text = body(&message, language, most);
            assert!(text.len() <= most, "{} of {most}", text.len());
            let shown = text.matches("**[").count();
            assert!(shown > 0);
            let rest = format!("{}", 420 - shown);
            let tail = text.lines().last().unwrap();
            assert!(tail.contains(&rest) && tail.contains("420"), "{tail}");
        }
    }
}

#[test]
fn the_first_is_cut_rather_than_left_out() {
    let mut alert = alert(Kind::ResponseInvalid);
    alert.example.as_mut().unwrap().response = Some("字".repeat(250));
    let message = message(vec![(News::Firing, alert.clone()), (News::Firing, alert)]);
    let text = body(&message, Language::Chinese, 512);
    assert!(text.len() <= 512 && text.contains("…\n"), "{text}");
    assert!(text.ends_with("另有 1 项未列出\u{ff0c}共 2 项"), "{text}");
}

#[test]
fn a_field_is_cut() {
    assert_eq!(plain(&"字".repeat(500)), "字".repeat(500));
    assert_eq!(plain(&"字".repeat(501)), format!("{}…", "字".repeat(500)));
}

#[test]
fn every_kind_has_a_name_of_its_own() {
    for language in [Language::Chinese, Language::English] {
        let mut names = Kind::ALL.map(|kind| name(kind, language)).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
