//! What is acknowledged but not taken yet: entries that are scheduled, and the content of each.
//!
//! An entry is a small row that is read at start and kept in memory by who schedules it; its content is read when it is
//! delivered. Why its last call failed is a row of its own, as most have none. The writes stand in `write.rs`, the
//! reads in `read.rs`; how a content becomes the bytes of its row in `record.rs` and `seal.rs`.

mod read;
mod record;
mod row;
pub(super) mod seal;
mod write;

pub use read::{Contents, Filter, Listed};
pub use record::{Content, Failed, LastAnswer};
pub use row::{Entry, EntryKind, EntryState, NewEntry};
pub use seal::Unreadable;
pub(super) use write::withdraw;
