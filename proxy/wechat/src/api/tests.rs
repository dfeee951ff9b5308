//! What holds for a call as a whole: the table of tricks, and properties of any query.

use proptest::prelude::*;
use serde_json::Value;

use super::query::{Inject, credentials_removed};
use super::route::{ApiPath, Credential, Route};
use super::target::{QUERY_BYTES_MAX, Target};

/// What becomes of a call: `400`, `403`, `local`, or the target that goes to WeChat.
fn outcome(target: &str) -> String {
    let Ok(target) = Target::parse(target) else { return "400".to_owned() };
    if target.first_segment() != "main" {
        return format!("no account {}", target.first_segment());
    }
    let target = target.without_first_segment();
    let inject = match ApiPath::new(target.decoded_path()).route() {
        Route::Refused(_) => return "403".to_owned(),
        Route::Local(_) => return "local".to_owned(),
        Route::Forward(Credential::AccessToken) => Inject::AccessToken("-TOKEN-"),
        Route::Forward(Credential::AppidAndSecret) => {
            Inject::AppidAndSecret { appid: "-APPID-", secret: "-SECRET-" }
        }
        Route::Forward(Credential::Appid) => Inject::Appid("-APPID-"),
        Route::Forward(Credential::AsSent) => Inject::AsSent,
    };
    inject.rewrite(&target)
}

/// The table that the real binary is tested with, too.
#[test]
fn no_trick_of_the_table_escapes() {
    let table: Vec<Value> =
        serde_json::from_str(include_str!("../../../../tests/data/api_targets.json")).unwrap();
    assert!(table.len() >= 80, "{} vectors", table.len());
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|row| {
            let expected = match &row["expect"] {
                Value::String(text) => {
                    ["TOKEN", "APPID", "SECRET"].iter().fold(text.clone(), |text, name| {
                        text.replace(&format!("{{{name}}}"), &format!("-{name}-"))
                    })
                }
                status => status.to_string(),
            };
            let found = outcome(row["target"].as_str().unwrap());
            (found != expected).then(|| format!("{}: {found}, not {expected}", row["name"]))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How servers read the names of parameters.
mod decoders {
    /// Percent-decoding, once; what is malformed stays.
    pub(super) fn percent(name: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < name.len() {
            let hex = name.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
            match hex.filter(|_| name[at] == b'%').map(|hex| u8::from_str_radix(hex, 16)) {
                Some(Ok(byte)) if name[at + 1] != b'+' => {
                    out.push(byte);
                    at += 3;
                }
                _ => {
                    out.push(name[at]);
                    at += 1;
                }
            }
        }
        out
    }

    fn form(name: &[u8]) -> Vec<u8> {
        let blanks: Vec<u8> = name.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
        percent(&blanks)
    }

    fn trimmed(name: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(name);
        text.trim_matches(|c: char| c.is_whitespace() || c.is_control()).as_bytes().to_vec()
    }

    /// As `php_register_variable_ex` does: leading blanks go, a NUL ends the name, `[…]` is an
    /// index, a blank, `.` or single `[` is `_`.
    fn php(name: &[u8]) -> Vec<u8> {
        let name = form(name);
        let name: Vec<u8> = name.into_iter().skip_while(|b| *b == b' ').collect();
        let name = name.split(|b| *b == 0).next().unwrap_or_default();
        let open = name.iter().position(|b| *b == b'[').filter(|at| *at > 0);
        let indexed = open.filter(|at| name[*at..].contains(&b']'));
        let name = indexed.map_or(name, |at| &name[..at]);
        name.iter().map(|b| if b" .[".contains(b) { b'_' } else { *b }).collect()
    }

    /// All readings of a name, in lower case.
    pub(super) fn readings(name: &str) -> Vec<Vec<u8>> {
        let name = name.as_bytes();
        let mut all = vec![name.to_vec(), percent(name), percent(&percent(name)), form(name)];
        all.push(form(&form(name)));
        all.extend([php(name), php(&percent(name))]);
        all.extend(all.clone().iter().map(|name| trimmed(name)));
        for name in &mut all {
            name.make_ascii_lowercase();
        }
        all
    }
}

/// Whether a server could find a credential of the caller's in `query`.
fn has_credential(query: &str, with_appid: bool) -> bool {
    let names: &[&str] = &["access_token", "component_access_token", "secret", "appid"];
    let names = if with_appid { names } else { &names[..3] };
    let found = |parameter: &str| {
        let name = parameter.split('=').next().unwrap_or_default();
        let readings = decoders::readings(name);
        readings.iter().any(|reading| names.iter().any(|name| name.as_bytes() == reading))
    };
    query.split('&').any(found) || query.split(['&', ';']).any(found)
}

/// Names, their parts and whatever could stand between them.
fn query() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(vec![
            "access_token", "component_access_token", "secret", "appid", "access", "token", "openid",
            "%61ccess_token", "access%5ftoken", "SECRET", "s%65cret", "%2573ecret",
        ]),
        4 => prop::sample::select(vec!["&", ";", "="]),
        2 => prop::sample::select(vec![
            "_", "+", ".", "-", "%20", "%00", "%5B", "[", "]", "[]", "%5f", "%25", "%", "61", "%3D",
            "%26", "?", "é", "x", "1", "%C5%BF", "",
        ]),
    ];
    prop::collection::vec(part, 0..16).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_credential_of_the_callers_is_left(query in query(), with_appid: bool) {
        let rest = credentials_removed(&query, with_appid);
        prop_assert!(!has_credential(&rest, with_appid), "{query} became {rest}");
        prop_assert_eq!(credentials_removed(&rest, with_appid), rest.as_ref());
    }

    /// What is left are the caller's parameters, byte for byte, in their order; and none is missing
    /// that only has letters and digits of its own.
    #[test]
    fn all_else_stays_byte_for_byte(query in query()) {
        let rest = credentials_removed(&query, false);
        let mut sent = query.split(['&', ';']);
        for parameter in rest.split(['&', ';']).filter(|_| !rest.is_empty()) {
            prop_assert!(sent.any(|sent| sent == parameter), "{query} became {rest}");
        }
        let plain = |parameter: &&str| {
            let name = parameter.split('=').next().unwrap_or_default();
            ["", "x", "openid", "appid", "token", "access"].contains(&name) && !parameter.is_empty()
        };
        let sent: Vec<&str> = query.split(['&', ';']).filter(plain).collect();
        let left: Vec<&str> = rest.split(['&', ';']).filter(plain).collect();
        prop_assert_eq!(sent, left);
    }

    /// To a server that knows only `&`, no two parameters become one.
    #[test]
    fn a_removal_joins_nothing(query in query()) {
        let rest = credentials_removed(&query, false);
        let groups = |text: &str| text.split('&').map(str::to_owned).collect::<Vec<_>>();
        let sent = groups(&query);
        for group in groups(&rest) {
            let parameters: Vec<&str> = group.split(';').collect();
            let whole = sent.iter().any(|sent| {
                let mut sent = sent.split(';');
                parameters.iter().all(|parameter| sent.any(|sent| sent == *parameter))
            });
            prop_assert!(whole || rest.is_empty(), "{query} became {rest}");
        }
    }

    #[test]
    fn the_own_credential_is_first_and_alone(query in query(), token in "[ -~]{0,40}") {
        let sent = format!("/cgi-bin/user/info?{query}");
        let Ok(target) = Target::parse(&sent) else { return Ok(()) };
        let rewritten = Inject::AccessToken(&token).rewrite(&target);
        let own = rewritten.strip_prefix("/cgi-bin/user/info?access_token=").unwrap();
        let (own, rest) = own.split_once('&').unwrap_or((own, ""));
        prop_assert!(own.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        prop_assert_eq!(decoders::percent(own.as_bytes()), token.as_bytes());
        prop_assert_eq!(rest, credentials_removed(&query, false));
    }

    #[test]
    fn what_is_taken_goes_on_byte_for_byte(target in r"/[ -~é%]{0,20}(/[a-z.%25/;\\\\]{0,20}){0,3}(\?[ -~]{0,20})?") {
        let Ok(parsed) = Target::parse(&target) else { return Ok(()) };
        prop_assert_eq!(&Inject::AsSent.rewrite(&parsed), &target);
        let path = parsed.path();
        prop_assert_eq!(decoders::percent(path.as_bytes()), parsed.decoded_path().as_bytes());
        for text in [path, parsed.decoded_path()] {
            prop_assert!(text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic()));
            for trick in ["//", "..", "/./", "\\", ";", "?", "#"] {
                prop_assert!(!text.contains(trick), "{text}");
            }
        }
        prop_assert!(!parsed.decoded_path().contains('%'));
        prop_assert_eq!(parsed.segments().count(), path[1..].split('/').count());
        let behind = parsed.clone().without_first_segment();
        let same = path[1..].split_once('/').map_or("/".to_owned(), |(_, rest)| format!("/{rest}"));
        prop_assert_eq!(behind.path(), same);
        prop_assert_eq!(decoders::percent(behind.path().as_bytes()), behind.decoded_path().as_bytes());
    }
}

/// Queries as long as they may be: nothing is out of reach, and none takes long to look at.
#[test]
fn the_longest_queries_are_read_to_their_end() {
    let far = "a=1&".repeat(QUERY_BYTES_MAX / 4 - 5);
    assert_eq!(
        credentials_removed(&format!("{far}access_token=evil"), false),
        far[..far.len() - 1]
    );
    let far_name = format!("{}access_token=evil", "+".repeat(QUERY_BYTES_MAX - 17));
    assert_eq!(credentials_removed(&far_name, false), "");
    let deep = format!("%{}61ccess_token=evil", "25".repeat(4000));
    assert_eq!(credentials_removed(&deep, false), "");
    let nested = format!("{}{}=x", "%2".repeat(2000), "%35".repeat(1000));
    assert_eq!(credentials_removed(&nested, false), nested);
    let brackets = format!("{}access_token[]=evil", "[".repeat(8000));
    assert_eq!(credentials_removed(&brackets, false), "");
    let many = "access_token&".repeat(600);
    assert_eq!(credentials_removed(&many, false), "");
}
