//! The egress proxy (`wechat.proxy`): an HTTP `CONNECT` in front of every connection, so that calls leave from an address
//! that is on WeChat's allow-list.

use super::failure::Failure;
use crate::limits;
use crate::upstream::{Name, basic_authorization};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

/// The proxy.
pub(super) struct Proxy {
    pub(super) name: Arc<Name>,
    /// `proxy-authorization` as a line, or nothing.
    authorization: String,
}

impl Proxy {
    pub(super) fn new(url: &Url) -> Result<Proxy, Failure> {
        let host = url.host_str().ok_or(Failure::Proxy)?;
        let port = url.port_or_known_default().ok_or(Failure::Proxy)?;
        let authorization = match basic_authorization(url) {
            Some(value) => format!("proxy-authorization: {value}\r\n"),
            None => String::new(),
        };
        Ok(Proxy { name: Arc::new(Name::new(host, port)), authorization })
    }
}

/// The way through the proxy to one base.
pub(super) struct Tunnel {
    request: String,
}

crate::opaque!(Proxy, Tunnel);

impl Tunnel {
    pub(super) fn new(proxy: &Proxy, host: &str, port: u16) -> Tunnel {
        let target = format!("{host}:{port}");
        let authorization = &proxy.authorization;
        let request = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{authorization}\r\n");
        Tunnel { request }
    }

    /// Asks the proxy, on a connection to it, to lead through.
    pub(super) async fn open(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(self.request.as_bytes()).await?;
        // Byte by byte: what follows the head belongs to the tunnel.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= limits::EGRESS_HEAD_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            head.push(stream.read_u8().await?);
        }
        let mut headers = [httparse::EMPTY_HEADER; limits::APP_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&head) {
            Ok(_) if response.code.is_some_and(|code| (200..300).contains(&code)) => Ok(()),
            Ok(_) => Err(io::ErrorKind::PermissionDenied.into()),
            Err(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
