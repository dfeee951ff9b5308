//! Moves the write-ahead log into the database, beside the thread that writes: its syncs are long, and nobody waits for
//! them.

use super::database;
use crate::process_log::Seldom;
use rusqlite::Connection;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Checkpointer {
    asked: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start(path: PathBuf) -> io::Result<Checkpointer> {
        let (asked, asks) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || run(&path, &asks))?;
        Ok(Checkpointer { asked: Some(asked), thread: Some(thread) })
    }

    /// Asks for a checkpoint. One that waits to begin is enough.
    pub(super) fn ask(&self) {
        if let Some(asked) = &self.asked {
            let _enough = asked.try_send(());
        }
    }

    /// Waits for its end.
    pub(super) fn stop(&mut self) {
        self.asked = None;
        if let Some(thread) = self.thread.take() {
            // It has no way to panic, and there is nobody to tell.
            let _ended = thread.join();
        }
    }
}

/// What fails is tried again: nothing is lost by it, because it stays in the log until the database was synced. When it
/// goes on failing the log grows until the writer makes the checkpoint itself, and finds out.
fn run(path: &Path, asks: &Receiver<()>) {
    let mut kept: Option<Connection> = None;
    let failures = Seldom::default();
    for () in asks {
        let done = kept.take().map_or_else(|| database::connect_checkpointer(path), Ok).and_then(
            |database| {
                database.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))?;
                Ok(database)
            },
        );
        match done {
            Ok(database) => kept = Some(database),
            Err(error) if failures.is_time() => {
                log::warn!("the store's log cannot be moved into its database: {error}");
            }
            Err(_) => {}
        }
    }
}
