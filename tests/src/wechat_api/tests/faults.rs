//! It fails as it is told, as often as it is told, and there alone.

use std::time::Instant;

use super::*;
use crate::PATIENCE;
use crate::app::Gate;
use crate::http::{Connection, NoAnswer, Response};

const PATH: &str = "/cgi-bin/user/get";

/// A call of [`PATH`] on this connection.
fn ask(connection: &mut Connection, api: &Api) -> Result<Response, NoAnswer> {
    let target = format!("{PATH}?access_token={}", api.token(MAIN));
    connection.request("GET", &target, &[], b"").unwrap();
    connection.response(PATIENCE)
}

fn once(fault: Fault) -> (Api, Connection) {
    let api = Api::start();
    api.fault_next(PATH, 1, fault);
    let connection = Connection::to(api.address());
    (api, connection)
}

/// The next call is answered as usual, on this connection or on a new one.
#[track_caller]
fn is_well_again(api: &Api, connection: &mut Connection) {
    assert_eq!(ask(connection, api).unwrap().json()["count"], 2);
}

#[test]
fn a_fault_hits_its_scope_and_as_many_requests_as_told() {
    let api = Api::start();
    let token = api.token(MAIN);
    let at = |path| call(&api, path, &token);
    api.fault("/a", Fault::Errcode(-1));
    api.fault_next("/a", 2, Fault::Errcode(45011));
    api.fault_next("/a", 1, Fault::Errcode(48001));
    assert_eq!(
        [at("/a"), at("/b"), at("/a"), at("/a"), at("/a"), at("/a")],
        [45011, 0, 45011, 48001, -1, -1]
    );
    api.fault("/a", Fault::Errcode(45015));
    assert_eq!(at("/a"), 45015, "the last word counts");
    api.fault(Scope::Everything, Fault::Errcode(-1));
    api.heal("/a");
    assert_eq!([at("/a"), at("/b")], [-1, -1]);
    api.heal_all();
    assert_eq!([at("/a"), at("/b")], [0, 0]);
    api.always_40001("/a");
    assert_eq!([at("/a"), at("/a"), at("/b")], [40001, 40001, 0]);
}

#[test]
fn token_endpoints_refuse_with_the_address_or_with_any_error() {
    let api = Api::start();
    api.refuse_ip(Ipv4Addr::new(1, 2, 3, 4));
    let words = "invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist rid: ";
    for answer in [plain(&api), stable(&api, false)] {
        assert_eq!(answer["errcode"], 40164);
        assert!(answer["errmsg"].as_str().unwrap().starts_with(words), "{answer}");
    }
    assert_eq!(try_token(&api, &api.token(MAIN)), 0, "the others do not");
    api.fault(Scope::TokenEndpoints, Fault::ComponentIpNotListed(Ipv4Addr::new(1, 2, 3, 4)));
    let answer = stable(&api, false);
    assert_eq!(answer["errcode"], 61004);
    let words = "access clientip is not registered requestIP: 1.2.3.4 rid: ";
    assert!(answer["errmsg"].as_str().unwrap().starts_with(words), "{answer}");
    for errcode in [-1, 40243, 45009, 89503, 89506] {
        api.refuse_tokens(errcode);
        assert_eq!([&plain(&api)["errcode"], &stable(&api, true)["errcode"]], [errcode, errcode]);
    }
    api.heal(Scope::TokenEndpoints);
    token(&stable(&api, false));
}

#[test]
fn answers_instead_of_wechats() {
    let answer = Answer::new(200, "text/plain", "  {\"errcode\":42001}").header("X-A", "b");
    let (api, mut connection) = once(Fault::Answer(answer));
    let given = ask(&mut connection, &api).unwrap();
    assert_eq!((given.text(), given.header("x-a")), ("  {\"errcode\":42001}", Some("b")));
    api.fault_next(PATH, 1, Fault::ServerError);
    let given = ask(&mut connection, &api).unwrap();
    assert_eq!((given.status, given.header("content-type")), (500, Some("text/html")));
    api.fault_next(PATH, 1, Fault::Redirect("http://127.0.0.1:1/".to_owned()));
    let given = ask(&mut connection, &api).unwrap();
    assert_eq!((given.status, given.header("location")), (302, Some("http://127.0.0.1:1/")));
    is_well_again(&api, &mut connection);
    assert_eq!(api.connections(), 1);
}

#[test]
fn slow_answers_come_late_and_gated_ones_when_they_are_let_go() {
    let (api, mut connection) = once(Fault::Slow(Duration::from_millis(50)));
    let begun = Instant::now();
    ask(&mut connection, &api).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(50));
    let gate = Gate::closed();
    api.fault_next(Scope::TokenEndpoints, 2, Fault::Behind(gate.clone()));
    std::thread::scope(|scope| {
        let calls = [scope.spawn(|| stable(&api, false)), scope.spawn(|| stable(&api, false))];
        crate::eventually(PATIENCE, "both have asked", || api.fetches().all() == 2);
        assert!(calls.iter().all(|call| !call.is_finished()));
        gate.open();
        let [one, other] = calls.map(|call| token(&call.join().unwrap()));
        assert_eq!(one, other);
    });
    assert_eq!(api.most_fetches_at_once(), 2);
}

#[test]
fn silence_lasts_until_the_caller_has_enough() {
    let (api, mut connection) = once(Fault::Silence);
    let target = format!("{PATH}?access_token={}", api.token(MAIN));
    connection.request("GET", &target, &[], b"").unwrap();
    crate::eventually(PATIENCE, "it was asked", || api.count(PATH) == 1);
    assert_eq!(connection.response(Duration::from_millis(20)), Err(NoAnswer::Timeout));
    drop(connection);
    is_well_again(&api, &mut Connection::to(api.address()));
}

#[test]
fn connections_end_where_they_are_told_to() {
    let (api, mut connection) = once(Fault::CloseAfterHead);
    assert_eq!(ask(&mut connection, &api), Err(NoAnswer::Closed(Vec::new())));
    assert!(!api.requests()[0].complete, "its body was not looked at");

    api.fault_next(PATH, 1, Fault::CutBody);
    let cut = ask(&mut Connection::to(api.address()), &api);
    let Err(NoAnswer::Closed(beginning)) = cut else { panic!("{cut:?}") };
    assert!(beginning.starts_with(b"{\"count\":2") && !beginning.ends_with(b"}"));

    api.fault_next(PATH, 1, Fault::Garbage);
    let garbage = ask(&mut Connection::to(api.address()), &api);
    assert!(matches!(garbage, Err(NoAnswer::Malformed(_))), "{garbage:?}");

    for (fault, announced) in [(Fault::Close, "close"), (Fault::CloseUnannounced, "keep-alive")] {
        api.fault_next(PATH, 1, fault);
        let mut connection = Connection::to(api.address());
        let answer = ask(&mut connection, &api).unwrap();
        assert_eq!(answer.header("connection"), Some(announced));
        assert_eq!(connection.closed(PATIENCE), Ok(Vec::new()));
    }
    is_well_again(&api, &mut Connection::to(api.address()));
    assert_eq!(api.count(PATH), 6);
}

#[test]
fn a_stale_connection_is_one_that_was_used_before() {
    let (api, mut connection) = once(Fault::StaleKeepAlive);
    is_well_again(&api, &mut connection);
    let token = api.token(MAIN);
    api.fault_next("/cgi-bin/message/custom/send", 1, Fault::StaleKeepAlive);
    let target = format!("/cgi-bin/message/custom/send?access_token={token}");
    connection.request("POST", &target, &[], b"{\"a\":1}").unwrap();
    assert_eq!(connection.response(PATIENCE), Err(NoAnswer::Closed(Vec::new())));
    assert_eq!(api.requests()[1].body.bytes(), b"{\"a\":1}", "it came, and nothing was done");
    // What was told first still waits for a used connection.
    let mut connection = Connection::to(api.address());
    is_well_again(&api, &mut connection);
    assert_eq!(ask(&mut connection, &api), Err(NoAnswer::Closed(Vec::new())));
}

#[test]
fn chunked_answers_hold_the_same() {
    let (api, mut connection) = once(Fault::Chunked);
    let answer = ask(&mut connection, &api).unwrap();
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!((answer.header("content-length"), &answer.json()["count"]), (None, &json!(2)));
    is_well_again(&api, &mut connection);
}

#[test]
fn an_early_answer_comes_before_the_body() {
    let (api, mut connection) = once(Fault::EarlyAnswer);
    let target = format!("{PATH}?access_token={}", api.token(MAIN));
    let head = format!("POST {target} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n");
    connection.send(head).unwrap();
    assert_eq!(connection.response(PATIENCE).unwrap().status, 200);
    connection.send("12345").unwrap();
    is_well_again(&api, &mut connection);
    assert!(!api.requests()[0].complete);
}

#[test]
fn a_stopped_listener_refuses_and_comes_back_at_the_same_port() {
    let api = Api::start();
    let mut connection = Connection::to(api.address());
    is_well_again(&api, &mut connection);
    for _ in 0..3 {
        api.stop_listening();
        assert_eq!(connection.closed(PATIENCE), Ok(Vec::new()), "those that are there end");
        let refused = Connection::open(api.address(), PATIENCE).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        api.listen_again();
        connection = Connection::to(api.address());
        is_well_again(&api, &mut connection);
    }
    api.close_connections();
    assert_eq!(connection.closed(PATIENCE), Ok(Vec::new()));
    let address = api.address();
    drop(api);
    assert!(Connection::open(address, PATIENCE).is_err(), "it ends when it is dropped");
}
