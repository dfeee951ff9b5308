//! `callback_tls`, `api_tls`, `admin_tls`: the files of a listener that speaks HTTPS itself.

use std::path::{Path, PathBuf};

use chrono::DateTime;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, RootCertStore};

use super::file;
use super::section::Section;
use super::value::path;

/// A certificate chain and its private key, both PEM files. At the time of the check they were readable, matched and
/// valid.
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
        private.iter().for_each(|file| at.warn_if_open("key", file));
        if let Some(leaf) = chain.as_ref().and_then(|chain| chain.first()) {
            noted(&at, "cert", valid_now(leaf));
        }
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
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    certificates_in(&file::read(path)?)
}

fn certificates_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().unwrap_or_default();
    if chain.is_empty() {
        return Err(
            "holds no certificate; it must be PEM, \"-----BEGIN CERTIFICATE-----\"".to_owned()
        );
    }
    Ok(chain)
}

/// The certificates of a PEM file's contents, as those whom to trust.
pub(super) fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_in(pem)? {
        roots.add(certificate).map_err(|_| "holds a certificate that is damaged")?;
    }
    Ok(roots)
}

/// Whether a certificate's time has come and is not over. Whom it was signed by does not matter here, and one that is
/// damaged is found when it is compared with its key.
fn valid_now(leaf: &CertificateDer<'_>) -> Result<(), String> {
    let Ok(parsed) = ParsedCertificate::try_from(leaf) else { return Ok(()) };
    // Nobody is trusted, so this always fails; the time is looked at first.
    let nobody = RootCertStore::empty();
    let now = UnixTime::now();
    let verified = verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], now, &[]);
    match verified {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Err(format!("ended on {}; renew it", date(not_after)))
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before, ..
        })) => Err(format!("begins on {} only; check the clock of this machine", date(not_before))),
        _ => Ok(()),
    }
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M UTC").to_string())
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
        Error::InconsistentKeys(_) => {
            "does not belong to the first certificate of `cert`; put the leaf first"
        }
        Error::InvalidCertificate(_) => {
            "cannot be compared: the first certificate of `cert` is damaged"
        }
        _ => {
            "is of a kind that is not supported; use an RSA key of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519"
        }
    };
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
    certified.map_err(|error| refused(error).to_owned())
}
