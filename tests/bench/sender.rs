//! What bench-load sends, and what is the right answer to it.

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use wxedge_wechat::crypto::AesKey;
use wxedge_wechat::envelope::Format;
use wxedge_wechat::message::Message;
use wxedge_wechat::push::Push;

use crate::Result;

const TO_USER: &str = "gh_680bdefc8c5d";
/// Users who send; each is one openid.
const USERS: u64 = 10_000;
/// The file that an upload carries.
const UPLOAD_BYTES: usize = 10 * 1024 * 1024;
const BOUNDARY: &str = "----bench-f4c1b1e0";

/// Makes requests.
pub(crate) enum Sender {
    /// Plays WeChat: every callback is new.
    Callbacks(Box<Callbacks>),
    /// Plays an app that calls WeChat: the same call again and again.
    Calls(Calls),
}

impl Sender {
    /// The whole HTTP request number `id`.
    pub(crate) fn request(&self, id: u64) -> Result<Rc<Vec<u8>>> {
        match self {
            Sender::Callbacks(callbacks) => callbacks.request(id).map(Rc::new),
            Sender::Calls(calls) => Ok(calls.request.clone()),
        }
    }

    /// Reads its answer as who sent it would.
    pub(crate) fn check(&self, id: u64, body: &[u8]) -> Result<()> {
        match self {
            Sender::Callbacks(callbacks) => callbacks.check(id, body),
            Sender::Calls(_) => right(body == br#"{"errcode":0,"errmsg":"ok"}"#, body),
        }
    }
}

/// An API call.
pub(crate) struct Calls {
    request: Rc<Vec<u8>>,
}

impl Calls {
    /// A customer service message, a small JSON.
    pub(crate) fn message(path: &str, host: &str, key: &str) -> Calls {
        let content = "您好，您的订单已经发出，预计明天送到。如有疑问，请直接回复这条消息，我们的客服会尽快为您处理。";
        let body = format!(
            r#"{{"touser":"{}","msgtype":"text","text":{{"content":"{content}"}},"customservice":{{"kf_account":"bench@gh_680bdefc8c5d"}}}}"#,
            openid(1),
        );
        Calls::post(path, host, key, "application/json", body.as_bytes())
    }

    /// An upload.
    pub(crate) fn upload(path: &str, host: &str, key: &str) -> Calls {
        let mut body = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"media\"; filename=\"bench.mp4\"\r\n\
             Content-Type: video/mp4\r\n\r\n"
        )
        .into_bytes();
        body.resize(body.len() + UPLOAD_BYTES, b'x');
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let media_type = format!("multipart/form-data; boundary={BOUNDARY}");
        Calls::post(path, host, key, &media_type, &body)
    }

    fn post(path: &str, host: &str, key: &str, media_type: &str, body: &[u8]) -> Calls {
        let authorization = match key {
            "" => String::new(),
            key => format!("Authorization: Bearer {key}\r\n"),
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\nAccept: */*\r\n{authorization}\
             Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            body.len(),
        );
        Calls { request: Rc::new([head.as_bytes(), body].concat()) }
    }
}

/// What a callback is, and what is the right answer to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An encrypted callback; an encrypted text reply.
    Safe,
    /// A callback in plaintext; a text reply.
    Plain,
    /// An encrypted callback; whatever the upstream said.
    Pass,
    /// An encrypted callback; `success`.
    Held,
}

/// Callbacks of one account.
pub(crate) struct Callbacks {
    /// What they are.
    pub(crate) kind: Kind,
    /// Where they go.
    pub(crate) path: String,
    /// The `Host` header.
    pub(crate) host: String,
    /// The account's token.
    pub(crate) token: String,
    /// Its key.
    pub(crate) key: AesKey,
    /// Its appid.
    pub(crate) appid: String,
}

impl Callbacks {
    /// One callback, with the headers that WeChat sends.
    fn request(&self, id: u64) -> Result<Vec<u8>> {
        let timestamp = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let nonce = id.to_string();
        let openid = openid(id);
        let message = format!(
            "<xml><ToUserName><![CDATA[{TO_USER}]]></ToUserName>\n\
             <FromUserName><![CDATA[{openid}]]></FromUserName>\n\
             <CreateTime>{timestamp}</CreateTime>\n\
             <MsgType><![CDATA[text]]></MsgType>\n\
             <Content><![CDATA[你好，请问今天几点开门？]]></Content>\n\
             <MsgId>{id}</MsgId>\n</xml>"
        );
        let push = self.push(timestamp, &nonce, u128::from(id).to_be_bytes());
        let callback = match self.kind {
            Kind::Plain => push.plain(&openid, message.as_bytes()),
            Kind::Safe | Kind::Pass | Kind::Held => {
                push.safe(Format::Xml, &openid, TO_USER, message.as_bytes())
            }
        };
        let mut request = format!(
            "POST {}?{} HTTP/1.1\r\nUser-Agent: Mozilla/4.0\r\nAccept: */*\r\nHost: {}\r\nPragma: no-cache\r\n\
             Content-Length: {}\r\nContent-Type: text/xml\r\n\r\n",
            self.path,
            callback.query,
            self.host,
            callback.body.len(),
        )
        .into_bytes();
        request.extend_from_slice(&callback.body);
        Ok(request)
    }

    /// Reads an answer as WeChat would.
    fn check(&self, id: u64, body: &[u8]) -> Result<()> {
        let reply = match self.kind {
            Kind::Safe => self.push(0, "", [0; 16]).read_reply(body)?,
            Kind::Plain => body.to_vec(),
            Kind::Pass => {
                return right(body == br#"{"msgtype":"text","text":{"content":"hi"}}"#, body);
            }
            Kind::Held => return right(body == b"success", body),
        };
        let message = Message::parse(&reply)?;
        right(message.get("Content") == Some("hi"), &reply)?;
        right(message.get("ToUserName") == Some(&openid(id)), &reply)
    }

    fn push<'a>(&'a self, timestamp: i64, nonce: &'a str, random: [u8; 16]) -> Push<'a> {
        let Callbacks { token, key, appid, .. } = self;
        Push { token, appid, key, timestamp, nonce, random }
    }
}

fn openid(id: u64) -> String {
    format!("oMgHVjngRipVsoxg6TuX3vz6g{:05}", id % USERS)
}

/// An error with the answer, unless it is the right one.
pub(crate) fn right(is_right: bool, answer: &[u8]) -> Result<()> {
    if is_right {
        return Ok(());
    }
    Err(format!("not the right answer: {}", String::from_utf8_lossy(answer)).into())
}
