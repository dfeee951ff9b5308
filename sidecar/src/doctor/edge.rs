//! The edge itself, and WeChat's servers as seen from here.

use super::finding;
use super::report::Report;
use super::words::{Label, Topic};
use crate::alert::Cause;
use crate::config::Config;
use crate::edge::client::AskError;
use crate::edge::status::{ApiBase, Salvaged, Status};
use crate::probe::Prober;
use std::io::{self, Write};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whether it is there, is one, and is well. Its status, when it gives one.
pub(super) async fn examine<W: Write>(
    config: &Config,
    prober: &Prober,
    report: &mut Report<'_, W>,
) -> io::Result<Option<Status>> {
    report.heading(Label::Edge)?;
    // Without user and password, which a URL may have.
    let admin = config.edge.admin.origin().ascii_serialization();
    let status = match prober.edge.status().await {
        // Any JSON object would do.
        Ok(status) if status.version.is_empty() => Err(AskError::Invalid),
        other => other,
    };
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            let trouble = Some(topic_of(&error).trouble());
            report.check(Label::Admin, &admin, &error.to_string(), trouble)?;
            return Ok(None);
        }
    };
    report.check(Label::Admin, &admin, "", None)?;
    let differs = (status.version != VERSION).then(|| Topic::VersionDiffers.trouble());
    report.check(Label::Version, "", &status.version, differs)?;
    let not_ready = (!status.ready).then(|| Topic::NotReady.trouble());
    report.check(Label::Ready, "", "", not_ready)?;
    store(&status, report)?;
    if let Some(error) = &status.config.error {
        let trouble = Some(Topic::ConfigRefused.trouble());
        report.check(Label::Configuration, "", error, trouble)?;
    }
    if status.accounts.is_empty() {
        report.check(Label::Accounts, "", "", Some(Topic::NoAccounts.trouble()))?;
    }
    Ok(Some(status))
}

/// What keeps the messages, and those that nobody can deliver.
fn store<W: Write>(status: &Status, report: &mut Report<'_, W>) -> io::Result<()> {
    let store = &status.store;
    if let Some(error) = &store.error {
        report.check(Label::Store, "", error, Some(Topic::StoreDamaged.trouble()))?;
    } else {
        let bad = Cause::store(store).map(|cause| Topic::Alert(cause).trouble());
        report.check(Label::Store, "", "", bad)?;
    }
    if let Some(Salvaged { saved, lost, folder }) = &store.salvaged {
        let detail = report.words().salvaged(*saved, *lost, folder);
        report.check(Label::Store, "", &detail, Some(Topic::StoreSalvaged.trouble()))?;
    }
    for orphan in &status.spool_orphans {
        if let Some(cause) = Cause::orphans(orphan) {
            let detail = report.words().spool(&orphan.spool);
            let trouble = Some(Topic::Alert(cause).trouble());
            report.check(Label::Orphans, &orphan.appid, &detail, trouble)?;
        }
    }
    Ok(())
}

/// Whether its API listener is where apps are told that it is.
pub(super) async fn api<W: Write>(
    config: &Config,
    prober: &Prober,
    report: &mut Report<'_, W>,
) -> io::Result<()> {
    let url = &config.edge.api;
    let origin = url.origin().ascii_serialization();
    match prober.speaks_http(url).await {
        Ok(_) => report.check(Label::Api, &origin, "", None),
        Err(fault) => {
            report.check(Label::Api, &origin, &fault.detail, Some(Topic::ApiSilent.trouble()))
        }
    }
}

fn topic_of(error: &AskError) -> Topic {
    match error {
        AskError::Connect => Topic::EdgeDown,
        AskError::Timeout => Topic::EdgeSilent,
        AskError::Status { status: 401, .. } => Topic::KeyWrong,
        AskError::Status { .. } | AskError::Invalid => Topic::NoEdge,
    }
}

/// WeChat's servers.
pub(super) async fn api_bases<W: Write>(
    prober: &Prober,
    status: &Status,
    report: &mut Report<'_, W>,
) -> io::Result<()> {
    if !status.api_base.is_empty() {
        report.heading(Label::ApiBase)?;
    }
    for ApiBase { base, up, by_proxy, .. } in &status.api_base {
        match up {
            None => report.open(Label::FromTheEdge, base, report.words().not_tried_yet())?,
            Some(up) => {
                let down = (!up).then(|| Topic::ApiBaseDown.trouble());
                report.check(Label::FromTheEdge, base, "", down)?;
            }
        }
        if *by_proxy {
            report.open(Label::FromHere, base, report.words().behind_a_proxy())?;
            continue;
        }
        let Ok(url) = base.parse() else { continue };
        for found in prober.api_base(&url).await {
            finding::check(report, &found)?;
        }
    }
    Ok(())
}
