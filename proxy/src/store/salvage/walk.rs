//! Reading what can be read of a damaged table.
//!
//! A table is a tree of pages, and one bad page hides the rows below it. A table without row ids is read from both
//! ends. Where rows have ids, the stretch between is probed too: at … 8, 4, 2, 1 ids from either end, so that a hole of
//! any width is jumped over, and at every id where it is narrow. What is found there is read on in both directions.

use crate::limits;
use rusqlite::{Connection, Row, Statement};
use std::ops::{ControlFlow, RangeInclusive};

/// Why reading has to end: what was read cannot be kept.
pub(super) type Fault = rusqlite::Error;

/// What becomes of a row: `Ok(false)` when it makes no sense.
pub(super) type Kept = Result<bool, Fault>;

/// A table with ids. The first of `columns` is the id.
pub(super) struct Ids<'a> {
    pub(super) table: &'a str,
    pub(super) columns: &'a str,
}

impl Ids<'_> {
    /// Gives every row that can be read to `keep`. Some come twice. Says how many stretches of ids cannot be read.
    pub(super) fn read(
        &self,
        source: &Connection,
        mut keep: impl FnMut(&Row<'_>) -> Kept,
    ) -> Result<u64, Fault> {
        let Ids { table, columns } = self;
        let sql = |order: &str| {
            format!(
                "SELECT {columns} FROM {table} NOT INDEXED WHERE id BETWEEN ?1 AND ?2 ORDER BY id {order}"
            )
        };
        let (Ok(forward), Ok(backward)) =
            (source.prepare(&sql("ASC")), source.prepare(&sql("DESC")))
        else {
            return Ok(u64::from(is_there(source, table)));
        };
        let mut walk = Walk { forward, backward, keep: &mut keep, probes: limits::SALVAGE_PROBES };
        let mut holes = 0;
        let mut stretches = vec![i64::MIN..=i64::MAX];
        while let Some(stretch) = stretches.pop() {
            let Some(hole) = walk.narrow(stretch)? else { continue };
            match walk.island(&hole)? {
                None => holes += 1,
                Some((before, after)) => {
                    stretches.extend([before, after].into_iter().filter(|part| !part.is_empty()));
                }
            }
        }
        Ok(holes)
    }
}

/// Gives every row of a table without ids, ordered by `key`, to `keep`; says how many stretches of it cannot be read.
pub(super) fn read_keys(
    source: &Connection,
    table: &str,
    key: &[&str],
    columns: &str,
    mut keep: impl FnMut(&Row<'_>) -> Kept,
) -> Result<u64, Fault> {
    for order in [" ASC", " DESC"] {
        let key =
            key.iter().map(|column| format!("{column}{order}")).collect::<Vec<_>>().join(", ");
        let Ok(mut query) =
            source.prepare(&format!("SELECT {columns} FROM {table} ORDER BY {key}"))
        else {
            return Ok(u64::from(is_there(source, table)));
        };
        if each(&mut query, (), |row| keep(row).map(drop))?.is_continue() {
            return Ok(0);
        }
    }
    Ok(1)
}

/// Whether the damaged database may have this table. An older wxedge had fewer.
fn is_there(source: &Connection, table: &str) -> bool {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = ?1";
    source.query_row(sql, [table], |row| row.get(0)).unwrap_or(true)
}

/// Gives the rows of `query` to `row`; breaks off where the database cannot be read.
fn each(
    query: &mut Statement<'_>,
    values: impl rusqlite::Params,
    mut row: impl FnMut(&Row<'_>) -> Result<(), Fault>,
) -> Result<ControlFlow<()>, Fault> {
    let Ok(mut rows) = query.query(values) else { return Ok(ControlFlow::Break(())) };
    loop {
        match rows.next() {
            Ok(Some(found)) => row(found)?,
            Ok(None) => return Ok(ControlFlow::Continue(())),
            Err(_) => return Ok(ControlFlow::Break(())),
        }
    }
}

type Stretch = RangeInclusive<i64>;

struct Walk<'a, 'b> {
    forward: Statement<'a>,
    backward: Statement<'a>,
    keep: &'b mut dyn FnMut(&Row<'_>) -> Kept,
    probes: u32,
}

/// How far a reading got.
#[derive(Default)]
struct Read {
    /// The last id that made sense.
    last: Option<i64>,
    /// Whether it got to the end of the stretch.
    whole: bool,
}

impl Walk<'_, '_> {
    /// Reads a stretch from both ends; returns what is left between.
    fn narrow(&mut self, stretch: Stretch) -> Result<Option<Stretch>, Fault> {
        let (first, last) = stretch.into_inner();
        let front = self.read(true, first..=last)?;
        if front.whole {
            return Ok(None);
        }
        let first = front.last.map_or(first, |id| id.saturating_add(1));
        let back = self.read(false, first..=last)?;
        if back.whole {
            return Ok(None);
        }
        let last = back.last.map_or(last, |id| id.saturating_sub(1));
        Ok((first <= last).then_some(first..=last))
    }

    /// Looks for rows within a hole, and reads them. Returns what is left of the hole before and after them.
    fn island(&mut self, hole: &Stretch) -> Result<Option<(Stretch, Stretch)>, Fault> {
        let (first, last) = (*hole.start(), *hole.end());
        for probe in probes(hole) {
            if self.probes == 0 {
                break;
            }
            self.probes -= 1;
            let after = self.read(true, probe..=last)?;
            if after.last.is_none() && !after.whole {
                continue;
            }
            let right = match after {
                // Nothing is left; a stretch that ends before it begins.
                Read { whole: true, .. } => i64::MAX..=i64::MIN,
                Read { last: id, .. } => id.map_or(probe, |id| id.saturating_add(1))..=last,
            };
            let before = self.read(false, first..=probe.saturating_sub(1))?;
            let left = match before {
                Read { whole: true, .. } => i64::MAX..=i64::MIN,
                Read { last: id, .. } => first..=id.unwrap_or(probe).saturating_sub(1),
            };
            return Ok(Some((left, right)));
        }
        Ok(None)
    }

    fn read(&mut self, forward: bool, stretch: Stretch) -> Result<Read, Fault> {
        let query = if forward { &mut self.forward } else { &mut self.backward };
        let mut last = None;
        let end = each(query, (stretch.start(), stretch.end()), |row| {
            let sound = (self.keep)(row)?;
            // A row that makes no sense may have any id.
            if let Some(id) = row.get(0).ok().filter(|id| sound && stretch.contains(id)) {
                last = Some(id);
            }
            Ok(())
        })?;
        Ok(Read { last, whole: end.is_continue() })
    }
}

/// Where to look in a hole: `2^n` ids from its ends, the middle first, and everywhere when it is narrow.
fn probes(hole: &Stretch) -> impl Iterator<Item = i64> + use<> {
    let (first, last) = (*hole.start(), *hole.end());
    let narrow = last.checked_sub(first).is_some_and(|width| width < limits::SALVAGE_NARROW);
    let every = narrow.then_some(first..=last).into_iter().flatten();
    let powers = (0..63).rev().map(|power| 1_i64 << power);
    let ends = powers
        .flat_map(move |step| [first.checked_add(step), last.checked_sub(step)])
        .flatten()
        .filter(move |id| (first..=last).contains(id) && !narrow);
    every.chain(ends)
}
