//! Moves the write-ahead log into the database, beside the thread that writes: its syncs are long, and nobody waits for
//! them.

use super::database;
use rusqlite::Connection;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

/// A thread with a connection of its own. It ends when this is dropped, which waits for it.
#[derive(Debug)]
pub(super) struct Checkpointer {
    asked: Option<SyncSender<()>>,
    ended: Receiver<rusqlite::Result<()>>,
    running: bool,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// A thread for the database at `path`, which it opens when it is asked for the first time.
    pub(super) fn start(path: PathBuf) -> io::Result<Checkpointer> {
        let (asked, asks) = sync_channel(1);
        let (ending, ended) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || run(&path, &asks, &ending))?;
        Ok(Checkpointer { asked: Some(asked), ended, running: false, thread: Some(thread) })
    }

    /// Begins a checkpoint, unless one runs.
    ///
    /// # Errors
    /// When the one before has failed: what it did not move is still in the log.
    pub(super) fn ask(&mut self) -> rusqlite::Result<()> {
        if !self.is_running()? {
            self.running = self.asked.as_ref().is_some_and(|asked| asked.send(()).is_ok());
        }
        Ok(())
    }

    /// Whether a checkpoint runs.
    ///
    /// # Errors
    /// When it has failed.
    pub(super) fn is_running(&mut self) -> rusqlite::Result<bool> {
        let ended = match self.ended.try_recv() {
            Err(TryRecvError::Empty) => return Ok(self.running),
            Err(TryRecvError::Disconnected) => Ok(()),
            Ok(ended) => ended,
        };
        self.running = false;
        ended.map(|()| false)
    }

    /// Waits for the end of a checkpoint that runs.
    ///
    /// # Errors
    /// When it has failed.
    pub(super) fn wait(&mut self) -> rusqlite::Result<()> {
        match std::mem::take(&mut self.running) {
            true => self.ended.recv().unwrap_or(Ok(())),
            false => Ok(()),
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.asked = None;
        if let Some(thread) = self.thread.take() {
            // It has no way to panic, and there is nobody to tell.
            let _ended = thread.join();
        }
    }
}

fn run(path: &Path, asks: &Receiver<()>, ending: &SyncSender<rusqlite::Result<()>>) {
    let mut kept: Option<Connection> = None;
    for () in asks {
        let opened = kept.take().map_or_else(|| database::connect_checkpointer(path), Ok);
        let ended = opened.and_then(|database| checkpoint(kept.insert(database)));
        if ending.send(ended).is_err() {
            return;
        }
    }
}

/// Moves the write-ahead log into the database. Who reads may keep some of it until the next time.
pub(super) fn checkpoint(database: &Connection) -> rusqlite::Result<()> {
    database.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))
}
