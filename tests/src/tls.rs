//! Certificates for servers of the tests, and clients that trust them.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::folder::Folder;

/// A certificate and its key, both as PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Identity {
    /// A certificate that only those trust who have it.
    ///
    /// # Panics
    /// When `name` is no name.
    #[must_use]
    pub fn of(name: &str) -> Identity {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        Identity { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    /// Into `<name>.pem` and `<name>.key` of a folder.
    pub fn write(&self, folder: &Folder, name: &str) {
        folder.write(&format!("{name}.pem"), &self.certificate);
        folder.write(&format!("{name}.key"), &self.key);
    }

    /// A client that trusts this and nothing else.
    ///
    /// # Panics
    /// Never: the certificate was made here.
    #[must_use]
    pub fn trusted(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        trusting(&self.certificate, versions)
    }

    /// A server that shows this.
    ///
    /// # Panics
    /// Never: the certificate was made here.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let chain = vec![certificate.expect("a certificate")];
        let config = builder.with_no_client_auth().with_single_cert(chain, key);
        Arc::new(config.expect("a key that fits"))
    }
}

/// Who signs certificates.
#[derive(Debug)]
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// One that nobody knows yet.
    ///
    /// # Panics
    /// When the system has no randomness.
    #[must_use]
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        // Clients find an authority by its name.
        let name = format!("Authority {:x}", rand::random::<u64>());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    /// What those have who trust it: the content of a CA file.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// A client that trusts it and nobody else.
    #[must_use]
    pub fn trusted(&self) -> Arc<ClientConfig> {
        trusting(&self.certificate, rustls::ALL_VERSIONS)
    }

    /// A certificate for a host name or an address.
    #[must_use]
    pub fn issue(&self, name: &str) -> Identity {
        self.signed(params(name))
    }

    /// A certificate that has expired in 2021.
    #[must_use]
    pub fn issue_expired(&self, name: &str) -> Identity {
        let mut params = params(name);
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.signed(params)
    }

    /// A certificate that ends in so many days.
    ///
    /// # Panics
    /// When the clock is before 1970.
    #[must_use]
    pub fn issue_ending(&self, name: &str, days: u64) -> Identity {
        let now = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
        let ends = now + std::time::Duration::from_secs(days * 86_400);
        let mut params = params(name);
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(1970, 1, 1) + ends);
        self.signed(params)
    }

    fn signed(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Authority::new()
    }
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).expect("a name")
}

fn trusting(authority: &str, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate");
    roots.add(authority).expect("a certificate");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // A resumed session shows no certificate.
    config.resumption = Resumption::disabled();
    // As browsers offer it; the edge speaks HTTP/1.1 alone.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
