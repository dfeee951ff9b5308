//! The connection for short reads, which do not wait for writes.

use super::database;
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A connection that is opened again when it was given up.
pub(super) struct Reader {
    path: PathBuf,
    database: Mutex<Option<Connection>>,
}

impl Reader {
    /// Reads the database at `path` with this connection.
    pub(super) fn new(path: PathBuf, database: Connection) -> Reader {
        Reader { path, database: Mutex::new(Some(database)) }
    }

    /// Asks the database; it answers with what is on disk at one moment.
    pub(super) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let mut kept = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match kept.take() {
            Some(database) => database,
            None => database::connect_reader(&self.path)?,
        };
        query(&*kept.insert(database).unchecked_transaction()?)
    }

    /// Closes the connection until somebody reads again.
    pub(super) fn give_up(&self) {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
