//! Certificates that are believed, and each way in which they are not.

use crate::support::certificates::{Authority, self_signed};
use crate::support::site::{Site, answer};
use crate::support::{LOCALHOST, detail};
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;
use wxedge_sidecar::observation::{FaultKind, Finding};
use wxedge_sidecar::probe::tcp::connect;
use wxedge_sidecar::probe::tls::{Trust, handshake};

const HOST: &str = "wechat.test";

async fn shake(roots: RootCertStore, server: Option<Arc<ServerConfig>>) -> Finding {
    let site = Site::start(server, |_| Some(answer(200, "", ""))).await;
    let (_, connection) = connect(HOST, &[LOCALHOST], site.address.port()).await;
    let (finding, stream) = handshake(&Trust::of(roots), HOST, HOST, connection.unwrap()).await;
    let kind = finding.fault.as_ref().map(|fault| fault.kind);
    // It ends soon, and until then it is good.
    let usable = matches!(kind, None | Some(FaultKind::TlsExpires));
    assert_eq!(stream.is_some(), usable);
    finding
}

async fn fault(roots: RootCertStore, server: Arc<ServerConfig>) -> (FaultKind, String) {
    let finding = shake(roots, Some(server)).await;
    (finding.fault.as_ref().unwrap().kind, detail(&finding).to_owned())
}

#[tokio::test]
async fn a_good_certificate_tells_when_it_ends() {
    let authority = Authority::new();
    let finding = shake(authority.roots(), Some(authority.server(HOST, 90))).await;
    assert_eq!(finding.fault, None);
    let left = finding.facts.not_after.unwrap() - unix_now_s();
    assert_eq!(left / (24 * 3600), 90);
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_used_and_told() {
    let authority = Authority::new();
    let (kind, words) = fault(authority.roots(), authority.server(HOST, 5)).await;
    assert_eq!((kind, words.as_str()), (FaultKind::TlsExpires, "the certificate ends in 5 days"));
    let fine = shake(authority.roots(), Some(authority.server(HOST, 14))).await;
    assert_eq!(fine.fault, None);
}

#[tokio::test]
async fn each_certificate_that_is_not_believed_has_its_words() {
    let (authority, other) = (Authority::new(), Authority::new());
    let incomplete =
        "the chain is incomplete: only the certificate itself comes, not that of Test Intermediate";
    for (server, kind, words) in [
        (authority.expired(HOST), FaultKind::TlsExpired, "the certificate is over"),
        (
            authority.server("www.wechat.test", 90),
            FaultKind::TlsInvalid,
            "the certificate is for www.wechat.test, not for wechat.test",
        ),
        (self_signed(HOST), FaultKind::TlsInvalid, "the certificate is self-signed"),
        (authority.intermediate().server(HOST, 90), FaultKind::TlsInvalid, incomplete),
    ] {
        assert_eq!(fault(authority.roots(), server).await, (kind, words.to_owned()));
    }
    let (kind, words) = fault(RootCertStore::empty(), other.server(HOST, 90)).await;
    assert_eq!(kind, FaultKind::TlsInvalid);
    assert_eq!(words, "no certificate authorities are known here");
}

#[tokio::test]
async fn an_expired_certificate_still_tells_when_it_ended() {
    let authority = Authority::new();
    let finding = shake(authority.roots(), Some(authority.expired(HOST))).await;
    assert_eq!(finding.facts.not_after, Some(1_609_459_200));
}

#[tokio::test]
async fn what_speaks_no_tls_is_told() {
    // It answers before it was asked anything that it understands.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = answer(400, "", "plain HTTP");
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let (_, connection) = connect(HOST, &[LOCALHOST], port).await;
    let trust = Trust::of(Authority::new().roots());
    let (finding, _) = handshake(&trust, HOST, HOST, connection.unwrap()).await;
    assert_eq!(detail(&finding), "what answers there does not speak TLS");
}

fn unix_now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs().try_into().unwrap()
}
