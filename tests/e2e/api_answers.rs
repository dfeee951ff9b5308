//! Answers in every form that HTTP allows and WeChat's servers, or what stands before them, might send.

use serde_json::json;
use wxedge_tests::PATIENCE;
use wxedge_tests::app::{Answer, App};
use wxedge_tests::canary;
use wxedge_tests::edge::Edge;
use wxedge_tests::http::{NoAnswer, Response};

use crate::api::{assert_refused, assert_results, bearer, begin, get};
use crate::edge;

const ANY: &str = "/main/cgi-bin/menu/get";

/// An edge whose WeChat hands out a token and answers everything else like this.
fn answering(answer: Answer) -> (App, Edge) {
    let app = App::start();
    let url = app.url();
    app.choose(move |request| match request.target.split('?').next().unwrap() {
        "/cgi-bin/stable_token" => {
            let token = format!("{}0123456789", canary::ACCESS_TOKEN_PREFIX);
            Answer::json(&json!({"access_token": token, "expires_in": 7200}))
        }
        "/cgi-bin/getcallbackip" => Answer::json(&json!({"ip_list": ["127.0.0.1"]})),
        _ => answer.clone(),
    });
    let origin = url.split('/').take(3).collect::<Vec<_>>().join("/");
    let edge = edge().api_base(&[&origin]).client("crm", &["allow = [\"/**\"]"]).start();
    (app, edge)
}

fn raw(text: &str) -> Answer {
    Answer::raw(text.as_bytes())
}

fn answer_to(answer: Answer) -> Response {
    let (_app, edge) = answering(answer);
    get(&edge, ANY)
}

#[test]
fn the_body_that_head_has_not_is_told_of_and_not_waited_for() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: image/jpeg\r\ncontent-length: 70000\r\n\r\n";
    for media_type in ["image/jpeg", "application/json"] {
        let (_app, edge) = answering(raw(&head.replace("image/jpeg", media_type)));
        let mut connection = begin(&edge, &format!("HEAD {ANY} HTTP/1.1"));
        let answer = connection.response_head(PATIENCE).unwrap();
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("70000")));
        assert_results(&edge, &[("ok", 1)]);
    }
}

#[test]
fn statuses_without_a_body_have_none() {
    for status in [204, 304] {
        let (_app, edge) =
            answering(raw(&format!("HTTP/1.1 {status} None\r\netag: \"1\"\r\n\r\n")));
        let mut connection = begin(&edge, &format!("GET {ANY} HTTP/1.1"));
        let answer = connection.response_head(PATIENCE).unwrap();
        assert_eq!((answer.status, answer.header("etag")), (status, Some("\"1\"")));
        let framing = ["content-length", "transfer-encoding"].map(|name| answer.header(name));
        assert_eq!(framing, [None, None], "{status}");
        // And the connection goes on, if it says so, with the next answer.
        let key = bearer(canary::CLIENT_KEY);
        connection.request("GET", ANY, &[("authorization", &key)], b"").unwrap();
        assert_eq!(connection.response_head(PATIENCE).unwrap().status, status);
    }
}

#[test]
fn interim_answers_come_before_the_real_one_and_stay_here() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let real = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi";
    let answer = answer_to(raw(&format!("HTTP/1.1 100 Continue\r\n\r\n{early}{early}{real}")));
    assert_eq!((answer.status, answer.text(), answer.header("link")), (200, "hi", None));
    assert_refused(&answer_to(raw(&early.repeat(100))), 502);
}

#[test]
fn a_body_that_ends_with_the_connection_is_whole() {
    let long = "x".repeat(200_000);
    for (media_type, body) in
        [("text/plain", "hi"), ("application/json", "{\"errcode\":0}"), ("image/jpeg", &long)]
    {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\n");
        for closes in ["", "connection: close\r\n"] {
            let answer = answer_to(raw(&format!("{head}{closes}\r\n{body}")));
            assert!(answer.text() == body, "{media_type}: {} bytes", answer.body.len());
        }
        let old = head.replace("HTTP/1.1", "HTTP/1.0");
        assert!(answer_to(raw(&format!("{old}\r\n{body}"))).text() == body, "{media_type}");
    }
}

#[test]
fn chunks_with_extensions_and_trailers_are_read_and_trailers_stay_here() {
    for media_type in ["application/json", "image/jpeg"] {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let chunks = "4;a=b\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\nset-cookie: a=b\r\n\r\n";
        let answer = answer_to(raw(&format!("{head}{chunks}")));
        assert_eq!((answer.text(), answer.header("set-cookie")), ("{\"a\":1}", None));
        let cut = &chunks[..chunks.len() - 26];
        let (_app, edge) = answering(raw(&format!("{head}{cut}")));
        let mut connection = begin(&edge, &format!("GET {ANY} HTTP/1.1"));
        match connection.response(PATIENCE) {
            Ok(answer) => assert_refused(&answer, 502),
            Err(NoAnswer::Closed(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
        assert_results(&edge, &[("failed", 1)]);
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_not_passed_on() {
    for head in [
        "content-length: 2\r\ncontent-length: 3",
        "content-length: -1",
        "content-length: 2x",
        "x y: 1\r\ncontent-length: 2",
    ] {
        let (_app, edge) = answering(raw(&format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n{head}\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        )));
        let mut connection = begin(&edge, &format!("GET {ANY} HTTP/1.1"));
        let answer = connection.response(PATIENCE);
        let refused = answer.as_ref().is_ok_and(|answer| answer.status == 502);
        assert!(refused || answer.is_err(), "{head}: {answer:?}");
    }
}

#[test]
fn many_and_long_headers_pass() {
    let mut answer = Answer::new(200, "text/plain", "hi");
    for number in 0..60 {
        answer = answer.header(&format!("x-{number}"), &"v".repeat(100));
    }
    let answer = answer_to(answer);
    assert_eq!(answer.header("x-59").map(str::len), Some(100));
}
