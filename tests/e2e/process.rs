//! The process: how it starts, how it does not, how it ends.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::canary;
use wxedge_tests::edge::{Account, Edge};
use wxedge_tests::http::Connection;
use wxedge_tests::message::Message;
use wxedge_tests::wechat::Verdict;
use wxedge_tests::{PATIENCE, eventually, thread};

use crate::edge;

fn refuses_connections(edge: &Edge) -> bool {
    Connection::open(edge.callback, Duration::from_secs(1)).is_err()
}

#[test]
fn sigterm_answers_what_is_in_flight_takes_nothing_new_and_ends_at_once() {
    let gate = Gate::closed();
    let app = App::answering(Answer::text("the last answer").behind(&gate));
    let mut edge = edge().app(&app).runtime("grace_s = 60").start();
    let wechat = edge.wechat();
    let mut idle = wechat.connect().unwrap();
    let slow = {
        let wechat = wechat.clone();
        thread(move || wechat.deliver(&Message::text("hi")))
    };
    app.await_calls(1);
    edge.signal(Signal::SIGTERM);
    assert_eq!(idle.closed(PATIENCE), Ok(Vec::new()), "an idle connection ends");
    eventually(PATIENCE, "new connections are refused", || refuses_connections(&edge));
    assert!(edge.is_running());
    gate.open();
    assert_eq!(slow.join().unwrap().reply().at("Content"), Some("the last answer"));
    let begun = Instant::now();
    assert_eq!(edge.await_exit(PATIENCE).code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let log = edge.log();
    assert_eq!(
        (log.len(), log[0]["outcome"].as_str()),
        (1, Some("replied")),
        "the last line is not lost"
    );
}

#[test]
fn sigterm_waits_for_the_app_after_the_deadline_but_not_longer_than_grace_s() {
    let app = App::answering(Answer::hang());
    let mut edge = edge().app(&app).upstream("deadline_ms = 500").runtime("grace_s = 2").start();
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Acknowledged);
    let begun = Instant::now();
    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.await_exit(PATIENCE).code(), Some(0));
    let took = begun.elapsed().as_secs_f64();
    assert!((1.9..5.0).contains(&took), "{took} s");
    edge.await_stderr("grace_s");
}

#[test]
fn an_idle_edge_ends_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut edge = edge().runtime("grace_s = 60").start();
        let begun = Instant::now();
        edge.signal(signal);
        assert_eq!(edge.await_exit(PATIENCE).code(), Some(0), "{signal}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{signal}: {:?}", begun.elapsed());
    }
}

#[test]
fn sigint_and_a_second_sigterm_do_not_wait() {
    for second in [Signal::SIGINT, Signal::SIGTERM] {
        let app = App::answering(Answer::hang());
        let mut edge = edge().app(&app).runtime("grace_s = 60").start();
        let wechat = edge.wechat();
        let sealed = wechat.seal(&Message::text("hi"));
        let _waiting = wechat.begin("POST", &sealed.query, &sealed.body).unwrap();
        app.await_calls(1);
        edge.signal(Signal::SIGTERM);
        edge.await_stderr("draining");
        assert!(edge.is_running());
        let begun = Instant::now();
        edge.signal(second);
        assert_eq!(edge.await_exit(PATIENCE).code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(3), "{second}: {:?}", begun.elapsed());
    }
}

#[test]
fn while_it_drains_it_is_alive_but_not_ready() {
    let gate = Gate::closed();
    let app = App::answering(Answer::taken().behind(&gate));
    let edge = edge().app(&app).runtime("grace_s = 60").start();
    let mut admin = Connection::to(edge.admin);
    let wechat = edge.wechat();
    let sealed = wechat.seal(&Message::text("hi"));
    let mut waiting = wechat.begin("POST", &sealed.query, &sealed.body).unwrap();
    app.await_calls(1);
    admin.request("GET", "/readyz", &[], b"").unwrap();
    assert_eq!(admin.response(PATIENCE).unwrap().status, 200);
    edge.signal(Signal::SIGTERM);
    edge.await_stderr("draining");
    // A load balancer asks again while the last callback is answered.
    let mut seen = Vec::new();
    for target in ["/readyz", "/healthz"] {
        let asked = Connection::open(edge.admin, PATIENCE).ok().and_then(|mut admin| {
            admin.request("GET", target, &[], b"").ok()?;
            admin.response(PATIENCE).ok()
        });
        seen.push(asked.map(|answer| answer.status));
    }
    gate.open();
    assert_eq!(waiting.response(PATIENCE).unwrap().status, 200);
    assert_eq!(seen, [Some(503), Some(200)]);
}

#[test]
fn a_bad_configuration_is_exit_2_with_every_mistake_and_no_secret() {
    let twice = Account::named("other").line("path = \"/wechat/main\"").upstream("deadlin_ms = 1");
    let (code, said) = edge().line("replay_window_s = -1").and(twice).fail();
    assert_eq!(code, Some(2), "{said}");
    for key in [
        "accounts.main.replay_window_s",
        "accounts.other.path",
        "accounts.other.upstream.deadlin_ms",
        "deadline_ms",
    ] {
        assert!(said.contains(key), "{key} in {said}");
    }
    let (code, said) = edge().more("this is = no [toml").fail();
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = edge().env("WXEDGE__ACCOUNTS__MAIN__MODE", "secret").fail();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("WXEDGE__ACCOUNTS__MAIN__MODE"), "{said}");
}

#[test]
fn check_names_mistakes_and_warnings_together() {
    let edge = edge().start();
    let account = Account::named("main").without_secret();
    let account = account.line("tokn = 1").line("source_ip = \"enforce\"");
    let wrong = crate::edge().accounts([account]);
    edge.rewrite_text(&wrong.render(&edge.folder()));
    let output = edge.command(crate::PROGRAM, &["check"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    let mut lines = said.lines();
    assert!(lines.next().unwrap().starts_with("accounts.main.tokn (line "), "{said}");
    let warning = lines.find(|line| line.contains("accounts.main.source_ip"));
    assert!(warning.unwrap().starts_with("warning: "), "{said}");
}

#[test]
fn a_taken_port_is_exit_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for key in ["callback", "admin"] {
        let (code, said) = edge().listen(&format!("{key} = \"{address}\"")).fail();
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains(&format!("listen.{key}")) && said.contains(&address.to_string()),
            "{said}"
        );
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let app = App::answering(Answer::text("from the environment"));
    let edge = edge()
        .url("http://127.0.0.1:1/nowhere")
        .env("WXEDGE__ACCOUNTS__MAIN__UPSTREAM__URL", &app.url())
        .env("WXEDGE__ACCOUNTS__MAIN__TOKENS", &format!("{},{}", canary::TOKEN_OLD, canary::TOKEN))
        .start();
    for token in [canary::TOKEN, canary::TOKEN_OLD] {
        let delivery = edge.wechat().token(token).deliver(&Message::text("hi"));
        assert_eq!(delivery.reply().at("Content"), Some("from the environment"));
    }
}

#[test]
fn it_leaves_nothing_in_shared_folders_and_what_it_keeps_is_its_owner_s() {
    use std::os::unix::fs::PermissionsExt;
    let edge = edge().start();
    let folder = edge.folder();
    let key = folder.path().join("store/openid.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    for shared in ["/tmp/pingora.pid", "/tmp/pingora_upgrade.sock"] {
        assert!(!std::path::Path::new(shared).exists(), "{shared}");
    }
}

#[test]
#[should_panic(expected = "a secret in the edge's output")]
fn the_search_for_secrets_finds_one() {
    // The control of every other test: a secret where it may be shown is found when the edge ends.
    let _edge = edge().line(&format!("nickname = {:?}", canary::TOKEN)).start();
}
