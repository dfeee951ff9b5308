//! The socket under a Pingora client session. What is written waits until it is much, or until somebody reads: so the head
//! and the body of a small call leave in one piece, where the session would send two.

use crate::limits;
use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Head and body of a usual call fit.
const WRITE_BYTES: usize = 1_536;

/// A stream with a write buffer.
#[derive(Debug)]
pub(super) struct Gathered {
    stream: Stream,
    /// Written by the session, not yet by the kernel. Empty, and without memory, between calls.
    pending: Vec<u8>,
}

impl Gathered {
    pub(super) fn new(stream: Stream) -> Gathered {
        Gathered { stream, pending: Vec::new() }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.drain(..written);
        }
        self.pending = Vec::new();
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

impl AsyncRead for Gathered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.poll_drain(cx)).is_err() {
            // Who takes no more may have said why.
            self.pending = Vec::new();
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.pending.len() + bytes.len() > limits::WRITE_BUFFER_BYTES {
            ready!(self.poll_drain(cx))?;
        }
        if bytes.len() > limits::WRITE_BUFFER_BYTES {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        if self.pending.capacity() == 0 {
            self.pending.reserve(WRITE_BYTES);
        }
        self.pending.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// The session flushes after the head already. What there is goes out with what follows, or when the answer is read.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

// === what Pingora asks a stream; all of it is the inner stream's ===

#[async_trait]
impl Shutdown for Gathered {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for Gathered {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Gathered {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Gathered {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        // Asked for once a call, needed by nothing here: an empty list costs no allocation.
        Vec::new()
    }
}

impl GetProxyDigest for Gathered {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Gathered {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl Peek for Gathered {}
