//! A name, by one resolver.

use super::{Found, finding};
use crate::limits;
use crate::observation::{Facts, Fault, FaultKind, Finding, Probe, excerpt};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolver {
    system: bool,
    server: Option<SocketAddr>,
}

/// Who is going to use the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// WeChat, which calls IPv4 addresses only.
    WeChat,
    /// A machine of one's own.
    Own,
}

/// The addresses of one family, or why there are none; and how long that took.
type Answer = (Result<Vec<IpAddr>, NetError>, Duration);

impl Resolver {
    /// The system's: `/etc/hosts`, and the servers of `/etc/resolv.conf` as it is at each question.
    pub fn system() -> Resolver {
        Resolver { system: true, server: None }
    }

    /// The system's, as if `server` were all that is in `/etc/resolv.conf`.
    pub fn system_with(server: SocketAddr) -> Resolver {
        Resolver { system: true, server: Some(server) }
    }

    /// A server that is asked by UDP, and by TCP when its answer is too long for that.
    pub fn at(server: SocketAddr) -> Resolver {
        Resolver { system: false, server: Some(server) }
    }

    /// Whether it is the system's.
    pub fn is_system(self) -> bool {
        self.system
    }

    /// Whether it can know `host`: a name without a dot means something to the system alone.
    pub fn knows(self, host: &str) -> bool {
        self.system || host.trim_end_matches('.').contains('.')
    }

    /// Looks a name up, both A and AAAA.
    pub async fn look_up(self, host: &str, caller: Caller) -> Finding {
        let start = Instant::now();
        let (took, mut found) = match self.client() {
            Ok(client) => {
                // The search list of resolv.conf is for the names that mean something here, not for those of the world.
                let name = if self.system { host.to_owned() } else { format!("{host}.") };
                let (a, aaaa) = tokio::join!(
                    ask(&client, &name, RecordType::A),
                    ask(&client, &name, RecordType::AAAA)
                );
                judge(a, aaaa, caller)
            }
            Err(error) => (start.elapsed(), fault(&error).into()),
        };
        found.facts.system = Some(self.system);
        finding(Probe::Dns, format!("{self} {host}"), took, found)
    }

    /// A client without a memory of earlier answers.
    fn client(self) -> Result<TokioResolver, NetError> {
        let mut builder: ResolverBuilder<TokioRuntimeProvider> = match self.server {
            None => TokioResolver::builder_tokio()?,
            Some(server) => {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                connections.iter_mut().for_each(|connection| connection.port = server.port());
                let server = NameServerConfig::new(server.ip(), true, connections);
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.timeout = limits::DNS_TIMEOUT;
        options.attempts = 1;
        options.cache_size = 0;
        options.use_hosts_file =
            if self.system { ResolveHosts::Always } else { ResolveHosts::Never };
        builder.build()
    }
}

impl fmt::Display for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server {
            Some(server) if !self.system => write!(f, "{server}"),
            _ => f.write_str("system"),
        }
    }
}

async fn ask(client: &TokioResolver, name: &str, kind: RecordType) -> Answer {
    let start = Instant::now();
    let answer = tokio::time::timeout(limits::DNS_TIMEOUT, client.lookup(name, kind)).await;
    let addresses = match answer {
        Ok(Ok(lookup)) => {
            Ok(lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect())
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(NetError::Timeout),
    };
    (addresses, start.elapsed())
}

/// What both answers mean to the caller.
fn judge((a, took_a): Answer, (aaaa, took_aaaa): Answer, caller: Caller) -> (Duration, Found) {
    let mut addresses = a.as_deref().unwrap_or_default().to_vec();
    let (v4, v6) = (!addresses.is_empty(), aaaa.as_ref().is_ok_and(|list| !list.is_empty()));
    addresses.extend(aaaa.unwrap_or_default());
    let facts = Facts { addresses, ..Facts::default() };
    // An answer that nobody needs delays nobody.
    let took = if v4 { took_a } else { took_a.max(took_aaaa) };
    let fault = match a {
        _ if v4 || (v6 && caller == Caller::Own) => None,
        Err(error) if !is_empty(&error) => Some(fault(&error)),
        _ if v6 => Some(Fault::new(FaultKind::Ipv6Only, "AAAA records only; WeChat calls by IPv4")),
        _ => Some(Fault::new(FaultKind::DnsFailure, "the name has no address")),
    };
    (took, Found { fault, facts })
}

/// Whether the name exists, without records of the kind asked for.
fn is_empty(error: &NetError) -> bool {
    matches!(
        error,
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NoError
    )
}

fn fault(error: &NetError) -> Fault {
    if matches!(error, NetError::Timeout) {
        return Fault::new(FaultKind::DnsTimeout, "no answer within 5 s");
    }
    let code = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => Some(none.response_code),
        NetError::Dns(DnsError::ResponseCode(code)) => Some(*code),
        _ => None,
    };
    let detail = match code {
        Some(ResponseCode::NXDomain) => "the name does not exist (NXDOMAIN)".to_owned(),
        Some(ResponseCode::Refused) => "the resolver refuses (REFUSED)".to_owned(),
        Some(ResponseCode::ServFail) => "the resolver fails (SERVFAIL)".to_owned(),
        Some(code) => format!("the resolver answers {code}"),
        None => excerpt(&format!("the resolver cannot be asked: {error}")),
    };
    Fault::new(FaultKind::DnsFailure, detail)
}

/// How the answers of several resolvers go together; nothing when there are no two, or none has an answer.
pub(super) fn compare(host: &str, answers: &[Finding]) -> Option<Finding> {
    let [first, _, ..] = answers else { return None };
    let answered: Vec<_> = answers.iter().filter(|one| one.fault.is_none()).collect();
    // Each has said already what is wrong.
    if answered.is_empty() {
        return None;
    }
    let strangers = |a: &Finding, b: &Finding| {
        a.facts.addresses.iter().all(|address| !b.facts.addresses.contains(address))
    };
    let pair = answered.iter().enumerate().find_map(|(at, a)| {
        let b = answered[at + 1..].iter().find(|b| strangers(a, b))?;
        Some((*a, *b))
    });
    let fault = if let Some((a, b)) = pair {
        let part = |one: &Finding| {
            let address = one.facts.addresses.first().map(IpAddr::to_string).unwrap_or_default();
            format!("{} says {address}", resolver_of(one))
        };
        Some(Fault::new(FaultKind::DnsDiffers, format!("{}, {}", part(a), part(b))))
    } else if answered.len() < answers.len() {
        let failed = answers.iter().filter(|one| one.fault.is_some()).map(resolver_of);
        let failed = failed.collect::<Vec<_>>().join(", ");
        Some(Fault::new(FaultKind::DnsDiffers, format!("no use: {failed}; others answer")))
    } else {
        None
    };
    let mut addresses: Vec<_> =
        answered.iter().flat_map(|one| one.facts.addresses.iter().copied()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let facts = Facts { addresses, ..Facts::default() };
    let slowest = answers.iter().map(|one| one.took_ms).fold(0.0, f64::max);
    let found = Found { fault, facts };
    let compared = finding(Probe::Dns, host.to_owned(), Duration::ZERO, found);
    Some(Finding { took_ms: slowest, account: first.account.clone(), ..compared })
}

fn resolver_of(answer: &Finding) -> &str {
    answer.target.split_once(' ').map_or("", |(resolver, _)| resolver)
}
