//! Thousands of requests that were right until chance changed them. The same seed, the same requests.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wxedge_tests::app::{Answer, App};
use wxedge_tests::edge::Edge;
use wxedge_tests::http::{Connection, NoAnswer, find};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Verdict, Wechat};
use wxedge_tests::{PATIENCE, eventually, thread};

use crate::edge;
use crate::tally::Tally;

const SEED: u64 = 0x77_78_65_64_67_65;
const CLIENTS: u64 = 8;
const REQUESTS: usize = 500;
/// An answer that is not here by then is awaited by nobody: the rest of the request will not come.
const ENOUGH: Duration = Duration::from_millis(40);

/// SplitMix64: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// What parsers stumble over.
const STUMBLING_BLOCKS: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b"%00",
    b"%0d%0a",
    b"\xff\xfe",
    b"\x7f",
    b"#",
    b"?",
    b"//",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\nContent-Length: 0",
    b"\r\nContent-Length: 99999999",
    b"\r\nConnection: close",
    b"\r\nExpect: 100-continue",
    b"\r\nHost: evil.example",
    b"]]>",
    b"<!DOCTYPE a>",
];

/// A few changes, most of them in the header.
fn mutate(request: &mut Vec<u8>, chance: &mut Chance) {
    let header = find(request, b"\r\n\r\n").unwrap_or(request.len());
    for _ in 0..=chance.below(3) {
        let range = if chance.below(4) == 0 { request.len() } else { header.min(request.len()) };
        let at = chance.below(range);
        if request.is_empty() {
            return;
        }
        match chance.below(7) {
            0 => request[at] ^= 1 << chance.below(8),
            1 => request[at] = chance.next() as u8,
            2 => drop(request.remove(at)),
            3 => drop(request.splice(at..at, STUMBLING_BLOCKS[chance.below(24)].iter().copied())),
            4 => request.truncate(at),
            5 => {
                let end = (at + chance.below(60)).min(request.len());
                let piece = request[at..end].to_vec();
                drop(request.splice(at..at, piece));
            }
            _ => {
                let end = (at + chance.below(60)).min(request.len());
                drop(request.drain(at..end));
            }
        }
    }
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    /// Answers on the wire.
    answers: u64,
    /// Healthy requests that were answered on a connection after a changed one.
    healthy: u64,
}

struct Client {
    wechat: Wechat,
    chance: Chance,
    connection: Option<Connection>,
    sent: Arc<Mutex<HashSet<String>>>,
    seen: Seen,
}

impl Client {
    fn message(&mut self) -> (Message, Vec<u8>) {
        let message = Message::text("as it was sent");
        self.sent.lock().unwrap().insert(message.get("MsgId").unwrap().to_owned());
        let sealed = self.wechat.seal(&message);
        let request = self.wechat.request("POST", &sealed.query, &sealed.body);
        (message, request)
    }

    /// A changed request, then, if the connection lives, a healthy one: its answer must be its own.
    fn step(&mut self) {
        let (_, mut changed) = self.message();
        mutate(&mut changed, &mut self.chance);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.wechat.connect().unwrap(),
        };
        // The last exchange may have been the end of it.
        if connection.send(&changed).is_err() {
            return self.drain(connection);
        }
        match connection.response(ENOUGH) {
            Ok(_) => self.seen.answers += 1,
            Err(NoAnswer::Timeout) => return self.drain(connection),
            Err(NoAnswer::Closed(rest)) => return assert_eq!(rest, b"", "half an answer"),
            Err(NoAnswer::Malformed(what)) => panic!("no HTTP: {what:?}"),
        }
        let (message, request) = self.message();
        if connection.send(request).is_err() {
            return self.drain(connection);
        }
        match connection.response(PATIENCE) {
            // Refused for what the changed request left behind, or after it.
            Ok(refusal) if refusal.status >= 400 => {
                self.seen.answers += 1;
                self.drain(connection);
            }
            Ok(answer) => {
                self.seen.answers += 1;
                self.seen.healthy += 1;
                let verdict = self.wechat.verdict(&message, &Ok(answer));
                assert!(matches!(verdict, Verdict::Replied(_)), "{verdict:?}");
                self.connection = Some(connection);
            }
            Err(NoAnswer::Closed(rest)) => assert_eq!(rest, b"", "half an answer"),
            Err(why) => panic!("{why:?}"),
        }
    }

    /// Says that nothing more comes, and counts what is still answered.
    fn drain(&mut self, mut connection: Connection) {
        connection.finish_sending().ok();
        loop {
            match connection.response(PATIENCE) {
                Ok(_) => self.seen.answers += 1,
                Err(NoAnswer::Closed(rest)) => return assert_eq!(rest, b"", "half an answer"),
                Err(why) => panic!("{why:?}"),
            }
        }
    }
}

fn run(
    edge: &Edge,
    sent: &Arc<Mutex<HashSet<String>>>,
    client: u64,
) -> std::thread::JoinHandle<Seen> {
    let mut client = Client {
        wechat: edge.wechat(),
        chance: Chance(SEED + client),
        connection: None,
        sent: sent.clone(),
        seen: Seen::default(),
    };
    thread(move || {
        (0..REQUESTS).for_each(|_| client.step());
        if let Some(connection) = client.connection.take() {
            client.drain(connection);
        }
        client.seen
    })
}

#[test]
fn chance_breaks_nothing_and_every_request_is_counted_once() {
    let app = App::answering(Answer::text("hi"));
    let mut edge = edge().app(&app).start();
    let sent = Arc::new(Mutex::new(HashSet::new()));
    let begun = Instant::now();
    let clients: Vec<_> = (0..CLIENTS).map(|client| run(&edge, &sent, client)).collect();
    let (mut answers, mut healthy) = (0, 0);
    for client in clients {
        let seen = client.join().unwrap();
        answers += seen.answers;
        healthy += seen.healthy;
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(edge.is_running());
    let open = [("listener", "callback")];
    eventually(PATIENCE, "all have left", || edge.count("wxedge_connections", &open) == 0.0);

    // Who left before the answer is counted, and got none.
    let tally = Tally::of(&edge);
    assert_eq!(tally.total(), answers + tally.get("client_gone"), "{tally:?}");
    assert_eq!(edge.count("wxedge_panics_total", &[]), 0.0);
    assert_eq!(edge.count("wxedge_callbacks_in_flight", &[]), 0.0);
    // The mix is worth something: enough of each.
    assert!(healthy > 300, "{healthy} of {answers}");
    for end in ["400", "404", "rejected_signature", "rejected_malformed", "replied"] {
        assert!(tally.get(end) > 20, "{end}: {tally:?}");
    }

    // Nothing reached the app that was not sent as it arrived there, and nothing twice.
    let requests = app.requests();
    assert_eq!(
        requests.len() as u64,
        edge.count("wxedge_upstream_duration_seconds_count", &[]) as u64
    );
    let sent = sent.lock().unwrap();
    let mut arrived = HashSet::new();
    for request in &requests {
        let message = request.json();
        assert_eq!(message["Content"], "as it was sent");
        let id = message["MsgId"].as_str().unwrap().to_owned();
        assert!(sent.contains(&id), "{id} was not sent");
        assert!(arrived.insert(id), "twice");
    }
}
