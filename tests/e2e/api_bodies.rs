//! Bodies on their way to WeChat: every framing, every length, slow and broken senders.

use std::time::Duration;

use sha2::{Digest, Sha256};
use wxedge_tests::http::{self, Connection, Response};
use wxedge_tests::wechat_api::Fault;
use wxedge_tests::{PATIENCE, canary, eventually};

use crate::api::{Wechat, assert_ok, assert_refused, assert_results, bearer, before, begin, call};

const MIB: usize = 1 << 20;
const UPLOAD: &str = "/main/cgi-bin/media/upload?type=image";
const MULTIPART: &str = "multipart/form-data; boundary=-wxedge";

/// Bytes that no two places of a body share.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at >> 12) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn send_chunks(connection: &mut Connection, body: &[u8], size: usize) {
    for chunk in body.chunks(size) {
        connection.send(format!("{:x}\r\n", chunk.len())).unwrap();
        connection.send([chunk, b"\r\n"].concat()).unwrap();
    }
    connection.send("0\r\n\r\n").unwrap();
}

fn answer(connection: &mut Connection) -> Response {
    connection.response(PATIENCE).unwrap()
}

#[test]
fn a_small_chunked_body_gets_a_length() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let body = br#"{"touser":"o1"}"#;
    let head = "POST /main/cgi-bin/message/custom/send HTTP/1.1\r\ntransfer-encoding: chunked";
    let mut connection = begin(&edge, head);
    send_chunks(&mut connection, body, 4);
    assert_ok(&answer(&mut connection));
    let got = wechat.only("/cgi-bin/message/custom/send");
    assert_eq!(got.body.bytes(), body);
    assert_eq!(got.header("content-length"), Some("15"));
    assert_eq!(got.header("transfer-encoding"), None);
}

#[test]
fn a_chunked_body_beyond_the_copy_stays_chunked_and_whole() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let body = bytes(13 * MIB);
    let head = format!(
        "POST {UPLOAD} HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-type: {MULTIPART}"
    );
    let mut connection = begin(&edge, &head);
    send_chunks(&mut connection, &body, 100_000);
    assert_eq!(answer(&mut connection).json()["sha256"], sha256(&body));
    let got = wechat.only("/cgi-bin/media/upload");
    assert_eq!(got.header("content-length"), None);
    assert_eq!(got.header("transfer-encoding"), Some("chunked"));
}

#[test]
fn no_body_stays_none_in_every_method() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    for (place, (method, length)) in [
        ("GET", None),
        ("DELETE", None),
        ("POST", Some("content-length: 0\r\n")),
        ("PUT", Some("content-length: 0\r\n")),
        ("POST", None),
        ("POST", Some("transfer-encoding: chunked\r\n")),
    ]
    .into_iter()
    .enumerate()
    {
        let head =
            format!("{method} /main/cgi-bin/menu/delete HTTP/1.1\r\n{}", length.unwrap_or(""));
        let mut connection = begin(&edge, head.trim_end());
        if length.is_some_and(|length| length.starts_with("transfer")) {
            connection.send("0\r\n\r\n").unwrap();
        }
        assert_ok(&answer(&mut connection));
        let got = wechat.requests_to("/cgi-bin/menu/delete").remove(place);
        assert_eq!((got.method.as_str(), got.body.length()), (method, 0));
        // nginx says 411 to a POST that does not tell.
        let told = got.header("content-length");
        assert_eq!(
            told,
            if matches!(method, "POST" | "PUT") { Some("0") } else { None },
            "{place}"
        );
        assert_eq!(got.header("transfer-encoding"), None, "{place}");
    }
}

#[test]
fn head_has_the_head_of_get_and_the_connection_goes_on() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let head = "HEAD /main/cgi-bin/media/get?media_id=size-70000 HTTP/1.1";
    // The fake, like any server of static text, would send a body that a HEAD must not have.
    wechat.fault(
        "/cgi-bin/media/get",
        Fault::Answer(wxedge_tests::wechat_api::Answer::new(200, "image/jpeg", "")),
    );
    let mut connection = begin(&edge, head);
    let answered = connection.response_head(PATIENCE).unwrap();
    assert_eq!((answered.status, answered.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(wechat.only("/cgi-bin/media/get").method, "HEAD");
    let key = bearer(canary::CLIENT_KEY);
    let next = connection.request("GET", "/main/cgi-bin/user/get", &[("authorization", &key)], b"");
    next.unwrap();
    assert_ok(&answer(&mut connection));
}

#[test]
fn uploads_arrive_byte_for_byte_with_and_without_a_copy() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    for (place, length) in [11 * MIB, 20 * MIB].into_iter().enumerate() {
        let body = bytes(length);
        let answer = call(&edge, "POST", UPLOAD, &[("content-type", MULTIPART)], &body);
        assert_ok(&answer);
        assert_eq!(answer.json()["sha256"], sha256(&body));
        let got = wechat.requests_to("/cgi-bin/media/upload").remove(place);
        assert!(got.complete);
        assert_eq!(got.body.length(), length as u64);
        assert_eq!(got.header("content-length"), Some(length.to_string().as_str()));
        assert_eq!(got.header("content-type"), Some(MULTIPART));
    }
    assert_results(&edge, &[("ok", 2)]);
}

#[test]
fn a_body_that_waits_for_100_continue_is_asked_for() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let head =
        "POST /main/cgi-bin/menu/create HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue";
    let mut connection = begin(&edge, head);
    assert_eq!(connection.response_head(PATIENCE).unwrap().status, 100);
    connection.send("{}").unwrap();
    assert_ok(&answer(&mut connection));
    let got = wechat.only("/cgi-bin/menu/create");
    assert_eq!((got.body.bytes(), got.header("expect")), (&b"{}"[..], None));
}

#[test]
fn a_slow_sender_is_waited_for_longer_than_a_callback_would_be() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let head = "POST /main/cgi-bin/menu/create HTTP/1.1\r\ncontent-length: 5";
    let mut connection = begin(&edge, head);
    for byte in ["{", " ", " ", " "] {
        // Not to wait for anything: this is how slow it is, more than 3.5 s in all.
        std::thread::sleep(Duration::from_secs(1));
        connection.send(byte).unwrap();
    }
    connection.send("}").unwrap();
    assert_ok(&answer(&mut connection));
    assert_eq!(wechat.only("/cgi-bin/menu/create").body.bytes(), b"{   }");
}

#[test]
fn who_leaves_in_the_middle_of_an_upload_is_no_call_of_wechats() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    for reset in [false, true] {
        let head = format!("POST {UPLOAD} HTTP/1.1\r\ncontent-length: {}", 2 * MIB);
        let mut connection = begin(&edge, &head);
        connection.send(bytes(MIB)).unwrap();
        if reset { connection.reset() } else { drop(connection) }
    }
    assert_results(&edge, &[("client_gone", 2)]);
    // WeChat sees a request that is not complete, and has executed nothing.
    eventually(PATIENCE, "both ended at WeChat, too", || {
        wechat.requests_to("/cgi-bin/media/upload").len() == 2
    });
    assert!(wechat.requests_to("/cgi-bin/media/upload").iter().all(|request| !request.complete));
}

#[test]
fn who_sends_only_a_head_does_not_reach_wechat() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let head = "POST /main/cgi-bin/menu/create HTTP/1.1\r\ncontent-length: 5";
    drop(begin(&edge, head));
    assert_results(&edge, &[("client_gone", 1)]);
    assert_eq!(wechat.count("/cgi-bin/menu/create"), 0);
}

/// The head of a request whose body comes in chunks.
fn chunked(path: &str) -> String {
    format!("POST /main{path} HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-type: {MULTIPART}")
}

#[test]
fn a_body_in_tiny_parts_arrives_whole() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let body = bytes(50_000);
    let mut connection = begin(&edge, &chunked("/cgi-bin/media/upload?type=image"));
    send_chunks(&mut connection, &body, 1);
    assert_eq!(answer(&mut connection).json()["sha256"], sha256(&body));
    assert_eq!(wechat.only("/cgi-bin/media/upload").header("content-length"), Some("50000"));
}

#[test]
fn who_is_refused_while_sending_chunks_gets_the_answer_and_no_reset() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let mut connection = begin(&edge, &chunked("/cgi-bin/clear_quota"));
    send_chunks(&mut connection, &bytes(4 * MIB), 60_000);
    assert_refused(&answer(&mut connection), 403);
}

#[test]
fn a_badly_framed_body_is_the_callers_fault() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let head = "POST /main/cgi-bin/menu/create HTTP/1.1\r\ntransfer-encoding: chunked";
    let mut connection = begin(&edge, head);
    connection.send("2\r\n{}\r\nzz\r\n\r\n").unwrap();
    assert_refused(&answer(&mut connection), 400);
    connection.closed(PATIENCE).unwrap();
    assert_eq!(wechat.count("/cgi-bin/menu/create"), 0);
    assert_results(&edge, &[("refused", 1)]);
}

#[test]
fn wechats_early_answer_to_a_long_upload_reaches_the_caller() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    // It answers after the head and takes the rest.
    wechat.fault_next("/cgi-bin/media/upload", 1, Fault::EarlyAnswer);
    let body = bytes(14 * MIB);
    let answer = call(&edge, "POST", UPLOAD, &[("content-type", MULTIPART)], &body);
    assert_eq!((answer.status, answer.json()["errcode"].as_i64()), (200, Some(41005)));
    let key = bearer(canary::CLIENT_KEY);
    let next = http::send(
        edge.api(),
        "GET",
        "/main/cgi-bin/user/get",
        &[("authorization", key.as_str())],
        b"",
    );
    assert_ok(&next);
    assert_results(&edge, &[("errcode", 1), ("ok", 1)]);
}
