//! A closed-loop load generator that plays WeChat, or an app that calls WeChat: every connection sends a request, waits for
//! the answer, sends the next.
//!
//! Every callback is new (openid, MsgId, nonce, timestamp, ciphertext); making one costs 2 µs, a fraction of its system
//! calls. Every answer's status is checked, and one in a thousand is verified, decrypted and read as WeChat would.
//!
//! It warms up, prints `warm`, waits for a line, runs, and prints one line of JSON; so whoever drives it can read the
//! servers' CPU time around exactly the measured requests, all of which are answered when it prints.

mod sender;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use sender::{Callbacks, Calls, Kind, Sender, right};
use wxedge_wechat::crypto::AesKey;

const USAGE: &str = "usage: bench-load --target ADDRESS:PORT --path PATH \
    --kind safe|plain|pass|held|message|upload --key CLIENT_KEY --token TOKEN --aes-key KEY --appid APPID --connections N --warmup SECONDS --seconds SECONDS --requests N";

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
        let kind = take("kind")?;
        let path = take("path")?;
        let client = take("key")?;
        let mut callbacks = |kind| {
            Ok::<_, Box<dyn Error>>(Sender::Callbacks(Box::new(Callbacks {
                kind,
                path: path.clone(),
                host: target.clone(),
                token: take("token")?,
                key: AesKey::parse(&take("aes-key")?)?,
                appid: take("appid")?,
            })))
        };
        let sender = match kind.as_str() {
            "safe" => callbacks(Kind::Safe)?,
            "plain" => callbacks(Kind::Plain)?,
            "pass" => callbacks(Kind::Pass)?,
            "held" => callbacks(Kind::Held)?,
            "message" => Sender::Calls(Calls::message(&path, &target, &client)),
            "upload" => Sender::Calls(Calls::upload(&path, &target, &client)),
            _ => return Err(USAGE.into()),
        };
        Ok(Options {
            target: target.parse()?,
            connections: take("connections")?.parse()?,
            warmup: seconds(take("warmup")?)?,
            duration: seconds(take("seconds")?)?,
            requests: take("requests")?.parse()?,
            sender,
        })
    }
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
    request: Rc<Vec<u8>>,
    /// How much of that is sent.
    written: usize,
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
                request: Rc::default(),
                written: 0,
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
                    format!("{in_flight} requests without an answer for {PATIENCE:?}").into()
                );
            }
            for event in &events {
                let Token(index) = event.token();
                if event.is_writable() {
                    self.write(index)?;
                }
                if !event.is_readable() || !self.receive(index)? {
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
        connection.written = 0;
        connection.sent = Instant::now();
        self.write(index)
    }

    fn write(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        while connection.written < connection.request.len() {
            match connection.stream.write(&connection.request[connection.written..]) {
                Ok(written) => connection.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if closed(&error) && connection.reused => return self.again(index),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
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
            connection.request = Rc::default();
            connection.written = 0;
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
        connection.written = 0;
        self.reconnects += 1;
        Ok(())
    }
}

fn connect(poll: &Poll, target: SocketAddr, index: usize) -> Result<TcpStream> {
    let stream = std::net::TcpStream::connect(target)?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let mut stream = TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
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
