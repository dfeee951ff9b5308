//! `[clients]`: who calls, by key or by edge token, for which account, and what.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use wxedge::api::edge_token::{EdgeTokens, KeyHash};
use wxedge_tests::canary;
use wxedge_tests::edge::{Account, Builder, Edge};
use wxedge_tests::http::{self, Response};
use wxedge_tests::message::now_s;
use wxedge_tests::wechat_api::MAIN;

use crate::api::{
    OTHER, Wechat, assert_ok, assert_own, assert_refused, assert_results, bearer, before, get,
    settle,
};

const USERS: &str = "/cgi-bin/user/get";
const ALLOW: &str = "allow = [\"/**\"]";
const SHOP: &str = "ShopKey0123456789abcdef0123456789";

/// A call with any authorization, or none.
#[track_caller]
fn with(edge: &Edge, authorization: &str, target: &str) -> Response {
    http::send(edge.api(), "GET", target, &[("authorization", authorization)], b"")
}

/// The edge token that an SDK gets for a key.
#[track_caller]
fn edge_token(edge: &Edge, appid: &str, key: &str) -> String {
    let body = json!({"grant_type": "client_credential", "appid": appid, "secret": key});
    let body = body.to_string();
    let answer = http::send(edge.api(), "POST", "/cgi-bin/stable_token", &[], body.as_bytes());
    assert_ok(&answer);
    assert_eq!(answer.json()["expires_in"], 7200);
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// Two accounts: `crm` may use both, `shop` only `other`.
fn two(wechat: &Wechat) -> Builder {
    before(wechat)
        .and(Account::named("other"))
        .client("crm", &[ALLOW, "accounts = [\"main\", \"other\"]"])
        .client("shop", &[ALLOW, "accounts = [\"other\"]", &format!("key = {SHOP:?}")])
}

#[test]
fn a_key_is_needed_and_any_of_a_clients_keys_will_do() {
    let wechat = Wechat::start();
    let keys = format!("keys = [\"{}\", {SHOP:?}]", canary::CLIENT_KEY);
    let edge = before(&wechat).client("crm", &[ALLOW, &keys]).start();
    let target = format!("/main{USERS}");
    for key in [canary::CLIENT_KEY, SHOP] {
        assert_ok(&with(&edge, &bearer(key), &target));
        assert_ok(&with(&edge, &format!("bearer  {key}"), &target));
    }
    let wrong = [
        "",
        "Bearer",
        "Bearer ",
        &bearer(&SHOP[1..]),
        &bearer(&format!("{SHOP}x")),
        SHOP,
        &format!("Basic {SHOP}"),
        &bearer(canary::ADMIN_KEY),
        &bearer("wxedge_"),
        &bearer("wxedge_AAAA"),
    ];
    for authorization in wrong {
        assert_refused(&with(&edge, authorization, &target), 401);
    }
    // A key stands in the header, not in the query, where logs would have it.
    let keyed = format!("{target}?access_token={SHOP}");
    assert_refused(&http::get(edge.api(), &keyed), 401);
    assert_refused(&http::get(edge.api(), &target), 401);
    assert_eq!(wechat.count(USERS), 4);
    assert_results(&edge, &[("ok", 4), ("refused", wrong.len() as u64 + 2)]);
    edge.assert_count("wxedge_api_requests_total", &[("client", "crm"), ("account", "main")], 4.0);
}

#[test]
fn a_call_with_an_edge_token_is_that_clients_call() {
    let wechat = Wechat::with_other();
    let edge = two(&wechat).start();
    let token = edge_token(&edge, OTHER, SHOP);
    assert!(token.len() <= 512 && token.starts_with("wxedge_"));
    for target in [
        format!("{USERS}?access_token={token}"),
        format!("/other{USERS}?x=1&access_token={token}"),
        format!("{USERS}?lang=zh&access_token={token}"),
    ] {
        assert_ok(&http::get(edge.api(), &target));
    }
    assert_ok(&with(&edge, &bearer(&token), USERS));
    assert_ok(&with(&edge, &bearer(&token), &format!("/other{USERS}")));
    let real = wechat.token(OTHER);
    let got = wechat.requests_to(USERS);
    assert!(got.iter().all(|call| call.parameter("access_token").as_ref() == Some(&real)));
    assert_eq!(got[1].target, format!("{USERS}?access_token={real}&x=1"));
    let labels = [("client", "shop"), ("account", "other"), ("result", "ok")];
    edge.assert_count("wxedge_api_requests_total", &labels, 5.0);

    assert_refused(&http::get(edge.api(), &format!("/main{USERS}?access_token={token}")), 403);
    assert_refused(&with(&edge, &bearer(&token), &format!("/main{USERS}")), 403);
    // Two keys of two clients in one call.
    let both = format!("/other{USERS}?access_token={token}");
    assert_refused(&with(&edge, &bearer(canary::CLIENT_KEY), &both), 401);
    let changed =
        format!("{}{}", &token[..token.len() - 1], if token.ends_with('A') { 'B' } else { 'A' });
    let longer = format!("{token}A");
    for forged in [changed.as_str(), longer.as_str(), &token[..20], "wxedge_"] {
        assert_refused(&http::get(edge.api(), &format!("{USERS}?access_token={forged}")), 401);
    }
    assert_eq!(wechat.count(USERS), 5);
}

#[test]
fn an_edge_token_holds_over_a_restart_and_ends_with_its_client_or_folder() {
    let wechat = Wechat::with_other();
    let edge = two(&wechat).start();
    let token = edge_token(&edge, OTHER, SHOP);
    let folder = edge.folder();
    drop(edge);
    let edge = two(&wechat).folder(&folder).start();
    let target = format!("{USERS}?access_token={token}");
    assert_ok(&http::get(edge.api(), &target));
    drop(edge);
    let edge = before(&wechat).and(Account::named("other")).folder(&folder).start();
    assert_refused(&http::get(edge.api(), &target), 401);
    let elsewhere = two(&wechat).start();
    assert_refused(&http::get(elsewhere.api(), &target), 401);
}

#[test]
fn an_edge_token_ends_with_the_key_it_was_got_with() {
    let wechat = Wechat::start();
    let with_keys =
        |keys: &[&str]| before(&wechat).client("crm", &[ALLOW, &format!("keys = {keys:?}")]);
    let mut edge = with_keys(&[canary::CLIENT_KEY, SHOP]).start();
    let [of_leaked, of_kept] = [SHOP, canary::CLIENT_KEY].map(|key| edge_token(&edge, MAIN, key));
    let calls = |edge: &Edge, token: &str| {
        let in_query = http::get(edge.api(), &format!("{USERS}?access_token={token}"));
        [in_query, with(edge, &bearer(token), USERS)]
    };
    calls(&edge, &of_leaked).iter().chain(&calls(&edge, &of_kept)).for_each(assert_ok);
    edge.rewrite(&with_keys(&["NewKey0123456789abcdef0123456789", canary::CLIENT_KEY]));
    edge.signal(Signal::SIGHUP);
    edge.assert_count("wxedge_config_reloads_total", &[("result", "ok")], 1.0);
    calls(&edge, &of_kept).iter().for_each(assert_ok);
    calls(&edge, &of_leaked).iter().for_each(|answer| assert_refused(answer, 401));
}

#[test]
fn an_edge_token_is_for_its_account_and_for_a_day() {
    let wechat = Wechat::with_other();
    let edge = two(&wechat).start();
    // Both are the client's own accounts, and still the token is for one.
    let token = edge_token(&edge, OTHER, canary::CLIENT_KEY);
    assert_ok(&http::get(edge.api(), &format!("/other{USERS}?access_token={token}")));
    assert_refused(&http::get(edge.api(), &format!("/main{USERS}?access_token={token}")), 403);
    let ticket = |account: &str| {
        let target = format!("/v1/accounts/{account}/ticket/jsapi");
        with(&edge, &bearer(&token), &target)
    };
    assert_ok(&ticket("other"));
    assert_refused(&ticket("main"), 403);

    let key = std::fs::read(edge.folder().path().join("store/edge_token.key")).unwrap();
    let tokens = EdgeTokens::new(key.try_into().unwrap());
    let now = now_s().unsigned_abs();
    for (issued, status) in
        [(now, 200), (now - 86_000, 200), (now - 86_500, 401), (now + 200, 200), (now + 900, 401)]
    {
        let key = KeyHash::of(canary::CLIENT_KEY);
        let token = tokens.issue("crm", "main", key, issued);
        let answer = http::get(edge.api(), &format!("{USERS}?access_token={token}"));
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let wrong = [
        ("nobody", canary::CLIENT_KEY, 401),
        ("shop", SHOP, 403),
        ("shop", canary::CLIENT_KEY, 401),
    ];
    for (client, key, status) in wrong {
        let token = tokens.issue(client, "main", KeyHash::of(key), now);
        assert_refused(&http::get(edge.api(), &format!("{USERS}?access_token={token}")), status);
    }
}

#[test]
fn a_client_may_do_what_its_patterns_say() {
    let wechat = Wechat::with_other();
    let edge = before(&wechat)
        .and(Account::named("other"))
        .client("crm", &["allow = [\"/cgi-bin/user/*\", \"/cgi-bin/message/**\"]"])
        .start();
    for (path, status) in [
        ("/cgi-bin/user/get", 200),
        ("/cgi-bin/user/info/batchget", 403),
        ("/cgi-bin/user", 403),
        ("/cgi-bin/%75ser/get", 200),
        ("/cgi-bin/message/custom/send", 200),
        ("/cgi-bin/message/mass/get", 200),
        ("/cgi-bin/menu/get", 403),
        ("/cgi-bin/User/get", 403),
    ] {
        let answer = get(&edge, &format!("/main{path}"));
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        if status == 403 {
            assert_refused(&answer, 403);
        }
    }
    assert_refused(&get(&edge, &format!("/other{USERS}")), 403);
    assert_refused(&get(&edge, "/v1/accounts/other/ticket/jsapi"), 403);
    // Endpoints of the edge need no pattern.
    assert_ok(&get(&edge, "/main/cgi-bin/ticket/getticket?type=jsapi"));
    assert_ok(&get(&edge, "/v1/accounts/main/ticket/jsapi"));
}

#[test]
fn two_clients_of_one_account_have_rights_of_their_own() {
    let wechat = Wechat::start();
    let edge = before(&wechat)
        .client("crm", &[ALLOW, "raw_token = true"])
        .client("shop", &["allow = [\"/cgi-bin/menu/*\"]", &format!("key = {SHOP:?}")])
        .start();
    let tokens = [canary::CLIENT_KEY, SHOP].map(|key| edge_token(&edge, MAIN, key));
    let call = |token: &str, path: &str| {
        http::get(edge.api(), &format!("{path}?access_token={token}")).status
    };
    assert_eq!([call(&tokens[0], USERS), call(&tokens[1], USERS)], [200, 403]);
    let menu = "/cgi-bin/menu/delete";
    assert_eq!([call(&tokens[0], menu), call(&tokens[1], menu)], [200, 200]);
    let raw = |key: &str| with(&edge, &bearer(key), "/v1/accounts/main/token");
    assert_eq!(raw(canary::CLIENT_KEY).json()["access_token"], wechat.main_token());
    assert_refused(&raw(SHOP), 403);
}

#[test]
fn an_sdk_gets_wechats_own_words_for_a_wrong_appid_or_key() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let ask = |appid: &str, secret: &str| {
        let target =
            format!("/cgi-bin/token?grant_type=client_credential&appid={appid}&secret={secret}");
        let body = json!({"appid": appid, "secret": secret, "force_refresh": true}).to_string();
        let post = http::send(edge.api(), "POST", "/cgi-bin/stable_token", &[], body.as_bytes());
        [http::get(edge.api(), &target), post]
    };
    for answer in ask("wx9999999999999999", canary::CLIENT_KEY) {
        assert_own(&answer, 200, 40013);
    }
    for answer in ask(MAIN, "wrong").into_iter().chain(ask(MAIN, canary::SECRET)) {
        assert_own(&answer, 200, 40125);
    }
    for answer in ask(MAIN, canary::CLIENT_KEY) {
        assert!(answer.json()["access_token"].as_str().unwrap().starts_with("wxedge_"));
    }
    assert_eq!(wechat.fetches().forced, 0);
    assert_results(&edge, &[("cached", 2), ("refused", 6)]);
}

#[test]
fn without_clients_an_sdk_gets_the_real_token_whatever_its_secret() {
    let wechat = Wechat::with_other();
    let edge = before(&wechat).and(Account::named("other")).without_clients().start();
    for (appid, account) in [(MAIN, "main"), (OTHER, "other")] {
        let query = format!("grant_type=client_credential&appid={appid}&secret=anything");
        let body = json!({"appid": appid, "secret": "x", "force_refresh": true}).to_string();
        let answers = [
            http::get(edge.api(), &format!("/cgi-bin/token?{query}")),
            http::get(edge.api(), &format!("/{account}/cgi-bin/token")),
            http::send(edge.api(), "POST", "/cgi-bin/stable_token", &[], body.as_bytes()),
        ];
        for answer in answers {
            assert_eq!(answer.json()["access_token"], wechat.token(appid), "{}", answer.text());
            let left = answer.json()["expires_in"].as_i64().unwrap();
            assert!((7_000..=7_200).contains(&left), "{left}");
        }
    }
    assert_own(&http::get(edge.api(), "/cgi-bin/token?appid=wx9"), 200, 40013);
    let query = format!("/main/cgi-bin/token?appid={OTHER}");
    assert_own(&http::get(edge.api(), &query), 200, 40013);
    let fetches = wechat.fetches();
    assert_eq!((fetches.stable, fetches.forced, fetches.token), (2, 0, 0));
}

#[test]
fn without_a_prefix_the_account_is_found_by_what_the_call_carries() {
    let wechat = Wechat::with_other();
    let edge = before(&wechat).and(Account::named("other")).without_clients().start();
    settle(&edge, &wechat);
    let ask = |query: &str| http::get(edge.api(), &format!("{USERS}?{query}"));
    let used = || -> String {
        wechat.requests_to(USERS).last().unwrap().parameter("access_token").unwrap()
    };
    for appid in [MAIN, OTHER] {
        // The edge has to know it first.
        let known = http::get(edge.api(), &format!("/cgi-bin/token?appid={appid}")).json();
        let old = known["access_token"].as_str().unwrap().to_owned();
        assert_ok(&ask(&format!("access_token={old}")));
        assert_eq!(used(), old);
        wechat.kill_token(appid);
        assert_ok(&ask(&format!("access_token={old}")));
        let new = wechat.token(appid);
        assert_eq!(used(), new);
        assert_ok(&ask(&format!("access_token={old}")));
        assert_eq!(used(), new, "a replaced token still says whose call it is");
        assert_ok(&ask(&format!("appid={appid}")));
        assert_eq!(used(), new);
        assert_ok(&ask(&format!("access_token=unknown&appid={appid}")));
        assert_eq!(used(), new);
    }
    let calls = wechat.count(USERS);
    for query in ["", "access_token=unknown", "appid=wx9999999999999999"] {
        assert_refused(&ask(query), 404);
    }
    assert_refused(&http::get(edge.api(), &format!("/nobody{USERS}")), 404);
    assert_eq!(wechat.count(USERS), calls);
}

#[test]
fn the_only_account_needs_no_name() {
    let wechat = Wechat::with_other();
    let single = before(&wechat).start();
    assert_ok(&get(&single, USERS));
    // With two of them it is the only one that the client may use.
    let edge = two(&wechat).start();
    assert_ok(&with(&edge, &bearer(SHOP), USERS));
    assert_eq!(wechat.requests_to(USERS)[1].parameter("access_token"), Some(wechat.token(OTHER)));
    assert_refused(&get(&edge, USERS), 404);
}

#[test]
fn logins_of_a_mini_program_may_carry_the_key_as_secret() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let login = |secret: &str| {
        let query = format!("appid={MAIN}&secret={secret}&js_code=c&grant_type=authorization_code");
        http::get(edge.api(), &format!("/sns/jscode2session?{query}"))
    };
    assert_ok(&login(canary::CLIENT_KEY));
    assert_eq!(wechat.only("/sns/jscode2session").parameter("secret"), Some(canary::SECRET.into()));
    assert_refused(&login("wrong"), 401);
    let found: Vec<Value> = edge.await_log(2);
    assert!(found.iter().all(|line| line["api"] == "/sns/jscode2session"));
}

#[test]
fn an_edge_token_never_leaves_the_edge() {
    let wechat = Wechat::start();
    let edge = before(&wechat).client("crm", &[ALLOW]).start();
    let token = edge_token(&edge, MAIN, canary::CLIENT_KEY);
    for path in ["/sns/userinfo", "/sns/auth"] {
        let target = format!("/main{path}?access_token={token}&openid=o1");
        assert_refused(&with(&edge, &bearer(canary::CLIENT_KEY), &target), 400);
        // The user's own token goes out, whoever calls.
        let own = format!("/main{path}?access_token=user&openid=o1");
        assert_eq!(with(&edge, &bearer(&token), &own).status, 200);
    }
    let sent = wechat.requests();
    assert!(sent.iter().all(|request| !request.target.contains(&token)));
    assert_eq!(sent.iter().filter(|request| request.target.contains("=user&")).count(), 2);
}

#[test]
fn who_may_not_read_the_token_does_not_get_it_out_of_another_call() {
    let wechat = Wechat::start();
    let raw = [ALLOW, "raw_token = true", &format!("key = {SHOP:?}")];
    let edge = before(&wechat).client("crm", &[ALLOW]).client("shop", &raw).start();
    let ask = |key: &str| {
        let headers = [("authorization", bearer(key))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        http::send(edge.api(), "POST", "/main/cgi-bin/openapi/rid/get", &headers, b"{}")
    };
    assert_refused(&ask(canary::CLIENT_KEY), 403);
    assert_ok(&ask(SHOP));
    assert_eq!(wechat.count("/cgi-bin/openapi/rid/get"), 1);
}
