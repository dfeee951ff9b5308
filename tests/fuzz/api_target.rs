//! Targets of API calls: whatever an app asks for, WeChat gets the path as sent and one credential, the edge's.

use bolero::check;
use wxedge_wechat::api::query::{Inject, value};
use wxedge_wechat::api::route::{ApiPath, Credential, Route};
use wxedge_wechat::api::target::Target;

const PARTS: [&str; 64] = [
    "/",
    "/",
    "/",
    "/cgi-bin",
    "/user",
    "/info",
    "/sns",
    "/userinfo",
    "/jscode2session",
    "/clear_quota",
    "/token",
    "/Component",
    "%63",
    "%2f",
    "%2e",
    "..",
    ".",
    "\\",
    ";",
    "%",
    "?",
    "?",
    "?",
    "&",
    "&",
    "&",
    "&",
    "=",
    "=",
    "=",
    "access_token",
    "access_token",
    "component_access_token",
    "secret",
    "appid",
    "access",
    "token",
    "_",
    "%5f",
    "%5F",
    "+",
    "%20",
    "%00",
    "[",
    "]",
    "[]",
    "%5b",
    "%25",
    "%2561",
    "61",
    "SECRET",
    "%73ecret",
    "s",
    "ecret",
    "openid=o1",
    "é",
    "%C5%BF",
    "%c3",
    "#",
    " ",
    "\0",
    "x",
    "1",
    "-",
];

/// Percent-decoded once and in lower case, `+` as a blank.
fn decoded(name: &str) -> String {
    let form = name.replace('+', " ");
    let mut out = Vec::new();
    let mut rest = form.as_bytes();
    while let [first, behind @ ..] = rest {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *first == b'%').map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) => {
                out.push(byte);
                rest = &behind[2..];
            }
            _ => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).to_lowercase()
}

/// How often a server finds `name` in a query.
fn count(query: &str, name: &str) -> usize {
    let is = |parameter: &&str| {
        let sent = decoded(parameter.split('=').next().unwrap_or_default());
        let sent = sent.split(['\0', '[']).next().unwrap_or_default();
        sent.trim().replace([' ', '.'], "_") == name
    };
    query.split(['&', ';']).filter(is).count()
}

#[test]
fn api_target() {
    check!().for_each(|input| {
        let sent: String = match input.split_first() {
            // Any text at all.
            Some((0..=15, rest)) => String::from_utf8_lossy(rest).into_owned(),
            Some((_, rest)) => rest.iter().map(|byte| PARTS[usize::from(byte % 64)]).collect(),
            None => return,
        };
        let sent = format!("/main{sent}");
        let Ok(target) = Target::parse(&sent) else { return };
        assert!(!target.decoded_path().contains("//") && !target.decoded_path().contains(".."));
        let query = target.query().unwrap_or_default();
        for name in ["access_token", "appid", "secret", "type", "url"] {
            if let Some(value) = value(query, name) {
                assert!(value.len() <= query.len());
            }
        }
        let target = target.without_first_segment();
        let path = ApiPath::new(target.decoded_path());
        assert!(path.label() == "other" || path.label() == path.as_str());
        let Route::Forward(credential) = path.route() else { return };
        let (inject, names): (_, &[(&str, usize)]) = match credential {
            Credential::AccessToken => {
                (Inject::AccessToken("T"), &[("access_token", 1), ("secret", 0)])
            }
            Credential::AppidAndSecret => (
                Inject::AppidAndSecret { appid: "A", secret: "S" },
                &[("appid", 1), ("secret", 1), ("access_token", 0)],
            ),
            Credential::Appid => {
                (Inject::Appid("A"), &[("appid", 1), ("secret", 0), ("access_token", 0)])
            }
            Credential::AsSent => (Inject::AsSent, &[]),
        };
        let rewritten = inject.rewrite(&target);
        let again = Target::parse(&rewritten);
        // The credential may make it longer than what a caller may send.
        assert!(again.is_ok() || rewritten.len() > sent.len(), "{sent:?} became {rewritten:?}");
        let (path, query) = rewritten.split_once('?').unwrap_or((&rewritten, ""));
        assert_eq!(path, target.path());
        for (name, expected) in names {
            assert_eq!(count(query, name), *expected, "{name} in {rewritten:?}, from {sent:?}");
        }
        if !names.is_empty() {
            assert_eq!(count(query, "component_access_token"), 0, "{rewritten:?}");
        }
    });
}
