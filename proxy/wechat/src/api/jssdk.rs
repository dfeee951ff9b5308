//! The signature of a page that uses the JS-SDK.
//!
//! Source: <https://developers.weixin.qq.com/doc/service/guide/h5/jssdk.html>, appendix 1.

use crate::signature::{Signature, digest};

/// Signs a page: `sha1` over `jsapi_ticket`, `noncestr`, `timestamp` (seconds since 1970) and `url`.
/// The page's address is taken as it is, without `#` and what follows; see
/// [`without_fragment`].
#[must_use]
pub fn signature(ticket: &str, noncestr: &str, timestamp: &str, url: &str) -> Signature {
    let url = without_fragment(url);
    digest(&[
        "jsapi_ticket=",
        ticket,
        "&noncestr=",
        noncestr,
        "&timestamp=",
        timestamp,
        "&url=",
        url,
    ])
}

/// The address of a page without its fragment.
#[must_use]
pub fn without_fragment(url: &str) -> &str {
    crate::cut(url, b'#').map_or(url, |(url, _)| url)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn published_and_computed_vectors() {
        let file: Value =
            serde_json::from_str(include_str!("../../../../tests/vectors.json")).unwrap();
        let vectors = file["jssdk"].as_array().unwrap();
        assert!(vectors.len() >= 2);
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap();
            let (ticket, nonce, timestamp) = (text("ticket"), text("noncestr"), text("timestamp"));
            for url in [text("url").to_owned(), format!("{}#/a#b", text("url"))] {
                let signature = signature(ticket, nonce, timestamp, &url).to_string();
                assert_eq!(signature, text("sig"), "{url}");
            }
        }
    }
}
