//! One process has the store. The kernel lets go of the lock however that process ends.

use super::OpenError;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The lock's name in the store's folder.
const FILE: &str = "lock";

/// Holds the store until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Takes the store in `dir` and writes down who has it.
    pub(super) fn take(dir: &Path) -> Result<Lock, OpenError> {
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
        Ok(Lock { _file: file })
    }
}

fn owner(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
