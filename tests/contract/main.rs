//! What stands in `dashboards/` and `conf/` is true: of metrics and words that the code has, complete, explained, and
//! taken by the programs it is for.
//!
//! | module | what has to hold |
//! |---|---|
//! | `metrics` | rules and dashboards ask for metrics and words of the code; no metric of the code is forgotten |
//! | `rules` | every alert has labels, words, a row, a case that fires, a silent one; promtool and amtool agree |
//! | `dashboards` | every panel has a unit, a description, a row, and no data source of its own |
//! | `packaging` | units, Dockerfile and manifest name commands, keys and ports that exist |
//! | `live` | a real Prometheus and Alertmanager beside the real edge: a fault is told, once, and resolves |

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod code;
mod dashboards;
mod live;
mod metrics;
mod packaging;
mod promql;
mod rules;
mod servers;

use std::path::PathBuf;

/// The project's folder.
fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file of the project.
fn file(path: &str) -> String {
    std::fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A YAML file of the project, which is one document.
fn yaml(path: &str) -> serde_json::Value {
    serde_saphyr::from_str(&file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
