//! WeChat's API: its name, its port, its certificate, its date.

use crate::support::admin::Admin;
use crate::support::certificates::Authority;
use crate::support::names::every_name_is;
use crate::support::site::{Site, answer};
use crate::support::{config, detail, kinds, prober};
use rustls::RootCertStore;
use std::time::{Duration, SystemTime};
use wxedge_sidecar::observation::{FaultKind, Finding, Probe};
use wxedge_sidecar::probe::dns::Resolver;

async fn look(date: Option<SystemTime>) -> Finding {
    let header = date
        .map_or_else(String::new, |date| format!("Date: {}\r\n", httpdate::fmt_http_date(date)));
    let api = Site::start(None, move |_| Some(answer(404, &header, ""))).await;
    let admin = Admin::start().await;
    let prober = prober(&config(admin.address, ""), vec![], RootCertStore::empty());
    let base = format!("http://{}", api.address).parse().unwrap();
    let mut findings = prober.api_base(&base).await;
    assert_eq!(api.requests()[0].lines().next(), Some("HEAD / HTTP/1.1"));
    assert_eq!(findings[0].probe, Probe::Tcp);
    findings.remove(1)
}

#[tokio::test]
async fn a_clock_that_is_right_is_well() {
    let finding = look(Some(SystemTime::now())).await;
    assert_eq!((finding.probe, &finding.fault, finding.account), (Probe::Clock, &None, None));
    let ahead = finding.facts.ahead_ms.unwrap();
    assert!(ahead.abs() < 30_000, "{ahead}");
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told() {
    let hour = Duration::from_secs(3600);
    for (there, words) in [
        (SystemTime::now() - hour, "s ahead of WeChat's; at 300 s (replay_window_s)"),
        (SystemTime::now() + hour, "s behind WeChat's; at 300 s (replay_window_s)"),
    ] {
        let finding = look(Some(there)).await;
        assert_eq!(finding.fault.as_ref().unwrap().kind, FaultKind::ClockSkew);
        assert!(detail(&finding).contains(words), "{}", detail(&finding));
    }
    assert_eq!(look(None).await.fault, None);
}

#[tokio::test]
async fn a_server_of_wechats_is_looked_at_whole() {
    let (admin, authority) = (Admin::start().await, Authority::new());
    let tls = Some(authority.server("api.wechat.test", 90));
    let api = Site::start(tls, |_| Some(answer(404, "", ""))).await;
    let (here, there) = (every_name_is(&["127.0.0.1"]).await, every_name_is(&["127.0.0.9"]).await);
    let resolvers = vec![Resolver::system_with(here.address), Resolver::at(there.address)];
    let prober = prober(&config(admin.address, ""), resolvers, authority.roots());
    let port = api.address.port();
    let findings =
        prober.api_base(&format!("https://api.wechat.test:{port}").parse().unwrap()).await;
    // The edge goes where the system says. That others say something else is WeChat's own doing.
    let expected = [Probe::Dns, Probe::Dns, Probe::Tcp, Probe::Tls, Probe::Clock];
    assert_eq!(kinds(&findings), expected.map(|probe| (probe, None)));
    assert_eq!(findings[4].target, format!("api.wechat.test:{port}"));
}
