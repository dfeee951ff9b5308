//! A transaction, as the writes in it see it: a connection, and what they share.

use crate::limits;
use rusqlite::{CachedStatement, Connection};
use std::cell::{Cell, RefCell, RefMut};
use std::ops::Deref;
use std::time::{SystemTime, UNIX_EPOCH};

/// One transaction.
pub(super) struct Batch<'a> {
    database: &'a Connection,
    statements: RefCell<Vec<(&'static str, CachedStatement<'a>)>>,
    last_id: Cell<i64>,
    /// Whether the last id that was given is the highest of the tables it is for, as long as nothing is deleted.
    highest: Cell<bool>,
    /// Whether another process's ids are among those that `last_id` knows of.
    looked: Cell<bool>,
    erased: Cell<bool>,
    added: RefCell<Vec<Added>>,
}

/// The id of a new entry, and the sum of its content.
pub(super) type Added = (i64, u32);

/// What a transaction has come to.
pub(super) struct Done {
    /// The highest id that was given.
    pub(super) last_id: i64,
    /// Whether something was erased.
    pub(super) erased: bool,
    /// The entries that it adds.
    pub(super) added: Vec<Added>,
}

impl<'a> Batch<'a> {
    /// A transaction in `database`, after ids up to `last_id` have been given.
    pub(super) fn new(database: &'a Connection, last_id: i64) -> Batch<'a> {
        let [highest, looked, erased] = [const { Cell::new(false) }; 3];
        let (statements, added) = (RefCell::default(), RefCell::default());
        let last_id = Cell::new(last_id);
        Batch { database, statements, last_id, highest, looked, erased, added }
    }

    /// A statement that many writes of a batch have: prepared for the first of them.
    pub(super) fn statement(
        &self,
        sql: &'static str,
    ) -> rusqlite::Result<RefMut<'_, CachedStatement<'a>>> {
        let mut statements = self.statements.borrow_mut();
        // The same text stands in one place.
        let known = statements.iter().position(|(known, _)| std::ptr::eq(*known, sql));
        let place = known.unwrap_or(statements.len());
        if known.is_none() {
            statements.push((sql, self.database.prepare_cached(sql)?));
        }
        Ok(RefMut::map(statements, |statements| &mut statements[place].1))
    }

    /// An id that is higher than every other, also than those that another process has given during an upgrade. Says
    /// whether it is also the one that SQLite gives to the next row of `entry` and of `content`: then it need not look for
    /// the place of the row.
    pub(super) fn next_id(&self) -> rusqlite::Result<(i64, bool)> {
        if !self.looked.replace(true) {
            let sql = "SELECT max(coalesce((SELECT max(id) FROM entry), 0), \
                              coalesce((SELECT max(id) FROM content), 0))";
            let highest = self.prepare_cached(sql)?.query_row((), |row| row.get(0))?;
            self.last_id.set(self.last_id.get().max(highest));
        }
        let id = self.last_id.get().saturating_add(1);
        self.last_id.set(id);
        Ok((id, self.highest.replace(true)))
    }

    /// Says that a row was deleted, maybe the one with the highest id.
    pub(super) fn deleted(&self) {
        self.highest.set(false);
    }

    /// Says that what is deleted must not be found in any file once the transaction has ended.
    pub(super) fn erase(&self) {
        self.erased.set(true);
    }

    /// Says that an entry was added, whose content has this sum.
    pub(super) fn added(&self, id: i64, sum: u32) {
        self.added.borrow_mut().push((id, sum));
    }

    /// What it has come to.
    pub(super) fn end(self) -> Done {
        let Batch { last_id, erased, added, .. } = self;
        Done { last_id: last_id.get(), erased: erased.get(), added: added.into_inner() }
    }
}

impl Deref for Batch<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.database
    }
}

/// What the ids of a process that starts now begin after: an earlier one cannot have given so many, and so none comes
/// twice although the entries that had them are gone.
pub(super) fn first_id() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(0) << limits::SPOOL_ID_BITS
}
