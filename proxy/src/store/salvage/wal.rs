//! A write-ahead log with a bad frame. SQLite ends at that frame without a word, whatever stands behind it.
//!
//! After a power cut that is right: the last transaction was not on disk and nobody was told that it is. Its frames may
//! have reached the disk in any order, also the last one, which commits. But the next transaction begins only when the
//! one before is on disk: two commits behind a bad frame, or one and frames after it, show that the frame was good.
//! The format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use super::page::{PAGE, Page};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const HEADER: usize = 32;
const FRAME: usize = 24;
/// What a log begins with, but for the last bit: the byte order of its checksums.
const MAGIC: u32 = 0x377f_0682;
/// More rounds of a log than one that is left of an earlier round can be behind.
const ROUNDS: u32 = 1 << 16;

/// How the words of a checksum are read.
type Order = fn([u8; 4]) -> u32;
const BIG: Order = u32::from_be_bytes;
const LITTLE: Order = u32::from_le_bytes;

/// The log of a database that nobody has open.
#[derive(Debug, Default)]
pub(super) struct Log {
    path: PathBuf,
    file: Option<File>,
    /// Where each page stands that SQLite reads from the log: the last that was committed.
    pages: HashMap<u32, u64>,
    /// How many pages the database has after the last commit that SQLite reads.
    pub(super) size: Option<u32>,
    /// Behind the first bad frame.
    pub(super) behind: Behind,
}

/// Frames that were written in the log's present round, and that SQLite does not read.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// Where each page of them stands that is whole: the last.
    pages: HashMap<u32, u64>,
    pub(super) frames: u64,
    /// How many of them commit.
    pub(super) commits: u64,
    /// Whether the last of them does.
    ends: bool,
}

impl Behind {
    /// How many transactions that were reported to be on disk are behind the bad frame, at least.
    pub(super) fn lost(&self) -> u64 {
        self.commits - u64::from(self.ends && self.commits > 0)
    }
}

impl Log {
    /// Reads the log of the database at `path`, if it has one.
    pub(super) fn open(path: &Path) -> io::Result<Log> {
        let path = path.with_extension("db-wal");
        let mut log = match File::open(&path) {
            Ok(file) => Log { path, file: Some(file), ..Log::default() },
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Log::default()),
            Err(error) => return Err(error),
        };
        log.read();
        Ok(log)
    }

    fn read(&mut self) {
        let mut header = [0; HEADER];
        if !self.fill(&mut header, 0) {
            return;
        }
        let [magic, _, page, _, salt, pepper, sum @ ..] = words::<8>(&header);
        let order = if magic & 1 == 1 { BIG } else { LITTLE };
        let mut running = checksum(order, [0, 0], &header[..HEADER - 8]);
        let mut good = magic & !1 == MAGIC && page as usize == PAGE && running == sum;
        let known = good.then_some((order, [salt, pepper]));
        let Some((order, round)) = known.or_else(|| self.round()) else { return };
        let mut uncommitted = Vec::new();
        let mut frame = [0; FRAME + PAGE];
        for at in (HEADER as u64..).step_by(frame.len()) {
            if !self.fill(&mut frame, at) {
                return;
            }
            let (head, content) = frame.split_at(FRAME);
            let [number, size, salt, pepper, sum @ ..] = words::<6>(head);
            let ours = number != 0 && round == [salt, pepper];
            // Behind a bad frame, one that is whole still goes on from what the one before it says.
            let whole = checksum(order, checksum(order, running, &head[..8]), content) == sum;
            running = sum;
            let at = at + FRAME as u64;
            good &= ours && whole;
            if good {
                uncommitted.push((number, at));
                if size != 0 {
                    self.pages.extend(uncommitted.drain(..));
                    self.size = Some(size);
                }
            } else if ours {
                self.behind.add(size != 0, whole.then_some((number, at)));
            }
        }
    }

    /// The byte order and the round of a log whose header is bad, as its frames know them: the first one, if that can be; else
    /// the first that goes on from the one before it. What is behind the present round is of earlier ones, whose first
    /// number is lower.
    fn round(&self) -> Option<(Order, [u32; 2])> {
        let mut first = None;
        let mut frame = [0; FRAME + PAGE];
        let mut before = None;
        for at in (HEADER as u64..).step_by(frame.len()) {
            if !self.fill(&mut frame, at) {
                break;
            }
            let (head, content) = frame.split_at(FRAME);
            let [number, _, salt, pepper, sum @ ..] = words::<6>(head);
            let goes_on = |order: &Order| {
                let from = before.map(|before| checksum(*order, before, &head[..8]));
                from.is_some_and(|from| checksum(*order, from, content) == sum)
            };
            if let Some(order) = [LITTLE, BIG].into_iter().find(goes_on) {
                let first = first.filter(|[first, _]: &[u32; 2]| first.wrapping_sub(salt) < ROUNDS);
                return Some((order, first.unwrap_or([salt, pepper])));
            }
            if number != 0 {
                first = first.or(Some([salt, pepper]));
            }
            before = Some(sum);
        }
        first.map(|first| (LITTLE, first))
    }

    /// A page as SQLite reads it, if that is from the log.
    pub(super) fn get(&self, number: u32) -> Option<Box<Page>> {
        self.page(*self.pages.get(&number)?)
    }

    /// Takes what stands behind the bad frame for good as well; returns what pages these are.
    pub(super) fn go_on(&mut self) -> Vec<u32> {
        let more = std::mem::take(&mut self.behind.pages);
        let numbers = more.keys().copied().collect();
        self.pages.extend(more);
        numbers
    }

    fn page(&self, at: u64) -> Option<Box<Page>> {
        let mut page = Box::new([0; PAGE]);
        self.fill(&mut *page, at).then_some(page)
    }

    fn fill(&self, buffer: &mut [u8], at: u64) -> bool {
        self.file.as_ref().is_some_and(|file| file.read_exact_at(buffer, at).is_ok())
    }

    /// Keeps a copy in `folder`.
    pub(super) fn keep(&self, folder: &Path) -> io::Result<()> {
        std::fs::copy(&self.path, folder.join("wxedge.db-wal")).map(drop)
    }
}

impl Behind {
    fn add(&mut self, commits: bool, page: Option<(u32, u64)>) {
        self.frames += 1;
        self.commits += u64::from(commits);
        self.ends = commits;
        self.pages.extend(page);
    }
}

/// Numbers as SQLite writes them.
pub(super) fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

/// SQLite's: two sums over pairs of words, going on from `from`.
fn checksum(order: Order, from: [u32; 2], bytes: &[u8]) -> [u32; 2] {
    let [mut one, mut two] = from;
    for [first, second] in bytes.as_chunks::<4>().0.as_chunks::<2>().0 {
        one = one.wrapping_add(order(*first)).wrapping_add(two);
        two = two.wrapping_add(order(*second)).wrapping_add(one);
    }
    [one, two]
}
