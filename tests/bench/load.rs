//! A closed-loop load generator that plays WeChat: every connection sends a callback, waits for the answer, sends the next.
//!
//! Every callback is new (openid, MsgId, nonce, timestamp, ciphertext); making one costs 2 µs, a fraction of its system
//! calls. Every answer's status is checked, and one in a thousand is verified, decrypted and read as WeChat would.
//!
//! It warms up, prints `warm`, waits for a line, runs, and prints one line of JSON; so whoever drives it can read the
//! servers' CPU time around exactly the measured requests, all of which are answered when it prints.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use wxedge_wechat::crypto::AesKey;
use wxedge_wechat::envelope::Format;
use wxedge_wechat::message::Message;
use wxedge_wechat::push::Push;

const USAGE: &str = "usage: bench-load --target ADDRESS:PORT --path PATH --kind safe|plain|pass|held \
    --token TOKEN --aes-key KEY --appid APPID --connections N --warmup SECONDS --seconds SECONDS --requests N";

const TO_USER: &str = "gh_680bdefc8c5d";
/// Users who send; each is one openid.
const USERS: u64 = 10_000;
/// One answer in so many is decrypted and read.
const SAMPLE: usize = 1_000;
/// A server that is silent for longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let options = Options::parse()?;
    let mut load = Load::new(&options)?;
    load.run(options.warmup, options.requests)?;

    writeln!(io::stdout(), "warm")?;
    io::stdin().read_line(&mut String::new())?;
    let started = Instant::now();
    let mut latencies = load.run(options.duration, options.requests)?;
    let seconds = started.elapsed().as_secs_f64();

    latencies.sort_unstable();
    let percentile = |percent: usize| latencies.get(latencies.len() * percent / 100).copied();
    writeln!(
        io::stdout(),
        "{{\"requests\":{},\"seconds\":{seconds:.6},\"p50_us\":{},\"p99_us\":{},\"checked\":{},\"reconnects\":{}}}",
        latencies.len(),
        percentile(50).unwrap_or_default(),
        percentile(99).unwrap_or_default(),
        load.checked,
        load.reconnects,
    )?;
    Ok(())
}

struct Options {
    target: SocketAddr,
    connections: usize,
    warmup: Duration,
    duration: Duration,
    requests: usize,
    sender: Sender,
}

impl Options {
    fn parse() -> Result<Options> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let mut options: BTreeMap<_, _> = arguments
            .chunks_exact(2)
            .map(|pair| (pair[0].trim_start_matches("--"), pair[1].clone()))
            .collect();
        let mut take =
            |name: &str| options.remove(name).ok_or(format!("--{name} is missing\n{USAGE}"));
        let seconds =
            |text: String| Ok::<_, Box<dyn Error>>(Duration::from_secs_f64(text.parse()?));
        let target = take("target")?;
        Ok(Options {
            target: target.parse()?,
            connections: take("connections")?.parse()?,
            warmup: seconds(take("warmup")?)?,
            duration: seconds(take("seconds")?)?,
            requests: take("requests")?.parse()?,
            sender: Sender {
                kind: match take("kind")?.as_str() {
                    "safe" => Kind::Safe,
                    "plain" => Kind::Plain,
                    "pass" => Kind::Pass,
                    "held" => Kind::Held,
                    _ => return Err(USAGE.into()),
                },
                path: take("path")?,
                host: target,
                token: take("token")?,
                key: AesKey::parse(&take("aes-key")?)?,
                appid: take("appid")?,
            },
        })
    }
}

/// What is sent, and what is the right answer to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An encrypted callback; an encrypted text reply.
    Safe,
    /// A callback in plaintext; a text reply.
    Plain,
    /// An encrypted callback; whatever the upstream said.
    Pass,
    /// An encrypted callback; `success`.
    Held,
}

struct Sender {
    kind: Kind,
    path: String,
    host: String,
    token: String,
    key: AesKey,
    appid: String,
}

impl Sender {
    /// The whole HTTP request of one callback, with the headers that WeChat sends.
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
        let Sender { token, key, appid, .. } = self;
        Push { token, appid, key, timestamp, nonce, random }
    }
}

fn openid(id: u64) -> String {
    format!("oMgHVjngRipVsoxg6TuX3vz6g{:05}", id % USERS)
}

fn right(is_right: bool, answer: &[u8]) -> Result<()> {
    if is_right {
        return Ok(());
    }
    Err(format!("not the right answer: {}", String::from_utf8_lossy(answer)).into())
}

struct Load<'a> {
    options: &'a Options,
    poll: Poll,
    connections: Vec<Connection>,
    next_id: u64,
    checked: usize,
    reconnects: usize,
}

struct Connection {
    stream: TcpStream,
    /// The message in `request`.
    id: u64,
    /// What it asked; empty when it is answered.
    request: Vec<u8>,
    sent: Instant,
    answer: Vec<u8>,
    /// Whether an earlier request was answered: only then may the server have closed it without a fault.
    reused: bool,
}

impl<'a> Load<'a> {
    fn new(options: &'a Options) -> Result<Load<'a>> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(options.connections);
        for index in 0..options.connections {
            connections.push(Connection {
                stream: connect(&poll, options.target, index)?,
                id: 0,
                request: Vec::new(),
                sent: Instant::now(),
                answer: Vec::new(),
                reused: false,
            });
        }
        // Ids grow over all runs, so that no run repeats the messages of another.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let next_id = u64::try_from(now.as_micros())? * 1_000;
        Ok(Load { options, poll, connections, next_id, checked: 0, reconnects: 0 })
    }

    /// Sends until `duration` is over or `requests` are sent, and waits for all answers. Returns their times in µs.
    fn run(&mut self, duration: Duration, requests: usize) -> Result<Vec<u32>> {
        let end = Instant::now() + duration;
        if duration.is_zero() {
            return Ok(Vec::new());
        }
        let mut latencies = Vec::with_capacity(1 << 20);
        let mut sent = 0;
        for index in 0..self.connections.len().min(requests) {
            self.send(index)?;
            sent += 1;
        }
        let mut in_flight = sent;
        let mut events = Events::with_capacity(1_024);
        while in_flight > 0 {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                return Err(
                    format!("{in_flight} callbacks without an answer for {PATIENCE:?}").into()
                );
            }
            for event in &events {
                let Token(index) = event.token();
                if !self.receive(index)? {
                    continue;
                }
                let elapsed = self.connections[index].sent.elapsed();
                latencies.push(u32::try_from(elapsed.as_micros())?);
                if sent < requests && Instant::now() < end {
                    self.send(index)?;
                    sent += 1;
                } else {
                    in_flight -= 1;
                }
            }
        }
        Ok(latencies)
    }

    fn send(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        self.next_id += 1;
        connection.id = self.next_id;
        connection.request = self.options.sender.request(self.next_id)?;
        connection.sent = Instant::now();
        self.write(index)
    }

    fn write(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        match connection.stream.write(&connection.request) {
            Ok(written) if written == connection.request.len() => Ok(()),
            Ok(_) => Err("a request did not fit into the socket's buffer".into()),
            Err(error) if closed(&error) && connection.reused => self.again(index),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what has come; whether that completes the answer.
    fn receive(&mut self, index: usize) -> Result<bool> {
        let connection = &mut self.connections[index];
        let mut buffer = [0; 4 * 1024];
        loop {
            match connection.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => connection.answer.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if closed(&error) => break,
                Err(error) => return Err(error.into()),
            }
            let Some(answer) = Answer::parse(&connection.answer)? else { continue };
            right(answer.status == "200", &connection.answer)?;
            if connection.id.is_multiple_of(SAMPLE as u64) || self.checked == 0 {
                self.options.sender.check(connection.id, answer.body)?;
                self.checked += 1;
            }
            let last = answer.last;
            connection.answer.clear();
            connection.request.clear();
            connection.reused = true;
            if last {
                self.reconnect(index)?;
            }
            return Ok(true);
        }
        if connection.reused && connection.answer.is_empty() {
            if connection.request.is_empty() {
                self.reconnect(index)?;
            } else {
                self.again(index)?;
            }
            return Ok(false);
        }
        Err("the server closed a connection in the middle of an answer".into())
    }

    /// The server closed the connection while the request was on its way: it goes out once more on a new one.
    fn again(&mut self, index: usize) -> Result<()> {
        self.reconnect(index)?;
        self.write(index)
    }

    fn reconnect(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        connection.stream = connect(&self.poll, self.options.target, index)?;
        connection.reused = false;
        self.reconnects += 1;
        Ok(())
    }
}

fn connect(poll: &Poll, target: SocketAddr, index: usize) -> Result<TcpStream> {
    let stream = std::net::TcpStream::connect(target)?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let mut stream = TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
    Ok(stream)
}

fn closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// As much of an HTTP answer as a benchmark looks at.
struct Answer<'a> {
    status: &'a str,
    /// Whether the server closes the connection after it.
    last: bool,
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// `None` until it is complete. Only answers with a length are understood; all the servers here send one.
    fn parse(bytes: &'a [u8]) -> Result<Option<Answer<'a>>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end])?;
        let mut length = None;
        let mut last = false;
        for line in head.split("\r\n").skip(1) {
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse::<usize>()?);
            } else if name.eq_ignore_ascii_case("connection") {
                last = value.trim().eq_ignore_ascii_case("close");
            }
        }
        let length = length.ok_or_else(|| format!("an answer without content-length: {head}"))?;
        let body = bytes.get(end + 4..end + 4 + length);
        let status = head.get(9..12).unwrap_or_default();
        Ok(body.map(|body| Answer { status, last, body }))
    }
}
