//! What the two processes say to each other: lines of JSON over a Unix socket, and with them listening sockets.

use crate::limits;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Uid, geteuid};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The version of the protocol. `Hello` and `Refused` are the same in every version.
pub(super) const VERSION: u32 = 1;

/// One line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// The new process wants to take over.
    Hello { version: u32 },
    /// The running one's listeners; their sockets come with it, in the same order.
    Sockets { listeners: Vec<String> },
    /// The running one goes on; in words for the operator.
    Refused { reason: String },
    /// The new one can serve.
    Ready,
    /// The running one accepts nothing more.
    Draining,
}

/// Why the two do not come to terms.
#[derive(Debug, thiserror::Error)]
pub enum TalkError {
    /// It closed the connection.
    #[error("the other process has ended")]
    Ended,
    /// It took too long.
    #[error("the other process has said nothing for {} s", .0.as_secs())]
    Late(Duration),
    /// It speaks another language.
    #[error("the other process says what this one does not understand")]
    Unexpected,
    /// It belongs to somebody else.
    #[error("the other process belongs to another user (uid {0})")]
    Stranger(u32),
    /// It does not want to, and says why.
    #[error("{0}")]
    Refused(String),
    /// The socket between them.
    #[error("the other process cannot be talked to: {0}")]
    Socket(io::Error),
}

impl From<io::Error> for TalkError {
    fn from(error: io::Error) -> TalkError {
        match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => TalkError::Ended,
            _ => TalkError::Socket(error),
        }
    }
}

/// One end of the talk.
#[derive(Debug)]
pub(super) struct Channel(UnixStream);

impl Channel {
    pub(super) fn new(stream: UnixStream) -> Channel {
        Channel(stream)
    }

    /// For another runtime.
    pub(super) fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        self.0.into_std()
    }

    /// Refuses a process of another user.
    pub(super) fn check_peer(&self) -> Result<(), TalkError> {
        let peer = socket_peercred(&self.0).map_err(io::Error::from)?.uid;
        if trusts(geteuid(), peer) { Ok(()) } else { Err(TalkError::Stranger(peer.as_raw())) }
    }

    /// Says something; `sockets` go with it.
    pub(super) async fn send(
        &self,
        message: &Message,
        sockets: &[BorrowedFd<'_>],
    ) -> Result<(), TalkError> {
        let mut line = serde_json::to_vec(message).map_err(io::Error::from)?;
        line.push(b'\n');
        let write = self.0.async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); SPACE];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
                return Err(io::Error::other("more sockets than a message takes"));
            }
            Ok(sendmsg(&self.0, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?)
        });
        let written = within(limits::UPGRADE_TALK, write).await??;
        // A line is far shorter than what the kernel takes at once.
        if written == line.len() { Ok(()) } else { Err(TalkError::Unexpected) }
    }

    /// Hears the next message, and the sockets that came with it.
    pub(super) async fn receive(
        &self,
        patience: Duration,
    ) -> Result<(Message, Vec<OwnedFd>), TalkError> {
        within(patience, self.line()).await?
    }

    async fn line(&self) -> Result<(Message, Vec<OwnedFd>), TalkError> {
        let (mut line, mut sockets) = (Vec::new(), Vec::new());
        while !line.ends_with(b"\n") {
            let mut bytes = [0; limits::UPGRADE_MESSAGE_BYTES];
            let read = self.0.async_io(Interest::READABLE, || {
                let mut space = [MaybeUninit::uninit(); SPACE];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let mut into = [IoSliceMut::new(&mut bytes)];
                let flags = RecvFlags::CMSG_CLOEXEC;
                let read = recvmsg(&self.0, &mut into, &mut control, flags)?.bytes;
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(received) = message {
                        sockets.extend(received);
                    }
                }
                Ok(read)
            });
            let read = read.await?;
            if read == 0 {
                return Err(TalkError::Ended);
            }
            line.extend_from_slice(bytes.get(..read).unwrap_or_default());
            if line.len() > limits::UPGRADE_MESSAGE_BYTES || sockets.len() > limits::UPGRADE_SOCKETS
            {
                return Err(TalkError::Unexpected);
            }
        }
        let message = serde_json::from_slice(&line).map_err(|_| TalkError::Unexpected)?;
        Ok((message, sockets))
    }
}

/// Room for the sockets of one message.
const SPACE: usize = rustix::cmsg_space!(ScmRights(limits::UPGRADE_SOCKETS));

async fn within<T>(patience: Duration, talk: impl Future<Output = T>) -> Result<T, TalkError> {
    tokio::time::timeout(patience, talk).await.map_err(|_| TalkError::Late(patience))
}

/// Whether a process of `user` hands its sockets to, or takes them from, one of `peer`.
fn trusts(user: Uid, peer: Uid) -> bool {
    peer == user || peer.is_root()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn pair() -> (Channel, UnixStream) {
        let (one, other) = UnixStream::pair().unwrap();
        (Channel::new(one), other)
    }

    #[test]
    fn only_the_same_user_and_root_are_trusted() {
        let [root, user, other] = [0, 1000, 1001].map(Uid::from_raw);
        assert!(trusts(user, user) && trusts(user, root) && trusts(root, root));
        assert!(!trusts(user, other) && !trusts(root, user));
    }

    #[tokio::test]
    async fn sockets_arrive_with_their_message() {
        let (one, other) = pair();
        let other = Channel::new(other);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let said = || Message::Sockets { listeners: vec!["callback".to_owned()] };
        one.send(&said(), &[listener.as_fd()]).await.unwrap();
        let (heard, sockets) = other.receive(limits::UPGRADE_TALK).await.unwrap();
        assert_eq!(heard, said());
        let [socket] = sockets.try_into().unwrap();
        let received = std::net::TcpListener::from(socket);
        assert_eq!(received.local_addr().unwrap(), listener.local_addr().unwrap());
        other.check_peer().unwrap();
    }

    #[tokio::test]
    async fn what_is_no_message_is_an_error() {
        let endless = vec![b' '; limits::UPGRADE_MESSAGE_BYTES + 1];
        for bytes in [&b"{\n"[..], b"\"steady\"\n", b"\"ready\"\n\"ready\"\n", &endless] {
            let (channel, peer) = pair();
            peer.writable().await.unwrap();
            assert_eq!(peer.try_write(bytes).unwrap(), bytes.len());
            let heard = channel.receive(limits::UPGRADE_TALK).await;
            assert!(matches!(heard, Err(TalkError::Unexpected)), "{heard:?}");
        }
        let (channel, peer) = pair();
        drop(peer);
        let heard = channel.receive(limits::UPGRADE_TALK).await;
        assert!(matches!(heard, Err(TalkError::Ended)), "{heard:?}");
        assert!(matches!(channel.send(&Message::Ready, &[]).await, Err(TalkError::Ended)));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let (channel, _silent) = pair();
        let heard = channel.receive(limits::UPGRADE_TALK).await;
        assert!(matches!(heard, Err(TalkError::Late(_))), "{heard:?}");
    }
}
