//! An HTTP/1.1 client that sends what it is told, byte for byte, and waits no longer than it is told.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a connection runs over.
trait Wire: Read + Write + Send {
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wire for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref()
    }
}

/// One connection.
pub struct Connection {
    wire: Box<dyn Wire>,
    /// Read, but not yet part of a response.
    unread: Vec<u8>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("socket", self.wire.socket()).finish_non_exhaustive()
    }
}

/// One complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// In the order in which they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of a name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }
}

/// The first header of a name, whatever its case.
#[must_use]
pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Why there is no complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// The time was up.
    Timeout,
    /// The connection ended first; with what had come until then.
    Closed(Vec<u8>),
    /// What came is no HTTP.
    Malformed(String),
}

impl Connection {
    /// Connects, within `patience`.
    ///
    /// # Errors
    /// When nobody takes the connection.
    pub fn open(address: SocketAddr, patience: Duration) -> io::Result<Connection> {
        Connection::over(TcpStream::connect_timeout(&address, patience)?)
    }

    /// Over a socket that is connected already.
    ///
    /// # Errors
    /// When it is not.
    pub fn over(socket: TcpStream) -> io::Result<Connection> {
        socket.set_nodelay(true)?;
        Ok(Connection { wire: Box::new(socket), unread: Vec::new() })
    }

    /// Connects by TLS, within `patience`, to a server that calls itself `name`.
    ///
    /// # Errors
    /// When nobody takes the connection, or `tls` does not trust who does.
    pub fn open_tls(
        address: SocketAddr,
        name: &str,
        tls: Arc<rustls::ClientConfig>,
        patience: Duration,
    ) -> io::Result<Connection> {
        let begun = Instant::now();
        let mut socket = TcpStream::connect_timeout(&address, patience)?;
        socket.set_nodelay(true)?;
        let name =
            rustls_pki_types::ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut session = rustls::ClientConnection::new(tls, name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            let left = patience.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
            socket.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
            session.complete_io(&mut socket)?;
        }
        let wire = Box::new(rustls::StreamOwned::new(session, socket));
        Ok(Connection { wire, unread: Vec::new() })
    }

    /// Connects to something that is known to listen.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn to(address: SocketAddr) -> Connection {
        Connection::open(address, crate::PATIENCE).expect("a listener")
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.write_all(bytes.as_ref())?;
        self.wire.flush()
    }

    /// Sends a request whole, with its `host` and `content-length`.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("host: {}\r\n", self.wire.socket().peer_addr()?));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if method != "GET" || !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.send(bytes)
    }

    /// Reads one answer, by `content-length`, by chunks, or to the end of the connection.
    ///
    /// # Errors
    /// Why there is none within `patience`.
    pub fn response(&mut self, patience: Duration) -> Result<Response, NoAnswer> {
        let until = Instant::now() + patience;
        loop {
            let (status, headers) = self.head(until)?;
            if status != 100 {
                let body = self.body(status, &headers, until)?;
                return Ok(Response { status, headers, body });
            }
        }
    }

    fn head(&mut self, until: Instant) -> Result<(u16, Vec<(String, String)>), NoAnswer> {
        let end = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                break end;
            }
            self.read_more(until)?;
        };
        let head: Vec<u8> = self.unread.drain(..end + 4).collect();
        let malformed = || NoAnswer::Malformed(String::from_utf8_lossy(&head).into_owned());
        let text = std::str::from_utf8(&head[..end]).map_err(|_| malformed())?;
        let mut lines = text.split("\r\n");
        let first =
            lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or_else(malformed)?;
        let status = first.get(..3).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
        let headers: Option<Vec<_>> = lines
            .map(|line| {
                line.split_once(':').map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned()))
            })
            .collect();
        Ok((status, headers.ok_or_else(malformed)?))
    }

    fn body(
        &mut self,
        status: u16,
        headers: &[(String, String)],
        until: Instant,
    ) -> Result<Vec<u8>, NoAnswer> {
        if matches!(status, 101 | 204 | 304) {
            return Ok(Vec::new());
        }
        if header(headers, "transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let chunk = self.chunk(until)?;
                if chunk.is_empty() {
                    return Ok(body);
                }
                body.extend_from_slice(&chunk);
            }
        }
        if let Some(length) = header(headers, "content-length") {
            let length = length.parse().map_err(|_| NoAnswer::Malformed(length.to_owned()))?;
            while self.unread.len() < length {
                self.read_more(until)?;
            }
            return Ok(self.unread.drain(..length).collect());
        }
        loop {
            match self.read_more(until) {
                Ok(()) => {}
                Err(NoAnswer::Closed(body)) => return Ok(body),
                Err(other) => return Err(other),
            }
        }
    }

    /// Reads the next chunk of a chunked body; an empty one is the last. For streams that do not end.
    ///
    /// # Errors
    /// Why there is none before `until`.
    pub fn chunk(&mut self, until: Instant) -> Result<Vec<u8>, NoAnswer> {
        let end = loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                break end;
            }
            self.read_more(until)?;
        };
        let size = String::from_utf8_lossy(&self.unread[..end]).into_owned();
        let length = usize::from_str_radix(&size, 16).map_err(|_| NoAnswer::Malformed(size))?;
        while self.unread.len() < end + 2 + length + 2 {
            self.read_more(until)?;
        }
        let chunk = self.unread[end + 2..end + 2 + length].to_vec();
        self.unread.drain(..end + 2 + length + 2);
        Ok(chunk)
    }

    /// Reads the head of an answer and leaves the body, for streams that do not end.
    ///
    /// # Errors
    /// Why there is none within `patience`.
    pub fn response_head(&mut self, patience: Duration) -> Result<Response, NoAnswer> {
        let (status, headers) = self.head(Instant::now() + patience)?;
        Ok(Response { status, headers, body: Vec::new() })
    }

    /// Waits for the other end to close and returns what it said before.
    ///
    /// # Errors
    /// [`NoAnswer::Timeout`] when it does not within `patience`.
    pub fn closed(&mut self, patience: Duration) -> Result<Vec<u8>, NoAnswer> {
        let until = Instant::now() + patience;
        loop {
            match self.read_more(until) {
                Ok(()) => {}
                Err(NoAnswer::Closed(rest)) => return Ok(rest),
                Err(other) => return Err(other),
            }
        }
    }

    /// Says that nothing more will be sent (FIN), and goes on reading.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        self.wire.socket().shutdown(std::net::Shutdown::Write)
    }

    /// Ends the connection with a reset instead of a goodbye.
    pub fn reset(self) {
        reset(self.wire.socket());
    }

    /// The socket, for whoever needs more of it.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        self.wire.socket()
    }

    fn read_more(&mut self, until: Instant) -> Result<(), NoAnswer> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || self.wire.socket().set_read_timeout(Some(left)).is_err() {
            return Err(NoAnswer::Timeout);
        }
        let mut buffer = [0; 16 * 1024];
        match self.wire.read(&mut buffer) {
            Ok(0) => Err(NoAnswer::Closed(std::mem::take(&mut self.unread))),
            Ok(read) => {
                self.unread.extend_from_slice(&buffer[..read]);
                Ok(())
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                Err(NoAnswer::Timeout)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(_) => Err(NoAnswer::Closed(std::mem::take(&mut self.unread))),
        }
    }
}

/// Makes the end of a socket a reset.
pub(crate) fn reset(socket: &TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    // A socket that is gone needs no reset.
    let _gone = nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::Linger, &linger);
}

/// One request on a connection of its own.
///
/// # Panics
/// When there is no answer.
#[track_caller]
#[must_use]
pub fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let mut connection = Connection::to(address);
    connection.request(method, target, headers, body).expect("a request that is taken");
    connection.response(crate::PATIENCE).unwrap_or_else(|why| panic!("{method} {target}: {why:?}"))
}

/// A GET on a connection of its own.
///
/// # Panics
/// When there is no answer.
#[track_caller]
#[must_use]
pub fn get(address: SocketAddr, target: &str) -> Response {
    send(address, "GET", target, &[], b"")
}

/// Where `needle` begins in `haystack`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
