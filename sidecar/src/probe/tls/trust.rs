//! Whose certificates are believed, and what was shown to whom that was asked.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::fmt;
use std::sync::{Arc, OnceLock};
use tokio_rustls::TlsConnector;

/// Certificate authorities.
pub struct Trust {
    provider: Arc<CryptoProvider>,
    /// None without any authority: then nobody is believed.
    verifier: Option<Arc<WebPkiServerVerifier>>,
}

/// What a server has shown, whether or not it was believed.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown(Arc<OnceLock<Chain>>);

#[derive(Debug)]
struct Chain {
    leaf: CertificateDer<'static>,
    intermediates: usize,
    no_authorities: bool,
}

/// Believes what `inner` believes, and keeps what was shown.
#[derive(Debug)]
struct Recorder {
    provider: Arc<CryptoProvider>,
    inner: Option<Arc<WebPkiServerVerifier>>,
    shown: Shown,
}

impl Trust {
    /// These authorities and no others.
    pub fn of(roots: RootCertStore) -> Trust {
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        // The one error is that there are no authorities.
        Trust { verifier: verifier.build().ok(), provider }
    }

    /// What makes one connection, and writes down what it is shown. It knows no session to resume, which would show nothing.
    ///
    /// # Errors
    /// Never, as long as rustls' own defaults fit its own provider.
    pub(super) fn connector(&self, shown: &Shown) -> Result<TlsConnector, Error> {
        let recorder = Recorder {
            provider: self.provider.clone(),
            inner: self.verifier.clone(),
            shown: shown.clone(),
        };
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(recorder))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

impl Shown {
    /// The server's own certificate, when it came to that.
    pub(super) fn leaf(&self) -> Option<&[u8]> {
        self.0.get().map(|chain| chain.leaf.as_ref())
    }

    /// How many certificates came with it.
    pub(super) fn intermediates(&self) -> usize {
        self.0.get().map_or(0, |chain| chain.intermediates)
    }

    /// Whether there was nobody to believe.
    pub(super) fn has_no_authorities(&self) -> bool {
        self.0.get().is_some_and(|chain| chain.no_authorities)
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.shown.0.get_or_init(|| Chain {
            leaf: leaf.clone().into_owned(),
            intermediates: intermediates.len(),
            no_authorities: self.inner.is_none(),
        });
        match &self.inner {
            Some(inner) => inner.verify_server_cert(leaf, intermediates, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
