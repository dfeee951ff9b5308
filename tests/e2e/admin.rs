//! §9 of the contract: health, status, verification, and who may ask.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use wxedge_tests::canary;
use wxedge_tests::edge::{Account, Edge};
use wxedge_tests::http::{self, Response};
use wxedge_tests::message::{Message, now_s};
use wxedge_tests::wechat::Mode;

use crate::edge;

const ENDPOINTS: [&str; 4] =
    ["/metrics", "/v1/status", "/v1/accounts/main/verification", "/v1/events"];

#[test]
fn health_and_readiness_need_no_key() {
    let edge = edge().start();
    for (target, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = http::get(edge.admin, target);
        assert_eq!((answer.status, answer.text()), (200, text));
    }
}

#[test]
fn everything_else_needs_the_key() {
    let edge = edge().start();
    let ask = |target: &str, key: &str| {
        http::send(edge.admin, "GET", target, &[("authorization", key)], b"")
    };
    for target in ENDPOINTS {
        let prefix = &canary::ADMIN_KEY[..canary::ADMIN_KEY.len() - 1];
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            &format!("Bearer {prefix}"),
            &format!("Bearer {}x", canary::ADMIN_KEY),
            &format!("Basic {}", canary::ADMIN_KEY),
            canary::ADMIN_KEY,
            &format!("Bearer {}", canary::CLIENT_KEY),
        ] {
            let refused = ask(target, wrong);
            assert_eq!(refused.status, 401, "{target} {wrong:?}");
            assert!(refused.json()["error"].is_string());
        }
        assert_eq!(http::get(edge.admin, target).status, 401, "{target}");
    }
    assert_eq!(edge.admin("/v1/status").status, 200, "the control");
}

#[test]
fn on_loopback_only_names_of_this_machine_are_served_with_or_without_a_key() {
    let key = format!("Bearer {}", canary::ADMIN_KEY);
    for edge in [edge().start(), edge().without_admin_key().start()] {
        let ask = |target: &str, host: &str| {
            let headers = [("authorization", key.as_str()), ("host", host)];
            http::send(edge.admin, "GET", target, &headers, b"").status
        };
        for target in &ENDPOINTS[..3] {
            for host in ["127.0.0.1", "localhost:8082", "LOCALHOST", "[::1]:8082", "10.0.0.1:1"] {
                assert_eq!(ask(target, host), 200, "{target} {host}");
            }
            for host in ["evil.example", "localhost.evil.example", "wxedge"] {
                assert_eq!(ask(target, host), 403, "{target} {host}");
            }
        }
        assert_eq!(ask("/healthz", "wxedge.internal"), 200, "a health check may use any name");
    }
}

#[test]
fn off_loopback_any_name_is_served_and_never_without_a_key() {
    let admin = r#"admin = "0.0.0.0:0""#;
    let mut edge = edge().listen(admin).start();
    let key = format!("Bearer {}", canary::ADMIN_KEY);
    let ask = |edge: &Edge, headers: &[(&str, &str)]| {
        http::send(edge.admin, "GET", "/v1/status", headers, b"").status
    };
    for host in ["wxedge.internal", "127.0.0.1"] {
        assert_eq!(ask(&edge, &[("host", host), ("authorization", &key)]), 200, "{host}");
        assert_eq!(ask(&edge, &[("host", host)]), 401, "{host}");
    }
    // The listener stays where it is until the restart.
    edge.rewrite(&crate::edge().without_admin_key());
    edge.signal(Signal::SIGHUP);
    edge.await_stderr("configuration reloaded");
    for headers in [&[("host", "127.0.0.1")][..], &[("authorization", &key)]] {
        assert_eq!(ask(&edge, headers), 401);
    }
}

#[test]
fn another_site_s_page_is_refused_whatever_it_knows() {
    for edge in [edge().start(), edge().without_admin_key().start()] {
        let own = format!("http://{}", edge.admin);
        let key = format!("Bearer {}", canary::ADMIN_KEY);
        let ask = |origin: &str| {
            let headers = [("authorization", key.as_str()), ("origin", origin)];
            http::send(edge.admin, "GET", "/v1/status", &headers, b"")
        };
        assert_eq!(ask(&own).status, 200);
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"] {
            let refused = ask(origin);
            assert_eq!(refused.status, 403, "{origin}");
            assert_eq!(refused.header("access-control-allow-origin"), None);
        }
        let fetched = [("authorization", key.as_str()), ("sec-fetch-site", "cross-site")];
        assert_eq!(http::send(edge.admin, "GET", "/v1/status", &fetched, b"").status, 403);
    }
}

#[test]
fn unknown_endpoints_and_methods_are_refused_in_json() {
    let edge = edge().start();
    let key = format!("Bearer {}", canary::ADMIN_KEY);
    let ask = |method: &str, target: &str| {
        http::send(edge.admin, method, target, &[("authorization", &key)], b"")
    };
    let refused = |answer: Response, status: u16| {
        assert_eq!(answer.status, status);
        assert!(answer.json()["error"].is_string());
        assert_eq!(answer.header("content-type"), Some("application/json"));
    };
    for target in [
        "/",
        "/v1",
        "/v1/nothing",
        "/v1/accounts/other/verification",
        "/v1/accounts/main",
        "/wechat/main",
    ] {
        refused(ask("GET", target), 404);
    }
    for method in ["POST", "PUT", "DELETE"] {
        for target in ["/healthz", "/v1/status", "/v1/events", "/v1/accounts/other/verification"] {
            let answer = ask(method, target);
            assert_eq!(answer.header("allow"), Some("GET"), "{method} {target}");
            refused(answer, 405);
        }
    }
}

#[test]
fn the_status_has_this_shape() {
    let other = Account::named("other").mode(Mode::Plain).line(r#"nickname = "测试号""#);
    let edge = edge().and(other).start();
    let status = edge.status();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(&status),
        ["accounts", "api_base", "config", "ready", "spool_orphans", "started", "store", "version"]
    );
    assert_eq!(
        keys(&status["store"]),
        ["bytes", "bytes_max", "error", "salvaged", "url", "writable"]
    );
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["ready"], true);
    assert!((status["started"].as_i64().unwrap() - now_s()).abs() < 60);
    assert_eq!(status["config"]["error"], Value::Null);
    assert!(status["config"]["loaded"].is_i64());
    assert_eq!(status["store"]["writable"], true);
    let [main, other] = status["accounts"].as_array().unwrap().as_slice() else {
        panic!("{status}")
    };
    assert_eq!(
        keys(main),
        [
            "account",
            "appid",
            "budgets",
            "credentials",
            "last_callback",
            "mode",
            "nickname",
            "path",
            "source_ip",
            "spool",
            "upstream",
        ]
    );
    for (field, value) in
        [("account", "other"), ("mode", "plain"), ("nickname", "测试号"), ("path", "/wechat/other")]
    {
        assert_eq!(other[field], value);
    }
    assert_eq!(other["last_callback"], Value::Null);
    assert_eq!(
        main["upstream"],
        json!({
            "host": "builtin:echo",
            "port": null,
            "deadline_ms": 4_300,
            "circuit": "closed",
            "in_flight": 0,
            "last_failure": null,
        })
    );
    assert_eq!(main["spool"], json!({"pending": 0, "dead": 0, "oldest_s": 0}));
    assert_eq!(edge.wechat_of("other").deliver(&Message::text("hi")).status(), 200);
    let last = edge.status()["accounts"][1]["last_callback"].as_i64().unwrap();
    assert!((last - now_s()).abs() < 60);
}

#[test]
fn the_verification_it_makes_is_taken_by_the_callback_path() {
    for mode in Mode::ALL {
        let edge = edge().mode(mode).start();
        let mut queries = Vec::new();
        for _ in 0..2 {
            let made = edge.admin("/v1/accounts/main/verification").json();
            let query = made["query"].as_str().unwrap().to_owned();
            let answer = http::get(edge.callback, &format!("/wechat/main?{query}"));
            assert_eq!((answer.status, answer.text()), (200, made["echostr"].as_str().unwrap()));
            queries.push(query);
        }
        assert_ne!(queries[0], queries[1]);
        edge.assert_outcomes(&[("verified", 2)]);
    }
}
