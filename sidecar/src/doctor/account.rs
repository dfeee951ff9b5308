//! One account: its public URL, its app, its tokens, and what was refused in its name.

use super::finding;
use super::refused::Callbacks;
use super::report::{Report, Trouble};
use super::words::{Label, Level, Topic};
use crate::alert::Cause;
use crate::edge::status::{Account, Credential, Status, Upstream};
use crate::probe::Prober;
use std::io::{self, Write};

/// `status` and `refused` are none when the edge does not tell.
pub(super) async fn examine<W: Write>(
    prober: &Prober,
    name: &str,
    status: Option<&Status>,
    refused: Option<Callbacks>,
    report: &mut Report<'_, W>,
) -> io::Result<()> {
    report.heading_of(Label::Account, name)?;
    let account = status.and_then(|status| status.accounts.iter().find(|one| one.account == name));
    if status.is_some() && account.is_none() {
        let trouble = Some(Topic::UnknownAccount.trouble());
        return report.check(Label::Account, name, "", trouble);
    }
    match prober.config.public_url.get(name) {
        Some(url) => {
            let enforced = status.is_some_and(|status| status.enforces(name));
            for found in prober.callback(name, url, enforced).await {
                finding::check(report, &found)?;
            }
        }
        None => {
            let trouble = Some(Topic::NoPublicUrl.trouble());
            report.check(Label::PublicUrl, "", "", trouble)?;
        }
    }
    if let Some(account) = account {
        inside(prober, account, report).await?;
    }
    if let Some(refused) = refused {
        callbacks(&refused, report)?;
    }
    Ok(())
}

/// What the edge knows of the account.
async fn inside<W: Write>(
    prober: &Prober,
    account: &Account,
    report: &mut Report<'_, W>,
) -> io::Result<()> {
    if !account.credentials.is_empty() {
        finding::check(report, &prober.check(&account.account).await)?;
    }
    let host = &account.upstream.host;
    if !host.is_empty() && !host.starts_with("builtin:") {
        if let Some(found) = prober.app(&account.account, host).await {
            finding::check(report, &found)?;
        }
        circuit(&account.upstream, report)?;
    }
    let behind = Cause::backlog(&account.spool).map(|cause| Topic::Alert(cause).trouble());
    report.check(Label::Spool, "", &report.words().spool(&account.spool), behind)?;
    for credential in &account.credentials {
        self::credential(credential, report)?;
    }
    let source = &account.source_ip;
    if source.policy == "enforce" {
        let unlisted = (source.listed == 0).then(|| Topic::NoSourceIps.trouble());
        report.check(Label::SourceIp, "", &source.policy, unlisted)?;
    }
    Ok(())
}

/// Whether the app is asked, and how it failed when it is not.
fn circuit<W: Write>(upstream: &Upstream, report: &mut Report<'_, W>) -> io::Result<()> {
    let broken = (upstream.circuit != "closed")
        .then(|| Cause::circuit(upstream).map_or(Topic::CircuitOpen, Topic::Alert).trouble());
    report.check(Label::Circuit, &upstream.address(), &upstream.circuit, broken)
}

fn credential<W: Write>(credential: &Credential, report: &mut Report<'_, W>) -> io::Result<()> {
    let Credential { credential: name, state, errcode, action, .. } = credential;
    let trouble = (state == "failing").then(|| {
        let (credential, action) = (name.clone(), action.clone());
        Topic::Alert(Cause::Token { credential, errcode: *errcode, action }).trouble()
    });
    let errcode = errcode.map(|errcode| format!(", errcode {errcode}")).unwrap_or_default();
    report.check(Label::Credential, name, &format!("{state}{errcode}"), trouble)
}

/// What somebody sent and the edge refused. As long as others are taken, it may be anybody's.
fn callbacks<W: Write>(seen: &Callbacks, report: &mut Report<'_, W>) -> io::Result<()> {
    let level = if seen.taken == 0 { Level::Problem } else { Level::Hint };
    let refused = [
        (seen.signature, "rejected_signature", Topic::SignaturesRefused),
        (seen.decrypt, "rejected_decrypt", Topic::DecryptionFails),
        (seen.replay, "rejected_replay", Topic::OutsideTheWindow),
    ];
    for (count, outcome, topic) in refused {
        if count > 0 {
            let trouble = Some(Trouble { topic, level });
            report.check(Label::Refused, outcome, &count.to_string(), trouble)?;
        }
    }
    if seen.taken > 0 {
        report.check(Label::Taken, "", &seen.taken.to_string(), None)?;
    }
    Ok(())
}
