//! `[wechat]`, `[api]` and `[spool]`: the way to WeChat's servers and the two features that use it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rustls::RootCertStore;
use url::Url;

use super::section::Section;
use super::value::{http_proxy, path, server_base};
use super::{file, shown, tls};

/// How the edge reaches WeChat's API.
#[derive(PartialEq, Eq)]
pub struct Wechat {
    /// `api_base`: in order of preference; https, or http on loopback. Never empty. Default `https://api.weixin.qq.com`
    /// and `https://api2.weixin.qq.com`.
    pub api_base: Vec<Url>,
    /// `ca_file`: PEM file with the certificate authorities to trust instead of the system's. Default none.
    pub ca_file: Option<PathBuf>,
    /// What is in it.
    authorities: Option<Vec<u8>>,
    /// `proxy`: HTTP proxy for calls to WeChat. May carry a password. Default none.
    pub proxy: Option<Url>,
}

impl fmt::Debug for Wechat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wechat")
            .field("api_base", &self.api_base.iter().map(shown).collect::<Vec<_>>())
            .field("ca_file", &self.ca_file)
            .field("proxy", &self.proxy.as_ref().map(shown))
            .finish()
    }
}

/// Bounds of the API path.
#[derive(Debug)]
pub struct Api {
    /// `replay_bytes`: bytes of request bodies kept for one repetition, all calls together, 0 to 64 GiB. Default 256 MiB.
    pub replay_bytes: u64,
}

/// How what was acknowledged is delivered later.
#[derive(Debug)]
pub struct Spool {
    /// `retry_min_ms`: first wait, 100 ms to 1 h. Default 2 s.
    pub retry_min: Duration,
    /// `retry_max_ms`: longest wait, `retry_min` to 24 h. Default 10 min.
    pub retry_max: Duration,
    /// `give_up_after_s`: age at which an entry becomes a dead letter, 1 s to 30 days. Default 24 h.
    pub give_up_after: Duration,
    /// `max_bytes`: what waits and what is dead, 1 MiB to 1 TiB. Default 1 GiB.
    pub max_bytes: u64,
    /// `retention_days`: how long dead letters are kept, 1 to 365 days. Default 7.
    pub retention: Duration,
    /// `concurrency`: redeliveries of one account at once, 1 to 4 096. Default 32.
    pub concurrency: usize,
}

impl Wechat {
    /// The certificate authorities of `ca_file`, as it was at the check; nothing without it.
    ///
    /// # Errors
    /// When they were of no use at the check.
    pub fn authorities(&self) -> Result<Option<RootCertStore>, String> {
        let read = |pem| tls::authorities(pem).map_err(|error| format!("ca_file: {error}"));
        self.authorities.as_deref().map(read).transpose()
    }
}

const BASES: [&str; 2] = ["https://api.weixin.qq.com", "https://api2.weixin.qq.com"];
const SECONDS_A_DAY: u64 = 86_400;
const MIB: u64 = 1 << 20;

impl Wechat {
    /// Reads `[wechat]`.
    pub(super) fn read(at: &Section<'_>) -> Wechat {
        let bases = || BASES.iter().filter_map(|base| server_base(base).ok()).collect();
        let api_base = at.list("api_base", server_base).unwrap_or_else(bases);
        if api_base.is_empty() {
            at.issue("api_base", "is empty; remove the key for WeChat's own servers");
        }
        let ca_file = optional(at, "ca_file").and_then(|key| at.parsed(key, path));
        let authorities = ca_file.as_deref().and_then(|path| {
            let read =
                file::read(path).and_then(|pem| tls::authorities(&pem).map(|_| pem.to_vec()));
            read.map_err(|message| at.issue("ca_file", message)).ok()
        });
        let proxy = optional(at, "proxy").and_then(|key| at.parsed(key, http_proxy));
        Wechat { api_base, ca_file, authorities, proxy }
    }
}

/// The key, unless it is absent or empty, which both mean "none".
fn optional<'k>(at: &Section<'_>, key: &'k str) -> Option<&'k str> {
    at.raw_text(key).filter(|text| !text.is_empty()).map(|_| key)
}

impl Api {
    /// Reads `[api]`.
    pub(super) fn read(at: &Section<'_>) -> Api {
        Api { replay_bytes: at.integer("replay_bytes", 0..=65_536 * MIB, 256 * MIB) }
    }
}

impl Spool {
    /// Reads `[spool]`.
    pub(super) fn read(at: &Section<'_>) -> Spool {
        let retry_min_ms = at.integer("retry_min_ms", 100..=3_600_000, 2_000);
        let retry_max_ms = at.integer("retry_max_ms", 100..=SECONDS_A_DAY * 1_000, 600_000);
        if retry_max_ms < retry_min_ms {
            at.issue("retry_max_ms", "must not be smaller than retry_min_ms");
        }
        Spool {
            retry_min: Duration::from_millis(retry_min_ms),
            retry_max: Duration::from_millis(retry_max_ms),
            give_up_after: Duration::from_secs(at.integer(
                "give_up_after_s",
                1..=30 * SECONDS_A_DAY,
                SECONDS_A_DAY,
            )),
            max_bytes: at.integer("max_bytes", MIB..=1_048_576 * MIB, 1_024 * MIB),
            retention: Duration::from_secs(
                at.integer("retention_days", 1..=365, 7) * SECONDS_A_DAY,
            ),
            concurrency: at.integer("concurrency", 1..=4_096, 32) as usize,
        }
    }
}
