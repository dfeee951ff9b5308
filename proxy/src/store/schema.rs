//! The tables, and how those of an older wxedge become those of this one.

use super::OpenError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// "wxed": says in the file's header whose it is.
const APPLICATION_ID: i64 = 0x7778_6564;

/// The n-th brings a database of version n to version n + 1, in one transaction. They never change once released, and take
/// nothing away that the wxedge before writes.
const MIGRATIONS: [&str; 2] = [FIRST, SPOOL];

const FIRST: &str = "
    PRAGMA application_id = 0x77786564;

    -- Tokens and tickets, with all that is known of them.
    CREATE TABLE credential (
        appid      TEXT NOT NULL,
        credential TEXT NOT NULL,     -- access_token, jsapi, wx_card
        revision   INTEGER NOT NULL,
        state      TEXT NOT NULL,     -- JSON
        PRIMARY KEY (appid, credential)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE counter (
        scope  TEXT NOT NULL,
        key    TEXT NOT NULL,
        period TEXT NOT NULL,         -- 2026-11-20 or 2026-11
        count  INTEGER NOT NULL,
        PRIMARY KEY (scope, key, period)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE value (
        name  TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

const SPOOL: &str = "
    -- What is needed to order and schedule what is spooled: small, and read whole at start.
    CREATE TABLE entry (
        id       INTEGER PRIMARY KEY, -- in the order of arrival
        appid    TEXT NOT NULL,
        kind     INTEGER NOT NULL,    -- 0 callback, 1 reply
        state    INTEGER NOT NULL,    -- 0 pending, 1 sending (a reply on its way), 2 dead
        user     INTEGER NOT NULL,    -- hash: whose entries are delivered in order
        received INTEGER NOT NULL,    -- Unix seconds
        due      INTEGER NOT NULL,    -- Unix milliseconds: when it is tried next
        attempts INTEGER NOT NULL,    -- calls made so far, the first one included
        failures INTEGER NOT NULL,    -- of its own, while others succeeded
        bytes    INTEGER NOT NULL,    -- what it counts against spool.max_bytes
        died     INTEGER              -- Unix seconds, of a dead one; of a replayed one, when that was
    ) STRICT;
    CREATE INDEX dead ON entry (id, died) WHERE state = 2;

    -- What is delivered: read when it is.
    CREATE TABLE content (
        id      INTEGER PRIMARY KEY,
        sealed  INTEGER NOT NULL,     -- 0 in clear, 1 encrypted with store.key_file
        sum     INTEGER NOT NULL,     -- CRC-32 over sealed, id, appid and content
        content BLOB NOT NULL
    ) STRICT;

    -- Why the last call of an entry failed, and what the app answered.
    CREATE TABLE failure (
        id      INTEGER PRIMARY KEY,
        sealed  INTEGER NOT NULL,
        sum     INTEGER NOT NULL,
        content BLOB NOT NULL
    ) STRICT;
";

/// The version this program writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// The version of the database, 0 for one that has just been made.
///
/// # Errors
/// When it is newer than this program, or another's.
pub(super) fn version(path: &Path, database: &Connection) -> Result<i64, OpenError> {
    let ask = |sql| database.query_row(sql, (), |row| row.get::<_, i64>(0));
    let ask = |sql| ask(sql).map_err(|error| OpenError::of(path, error));
    let id = ask("PRAGMA application_id")?;
    let found = ask("PRAGMA user_version")?;
    let empty = ask("SELECT count(*) FROM sqlite_schema")? == 0;
    match (id, found) {
        (APPLICATION_ID, found) if found <= VERSION => Ok(found),
        (APPLICATION_ID, found) => {
            Err(OpenError::Newer { path: path.to_owned(), found, known: VERSION })
        }
        (0, 0) if empty => Ok(0),
        _ => Err(OpenError::Foreign(path.to_owned())),
    }
}

/// Brings the database up to [`VERSION`]. An older wxedge may go on writing beside it, while this one takes over.
pub(super) fn migrate(database: &mut Connection) -> rusqlite::Result<()> {
    for (version, sql) in (1..).zip(MIGRATIONS) {
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if written(&transaction)? < version {
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()?;
        }
    }
    Ok(())
}

/// Writes the version that stands there: a write that changes nothing, also not what a newer wxedge has made of it.
pub(super) fn write_version(database: &mut Connection) -> rusqlite::Result<()> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "user_version", written(&transaction)?)?;
    transaction.commit()
}

fn written(database: &Connection) -> rusqlite::Result<i64> {
    database.query_row("PRAGMA user_version", (), |row| row.get(0))
}
