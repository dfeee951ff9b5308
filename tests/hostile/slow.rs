//! Clients that take their time, or hold on to what they have: each costs a bounded time and hinders nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wxedge_tests::app::{Answer, App};
use wxedge_tests::http::{Connection, NoAnswer};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Mode, Verdict, Wechat};
use wxedge_tests::{PATIENCE, Ruler, eventually, thread};

use crate::edge;
use crate::sockets::narrow;
use crate::tally::Tally;

/// The whole request, from its first byte.
const REQUEST: Duration = Duration::from_millis(3_500);
/// What the edge may be late by, besides what the machine is.
const GRACE: Duration = Duration::from_millis(500);

/// Sends bytes one by one until the other end answers or ends.
fn trickle(connection: &mut Connection, bytes: &[u8], pause: Duration) {
    let mut probe = [0; 1];
    let socket = connection.socket().try_clone().unwrap();
    for byte in bytes {
        if connection.send([*byte]).is_err() {
            return;
        }
        socket.set_read_timeout(Some(pause)).unwrap();
        if socket.peek(&mut probe).is_ok() {
            return;
        }
    }
}

/// A request of a fresh message, and where its body begins.
fn request(wechat: &Wechat) -> (Vec<u8>, usize) {
    let sealed = wechat.seal(&Message::text("hi"));
    let request = wechat.request("POST", &sealed.query, &sealed.body);
    let body = request.len() - sealed.body.len();
    (request, body)
}

/// How a slow client sends: what at once, what byte by byte.
type Slowness = fn(&mut Connection, &[u8], usize);

const PAUSE: Duration = Duration::from_millis(50);

const SLOW: [(&str, Slowness); 7] = [
    ("a header, byte by byte", |connection, request, _| trickle(connection, request, PAUSE)),
    ("a request line, byte by byte", |connection, request, _| {
        trickle(connection, &request[..60], Duration::from_millis(60));
    }),
    ("one byte", |connection, _, _| connection.send("P").unwrap()),
    ("half a header", |connection, request, body| connection.send(&request[..body - 2]).unwrap()),
    ("no body", |connection, request, body| connection.send(&request[..body]).unwrap()),
    ("all but the last byte", |connection, request, _| {
        connection.send(&request[..request.len() - 1]).unwrap();
    }),
    ("a body, byte by byte", |connection, request, body| {
        connection.send(&request[..body]).unwrap();
        trickle(connection, &request[body..], PAUSE);
    }),
];

#[test]
fn a_request_that_is_not_here_in_time_is_408_and_the_others_do_not_notice() {
    let app = App::answering(Answer::text("hi"));
    let edge = edge().app(&app).start();
    let ruler = Ruler::start();
    let over = Arc::new(AtomicBool::new(false));
    let healthy = {
        let (wechat, over) = (edge.wechat(), over.clone());
        thread(move || {
            let mut deliveries = Vec::new();
            while !over.load(Ordering::Relaxed) {
                deliveries.push(wechat.deliver(&Message::text("hi")));
                std::thread::sleep(PAUSE);
            }
            deliveries
        })
    };
    let slow = SLOW.map(|(name, slowness)| {
        let wechat = edge.wechat();
        let slow = thread(move || {
            let (request, body) = request(&wechat);
            let mut connection = wechat.connect().unwrap();
            let begun = Instant::now();
            slowness(&mut connection, &request, body);
            let answer = connection.response(PATIENCE);
            let took = begun.elapsed();
            (answer, took, connection.closed(PATIENCE))
        });
        (name, slow)
    });
    for (name, slow) in slow {
        let (answer, took, closed) = slow.join().unwrap();
        assert_eq!(
            answer.map(|answer| (answer.status, answer.body)),
            Ok((408, Vec::new())),
            "{name}"
        );
        assert_eq!(closed, Ok(Vec::new()), "{name}");
        let late = REQUEST + GRACE + ruler.worst();
        assert!(took >= REQUEST - Duration::from_millis(20) && took < late, "{name}: {took:?}");
    }
    over.store(true, Ordering::Relaxed);
    let healthy = healthy.join().unwrap();
    assert!(healthy.len() > 10, "{}", healthy.len());
    for delivery in &healthy {
        assert!(matches!(delivery.verdict, Verdict::Replied(_)), "{:?}", delivery.verdict);
        assert!(delivery.took < GRACE + ruler.worst(), "{:?}", delivery.took);
    }
    // Before the account is known they are no callbacks.
    let mut expected = Tally::default();
    (0..4).for_each(|_| expected.add("408"));
    (0..3).for_each(|_| expected.add("rejected_timeout"));
    healthy.iter().for_each(|_| expected.add("replied"));
    assert_eq!(expected.agrees(&edge), Ok(()));
    assert_eq!(app.calls(), healthy.len());
}

#[test]
fn on_a_kept_connection_every_request_has_its_own_time() {
    let edge = edge().start();
    let wechat = edge.wechat();
    let mut connection = wechat.connect().unwrap();
    let ruler = Ruler::start();
    for _ in 0..2 {
        connection.send(request(&wechat).0).unwrap();
        assert_eq!(connection.response(PATIENCE).unwrap().status, 200);
        // Longer than a request may take: idling is no part of the next one.
        let quiet = connection.closed(REQUEST + GRACE);
        assert_eq!(quiet, Err(NoAnswer::Timeout));
    }
    let begun = Instant::now();
    connection.send("POST ").unwrap();
    assert_eq!(connection.response(PATIENCE).unwrap().status, 408);
    let took = begun.elapsed();
    assert!(took >= REQUEST - Duration::from_millis(20), "{took:?}");
    assert!(took < REQUEST + GRACE + ruler.worst(), "{took:?}");
}

#[test]
fn who_is_refused_already_cannot_go_on_for_long() {
    let edge =
        edge().line(r#"source_ip = "enforce""#).line(r#"source_ips = ["203.0.113.9"]"#).start();
    let ruler = Ruler::start();
    let slow = [("/nowhere", 404), ("/wechat/main", 403)].map(|(target, status)| {
        let address = edge.callback;
        let slow = thread(move || {
            let mut connection = Connection::to(address);
            let head =
                format!("POST {target} HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
            connection.send(head).unwrap();
            let answered = connection.response(PATIENCE).unwrap().status;
            let begun = Instant::now();
            trickle(&mut connection, &[b'a'; 1_000], Duration::from_millis(20));
            let closed = connection.closed(PATIENCE);
            (answered, closed, begun.elapsed())
        });
        (target, status, slow)
    });
    for (target, status, slow) in slow {
        let (answered, closed, took) = slow.join().unwrap();
        assert_eq!((answered, closed), (status, Ok(Vec::new())), "{target}");
        assert!(took < REQUEST + GRACE + ruler.worst(), "{target}: {took:?}");
    }
}

#[test]
fn a_client_that_does_not_read_its_answer_is_dropped() {
    // As much as an app may say, `]]>` costs 3 bytes in JSON and 15 in XML: more than the socket takes in without a reader.
    let app = App::answering(Answer::text(&"]]>".repeat(21_000)));
    let edge = edge().mode(Mode::Plain).app(&app).start();
    let ruler = Ruler::start();
    let mut deaf = narrow(edge.callback);
    deaf.send(request(&edge.wechat()).0).unwrap();
    app.await_calls(1);
    let begun = Instant::now();
    eventually(PATIENCE, "it is dropped", || {
        edge.count("wxedge_connections", &[("listener", "callback")]) == 0.0
    });
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5) + 2 * GRACE + ruler.worst(), "{took:?}");
    edge.assert_outcomes(&[("client_gone", 1)]);
    edge.assert_count("wxedge_callbacks_in_flight", &[], 0.0);
    drop(deaf);

    // The same answer to a client that reads.
    let mut patient = narrow(edge.callback);
    patient.send(request(&edge.wechat()).0).unwrap();
    let answer = patient.response(PATIENCE).unwrap();
    assert!(answer.body.len() > 300_000, "{}", answer.body.len());
    edge.assert_outcomes(&[("client_gone", 1), ("replied", 1)]);
}
