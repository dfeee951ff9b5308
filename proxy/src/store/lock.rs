//! One process has the store. The kernel lets go of the lock however that process ends.

use super::OpenError;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The lock's name in the store's folder.
const FILE: &str = "lock";

/// How a process comes to its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is the only one.
    Own,
    /// Another one may have it and is about to end; then it becomes this one's.
    Join,
}

/// Holds the store until it is released.
#[derive(Debug)]
pub(super) struct Lock {
    dir: PathBuf,
    held: Mutex<Option<Flock<File>>>,
}

impl Lock {
    /// Takes the store in `dir` and writes down who has it.
    pub(super) fn take(dir: &Path, access: Access) -> Result<Lock, OpenError> {
        let held = match lock(dir) {
            Ok(file) => Some(file),
            Err(OpenError::InUse { .. }) if access == Access::Join => None,
            Err(error) => return Err(error),
        };
        Ok(Lock { dir: dir.to_owned(), held: Mutex::new(held) })
    }

    /// Whether the store is this process's alone.
    pub(super) fn is_held(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Takes the store if nobody has it any more.
    pub(super) fn try_take(&self) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = lock(&self.dir).ok();
        }
        held.is_some()
    }

    /// Lets another process have it.
    pub(super) fn release(&self) {
        drop(self.held.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn lock(dir: &Path) -> Result<Flock<File>, OpenError> {
    let unusable = |error| OpenError::Unusable(dir.to_owned(), error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(dir.join(FILE)).map_err(unusable)?;
    let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => file,
        Err((file, Errno::EWOULDBLOCK)) => {
            return Err(OpenError::InUse { dir: dir.to_owned(), pid: owner(file) });
        }
        Err((_, error)) => return Err(unusable(error.into())),
    };
    file.set_len(0).map_err(unusable)?;
    writeln!(file, "{}", std::process::id()).map_err(unusable)?;
    Ok(file)
}

fn owner(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
