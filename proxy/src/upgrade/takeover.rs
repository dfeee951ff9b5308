//! The new process's side.

use super::channel::{Channel, Message, TalkError, VERSION};
use super::inherited::Inherited;
use crate::limits;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use tokio::net::UnixStream;

/// A takeover under way: the running process waits to hear that this one is ready. Dropping it ends the takeover, and
/// the running process goes on.
#[derive(Debug)]
pub struct Takeover(std::os::unix::net::UnixStream);

/// Asks the process that listens on `path` for its sockets; `None` when there is no such process.
///
/// # Errors
/// When it does not give them.
pub async fn begin(path: &Path) -> Result<Option<(Takeover, Inherited)>, TalkError> {
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let channel = Channel::new(stream);
    channel.check_peer()?;
    // Who refuses without listening has said why.
    let _refused = channel.send(&Message::Hello { version: VERSION }, &[]).await;
    let (listeners, sockets) = match channel.receive(limits::UPGRADE_TALK).await? {
        (Message::Sockets { listeners }, sockets) if listeners.len() == sockets.len() => {
            (listeners, sockets)
        }
        (Message::Refused { reason }, _) => return Err(TalkError::Refused(reason)),
        _ => return Err(TalkError::Unexpected),
    };
    let sockets = listeners.into_iter().zip(sockets.into_iter().map(TcpListener::from)).collect();
    Ok(Some((Takeover(channel.into_std()?), Inherited::new(sockets))))
}

impl Takeover {
    /// Says that this process is ready, and waits until the running one drains.
    ///
    /// # Errors
    /// When the running one goes on: this one has to end.
    pub async fn finish(self) -> Result<(), TalkError> {
        let channel = Channel::new(UnixStream::from_std(self.0)?);
        // Who has ended may have said why.
        let _ended = channel.send(&Message::Ready, &[]).await;
        match channel.receive(limits::UPGRADE_TALK).await {
            Ok((Message::Draining, _)) => log::info!("taken over; the process before drains"),
            Ok((Message::Refused { reason }, _)) => return Err(TalkError::Refused(reason)),
            // It would have said that it goes on. So it is gone, or hangs and drains as soon as it can.
            Ok(_) => log::warn!("taken over: {}", TalkError::Unexpected),
            Err(error) => log::warn!("taken over: {error}"),
        }
        Ok(())
    }
}
