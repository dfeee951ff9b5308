//! The edge itself, and WeChat's servers as seen from here.

use super::finding;
use super::report::{Report, Trouble};
use super::words::{Label, Topic};
use crate::config::Config;
use crate::edge::client::AskError;
use crate::edge::status::{ApiBase, Status};
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
    let read_only = (!status.store.writable).then(|| Topic::StoreReadOnly.trouble());
    report.check(Label::Store, "", "", read_only)?;
    if let Some(error) = &status.config.error {
        let trouble = Some(Topic::ConfigRefused.trouble());
        report.check(Label::Configuration, "", error, trouble)?;
    }
    if status.accounts.is_empty() {
        report.check(Label::Accounts, "", "", Some(Topic::NoAccounts.trouble()))?;
    }
    Ok(Some(status))
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
    for ApiBase { base, up, .. } in &status.api_base {
        let down: Option<Trouble> = (!up).then(|| Topic::ApiBaseDown.trouble());
        report.check(Label::FromTheEdge, base, "", down)?;
        let Ok(url) = base.parse() else { continue };
        for found in prober.api_base(&url).await {
            finding::check(report, &found)?;
        }
    }
    Ok(())
}
