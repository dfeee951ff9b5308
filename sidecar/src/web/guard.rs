//! Who may ask: on loopback everybody who comes straight here, elsewhere who has the key. Never a page of another site.

use crate::config::Secret;
use axum::http::{HeaderMap, StatusCode, header};
use std::net::IpAddr;

/// What is asked of a request.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Whether the listener is bound to loopback.
    pub loopback: bool,
    /// The key, if there is one.
    pub key: Option<Secret>,
}

impl Guard {
    /// Why a request is refused, if it is. Without `secret` it is for what everybody may see: the page itself, health.
    pub fn refusal(&self, headers: &HeaderMap, secret: bool) -> Option<(StatusCode, &'static str)> {
        if let Some(why) = foreign(headers, self.loopback) {
            return Some((StatusCode::FORBIDDEN, why));
        }
        // Off loopback there is no way in without a key, also when a reload took it away.
        if !secret || self.key.is_none() && self.loopback {
            return None;
        }
        let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let given = given.and_then(|value| value.strip_prefix(b"Bearer "));
        let right = self.key.as_ref().zip(given).is_some_and(|(key, given)| key.matches(given));
        (!right).then_some((StatusCode::UNAUTHORIZED, "authorization: Bearer <key> is needed"))
    }
}

/// Why a request is a foreign page's, if it is. A web page can have a name of its own point to 127.0.0.1, and can send
/// requests to any address; browsers say so in `Host`, `Origin` and `Sec-Fetch-Site`.
fn foreign(headers: &HeaderMap, loopback: bool) -> Option<&'static str> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    if loopback && !is_own(host) {
        return Some("host: only localhost and IP addresses are answered to");
    }
    if let Some(origin) = text(header::ORIGIN) {
        let own =
            ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(host));
        if !own {
            return Some("origin: no page of another site may ask");
        }
    }
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    let navigates = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    if matches!(site, Some(b"cross-site" | b"same-site")) && !navigates {
        return Some("sec-fetch-site: no page of another site may ask");
    }
    None
}

/// Whether a `Host` is `localhost` or an IP address, with or without a port.
fn is_own(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') =>
        {
            name
        }
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn refused(guard: &Guard, pairs: &[(&'static str, &'static str)], secret: bool) -> Option<u16> {
        guard.refusal(&headers(pairs), secret).map(|(status, _)| status.as_u16())
    }

    #[test]
    fn on_loopback_other_names_and_other_sites_are_refused() {
        let guard = Guard { loopback: true, key: None };
        for host in
            ["localhost", "localhost:8090", "127.0.0.1:8090", "[::1]:8090", "[::1]", "10.0.0.1"]
        {
            assert_eq!(refused(&guard, &[("host", host)], true), None, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8090",
            "",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
        ] {
            assert_eq!(refused(&guard, &[("host", host)], false), Some(403), "{host}");
        }
        let at = ("host", "localhost:8090");
        assert_eq!(refused(&guard, &[at, ("origin", "http://localhost:8090")], true), None);
        for origin in ["null", "http://evil.example", "http://localhost:3000", "localhost:8090"] {
            assert_eq!(refused(&guard, &[at, ("origin", origin)], true), Some(403), "{origin}");
        }
        assert_eq!(refused(&guard, &[at, ("sec-fetch-site", "cross-site")], true), Some(403));
        let link = [at, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(refused(&guard, &link, true), None, "a link from elsewhere");
        assert_eq!(refused(&guard, &[at, ("sec-fetch-site", "same-origin")], true), None);
    }

    #[test]
    fn with_a_key_only_who_has_it_gets_more_than_the_page() {
        let guard = Guard { loopback: false, key: Some(Secret::new("right")) };
        let at = ("host", "watch.example");
        assert_eq!(refused(&guard, &[at], true), Some(401));
        assert_eq!(refused(&guard, &[at, ("authorization", "Bearer wrong")], true), Some(401));
        assert_eq!(refused(&guard, &[at, ("authorization", "right")], true), Some(401));
        assert_eq!(refused(&guard, &[at, ("authorization", "Bearer right")], true), None);
        assert_eq!(refused(&guard, &[at], false), None);
    }

    #[test]
    fn off_loopback_nobody_gets_in_when_the_key_is_gone() {
        let guard = Guard { loopback: false, key: None };
        let at = ("host", "watch.example");
        assert_eq!(refused(&guard, &[at], true), Some(401));
        assert_eq!(refused(&guard, &[at, ("authorization", "Bearer ")], true), Some(401));
        assert_eq!(refused(&guard, &[at], false), None);
    }
}
