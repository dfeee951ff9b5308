//! What a single text can be: an address, a network, a URL, a path. Each says in a fixed sentence what it should have been.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use url::{Host, Url};

/// Any text.
pub(super) fn any(text: &str) -> Result<String, &'static str> {
    Ok(text.to_owned())
}

/// An IP address and a port. Names are not resolved: which address a listener has must not depend on DNS.
pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8082 or [::1]:8082")
}

/// A network, or a single address.
pub(super) fn cidr(text: &str) -> Result<IpNet, &'static str> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or_else(|_| address())
        .map_err(|_| "must be a network such as 10.0.0.0/8, or an IP address")
}

/// A file or folder, relative to the working directory.
pub(super) fn path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() || text.contains('\0') {
        return Err("must be a path");
    }
    Ok(PathBuf::from(text))
}

/// The file of a Unix socket, whose name the kernel keeps in 108 bytes with a zero at the end (unix(7)).
pub(super) fn socket_path(text: &str) -> Result<PathBuf, &'static str> {
    if text.len() > 107 {
        return Err("must be at most 107 bytes long, as every path of a Unix socket");
    }
    path(text)
}

/// An http or https URL with a host.
pub(super) fn http_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL such as http://127.0.0.1:3000/wechat")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with http:// or https://");
    }
    if url.fragment().is_some() {
        return Err("must not have a #fragment; servers never see it");
    }
    Ok(url)
}

/// An HTTP proxy. What it is asked goes out in the clear, so its own address is http.
pub(super) fn http_proxy(text: &str) -> Result<Url, &'static str> {
    let url = http_url(text)?;
    if url.scheme() == "http" {
        return Ok(url);
    }
    Err(
        "must begin with http://: the edge asks it by CONNECT without TLS; what goes through is TLS to WeChat",
    )
}

/// Scheme and host of a server: https, or http on loopback, where nobody can listen in.
pub(super) fn server_base(text: &str) -> Result<Url, &'static str> {
    let url = http_url(text)?;
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "http" && !loopback {
        return Err(
            "must be https://; http:// is for loopback only, because access tokens travel over it",
        );
    }
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !bare {
        return Err(
            "must be a scheme and a host without path, query or user, such as https://api.weixin.qq.com",
        );
    }
    Ok(url)
}

/// A key that has to fit in an `Authorization: Bearer` header.
pub(super) fn bearer(text: &str) -> Result<(), &'static str> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err("must be visible ASCII characters without blanks, because it travels in a header")
}

/// A host name without scheme or port.
pub(super) fn host_name(text: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    if text.is_empty() || text.len() > 253 || !text.bytes().all(plain) {
        return Err("must be a host name without scheme or port, such as www.example.com");
    }
    Ok(text.to_ascii_lowercase())
}

/// The name of an account or client: it stands in URLs, metrics and environment variables.
pub(super) fn name(text: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) || text.contains("__") {
        return Err("is not a name: use a to z, 0 to 9 and single _, at most 64 characters");
    }
    Ok(())
}
