//! WeChat's answers on their way to the caller: byte for byte, in every framing, and never complete when they are not.

use std::time::Duration;

use serde_json::json;
use wxedge_tests::app::Gate;
use wxedge_tests::http::NoAnswer;
use wxedge_tests::wechat_api::{Answer, Fault};
use wxedge_tests::{PATIENCE, eventually};

use crate::api::{
    Wechat, assert_ok, assert_refused, assert_results, await_line, before, begin, get,
};

const MEDIA: &str = "/cgi-bin/media/get";
const EIGHT_MIB: usize = 8 << 20;
const INSPECTED: usize = 64 * 1024;

/// As the fake makes them up.
fn jpeg(size: usize) -> Vec<u8> {
    [0xff, 0xd8, 0xff, 0xe0]
        .into_iter()
        .chain((4..).map(|at| (at % 251) as u8))
        .take(size)
        .collect()
}

/// JSON of exactly this many bytes.
fn json_of(length: usize, errcode: i64) -> Vec<u8> {
    let bare = json!({"errcode": errcode, "errmsg": "", "filler": ""}).to_string().len();
    json!({"errcode": errcode, "errmsg": "", "filler": "x".repeat(length - bare)})
        .to_string()
        .into_bytes()
}

#[test]
fn a_file_comes_byte_for_byte_by_length_and_in_chunks() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let target = format!("/main{MEDIA}?media_id=size-{EIGHT_MIB}");
    let expected = jpeg(EIGHT_MIB);
    for chunked in [false, true] {
        if chunked {
            wechat.fault(MEDIA, Fault::Chunked);
        }
        let answer = get(&edge, &target);
        assert_eq!(answer.header("content-type"), Some("image/jpeg"));
        assert!(answer.header("content-disposition").is_some());
        let length = EIGHT_MIB.to_string();
        let framing = (answer.header("content-length"), answer.header("transfer-encoding"));
        let as_it_came = if chunked { (None, Some("chunked")) } else { (Some(&*length), None) };
        assert_eq!(framing, as_it_came);
        assert!(answer.body == expected, "chunked: {chunked}, {} bytes", answer.body.len());
    }
    assert_results(&edge, &[("ok", 2)]);
}

#[test]
fn json_is_looked_into_up_to_64_kib_and_comes_whole_beyond() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let target = "/main/cgi-bin/material/batchget_material";
    for (length, chunked) in
        [(INSPECTED, false), (INSPECTED + 1, false), (INSPECTED, true), (INSPECTED + 1, true)]
    {
        let body = json_of(length, 45009);
        assert_eq!(body.len(), length);
        let answer = Answer::new(200, "application/json; encoding=utf-8", body.clone());
        // One fault a request: chunks come from a file.
        if chunked {
            wechat.media("json", "application/json", body.clone());
            wechat.fault(MEDIA, Fault::Chunked);
            assert!(get(&edge, &format!("/main{MEDIA}?media_id=json")).body == body);
        } else {
            wechat.fault("/cgi-bin/material/batchget_material", Fault::Answer(answer));
            assert!(get(&edge, target).body == body);
        }
    }
    // Only what is short enough is known to be an error.
    assert_results(&edge, &[("errcode", 2), ("ok", 2)]);
    assert_eq!(edge.count("wxedge_api_errcodes_total", &[("errcode", "45009")]), 2.0);
}

#[test]
fn what_is_no_json_is_not_taken_for_an_error() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let error = br#"{"errcode":40001,"errmsg":"a file that looks like one"}"#;
    wechat.media("file", "application/octet-stream", *error);
    wechat.media("text", "text/plain", b"[{\"errcode\":40001}]".to_vec());
    wechat.media("empty", "application/json", Vec::new());
    for id in ["file", "text", "empty"] {
        assert_eq!(get(&edge, &format!("/main{MEDIA}?media_id={id}")).status, 200, "{id}");
    }
    assert_eq!(get(&edge, &format!("/main{MEDIA}?media_id=file")).body, error);
    assert_eq!(wechat.fetches().all(), 1);
    assert_results(&edge, &[("ok", 4)]);
}

#[test]
fn a_file_that_breaks_off_is_not_complete_for_the_caller() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    wechat.fault(MEDIA, Fault::CutBody);
    for size in [1_000, 1 << 20] {
        let mut connection =
            begin(&edge, &format!("GET /main{MEDIA}?media_id=size-{size} HTTP/1.1"));
        let Err(NoAnswer::Closed(part)) = connection.response(PATIENCE) else {
            panic!("{size} bytes look complete");
        };
        assert!(part == jpeg(size)[..size / 2], "{} of {size} bytes", part.len());
    }
    assert_results(&edge, &[("failed", 2)]);
}

#[test]
fn json_that_breaks_off_is_an_error_of_the_edges_own() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    wechat.fault("/cgi-bin/user/get", Fault::CutBody);
    assert_refused(&get(&edge, "/main/cgi-bin/user/get"), 502);
    wechat.fault("/cgi-bin/user/get", Fault::Garbage);
    assert_refused(&get(&edge, "/main/cgi-bin/user/get"), 502);
    assert_eq!(wechat.count("/cgi-bin/user/get"), 2);
    assert_results(&edge, &[("failed", 2)]);
}

#[test]
fn wechats_own_server_errors_pass_with_their_status() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    wechat.fault("/cgi-bin/user/get", Fault::ServerError);
    let answer = get(&edge, "/main/cgi-bin/user/get");
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("500 Internal Server Error"));
    assert_eq!(wechat.count("/cgi-bin/user/get"), 1);
}

#[test]
fn who_leaves_in_the_middle_of_a_download_ends_it() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let size = 60 << 20;
    let mut connection = begin(&edge, &format!("GET /main{MEDIA}?media_id=size-{size} HTTP/1.1"));
    assert_eq!(connection.response_head(PATIENCE).unwrap().status, 200);
    connection.reset();
    assert_results(&edge, &[("client_gone", 1)]);
    assert_eq!(await_line(&edge, "its line", |_| true)["result"], "client_gone");
    assert_ok(&get(&edge, "/main/cgi-bin/user/get"));
}

#[test]
fn a_reader_that_stops_does_not_fill_the_edges_memory() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    assert_ok(&get(&edge, "/main/cgi-bin/user/get"));
    let size = 60 << 20;
    let idle = edge.resident_bytes();
    let mut connection = begin(&edge, &format!("GET /main{MEDIA}?media_id=size-{size} HTTP/1.1"));
    let head = connection.response_head(PATIENCE).unwrap();
    assert_eq!(head.header("content-length"), Some(size.to_string().as_str()));
    // Nobody reads: what is under way fills sockets, and no memory of the edge.
    let mut before = 0;
    eventually(PATIENCE, "nothing moves", || {
        std::thread::sleep(Duration::from_millis(100));
        std::mem::replace(&mut before, edge.resident_bytes()) == before
    });
    let grown = before.saturating_sub(idle);
    assert!(grown < 4 << 20, "{grown} bytes more");
    connection.reset();
}

#[test]
fn a_call_that_waits_for_wechat_holds_nobody_up() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    assert_ok(&get(&edge, "/main/cgi-bin/user/get"));
    let gate = Gate::closed();
    wechat.fault("/cgi-bin/user/get", Fault::Behind(gate.clone()));
    let mut held = begin(&edge, "GET /main/cgi-bin/user/get HTTP/1.1");
    eventually(PATIENCE, "it is at WeChat", || wechat.count("/cgi-bin/user/get") == 2);
    assert_ok(&get(&edge, "/main/cgi-bin/user/info?openid=o1"));
    gate.open();
    assert_ok(&held.response(PATIENCE).unwrap());
}
