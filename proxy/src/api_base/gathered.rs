//! The socket under a Pingora client session. What is written waits until it is much, or until somebody reads: so the head
//! and the body of a small call leave in one piece, where the session would send two.

use crate::limits;
use pingora::protocols::Stream;
use std::io;
use std::pin::Pin;
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

crate::connection::stream::passes_on!(Gathered);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    fn pair(room: usize) -> (Gathered, DuplexStream) {
        let (near, far) = duplex(room);
        (Gathered::new(Box::new(near)), far)
    }

    #[tokio::test]
    async fn what_is_written_leaves_in_one_piece_once_somebody_reads() {
        let (mut near, mut far) = pair(1024);
        for part in [b"head ", b"body "] {
            near.write_all(part).await.unwrap();
            near.flush().await.unwrap();
        }
        let mut buffer = [0; 64];
        assert!(once(far.read(&mut buffer)).await.is_none(), "nothing leaves before");
        let (read, _) = tokio::join!(far.read(&mut buffer), once(near.read_u8()));
        assert_eq!(&buffer[..read.unwrap()], b"head body ");
    }

    #[tokio::test]
    async fn much_goes_out_in_order() {
        let (mut near, mut far) = pair(1024);
        let much = vec![b'x'; limits::WRITE_BUFFER_BYTES + 1];
        let write = async {
            near.write_all(b"head ").await.unwrap();
            near.write_all(&much).await.unwrap();
            near.read_u8().await.unwrap_err();
        };
        let mut taken = vec![0; 5 + much.len()];
        let read = async {
            far.read_exact(&mut taken).await.unwrap();
            drop(far);
        };
        tokio::join!(write, read);
        assert_eq!(taken, [b"head ", much.as_slice()].concat());
    }

    #[tokio::test]
    async fn who_takes_no_more_is_still_heard() {
        let (mut near, mut far) = pair(64);
        far.write_all(b"no").await.unwrap();
        drop(far);
        near.write_all(b"head").await.unwrap();
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "no");
    }

    /// One poll; nothing if it is not ready.
    async fn once<F: Future>(future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}
