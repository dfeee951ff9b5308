//! The rows of one page. The format: <https://www.sqlite.org/fileformat2.html#b_tree_pages>.

use crate::limits;
use rusqlite::types::ValueRef;

/// The bytes of a page.
pub(in crate::store) const PAGE: usize = limits::STORE_PAGE_BYTES as usize;

/// What is left of a page for its rows where the file begins.
const FILE_HEADER: usize = 100;

/// A page as it is in the file.
pub(super) type Page = [u8; PAGE];

/// What of a tree stands in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Rows with ids.
    Rows,
    /// Rows of a table without ids, or of an index.
    Keys,
    /// The same, and where the pages below are.
    InnerKeys,
    /// Only where the pages below are.
    Inner,
}

/// A row, or an entry of an index.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Of a table with ids.
    pub(super) id: Option<i64>,
    payload: Vec<u8>,
}

/// The rows of page `number`, which overflow into others that `next` gives; `None` for each that makes no sense. `None`
/// for a page that is none of a tree.
pub(super) fn rows(
    number: u32,
    page: &Page,
    next: impl Fn(u32) -> Option<Box<Page>>,
) -> Option<Vec<Option<Record>>> {
    let begin = if number == 1 { FILE_HEADER } else { 0 };
    let (kind, header) = match page.get(begin)? {
        0x0d => (Kind::Rows, 8),
        0x0a => (Kind::Keys, 8),
        0x02 => (Kind::InnerKeys, 12),
        0x05 => (Kind::Inner, 12),
        _ => return None,
    };
    let count = u16::from_be_bytes(*page.get(begin + 3..)?.first_chunk()?);
    let pointers = page.get(begin + header..)?.get(..2 * usize::from(count))?;
    if kind == Kind::Inner {
        return Some(Vec::new());
    }
    let rows = pointers.as_chunks().0.iter().map(|at| {
        let cell = page.get(usize::from(u16::from_be_bytes(*at))..)?;
        record(kind, cell, &next)
    });
    Some(rows.collect())
}

/// Whether it is a page of a table without ids, or of an index: there rows stand in all pages of a tree.
pub(super) fn has_keys(page: &Page) -> bool {
    matches!(page[0], 0x0a | 0x02)
}

fn record(kind: Kind, mut cell: &[u8], next: impl Fn(u32) -> Option<Box<Page>>) -> Option<Record> {
    if kind == Kind::InnerKeys {
        cell = cell.get(4..)?;
    }
    let length = usize::try_from(varint(&mut cell)?).ok()?;
    if length > limits::SALVAGE_ROW_BYTES {
        return None;
    }
    let id = match kind {
        Kind::Rows => Some(varint(&mut cell)?),
        _ => None,
    };
    let here = local(kind, length);
    let mut payload = cell.get(..here)?.to_vec();
    if here < length {
        let mut more = u32::from_be_bytes(*cell.get(here..)?.first_chunk()?);
        while payload.len() < length {
            let page = next(more)?;
            let (link, content) = page.split_first_chunk()?;
            more = u32::from_be_bytes(*link);
            payload.extend(content.iter().take(length - payload.len()));
        }
    }
    Some(Record { id, payload })
}

/// How many bytes of a row stand in its own page.
fn local(kind: Kind, length: usize) -> usize {
    let most = match kind {
        Kind::Rows => PAGE - 35,
        _ => (PAGE - 12) * 64 / 255 - 23,
    };
    if length <= most {
        return length;
    }
    let least = (PAGE - 12) * 32 / 255 - 23;
    let rest = least + (length - least) % (PAGE - 4);
    if rest <= most { rest } else { least }
}

impl Record {
    /// Its columns; `None` when they make no sense. The id stands in none.
    pub(super) fn columns(&self) -> Option<Vec<ValueRef<'_>>> {
        let mut header = &self.payload[..];
        let length = usize::try_from(varint(&mut header)?).ok()?;
        let (mut header, mut content) = {
            let read = self.payload.len() - header.len();
            (self.payload.get(read..length)?, self.payload.get(length..)?)
        };
        let mut columns = Vec::new();
        while !header.is_empty() {
            columns.push(value(varint(&mut header)?, &mut content)?);
        }
        Some(columns)
    }
}

fn value<'a>(kind: i64, content: &mut &'a [u8]) -> Option<ValueRef<'a>> {
    let length = match kind {
        0 | 8 | 9 => 0,
        1..=4 => kind,
        5 => 6,
        6 | 7 => 8,
        12.. => (kind - 12) / 2,
        _ => return None,
    };
    let (bytes, rest) = content.split_at_checked(usize::try_from(length).ok()?)?;
    *content = rest;
    Some(match kind {
        0 => ValueRef::Null,
        7 => ValueRef::Real(f64::from_be_bytes(*bytes.first_chunk()?)),
        8 | 9 => ValueRef::Integer(kind - 8),
        1..=6 => ValueRef::Integer(integer(bytes)),
        _ if kind % 2 == 0 => ValueRef::Blob(bytes),
        _ => ValueRef::Text(str::from_utf8(bytes).ok()?.as_bytes()),
    })
}

/// Of up to eight bytes, the highest first.
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |number, byte| number << 8 | i64::from(*byte))
}

/// Seven bits of each byte, the highest first, while the eighth is set; all eight of the ninth.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0;
    for at in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if at == 8 {
            return Some(number << 8 | i64::from(*byte));
        }
        number = number << 7 | i64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}
