//! `dns_failure`: a host cannot be resolved, by all resolvers or by the system's: high; by some of the others: medium.
//! `dns_timeout`: a resolver takes over 5 s: medium. WeChat calls by IPv4, so a name with IPv6 addresses only is as good as
//! a failure for it; the sidecar's look is the same for all, so medium.

use super::book::Sign;
use super::kind::Severity;
use super::looks::{Look, Looks, Trouble, WINDOW_S};
use super::{Cause, Kind};
use crate::limits;
use crate::observation::{FaultKind, Finding, Millis, Probe};
use std::collections::{BTreeMap, BTreeSet};

/// A resolver and its looks at one host.
type Asked<'a> = (&'a str, &'a Look);

/// What a finding says is wrong with a name; nothing when it is not about one, or says nothing.
pub(super) fn troubles(finding: &Finding) -> Option<Vec<(Kind, FaultKind)>> {
    let fault = finding.fault.as_ref().map(|fault| fault.kind);
    let by_one = finding.probe == Probe::Dns && finding.target.contains(' ');
    match (finding.probe, fault) {
        (Probe::Dns, None) if by_one => Some(Vec::new()),
        (Probe::Dns, Some(fault)) if by_one => Some(kind(fault)),
        (Probe::CallbackCheck, Some(FaultKind::DnsFailure)) => {
            Some(vec![(Kind::DnsFailure, FaultKind::DnsFailure)])
        }
        // That WeChat could not be asked says nothing about the name.
        (
            Probe::CallbackCheck,
            None | Some(FaultKind::PingLoss | FaultKind::CheckDiffers | FaultKind::Ipv6Only),
        ) => Some(Vec::new()),
        _ => None,
    }
}

fn kind(fault: FaultKind) -> Vec<(Kind, FaultKind)> {
    match fault {
        FaultKind::DnsFailure | FaultKind::Ipv6Only => vec![(Kind::DnsFailure, fault)],
        FaultKind::DnsTimeout => vec![(Kind::DnsTimeout, fault)],
        _ => Vec::new(),
    }
}

pub(super) fn signs(looks: &Looks, now: Millis) -> Vec<Sign> {
    let mut hosts: BTreeMap<(Option<&str>, &str), Vec<Asked<'_>>> = BTreeMap::new();
    let mut signs = Vec::new();
    for ((account, probe, target), look) in looks.iter() {
        match (probe, target.split_once(' ')) {
            (Probe::Dns, Some((resolver, host))) => {
                hosts.entry((account.as_deref(), host)).or_default().push((resolver, look));
            }
            (Probe::CallbackCheck, _) => {
                signs.extend(look.trouble(Kind::DnsFailure).map(|trouble| {
                    let (target, detail) = (target.clone(), trouble.detail.clone());
                    let cause = Cause::NameAtWeChat { target, others: Vec::new(), detail };
                    sign(account.as_deref(), Kind::DnsFailure, Severity::High, cause, trouble, now)
                }));
            }
            _ => {}
        }
    }
    for ((account, host), asked) in hosts {
        for kind in [Kind::DnsFailure, Kind::DnsTimeout] {
            signs.extend(of_host(account, host, kind, &asked, now));
        }
    }
    name_others(&mut signs);
    signs
}

/// One of several signs of the same alert has the word: let it name the hosts of all that are as sure.
fn name_others(signs: &mut [Sign]) {
    let alert = |sign: &Sign| (sign.kind, sign.account.clone(), sign.level);
    let mut hosts: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for sign in &*signs {
        if let Cause::Name { host, .. } | Cause::NameAtWeChat { target: host, .. } = &sign.cause {
            hosts.entry(alert(sign)).or_default().insert(host.clone());
        }
    }
    for sign in signs {
        let all = hosts.get(&alert(sign));
        if let Cause::Name { host, others, .. } | Cause::NameAtWeChat { target: host, others, .. } =
            &mut sign.cause
        {
            let more = all.into_iter().flatten().filter(|other| *other != host);
            *others = more.take(limits::ALERT_NAMES).cloned().collect();
        }
    }
}

fn of_host(
    account: Option<&str>,
    host: &str,
    kind: Kind,
    asked: &[Asked<'_>],
    now: Millis,
) -> Option<Sign> {
    let of_kind = asked
        .iter()
        .filter_map(|(resolver, look)| Some((*resolver, look.system, look.trouble(kind)?)));
    // Those that fire, or else those that are pending.
    let level = of_kind.clone().map(|(.., trouble)| trouble.level()).max()?;
    let failing: Vec<_> = of_kind.filter(|(.., trouble)| trouble.level() == level).collect();
    let (_, _, first) = *failing.iter().min_by_key(|(.., trouble)| trouble.first)?;
    let last = failing.iter().map(|(.., trouble)| trouble.last).max()?;
    let system = failing.iter().any(|(_, system, _)| *system);
    // By all: also when some of them take too long instead.
    let all = asked.iter().all(|(_, look)| look.troubles().any(|(_, one)| one.level() >= level));
    let severity = match (kind, first.fault) {
        (Kind::DnsFailure, FaultKind::DnsFailure) if system || all => Severity::High,
        _ => Severity::Medium,
    };
    let cause = Cause::Name {
        host: host.to_owned(),
        others: Vec::new(),
        fault: first.fault,
        detail: first.detail.clone(),
        failing: failing
            .iter()
            .take(limits::ALERT_NAMES)
            .map(|(name, ..)| (*name).to_owned())
            .collect(),
        failed: failing.len() as u64,
        asked: asked.len() as u64,
        system,
    };
    let sign = sign(account, kind, severity, cause, first, now);
    let count = failing.iter().map(|(.., trouble)| trouble.count(now)).sum();
    Some(Sign { last, count, ..sign })
}

fn sign(
    account: Option<&str>,
    kind: Kind,
    severity: Severity,
    cause: Cause,
    trouble: &Trouble,
    now: Millis,
) -> Sign {
    Sign {
        kind,
        account: account.map(str::to_owned),
        level: trouble.level(),
        severity,
        cause,
        first: trouble.first,
        last: trouble.last,
        count: trouble.count(now),
        window_s: WINDOW_S,
        example: trouble.example.clone(),
    }
}
