//! What WeChat makes of an answer.

use serde_json::Value;
use wxedge_wechat::crypto::AesKey;
use wxedge_wechat::signature::sign;

use super::{Format, Mode, Wechat};
use crate::http::Response;
use crate::message::Message;
use crate::xml::Element;

/// How a delivery ended, in WeChat's eyes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// `success`, an empty body, or `ErrCode` 0 where that is asked for: nothing is shown, nothing sent again.
    Acknowledged,
    /// A passive reply, which the user sees.
    Replied(Reply),
    /// DNS失败.
    DnsFailure,
    /// 连接超时: refused, or not taken within 3 s.
    ConnectTimeout,
    /// 请求超时: no answer within 5 s.
    RequestTimeout,
    /// 回应失败, and sent again: the connection ended without an answer, or its status is not 200.
    NoReply(String),
    /// 回应失败: an answer that is none. The user sees that the account is out of order; nothing is sent again.
    BadReply(String),
}

/// What WeChat's console alarms about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Alarm {
    /// DNS失败.
    DnsFailure,
    /// 连接超时.
    ConnectTimeout,
    /// 请求超时.
    RequestTimeout,
    /// 回应失败.
    BadReply,
    /// MarkFail: WeChat has stopped pushing for a minute.
    MarkFail,
}

impl Alarm {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Alarm::DnsFailure => "dns_failure",
            Alarm::ConnectTimeout => "connect_timeout",
            Alarm::RequestTimeout => "request_timeout",
            Alarm::BadReply => "bad_reply",
            Alarm::MarkFail => "markfail",
        }
    }
}

impl Verdict {
    /// What it counts towards, if it is a failure.
    #[must_use]
    pub fn alarm(&self) -> Option<Alarm> {
        match self {
            Verdict::Acknowledged | Verdict::Replied(_) => None,
            Verdict::DnsFailure => Some(Alarm::DnsFailure),
            Verdict::ConnectTimeout => Some(Alarm::ConnectTimeout),
            Verdict::RequestTimeout => Some(Alarm::RequestTimeout),
            Verdict::NoReply(_) | Verdict::BadReply(_) => Some(Alarm::BadReply),
        }
    }

    /// Whether WeChat sends the message again.
    #[must_use]
    pub fn is_sent_again(&self) -> bool {
        !matches!(self, Verdict::Acknowledged | Verdict::Replied(_) | Verdict::BadReply(_))
    }
}

/// A passive reply as WeChat reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Decrypted, as text.
    pub text: String,
    /// Whether it came encrypted.
    pub encrypted: bool,
    /// Decrypted and read; of a JSON reply the same tree.
    pub root: Element,
}

impl Reply {
    /// The text at a path of names, such as `Image/MediaId`.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&str> {
        self.root.at(path)
    }
}

/// Judges an answer to a message.
pub(super) fn judge(wechat: &Wechat, message: &Message, response: &Response) -> Verdict {
    if response.status != 200 {
        return Verdict::NoReply(format!("status {}", response.status));
    }
    if message.is_money() {
        return judge_money(&response.body);
    }
    if response.body.is_empty() || response.body == b"success" {
        return Verdict::Acknowledged;
    }
    match read(wechat, &response.body).and_then(|reply| check(&reply, message).map(|()| reply)) {
        Ok(reply) => Verdict::Replied(reply),
        Err(why) => Verdict::BadReply(why),
    }
}

/// Virtual payment and games want `ErrCode`; `success` would lose the money.
fn judge_money(body: &[u8]) -> Verdict {
    match serde_json::from_slice::<Value>(body) {
        Ok(json) if json["ErrCode"] == 0 => Verdict::Acknowledged,
        Ok(json) => Verdict::NoReply(format!("ErrCode {}", json["ErrCode"])),
        Err(_) => Verdict::NoReply("no JSON with an ErrCode".to_owned()),
    }
}

fn read(wechat: &Wechat, body: &[u8]) -> Result<Reply, String> {
    let outer = std::str::from_utf8(body).map_err(|_| "no UTF-8")?;
    let root = document(wechat.format, outer)?;
    let sealed = root.child("Encrypt").is_some();
    match (wechat.mode, sealed) {
        (Mode::Plain, true) => Err("encrypted in plaintext mode".to_owned()),
        (Mode::Safe, false) => Err("not encrypted in secure mode".to_owned()),
        (_, false) => Ok(Reply { text: outer.to_owned(), encrypted: false, root }),
        (_, true) => {
            let text = open(wechat, &root)?;
            let root = document(wechat.format, &text)?;
            Ok(Reply { text, encrypted: true, root })
        }
    }
}

/// Opens the envelope: signature first, then the ciphertext.
fn open(wechat: &Wechat, envelope: &Element) -> Result<String, String> {
    let field = |name: &str| envelope.at(name).ok_or_else(|| format!("no {name}"));
    let encrypt = field("Encrypt")?;
    let signature = sign(&[&wechat.token, field("TimeStamp")?, field("Nonce")?, encrypt]);
    if field("MsgSignature")? != signature.to_string() {
        return Err("wrong MsgSignature".to_owned());
    }
    let key = AesKey::parse(&wechat.aes_key).map_err(|error| error.to_string())?;
    let text = key.decrypt(encrypt, &wechat.appid).map_err(|error| error.to_string())?;
    String::from_utf8(text).map_err(|_| "no UTF-8 inside".to_owned())
}

fn document(format: Format, text: &str) -> Result<Element, String> {
    match format {
        Format::Xml => {
            let root = Element::parse(text)?;
            if root.name == "xml" { Ok(root) } else { Err(format!("<{}> for a root", root.name)) }
        }
        Format::Json => match serde_json::from_str(text).map_err(|error| error.to_string())? {
            object @ Value::Object(_) => Ok(element("xml", &object)),
            other => Err(format!("{other} is no object")),
        },
    }
}

/// JSON as the tree that the same message has in XML.
fn element(name: &str, value: &Value) -> Element {
    let name = name.to_owned();
    match value {
        Value::Object(fields) => {
            let children = fields.iter().map(|(name, value)| element(name, value)).collect();
            Element { name, children, ..Element::default() }
        }
        Value::Array(items) => {
            let children = items.iter().map(|item| element("item", item)).collect();
            Element { name, children, ..Element::default() }
        }
        Value::String(text) => Element { name, text: text.clone(), ..Element::default() },
        other => Element { name, text: other.to_string(), ..Element::default() },
    }
}

/// What WeChat insists on, as far as it is known.
fn check(reply: &Reply, message: &Message) -> Result<(), String> {
    let has = |path: &str| match reply.at(path) {
        Some(text) if !text.is_empty() => Ok(()),
        _ => Err(format!("no {path}")),
    };
    let is = |path: &str, text: &str| match reply.at(path) {
        Some(found) if found == text => Ok(()),
        found => Err(format!("{path} is {found:?}, not {text:?}")),
    };
    is("ToUserName", message.openid())?;
    is("FromUserName", message.get("ToUserName").unwrap_or_default())?;
    reply
        .at("CreateTime")
        .and_then(|time| time.parse::<u64>().ok())
        .ok_or("no CreateTime in digits")?;
    match reply.at("MsgType").unwrap_or_default() {
        "text" => has("Content"),
        "image" => has("Image/MediaId"),
        "voice" => has("Voice/MediaId"),
        "video" => has("Video/MediaId"),
        "music" => has_element(&reply.root, "Music"),
        "transfer_customer_service" => Ok(()),
        "news" => {
            let articles = reply.root.child("Articles").ok_or("no Articles")?;
            if !(1..=8).contains(&articles.children.len()) {
                return Err(format!("{} articles", articles.children.len()));
            }
            is("ArticleCount", &articles.children.len().to_string())?;
            articles.children.iter().try_for_each(|item| match item.at("Title") {
                Some(title) if item.name == "item" && !title.is_empty() => Ok(()),
                _ => Err("an article without a title".to_owned()),
            })
        }
        other => Err(format!("{other:?} is no type of passive reply")),
    }
}

fn has_element(root: &Element, name: &str) -> Result<(), String> {
    root.child(name).map(drop).ok_or_else(|| format!("no {name}"))
}
