//! HTTP/1.1 with its framing both ways, and a faithful record.

use super::*;
use crate::PATIENCE;
use crate::http::{Connection, NoAnswer};

#[test]
fn requests_are_kept_byte_for_byte() {
    let api = Api::start();
    let token = api.token(MAIN);
    let target = format!("/a%2Fb/../c?x=%E4&access_token={token}&y=+;#");
    let mut connection = Connection::to(api.address());
    let head = format!("PUT {target} HTTP/1.1\r\nHOST:a\r\nx-B:  1 \r\nX-b: 2\r\nx-empty:\r\n");
    connection.send(format!("{head}Content-Length: 3\r\n\r\n{{\0}}")).unwrap();
    assert_eq!(connection.response(PATIENCE).unwrap().status, 200);
    let requests = api.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.method.as_str(), &request.target), ("PUT", &target));
    assert_eq!(request.path(), "/a%2Fb/../c");
    assert_eq!(request.parameter("access_token"), Some(token));
    let headers =
        [("HOST", "a"), ("x-B", "1"), ("X-b", "2"), ("x-empty", ""), ("Content-Length", "3")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(request.headers, headers);
    assert_eq!((request.body.bytes(), request.connection), (b"{\0}".as_slice(), 1));
    assert!(request.complete);
    api.clear();
    assert_eq!((api.requests().len(), api.count("/a%2Fb/../c")), (0, 0));
}

#[test]
fn bytes_that_are_no_text_are_kept_too() {
    let api = Api::start();
    let mut connection = Connection::to(api.address());
    connection.send(b"GET /\xff?\xfe HTTP/1.1\r\nhost: \xe4\r\n\r\n").unwrap();
    connection.response(PATIENCE).unwrap();
    let request = &api.requests()[0];
    assert_eq!((request.target.as_str(), request.header("host")), ("/ÿ?þ", Some("ä")));
}

#[test]
fn chunked_bodies_are_read_and_so_is_what_comes_after_them() {
    let api = Api::start();
    let target = format!("/cgi-bin/message/custom/send?access_token={}", api.token(MAIN));
    let head = format!("POST {target} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut connection = Connection::to(api.address());
    let whole = format!("{head}2;x=y\r\n{{\"\r\n5\r\na\":1}}\r\n0\r\nx-trailer: 1\r\n\r\n");
    // Two at once, then one byte by byte.
    connection.send(format!("{whole}{whole}")).unwrap();
    for byte in whole.as_bytes() {
        connection.send([*byte]).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(connection.response(PATIENCE).unwrap().json()["errcode"], 0);
    }
    let bodies: Vec<_> = api.requests().iter().map(Request::json).collect();
    assert_eq!(bodies, vec![json!({"a": 1}); 3]);
    assert_eq!(api.connections(), 1);
}

#[test]
fn who_waits_to_be_asked_for_the_body_is_asked() {
    let api = Api::start();
    let target = format!("/any?access_token={}", api.token(MAIN));
    let mut connection = Connection::to(api.address());
    let head = "host: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    connection.send(format!("POST {target} HTTP/1.1\r\n{head}")).unwrap();
    assert_eq!(connection.response_head(PATIENCE).unwrap().status, 100);
    connection.send("ab").unwrap();
    assert_eq!(connection.response(PATIENCE).unwrap().json()["errcode"], 0);
}

#[test]
fn what_is_no_http_is_the_callers_mistake() {
    let api = Api::start();
    let both = "content-length: 1\r\ntransfer-encoding: chunked\r\n";
    for bad in [
        "GET /a HTTP/1.0\r\n\r\n".to_owned(),
        "GET http://a/ HTTP/1.1\r\n\r\n".to_owned(),
        "GET /a b HTTP/1.1\r\n\r\n".to_owned(),
        "GET /a HTTP/1.1\r\nno colon\r\n\r\n".to_owned(),
        format!("POST /a HTTP/1.1\r\n{both}\r\n"),
        "POST /a HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(40_000)),
    ] {
        let mut connection = Connection::to(api.address());
        connection.send(&bad).unwrap();
        let answer = connection.response(PATIENCE);
        // What was not read when the connection ended makes its end a reset.
        let refused = |answer: &Result<http::Response, NoAnswer>| match answer {
            Ok(answer) => answer.status == 400,
            Err(why) => *why == NoAnswer::Closed(Vec::new()),
        };
        assert!(refused(&answer), "{bad:?}: {answer:?}");
    }
    assert_eq!(api.mistakes(), vec!["a request that is no HTTP/1.1"; 7]);
    assert_eq!(api.requests().len(), 0);
}

#[test]
fn a_request_that_breaks_off_is_recorded_as_such() {
    let api = Api::start();
    let mut connection = Connection::to(api.address());
    connection.send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc").unwrap();
    connection.finish_sending().unwrap();
    assert_eq!(connection.closed(PATIENCE), Ok(Vec::new()));
    let request = &api.requests()[0];
    assert_eq!((request.complete, request.body.bytes()), (false, b"abc".as_slice()));
}
