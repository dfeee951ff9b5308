//! The running process's side.

use super::channel::{Channel, Message, TalkError, VERSION};
use crate::limits;
use nix::sys::stat::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::convert::Infallible;
use std::fs::{DirBuilder, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// Where a new process comes in. Dropping it removes its file and closes its copies of the sockets.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
    /// Device and inode of the file, which may have been replaced.
    file: (u64, u64),
    listener: UnixListener,
    sockets: Vec<(&'static str, OwnedFd)>,
}

impl Door {
    /// Listens on `path`, for who takes over `sockets`. Makes the folder, and replaces the file that a process left
    /// behind which did not end by itself.
    ///
    /// # Errors
    /// When the path cannot be used, or another process listens there.
    pub async fn open(path: &Path, sockets: Vec<(&'static str, OwnedFd)>) -> io::Result<Door> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let listener = match bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_left_behind(path).await => {
                std::fs::remove_file(path)?;
                bind(path)
            }
            bound => bound,
        }?;
        let file = identity(&path.symlink_metadata()?);
        Ok(Door { path: path.to_owned(), file, listener, sockets })
    }

    /// Waits until a new process is ready to serve. Those that fail before do not matter, nor do those that come while
    /// another one is starting.
    pub async fn successor(&self) -> Successor {
        loop {
            let channel = self.accept().await;
            log::info!("a new process wants to take over");
            let ended = tokio::select! {
                ended = self.hand_over(channel) => ended,
                never = self.refuse_others() => match never {},
            };
            match ended {
                Ok(successor) => return successor,
                Err(error) => log::warn!("not taken over, this process goes on: {error}"),
            }
        }
    }

    async fn hand_over(&self, channel: Channel) -> Result<Successor, TalkError> {
        let refuse = async |reason: String| {
            // It ends anyway.
            let _gone = channel.send(&Message::Refused { reason }, &[]).await;
        };
        if let Err(stranger) = channel.check_peer() {
            refuse("the running wxedge belongs to another user".to_owned()).await;
            return Err(stranger);
        }
        match channel.receive(limits::UPGRADE_TALK).await? {
            (Message::Hello { version: VERSION }, _) => {}
            (Message::Hello { .. }, _) => {
                refuse(
                    "the running wxedge hands over in another way: stop it, then start this one"
                        .to_owned(),
                )
                .await;
                return Err(TalkError::Unexpected);
            }
            _ => return Err(TalkError::Unexpected),
        }
        let listeners = self.sockets.iter().map(|(name, _)| (*name).to_owned()).collect();
        let sockets: Vec<BorrowedFd<'_>> =
            self.sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
        channel.send(&Message::Sockets { listeners }, &sockets).await?;
        match channel.receive(limits::UPGRADE_START).await {
            Ok((Message::Ready, _)) => Ok(Successor(channel)),
            Ok(_) => Err(TalkError::Unexpected),
            Err(error) => {
                if let TalkError::Late(patience) = &error {
                    let patience = patience.as_secs();
                    refuse(format!("the running wxedge goes on: it has waited for {patience} s"))
                        .await;
                }
                Err(error)
            }
        }
    }

    async fn refuse_others(&self) -> Infallible {
        loop {
            let reason = "another process is taking over just now".to_owned();
            // It ends anyway.
            let _gone = self.accept().await.send(&Message::Refused { reason }, &[]).await;
        }
    }

    async fn accept(&self) -> Channel {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return Channel::new(stream),
                Err(error) => {
                    log::warn!("{} cannot accept: {error}", self.path.display());
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if self.path.symlink_metadata().is_ok_and(|file| identity(&file) == self.file) {
            // One that stays is found to be left behind.
            let _left = std::fs::remove_file(&self.path);
        }
    }
}

/// The process that takes over. It serves as soon as it is told.
#[derive(Debug)]
pub struct Successor(Channel);

impl Successor {
    /// Tells it that this process accepts nothing more.
    pub async fn tell(self) {
        if let Err(error) = self.0.send(&Message::Draining, &[]).await {
            log::warn!("the process that takes over was not told to begin: {error}");
        }
    }
}

/// A listening socket whose file only this user may use.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The file gets the rights of the socket: it is nobody else's from the first moment.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, limits::UPGRADE_BACKLOG)?;
    UnixListener::from_std(socket.into())
}

/// Whether nobody listens on a socket's file.
async fn is_left_behind(path: &Path) -> bool {
    let is_socket = path.symlink_metadata().is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).await.is_err_and(refused)
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests;
