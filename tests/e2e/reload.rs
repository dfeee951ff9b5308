//! SIGHUP: a changed file is taken over without dropping anything, a bad one is refused and the old one stays.

use nix::sys::signal::Signal;
use serde_json::Value;
use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::canary;
use wxedge_tests::edge::{Account, Builder, Edge};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Mode, Verdict};
use wxedge_tests::{PATIENCE, http, thread};

use crate::edge;

const RELOADS: &str = "wxedge_config_reloads_total";

/// Hands a new configuration over and waits until it is taken.
#[track_caller]
fn reload(edge: &mut Edge, builder: &Builder) {
    let before = edge.count(RELOADS, &[("result", "ok")]);
    edge.rewrite(builder);
    edge.signal(Signal::SIGHUP);
    edge.assert_count(RELOADS, &[("result", "ok")], before + 1.0);
}

#[test]
fn accounts_come_change_and_go() {
    let mut running = edge().start();
    let old = running.wechat();
    assert_eq!(http::get(running.callback, "/wechat/other").status, 404);
    let renewed = Account::named("main").tokens(&[canary::TOKEN_OLD]);
    reload(&mut running, &edge().accounts([renewed, Account::named("other").mode(Mode::Plain)]));
    assert_eq!(running.wechat().push(&Message::text("hi")).reply().at("Content"), Some("hi"));
    assert_eq!(old.deliver(&Message::text("hi")).status(), 403);
    assert_eq!(
        running.wechat_of("other").push(&Message::text("hi")).reply().at("Content"),
        Some("hi")
    );
    let labels = [("account", "other"), ("outcome", "replied")];
    running.assert_count("wxedge_callbacks_total", &labels, 1.0);
    assert_eq!(running.status()["accounts"].as_array().unwrap().len(), 2);

    reload(&mut running, &edge().accounts([Account::named("other")]));
    assert_eq!(http::get(running.callback, "/wechat/main").status, 404);
    assert_eq!(
        running.wechat_of("other").push(&Message::text("hi")).reply().at("Content"),
        Some("hi")
    );
}

#[test]
fn the_series_of_an_account_go_with_it_and_start_again_at_zero() {
    let app = App::answering(Answer::status(500));
    // With an AppSecret it would ask WeChat for a token, and how often is a matter of time.
    let other = || Account::named("other").url(&app.url()).without_secret();
    let edge = || edge().spool("retry_min_ms = 60000");
    let mut running = edge().and(other()).start();
    // What waits in the spool waits on, whatever the configuration says meanwhile.
    let stays = |line: &&str| {
        line.starts_with("wxedge_spool_oldest_seconds") || line.contains(r#"state="pending""#)
    };
    let of_other = |running: &Edge| -> Vec<String> {
        let text = running.admin("/metrics").text().to_owned();
        let counts = text.lines().filter(|line| line.contains(r#"account="other""#));
        counts.filter(|line| !stays(line)).map(str::to_owned).collect()
    };
    let pending = [("account", "other"), ("state", "pending")];
    let at_start = of_other(&running);
    assert!(at_start.iter().any(|line| line.starts_with("wxedge_token_refreshes_total")));
    for wechat in [running.wechat_of("other"), running.wechat()] {
        assert_eq!(wechat.deliver(&Message::text("hi")).status(), 200);
    }
    running.assert_count("wxedge_callbacks_total", &[("account", "other")], 1.0);
    assert_eq!(running.count("wxedge_spool_entries", &pending), 1.0);

    reload(&mut running, &edge());
    assert!(!running.admin("/metrics").text().contains(r#"account="other""#));
    assert_eq!(running.count("wxedge_callbacks_total", &[("account", "main")]), 1.0);
    reload(&mut running, &edge().and(other()));
    assert_eq!(of_other(&running), at_start, "all of them at zero");
    assert_eq!(running.count("wxedge_spool_entries", &pending), 1.0);
    assert_eq!(running.wechat_of("other").deliver(&Message::text("hi")).status(), 200);
    running.assert_count("wxedge_upstream_failures_total", &[("account", "other")], 1.0);
}

#[test]
fn a_bad_file_is_refused_with_the_reason_and_the_old_one_stays() {
    let app = App::answering(Answer::text("still here"));
    let mut running = edge().app(&app).start();
    let loaded = running.status()["config"]["loaded"].clone();
    let bad = [
        (
            "accounts.main.upstream.deadline_ms",
            edge().app(&app).upstream("deadline_ms = 5000").render(&running.folder()),
        ),
        ("accounts.main.tokn", edge().app(&app).line("tokn = \"a\"").render(&running.folder())),
        ("line", "[listen\n".to_owned()),
        ("accounts", String::new()),
    ];
    for (number, (reason, text)) in bad.iter().enumerate() {
        running.rewrite_text(text);
        running.signal(Signal::SIGHUP);
        running.assert_count(RELOADS, &[("result", "refused")], (number + 1) as f64);
        running.await_stderr(reason);
        let status = running.status();
        assert!(status["config"]["error"].as_str().unwrap().contains(reason), "{reason}: {status}");
        assert_eq!(status["config"]["loaded"], loaded);
        assert_eq!(
            running.wechat().push(&Message::text("hi")).reply().at("Content"),
            Some("still here")
        );
    }
    reload(&mut running, &edge().app(&app));
    assert_eq!(running.status()["config"]["error"], Value::Null);
}

#[test]
fn keys_that_need_a_restart_are_named_and_the_rest_is_taken() {
    let mut running = edge().start();
    let changed = edge()
        .listen("max_connections = 7")
        .listen(r#"callback = "127.0.0.1:1""#)
        .runtime("threads = 3")
        .runtime("grace_s = 3")
        .and(Account::named("other"));
    reload(&mut running, &changed);
    for key in ["listen.callback", "listen.max_connections", "runtime.threads", "runtime.grace_s"] {
        running.await_stderr(key);
        let stderr = running.stderr();
        let line = stderr.lines().find(|line| line.contains(key)).unwrap();
        assert!(line.contains("restart"), "{line}");
    }
    let stderr = running.stderr();
    assert!(!stderr.lines().any(|line| line.contains("listen.admin") && line.contains("restart")));
    assert_eq!(
        running.wechat_of("other").push(&Message::text("hi")).reply().at("Content"),
        Some("hi")
    );
}

#[test]
fn no_connection_is_dropped_and_what_runs_ends_under_the_old_file() {
    let gate = Gate::closed();
    let app = App::answering(Answer::text("under way").behind(&gate));
    let mut running = edge().app(&app).start();
    let wechat = running.wechat();
    let mut kept = wechat.connect().unwrap();
    kept.send(wechat.request(
        "GET",
        &wechat.verification(wxedge_tests::message::now_s(), "1"),
        b"",
    ))
    .unwrap();
    assert_eq!(kept.response(PATIENCE).unwrap().status, 200);
    let slow = {
        let wechat = wechat.clone();
        thread(move || wechat.deliver(&Message::text("hi")))
    };
    app.await_calls(1);
    reload(&mut running, &edge());
    let sealed = wechat.seal(&Message::text("new app"));
    kept.send(wechat.request("POST", &sealed.query, &sealed.body)).unwrap();
    assert_eq!(kept.response(PATIENCE).unwrap().status, 200);
    assert_eq!(app.calls(), 1, "the new file has another app");
    gate.open();
    assert_eq!(slow.join().unwrap().reply().at("Content"), Some("under way"));
}

#[test]
fn what_was_seen_is_not_forgotten_and_kept_connections_stay() {
    let app = App::answering(Answer::text("once"));
    let mut running = edge().app(&app).start();
    let message = Message::text("hi");
    let first = running.wechat().deliver(&message);
    reload(&mut running, &edge().app(&app).line("nickname = \"n\""));
    assert_eq!(running.wechat().deliver(&message).reply().text, first.reply().text);
    assert_eq!(app.calls(), 1);
    assert_eq!(running.wechat().deliver(&Message::text("hi")).reply().at("Content"), Some("once"));
    assert_eq!(app.connections(), 1);
    running.assert_outcomes(&[("joined", 1), ("replied", 2)]);
}

#[test]
fn secrets_in_files_are_read_again() {
    let app = App::start();
    let mut running = edge().app(&app).start();
    let folder = running.folder();
    let file = folder.write("tokens", format!("{}\n{}\n", canary::TOKEN_OLD, canary::TOKEN));
    let text = edge().app(&app).render(&folder);
    let tokens = format!("tokens = [{:?}]", canary::TOKEN);
    assert!(text.contains(&tokens));
    running.rewrite_text(&text.replace(&tokens, &format!("tokens_file = {file:?}")));
    running.signal(Signal::SIGHUP);
    running.assert_count(RELOADS, &[("result", "ok")], 1.0);
    for token in [canary::TOKEN, canary::TOKEN_OLD] {
        let delivery = running.wechat().token(token).deliver(&Message::text("hi"));
        assert_eq!(delivery.verdict, Verdict::Acknowledged);
    }
    assert!(running.is_running());
}
