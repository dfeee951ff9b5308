//! Openids in logs: a keyed hash, so that a line can be found for a user but no user from a line.

use crate::config::Config;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
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
        std::fs::create_dir_all(folder)?;
        let path = folder.join(KEY_FILE);
        let mut key = Vec::new();
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                key.extend(rand::random::<[u8; 32]>());
                file.write_all(&key)?;
                file.sync_all()?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::File::open(&path)?.take(64).read_to_end(&mut key)?;
            }
            Err(error) => return Err(error),
        }
        if key.len() < 32 {
            return Err(io::Error::other(format!(
                "{} is damaged: it should hold 32 bytes",
                path.display()
            )));
        }
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
    Ok(OpenidKey::open(&config.store.dir)?.hash(openid))
}
