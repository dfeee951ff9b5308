//! Whether an answer is the `echostr` and nothing else.

use crate::observation::{Fault, FaultKind};
use url::Url;

/// What came back.
pub(super) struct Answered<'a> {
    pub(super) status: u16,
    pub(super) location: Option<&'a str>,
    pub(super) body: &'a [u8],
    /// What had to come back.
    pub(super) echostr: &'a str,
}

const BOM: &str = "\u{feff}";

/// What is wrong with the answer, if anything is.
pub(super) fn judge(answer: &Answered<'_>) -> Option<Fault> {
    match answer.status {
        200 => judge_body(answer),
        status @ 300..=399 => {
            let detail = format!("status {status}{}", answer.location.map_or_else(String::new, to));
            Some(Fault::new(FaultKind::Redirect, detail))
        }
        // That is all an edge says to a wrong signature; who says more is somebody before it.
        403 if answer.body.is_empty() => {
            Some(Fault::new(FaultKind::SignatureRefused, "status 403 without a word"))
        }
        status => Some(Fault::new(FaultKind::AnswerStatus, format!("status {status}"))),
    }
}

/// Where a redirect leads, without its query.
fn to(location: &str) -> String {
    match Url::parse(location) {
        Ok(mut url) => {
            url.set_query(None);
            url.set_fragment(None);
            // A user and a password may stand in a URL as well.
            let authority = url.host_str().unwrap_or_default();
            let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
            format!(" to {}://{authority}{port}{}", url.scheme(), url.path())
        }
        Err(_) => format!(" to {}", location.split(['?', '#']).next().unwrap_or_default()),
    }
}

fn judge_body(answer: &Answered<'_>) -> Option<Fault> {
    if answer.body == answer.echostr.as_bytes() {
        return None;
    }
    let text = String::from_utf8_lossy(answer.body);
    Some(
        dressed(&text, answer.echostr)
            .unwrap_or_else(|| Fault::new(FaultKind::EchoWrong, what_it_is(&text, answer.echostr))),
    )
}

/// The `echostr` with something around it that WeChat does not take.
fn dressed(text: &str, echostr: &str) -> Option<Fault> {
    let mut around = Vec::new();
    let mut rest = text;
    if let Some(bare) = rest.strip_prefix(BOM) {
        around.push("after a byte order mark");
        rest = bare;
    }
    let bare = rest.trim();
    if bare.len() < rest.len() {
        around.push(match rest.ends_with('\n') {
            true => "with a line break",
            false => "with blanks",
        });
    }
    let unquoted =
        ['"', '\''].iter().find_map(|quote| bare.strip_prefix(*quote)?.strip_suffix(*quote));
    if unquoted == Some(echostr) {
        around.insert(0, "in quotes");
    } else if bare != echostr {
        return None;
    }
    Some(Fault::new(FaultKind::EchoQuoted, format!("the echostr {}", around.join(", "))))
}

fn what_it_is(text: &str, echostr: &str) -> String {
    let start = text.trim_start_matches(BOM).trim_start().to_ascii_lowercase();
    if text.is_empty() {
        "an empty answer".to_owned()
    } else if start.starts_with("<!doctype html") || start.starts_with("<html") {
        "an HTML page".to_owned()
    } else if text.contains(echostr) {
        "the echostr amid something else".to_owned()
    } else {
        format!("something else, {} bytes", text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, body: &str) -> (FaultKind, String) {
        let location = Some("https://user:word@www.example.com/wechat?signature=1#x");
        let answer = Answered { status, location, body: body.as_bytes(), echostr: "12345" };
        judge(&answer).map(|fault| (fault.kind, fault.detail)).unwrap()
    }

    #[test]
    fn the_echostr_is_right() {
        let answer = Answered { status: 200, location: None, body: b"12345", echostr: "12345" };
        assert_eq!(judge(&answer), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        use FaultKind::*;
        let cases = [
            (200, "\"12345\"", EchoQuoted, "the echostr in quotes"),
            (200, "'12345'", EchoQuoted, "the echostr in quotes"),
            (200, "\"12345\"\n", EchoQuoted, "the echostr in quotes, with a line break"),
            (200, "12345\r\n", EchoQuoted, "the echostr with a line break"),
            (200, " 12345", EchoQuoted, "the echostr with blanks"),
            (200, "\u{feff}12345", EchoQuoted, "the echostr after a byte order mark"),
            (200, "", EchoWrong, "an empty answer"),
            (200, "\n<!DOCTYPE html><p>12345", EchoWrong, "an HTML page"),
            (200, "12345 ok", EchoWrong, "the echostr amid something else"),
            (200, "success", EchoWrong, "something else, 7 bytes"),
            (403, "", SignatureRefused, "status 403 without a word"),
            (403, "<h1>Forbidden</h1>", AnswerStatus, "status 403"),
            (502, "", AnswerStatus, "status 502"),
            (204, "", AnswerStatus, "status 204"),
            (301, "", Redirect, "status 301 to https://www.example.com/wechat"),
        ];
        for (status, body, kind, detail) in cases {
            assert_eq!(verdict(status, body), (kind, detail.to_owned()), "{status} {body:?}");
        }
    }

    #[test]
    fn a_redirect_within_the_host_is_shown_without_its_query() {
        assert_eq!(to("/login?signature=1"), " to /login");
    }
}
