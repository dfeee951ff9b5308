//! What a certificate says of itself.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What of it is told.
pub(super) struct Certificate {
    /// When it ends, in Unix seconds.
    pub(super) not_after: i64,
    /// The names it is for; at most three.
    pub(super) names: String,
    /// Who has signed it.
    pub(super) issuer: String,
    /// Whether that is itself.
    pub(super) self_signed: bool,
}

const NAMES: usize = 3;

impl Certificate {
    /// Reads a certificate, believed or not; nothing when it is none.
    pub(super) fn read(der: &[u8]) -> Option<Certificate> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let issuer = certificate.issuer();
        let common_name = issuer.iter_common_name().find_map(|name| name.as_str().ok());
        Some(Certificate {
            not_after: certificate.validity().not_after.timestamp(),
            names: names(&certificate),
            issuer: common_name.map_or_else(|| issuer.to_string(), str::to_owned),
            self_signed: issuer == certificate.subject(),
        })
    }
}

fn names(certificate: &X509Certificate<'_>) -> String {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.map_or(&[][..], |extension| &extension.value.general_names);
    let names: Vec<_> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => Some(address(bytes)),
            _ => None,
        })
        .take(NAMES)
        .collect();
    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
}

fn address(bytes: &[u8]) -> String {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    let v6 = <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    v4.or(v6).unwrap_or_default()
}
