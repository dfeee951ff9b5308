//! The credential table of §8: what WeChat gets, byte for byte, whatever the caller sent.

use serde_json::{Value, json};
use wxedge_tests::http::{self, Connection};
use wxedge_tests::wechat_api::{Answer, Fault, MAIN};
use wxedge_tests::{PATIENCE, canary, eventually};

use crate::api::{Wechat, assert_ok, assert_refused, assert_results, before, call, get, post};

#[test]
fn a_call_gets_the_token_first_and_the_rest_byte_for_byte() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let sent = "/main/cgi-bin/user/info?openid=o1&lang=%7A%68&x=%E4%BD%A0+1&&access_token=mine&y";
    assert_ok(&get(&edge, sent));
    let token = wechat.main_token();
    let got = wechat.only("/cgi-bin/user/info");
    let expected =
        format!("/cgi-bin/user/info?access_token={token}&openid=o1&lang=%7A%68&x=%E4%BD%A0+1&&y");
    assert_eq!((got.method.as_str(), got.target), ("GET", expected));

    let body = json!({"touser": "o1", "msgtype": "text", "text": {"content": "你好"}});
    assert_ok(&post(&edge, "/main/cgi-bin/message/custom/send", &body));
    let got = wechat.only("/cgi-bin/message/custom/send");
    assert_eq!(got.target, format!("/cgi-bin/message/custom/send?access_token={token}"));
    assert_eq!(got.body.bytes(), body.to_string().as_bytes());
    assert_results(&edge, &[("ok", 2)]);
}

#[test]
fn logins_get_appid_and_secret_and_users_keep_their_own_token() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let (appid, secret) = (MAIN, canary::SECRET);
    let tail = "js_code=c&grant_type=authorization_code";
    let login = format!("/main/sns/jscode2session?appid=evil&secret={}&{tail}", canary::CLIENT_KEY);
    assert_ok(&get(&edge, &login));
    let got = wechat.only("/sns/jscode2session").target;
    assert_eq!(got, format!("/sns/jscode2session?appid={appid}&secret={secret}&{tail}"));

    let code = "code=c&grant_type=authorization_code";
    let user = get(&edge, &format!("/main/sns/oauth2/access_token?{code}")).json();
    let got = wechat.only("/sns/oauth2/access_token").target;
    assert_eq!(got, format!("/sns/oauth2/access_token?appid={appid}&secret={secret}&{code}"));

    let (own, refresh) = (user["access_token"].as_str().unwrap(), &user["refresh_token"]);
    let tail = format!("grant_type=refresh_token&refresh_token={}", refresh.as_str().unwrap());
    let sent = format!("/main/sns/oauth2/refresh_token?appid=evil&secret=evil&{tail}");
    assert_ok(&get(&edge, &sent));
    let got = wechat.only("/sns/oauth2/refresh_token").target;
    assert_eq!(got, format!("/sns/oauth2/refresh_token?appid={appid}&{tail}"));

    for path in ["/sns/userinfo", "/sns/auth"] {
        let sent = format!("{path}?openid=o1&access%5Ftoken={own}&lang=zh_CN");
        assert_ok(&get(&edge, &format!("/main{sent}")));
        assert_eq!(wechat.only(path).target, sent);
    }
    assert_results(&edge, &[("ok", 5)]);
}

#[test]
fn what_an_operator_or_a_platform_does_is_refused_and_wechat_hears_nothing() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let refused = [
        "/cgi-bin/clear_quota",
        "/cgi-bin/clear_quota/v2",
        "/cgi-bin/openapi/quota/clear",
        "/cgi-bin/component/api_query_auth",
        "/cgi-bin/component/api_component_token",
        "/sns/component/jscode2session",
        "/sns/oauth2/component/access_token",
        "/sns/anything",
    ];
    for path in refused {
        for target in [format!("/main{path}"), format!("/main{}", path.to_uppercase())] {
            assert_refused(&post(&edge, &target, &json!({})), 403);
        }
        assert_eq!(wechat.count(path), 0, "{path}");
    }
    assert_results(&edge, &[("refused", 2 * refused.len() as u64)]);
}

#[test]
fn tickets_come_from_the_cache_and_other_tickets_from_wechat() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let ask = |kind: &str| get(&edge, &format!("/main/cgi-bin/ticket/getticket?type={kind}"));
    let count = || wechat.count("/cgi-bin/ticket/getticket");
    for (asked, kind) in [(1, "jsapi"), (2, "wx_card")] {
        let first = ask(kind).json();
        assert_eq!((&first["errcode"], &first["errmsg"]), (&json!(0), &json!("ok")));
        assert!(first["ticket"].as_str().unwrap().starts_with(canary::TICKET_PREFIX));
        assert!((7100..=7200).contains(&first["expires_in"].as_i64().unwrap()), "{first}");
        assert_eq!(ask(kind).json()["ticket"], first["ticket"]);
        assert_eq!(count(), asked, "{kind}");
    }
    assert_eq!(ask("other").json()["errcode"], 40097, "WeChat's own answer");
    assert_results(&edge, &[("cached", 4), ("errcode", 1)]);
}

/// The table that the protocol crate is tested with, too.
#[test]
fn no_trick_of_the_table_escapes() {
    let table: Vec<Value> = serde_json::from_str(include_str!("../data/api_targets.json")).unwrap();
    assert!(table.len() >= 211, "{} vectors", table.len());
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    // The rows count what WeChat gets; what the edge asks of its own has to be over.
    for warm in ["user/get", "ticket/getticket?type=jsapi", "ticket/getticket?type=wx_card"] {
        assert_ok(&get(&edge, &format!("/main/cgi-bin/{warm}")));
    }
    wechat.clear();
    let all = || -> Vec<_> {
        let own = |path: &str| path == "/cgi-bin/getcallbackip";
        wechat.requests().into_iter().filter(|request| !own(request.path())).collect()
    };
    let token = wechat.main_token();
    for row in &table {
        let (name, target) = (row["name"].as_str().unwrap(), row["target"].as_str().unwrap());
        let before = all().len();
        let answer = call(&edge, row["method"].as_str().unwrap(), target, &[], b"");
        let got: Vec<_> = all().split_off(before);
        // HTTP itself has no such targets.
        let no_http = !target.bytes().all(|byte| byte.is_ascii_graphic());
        let expected = match &row["expect"] {
            _ if no_http => {
                assert_refused(&answer, 400);
                None
            }
            Value::Number(status) => {
                assert_refused(&answer, status.as_u64().unwrap() as u16);
                None
            }
            Value::String(local) if local == "local" => {
                assert_eq!(answer.status, 200, "{name}: {}", answer.text());
                None
            }
            Value::String(forwarded) => Some(
                forwarded
                    .replace("{TOKEN}", &token)
                    .replace("{APPID}", MAIN)
                    .replace("{SECRET}", canary::SECRET),
            ),
            other => panic!("{name}: {other}"),
        };
        let got: Vec<_> = got.into_iter().map(|request| request.target).collect();
        assert_eq!(got, expected.into_iter().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn only_harmless_headers_go_to_wechat() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let kept = [
        ("content-type", "application/json; charset=utf-8"),
        ("Content-Language", "zh"),
        ("content-disposition", "form-data"),
        ("accept", "application/json"),
        ("user-agent", "sdk/1.0 (\u{4f60})"),
        ("Wechatmp-Appid", "wx1"),
        ("Wechatmp-TimeStamp", "1700000000"),
        ("Wechatmp-Signature", "c2lnbg=="),
    ];
    let dropped = [
        ("accept-encoding", "gzip"),
        ("accept-language", "zh"),
        ("cookie", "a=b"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-request-id", "1"),
        ("forwarded", "for=1.2.3.4"),
        ("via", "1.1 nginx"),
        ("referer", "http://127.0.0.1/"),
        ("proxy-authorization", "Basic eDp5"),
        ("te", "trailers"),
        ("keep-alive", "timeout=5"),
        ("range", "bytes=0-1"),
        ("if-none-match", "\"1\""),
        ("connection", "keep-alive, x-mine"),
        ("x-mine", "1"),
    ];
    let headers: Vec<_> = kept.iter().chain(&dropped).copied().collect();
    assert_ok(&call(&edge, "POST", "/main/cgi-bin/menu/create", &headers, b"{}"));
    let got = wechat.only("/cgi-bin/menu/create");
    for (name, value) in kept {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    let mut names: Vec<_> = got.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let mut expected: Vec<_> = kept.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    expected.extend(["host", "content-length"].map(str::to_owned));
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(got.header("host"), Some(wechat.address().to_string().as_str()));
}

#[test]
fn answers_lose_what_is_about_the_connection_or_leads_past_the_edge() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let answer = Answer::new(200, "text/plain; charset=utf-8", "hello")
        .header("Set-Cookie", "a=b")
        .header("Location", "https://evil.example/?access_token=1")
        .header("Keep-Alive", "timeout=5")
        .header("Trailer", "x")
        .header("Upgrade", "h2c")
        .header("Proxy-Authenticate", "Basic")
        .header("Content-Disposition", "attachment; filename=\"a.txt\"")
        .header("X-Kept", "1")
        .header("X-Kept", "2");
    wechat.fault("/cgi-bin/menu/get", Fault::Answer(answer));
    let got = get(&edge, "/main/cgi-bin/menu/get");
    assert_eq!((got.status, got.text()), (200, "hello"));
    let mut names: Vec<_> = got.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let kept =
        ["content-disposition", "content-length", "content-type", "date", "x-kept", "x-kept"];
    names.retain(|name| *name != "connection");
    assert_eq!(names, kept);
    assert!(got.header("connection").is_none_or(|value| value == "keep-alive"));
}

#[test]
fn a_redirect_is_passed_on_without_its_target_and_not_followed() {
    let (wechat, elsewhere) = (Wechat::start(), Wechat::start());
    let edge = before(&wechat).start();
    wechat.fault("/cgi-bin/menu/get", Fault::Redirect(format!("{}/stolen", elsewhere.url())));
    let answer = get(&edge, "/main/cgi-bin/menu/get");
    assert_eq!((answer.status, answer.header("location")), (302, None));
    assert_eq!(wechat.count("/cgi-bin/menu/get"), 1);
    assert_eq!(elsewhere.connections(), 0);

    // Servers repeat in the body, and in other headers, where they lead to; and that is where the token is.
    let page = Answer::new(301, "text/html", "<a href=\"https://x/?access_token=T\">here</a>");
    let page = page.header("refresh", "0; url=https://x/").header("link", "<https://x/>");
    let page = page.header("access-control-allow-origin", "*");
    wechat.fault("/cgi-bin/menu/get", Fault::Answer(page.header("content-location", "/x")));
    let answer = get(&edge, "/main/cgi-bin/menu/get");
    assert_eq!((answer.status, answer.text()), (301, ""));
    for name in ["refresh", "link", "content-location", "access-control-allow-origin"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[test]
fn calls_of_the_api_security_mode_pass_unchanged_both_ways() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let sealed = br#"{"iv":"r2WD","data":"2IZo\/+","authtag":"z2B  FA=="}"#;
    let back = br#"{ "iv" : "fmW/","data":"q+","authtag":"FA==" }"#;
    let own = [
        ("Wechatmp-Serial", "97845f6ed842ea860df6fdf65941ff56"),
        ("Wechatmp-Serial-Deprecated", "0"),
        ("Wechatmp-Signature", "YWJj+/=="),
        ("Wechatmp-Signature-Deprecated", "ZGVm"),
        ("Wechatmp-TimeStamp", "1700000001"),
    ];
    let answer = Answer::new(200, "application/json; encoding=utf-8", *back);
    let answer = own.iter().fold(answer, |answer, (name, value)| answer.header(name, value));
    wechat.fault("/wxa/getuserriskrank", Fault::Answer(answer));
    let headers = [
        ("content-type", "application/json"),
        ("Wechatmp-Appid", MAIN),
        ("Wechatmp-TimeStamp", "1700000000"),
        ("Wechatmp-Signature", "e+a/=="),
    ];
    let answer = call(&edge, "POST", "/main/wxa/getuserriskrank", &headers, sealed);
    assert_eq!((answer.status, answer.body.as_slice()), (200, &back[..]));
    for (name, value) in own {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let got = wechat.only("/wxa/getuserriskrank");
    assert_eq!(got.body.bytes(), sealed);
    for (name, value) in headers {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
}

#[test]
fn an_old_client_of_http_1_0_is_served_and_no_chunks_reach_it() {
    let wechat = Wechat::start();
    let edge = before(&wechat).without_clients().start();
    wechat.fault("/cgi-bin/media/get", Fault::Chunked);
    let mut connection = Connection::to(edge.api());
    let target = "/main/cgi-bin/media/get?media_id=size-100000";
    connection.send(format!("GET {target} HTTP/1.0\r\nhost: localhost\r\n\r\n")).unwrap();
    let said = connection.closed(PATIENCE).unwrap();
    let end = http::find(&said, b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&said[..end]).to_ascii_lowercase();
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert_eq!(said.len() - end - 4, 100_000);
    eventually(PATIENCE, "its count", || {
        edge.count("wxedge_api_requests_total", &[("result", "ok")]) == 1.0
    });
}
