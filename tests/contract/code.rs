//! What the code counts, as its source says.

use std::collections::BTreeSet;
use std::path::Path;

use crate::project;

/// Those of `prometheus`' process collector, which both programs have.
const PROCESS: [&str; 7] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];

/// All Rust of a folder, as one text.
pub(crate) fn source(folder: &str) -> String {
    fn read(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    read(&project().join(folder), &mut text);
    text
}

/// Every string of this text that is the name of a metric.
fn names(text: &str) -> BTreeSet<String> {
    let literals = text.split('"').filter(|literal| literal.starts_with("wxedge_"));
    let is_name = |literal: &&str| {
        literal.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    // Prefixes are no metrics.
    literals
        .filter(is_name)
        .filter(|name| !["wxedge_", "wxedge_sidecar"].contains(name))
        .map(str::to_owned)
        .collect()
}

/// Every metric of both programs.
pub(crate) fn metrics() -> BTreeSet<String> {
    let mut all = names(&source("proxy/src"));
    all.extend(names(&source("sidecar/src")));
    all.extend(PROCESS.map(str::to_owned));
    all.extend(PROCESS.map(|name| format!("wxedge_sidecar_{name}")));
    all
}

/// The metric that a series belongs to: those of histograms have endings.
pub(crate) fn family(series: &str) -> &str {
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|ending| series.strip_suffix(ending));
    base.filter(|base| base.ends_with("_seconds")).unwrap_or(series)
}
