//! Every metric once: registered in an injected registry, all series at zero from the start.

mod api;
mod spool;

pub use api::{ApiMetrics, CredentialMetrics};
pub use spool::{AccountSpoolMetrics, LateReply, Redelivery, SpoolMetrics};

use crate::outcome::Outcome;
use crate::upstream::Failure;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector,
};
use url::Url;
use wxedge_wechat::message::Kind;

/// Seconds. 4.3 is the default deadline, 4.8 the last moment for an answer, 5 WeChat's limit.
const ANSWER_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 4.3, 4.5, 4.8, 5.0,
];
/// Seconds. The app may go on until `late_timeout_s`, 60 by default.
const APP_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 4.3, 4.5, 4.8,
    5.0, 10.0, 30.0, 60.0,
];

/// The statuses of requests that are no callbacks.
const UNROUTED: [u16; 4] = [400, 404, 405, 408];

/// All metrics of the proxy.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    callbacks: IntCounterVec,
    callback_duration: HistogramVec,
    in_flight: IntGaugeVec,
    last_received: IntGaugeVec,
    upstream_duration: HistogramVec,
    upstream_failures: IntCounterVec,
    dedupe_entries: IntGauge,
    connections: IntGaugeVec,
    api_base_up: IntGaugeVec,
    /// What is counted of the spool.
    pub spool: SpoolMetrics,
    /// What is counted of API calls.
    pub api: ApiMetrics,
    unrouted: IntCounterVec,
    /// Events that slow readers of the event stream lost.
    pub events_dropped: IntCounter,
    /// Panics in any task.
    pub panics: IntCounter,
    config_reloads: IntCounterVec,
}

/// The series of one account, looked up once.
#[derive(Debug)]
pub struct AccountMetrics {
    callbacks: Vec<IntCounter>,
    /// Seconds from the first byte of a callback to its answer.
    pub duration: Histogram,
    /// Callbacks being handled.
    pub in_flight: IntGauge,
    /// Unix time of the last callback.
    pub last_received: IntGauge,
    /// Seconds the app took.
    pub upstream_duration: Histogram,
    upstream_failures: Vec<IntCounter>,
    /// The spool's.
    pub spool: AccountSpoolMetrics,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When a name is registered twice in `registry`.
    pub fn register(registry: Registry) -> Result<Metrics, prometheus::Error> {
        let r = &registry;
        let build = add(
            r,
            IntGaugeVec::new(Opts::new("wxedge_build_info", "Always 1"), &["program", "version"]),
        )?;
        build.with_label_values(&["wxedge", env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Metrics {
            callbacks: counters(
                r,
                "wxedge_callbacks_total",
                "Callbacks by kind of message and outcome",
                &["account", "kind", "outcome"],
            )?,
            callback_duration: histograms(
                r,
                "wxedge_callback_duration_seconds",
                "From the first byte of a callback to its answer",
                ANSWER_BUCKETS,
            )?,
            in_flight: gauges(
                r,
                "wxedge_callbacks_in_flight",
                "Callbacks being handled",
                "account",
            )?,
            last_received: gauges(
                r,
                "wxedge_callback_last_received_timestamp_seconds",
                "When the last callback arrived; 0 before the first",
                "account",
            )?,
            upstream_duration: histograms(
                r,
                "wxedge_upstream_duration_seconds",
                "How long the app took, late answers included",
                APP_BUCKETS,
            )?,
            upstream_failures: counters(
                r,
                "wxedge_upstream_failures_total",
                "Calls to the app that failed, by reason",
                &["account", "reason"],
            )?,
            spool: SpoolMetrics::register(r)?,
            dedupe_entries: add(
                r,
                IntGauge::new("wxedge_dedupe_entries", "Messages remembered for deduplication"),
            )?,
            connections: gauges(r, "wxedge_connections", "Open connections", "listener")?,
            api_base_up: gauges(
                r,
                "wxedge_api_base_up",
                "Whether one of WeChat's API servers is believed to be reachable",
                "base",
            )?,
            api: ApiMetrics::register(r)?,
            unrouted: counters(
                r,
                "wxedge_unrouted_total",
                "Requests that were no callback, by the status they got",
                &["status"],
            )?,
            events_dropped: counter(
                r,
                "wxedge_events_dropped_total",
                "Events that slow readers of the event stream lost",
            )?,
            panics: counter(r, "wxedge_panics_total", "Panics in any task; each is a defect")?,
            config_reloads: counters(
                r,
                "wxedge_config_reloads_total",
                "Configuration reloads by result",
                &["result"],
            )?,
            registry,
        };
        for status in UNROUTED {
            metrics.unrouted.with_label_values(&[&status.to_string()]);
        }
        for result in ["ok", "refused"] {
            metrics.config_reloads.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    /// The series of one account, created at zero.
    pub fn account(&self, account: &str) -> AccountMetrics {
        let callbacks = Kind::ALL
            .iter()
            .flat_map(|kind| Outcome::ALL.iter().map(move |outcome| (kind, outcome)))
            .map(|(kind, outcome)| {
                self.callbacks.with_label_values(&[account, kind.label(), outcome.label()])
            })
            .collect();
        AccountMetrics {
            callbacks,
            duration: self.callback_duration.with_label_values(&[account]),
            in_flight: self.in_flight.with_label_values(&[account]),
            last_received: self.last_received.with_label_values(&[account]),
            upstream_duration: self.upstream_duration.with_label_values(&[account]),
            spool: self.spool.account(account),
            upstream_failures: Failure::REASONS
                .iter()
                .map(|reason| self.upstream_failures.with_label_values(&[account, reason]))
                .collect(),
        }
    }

    /// Removes the series of an account that is no longer served. What still runs counts on, unseen; an account that
    /// comes back starts at zero.
    pub fn forget(&self, account: &str) {
        self.api.forget(account);
        let gone = |removed: prometheus::Result<()>| {
            debug_assert!(removed.is_ok(), "every series was made by `account`");
        };
        for kind in Kind::ALL {
            for outcome in Outcome::ALL {
                let labels = [account, kind.label(), outcome.label()];
                gone(self.callbacks.remove_label_values(&labels));
            }
        }
        for histogram in [&self.callback_duration, &self.upstream_duration] {
            gone(histogram.remove_label_values(&[account]));
        }
        for gauge in [&self.in_flight, &self.last_received] {
            gone(gauge.remove_label_values(&[account]));
        }
        self.spool.forget(account, gone);
        for reason in Failure::REASONS {
            gone(self.upstream_failures.remove_label_values(&[account, reason]));
        }
    }

    /// The gauge of open connections of a listener.
    pub fn connections(&self, listener: &str) -> IntGauge {
        self.connections.with_label_values(&[listener])
    }

    /// The gauge of one of WeChat's API servers.
    pub fn api_base_up(&self, base: &Url) -> IntGauge {
        self.api_base_up.with_label_values(&[&base.origin().ascii_serialization()])
    }

    /// Removes the gauge of a server that is no longer asked.
    pub fn forget_api_base(&self, base: &Url) {
        let origin = base.origin().ascii_serialization();
        // Every one of them was made by `api_base_up`.
        let _removed = self.api_base_up.remove_label_values(&[&origin]);
    }

    /// Counts a request that was no callback.
    pub fn unrouted(&self, status: u16) {
        self.unrouted.with_label_values(&[&status.to_string()]).inc();
    }

    /// Counts a configuration reload.
    pub fn config_reload(&self, taken: bool) {
        let result = if taken { "ok" } else { "refused" };
        self.config_reloads.with_label_values(&[result]).inc();
    }

    /// All metrics in Prometheus' text format. What is given is read at the scrape.
    pub fn render(&self, dedupe_entries: usize, spool_bytes: u64) -> String {
        self.dedupe_entries.set(dedupe_entries as i64);
        self.spool.bytes(spool_bytes);
        let mut text = String::new();
        match TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }
}

impl AccountMetrics {
    /// The counter of one way to end.
    pub fn callbacks(&self, kind: Kind, outcome: Outcome) -> &IntCounter {
        &self.callbacks[kind as usize * Outcome::ALL.len() + outcome as usize]
    }

    /// The counter of one reason for which a call to the app failed.
    pub fn upstream_failures(&self, failure: &Failure) -> &IntCounter {
        &self.upstream_failures[failure.index()]
    }
}

fn add<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: Result<M, prometheus::Error>,
) -> Result<M, prometheus::Error> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    add(registry, IntCounter::new(name, help))
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    add(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<IntGaugeVec, prometheus::Error> {
    add(registry, IntGaugeVec::new(Opts::new(name, help), &[label]))
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    add(registry, HistogramVec::new(options, &["account"]))
}
