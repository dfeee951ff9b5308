//! The public URL as WeChat needs it: `connect_timeout`, `request_timeout`, `response_invalid`, and `tls_expiry` when its
//! certificate ends in under 14 days.

use super::book::Sign;
use super::looks::{Look, Looks, Trouble, WINDOW_S};
use super::{Cause, Kind};
use crate::observation::{FaultKind, Finding, Millis, Probe};

const DAY_S: i64 = 86_400;
const EXPIRY_S: i64 = 14 * DAY_S;

/// What a finding says is wrong with a public URL; nothing when it is not about one, or says nothing. `unix` is the wall
/// clock's second.
pub(super) fn troubles(finding: &Finding, unix: i64) -> Option<Vec<(Kind, FaultKind)>> {
    let about_url = matches!(finding.probe, Probe::Tcp | Probe::Tls | Probe::Echo);
    if !about_url || finding.account.is_none() {
        return None;
    }
    let fault = finding.fault.as_ref().map(|fault| fault.kind);
    let kind = match fault {
        None => None,
        // Says nothing about the URL. That a name is not known, its own probe says.
        Some(FaultKind::EdgeUnavailable | FaultKind::DnsFailure | FaultKind::DnsTimeout) => {
            return None;
        }
        Some(fault) => kind(fault).map(|kind| (kind, fault)),
    };
    let mut troubles: Vec<_> = kind.into_iter().collect();
    let ends = finding.facts.not_after.is_some_and(|end| end - unix < EXPIRY_S);
    if ends && troubles.iter().all(|(kind, _)| *kind != Kind::TlsExpiry) {
        troubles.push((Kind::TlsExpiry, FaultKind::TlsExpires));
    }
    Some(troubles)
}

/// What kind of alert it is for a public URL.
fn kind(fault: FaultKind) -> Option<Kind> {
    match fault {
        FaultKind::ConnectRefused | FaultKind::ConnectTimeout => Some(Kind::ConnectTimeout),
        FaultKind::AnswerTimeout => Some(Kind::RequestTimeout),
        FaultKind::TlsInvalid
        | FaultKind::Redirect
        | FaultKind::AnswerStatus
        | FaultKind::EchoQuoted
        | FaultKind::EchoWrong
        | FaultKind::SignatureRefused
        | FaultKind::WrongPort => Some(Kind::ResponseInvalid),
        FaultKind::TlsExpired | FaultKind::TlsExpires => Some(Kind::TlsExpiry),
        FaultKind::DnsFailure
        | FaultKind::DnsTimeout
        | FaultKind::Ipv6Only
        | FaultKind::DnsDiffers
        | FaultKind::PingLoss
        | FaultKind::CheckDiffers
        | FaultKind::CheckRefused
        | FaultKind::ClockSkew
        | FaultKind::EdgeUnavailable => None,
    }
}

pub(super) fn signs(looks: &Looks, now: Millis, unix: i64) -> Vec<Sign> {
    let urls = looks
        .iter()
        .filter(|((_, probe, _), _)| matches!(probe, Probe::Tcp | Probe::Tls | Probe::Echo));
    let of_look = |((account, _, target), look): (&(Option<String>, Probe, String), &Look)| {
        let sign = |(kind, trouble)| sign(account.clone(), target, kind, trouble, now, unix);
        look.troubles().map(sign).collect::<Vec<_>>()
    };
    urls.flat_map(of_look).collect()
}

fn sign(
    account: Option<String>,
    target: &str,
    kind: Kind,
    trouble: &Trouble,
    now: Millis,
    unix: i64,
) -> Sign {
    let target = target.to_owned();
    let cause = if kind == Kind::TlsExpiry {
        let left = trouble.not_after.filter(|_| trouble.fault == FaultKind::TlsExpires);
        let left = left.map(|end| end - unix).filter(|left| *left > 0);
        Cause::Certificate { target, days: left.map(|left| (left / DAY_S).cast_unsigned()) }
    } else {
        let (fault, detail) = (trouble.fault, trouble.detail.clone());
        Cause::Url { fault, target, detail, status: trouble.status }
    };
    Sign {
        kind,
        account,
        level: trouble.level(),
        severity: kind.severity(),
        cause,
        first: trouble.first,
        last: trouble.last,
        count: trouble.count(now),
        window_s: WINDOW_S,
        example: trouble.example.clone(),
    }
}
