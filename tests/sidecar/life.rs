//! Starts, ends, changes; an edge that comes and goes.

use nix::sys::signal::Signal;
use wxedge_tests::app::{Answer, App};
use wxedge_tests::message::Message;
use wxedge_tests::port::Port;
use wxedge_tests::{PATIENCE, eventually};

use crate::{SIDECAR, SOON, edge, sidecar};

#[test]
fn the_edge_restarts_and_is_watched_on() {
    // Nobody else gets the port while there is no edge.
    let port = Port::reserve();
    let admin = format!("admin = \"{}\"", port.address);
    let first = edge().listen(&admin).start();
    let sidecar = sidecar(&first).start();
    sidecar.await_stream(&first);
    let folder = first.folder();
    drop(first);
    sidecar.await_alert("proxy_down", "firing", SOON);
    let again = edge().folder(&folder).listen(&admin).start();
    sidecar.await_alert("proxy_down", "resolved", SOON);
    assert_eq!(again.wechat().deliver(&Message::text("hi")).status(), 200);
    sidecar.await_count(&again, 1);
}

#[test]
fn an_alert_outlives_a_restart_and_is_not_told_twice() {
    let robot = App::answering(Answer::json(&serde_json::json!({"errcode": 0})));
    let app = App::answering(Answer::status(400));
    let edge = edge().app(&app).start();
    let watching = sidecar(&edge).line("notify", &format!("webhook = {:?}", robot.url()));
    let first = watching.start();
    first.await_stream(&edge);
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    let fired = first.await_alert("spool_backlog", "firing", SOON);
    robot.await_calls(1);
    first.await_sent("webhook", 1);
    let folder = first.folder();
    assert_eq!(first.stop().and_then(|exit| exit.code()), Some(0));

    let second = watching.folder(&folder).start();
    let still = second.await_alert("spool_backlog", "firing", PATIENCE);
    assert_eq!(still["time"], fired["time"]);
    second.await_stream(&edge);
    app.answer(Answer::taken());
    assert_eq!(edge.operate("POST", "/v1/spool/replay?state=dead").status, 202);
    second.await_alert("spool_backlog", "resolved", SOON);
    eventually(SOON, "the end is told", || robot.calls() >= 2);
    let told = robot.requests();
    assert_eq!(told.len(), 2, "once that it is, once that it was");
}

#[test]
fn check_says_what_a_start_would() {
    let edge = edge().start();
    let right = sidecar(&edge);
    assert_eq!(right.check(), (Some(0), "configuration is valid\n".to_owned()));
    let wrong = right.line("probe", "interval_s = 0").line("notify", "webhook = \"ftp://a\"");
    let (code, said) = wrong.check();
    assert_eq!(code, Some(2));
    assert!(said.contains("probe.interval_s") && said.contains("notify.webhook"), "{said}");
}

#[test]
fn sighup_takes_a_changed_file_and_refuses_a_bad_one() {
    let app = App::answering(Answer::status(400));
    let robot = App::answering(Answer::json(&serde_json::json!({"errcode": 0})));
    let edge = edge().app(&app).start();
    let watching = sidecar(&edge).line("notify", &format!("webhook = {:?}", robot.url()));
    let sidecar = watching.start();
    sidecar.await_stream(&edge);
    let reloads = |result| {
        let labels = [("result", result)];
        sidecar.metrics().sum("wxedge_sidecar_config_reloads_total", &labels).unwrap()
    };
    assert_eq!((reloads("ok"), reloads("refused")), (0.0, 0.0));
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    let chinese = sidecar.await_alert("spool_backlog", "firing", SOON);
    sidecar.await_sent("webhook", 1);
    sidecar.rewrite_text("lisen = 1\n");
    sidecar.signal(Signal::SIGHUP);
    eventually(PATIENCE, "it says what is wrong", || {
        sidecar.stderr().contains("the nearest is listen")
    });
    assert_eq!(sidecar.alerts()[0]["description"], chinese["description"]);
    assert_eq!((reloads("ok"), reloads("refused")), (0.0, 1.0));
    sidecar.rewrite(&watching.clone().line("", "language = \"en\""));
    sidecar.signal(Signal::SIGHUP);
    eventually(PATIENCE, "it speaks English", || {
        let alerts = sidecar.alerts();
        let description = alerts[0]["description"].as_str().unwrap().to_owned();
        description.is_ascii() && !description.is_empty()
    });
    assert_eq!((reloads("ok"), reloads("refused")), (1.0, 1.0));
    // What was counted stays counted.
    sidecar.await_sent("webhook", 1);
    // Who is new has not been told of what fires.
    let second = App::answering(Answer::json(&serde_json::json!({"errcode": 0})));
    sidecar.rewrite(&watching.line("notify", &format!("wecom = {:?}", second.url())));
    sidecar.signal(Signal::SIGHUP);
    eventually(SOON, "who is new is told", || second.calls() == 1);
}

#[test]
fn a_state_that_makes_no_sense_is_moved_aside() {
    let edge = edge().start();
    let first = sidecar(&edge).start();
    let folder = first.folder();
    assert!(first.stop().unwrap().success());
    let state = folder.path().join("sidecar/state.json");
    assert!(state.exists());
    std::fs::write(&state, "{").unwrap();
    let second = sidecar(&edge).folder(&folder).start();
    eventually(PATIENCE, "it says so", || second.stderr().contains("state.json-damaged"));
}

#[test]
fn the_edge_does_not_notice_a_sidecar_that_stands_still() {
    let app = App::answering(Answer::taken());
    let edge = edge().app(&app).start();
    let sidecar = wxedge_tests::sidecar::Builder::new(SIDECAR, edge.admin).start();
    sidecar.await_stream(&edge);
    sidecar.signal(Signal::SIGSTOP);
    for _ in 0..50 {
        assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    }
    edge.assert_outcomes(&[("acknowledged", 50)]);
    sidecar.signal(Signal::SIGCONT);
    sidecar.await_count(&edge, 50);
}

#[test]
fn a_wrong_key_is_called_a_wrong_key() {
    let edge = edge().start();
    let sidecar =
        sidecar(&edge).line("", "language = \"en\"").line("edge", "key = \"wrong\"").start();
    let fired = sidecar.await_alert("proxy_down", "firing", SOON);
    assert!(fired["description"].as_str().unwrap().contains("401"), "{fired}");
    assert!(fired["action"].as_str().unwrap().contains("edge.key"), "{fired}");
}
