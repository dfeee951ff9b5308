//! Servers that answer as told.

pub(crate) mod admin;
pub(crate) mod certificates;
pub(crate) mod names;
pub(crate) mod site;

use rustls::RootCertStore;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::net::TcpSocket;
use wxedge_sidecar::config::Config;
use wxedge_sidecar::edge::client::Client;
use wxedge_sidecar::http;
use wxedge_sidecar::observation::{FaultKind, Finding, Probe};
use wxedge_sidecar::probe::Prober;
use wxedge_sidecar::probe::dns::Resolver;
use wxedge_sidecar::probe::tls::Trust;

pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A configuration with the edge at `admin`, which stands for its API listener, too, and further lines.
pub(crate) fn config(admin: SocketAddr, more: &str) -> Config {
    let text = format!(
        "language = 'en'\n[edge]\nadmin = 'http://{admin}'\napi = 'http://{admin}'\nkey = 'key'\n{more}"
    );
    Config::parse(&text, &BTreeMap::new()).unwrap()
}

/// A prober that asks these resolvers and believes these authorities.
pub(crate) fn prober(config: &Config, resolvers: Vec<Resolver>, roots: RootCertStore) -> Prober {
    let client = http::client(&http::tls(roots.clone()).unwrap()).unwrap();
    let edge = Client::new(client, config.edge.clone());
    let prober = Prober::new(config.probe.clone(), Trust::of(roots), edge);
    // The system's of this machine would ask the world.
    Prober { resolvers, ..prober }
}

/// A port that nobody listens at, nor can as long as this is kept.
pub(crate) fn nobody() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((LOCALHOST, 0).into()).unwrap();
    socket
}

/// What each finding was, in order.
pub(crate) fn kinds(findings: &[Finding]) -> Vec<(Probe, Option<FaultKind>)> {
    let kind = |finding: &Finding| finding.fault.as_ref().map(|fault| fault.kind);
    findings.iter().map(|finding| (finding.probe, kind(finding))).collect()
}

/// The fault of a finding, in words.
pub(crate) fn detail(finding: &Finding) -> &str {
    finding.fault.as_ref().map_or("", |fault| &fault.detail)
}
