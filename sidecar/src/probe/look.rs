//! One whole look at a target: its probes in order, each with its finding; what needs an earlier one that failed is left out.

use super::callback_check::{callback_check, edge_fault};
use super::clock::clock;
use super::dns::{self, Caller, Resolver};
use super::echo::{self, Question, echo};
use super::exchange::{Stream, head};
use super::tls::handshake;
use super::url::{host, host_port, literal, port};
use super::{Prober, tcp};
use crate::edge::client::AskError;
use crate::observation::{Fault, FaultKind, Finding};
use std::net::IpAddr;
use std::time::Instant;
use tokio::task::JoinSet;
use url::Url;

/// What a name leads to.
struct Named {
    findings: Vec<Finding>,
    /// Where to connect to, in order.
    addresses: Vec<IpAddr>,
}

/// A connection that a request can be sent on.
struct Open {
    stream: Box<dyn Stream>,
    begun: Instant,
}

impl Prober {
    /// The public URL of an account, as WeChat calls it. `enforced`: the edge takes callbacks from listed addresses only.
    pub async fn callback(&self, account: &str, url: &Url, enforced: bool) -> Vec<Finding> {
        let mut findings = self.callback_steps(account, url, enforced).await;
        findings.iter_mut().for_each(|finding| finding.account = Some(account.to_owned()));
        findings
    }

    /// The public URL of an account that the edge does not have, which nobody can look at as WeChat does.
    pub(super) fn unknown_account(&self, account: &str, url: &Url) -> Finding {
        let detail = format!("[probe.public_url] has {account}, which is no account of the edge");
        let fault = Fault::new(FaultKind::EdgeUnavailable, detail);
        let finding = echo::not_asked(&host_port(url), fault);
        Finding { account: Some(account.to_owned()), ..finding }
    }

    async fn callback_steps(&self, account: &str, url: &Url, enforced: bool) -> Vec<Finding> {
        let name = host(url);
        let Named { mut findings, addresses } = self.name(&name, Caller::WeChat).await;
        findings.extend(dns::compare(&name, &findings));
        if addresses.is_empty() {
            return findings;
        }
        let target = host_port(url);
        if let Some(fault) = uncalled(url, &addresses) {
            findings.push(echo::not_asked(&target, fault));
            return findings;
        }
        // Before the connection is made: WeChat has its query ready then.
        let verification = self.edge.verification(account).await;
        let (steps, open) = self.open(url, &addresses).await;
        findings.extend(steps);
        let Some(Open { stream, begun }) = open else { return findings };
        findings.push(match &verification {
            Ok(verification) => {
                let question = Question { url, host_port: &target, verification, begun, enforced };
                echo(&question, stream).await
            }
            Err(error) => echo::not_asked(&target, edge_fault(error)),
        });
        findings
    }

    /// One of WeChat's servers, and the clock against it. Its name leads every network to other servers: that answers
    /// differ says nothing.
    pub async fn api_base(&self, base: &Url) -> Vec<Finding> {
        let Named { mut findings, addresses } = self.name(&host(base), Caller::Own).await;
        if addresses.is_empty() {
            return findings;
        }
        let (steps, open) = self.open(base, &addresses).await;
        findings.extend(steps);
        if let Some(Open { stream, begun }) = open {
            findings.push(clock(&host_port(base), begun, stream).await);
        }
        findings
    }

    /// Whether anything speaks HTTP at a URL of one's own, whatever it answers: its status.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn speaks_http(&self, url: &Url) -> Result<u16, Fault> {
        let Named { findings, addresses } = self.name(&host(url), Caller::Own).await;
        let fault = |findings: Vec<Finding>| findings.into_iter().find_map(|found| found.fault);
        if addresses.is_empty() {
            let unknown = || Fault::new(FaultKind::DnsFailure, "no address");
            return Err(fault(findings).unwrap_or_else(unknown));
        }
        let (steps, open) = self.open(url, &addresses).await;
        let Some(Open { stream, begun }) = open else {
            let broken = || Fault::new(FaultKind::ConnectRefused, "no connection");
            return Err(fault(steps).unwrap_or_else(broken));
        };
        let answer = head(&host_port(url), begun, stream).await?;
        Ok(answer.head.status().as_u16())
    }

    /// The name of an account's app, by the system's resolver: the world may not know it. Nothing when it is an address.
    pub async fn app(&self, account: &str, host: &str) -> Option<Finding> {
        if literal(host).is_some() {
            return None;
        }
        let system = self.resolvers.iter().find(|resolver| resolver.is_system())?;
        let finding = system.look_up(host, Caller::Own).await;
        Some(Finding { account: Some(account.to_owned()), ..finding })
    }

    /// WeChat's own look at the callback URL.
    pub async fn check(&self, account: &str) -> Finding {
        let url = self.config.public_url.get(account);
        let ours = match url {
            Some(url) => self.all_addresses(&host(url)).await,
            None => Vec::new(),
        };
        let target = url.map_or_else(|| account.to_owned(), host);
        let finding = callback_check(&self.edge, account, &target, &ours).await;
        Finding { account: Some(account.to_owned()), ..finding }
    }

    /// The addresses that WeChat calls an account from, as the edge knows them.
    ///
    /// # Errors
    /// When the edge does not tell.
    pub async fn callback_ips(&self, account: &str) -> Result<Vec<String>, AskError> {
        self.edge.callback_ips(account).await
    }

    async fn all_addresses(&self, host: &str) -> Vec<IpAddr> {
        if let Some(address) = literal(host) {
            return vec![address];
        }
        let answers = self.answers(host, Caller::WeChat).await;
        answers.into_iter().flat_map(|finding| finding.facts.addresses).collect()
    }

    async fn name(&self, host: &str, caller: Caller) -> Named {
        if let Some(address) = literal(host) {
            return Named { findings: Vec::new(), addresses: vec![address] };
        }
        let findings = self.answers(host, caller).await;
        let addresses = preferred(&findings, caller);
        Named { findings, addresses }
    }

    /// The answers of all resolvers that can know the name, in their order.
    async fn answers(&self, host: &str, caller: Caller) -> Vec<Finding> {
        let mut asked = JoinSet::new();
        for (place, resolver) in self.resolvers.iter().copied().enumerate() {
            if resolver.knows(host) {
                let host = host.to_owned();
                asked.spawn(
                    async move { (place, Resolver::look_up(resolver, &host, caller).await) },
                );
            }
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// TCP, and TLS where the URL says so.
    async fn open(&self, url: &Url, addresses: &[IpAddr]) -> (Vec<Finding>, Option<Open>) {
        let target = host_port(url);
        let (finding, connection) = tcp::connect(&target, addresses, port(url)).await;
        let mut findings = vec![finding];
        let Some(connection) = connection else { return (findings, None) };
        let begun = connection.begun;
        if url.scheme() != "https" {
            return (findings, Some(Open { stream: Box::new(connection.stream), begun }));
        }
        let (finding, stream) = handshake(&self.trust, &target, &host(url), connection).await;
        findings.push(finding);
        let open = stream.map(|stream| Open { stream: Box::new(stream), begun });
        (findings, open)
    }
}

/// The addresses to connect to: WeChat gets those of the resolvers outside, a machine here those of its own.
fn preferred(answers: &[Finding], caller: Caller) -> Vec<IpAddr> {
    let wants_system = caller == Caller::Own;
    let useful = |finding: &&Finding| finding.fault.is_none();
    let mut answers: Vec<_> = answers.iter().filter(useful).collect();
    answers.sort_by_key(|finding| finding.facts.system != Some(wants_system));
    let first = answers.first().map(|finding| finding.facts.addresses.clone());
    let mut addresses = first.unwrap_or_default();
    match caller {
        Caller::WeChat => addresses.retain(IpAddr::is_ipv4),
        Caller::Own => addresses.sort_by_key(IpAddr::is_ipv6),
    }
    addresses
}

/// Why WeChat never calls a URL, wherever it leads: it calls 80 and 443 alone, and IPv4. Whoever tries something on this
/// machine is not WeChat.
fn uncalled(url: &Url, addresses: &[IpAddr]) -> Option<Fault> {
    let (scheme, port) = (url.scheme(), port(url));
    if addresses.iter().all(IpAddr::is_loopback) {
        None
    } else if !matches!((scheme, port), ("http", 80) | ("https", 443)) {
        Some(Fault::new(FaultKind::WrongPort, format!("{scheme} on port {port}")))
    } else if addresses.iter().all(IpAddr::is_ipv6) {
        Some(Fault::new(FaultKind::Ipv6Only, "an IPv6 address; WeChat calls by IPv4"))
    } else {
        None
    }
}
