//! What cannot be brought about from outside in a bounded time.

use super::*;
use crate::config::Config;
use crate::connection::serve;
use crate::limits;
use crate::phase::{self, Phase};
use pingora::protocols::l4::stream::Stream as L4Stream;
use prometheus::Registry;
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wxedge_tests::folder::Folder;

fn edge(folder: &Folder) -> Arc<Edge> {
    let text = format!(
        "[store]
        url = 'embedded:{}'
        [accounts.main]
        appid = 'wx1'
        token = 'CanaryToken'
        mode = 'plain'
        upstream.url = 'builtin:echo'",
        folder.path().display()
    );
    let config = Config::parse(&text, &BTreeMap::new()).unwrap();
    Arc::new(Edge::open(config, Registry::new()).unwrap())
}

/// Reads on until `words` are there.
async fn read_to(client: &mut TcpStream, read: &mut String, words: &str) {
    while !read.contains(words) {
        let mut chunk = [0; 64 * 1024];
        let bytes = client.read(&mut chunk).await.unwrap();
        assert!(bytes > 0, "the stream ends: {read}");
        read.push_str(std::str::from_utf8(&chunk[..bytes]).unwrap());
    }
}

#[tokio::test]
async fn a_reader_that_lags_loses_the_oldest_events_and_is_told_how_many() {
    const TOO_MANY: usize = 7;
    let folder = Folder::new();
    let edge = edge(&folder);
    let (_phase, phases) = phase::channel(Phase::Accepting);
    let admin = Arc::new(Admin::new(edge.clone(), Arc::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    tokio::spawn(serve(admin, Box::new(L4Stream::from(stream)), peer.ip(), phases));
    client.write_all(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut read = String::new();
    read_to(&mut client, &mut read, "event: hello").await;

    // In one go: the stream's task has no turn in between.
    for number in 0..limits::EVENTS + TOO_MANY {
        edge.events.send("test", Some("main"), json!({"number": number}));
    }
    let last = format!("\"number\":{}", limits::EVENTS + TOO_MANY - 1);
    read_to(&mut client, &mut read, &last).await;
    let of = |name: &str| read.matches(&format!("event: {name}\n")).count();
    assert_eq!((of("lost"), of("test")), (1, limits::EVENTS));
    let lost = read.lines().skip_while(|line| *line != "event: lost").nth(1).unwrap();
    let lost: Value = serde_json::from_str(lost.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(lost["n"], TOO_MANY);
    assert!(lost["t"].is_number());
    assert_eq!(edge.metrics.events_dropped.get(), TOO_MANY as u64);
    for (number, kept) in [(TOO_MANY - 1, false), (TOO_MANY, true)] {
        assert_eq!(read.contains(&format!("\"number\":{number},")), kept, "{number}");
    }
}
