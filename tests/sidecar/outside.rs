//! What the edge looks like from outside: a public URL that does not do what WeChat needs, names that do not resolve.

use std::net::UdpSocket;

use serde_json::Value;
use wxedge_tests::PATIENCE;
use wxedge_tests::app::{Answer, App};
use wxedge_tests::edge::Edge;
use wxedge_tests::folder::Folder;
use wxedge_tests::sidecar::{Builder, Sidecar};
use wxedge_tests::tls::Authority;
use wxedge_tests::wechat_api;
use wxedge_tests::{eventually, eventually_some};

use crate::{SOON, edge, sidecar};

fn public(edge: &Edge, url: &str) -> Builder {
    sidecar(edge).line("probe.public_url", &format!("main = {url:?}"))
}

#[track_caller]
fn fires(url: &str, alert: &str) -> Value {
    let edge = edge().start();
    let sidecar = public(&edge, url).start();
    let fired = sidecar.await_alert(alert, "firing", SOON);
    assert_eq!(fired["account"], "main");
    fired
}

#[track_caller]
fn await_success(sidecar: &Sidecar, probe: &str) {
    eventually(PATIENCE, &format!("{probe} succeeds"), || {
        let labels = [("account", "main"), ("probe", probe)];
        sidecar.metrics().sum("wxedge_probe_success", &labels) == Some(1.0)
    });
}

#[test]
fn a_public_url_that_leads_to_the_edge() {
    let edge = edge().start();
    let sidecar = public(&edge, &format!("http://{}/wechat/main", edge.callback)).start();
    for probe in ["tcp", "echo"] {
        await_success(&sidecar, probe);
    }
    eventually(PATIENCE, "the edge has verified it", || {
        edge.count("wxedge_callbacks_total", &[("outcome", "verified")]) >= 2.0
    });
    assert_eq!(sidecar.firing(), Vec::<String>::new());
}

#[test]
fn a_public_url_of_nobody() {
    let edge = edge().start();
    let url = format!("mian = \"http://{}/wechat/main\"", edge.callback);
    let sidecar = sidecar(&edge).line("probe.public_url", &url).start();
    eventually(PATIENCE, "its probe fails and says why", || {
        let console = sidecar.get("/v1/console").json();
        console["probes"].as_array().unwrap().iter().any(|probe| {
            let detail = probe["detail"].as_str().unwrap_or_default();
            probe["account"] == "mian" && detail.contains("no account of the edge")
        })
    });
    let labels = [("account", "mian"), ("probe", "echo")];
    assert_eq!(sidecar.metrics().sum("wxedge_probe_success", &labels), Some(0.0));
    let said = sidecar.stderr();
    assert_eq!(said.matches("has mian, but the edge's accounts are main").count(), 1, "{said}");
}

#[test]
fn a_public_url_that_refuses() {
    let app = App::start();
    app.stop_listening();
    let fired = fires(&app.url(), "connect_timeout");
    assert_eq!(fired["severity"], "high");
}

#[test]
fn a_public_url_that_hangs() {
    let app = App::answering(Answer::hang());
    fires(&app.url(), "request_timeout");
}

#[test]
fn a_public_url_that_redirects() {
    let app = App::answering(Answer::status(301).header("location", "https://example.com/"));
    fires(&app.url(), "response_invalid");
}

#[test]
fn a_public_url_that_leads_elsewhere() {
    let app = App::answering(Answer::new(200, "text/html", "<h1>Welcome</h1>"));
    let fired = fires(&app.url(), "response_invalid");
    assert!(fired["example"]["response"].as_str().unwrap().contains("Welcome"), "{fired}");
}

/// Has the sidecar trust an authority, and nobody else.
fn trusting(authority: &Authority, folder: &Folder, sidecar: Builder) -> Builder {
    let ca = folder.write("ca.pem", authority.pem());
    sidecar.env("SSL_CERT_FILE", ca.to_str().unwrap())
}

#[test]
fn a_certificate_that_ends_soon() {
    let (authority, folder) = (Authority::new(), Folder::new());
    authority.issue_ending("localhost", 5).write(&folder, "public");
    let (cert, key) = (folder.path().join("public.pem"), folder.path().join("public.key"));
    let edge =
        edge().listen(&format!("callback_tls = {{ cert = {cert:?}, key = {key:?} }}")).start();
    let url = format!("https://localhost:{}/wechat/main", edge.callback.port());
    let sidecar = trusting(&authority, &folder, public(&edge, &url)).start();
    let fired = sidecar.await_alert("tls_expiry", "firing", SOON);
    assert_eq!(
        (fired["severity"].as_str(), fired["account"].as_str()),
        (Some("high"), Some("main"))
    );
    await_success(&sidecar, "echo");
    let ends = sidecar.metrics().sum("wxedge_tls_not_after_timestamp_seconds", &[]).unwrap();
    let days = (ends - wxedge_tests::message::now_s() as f64) / 86_400.0;
    assert!((4.0..=5.5).contains(&days), "{days} days");
}

/// The edge would not start with it; what stands before it does.
#[test]
fn a_certificate_that_has_ended() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let balancer =
        wechat_api::Builder::new().tls("localhost", &authority.issue_expired("localhost"));
    let balancer = balancer.start().unwrap();
    let edge = edge().start();
    let sidecar = trusting(&authority, &folder, public(&edge, &balancer.url())).start();
    let fired = sidecar.await_alert("tls_expiry", "firing", SOON);
    assert_eq!(
        (fired["severity"].as_str(), fired["account"].as_str()),
        (Some("high"), Some("main"))
    );
    assert!(fired["description"].as_str().unwrap().contains("已过期"), "{fired}");
}

#[test]
fn a_name_that_nobody_knows() {
    let fired = fires("http://nobody.invalid/wechat/main", "dns_failure");
    assert_eq!(fired["severity"], "high");
}

/// An alert about a name is also about a resolver that does with questions what `answer` says.
fn about_resolver(alert: &str, severity: &str, answer: fn(&mut [u8]) -> bool) {
    let names = UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolver = names.local_addr().unwrap().to_string();
    // It ends with the process: a test is one.
    std::thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, peer)) = names.recv_from(&mut message) {
            if answer(&mut message[..length]) {
                names.send_to(&message[..length], peer).unwrap();
            }
        }
    });
    let edge = edge().start();
    let sidecar = public(&edge, "http://nobody.wxedge.test/wechat/main")
        .line("probe", &format!("dns_resolvers = [{resolver:?}]"))
        .start();
    let fired = eventually_some(SOON, "the resolver is named", || {
        let fired = sidecar.await_alert(alert, "firing", SOON);
        fired["description"].as_str()?.contains(&resolver).then_some(fired)
    });
    assert_eq!(
        (fired["severity"].as_str(), fired["account"].as_str()),
        (Some(severity), Some("main"))
    );
}

/// Makes an answer of a question: an error, and nothing else.
fn error(message: &mut [u8], code: u8) -> bool {
    message[2] |= 0x80;
    message[3] = code;
    true
}

#[test]
fn a_resolver_that_refuses() {
    about_resolver("dns_failure", "high", |message| error(message, 5));
}

#[test]
fn a_resolver_that_says_there_is_no_such_name() {
    about_resolver("dns_failure", "high", |message| error(message, 3));
}

#[test]
fn a_resolver_that_does_not_answer() {
    about_resolver("dns_timeout", "medium", |_| false);
}
