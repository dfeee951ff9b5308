//! An HTTP server, with or without TLS, whose answers are written out byte for byte.

use rustls::ServerConfig;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What is answered to a request's head; nothing leaves it waiting.
type Answer = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A server on a port of its own.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub(crate) async fn start(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, answer): (_, Answer) = (requests.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer, tls) = (log.clone(), answer.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => talk(stream, &log, &answer).await,
                        Some(tls) => {
                            // Who does not believe the certificate leaves.
                            if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                                talk(stream, &log, &answer).await;
                            }
                        }
                    }
                });
            }
        });
        Site { address, requests }
    }

    /// The heads of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    log: &Mutex<Vec<String>>,
    answer: &Answer,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    log.lock().unwrap().push(head.clone());
    match answer(&head) {
        Some(answer) => {
            // Who has left need not be told.
            stream.write_all(answer.as_bytes()).await.ok();
            stream.shutdown().await.ok();
        }
        None => pending().await,
    }
}

/// A whole answer. It says that the connection ends: a client that kept it would ask a second time in vain.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Whatever\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The value of a parameter of the request.
pub(crate) fn parameter(head: &str, name: &str) -> String {
    let target = head.split(' ').nth(1).unwrap();
    let query = target.split_once('?').unwrap().1;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    value.unwrap().to_owned()
}
