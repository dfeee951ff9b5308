//! Connections that are taken, refused, or left waiting.

use crate::support::{LOCALHOST, detail, nobody};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use wxedge_sidecar::observation::{FaultKind, Finding};
use wxedge_sidecar::probe::tcp::connect;

fn kind(finding: &Finding) -> Option<FaultKind> {
    finding.fault.as_ref().map(|fault| fault.kind)
}

#[tokio::test]
async fn a_connection_that_is_taken_is_well() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (finding, connection) = connect("wechat.test:80", &[LOCALHOST], port).await;
    assert_eq!((kind(&finding), connection.is_some()), (None, true));
    assert_eq!(
        (finding.target.as_str(), finding.facts.addresses),
        ("wechat.test:80", vec![LOCALHOST])
    );
}

#[tokio::test]
async fn a_refusal_is_found_at_any_of_the_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let second: IpAddr = "127.0.0.2".parse().unwrap();
    let (finding, connection) = connect("wechat.test:80", &[second, LOCALHOST], port).await;
    // WeChat may take the one as well as the other.
    assert_eq!((kind(&finding), connection.is_some()), (Some(FaultKind::ConnectRefused), true));
    assert_eq!(detail(&finding), format!("127.0.0.2:{port} refuses the connection"));
    let nobody = nobody();
    let port = nobody.local_addr().unwrap().port();
    let (finding, connection) = connect("wechat.test:80", &[LOCALHOST], port).await;
    assert_eq!((kind(&finding), connection.is_none()), (Some(FaultKind::ConnectRefused), true));
}

#[tokio::test]
async fn a_full_backlog_is_a_timeout_after_three_seconds() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let _waiting = fill(address).await;
    let (finding, connection) = connect("wechat.test:80", &[address.ip()], address.port()).await;
    assert_eq!((kind(&finding), connection.is_none()), (Some(FaultKind::ConnectTimeout), true));
    assert!((2_900.0..10_000.0).contains(&finding.took_ms), "{}", finding.took_ms);
}

/// Connects until nobody is let in any more.
async fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let connecting = TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(500), connecting).await {
            Ok(stream) => waiting.push(stream.unwrap()),
            Err(_) => return waiting,
        }
    }
    panic!("the backlog does not get full");
}
