//! The pages of a damaged database, each as it was last committed: in the log, or else in the file.

use super::page::{self, PAGE, Page, Record};
use super::wal::Log;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A database that nobody has open.
pub(super) struct Pages {
    file: File,
    log: Log,
    /// How many there should be.
    count: u32,
}

/// Each page that maps others has so many: five bytes for each.
const MAPPED: u32 = PAGE as u32 / 5;
/// Kinds of pages in a map: the first of a tree, another one.
const ROOT: u8 = 1;
const TREE: u8 = 5;

impl Pages {
    pub(super) fn open(path: &Path) -> io::Result<Pages> {
        let (file, log) = (File::open(path)?, Log::open(path)?);
        let there = file.metadata()?.len().div_ceil(PAGE as u64);
        let there = u32::try_from(there).unwrap_or(u32::MAX);
        let mut pages = Pages { file, log, count: there };
        pages.count = match (pages.log.size, pages.get(1)) {
            (Some(size), _) => size,
            // The file may be cut off, but a count that is damaged is not believed.
            (None, Some(first)) => first[28..].first_chunk().map_or(there, |count| {
                u32::from_be_bytes(*count).clamp(there, there.saturating_mul(2))
            }),
            (None, None) => there,
        };
        Ok(pages)
    }

    /// A page, if it is there and the disk gives it.
    fn get(&self, number: u32) -> Option<Box<Page>> {
        if let Some(page) = self.log.get(number) {
            return Some(page);
        }
        let mut page = Box::new([0; PAGE]);
        let at = u64::from(number).checked_sub(1)? * PAGE as u64;
        self.file.read_exact_at(&mut *page, at).ok()?;
        Some(page)
    }

    /// Takes pages of the log for good that SQLite does not read, and gives their rows to `each`.
    pub(super) fn read_behind(
        &mut self,
        mut each: impl FnMut(Record) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        for number in self.log.go_on() {
            let rows =
                self.get(number).and_then(|page| page::rows(number, &page, |more| self.get(more)));
            rows.into_iter().flatten().flatten().try_for_each(&mut each)?;
        }
        Ok(())
    }

    /// Gives every row that can be read to `each`. Says how many rows and pages of rows cannot.
    pub(super) fn read(
        &self,
        mut each: impl FnMut(Record) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<u64> {
        let mut lost = 0;
        for number in (1..=self.count).filter(|number| !is_map(*number)) {
            let rows =
                self.get(number).and_then(|page| page::rows(number, &page, |more| self.get(more)));
            match rows {
                Some(rows) => {
                    for row in rows {
                        match row {
                            Some(row) => each(row)?,
                            None => lost += 1,
                        }
                    }
                }
                None => lost += u64::from(self.held_rows(number)),
            }
        }
        Ok(lost)
    }

    /// Whether a page that cannot be read was one of rows: one of a tree, and no other says that it stands below it.
    fn held_rows(&self, number: u32) -> bool {
        let maps = (2..=self.count).step_by(MAPPED as usize + 1);
        self.mapped(number).is_some_and(|(kind, _)| matches!(kind, ROOT | TREE))
            && !maps.filter_map(|map| self.get(map)).any(|map| {
                map.as_chunks::<5>()
                    .0
                    .iter()
                    .any(|[kind, above @ ..]| *kind == TREE && u32::from_be_bytes(*above) == number)
            })
    }

    /// What the map says of a page: its kind, and the page above.
    fn mapped(&self, number: u32) -> Option<(u8, u32)> {
        let at = number.checked_sub(3)?;
        let map = self.get(2 + at / (MAPPED + 1) * (MAPPED + 1))?;
        let entry = map.as_chunks::<5>().0.get((at % (MAPPED + 1)) as usize)?;
        let [kind, above @ ..] = *entry;
        Some((kind, u32::from_be_bytes(above)))
    }
}

/// Whether a page maps others.
fn is_map(number: u32) -> bool {
    number >= 2 && (number - 2).is_multiple_of(MAPPED + 1)
}
