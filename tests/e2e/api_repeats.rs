//! One safe repetition: on 40001, 40014 and 42001 with a better token, on -1 where a call only reads, never where WeChat may
//! have executed the call.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use wxedge_tests::edge::Edge;
use wxedge_tests::wechat_api::{Fault, MAIN};
use wxedge_tests::{PATIENCE, eventually};

use crate::api::{
    LONG, Wechat, assert_ok, assert_own, assert_refused, assert_results, await_line, before, call,
    get, post, settle,
};

const MIB: usize = 1 << 20;
const USERS: &str = "/cgi-bin/user/get";
const SEND: &str = "/cgi-bin/message/custom/send";
const UPLOAD: &str = "/cgi-bin/media/upload";
const MULTIPART: (&str, &str) = ("content-type", "multipart/form-data; boundary=-wxedge");

fn users(edge: &Edge) -> wxedge_tests::http::Response {
    get(edge, &format!("/main{USERS}"))
}

#[test]
fn a_token_that_another_system_replaced_is_fetched_again_and_the_call_repeated() {
    for errcode in [40001, 40014, 42001] {
        let wechat = Wechat::start();
        let edge = before(&wechat).start();
        settle(&edge, &wechat);
        let old = wechat.main_token();
        wechat.kill_token(MAIN);
        if errcode != 40001 {
            wechat.fault_next(SEND, 1, Fault::Errcode(errcode));
        }
        let body = json!({"touser": "o1", "text": {"content": "你好"}});
        assert_ok(&post(&edge, &format!("/main{SEND}"), &body));
        let sent = wechat.requests_to(SEND);
        let tokens: Vec<_> =
            sent.iter().map(|call| call.parameter("access_token").unwrap()).collect();
        assert_eq!(tokens, [old, wechat.main_token()]);
        assert!(sent.iter().all(|call| call.body.bytes() == body.to_string().as_bytes()));
        let fetches = wechat.fetches();
        assert_eq!((fetches.stable, fetches.forced), (2, 0), "{errcode}");
        assert_results(&edge, &[("ok", 2)]);
        let line = await_line(&edge, "its line", |line| line["api"] == SEND);
        assert_eq!((&line["attempts"], line.get("errcode")), (&json!(2), None));
    }
}

#[test]
fn only_force_helps_against_a_token_that_is_handed_out_again() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    settle(&edge, &wechat);
    wechat.kill_token_same(MAIN);
    assert_ok(&users(&edge));
    assert_ok(&users(&edge));
    let fetches = wechat.fetches();
    assert_eq!((fetches.stable, fetches.forced), (2, 1), "asked without force first");
    assert_eq!(wechat.count(USERS), 4);
    assert_results(&edge, &[("ok", 3)]);
}

#[test]
fn fifty_calls_that_meet_a_dead_token_cost_one_fetch() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    settle(&edge, &wechat);
    wechat.kill_token(MAIN);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_ok(&users(&edge)));
        }
    });
    let fetches = wechat.fetches();
    assert_eq!((fetches.stable, fetches.forced), (2, 0));
    assert_eq!(wechat.most_fetches_at_once(), 1);
    assert_results(&edge, &[("ok", 51)]);
}

#[test]
fn a_40001_that_does_not_go_away_costs_two_calls_and_is_no_40001_for_the_caller() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    settle(&edge, &wechat);
    wechat.always_40001(SEND);
    let send = || post(&edge, &format!("/main{SEND}"), &json!({}));
    assert_own(&send(), 502, -9502);
    assert_eq!(wechat.count(SEND), 2);
    let spent = wechat.fetches();
    assert_eq!((spent.stable, spent.forced), (2, 1));
    // SDKs and users go on; WeChat's token endpoints do not hear of it.
    for calls in 3..=10 {
        assert_own(&send(), 502, -9502);
        assert!(wechat.count(SEND) <= 2 + 2 * (calls - 2), "{calls}");
    }
    assert!(wechat.fetches().forced <= 1, "{:?}", wechat.fetches());
    assert!(wechat.fetches().all() <= spent.all() + 8, "{:?}", wechat.fetches());
    assert_ok(&users(&edge));
    assert_results(&edge, &[("failed", 9), ("ok", 2)]);
}

#[test]
fn an_upload_within_the_copy_is_repeated_with_the_same_bytes() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    settle(&edge, &wechat);
    wechat.kill_token(MAIN);
    let body: Vec<u8> = (0..11 * MIB).map(|at| (at % 253) as u8).collect();
    assert_ok(&call(&edge, "POST", &format!("/main{UPLOAD}"), &[MULTIPART], &body));
    let hash: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let sent = wechat.requests_to(UPLOAD);
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|call| call.body.sha256() == hash));
    assert_results(&edge, &[("ok", 2)]);
}

/// A call that has no copy: WeChat's answer passes on, the next call has the better token.
#[track_caller]
fn passes_on(edge: &Edge, wechat: &Wechat, length: usize) {
    settle(edge, wechat);
    wechat.kill_token(MAIN);
    let upload =
        || call(edge, "POST", &format!("/main{UPLOAD}"), &[MULTIPART], &vec![b'x'; length]);
    assert_eq!(upload().json()["errcode"], 40001);
    assert_eq!(wechat.count(UPLOAD), 1);
    assert_ok(&upload());
    assert_eq!(wechat.fetches().stable, 2);
    assert_results(edge, &[("errcode", 1), ("ok", 2)]);
}

#[test]
fn beyond_the_copy_of_one_call_the_answer_passes_on_and_the_next_call_works() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    passes_on(&edge, &wechat, 13 * MIB);
}

#[test]
fn beyond_replay_bytes_the_answer_passes_on_and_the_next_call_works() {
    let wechat = Wechat::start();
    let edge = before(&wechat).more("[api]\nreplay_bytes = 100000").start();
    passes_on(&edge, &wechat, 100_001);
}

#[test]
fn replay_bytes_is_shared_and_given_back() {
    let wechat = Wechat::start();
    let edge = before(&wechat).more("[api]\nreplay_bytes = 100000").start();
    settle(&edge, &wechat);
    let upload = || {
        let target = format!("/main{UPLOAD}");
        call(&edge, "POST", &target, &[MULTIPART], &vec![b'x'; 60_000])
    };
    let gate = wxedge_tests::app::Gate::closed();
    wechat.fault_next(UPLOAD, 1, Fault::Behind(gate.clone()));
    std::thread::scope(|scope| {
        let held = scope.spawn(upload);
        eventually(PATIENCE, "the first holds its copy", || wechat.count(UPLOAD) == 1);
        wechat.kill_token(MAIN);
        assert_eq!(upload().json()["errcode"], 40001, "there is no room for a second copy");
        gate.open();
        assert_ok(&held.join().unwrap());
    });
    wechat.kill_token(MAIN);
    // Tokens that die one after the other are asked about with a pause.
    eventually(PATIENCE, "it is repeated", || {
        let answer = upload();
        assert_ne!(answer.json()["errcode"], 40001, "it had no copy");
        answer.status == 200
    });
}

#[test]
fn busy_is_repeated_where_a_call_only_reads() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    wechat.fault_next(USERS, 2, Fault::Errcode(-1));
    assert_ok(&users(&edge));
    let calls = wechat.requests_to(USERS);
    assert_eq!(calls.len(), 3);
    for (pair, pause_ms) in calls.windows(2).zip([500, 1_000]) {
        assert!(pair[1].at - pair[0].at >= Duration::from_millis(pause_ms), "the pause grows");
    }
    assert_results(&edge, &[("ok", 1)]);
}

#[test]
fn busy_without_end_passes_on_after_three_repetitions() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    wechat.fault(USERS, Fault::Errcode(-1));
    // 1 s, 2 s and 4 s at most.
    assert_eq!(users(&edge).json()["errcode"], -1);
    assert_eq!(wechat.count(USERS), 4);
    assert_results(&edge, &[("errcode", 1)]);
}

#[test]
fn busy_is_never_repeated_where_a_call_does_something() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    for path in [SEND, "/cgi-bin/menu/delete", "/cgi-bin/nobody/knows/get"] {
        wechat.fault(path, Fault::Errcode(-1));
        assert_eq!(post(&edge, &format!("/main{path}"), &json!({})).json()["errcode"], -1);
        assert_eq!(get(&edge, &format!("/main{path}")).json()["errcode"], -1);
        assert_eq!(wechat.count(path), 2, "{path}");
    }
    assert_results(&edge, &[("errcode", 6)]);
}

#[test]
fn after_a_reset_nothing_is_sent_again() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    wechat.fault(SEND, Fault::CloseAfterHead);
    assert_refused(&post(&edge, &format!("/main{SEND}"), &json!({})), 502);
    assert_eq!(wechat.count(SEND), 1);
    // It could have been an idle connection that was closed: then a GET comes once more, on a new one.
    wechat.fault(USERS, Fault::CloseAfterHead);
    assert_refused(&users(&edge), 502);
    assert!(wechat.count(USERS) <= 2, "{}", wechat.count(USERS));
    assert_results(&edge, &[("failed", 2)]);
}

#[test]
fn a_kept_connection_that_wechat_closed_costs_a_get_nothing_and_a_post_its_answer() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    assert_ok(&users(&edge));
    wechat.fault_next(USERS, 1, Fault::StaleKeepAlive);
    assert_ok(&users(&edge));
    assert_eq!(wechat.count(USERS), 3, "the first, the one that was lost, its repetition");
    wechat.fault_next(SEND, 1, Fault::StaleKeepAlive);
    assert_refused(&post(&edge, &format!("/main{SEND}"), &json!({})), 502);
    assert_eq!(wechat.count(SEND), 1);
    assert_results(&edge, &[("failed", 1), ("ok", 2)]);
}

#[test]
fn what_a_get_has_done_is_not_done_twice() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    for path in ["/cgi-bin/menu/delete", "/cgi-bin/of_next_year"] {
        assert_ok(&users(&edge));
        wechat.fault_next(path, 1, Fault::StaleKeepAlive);
        assert_refused(&get(&edge, &format!("/main{path}")), 502);
        assert_eq!(wechat.count(path), 1, "{path}");
    }
    assert_results(&edge, &[("failed", 2), ("ok", 2)]);
}

#[test]
fn a_connection_that_wechat_closes_after_its_answer_is_not_used_again() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    wechat.fault(SEND, Fault::Close);
    (0..3).for_each(|_| assert_ok(&post(&edge, &format!("/main{SEND}"), &json!({}))));
    let mut connections: Vec<_> =
        wechat.requests_to(SEND).iter().map(|call| call.connection).collect();
    connections.dedup();
    assert_eq!(connections.len(), 3, "{connections:?}");
    // Not announced, its end may come too late for the next call: a GET does not notice.
    wechat.fault(USERS, Fault::CloseUnannounced);
    (0..5).for_each(|_| assert_ok(&users(&edge)));
    assert_results(&edge, &[("ok", 8)]);
}

#[test]
fn what_wechat_does_not_answer_is_not_sent_twice() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    assert_ok(&users(&edge));
    wechat.fault(SEND, Fault::Silence);
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| post(&edge, &format!("/main{SEND}"), &json!({})));
        eventually(PATIENCE, "it is at WeChat", || wechat.count(SEND) == 1);
        wechat.close_connections();
        assert_refused(&sent.join().unwrap(), 502);
    });
    assert_eq!(wechat.count(SEND), 1);
    let failed = [("api", SEND), ("result", "failed")];
    eventually(LONG, "its count", || {
        edge.metrics().sum("wxedge_api_requests_total", &failed) == Some(1.0)
    });
}
