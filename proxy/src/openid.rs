//! Openids in logs: a keyed hash, so that a line can be found for a user but no user from a line.

use crate::config::Config;
use crate::key_file;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io;
use std::path::Path;

/// The file in the store's folder that holds the key.
const KEY_FILE: &str = "openid.key";

/// Hashes openids.
pub struct OpenidKey(Hmac<Sha256>);

impl std::fmt::Debug for OpenidKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenidKey([redacted])")
    }
}

impl OpenidKey {
    /// Reads the key from `folder`, or makes one there; only its owner may read it.
    ///
    /// # Errors
    /// When it can neither be read nor written.
    pub fn open(folder: &Path) -> io::Result<OpenidKey> {
        key_file::open(folder, KEY_FILE).and_then(OpenidKey::new)
    }

    /// Reads the key that an edge has made in `folder`.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn read(folder: &Path) -> io::Result<OpenidKey> {
        key_file::read(folder, KEY_FILE).and_then(OpenidKey::new)
    }

    fn new(key: [u8; 32]) -> io::Result<OpenidKey> {
        Hmac::new_from_slice(&key).map(OpenidKey).map_err(io::Error::other)
    }

    /// 16 characters that stand for `openid` in the log.
    pub fn hash(&self, openid: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(openid.as_bytes());
        URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..12])
    }
}

/// `wxedge hash-openid`: what to search the log for.
///
/// # Errors
/// When the key cannot be read.
pub fn hash_command(config: &Config, openid: &str) -> io::Result<String> {
    let folder = &config.store.dir;
    let key = OpenidKey::read(folder).map_err(|error| {
        let (folder, kind) = (folder.display(), error.kind());
        io::Error::new(kind, format!("{error}; an edge makes the key in {folder} when it starts, so start it first, or run this where it runs"))
    })?;
    Ok(key.hash(openid))
}
