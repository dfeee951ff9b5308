//! A probe's finding as a line of the report.

use super::report::Report;
use super::words::{Label, Topic};
use crate::clock::unix_now_s;
use crate::observation::{Finding, Probe};
use std::io::{self, Write};
use std::net::IpAddr;

const ADDRESSES: usize = 4;

pub(super) fn check<W: Write>(report: &mut Report<'_, W>, finding: &Finding) -> io::Result<()> {
    let label = match finding.probe {
        Probe::Dns => Label::Dns,
        Probe::Tcp => Label::Tcp,
        Probe::Tls => Label::Tls,
        Probe::Echo => Label::Echo,
        Probe::CallbackCheck => Label::CallbackCheck,
        Probe::Clock => Label::Clock,
    };
    match &finding.fault {
        Some(fault) => {
            let trouble = Some(Topic::Fault(fault.kind).trouble());
            let detail = match finding.facts.response.as_deref() {
                Some(response) if !response.is_empty() => format!("{}: {response}", fault.detail),
                _ => fault.detail.clone(),
            };
            report.check(label, &finding.target, &detail, trouble)
        }
        None => {
            let detail = facts(report, finding);
            report.check(label, &finding.target, &detail, None)
        }
    }
}

/// What a good finding is worth telling: addresses, days left, the clock's offset, and the time it took.
fn facts<W: Write>(report: &Report<'_, W>, finding: &Finding) -> String {
    let facts = &finding.facts;
    let mut parts = Vec::new();
    if matches!(finding.probe, Probe::Dns | Probe::CallbackCheck) {
        let addresses = facts.addresses.iter().take(ADDRESSES).map(IpAddr::to_string);
        parts.extend(addresses);
    }
    if let Some(not_after) = facts.not_after {
        parts.push(report.words().days_left((not_after - unix_now_s()) / (24 * 3600)));
    }
    if let Some(ahead_ms) = facts.ahead_ms {
        parts.push(format!("{ahead_ms:+} ms"));
    }
    if let Some(status) = facts.status.filter(|status| *status != 200) {
        parts.push(status.to_string());
    }
    if finding.took_ms > 0.0 && facts.ahead_ms.is_none() {
        parts.push(format!("{:.0} ms", finding.took_ms));
    }
    parts.join(", ")
}
