//! Which process has the store. The kernel lets go of a lock however the process that holds it ends.
//!
//! There are two locks and one order: `lock.next` first, then `lock`. The owner holds `lock`. Whoever is on the way to
//! it holds `lock.next`: an ordinary start until its database is open, one that joins ([`Access::Join`]) until the owner
//! is gone and it has `lock` itself. Therefore:
//!
//! * Nobody gets between an owner that ends and the process that joined it: `lock` is only tried by who has
//!   `lock.next`, and that process has had it all the time.
//! * One process joins at a time, and none joins a database that is still being made, moved away or salvaged.
//! * Nobody waits for ever: `lock` is only ever tried, and who waits for `lock.next` holds nothing.
//! * A process that has joined and dies leaves the owner alone.
//!
//! The files are never removed: a lock on a file without a name keeps nobody out.

use super::OpenError;
use crate::limits;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Held by the owner.
const OWNER: &str = "lock";
/// Held by who is on the way to being the owner.
const NEXT: &str = "lock.next";
/// How often a start that joins looks whether another start is over.
const POLL: Duration = Duration::from_millis(5);

/// How a process wants the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// For itself: a store that another process has is refused.
    #[default]
    Own,
    /// Beside the process that has it, until that one lets go (`wxedge run --upgrade`). A store that nobody has is owned
    /// at once.
    Join,
}

/// What this process may do with the store in a folder.
#[derive(Debug)]
pub(super) struct Lease {
    dir: PathBuf,
    owns: AtomicBool,
    locks: Mutex<Locks>,
}

#[derive(Debug, Default)]
struct Locks {
    owner: Option<Flock<File>>,
    next: Option<Flock<File>>,
}

impl Lease {
    /// Takes the store in `dir`, or joins its owner, and keeps every other process from doing so until
    /// [`Lease::opened`].
    pub(super) fn take(dir: &Path, access: Access) -> Result<Lease, OpenError> {
        let unusable = |error| OpenError::Unusable(dir.to_owned(), error);
        let begun = Instant::now();
        // An ordinary start that is refused holds it for a moment; joining must not fail for that.
        let next = loop {
            match lock(&dir.join(NEXT)).map_err(unusable)? {
                Ok(next) => break next,
                Err(pid) if access == Access::Own || begun.elapsed() > limits::STORE_LOCKED => {
                    return Err(OpenError::Claimed { dir: dir.to_owned(), pid });
                }
                Err(_) => std::thread::sleep(POLL),
            }
        };
        let owner = match lock(&dir.join(OWNER)).map_err(unusable)? {
            Ok(owner) => Some(owner),
            Err(_) if access == Access::Join => None,
            Err(pid) => return Err(OpenError::InUse { dir: dir.to_owned(), pid }),
        };
        Ok(Lease {
            dir: dir.to_owned(),
            owns: AtomicBool::new(owner.is_some()),
            locks: Mutex::new(Locks { owner, next: Some(next) }),
        })
    }

    /// The database is open: whoever comes now may join.
    pub(super) fn opened(&self) {
        let mut locks = self.locks();
        if locks.owner.is_some() {
            locks.next = None;
        }
    }

    /// Whether this process is the owner.
    pub(super) fn owns(&self) -> bool {
        self.owns.load(Ordering::Acquire)
    }

    /// Becomes the owner when there is none any more; says whether it is.
    pub(super) fn try_own(&self) -> bool {
        let mut locks = self.locks();
        // Without `lock.next` it has the store already, or has let go of it.
        if locks.owner.is_none() && locks.next.is_some() {
            locks.owner = lock(&self.dir.join(OWNER)).ok().and_then(Result::ok);
            self.owns.store(locks.owner.is_some(), Ordering::Release);
            if locks.owner.is_some() {
                locks.next = None;
            }
        }
        self.owns()
    }

    fn release(&self) {
        let mut locks = self.locks();
        self.owns.store(false, Ordering::Release);
        *locks = Locks::default();
    }

    fn locks(&self) -> MutexGuard<'_, Locks> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of the store when it is dropped, whoever still asks whose it is.
#[derive(Debug)]
pub(super) struct Held(pub(super) std::sync::Arc<Lease>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Takes the lock at `path` and writes down who has it; `Err` of the process that does, if that has written it yet.
fn lock(path: &Path) -> io::Result<Result<Flock<File>, Option<u32>>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = match Flock::lock(options.open(path)?, FlockArg::LockExclusiveNonblock) {
        Ok(file) => file,
        Err((file, Errno::EWOULDBLOCK)) => return Ok(Err(holder(file))),
        Err((_, error)) => return Err(error.into()),
    };
    // A full disk takes no number; the lock holds all the same.
    let _unsaid = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Ok(file))
}

fn holder(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
