//! The console in a real browser: what it shows, what it asks for, and what it does when somebody does not answer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod browser;
mod site;

use serde_json::{Value, json};
use site::{now, sidecar, visit, well};

/// What a user, an app or an attacker may have somewhere.
const HOSTILE: &str = "<img src=x onerror=document.documentElement.dataset.hacked=1>";
const HOSTILE_TEXT: &str = "&lt;img src=x onerror=document.documentElement.dataset.hacked=1&gt;";

/// A script that waits for the accounts to be there.
const SEEN: &str = "await until('accounts', () => $('#accounts .card'));";

fn alert(state: &str) -> Value {
    json!({"alert": "request_timeout", "severity": "high", "state": state, "account": "main",
        "appid": "wx0123456789abcdef", "nickname": "示例咖啡", "time": now() - 700, "last": now() - 3,
        "resolved": null, "description": "应用没有按时应答", "action": "看慢查询", "count": 1_272, "window_s": 300,
        "example": {"ip": "203.205.140.29", "msg_type": "text", "response": "Error 500:", "response_length": 10}})
}

#[test]
fn an_edge_that_is_well_is_shown_as_such() {
    let known = well();
    let page = visit(SEEN, move |asked| sidecar(asked, &known, &[]));
    for text in [
        "一切正常",
        "网关运行中",
        "wxedge 0.1.0",
        "已运行 2 小时",
        "就绪",
        "示例咖啡",
        "wx0123456789abcdef",
        "安全模式",
        "剩余 1 小时 30 分",
        "推送正常",
        "81,200 / 100,000",
        "echostr 验证",
        "58 ms",
        "api.weixin.qq.com",
        "没有待投，没有死信。",
        "过去一小时 3,602 个回调，99.94 % 由应用按时应答。",
        "3,600",
        "312 / 65,536",
        "1.20  0.90  0.75",
        "溢出 182（近 5 分 +31）",
        "没有正在发生的告警。",
        "127.0.0.1:3000",
        ">2.5 s 截止<",
        ">可达<",
    ] {
        assert!(page.says(text), "{text} is missing");
    }
    assert!(page.says("<title>wxedge</title>"));
    assert_eq!(page.asked("GET /v1/console").first().unwrap().authorization, None);
}

#[test]
fn what_is_not_known_yet_is_not_said_to_be_well() {
    let mut known = well();
    known["probes"][0]["ok"] = false.into();
    known["api_base"][0]["up"] = Value::Null;
    known["api_base"][0]["since"] = Value::Null;
    let reader = "await until('the verdict', () => $('#verdict h1')); await until('the rest', () => $('#host').textContent);";
    for (alerts, verdict) in
        [(json!([alert("pending")]), "正在核实 1 项"), (json!([]), "没有告警，1 项探测异常")]
    {
        let mut known = known.clone();
        known["alerts"] = alerts;
        let page = visit(reader, move |asked| sidecar(asked, &known, &[]));
        assert!(page.says(verdict) && !page.says("一切正常"), "{verdict} is missing");
        assert!(page.says("尚未探测") && !page.says(">可达<"));
    }
}

#[test]
fn an_alert_says_what_to_do_and_can_be_silenced() {
    let mut known = well();
    known["alerts"] = json!([alert("firing")]);
    let reader = format!(
        "{SEEN}
        keep('title', document.title);
        await press('.alert', '静默');
        const form = await until('a form', () => $('.silence-form'));
        form.elements.minutes.value = '60';
        form.elements.comment.value = 'we know';
        form.requestSubmit();
        await until('the silence', () => !$('.silence-form'));"
    );
    let page = visit(&reader, move |asked| match asked.what.as_str() {
        "POST /v1/silences" => (201, json!({"id": "1"}).to_string()),
        _ => sidecar(asked, &known, &[]),
    });
    for text in [
        "1 个告警正在发生",
        "请求超时",
        ">严重</span>",
        "应用没有按时应答",
        "看慢查询",
        "5 分内 1272 次",
        "[IP=203.205.140.29][Msg=text][response_length=10][response_content=Error 500:]",
        r#"data-title="(1) wxedge""#,
    ] {
        assert!(page.says(text), "{text} is missing");
    }
    let silence: Value = serde_json::from_str(&page.asked("POST /v1/silences")[0].body).unwrap();
    let expected =
        json!({"alert": "request_timeout", "account": "main", "minutes": 60, "comment": "we know"});
    assert_eq!(silence, expected);
}

#[test]
fn what_comes_from_outside_stays_text() {
    let mut known = well();
    let account = &mut known["accounts"][0];
    account["nickname"] = HOSTILE.into();
    account["credentials"][0]["state"] = "failing".into();
    account["credentials"][0]["action"] = HOSTILE.into();
    known["alerts"] = json!([alert("firing")]);
    known["alerts"][0]["description"] = HOSTILE.into();
    known["alerts"][0]["example"]["response"] = HOSTILE.into();
    known["probes"][0]["detail"] = HOSTILE.into();
    known["edge"]["config"]["error"] = HOSTILE.into();
    known["accounts"][0]["markfail"] = "constructor".into();
    let failure = json!({"t": 1, "account": HOSTILE, "outcome": HOSTILE, "reason": "status", "kind": "text",
        "peer": "203.205.140.29", "duration_ms": 31, "response_length": 9, "response": HOSTILE});
    let events = [("failure", failure.clone()), (HOSTILE, failure)];
    let page = visit(
        "await until('the tail', () => $('#tail li') && $('#accounts .card'));",
        move |asked| sidecar(asked, &known, &events),
    );
    assert!(!page.says("<img") && !page.says("data-hacked"), "it became markup");
    // The nickname in the card, its action, the alert's words and example, the probe, the configuration; the rest in the tail.
    assert!(page.dom.matches(HOSTILE_TEXT).count() >= 11);
}

#[test]
fn english_is_a_switch_away_and_is_asked_for() {
    let mut known = well();
    known["alerts"] = json!([alert("resolved")]);
    let reader = format!("{SEEN} await press('#header', 'English'); await until('English', () => document.documentElement.lang === 'en');
        await until('the answer', () => performance.getEntriesByName(location.origin + '/v1/console?lang=en').length);");
    let page = visit(&reader, move |asked| sidecar(asked, &known, &[]));
    for text in
        ["All is well", "Edge up", "up 2 h 1 min", "Pushing", "1 h 30 min left", "1 resolved"]
    {
        assert!(page.says(text), "{text} is missing");
    }
    assert!(!page.says("一切正常"));
    assert!(!page.asked("GET /v1/console?lang=en").is_empty());
}

#[test]
fn a_key_is_asked_for_once_and_goes_along() {
    let known = well();
    let reader = format!(
        "await type('wrong');
        await until('again', () => $('dialog p')?.textContent.includes('不对'));
        await type('right');
        {SEEN}
        keep('stored', JSON.stringify([{{...localStorage}}, document.cookie]));"
    );
    let page = visit(&reader, move |asked| match asked.authorization.as_deref() {
        Some("Bearer right") => sidecar(asked, &known, &[]),
        // It was just being started.
        None if asked.before == 0 => (502, String::new()),
        _ => (401, json!({"error": "authorization: Bearer <key> is needed"}).to_string()),
    });
    assert!(page.says("一切正常") && !page.says("<dialog"));
    assert!(page.says(r#"data-stored="[{},&quot;&quot;]""#), "the key outlives its tab");
    let heard = |asked: &&site::Asked| asked.authorization.as_deref() == Some("Bearer right");
    assert!(page.asked("GET /v1/tail").iter().any(heard), "the tail has no key");
    assert!(page.asked.iter().all(|asked| !asked.what.contains("right")));
    // Every 3 s of the browser's 20 s, and at once with a new key.
    assert!(page.asked("GET /v1/console").len() <= 15, "it asks without a pause");
}

#[test]
fn an_edge_that_is_gone_is_said_to_be() {
    let mut known = well();
    known["edge"]["up"] = false.into();
    known["history"]["accounts"] = json!({});
    known["accounts"] = json!([]);
    known["probes"] = json!([]);
    known["host"] = Value::Null;
    known["edge"]["store"] = Value::Null;
    known["api_base"] = json!([]);
    let reader = "await until('the verdict', () => $('#verdict h1')); await until('the rest', () => $('#host').textContent);";
    let page = visit(reader, move |asked| sidecar(asked, &known, &[]));
    for text in [
        "网关不可达",
        "8 分 20 秒",
        "还没有账号数据。",
        "过去一小时没有回调。",
        "还没有探测结果。",
        "读不到本机数据。",
    ] {
        assert!(page.says(text), "{text} is missing");
    }
    assert!(page.says("<title>网关不可达 · wxedge</title>"));
}

#[test]
fn a_sidecar_that_is_lost_is_said_to_be_and_found_again() {
    let known = well();
    let reader = format!(
        "{SEEN}
        const lost = await until('the loss', () => $('#banner .banner'));
        keep('lost', lost.textContent);
        await until('the return', () => !$('#banner .banner'));
        keep('stale', document.body.className);"
    );
    let page = visit(&reader, move |asked| match (asked.what.as_str(), asked.before) {
        ("GET /v1/console", 1..=2) => (502, "<html>Bad Gateway".to_owned()),
        _ => sidecar(asked, &known, &[]),
    });
    assert!(page.says(r#"data-lost="与 sidecar 失去联系"#) && page.says(r#"data-stale="""#));
    assert!(page.says("一切正常"));
}

#[test]
fn dead_letters_are_shown_replayed_and_deleted_with_the_edges_key() {
    let mut known = well();
    known["accounts"][0]["spool"]["dead"] = 1.into();
    let entry = json!({"id": "18446744073709551615", "account": "main", "kind": "callback", "state": "dead",
        "ce_id": "f9d4", "ce_type": "com.weixin.message.text", "subject": "oABC", "received": now() - 60, "attempts": 12,
        "next_attempt": null, "reason": "status", "detail": "the app answered 422", "bytes": 412});
    let reader = "
        await press('#spool', '查看');
        await type('operator');
        const entry = await until('an entry', () => $('#spool .entry'));
        entry.open = true;
        await until('its body', () => entry.querySelector('pre'));
        keep('entry', entry.textContent);
        await press('.entry', '重投');
        await until('the replay', () => $('#spool .said')?.textContent.includes('已重投 1 条'));
        await press('.entry', '删除');
        await press('dialog', '删除');
        await until('the end', () => $('#spool .said')?.textContent.includes('已删除'));";
    let page = visit(reader, move |asked| {
        let what = asked.what.as_str();
        if !what.contains("/v1/spool") {
            return sidecar(asked, &known, &[]);
        }
        if asked.admin_key.as_deref() != Some("operator") {
            return (401, json!({"error": "a key is needed"}).to_string());
        }
        match what {
            "GET /v1/spool?state=dead&limit=50" => {
                (200, json!({"entries": [entry], "next": null}).to_string())
            }
            "GET /v1/spool/18446744073709551615" => {
                let answer = json!({"status": 422, "body": HOSTILE});
                (200, json!({"body": {"Content": HOSTILE}, "last_answer": answer}).to_string())
            }
            "POST /v1/spool/18446744073709551615/replay" => {
                (202, json!({"replayed": 1}).to_string())
            }
            "DELETE /v1/spool/18446744073709551615" => (204, String::new()),
            _ => (404, json!({"error": what}).to_string()),
        }
    });
    for text in ["oABC", "the app answered 422", "data-entry=", HOSTILE_TEXT] {
        assert!(page.says(text), "{text} is missing");
    }
    assert!(!page.says("<img"));
    assert_eq!(page.asked("POST /v1/spool/18446744073709551615/replay").len(), 1);
    assert_eq!(page.asked("DELETE /v1/spool/18446744073709551615").len(), 1);
    let asked_before =
        page.asked.iter().position(|asked| asked.what.contains("/v1/spool")).unwrap();
    assert!(
        page.asked[asked_before].admin_key.is_none(),
        "the key is asked for only where it is wanted"
    );
}

#[test]
fn the_tail_is_bounded_and_can_be_paused() {
    let known = well();
    let events: Vec<_> = (0..700)
        .map(|n| {
            ("spool", json!({"t": n, "account": "main", "action": "dead", "id": format!("id-{n}")}))
        })
        .collect();
    let reader = format!(
        "{SEEN} await until('the last', () => $('#tail')?.textContent.includes('id-699'));
        keep('lines', document.querySelectorAll('#tail li').length);
        keep('first', $('#tail li .text').textContent);
        await press('#tail', '暂停');
        await until('a pause', () => $('#tail').textContent.includes('已暂停'));
        await press('#tail', '清空');
        await until('nothing', () => !$('#tail li'));"
    );
    let page = visit(&reader, move |asked| sidecar(asked, &known, &events));
    assert!(page.says(r#"data-lines="500""#), "the tail has another length");
    assert!(page.says(r#"data-first="dead · id-699""#), "the newest is not first");
}

#[test]
fn the_picture_can_be_read_with_the_keyboard() {
    let known = well();
    let reader = format!(
        "{SEEN}
        const chart = $('#traffic .chart');
        chart.focus();
        chart.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'End' }}));
        chart.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'ArrowLeft' }}));
        const minute = await until('a minute', () => $('#traffic .tooltip'));
        keep('minute', minute.textContent);
        keep('bars', [...chart.querySelectorAll('rect.saved')].length);"
    );
    let page = visit(&reader, move |asked| sidecar(asked, &known, &[]));
    assert!(page.says("replied60fallback_deadline2合计62最慢应答41 ms"), "another minute is shown");
    assert!(page.says(r#"data-bars="1""#));
}

#[test]
fn messages_of_an_appid_without_an_account_are_shown() {
    let mut known = well();
    let orphan = json!({"appid": "wxfedcba9876543210", "pending": 3, "dead": 1, "oldest_s": 90});
    known["spool_orphans"] = json!([orphan]);
    let reader = format!(
        "{SEEN} await press('#spool', '查看');
        await until('a choice', () => [...document.querySelectorAll('#spool option')].some((one) => one.value.startsWith('wxfe')));"
    );
    let page = visit(&reader, move |asked| match asked.what.as_str() {
        "GET /v1/spool?state=dead&limit=50" => {
            (200, json!({"entries": [], "next": null}).to_string())
        }
        _ => sidecar(asked, &known, &[]),
    });
    assert!(page.says("wxfedcba9876543210 已没有账号") && page.says("待投 3，死信 1"));
    assert!(!page.says("没有待投，没有死信。"));
}

#[test]
fn a_receiver_that_takes_nothing_is_no_secret() {
    let mut known = well();
    let reader = "await until('outputs', () => $('#notify tbody tr'));";
    let well = known.clone();
    let page = visit(reader, move |asked| sidecar(asked, &well, &[]));
    assert!(page.says("一切正常") && page.says("2,071"));
    let deaf = json!({"output": "feishu", "sent": 0, "failed": 4_812, "dropped": 0, "waiting": 3, "error": "connect"});
    known["notify"].as_array_mut().unwrap().push(deaf);
    let page = visit(reader, move |asked| sidecar(asked, &known, &[]));
    assert!(page.says("feishu 收不到告警消息：connect") && page.says("4,812"));
    assert!(!page.says("一切正常"));
}

#[test]
fn a_token_that_was_made_is_good_news() {
    let known = well();
    let results = ["new", "confirmed", "foreign", "failed"];
    let token = |result| {
        ("token", json!({"t": 1, "account": "main", "credential": "jsapi", "result": result}))
    };
    let events = results.map(token);
    let reader = "await until('the last', () => document.querySelectorAll('#tail li.seen .what').length);
        keep('tones', [...document.querySelectorAll('#tail li')].filter((line) => line.textContent.includes('jsapi'))
            .map((line) => line.className).reverse().join(' '));";
    let page = visit(reader, move |asked| sidecar(asked, &known, &events));
    assert!(page.says(r#"data-tones="good none seen seen""#), "{}", page.dom);
}

#[test]
fn the_answer_to_one_question_is_not_that_to_another() {
    let known = well();
    let reader = format!(
        "{SEEN}
        await press('#spool', '查看');
        await until('a question', () => $('dialog input'));
        await until('the other', () => $('#banner').textContent.includes('需要 sidecar 的密钥'));
        await type('operator');
        await until('the other', () => $('dialog h2')?.textContent === 'sidecar 密钥');
        await type('right');
        await until('the entries', () => $('#spool .quiet'));
        await until('the end', () => !$('#banner .banner'));"
    );
    let page = visit(&reader, move |asked| match asked.what.as_str() {
        "GET /v1/console"
            if asked.before > 0 && asked.authorization.as_deref() != Some("Bearer right") =>
        {
            (401, json!({"error": "a key is needed"}).to_string())
        }
        "GET /v1/spool?state=dead&limit=50" => match asked.admin_key.as_deref() {
            Some("operator") => (200, json!({"entries": [], "next": null}).to_string()),
            _ => (401, json!({"error": "a key is needed"}).to_string()),
        },
        _ => sidecar(asked, &known, &[]),
    });
    let key = |asked: &site::Asked| asked.authorization.as_deref() == Some("Bearer operator");
    assert!(!page.asked.iter().any(key), "the edge's key went to the sidecar");
}
