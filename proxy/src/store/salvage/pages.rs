//! The pages of a damaged database, each as it was last committed: in the log, or else in the file.

use super::page::{self, PAGE, Page, Record};
use super::wal::{Log, words};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A database that nobody has open.
pub(super) struct Pages {
    file: File,
    pub(super) log: Log,
    /// How many there are.
    count: u32,
    /// Whether there should be more: the file is cut off.
    pub(super) cut: bool,
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
        let count = log.size.unwrap_or(there);
        let mut pages = Pages { file, log, count, cut: false };
        pages.cut = match pages.get(1) {
            None => count > 0,
            Some(first) => {
                // In the file's header: the size of a page, and how many there are.
                let header = words::<8>(&first[..32]);
                let ours = (header[4] >> 16) as usize == PAGE;
                ours && (header[7] > count || pages.get(count).is_none())
            }
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
            let rows = self.get(number).and_then(|page| self.rows(number, &page));
            rows.into_iter().flatten().flatten().try_for_each(&mut each)?;
        }
        Ok(())
    }

    /// Gives every row that can be read to `each`. Says on how many pages are, or may be, some that cannot.
    pub(super) fn read(
        &self,
        mut each: impl FnMut(Record) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<u64> {
        let mut lost = 0;
        for number in (1..=self.count).filter(|number| !is_map(*number)) {
            let Some(rows) = self.get(number).and_then(|page| self.rows(number, &page)) else {
                lost += u64::from(self.held_rows(number));
                continue;
            };
            // The count of rows may be what is damaged.
            lost += u64::from(rows.iter().any(Option::is_none));
            rows.into_iter().flatten().try_for_each(&mut each)?;
        }
        // Nobody may know any more what it was that is missing.
        Ok(lost.max(u64::from(self.cut)))
    }

    fn rows(&self, number: u32, page: &Page) -> Option<Vec<Option<Record>>> {
        page::rows(number, page, |more| self.get(more))
    }

    /// Whether a page that cannot be read was one of rows: one of a tree, and not one that only says where the pages below
    /// it are.
    fn held_rows(&self, number: u32) -> bool {
        if !self.mapped(number).is_some_and(|kind| matches!(kind, ROOT | TREE)) {
            return false;
        }
        let maps = (2..=self.count).step_by(MAPPED as usize + 1);
        let below = maps.filter_map(|map| Some((map, self.get(map)?))).find_map(|(map, page)| {
            let at = page.as_chunks::<5>().0.iter().position(|[kind, above @ ..]| {
                *kind == TREE && u32::from_be_bytes(*above) == number
            })?;
            self.get(map + 1 + u32::try_from(at).ok()?)
        });
        below.is_none_or(|page| page::has_keys(&page))
    }

    /// What kind of page the map says it is.
    fn mapped(&self, number: u32) -> Option<u8> {
        let at = number.checked_sub(3)?;
        let map = self.get(2 + at / (MAPPED + 1) * (MAPPED + 1))?;
        let [kind, ..] = map.as_chunks::<5>().0.get((at % (MAPPED + 1)) as usize)?;
        Some(*kind)
    }
}

/// Whether a page maps others.
fn is_map(number: u32) -> bool {
    number >= 2 && (number - 2).is_multiple_of(MAPPED + 1)
}
