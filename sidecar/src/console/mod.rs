//! The console: a page for operators. Its files are in the binary; it needs no other program, no build and no internet.
//!
//! It asks `GET /v1/console` every few seconds, follows `GET /v1/tail`, and goes by text alone: what comes from users, apps
//! and WeChat never becomes markup. It keeps to a policy without inline scripts or styles.

use sha2::{Digest, Sha256};

/// What a browser has to keep to when it shows the console: its `content-security-policy`.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the console.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// What follows the `/`; the page itself has no name.
    pub name: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// All of it.
    pub bytes: &'static [u8],
}

impl Asset {
    /// A strong `ETag`: the same for the same bytes.
    pub fn etag(&self) -> String {
        let digest = Sha256::digest(self.bytes);
        let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("\"{hex}\"")
    }
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! asset {
    ($name:literal, $type:expr) => {
        asset!($name, $type, $name)
    };
    ($name:literal, $type:expr, $file:literal) => {
        Asset { name: $name, content_type: $type, bytes: include_bytes!($file) }
    };
}

/// All files.
pub const ASSETS: &[Asset] = &[
    asset!("", HTML, "index.html"),
    asset!("accounts.js", SCRIPT),
    asset!("alerts.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("ask.js", SCRIPT),
    asset!("chart.js", SCRIPT),
    asset!("console.css", CSS),
    asset!("console.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("format.js", SCRIPT),
    asset!("host.js", SCRIPT),
    asset!("icon.svg", SVG),
    asset!("notify.js", SCRIPT),
    asset!("outcomes.js", SCRIPT),
    asset!("overview.js", SCRIPT),
    asset!("probes.js", SCRIPT),
    asset!("spool.js", SCRIPT),
    asset!("tail.js", SCRIPT),
    asset!("traffic.js", SCRIPT),
    asset!("words.js", SCRIPT),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn texts() -> impl Iterator<Item = (&'static str, &'static str)> {
        ASSETS.iter().map(|asset| (asset.name, std::str::from_utf8(asset.bytes).unwrap()))
    }

    /// Every `from './x.js'` and `"/x"` is served.
    #[test]
    fn nothing_that_a_file_asks_for_is_missing() {
        let names: HashSet<&str> = ASSETS.iter().map(|asset| asset.name).collect();
        assert_eq!(names.len(), ASSETS.len());
        for (name, text) in texts() {
            for (before, after) in [("from './", '\''), ("src=\"/", '"'), ("href=\"/", '"')] {
                for wanted in text.split(before).skip(1).filter_map(|rest| rest.split(after).next())
                {
                    assert!(names.contains(wanted), "{name} asks for {wanted}");
                }
            }
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere_or_becomes_markup() {
        let never = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "style=\"",
            " onclick=\"",
            "<style",
            "@import",
            "url(",
            "DOMParser",
        ];
        for (name, text) in texts() {
            for word in never {
                assert!(!text.contains(word), "{name} has {word}");
            }
            let addresses = text.split("://").skip(1);
            for address in addresses {
                // The name of a namespace; nobody fetches it.
                assert!(address.starts_with("www.w3.org/2000/svg"), "{name}: {address:.40}");
            }
        }
    }

    #[test]
    fn an_etag_changes_with_the_bytes() {
        let asset = ASSETS[0];
        assert_eq!(asset.etag(), asset.etag());
        assert_ne!(asset.etag(), Asset { bytes: b"other", ..asset }.etag());
        assert!(asset.etag().starts_with('"') && asset.etag().ends_with('"'));
    }
}
