//! Whether a page may be signed for the JS-SDK: only those of the account's own hosts.
//!
//! A signature lets the page at that address act as the account inside of WeChat. So the host is
//! read by two readers, a strict one of our own and the `url` crate's, which reads like a browser;
//! they must agree.

use url::{Host, Url};
use wxedge_wechat::api::jssdk::without_fragment;

/// Why a page is not signed. Holds nothing of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not an address as a browser shows it.
    #[error(
        "url: must be the address of the page as the browser has it in location.href: http or https, a host in lower case (punycode if need be), no user, no backslash, no blank"
    )]
    Malformed,
    /// Not in `jssdk_hosts`.
    #[error("url: its host is not in jssdk_hosts of this account")]
    Host,
}

/// The address to sign: `url` without its fragment, if it is a page of one of `hosts` (lower case, as the
/// configuration has them). A port may stand there; it does not count.
///
/// # Errors
/// [`Refused`]; when in doubt.
pub fn page<'u>(url: &'u str, hosts: &[String]) -> Result<&'u str, Refused> {
    let page = without_fragment(url);
    let host = host(page).ok_or(Refused::Malformed)?;
    let parsed = Url::parse(page).map_err(|_| Refused::Malformed)?;
    let same = match parsed.host() {
        Some(Host::Domain(domain)) => domain == host,
        Some(Host::Ipv4(ip)) => ip.to_string() == host,
        Some(Host::Ipv6(_)) | None => false,
    };
    if !same {
        return Err(Refused::Malformed);
    }
    if hosts.iter().any(|allowed| allowed == host) { Ok(page) } else { Err(Refused::Host) }
}

/// The host, read strictly: anything a browser would first have to repair is none.
fn host(page: &str) -> Option<&str> {
    if page.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return None;
    }
    let rest = page.strip_prefix("https://").or_else(|| page.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?']).next()?;
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let port_fits = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0)
    });
    (!host.is_empty() && host.bytes().all(plain) && port_fits).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Vec<String> {
        ["good.example", "xn--fiqs8s.example", "10.0.0.1"].map(str::to_owned).to_vec()
    }

    #[test]
    fn pages_of_the_accounts_hosts_are_signed() {
        for (url, signed) in [
            ("https://good.example", "https://good.example"),
            ("http://good.example/", "http://good.example/"),
            ("https://good.example/a?b=1&c=@d", "https://good.example/a?b=1&c=@d"),
            (
                "https://good.example?b=https://evil.example/",
                "https://good.example?b=https://evil.example/",
            ),
            ("https://good.example/#/route?x=1", "https://good.example/"),
            ("https://good.example#@evil.example/", "https://good.example"),
            ("https://good.example:8443/a", "https://good.example:8443/a"),
            ("https://good.example/%E4%BD%A0", "https://good.example/%E4%BD%A0"),
            ("https://good.example/你", "https://good.example/你"),
            ("https://xn--fiqs8s.example/", "https://xn--fiqs8s.example/"),
            ("http://10.0.0.1/", "http://10.0.0.1/"),
        ] {
            assert_eq!(page(url, &hosts()), Ok(signed), "{url}");
        }
    }

    #[test]
    fn other_hosts_are_refused() {
        for url in [
            "https://evil.example/",
            "https://evil.example/good.example",
            "https://evil.example?good.example",
            "https://evil.example#good.example",
            "https://good.example.evil.example/",
            "https://sub.good.example/",
            "https://ggood.example/",
            "https://good.example./",
            "https://good-example/",
            "https://evil.example:443/",
        ] {
            assert_eq!(page(url, &hosts()), Err(Refused::Host), "{url}");
        }
        assert_eq!(page("https://good.example/", &[]), Err(Refused::Host));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for url in [
            "",
            "good.example",
            "//good.example/",
            "/good.example",
            "https:good.example",
            "https:/good.example",
            "https:///good.example",
            "https://",
            "https://?good.example",
            "ftp://good.example/",
            "javascript://good.example/%0aalert(1)",
            "HTTPS://good.example/",
            "https://Good.example/",
            "https://good.example@evil.example/",
            "https://good.example:80@evil.example/",
            "https://user:pass@good.example/",
            "https://@good.example/",
            "https://evil.example\\@good.example/",
            "https://evil.example\\.good.example/",
            "https:\\\\good.example/",
            "https://good.example\\evil",
            "https://good.example%2eevil.example/",
            "https://evil.example%2f@good.example/",
            "https://good%2eexample/",
            "https://ｇｏｏｄ.example/",
            "https://good。example/",
            "https://中国.example/",
            "https://good\u{ad}.example/",
            "https://good.example:/",
            "https://good.example:0/",
            "https://good.example:99999/",
            "https://good.example:+80/",
            "https://good.example:80:80/",
            "https://good.example:80.evil.example/",
            "https://[::1]/",
            "https://[good.example]/",
            "https://167772161/",
            "https://10.1/",
            "https://010.0.0.1/",
            "https://good.example,evil.example/",
            "https://good.example;evil.example/",
            " https://good.example/",
            "https://good.example /",
            "https://good.example/a b",
            "https://good.example/\r\nx",
            "https://good\t.example/",
            "https://good.example\0/",
            "https://\u{feff}good.example/",
            "https://xn--/",
        ] {
            assert_eq!(page(url, &hosts()), Err(Refused::Malformed), "{url:?}");
        }
    }
}
