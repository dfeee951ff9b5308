//! What WeChat makes of an answer, in words for someone who sees one for the first time.

use std::fmt;

use reqwest::Method;
use wxedge_wechat::message::Message;

use super::message::{Outgoing, Sender};
use crate::config::Mode;

/// What came back.
pub(super) enum Answer {
    /// A complete answer.
    Http {
        /// The status.
        status: u16,
        /// The body.
        body: Vec<u8>,
    },
    /// None, or half of one.
    None {
        /// What happened.
        why: String,
    },
}

/// What it means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    good: bool,
    /// The answer, decrypted, when there is something to see in it.
    text: Option<String>,
    words: String,
}

/// What the user sees in the chat when an answer is missing or wrong.
const FAILURE_SHOWN: &str = "该公众号提供的服务出现故障，请稍后再试";

impl Verdict {
    /// Whether WeChat would be content.
    pub(super) fn is_good(&self) -> bool {
        self.good
    }

    fn good(text: Option<String>, words: impl Into<String>) -> Verdict {
        Verdict { good: true, text, words: words.into() }
    }

    fn bad(text: Option<String>, words: impl Into<String>) -> Verdict {
        Verdict { good: false, text, words: words.into() }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            write!(f, "\n{}\n\n", text.trim_end())?;
        }
        let word = if self.good { "good" } else { "bad" };
        write!(f, "{word}: {}", self.words)
    }
}

/// What WeChat makes of `answer`.
pub(super) fn judge(answer: &Answer, outgoing: &Outgoing, sender: &Sender<'_>) -> Verdict {
    let body = match answer {
        Answer::None { why } => {
            let then = format!(
                "WeChat sends the message again, three times in all; then the user sees {FAILURE_SHOWN}"
            );
            return Verdict::bad(None, format!("{why}. {then}"));
        }
        Answer::Http { status: 200, body } => body,
        Answer::Http { status, body } => return Verdict::bad(visible(body), refused(*status)),
    };
    if outgoing.method == Method::GET {
        return if *body == outgoing.acknowledgement {
            Verdict::good(None, "the echostr came back, so WeChat's console accepts the URL")
        } else {
            Verdict::bad(
                visible(body),
                "the echostr did not come back alone, so WeChat's console refuses the URL",
            )
        };
    }
    if body.is_empty() || body == b"success" {
        return Verdict::good(
            None,
            "success. WeChat is content and the user sees nothing; whether the app took the message or the edge covered for it is the `outcome` in the edge's log",
        );
    }
    let wants_json = outgoing.acknowledgement.first() == Some(&b'{');
    match decrypted(body, sender) {
        Ok(text) if wants_json && text.first() == Some(&b'{') => {
            Verdict::good(visible(&text), "JSON, as this kind of event wants it")
        }
        Ok(text) => reply(&text, outgoing),
        Err(error) => Verdict::bad(
            visible(body),
            format!(
                "this is no encrypted reply ({error}), and mode safe wants one. The user sees {FAILURE_SHOWN}"
            ),
        ),
    }
}

/// The answer in plaintext. Only mode safe insists on encryption, and JSON acknowledgements are never encrypted.
fn decrypted(body: &[u8], sender: &Sender<'_>) -> Result<Vec<u8>, String> {
    let plain = || Ok(body.to_vec());
    match (sender.mode(), sender.push().read_reply(body)) {
        (Mode::Plain, _) => plain(),
        (_, Ok(text)) => Ok(text),
        (Mode::Compatible, Err(_)) => plain(),
        (Mode::Safe, Err(_)) if body.starts_with(b"{\"ErrCode\"") => plain(),
        (Mode::Safe, Err(error)) => Err(error.to_string()),
    }
}

fn reply(text: &[u8], outgoing: &Outgoing) -> Verdict {
    let bad =
        |why: &str| Verdict::bad(visible(text), format!("{why}. The user sees {FAILURE_SHOWN}"));
    let Ok(message) = Message::parse(text) else {
        return bad("this is neither success nor a reply");
    };
    let Some(msg_type) = message.get("MsgType") else {
        return bad("this is no reply: it has no MsgType");
    };
    if message.to_user() != Some(outgoing.openid.as_str()) {
        return bad("this reply is for another user than the one who wrote");
    }
    let words = match message.get("Content") {
        Some(content) if msg_type == "text" => format!("a reply. The user sees: {content}"),
        _ => format!("a reply. The user sees: {msg_type}"),
    };
    Verdict::good(visible(text), words)
}

fn refused(status: u16) -> String {
    let why = match status {
        400 => "the request or the message in it is malformed",
        403 => {
            "refused. Token, EncodingAESKey, appid and mode in --config must be those of the running edge, the clocks must \
             agree, and with source_ip = \"enforce\" this address must be listed"
        }
        404 => "no account has this path",
        405 => "this path takes no callbacks",
        408 => "the request took too long to arrive",
        413 => "the message is larger than max_body_bytes",
        503 => "the edge could neither deliver nor keep the message",
        _ => "this is no answer of wxedge's; look at what stands between",
    };
    format!("status {status}: {why}. To WeChat every status but 200 is a failure")
}

fn visible(body: &[u8]) -> Option<String> {
    (!body.is_empty()).then(|| String::from_utf8_lossy(body).into_owned())
}
