//! Clients that connect and say nothing.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use wxedge_tests::edge::Edge;
use wxedge_tests::http::Connection;
use wxedge_tests::message::Message;
use wxedge_tests::wechat::Verdict;
use wxedge_tests::{PATIENCE, Ruler};

use crate::edge;

#[test]
fn a_connection_that_says_nothing_ends_after_a_minute() {
    let edge = edge().start();
    let wechat = edge.wechat();
    let sealed = wechat.seal(&Message::text("hi"));
    let begun = Instant::now();
    let mut silent = Connection::to(edge.callback);
    let mut used = Connection::to(edge.callback);
    used.send(wechat.request("POST", &sealed.query, &sealed.body)).unwrap();
    assert_eq!(used.response(PATIENCE).unwrap().status, 200);
    for connection in [&mut silent, &mut used] {
        assert_eq!(connection.closed(Duration::from_secs(65)), Ok(Vec::new()), "without a word");
        assert!(begun.elapsed() > Duration::from_secs(59), "{:?}", begun.elapsed());
    }
    edge.assert_outcomes(&[("replied", 1)]);
    assert_eq!(edge.count("wxedge_unrouted_total", &[]), 0.0);
}

#[test]
fn a_thousand_idle_connections_hinder_nobody_also_under_a_low_limit_of_files() {
    const IDLE: usize = 1_000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let edge = edge().listen("max_connections = 1100").under(&["prlimit", "--nofile=64:"]).start();
    assert!(open_files(&edge) >= 3 * 1_100 + 512, "three listeners and the app");

    let ruler = Ruler::start();
    let idle: Vec<Connection> = (0..IDLE).map(|_| Connection::to(edge.callback)).collect();
    let open = ("listener", "callback");
    edge.assert_count("wxedge_connections", &[open], IDLE as f64);
    for _ in 0..20 {
        let delivery = edge.wechat().deliver(&Message::text("hi"));
        assert!(matches!(delivery.verdict, Verdict::Replied(_)), "{:?}", delivery.verdict);
        assert!(delivery.took < Duration::from_millis(500) + ruler.worst(), "{:?}", delivery.took);
    }
    drop(idle);
    edge.assert_count("wxedge_connections", &[open], 0.0);
}

#[test]
fn a_system_that_allows_too_few_files_is_warned_of_at_the_start() {
    let lines = ["max_connections = 10000", "max_connections = 100"];
    let [needy, modest] =
        lines.map(|line| edge().listen(line).under(&["prlimit", "--nofile=64:8000"]).start());
    assert_eq!(open_files(&needy), 8_000, "all there is");
    needy.await_stderr("the system allows 8000 open files");
    assert!(open_files(&modest) < 8_000);
    assert!(!modest.stderr().contains("open files"));
}

/// The limit the edge has given itself.
fn open_files(edge: &Edge) -> u64 {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", edge.pid())).unwrap();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    limit.split_whitespace().next().unwrap().parse().unwrap()
}
