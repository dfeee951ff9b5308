//! The fake WeChat. It signs, encrypts and sends as WeChat does, waits as long, sends again as often, takes what WeChat
//! takes, and counts what WeChat would raise an alarm about.
//!
//! ```no_run
//! use wxedge_tests::message::Message;
//! use wxedge_tests::wechat::{Mode, Wechat};
//!
//! let wechat = Wechat::new("http://127.0.0.1:8080/wechat/main")
//!     .mode(Mode::Safe)
//!     .appid("wx0123456789abcdef")
//!     .token("QuickstartToken")
//!     .aes_key("DemoKeyDoNotUseInProduction0123456789ABCDEF");
//! let push = wechat.push(&Message::text("你好"));
//! assert_eq!(push.reply().at("Content"), Some("你好"));
//! ```

mod judge;
mod ledger;

pub use judge::{Alarm, Reply, Verdict};
pub use ledger::{Ledger, Report};

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wxedge_wechat::crypto::AesKey;
pub use wxedge_wechat::envelope::Format;
pub use wxedge_wechat::push::Callback;
use wxedge_wechat::push::Push as Sealing;

use crate::canary;
use crate::http::{Connection, NoAnswer, Response};
use crate::message::{Message, TO_USER, now_s, unique};

/// 消息加解密方式, as it is set in WeChat's console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// 明文模式.
    Plain,
    /// 兼容模式.
    Compatible,
    /// 安全模式.
    Safe,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 3] = [Mode::Plain, Mode::Compatible, Mode::Safe];
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::Plain => "plain",
            Mode::Compatible => "compatible",
            Mode::Safe => "safe",
        })
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        let mode = Mode::ALL.into_iter().find(|mode| mode.to_string() == text);
        mode.ok_or_else(|| "plain, compatible or safe".to_owned())
    }
}

/// WeChat waits this long for a connection.
pub const CONNECT: Duration = Duration::from_secs(3);
/// WeChat waits this long for an answer, connection included.
pub const ANSWER: Duration = Duration::from_secs(5);
/// How often WeChat sends a message that is not answered, the first time included.
pub const DELIVERIES: usize = 3;

/// WeChat, as it sees one account.
#[derive(Debug, Clone)]
pub struct Wechat {
    tls: Option<Arc<rustls::ClientConfig>>,
    secure: bool,
    host: String,
    target: String,
    mode: Mode,
    format: Format,
    appid: String,
    token: String,
    aes_key: String,
    patience: Duration,
    ledger: Arc<Mutex<Ledger>>,
}

/// One request and what came of it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What WeChat makes of it.
    pub verdict: Verdict,
    /// The answer, if one came.
    pub response: Option<Response>,
    /// From the first attempt to connect to the answer, or to the end of patience.
    pub took: Duration,
}

impl Delivery {
    /// The status of the answer.
    ///
    /// # Panics
    /// When there was none.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> u16 {
        self.answer().status
    }

    /// The body of the answer.
    ///
    /// # Panics
    /// When there was none.
    #[track_caller]
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.answer().body
    }

    #[track_caller]
    fn answer(&self) -> &Response {
        self.response.as_ref().unwrap_or_else(|| panic!("no answer: {:?}", self.verdict))
    }

    /// The passive reply.
    ///
    /// # Panics
    /// When there was none.
    #[track_caller]
    #[must_use]
    pub fn reply(&self) -> &Reply {
        match &self.verdict {
            Verdict::Replied(reply) => reply,
            other => panic!("no reply: {other:?} {:?}", self.response),
        }
    }
}

/// A message and all its deliveries.
#[derive(Debug, Clone)]
pub struct Push {
    /// In order; none when WeChat has stopped pushing.
    pub deliveries: Vec<Delivery>,
}

impl Push {
    /// The last delivery.
    ///
    /// # Panics
    /// When there was none.
    #[track_caller]
    #[must_use]
    pub fn last(&self) -> &Delivery {
        self.deliveries.last().expect("a delivery: WeChat has stopped pushing")
    }

    /// The passive reply that the user saw.
    ///
    /// # Panics
    /// When there was none.
    #[track_caller]
    #[must_use]
    pub fn reply(&self) -> &Reply {
        self.last().reply()
    }
}

impl Wechat {
    /// WeChat, with a callback URL in its console: `http://host:port/path` or `https://...`.
    ///
    /// # Panics
    /// When it is no such URL.
    #[must_use]
    pub fn new(url: &str) -> Wechat {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let secure = scheme == "https";
        let port = if secure { 443 } else { 80 };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Wechat {
            tls: None,
            secure,
            host: if has_port { host.to_owned() } else { format!("{host}:{port}") },
            target: format!("/{path}"),
            mode: Mode::Safe,
            format: Format::Xml,
            appid: "wx0123456789main".to_owned(),
            token: canary::TOKEN.to_owned(),
            aes_key: canary::AES_KEY.to_owned(),
            patience: ANSWER,
            ledger: Arc::default(),
        }
    }

    /// In this mode.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Wechat {
        Wechat { mode, ..self }
    }

    /// In this format; accounts have XML, mini programs may choose JSON.
    #[must_use]
    pub fn format(self, format: Format) -> Wechat {
        Wechat { format, ..self }
    }

    /// For this account.
    #[must_use]
    pub fn appid(self, appid: &str) -> Wechat {
        Wechat { appid: appid.to_owned(), ..self }
    }

    /// With this Token.
    #[must_use]
    pub fn token(self, token: &str) -> Wechat {
        Wechat { token: token.to_owned(), ..self }
    }

    /// With this EncodingAESKey.
    #[must_use]
    pub fn aes_key(self, aes_key: &str) -> Wechat {
        Wechat { aes_key: aes_key.to_owned(), ..self }
    }

    /// With these certificate authorities.
    #[must_use]
    pub fn tls(self, tls: Arc<rustls::ClientConfig>) -> Wechat {
        Wechat { tls: Some(tls), ..self }
    }

    /// To another path, which may have a query of its own no more than WeChat's may.
    #[must_use]
    pub fn path(self, path: &str) -> Wechat {
        Wechat { target: path.to_owned(), ..self }
    }

    /// With another patience for answers than WeChat's 5 s.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Wechat {
        Wechat { patience, ..self }
    }

    /// With a book of its own: when to alarm, when to stop pushing. Clones share it.
    #[must_use]
    pub fn ledger(self, ledger: Ledger) -> Wechat {
        Wechat { ledger: Arc::new(Mutex::new(ledger)), ..self }
    }

    /// What happened until now.
    #[must_use]
    pub fn report(&self) -> Report {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).report()
    }

    /// Sends a message, again when WeChat would: three deliveries at most, unless pushing has stopped.
    #[must_use]
    pub fn push(&self, message: &Message) -> Push {
        let mut deliveries = Vec::new();
        if !self.in_ledger(|ledger| ledger.may_push(Instant::now())) {
            return Push { deliveries };
        }
        while deliveries.len() < DELIVERIES {
            let delivery = self.deliver(message);
            let again = delivery.verdict.is_sent_again();
            deliveries.push(delivery);
            if !again {
                break;
            }
        }
        Push { deliveries }
    }

    /// Sends a message once, with a fresh timestamp and nonce.
    #[must_use]
    pub fn deliver(&self, message: &Message) -> Delivery {
        self.deliver_sealed(message, &self.seal(message))
    }

    /// Sends a message once, as it was sealed.
    #[must_use]
    pub fn deliver_sealed(&self, message: &Message, callback: &Callback) -> Delivery {
        let begun = Instant::now();
        let result = self.exchange("POST", &callback.query, &callback.body);
        let took = begun.elapsed();
        let verdict = self.verdict(message, &result);
        self.in_ledger(|ledger| ledger.record(Instant::now(), &verdict, took));
        Delivery { verdict, response: result.ok(), took }
    }

    /// What WeChat makes of an answer to a message, or of its absence.
    #[must_use]
    pub fn verdict(&self, message: &Message, answer: &Result<Response, Fault>) -> Verdict {
        match answer {
            Ok(response) => judge::judge(self, message, response),
            Err(fault) => fault.verdict(),
        }
    }

    /// Verifies the URL as WeChat's console does. [`Verdict::Acknowledged`] when the `echostr` comes back.
    #[must_use]
    pub fn verify(&self) -> Delivery {
        let echostr = unique().to_string();
        let begun = Instant::now();
        let result =
            self.exchange("GET", &self.sealing(now_s(), |s| s.verification(&echostr)), b"");
        let took = begun.elapsed();
        let verdict = match &result {
            Ok(response) if response.status == 200 && response.body == echostr.as_bytes() => {
                Verdict::Acknowledged
            }
            Ok(response) => Verdict::BadReply(format!("{} without the echostr", response.status)),
            Err(fault) => fault.verdict(),
        };
        Delivery { verdict, response: result.ok(), took }
    }

    /// The query of a verification.
    #[must_use]
    pub fn verification(&self, timestamp: i64, echostr: &str) -> String {
        self.sealing(timestamp, |sealing| sealing.verification(echostr))
    }

    /// A message as it goes out now.
    #[must_use]
    pub fn seal(&self, message: &Message) -> Callback {
        self.seal_at(message, now_s())
    }

    /// A message as it goes out at a time.
    #[must_use]
    pub fn seal_at(&self, message: &Message, timestamp: i64) -> Callback {
        let plain = match self.format {
            Format::Xml => message.to_xml(),
            Format::Json => message.to_json(),
        };
        self.seal_bytes(&plain, message.openid(), timestamp)
    }

    /// Any bytes in a message's place.
    #[must_use]
    pub fn seal_bytes(&self, message: &[u8], openid: &str, timestamp: i64) -> Callback {
        let openid = &percent_encoded(openid);
        self.sealing(timestamp, |sealing| match self.mode {
            Mode::Plain => sealing.plain(openid, message),
            Mode::Compatible => sealing.compatible(self.format, openid, message),
            Mode::Safe => sealing.safe(self.format, openid, TO_USER, message),
        })
    }

    fn sealing<T>(&self, timestamp: i64, seal: impl FnOnce(&Sealing<'_>) -> T) -> T {
        let key = AesKey::parse(&self.aes_key).expect("an EncodingAESKey");
        let unique = unique();
        // As WeChat's: digits, and 16 hexadecimal digits before the length.
        let nonce = unique.to_string();
        let mut random = [b'0'; 16];
        random.copy_from_slice(format!("{unique:016x}").as_bytes());
        seal(&Sealing {
            token: &self.token,
            appid: &self.appid,
            key: &key,
            timestamp,
            nonce: &nonce,
            random,
        })
    }

    /// Sends a callback as it is and returns what comes back, unjudged.
    ///
    /// # Errors
    /// Why nothing came back.
    pub fn send(&self, callback: &Callback) -> Result<Response, Fault> {
        self.exchange("POST", &callback.query, &callback.body)
    }

    /// Sends any request to the callback URL.
    ///
    /// # Errors
    /// Why nothing came back.
    pub fn exchange(&self, method: &str, query: &str, body: &[u8]) -> Result<Response, Fault> {
        let begun = Instant::now();
        let mut connection = self.begin(method, query, body)?;
        connection.response(self.patience.saturating_sub(begun.elapsed())).map_err(Fault::from)
    }

    /// Sends a request and leaves it to the caller to wait for the answer, or not to.
    ///
    /// # Errors
    /// Why it could not be sent.
    pub fn begin(&self, method: &str, query: &str, body: &[u8]) -> Result<Connection, Fault> {
        let mut connection = self.connect()?;
        // An answer can come before the request was read, and stands.
        let _refused = connection.send(self.request(method, query, body));
        Ok(connection)
    }

    /// A connection to the callback URL.
    ///
    /// # Errors
    /// Why there is none.
    pub fn connect(&self) -> Result<Connection, Fault> {
        let patience = CONNECT.min(self.patience);
        let address = self.address().ok_or(Fault::Dns)?;
        let opened = match (&self.tls, self.secure) {
            (Some(tls), true) => {
                let name = self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, _)| name);
                Connection::open_tls(address, name, tls.clone(), patience)
            }
            (None, true) => panic!("https needs certificate authorities: Wechat::tls"),
            (_, false) => Connection::open(address, patience),
        };
        opened.map_err(|_| Fault::Connect)
    }

    fn address(&self) -> Option<SocketAddr> {
        self.host.to_socket_addrs().ok()?.next()
    }

    /// The bytes of a request, with WeChat's headers.
    #[must_use]
    pub fn request(&self, method: &str, query: &str, body: &[u8]) -> Vec<u8> {
        let Wechat { target, host, .. } = self;
        let mut request = format!(
            "{method} {target}?{query} HTTP/1.1\r\nUser-Agent: Mozilla/4.0\r\nAccept: */*\r\nHost: {host}\r\nPragma: no-cache\r\n"
        );
        if method != "GET" {
            request
                .push_str(&format!("Content-Length: {}\r\nContent-Type: text/xml\r\n", body.len()));
        }
        request.push_str("Connection: Keep-Alive\r\n\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }

    fn in_ledger<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        act(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// As it stands in a query.
fn percent_encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The host's name does not resolve.
    Dns,
    /// The connection was refused or not taken in time.
    Connect,
    /// The answer did not come in time.
    Timeout,
    /// The connection ended before the answer did, or it was no HTTP.
    Broken(String),
}

impl From<NoAnswer> for Fault {
    fn from(why: NoAnswer) -> Fault {
        match why {
            NoAnswer::Timeout => Fault::Timeout,
            NoAnswer::Closed(bytes) => Fault::Broken(format!("closed after {} bytes", bytes.len())),
            NoAnswer::Malformed(what) => Fault::Broken(format!("no HTTP: {what:?}")),
        }
    }
}

impl Fault {
    fn verdict(&self) -> Verdict {
        match self {
            Fault::Dns => Verdict::DnsFailure,
            Fault::Connect => Verdict::ConnectTimeout,
            Fault::Timeout => Verdict::RequestTimeout,
            Fault::Broken(how) => Verdict::NoReply(how.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
