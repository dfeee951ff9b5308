//! TLS: whether the chain is believed, and how long the certificate is valid.

mod certificate;
mod trust;

pub use trust::Trust;

use super::tcp::Connection;
use super::{Found, finding};
use crate::clock::unix_now_s;
use crate::limits;
use crate::observation::{Facts, Fault, FaultKind, Finding, Probe};
use certificate::Certificate;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error};
use std::io;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use trust::Shown;

/// A TLS connection on a connection that was begun at [`Connection::begun`].
pub async fn handshake(
    trust: &Trust,
    host_port: &str,
    host: &str,
    connection: Connection,
) -> (Finding, Option<TlsStream<TcpStream>>) {
    let start = Instant::now();
    let left = limits::ANSWER_TIMEOUT.saturating_sub(connection.begun.elapsed());
    let (result, shown) = shake(trust, host, connection.stream, left).await;
    let certificate = shown.leaf().and_then(Certificate::read);
    let not_after = certificate.as_ref().map(|certificate| certificate.not_after);
    let (fault, stream) = match result {
        Ok(stream) => (not_after.and_then(ends_soon), Some(stream)),
        Err(error) => (Some(fault_of(&error, host, certificate.as_ref(), &shown)), None),
    };
    let facts = Facts { not_after, ..Facts::default() };
    (finding(Probe::Tls, host_port.to_owned(), start.elapsed(), Found { fault, facts }), stream)
}

async fn shake(
    trust: &Trust,
    host: &str,
    stream: TcpStream,
    left: Duration,
) -> (io::Result<TlsStream<TcpStream>>, Shown) {
    let shown = Shown::default();
    let Ok(name) = ServerName::try_from(host.to_owned()) else {
        return (Err(io::Error::other("no name for a certificate")), shown);
    };
    let result = match trust.connector(&shown) {
        Ok(connector) => tokio::time::timeout(left, connector.connect(name, stream))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        Err(error) => Err(io::Error::other(error)),
    };
    (result, shown)
}

fn ends_soon(not_after: i64) -> Option<Fault> {
    let left = Duration::from_secs(u64::try_from(not_after - unix_now_s()).unwrap_or_default());
    (left < limits::CERTIFICATE_LEFT).then(|| {
        let days = left.as_secs() / (24 * 3600);
        Fault::new(FaultKind::TlsExpires, format!("the certificate ends in {days} days"))
    })
}

fn fault_of(
    error: &io::Error,
    host: &str,
    certificate: Option<&Certificate>,
    shown: &Shown,
) -> Fault {
    if error.kind() == io::ErrorKind::TimedOut {
        return Fault::new(FaultKind::AnswerTimeout, "TLS is not set up within 5 s");
    }
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return Fault::new(FaultKind::ConnectRefused, format!("TLS breaks off: {error}"));
    };
    match error {
        Error::InvalidCertificate(reason) => refused(reason, host, certificate, shown),
        Error::InvalidMessage(_) => {
            Fault::new(FaultKind::TlsInvalid, "what answers there does not speak TLS")
        }
        other => Fault::new(FaultKind::TlsInvalid, other.to_string()),
    }
}

/// Why the certificate is not believed.
fn refused(
    reason: &CertificateError,
    host: &str,
    certificate: Option<&Certificate>,
    shown: &Shown,
) -> Fault {
    let detail = match (reason, certificate) {
        (CertificateError::Expired | CertificateError::ExpiredContext { .. }, certificate) => {
            let leaf = certificate.is_some_and(|leaf| leaf.not_after < unix_now_s());
            let whose = if leaf { "the certificate" } else { "a certificate of the chain" };
            return Fault::new(FaultKind::TlsExpired, format!("{whose} is over"));
        }
        (
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            Some(leaf),
        ) => format!("the certificate is for {}, not for {host}", leaf.names),
        (CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }, _) => {
            "the certificate is not valid yet".to_owned()
        }
        (_, Some(leaf)) if leaf.self_signed => "the certificate is self-signed".to_owned(),
        (CertificateError::UnknownIssuer, _) if shown.has_no_authorities() => {
            "no certificate authorities are known here".to_owned()
        }
        (CertificateError::UnknownIssuer, Some(leaf)) if shown.intermediates() == 0 => {
            format!(
                "the chain is incomplete: only the certificate itself comes, not that of {}",
                leaf.issuer
            )
        }
        (CertificateError::UnknownIssuer, Some(leaf)) => {
            format!("the chain leads to nobody known: issued by {}", leaf.issuer)
        }
        (other, _) => other.to_string(),
    };
    Fault::new(FaultKind::TlsInvalid, detail)
}
