//! Source: protocol.md §5.1, §5.7.

use super::*;

#[test]
fn a_day_has_two_thousand_plain_tokens() {
    let api = Api::start();
    let mut connection = http::Connection::to(api.address());
    let query = format!("grant_type=client_credential&appid={MAIN}&secret={}", canary::SECRET);
    let mut last = Value::Null;
    for _ in 0..2_000 {
        connection.request("GET", &format!("/cgi-bin/token?{query}"), &[], b"").unwrap();
        last = connection.response(crate::PATIENCE).unwrap().json();
    }
    token(&last);
    assert_eq!(plain(&api)["errcode"], 45009);
    api.clock().advance(minutes(24 * 60));
    token(&plain(&api));
    assert_eq!(api.fetches().token, 2_002);
    assert_eq!(api.most_fetches_at_once(), 1);
}

#[test]
fn a_minute_has_ten_thousand_stable_tokens() {
    let mut quotas = quota::Quotas::new();
    let now = Clock::stopped().now();
    for _ in 0..10_000 {
        assert!(quotas.spend_minute(MAIN, now));
    }
    assert!(!quotas.spend_minute(MAIN, now));
    assert!(quotas.spend_minute("wx2", now), "each account has its own");
    assert!(quotas.spend_minute(MAIN, now + minutes(1)));
    assert_eq!(quotas.of(MAIN, quota::STABLE_TOKEN, now), (500_000, 0));
}

#[test]
fn an_api_runs_out_and_begins_anew_the_next_day_or_when_cleared() {
    const PATH: &str = "/cgi-bin/message/mass/send";
    let api = Api::start();
    api.quota(PATH, 2);
    let quota = || {
        let target = format!("/cgi-bin/openapi/quota/get?access_token={}", api.token(MAIN));
        post(&api, &target, &json!({"cgi_path": PATH}))["quota"].clone()
    };
    assert_eq!(quota(), json!({"daily_limit": 2, "used": 0, "remain": 2}));
    let send = || call(&api, PATH, &api.token(MAIN));
    assert_eq!([send(), send(), send()], [0, 0, 45009]);
    assert_eq!(call(&api, "/cgi-bin/other", &api.token(MAIN)), 0);
    assert_eq!(quota(), json!({"daily_limit": 2, "used": 2, "remain": 0}));
    api.clock().advance(minutes(24 * 60));
    assert_eq!([send(), send(), send()], [0, 0, 45009]);
    let target = format!("/cgi-bin/openapi/quota/clear?access_token={}", api.token(MAIN));
    assert_eq!(post(&api, &target, &json!({"cgi_path": PATH}))["errcode"], 0);
    assert_eq!([send(), send(), send()], [0, 0, 45009]);
    assert_eq!(try_token(&api, "garbage"), 40014, "what is refused does not count");
    for (path, errcode) in [("/sns/auth", 76022), ("nonsense", 76021)] {
        assert_eq!(post(&api, &target, &json!({"cgi_path": path}))["errcode"], errcode);
    }
}

#[test]
fn everything_is_cleared_ten_times_a_month_however_it_is_asked() {
    let api = Api::start();
    api.quota("/cgi-bin/anything", 1);
    let target = format!("/cgi-bin/clear_quota?access_token={}", api.token(MAIN));
    assert_eq!(post(&api, &target, &json!({"appid": "wx9"}))["errcode"], 40013);
    for _ in 0..9 {
        assert_eq!(try_token(&api, &api.token(MAIN)), 0);
        assert_eq!(try_token(&api, &api.token(MAIN)), 45009);
        assert_eq!(post(&api, &target, &json!({"appid": MAIN}))["errcode"], 0);
    }
    let by_secret = format!("appid={MAIN}&appsecret={}", canary::SECRET);
    let by_secret = format!("/cgi-bin/clear_quota/v2?{by_secret}");
    assert_eq!(post(&api, &by_secret, &json!({}))["errcode"], 0);
    assert_eq!(post(&api, &by_secret, &json!({}))["errcode"], 48006);
    assert_eq!(post(&api, &target, &json!({"appid": MAIN}))["errcode"], 48006);
    api.clock().advance(minutes(31 * 24 * 60));
    assert_eq!(post(&api, &by_secret, &json!({}))["errcode"], 0);
}
