//! `doctor`: every probe once, in the order in which one would look by hand, and each known failure in words with the fix.

mod account;
mod edge;
mod finding;
mod refused;
mod report;
mod words;

pub use report::Marks;

use crate::config::Config;
use crate::edge::client::Client;
use crate::http;
use crate::probe::Prober;
use crate::probe::tls::Trust;
use report::Report;
use std::collections::BTreeSet;
use std::io::{self, Write};
use words::{Label, Topic};

/// Examines the edge of a configuration, writes what is found to `out` and says whether all is well. Hints alone are well.
///
/// # Errors
/// When `out` cannot be written to.
pub async fn doctor(config: &Config, marks: Marks, out: &mut impl Write) -> io::Result<bool> {
    let roots = http::roots();
    let client = http::client(&http::tls(roots.clone())?)?;
    let edge = Client::new(client, config.edge.clone());
    let prober = Prober::new(config.probe.clone(), Trust::of(roots), edge);
    examine(config, &prober, marks, out).await
}

/// The same, from another point of view than the usual.
///
/// # Errors
/// When `out` cannot be written to.
pub async fn examine(
    config: &Config,
    prober: &Prober,
    marks: Marks,
    out: &mut impl Write,
) -> io::Result<bool> {
    let mut report = Report::new(config.language, marks, out);
    let status = edge::examine(config, prober, &mut report).await?;
    edge::api(config, prober, &mut report).await?;
    let metrics = match &status {
        Some(_) => prober.edge.metrics().await.ok(),
        None => None,
    };

    let named = config.probe.public_url.keys();
    let running = status.iter().flat_map(|status| &status.accounts).map(|one| &one.account);
    let names: BTreeSet<_> = named.chain(running).cloned().collect();
    for name in names {
        let refused = metrics.as_deref().map(|text| refused::read(text, &name));
        account::examine(prober, &name, status.as_ref(), refused, &mut report).await?;
    }
    if let Some(status) = &status {
        edge::api_bases(prober, status, &mut report).await?;
    }
    report.heading(Label::Notifications)?;
    let channels = config.notify.channels();
    let trouble = channels.is_empty().then(|| Topic::NoNotifications.trouble());
    report.check(Label::Channels, "", &channels.join(", "), trouble)?;
    report.end()
}
