//! Requests of web pages: an operator's or developer's browser must not be made to reach a listener that is not for the
//! world, by another site's script (`Origin`, `Sec-Fetch-Site`) or by a name that was made to point here (`Host`).

use http::{HeaderMap, header};
use pingora::protocols::http::ServerSession;
use std::net::IpAddr;

/// Why a request is another site's doing; nothing when it is not. `loopback` is whether the listener is bound to
/// loopback.
///
/// There only `localhost` and IP addresses are served, which no page can make point elsewhere, with or without a key:
/// it is where a key may be missing, and where a browser is near. Off loopback every request needs a key, which no page
/// has, and any `Host` is served: the edge does not know the names of its machine.
pub fn foreign(session: &ServerSession, loopback: bool) -> Option<&'static str> {
    judge(&session.req_header().headers, loopback)
}

fn judge(headers: &HeaderMap, loopback: bool) -> Option<&'static str> {
    let host = headers.get(header::HOST).map_or(&[][..], |host| host.as_bytes());
    let of_this_host = |origin: &[u8]| {
        let authority = [&b"http://"[..], b"https://"].iter().find_map(|s| origin.strip_prefix(*s));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    };
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let mut sites = headers.get_all("sec-fetch-site").iter();
    if !origins.all(|origin| of_this_host(origin.as_bytes()))
        || sites.any(|site| site.as_bytes() == b"cross-site")
    {
        return Some("cross-site requests are refused");
    }
    (loopback && !is_local(host)).then_some("this host name is not served here")
}

/// Whether a `Host` is an address or `localhost`.
fn is_local(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost")
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    /// What is said on loopback, and off it.
    fn judged(headers: &[(&'static str, &[u8])]) -> [Option<&'static str>; 2] {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        [judge(&map, true), judge(&map, false)]
    }

    #[test]
    fn on_loopback_only_localhost_and_addresses_are_served() {
        for host in ["127.0.0.1", "127.0.0.1:8082", "localhost:8082", "LOCALHOST", "[::1]:8082"] {
            assert_eq!(judged(&[("host", host.as_bytes())]), [None, None], "{host}");
        }
        for host in [
            &b"evil.example"[..],
            b"localhost.evil.example",
            b"127.0.0.1.evil.example:8082",
            b"localhost:evil",
            b"wxedge",
            b"\xff",
            b"",
        ] {
            let [loopback, elsewhere] = judged(&[("host", host)]);
            assert_eq!(loopback, Some("this host name is not served here"), "{host:?}");
            assert_eq!(elsewhere, None, "{host:?}");
        }
        assert!(judged(&[])[0].is_some());
    }

    #[test]
    fn another_site_is_refused_wherever_the_listener_is() {
        let host = ("host", &b"10.0.0.1:8082"[..]);
        for origin in ["http://10.0.0.1:8082", "https://10.0.0.1:8082"] {
            assert_eq!(judged(&[host, ("origin", origin.as_bytes())]), [None, None], "{origin}");
        }
        for origin in [
            &b"http://evil.example"[..],
            b"http://10.0.0.1",
            b"http://10.0.0.1:8082.evil.example",
            b"10.0.0.1:8082",
            b"null",
            b"\xff",
            b"",
        ] {
            let refused = [Some("cross-site requests are refused"); 2];
            assert_eq!(judged(&[host, ("origin", origin)]), refused, "{origin:?}");
            let twice = [host, ("origin", b"http://10.0.0.1:8082"), ("origin", origin)];
            assert_eq!(judged(&twice), refused, "{origin:?}");
        }
        for (site, allowed) in
            [("cross-site", false), ("same-origin", true), ("same-site", true), ("none", true)]
        {
            let found = judged(&[host, ("sec-fetch-site", site.as_bytes())]);
            assert_eq!(found.map(|reason| reason.is_none()), [allowed; 2], "{site}");
        }
    }
}
