//! `wechat.api_base`: in order of preference, away at once, back when it stays; TLS and the egress proxy.

use std::sync::Arc;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::folder::Folder;
use wxedge_tests::tls::{Authority, Identity};
use wxedge_tests::wechat_api::egress::Egress;
use wxedge_tests::wechat_api::{self, Fault};
use wxedge_tests::{canary, eventually};

use crate::api::{
    LONG, Wechat, assert_ok, assert_refused, assert_results, before, before_all, get, post,
};
use crate::events::Stream;

const USERS: &str = "/cgi-bin/user/get";
const SEND: &str = "/cgi-bin/message/custom/send";
const UP: &str = "wxedge_api_base_up";

fn users(edge: &Edge) -> wxedge_tests::http::Response {
    get(edge, &format!("/main{USERS}"))
}

/// An edge with both bases, in this order.
fn between(first: &Wechat, second: &Wechat) -> Builder {
    before_all(&[first, second])
}

/// What the status says of a base.
fn base(edge: &Edge, wechat: &Wechat) -> Value {
    let status = edge.status();
    let bases = status["api_base"].as_array().unwrap();
    bases.iter().find(|base| base["base"] == wechat.url()).unwrap().clone()
}

#[test]
fn the_first_base_is_the_one_that_is_asked() {
    let first = Wechat::start();
    let second = first.beside();
    let edge = between(&first, &second).start();
    assert_ok(&users(&edge));
    assert_eq!((first.count(USERS), second.requests().len()), (1, 0));
    // Nobody has tried the second one: it is asked when the first one fails, and what it does then is not known.
    for (wechat, up, is_known) in [(&first, json!(true), true), (&second, Value::Null, false)] {
        let told = base(&edge, wechat);
        assert_eq!((&told["up"], told["since"].is_i64()), (&up, is_known));
        assert_eq!(edge.count(UP, &[("base", &wechat.url())]), 1.0);
    }
    let order: Vec<_> = edge.status()["api_base"]
        .as_array()
        .unwrap()
        .iter()
        .map(|base| base["base"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(order, [first.url(), second.url()]);
}

#[test]
fn a_base_that_refuses_is_left_at_once_and_used_again_when_it_stays() {
    let first = Wechat::start();
    let second = first.beside();
    let edge = between(&first, &second).start();
    assert_ok(&users(&edge));
    let mut events = Stream::open(&edge);
    first.stop_listening();
    for calls in 1..=3 {
        assert_ok(&users(&edge));
        assert_ok(&post(&edge, &format!("/main{SEND}"), &json!({})));
        assert_eq!((second.count(USERS), second.count(SEND)), (calls, calls));
    }
    let event = events.await_event("api_base").data;
    assert_eq!((&event["base"], &event["up"]), (&json!(first.url()), &json!(false)));
    assert_eq!(base(&edge, &first)["up"], false);
    let down_since = base(&edge, &first)["since"].as_i64().unwrap();
    assert_eq!(edge.count(UP, &[("base", &first.url())]), 0.0);
    assert_eq!(edge.count(UP, &[("base", &second.url())]), 1.0);
    edge.await_stderr(&format!("{} is down: ", first.url()));

    first.listen_again();
    // It is not trusted at once.
    assert_ok(&users(&edge));
    assert_eq!((first.count(USERS), second.count(USERS)), (1, 4));
    let event = events.await_event("api_base").data;
    assert_eq!((&event["base"], &event["up"]), (&json!(first.url()), &json!(true)));
    assert_eq!(edge.count(UP, &[("base", &first.url())]), 1.0);
    assert_eq!(base(&edge, &first)["up"], true);
    assert!(base(&edge, &first)["since"].as_i64().unwrap() >= down_since);
    assert_ok(&users(&edge));
    assert_eq!((first.count(USERS), second.count(USERS)), (2, 4));
    assert_results(&edge, &[("ok", 9)]);
}

#[test]
fn a_kept_connection_that_turns_out_dead_leads_to_any_base() {
    let first = Wechat::start();
    let second = first.beside();
    let edge = between(&first, &second).start();
    assert_ok(&users(&edge));
    first.refuse_connections();
    first.fault_next(USERS, 1, Fault::StaleKeepAlive);
    assert_ok(&users(&edge));
    assert_eq!(second.count(USERS), 1);
}

#[test]
fn with_all_bases_down_the_answer_says_so_and_works_again_after() {
    let first = Wechat::start();
    let second = first.beside();
    let edge = between(&first, &second).start();
    assert_ok(&users(&edge));
    first.stop_listening();
    second.stop_listening();
    for _ in 0..3 {
        assert_refused(&users(&edge), 502);
        assert_refused(&post(&edge, &format!("/main{SEND}"), &json!({})), 502);
    }
    // Those that are down are tried all the same while there is no other.
    second.listen_again();
    assert_ok(&users(&edge));
    assert_eq!(second.count(SEND), 0);
    assert_results(&edge, &[("failed", 6), ("ok", 2)]);
}

#[test]
fn without_any_base_there_is_no_token_and_the_answer_says_that() {
    let wechat = Wechat::start();
    wechat.stop_listening();
    let edge = before(&wechat).start();
    assert_refused(&users(&edge), 503);
    wechat.listen_again();
    eventually(LONG, "it is asked again", || users(&edge).status == 200);
}

#[test]
fn what_may_have_arrived_at_one_base_is_not_sent_to_another() {
    let first = Wechat::start();
    let second = first.beside();
    let edge = between(&first, &second).start();
    for fault in [Fault::CloseAfterHead, Fault::Garbage, Fault::CutBody] {
        first.clear();
        first.fault(SEND, fault);
        assert_refused(&post(&edge, &format!("/main{SEND}"), &json!({})), 502);
        assert_eq!((first.count(SEND), second.count(SEND)), (1, 0));
    }
    // The base is there, it only answers badly.
    assert_eq!(base(&edge, &first)["up"], true);
}

/// A WeChat by TLS beside the one without.
fn by_tls(wechat: &Wechat, name: &str, identity: &Identity) -> Wechat {
    Wechat(wechat_api::Builder::new().beside(wechat).tls(name, identity).start().unwrap())
}

fn with_ca(authority: &Authority) -> (Arc<Folder>, String) {
    let folder = Arc::new(Folder::new());
    let path = folder.write("ca.pem", authority.pem());
    (folder, format!("ca_file = {:?}", path.display().to_string()))
}

#[test]
fn tls_is_spoken_to_whom_the_ca_file_vouches_for_and_to_nobody_else() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (_folder, ca_file) = with_ca(&ours);
    let plain = Wechat::start();
    let right = by_tls(&plain, "localhost", &ours.issue("localhost"));
    for wrong in [
        ours.issue("other.example"),
        ours.issue_expired("localhost"),
        theirs.issue("localhost"),
        Identity::of("localhost"),
    ] {
        right.clear();
        let wrong = by_tls(&plain, "localhost", &wrong);
        let edge = between(&wrong, &right).wechat(&ca_file).start();
        assert_ok(&users(&edge));
        assert_ok(&post(&edge, &format!("/main{SEND}"), &json!({})));
        assert!(wrong.connections() > 0, "it was tried");
        assert_eq!(wrong.requests().len(), 0, "nothing was said to it");
        assert_eq!((right.count(USERS), right.count(SEND)), (1, 1));
        assert_eq!(base(&edge, &wrong)["up"], false);
        edge.await_stderr(&format!("{} is down: TLS", wrong.url()));
    }
}

#[test]
fn a_ca_file_that_was_renewed_is_taken_at_a_reload() {
    let (old, new) = (Authority::new(), Authority::new());
    let (folder, ca_file) = with_ca(&old);
    let plain = Wechat::start();
    let wechat = by_tls(&plain, "localhost", &new.issue("localhost"));
    let edge = before(&wechat).wechat(&ca_file).start();
    assert_refused(&users(&edge), 503);
    folder.write("ca.pem", new.pem());
    edge.signal(Signal::SIGHUP);
    edge.assert_count("wxedge_config_reloads_total", &[("result", "ok")], 1.0);
    // The token is asked for again after a pause.
    eventually(LONG, "it is trusted", || users(&edge).status == 200);
}

#[test]
fn without_a_ca_file_an_unknown_authority_is_not_trusted() {
    let plain = Wechat::start();
    let unknown = by_tls(&plain, "localhost", &Authority::new().issue("localhost"));
    let edge = before(&unknown).start();
    assert_refused(&users(&edge), 503);
    assert_eq!(unknown.requests().len(), 0);
}

#[test]
fn through_the_egress_proxy_with_a_password_and_tls_to_the_end() {
    const NAME: &str = "api.weixin.qq.com";
    let authority = Authority::new();
    let (_folder, ca_file) = with_ca(&authority);
    let plain = Wechat::start();
    let wechat = by_tls(&plain, NAME, &authority.issue(NAME));
    let egress = Egress::start();
    let target = format!("{NAME}:{}", wechat.address().port());
    egress.route(&target, wechat.address());
    // user:CanaryAppKey1679091c5a880faf
    let basic = "Basic dXNlcjpDYW5hcnlBcHBLZXkxNjc5MDkxYzVhODgwZmFm";
    egress.require(basic);
    let proxy = egress.url().replace("http://", &format!("http://user:{}@", canary::APP_KEY));
    let edge = before(&wechat).wechat(&ca_file).wechat(&format!("proxy = {proxy:?}")).start();
    assert_ok(&users(&edge));
    assert_eq!(wechat.only(USERS).header("host"), Some(target.as_str()));
    let connects = egress.connects();
    assert!(!connects.is_empty());
    for connect in connects {
        assert_eq!((connect.method.as_str(), connect.target), ("CONNECT", target.clone()));
        assert_eq!(connect.authorization.as_deref(), Some(basic));
    }
    assert_eq!(plain.connections(), 0);
    assert_eq!(edge.status()["api_base"][0]["by_proxy"], true);
}

#[test]
fn a_proxy_that_refuses_is_no_way_and_nothing_goes_past_it() {
    let wechat = Wechat::start();
    let second = wechat.beside();
    let egress = Egress::start();
    let to = |wechat: &Wechat| wechat.address().to_string();
    // The first base cannot be reached through it, the second can: both share its address.
    egress.route(&to(&wechat), "127.0.0.1:1".parse().unwrap());
    egress.route(&to(&second), second.address());
    let edge = between(&wechat, &second).wechat(&format!("proxy = {:?}", egress.url())).start();
    assert_ok(&users(&edge));
    assert_eq!((wechat.connections(), second.count(USERS)), (0, 1));
    egress.require("Basic nobody");
    second.close_connections();
    eventually(LONG, "the kept connection is known to be gone", || {
        let answer = users(&edge);
        answer.status == 502 && answer.text().contains("egress proxy")
    });
    assert_eq!(wechat.connections(), 0);
}
