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
    pub(super) fn put(&self, stream: Stream, address: SocketAddr, now: Instant) {
        let mut all = self.all();
        if all.len() < limits::API_IDLE_CONNECTIONS {
            all.push(Waiting { stream, address, since: now });
        }
    }

    /// Closes those that waited for too long, that WeChat has closed, and whose address is none of `addresses`.
    pub(super) fn sweep(&self, addresses: &[SocketAddr], now: Instant) {
        self.all().retain_mut(|waiting| {
            now.saturating_duration_since(waiting.since) < limits::API_IDLE
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    const ADDRESS: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 443);

    /// Keeps a new connection, and gives its other end.
    fn put(kept: &Kept, address: SocketAddr, now: Instant) -> DuplexStream {
        let (near, far) = duplex(64);
        kept.put(Box::new(near), address, now);
        far
    }

    #[tokio::test]
    async fn the_last_one_that_is_still_open_is_taken() {
        let (kept, now) = (Kept::default(), Instant::now());
        let other = SocketAddr::new(ADDRESS.ip(), 444);
        let _open = [put(&kept, ADDRESS, now), put(&kept, other, now)];
        put(&kept, ADDRESS, now);
        put(&kept, ADDRESS, now).write_all(b"unasked").await.unwrap();
        let taken = || kept.take().map(|(_, address)| address);
        assert_eq!([taken(), taken(), taken()], [Some(other), Some(ADDRESS), None]);
    }

    #[test]
    fn what_is_old_closed_or_elsewhere_is_swept() {
        let (kept, now) = (Kept::default(), Instant::now());
        let elsewhere = SocketAddr::new(ADDRESS.ip(), 444);
        let later = now + limits::API_IDLE / 2;
        let _open =
            [put(&kept, ADDRESS, now), put(&kept, elsewhere, later), put(&kept, ADDRESS, later)];
        put(&kept, ADDRESS, later);
        kept.sweep(&[ADDRESS], later);
        assert_eq!(kept.all().len(), 2);
        kept.sweep(&[ADDRESS], now + limits::API_IDLE);
        assert_eq!(kept.all().len(), 1);
        kept.sweep(&[], later);
        assert_eq!(kept.all().len(), 0);
    }

    #[test]
    fn no_more_than_the_bound() {
        let (kept, now) = (Kept::default(), Instant::now());
        let _far: Vec<_> =
            (0..=limits::API_IDLE_CONNECTIONS).map(|_| put(&kept, ADDRESS, now)).collect();
        assert_eq!(kept.all().len(), limits::API_IDLE_CONNECTIONS);
    }
}
