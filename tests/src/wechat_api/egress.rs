//! An egress proxy: takes CONNECT, remembers it, passes the bytes on.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::server::lock;
use crate::http::{find, header};

/// The longest head of a CONNECT, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// `CONNECT`, unless the caller did something else.
    pub method: String,
    /// `host:port`, as it came.
    pub target: String,
    /// The `proxy-authorization` header.
    pub authorization: Option<String>,
}

/// The proxy. Dropping it ends it, with all its connections.
#[derive(Debug)]
pub struct Egress {
    address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    connects: Mutex<Vec<Connect>>,
    routes: Mutex<HashMap<String, SocketAddr>>,
    authorization: Mutex<Option<String>>,
    sockets: Mutex<Vec<TcpStream>>,
    over: Mutex<bool>,
}

impl Egress {
    /// Passes everything on to wherever it is to go.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> Egress {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let inner = Arc::<Inner>::default();
        let accepting = inner.clone();
        crate::thread(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { continue };
                if !accepting.remember(&socket) {
                    return;
                }
                let inner = accepting.clone();
                crate::thread(move || inner.serve(socket));
            }
        });
        Egress { address, inner }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `wechat.proxy` has to be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connects whoever asks for `target` (`api.weixin.qq.com:443`) to this address.
    pub fn route(&self, target: &str, to: SocketAddr) {
        lock(&self.inner.routes).insert(target.to_owned(), to);
    }

    /// Takes only those whose `proxy-authorization` is this; the others get 407.
    pub fn require(&self, authorization: &str) {
        *lock(&self.inner.authorization) = Some(authorization.to_owned());
    }

    /// What was asked for until now.
    #[must_use]
    pub fn connects(&self) -> Vec<Connect> {
        lock(&self.inner.connects).clone()
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        *lock(&self.inner.over) = true;
        // Wakes the thread that accepts.
        let _woken = TcpStream::connect(self.address);
        for socket in lock(&self.inner.sockets).iter() {
            // It may be closed already.
            let _closed = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Inner {
    /// Keeps a connection to be ended; false when everything ends.
    fn remember(&self, socket: &TcpStream) -> bool {
        let over = lock(&self.over);
        if let Ok(socket) = socket.try_clone() {
            lock(&self.sockets).push(socket);
        }
        !*over
    }

    fn serve(&self, mut caller: TcpStream) {
        let Some((connect, ahead)) = read_connect(&mut caller) else { return };
        lock(&self.connects).push(connect.clone());
        let refusal = match self.reach(&connect) {
            Ok(mut target) => {
                let greeted = caller.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
                if greeted.is_ok() && target.write_all(&ahead).is_ok() {
                    self.pass(caller, target);
                }
                return;
            }
            Err(refusal) => refusal,
        };
        // The caller may be gone.
        let _written = caller.write_all(
            format!("HTTP/1.1 {refusal}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        );
    }

    fn reach(&self, connect: &Connect) -> Result<TcpStream, &'static str> {
        if connect.method != "CONNECT" {
            return Err("405 Method Not Allowed");
        }
        let required = lock(&self.authorization).clone();
        if required.is_some() && connect.authorization != required {
            return Err("407 Proxy Authentication Required\r\nproxy-authenticate: Basic");
        }
        let route = lock(&self.routes).get(&connect.target).copied();
        let connected = match route {
            Some(address) => TcpStream::connect(address),
            None => TcpStream::connect(&connect.target),
        };
        connected.map_err(|_| "502 Bad Gateway")
    }

    /// Both ways, until both have ended.
    fn pass(&self, caller: TcpStream, target: TcpStream) {
        self.remember(&target);
        let (Ok(from), Ok(to)) = (target.try_clone(), caller.try_clone()) else { return };
        let back = crate::thread(move || copy(from, to));
        copy(caller, target);
        // A thread that only copies does not panic.
        let _copied = back.join();
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    // However it ends, the other side learns of it.
    let _copied = std::io::copy(&mut from, &mut to);
    let _closed = to.shutdown(Shutdown::Write);
}

/// What is asked for, and the bytes after it.
fn read_connect(caller: &mut TcpStream) -> Option<(Connect, Vec<u8>)> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = find(&read, b"\r\n\r\n") {
            break end;
        }
        let mut buffer = [0; 4096];
        match caller.read(&mut buffer) {
            Ok(some) if some > 0 && read.len() < HEAD_MAX => {
                read.extend_from_slice(&buffer[..some])
            }
            _ => return None,
        }
    };
    let ahead = read.split_off(end + 4);
    let head = std::str::from_utf8(&read).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let authorization = header(&headers, "proxy-authorization").map(str::to_owned);
    Some((Connect { method, target, authorization }, ahead))
}
