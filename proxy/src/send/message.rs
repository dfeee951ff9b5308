//! The callback to send: a message as WeChat writes it, signed and encrypted in the account's mode.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;
use wxedge_wechat::crypto::AesKey;
use wxedge_wechat::message::Message;
use wxedge_wechat::push::{Callback, Push};

use super::Kind;
use crate::config::{Account, Mode};

/// The protocol crate wants a key also where plain mode has none; nothing is encrypted with it.
const NO_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// The account's original id, where nothing else is known.
const ORIGINAL_ID: &str = "gh_wxedge";

/// What makes one callback differ from every other.
pub(super) struct Moment {
    /// Seconds since 1970.
    timestamp: i64,
    /// Ten digits, as WeChat's.
    nonce: String,
    /// For the encryption.
    random: [u8; 16],
    /// A user nobody has met before, unless one was named.
    pub(super) openid: String,
    /// A number no message had before.
    msg_id: String,
}

impl Moment {
    /// Now.
    pub(super) fn now() -> Result<Moment, String> {
        let since =
            SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| "the clock is before 1970")?;
        Ok(Moment::of(since.as_micros(), rand::random(), rand::random()))
    }

    pub(super) fn of(micros: u128, random: [u8; 16], other: u128) -> Moment {
        Moment {
            timestamp: i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX),
            nonce: format!("{:010}", other % 10_000_000_000),
            random,
            openid: format!("o{:027x}", other >> 20),
            msg_id: format!("{micros}{:02}", other % 100),
        }
    }
}

/// WeChat's side of one account at one moment.
pub(super) struct Sender<'a> {
    account: &'a Account,
    token: &'a str,
    key: AesKey,
    moment: Moment,
}

/// What is sent, and what has to be known of it to judge the answer.
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) query: String,
    pub(super) body: Vec<u8>,
    /// For people.
    pub(super) description: String,
    /// `FromUserName`: whom a reply has to go to.
    pub(super) openid: String,
    /// The body that means "arrived": a verification's echostr, `success` or JSON for a message.
    pub(super) acknowledgement: Vec<u8>,
}

impl<'a> Sender<'a> {
    /// Signs and encrypts with what the account would be configured with in WeChat's console: the first of each.
    pub(super) fn new(account: &'a Account, moment: Moment) -> Result<Sender<'a>, String> {
        let token = account.tokens.first().map(|token| token.expose()).unwrap_or_default();
        let key = account.aes_keys.first().cloned().map_or_else(|| AesKey::parse(NO_KEY), Ok);
        Ok(Sender { account, token, key: key.map_err(|error| error.to_string())?, moment })
    }

    /// How the account's messages travel.
    pub(super) fn mode(&self) -> Mode {
        self.account.mode
    }

    /// The protocol crate's view.
    pub(super) fn push(&self) -> Push<'_> {
        Push {
            token: self.token,
            appid: &self.account.appid,
            key: &self.key,
            timestamp: self.moment.timestamp,
            nonce: &self.moment.nonce,
            random: self.moment.random,
        }
    }

    /// The GET by which WeChat's console checks a URL.
    pub(super) fn verification(&self) -> Outgoing {
        Outgoing {
            method: Method::GET,
            query: self.push().verification(&self.moment.msg_id),
            body: Vec::new(),
            description: "verification of the URL, as when it is entered in WeChat's console"
                .to_owned(),
            openid: String::new(),
            acknowledgement: self.moment.msg_id.clone().into_bytes(),
        }
    }

    /// The POST of a message, given as in WeChat's documents.
    pub(super) fn message(&self, text: &[u8]) -> Result<Outgoing, String> {
        let message = Message::parse(text)
            .map_err(|error| format!("this is no message of WeChat's: {error}"))?;
        let openid = message.from_user().unwrap_or_default();
        let (format, push) = (message.format(), self.push());
        let (mode, Callback { query, body }) = match self.account.mode {
            Mode::Plain => ("signed only, mode plain", push.plain(openid, text)),
            Mode::Compatible => {
                ("plain and encrypted, mode compatible", push.compatible(format, openid, text))
            }
            Mode::Safe => {
                let to_user = message.to_user().unwrap_or(ORIGINAL_ID);
                ("signed and encrypted, mode safe", push.safe(format, openid, to_user, text))
            }
        };
        let what = message.event().or_else(|| message.get("MsgType")).unwrap_or("message");
        Ok(Outgoing {
            method: Method::POST,
            query,
            body,
            description: format!("{what} from {openid} ({mode})"),
            openid: openid.to_owned(),
            acknowledgement: message.acknowledgement().to_vec(),
        })
    }

    /// A message made for the occasion, in WeChat's layout: numbers bare, everything else as CDATA.
    pub(super) fn xml(
        &self,
        kind: Kind,
        value: &str,
        event_key: Option<&str>,
    ) -> Result<String, String> {
        let (msg_type, fields) = match kind {
            Kind::Text => ("text", vec![("Content", cdata(value))]),
            Kind::Image => (
                "image",
                vec![("PicUrl", cdata("http://127.0.0.1/image")), ("MediaId", cdata(value))],
            ),
            Kind::Voice => ("voice", vec![("MediaId", cdata(value)), ("Format", cdata("amr"))]),
            Kind::Video => {
                ("video", vec![("MediaId", cdata(value)), ("ThumbMediaId", cdata(value))])
            }
            Kind::Location => ("location", location(value)?),
            Kind::Link => (
                "link",
                vec![("Title", cdata("link")), ("Description", cdata("")), ("Url", cdata(value))],
            ),
            Kind::Event => (
                "event",
                vec![("Event", cdata(value)), ("EventKey", cdata(event_key.unwrap_or_default()))],
            ),
            Kind::Verify => return Err("a verification has no body".to_owned()),
        };
        let mut all = vec![
            ("ToUserName", cdata(ORIGINAL_ID)),
            ("FromUserName", cdata(&self.moment.openid)),
            ("CreateTime", self.moment.timestamp.to_string()),
            ("MsgType", cdata(msg_type)),
        ];
        all.extend(fields);
        if kind != Kind::Event {
            all.push(("MsgId", self.moment.msg_id.clone()));
        }
        let lines: Vec<_> =
            all.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
        Ok(format!("<xml>{}\n</xml>", lines.join("\n")))
    }
}

fn location(value: &str) -> Result<Vec<(&'static str, String)>, String> {
    let degrees = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let pair = value.split_once(',').and_then(|(x, y)| Some((degrees(x)?, degrees(y)?)));
    let (x, y) = pair.ok_or("a location is latitude,longitude, such as 23.134521,113.358803")?;
    let label = ("Label", cdata("a place"));
    Ok(vec![
        ("Location_X", x.to_string()),
        ("Location_Y", y.to_string()),
        ("Scale", "20".to_owned()),
        label,
    ])
}

/// `]]>` ends a CDATA section wherever it stands, so it is spread over two.
fn cdata(text: &str) -> String {
    format!("<![CDATA[{}]]>", text.replace("]]>", "]]]]><![CDATA[>"))
}
