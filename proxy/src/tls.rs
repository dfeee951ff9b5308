//! TLS: certificates of the listeners, exchanged at reload without a restart, and the client's side for https apps.

use crate::config;
use arc_swap::ArcSwap;
use pingora::listeners::tls::Acceptor;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::{Arc, OnceLock};
use tokio_rustls::TlsConnector;

/// The certificate a listener presents; the next handshake sees a new one.
#[derive(Debug)]
pub struct Certificate(ArcSwap<CertifiedKey>);

impl Certificate {
    /// Reads certificate chain and key.
    ///
    /// # Errors
    /// When they cannot be read or do not fit.
    pub fn load(files: &config::Tls) -> Result<Arc<Certificate>, String> {
        Ok(Arc::new(Certificate(ArcSwap::from_pointee(files.load()?))))
    }

    /// Presents another one from the next handshake on.
    pub fn replace(&self, key: CertifiedKey) {
        self.0.store(Arc::new(key));
    }

    /// What Pingora accepts TLS connections with: TLS 1.2 and 1.3, HTTP/1.1.
    ///
    /// # Errors
    /// When the cryptography offers no protocol version, which it does.
    pub fn acceptor(self: Arc<Certificate>) -> Result<Acceptor, rustls::Error> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self);
        Ok(Acceptor::from_server_config(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Connects to https servers: the system's certificate authorities, names checked.
pub fn connector() -> TlsConnector {
    static CONNECTOR: OnceLock<TlsConnector> = OnceLock::new();
    let connector = CONNECTOR.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            log::warn!("a certificate authority of the system cannot be read: {error}");
        }
        roots.add_parsable_certificates(found.certs);
        connector_trusting(roots)
    });
    connector.clone()
}

/// The same with these certificate authorities instead of the system's.
pub fn connector_trusting(roots: RootCertStore) -> TlsConnector {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(rustls::DEFAULT_VERSIONS);
    // The versions are the library's own defaults for its own provider.
    #[allow(clippy::expect_used, reason = "invariant of rustls: its defaults fit its provider")]
    let builder = builder.expect("invariant: ring supports the default versions");
    TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
