//! `[runtime]` and `[store]`: the process and where it keeps what must survive it.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::section::Section;
use super::value::{path, socket_path};

/// How the process runs.
#[derive(Debug, PartialEq, Eq)]
pub struct Runtime {
    /// `threads`: worker threads, 0 to 1 024; 0, the default, is resolved to one per core here.
    pub threads: usize,
    /// `grace_s`: how long a stop waits for what is in flight, 1 to 600 s. Default 10 s.
    pub grace: Duration,
    /// `upgrade_sock`: the socket over which `run --upgrade` takes the listeners. Default `data/upgrade.sock`.
    pub upgrade_sock: PathBuf,
}

/// Where the spool is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Store {
    /// The folder of `url = "embedded:<folder>"`. Default `data/wxedge`.
    pub dir: PathBuf,
    /// `key_file`: a file with 32 bytes, with which what the spool keeps of messages is encrypted. Default none.
    pub key_file: Option<PathBuf>,
}

impl Runtime {
    /// Reads `[runtime]`.
    pub(super) fn read(at: &Section<'_>) -> Runtime {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        Runtime {
            threads: match at.integer("threads", 0..=1_024, 0) as usize {
                0 => cores(),
                threads => threads,
            },
            grace: Duration::from_secs(at.integer("grace_s", 1..=600, 10)),
            upgrade_sock: at
                .parsed("upgrade_sock", socket_path)
                .unwrap_or_else(|| PathBuf::from("data/upgrade.sock")),
        }
    }
}

impl Store {
    /// Reads `[store]`.
    pub(super) fn read(at: &Section<'_>) -> Store {
        let key_file = at.parsed("key_file", path);
        key_file.iter().for_each(|file| at.warn_if_open("key_file", file));
        Store {
            dir: at.parsed("url", embedded).unwrap_or_else(|| PathBuf::from("data/wxedge")),
            key_file,
        }
    }
}

fn embedded(text: &str) -> Result<PathBuf, &'static str> {
    if text.starts_with("redis://") || text.starts_with("rediss://") {
        return Err(
            "redis:// is refused until several edges are supported; use embedded:data/wxedge",
        );
    }
    let folder = text
        .strip_prefix("embedded:")
        .ok_or("must be embedded: and a folder, such as embedded:data/wxedge")?;
    path(folder)
}
