//! The series of the API path and of the credentials.

use super::{add, counters};
use crate::api::outcome::Outcome;
use crate::credential::Kind;
use crate::credential::engine::Outcome as Refresh;
use prometheus::core::{Metric, MetricVec, MetricVecBuilder};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Registry};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use wxedge_wechat::api::errcode;

/// Seconds. Most calls take some hundred milliseconds, uploads longer.
const BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// What is counted of API calls.
#[derive(Debug, Clone)]
pub struct ApiMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    errcodes: IntCounterVec,
    budget_used: prometheus::GaugeVec,
    credentials: CredentialMetrics,
}

/// What is counted of tokens and tickets.
#[derive(Debug, Clone)]
pub struct CredentialMetrics {
    refreshes: IntCounterVec,
    expiry: IntGaugeVec,
}

impl ApiMetrics {
    pub(super) fn register(registry: &Registry) -> Result<ApiMetrics, prometheus::Error> {
        let duration = HistogramOpts::new(
            "wxedge_api_duration_seconds",
            "From the first byte of an API call to the end of its answer",
        );
        let budget_used = prometheus::Opts::new(
            "wxedge_api_budget_used_ratio",
            "Share of an API's daily budget that is used; of several clients' budgets the fullest",
        );
        Ok(ApiMetrics {
            requests: counters(
                registry,
                "wxedge_api_requests_total",
                "API calls by result",
                &["account", "client", "api", "result"],
            )?,
            duration: add(
                registry,
                HistogramVec::new(duration.buckets(BUCKETS.to_vec()), &["account", "api"]),
            )?,
            errcodes: counters(
                registry,
                "wxedge_api_errcodes_total",
                "Errors that WeChat answered API calls with",
                &["account", "errcode"],
            )?,
            budget_used: add(
                registry,
                prometheus::GaugeVec::new(budget_used, &["account", "api"]),
            )?,
            credentials: CredentialMetrics {
                refreshes: counters(
                    registry,
                    "wxedge_token_refreshes_total",
                    "Answers of WeChat's token and ticket endpoints by result",
                    &["account", "credential", "result"],
                )?,
                expiry: add(
                    registry,
                    IntGaugeVec::new(
                        prometheus::Opts::new(
                            "wxedge_token_expiry_timestamp_seconds",
                            "When a token or ticket expires; 0 while there is none",
                        ),
                        &["account", "credential"],
                    ),
                )?,
            },
        })
    }

    /// Makes the series of an account, at zero. `clients` may call for it; nobody's name is the empty one.
    pub fn account<'c>(&self, account: &str, clients: impl Iterator<Item = &'c str>) {
        for client in clients {
            for outcome in Outcome::ALL {
                self.requests.with_label_values(&[account, client, "other", outcome.label()]);
            }
        }
        self.duration.with_label_values(&[account, "other"]);
        for errcode in [errcode::BUSY, 40001, 40014, 42001, 45009] {
            self.errcodes.with_label_values(&[account, errcode::label(errcode)]);
        }
        for kind in Kind::ALL {
            for result in Refresh::NAMES {
                self.credentials.refreshes.with_label_values(&[account, kind.name(), result]);
            }
            self.credentials.expiry.with_label_values(&[account, kind.name()]);
        }
    }

    /// Removes the series of an account that is no longer served.
    pub(super) fn forget(&self, account: &str) {
        let is_gone = |labels: &HashMap<&str, &str>| labels["account"] == account;
        forget(&self.requests, is_gone);
        forget(&self.duration, is_gone);
        forget(&self.errcodes, is_gone);
        forget(&self.budget_used, is_gone);
        forget(&self.credentials.refreshes, is_gone);
        forget(&self.credentials.expiry, is_gone);
    }

    /// Removes the series of a client that may no longer call.
    pub fn forget_client(&self, client: &str) {
        forget(&self.requests, |labels| labels["client"] == client);
    }

    /// Counts a call.
    pub fn request(&self, account: &str, client: &str, api: &'static str, outcome: Outcome) {
        self.requests.with_label_values(&[account, client, api, outcome.label()]).inc();
    }

    /// How long a call took.
    pub fn duration(&self, account: &str, api: &'static str, took: Duration) {
        self.duration.with_label_values(&[account, api]).observe(took.as_secs_f64());
    }

    /// WeChat answered with an error.
    pub fn errcode(&self, account: &str, errcode: i64) {
        self.errcodes.with_label_values(&[account, errcode::label(errcode)]).inc();
    }

    /// How much is used of the budgets, by account and API. Those that are not among them are gone.
    pub fn budgets_used(&self, ratios: &BTreeMap<(&str, &str), f64>) {
        for ((account, api), ratio) in ratios {
            self.budget_used.with_label_values(&[*account, *api]).set(*ratio);
        }
        forget(&self.budget_used, |labels| {
            !ratios.contains_key(&(labels["account"], labels["api"]))
        });
    }

    /// Those of the credentials.
    pub fn credentials(&self) -> &CredentialMetrics {
        &self.credentials
    }
}

impl CredentialMetrics {
    /// WeChat answered, or did not.
    pub fn refreshed(&self, account: &str, credential: &str, result: &str) {
        self.refreshes.with_label_values(&[account, credential, result]).inc();
    }

    /// When it expires, in Unix seconds; 0 while there is none.
    pub fn expires(&self, account: &str, credential: &str, expires: i64) {
        self.expiry.with_label_values(&[account, credential]).set(expires);
    }
}

/// Removes every series whose labels say that it is gone.
fn forget<T: MetricVecBuilder>(
    family: &MetricVec<T>,
    is_gone: impl Fn(&HashMap<&str, &str>) -> bool,
) where
    MetricVec<T>: prometheus::core::Collector,
    T::M: Metric,
{
    use prometheus::core::Collector;
    for metrics in family.collect() {
        for metric in metrics.get_metric() {
            let labels = metric.get_label().iter();
            let labels: HashMap<&str, &str> =
                labels.map(|label| (label.name(), label.value())).collect();
            if is_gone(&labels) {
                // Somebody else may have removed it meanwhile.
                let _gone = family.remove(&labels);
            }
        }
    }
}
