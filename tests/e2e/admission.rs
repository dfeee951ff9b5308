//! Stage 1: how much, from where, on which path.

use wxedge_tests::PATIENCE;
use wxedge_tests::app::App;
use wxedge_tests::edge::Edge;
use wxedge_tests::http::{self, Connection, Response};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::Mode;

use crate::edge;

/// Sends a message with one more header.
fn forwarded(edge: &Edge, headers: &[(&str, &str)]) -> Response {
    let sealed = edge.wechat().seal(&Message::text("hi"));
    let target = format!("/wechat/main?{}", sealed.query);
    http::send(edge.callback, "POST", &target, headers, &sealed.body)
}

#[test]
fn a_body_over_the_bound_is_413_announced_or_not() {
    let app = App::start();
    let edge = edge().mode(Mode::Plain).app(&app).line("max_body_bytes = 2048").start();
    let wechat = edge.wechat();
    let sized = |bytes: usize| {
        let shell = wechat.seal(&Message::text("")).body.len();
        wechat.seal(&Message::text(&"x".repeat(bytes - shell)))
    };
    let fits = sized(2048);
    assert_eq!(fits.body.len(), 2048);
    assert_eq!(wechat.send(&fits).unwrap().status, 200);
    let refused = wechat.send(&sized(2049)).unwrap();
    assert_eq!((refused.status, refused.body), (413, Vec::new()));

    let callback = sized(2049);
    let mut chunked = Connection::to(edge.callback);
    let head = format!(
        "POST /wechat/main?{} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n801\r\n",
        callback.query
    );
    chunked.send([head.as_bytes(), &callback.body].concat()).unwrap();
    assert_eq!(chunked.response(PATIENCE).unwrap().status, 413);

    let mut announced = Connection::to(edge.callback);
    let head = "POST /wechat/main HTTP/1.1\r\nhost: a\r\ncontent-length: 9999999999\r\n\r\n";
    announced.send(head).unwrap();
    assert_eq!(announced.response(PATIENCE).unwrap().status, 413, "without waiting for the body");
    edge.assert_outcomes(&[("acknowledged", 1), ("rejected_size", 3)]);
    assert_eq!(app.calls(), 1);
}

#[test]
fn a_chunked_body_that_fits_is_taken() {
    let edge = edge().start();
    let wechat = edge.wechat();
    let sealed = wechat.seal(&Message::text("hi"));
    let mut connection = Connection::to(edge.callback);
    let mut request = format!(
        "POST /wechat/main?{} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        sealed.query
    );
    for piece in std::str::from_utf8(&sealed.body).unwrap().as_bytes().chunks(100) {
        request.push_str(&format!(
            "{:x}\r\n{}\r\n",
            piece.len(),
            std::str::from_utf8(piece).unwrap()
        ));
    }
    connection.send(request + "0\r\n\r\n").unwrap();
    assert_eq!(connection.response(PATIENCE).unwrap().status, 200);
    edge.assert_outcomes(&[("replied", 1)]);
}

#[test]
fn other_paths_and_methods_are_no_callbacks() {
    let edge = edge().start();
    for target in [
        "/",
        "/wechat",
        "/wechat/",
        "/wechat/main/",
        "/wechat/other",
        "/WeChat/main",
        "/v1/status",
        "/metrics",
    ] {
        assert_eq!(http::get(edge.callback, target).status, 404, "{target}");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let refused = http::send(edge.callback, method, "/wechat/main", &[], b"");
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, POST")), "{method}");
    }
    edge.assert_count("wxedge_unrouted_total", &[("status", "404")], 8.0);
    edge.assert_count("wxedge_unrouted_total", &[("status", "405")], 4.0);
    edge.assert_outcomes(&[]);
}

#[test]
fn enforced_the_right_most_foreign_address_decides() {
    let edge = edge()
        .listen(r#"trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]"#)
        .line(r#"source_ip = "enforce""#)
        .line(r#"source_ips = ["203.0.113.0/24", "2001:db8::/32"]"#)
        .start();
    let cases: [(&[&str], u16); 20] = [
        (&["203.0.113.9"], 200),
        (&["2001:db8::1"], 200),
        (&["::ffff:203.0.113.9"], 200),
        (&["198.51.100.1, 203.0.113.9"], 200),
        (&["203.0.113.9, 10.1.2.3, 127.0.0.1"], 200),
        (&["198.51.100.1", "203.0.113.9"], 200),
        (&["198.51.100.1"], 403),
        (&["203.0.113.9, 198.51.100.1"], 403),
        (&["203.0.113.9", "198.51.100.1"], 403),
        (&["203.0.113.9, unknown"], 403),
        (&["203.0.113.9, 198.51.100.1, 10.0.0.1"], 403),
        (&["10.0.0.1"], 403),
        (&[], 403),
        (&["203.0.113.9:51234"], 200),
        (&["[2001:db8::1]:443, 10.0.0.1:80"], 200),
        (&["203.0.113.9, 198.51.100.1:443"], 403),
        // Bytes that are no ASCII end the walk where they stand; what our own proxy wrote behind them counts.
        (&["é, 203.0.113.9"], 200),
        (&["203.0.113.9", "é, 198.51.100.1"], 403),
        (&["203.0.113.9, é"], 403),
        (&["203.0.113.9", "é"], 403),
    ];
    for (addresses, expected) in cases {
        let headers: Vec<_> =
            addresses.iter().map(|address| ("x-forwarded-for", *address)).collect();
        let response = forwarded(&edge, &headers);
        assert_eq!(response.status, expected, "{addresses:?}");
        assert!(expected == 200 || response.body.is_empty());
    }
    edge.assert_outcomes(&[("rejected_source", 11), ("replied", 9)]);
    let status = edge.status();
    assert_eq!(status["accounts"][0]["source_ip"]["policy"], "enforce");
    assert_eq!(status["accounts"][0]["source_ip"]["listed"], 2);
}

#[test]
fn a_peer_that_is_no_trusted_proxy_cannot_say_where_it_comes_from() {
    let edge =
        edge().line(r#"source_ip = "enforce""#).line(r#"source_ips = ["203.0.113.0/24"]"#).start();
    assert_eq!(forwarded(&edge, &[("x-forwarded-for", "203.0.113.9")]).status, 403);
    assert_eq!(edge.await_log(1)[0]["source"], "127.0.0.1");
}

#[test]
fn reported_a_foreign_address_is_taken_and_noted() {
    let edge = edge()
        .listen(r#"trusted_proxies = ["127.0.0.1"]"#)
        .line(r#"source_ip = "report""#)
        .line(r#"source_ips = ["203.0.113.9"]"#)
        .start();
    assert_eq!(forwarded(&edge, &[("x-forwarded-for", "203.0.113.9")]).status, 200);
    edge.await_log(1);
    assert_eq!(forwarded(&edge, &[("x-forwarded-for", "198.51.100.1")]).status, 200);
    let log = edge.await_log(2);
    assert_eq!(
        (log[0]["source"].as_str(), log[0].get("source_unlisted")),
        (Some("203.0.113.9"), None)
    );
    assert_eq!(log[1]["source"], "198.51.100.1");
    assert_eq!(log[1]["source_unlisted"], true);
}

#[test]
fn enforcing_without_a_list_acts_as_report_and_says_so() {
    let edge = edge().line(r#"source_ip = "enforce""#).start();
    assert_eq!(forwarded(&edge, &[]).status, 200);
    let status = edge.status();
    let source_ip = &status["accounts"][0]["source_ip"];
    assert_eq!(
        (source_ip["policy"].as_str(), source_ip["listed"].as_u64()),
        (Some("enforce"), Some(0))
    );
    assert!(source_ip.to_string().contains("report"), "{source_ip}");
}

#[test]
fn switched_off_the_address_does_not_matter() {
    let edge = edge().line(r#"source_ip = "off""#).line(r#"source_ips = ["203.0.113.9"]"#).start();
    assert_eq!(forwarded(&edge, &[]).status, 200);
    assert_eq!(edge.await_log(1)[0].get("reason"), None);
}
