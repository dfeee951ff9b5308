//! The HTTP clients: one set of certificate authorities, no redirects, no proxy from the environment.

use crate::limits;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;

/// The system's certificate authorities, or those of `SSL_CERT_FILE`.
pub fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // One that cannot be read is as good as none; without any, every certificate is refused, and that is said then.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// TLS as every client here wants it.
///
/// # Errors
/// Never, as long as rustls' own defaults fit its own provider.
pub fn tls(roots: RootCertStore) -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A client that waits for a connection as long as WeChat does. How long it waits in all each request says.
///
/// # Errors
/// When the TLS configuration is of no use to it.
pub fn client(tls: &ClientConfig) -> io::Result<Client> {
    Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .redirect(Policy::none())
        // Keys go to nobody but whom they are for, whatever HTTP_PROXY says.
        .no_proxy()
        // A kept connection that the other end has just closed would look like an end that is down.
        .pool_max_idle_per_host(0)
        .connect_timeout(limits::CONNECT_TIMEOUT)
        .user_agent(concat!("wxedge-sidecar/", env!("CARGO_PKG_VERSION")))
        .build()
        // The error's own words may have an address in them that is a secret.
        .map_err(|error| io::Error::other(error.without_url()))
}

/// The body of an answer, up to `most` bytes; nothing when it is longer or breaks off.
pub async fn body(mut response: Response, most: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > most {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}
