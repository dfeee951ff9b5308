//! The connections to a base that wait for their next call.

use crate::limits;
use pingora::protocols::Stream;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;
use tokio::io::{AsyncRead, ReadBuf};

/// Last in, first out: the least used ones go idle and are closed.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Vec<Waiting>>);

#[derive(Debug)]
struct Waiting {
    stream: Stream,
    address: SocketAddr,
    since: Instant,
}

impl Kept {
    /// One that WeChat has left open, and to which address.
    pub(super) fn take(&self) -> Option<(Stream, SocketAddr)> {
        loop {
            let mut waiting = self.all().pop()?;
            if waiting.is_open() {
                return Some((waiting.stream, waiting.address));
            }
        }
    }

    /// Keeps one whose call is complete, if there is room.
    pub(super) fn put(&self, stream: Stream, address: SocketAddr) {
        let mut all = self.all();
        if all.len() < limits::API_IDLE_CONNECTIONS {
            all.push(Waiting { stream, address, since: Instant::now() });
        }
    }

    /// Closes those that waited for too long, that WeChat has closed, and whose address is none of `addresses`.
    pub(super) fn sweep(&self, addresses: &[SocketAddr]) {
        self.all().retain_mut(|waiting| {
            waiting.since.elapsed() < limits::API_IDLE
                && addresses.contains(&waiting.address)
                && waiting.is_open()
        });
    }

    fn all(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Whether the other end has left it open, and said nothing unasked.
    fn is_open(&mut self) -> bool {
        let mut byte = [0];
        let mut nobody = Context::from_waker(Waker::noop());
        Pin::new(&mut self.stream).poll_read(&mut nobody, &mut ReadBuf::new(&mut byte)).is_pending()
    }
}
