//! `callback_tls`, `api_tls`, `admin_tls`: the files of a listener that speaks HTTPS itself.

use std::path::{Path, PathBuf};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::file;
use super::section::Section;
use super::value::path;

/// A certificate chain and its private key, both PEM files. At the time of the check they were readable and matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `cert`: the chain, leaf first.
    pub cert: PathBuf,
    /// `key`: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

impl Tls {
    /// Reads the table `key` of `listen` and tries what it names.
    pub(super) fn read(listen: &Section<'_>, key: &str) -> Option<Tls> {
        listen.node(key)?;
        let at = listen.sub(key);
        let cert = at.required("cert", "name the PEM file with the certificate chain", path);
        let private = at.required("key", "name the PEM file with the private key", path);
        let chain = cert.as_deref().and_then(|file| noted(&at, "cert", certificates(file)));
        let secret = private.as_deref().and_then(|file| noted(&at, "key", private_key(file)));
        if let (Some(chain), Some(secret)) = (chain, secret) {
            noted(&at, "key", matching(chain, secret));
        }
        Some(Tls { cert: cert?, key: private? })
    }

    /// Reads the files as they are now.
    ///
    /// # Errors
    /// Which of them is of no use, and why; never what is in it.
    pub fn load(&self) -> Result<CertifiedKey, String> {
        let chain = certificates(&self.cert).map_err(|message| format!("cert: {message}"))?;
        let key = private_key(&self.key).map_err(|message| format!("key: {message}"))?;
        matching(chain, key).map_err(|message| format!("key: {message}"))
    }
}

fn noted<T>(at: &Section<'_>, key: &str, result: Result<T, String>) -> Option<T> {
    result.map_err(|message| at.issue(key, message)).ok()
}

/// The certificates of a PEM file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = file::read(path)?;
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().unwrap_or_default();
    if chain.is_empty() {
        return Err(
            "holds no certificate; it must be PEM, \"-----BEGIN CERTIFICATE-----\"".to_owned()
        );
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = file::read(path)?;
    let refused =
        "holds no private key; it must be PEM without a password, \"-----BEGIN PRIVATE KEY-----\"";
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| refused.to_owned())
}

fn matching(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, String> {
    let refused = |error| match error {
        rustls::Error::InconsistentKeys(_) => {
            "does not belong to the first certificate of `cert`; put the leaf first"
        }
        rustls::Error::InvalidCertificate(_) => {
            "cannot be compared: the first certificate of `cert` is damaged"
        }
        _ => {
            "is of a kind that is not supported; use an RSA key of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519"
        }
    };
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
    certified.map_err(|error| refused(error).to_owned())
}
