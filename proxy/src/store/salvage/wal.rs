//! A write-ahead log with a bad frame. SQLite ends at that frame without a word, whatever stands behind it.
//!
//! After a power cut that is right: the last transaction was not on disk and nobody was told that it is. Its frames may
//! have reached the disk in any order, also the last one, which commits. But the next transaction begins only when the
//! one before is on disk: two commits behind a bad frame, or one and frames after it, show that the frame was good.
//! The format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use super::scratch::PAGE;
use crate::store::OpenError;
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

const HEADER: usize = 32;
const FRAME: usize = 24;

/// Frames that SQLite will not read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Behind {
    /// Frames of the log behind the first bad one.
    frames: u64,
    /// How many of them commit.
    commits: u64,
    /// Whether the last of them does.
    ends: bool,
}

/// Keeps a copy of the log of the database at `path`, which nobody has open, if something that was reported to be on disk
/// may stand in what SQLite will not read of it. Returns the copy's folder.
pub(in crate::store) fn keep_a_broken_one(path: &Path) -> Result<Option<PathBuf>, OpenError> {
    let log = path.with_extension("db-wal");
    let unusable = |error| OpenError::Unusable(log.clone(), error);
    let behind = match File::open(&log).and_then(|log| behind(BufReader::new(log))) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        behind => behind.map_err(unusable)?,
    };
    let Behind { frames, commits, ends } = behind;
    if commits == 0 {
        return Ok(None);
    }
    let folder = super::folder(path).map_err(unusable)?;
    fs::copy(&log, folder.join("wxedge.db-wal")).map_err(unusable)?;
    let (log, kept) = (log.display(), folder.display());
    if commits == 1 && ends {
        log::warn!(
            "the last transaction in {log} is not whole: {frames} of its pages cannot be used; after a power cut that is as it should be, and nothing is lost; otherwise the last messages are; a copy is in {kept}"
        );
    } else {
        log::error!(
            "{log} is damaged: at least {} and at most {} transactions, {frames} pages, are lost; the copy in {kept} holds messages and tokens: remove it when it is of no more use",
            commits - u64::from(ends),
            commits + 1
        );
    }
    Ok(Some(folder))
}

/// Counts the frames of the log's present round that stand behind the first bad one.
fn behind(mut log: impl Read) -> io::Result<Behind> {
    let (mut header, mut frame) = ([0; HEADER], [0; FRAME + PAGE]);
    let mut behind = Behind::default();
    if !fill(&mut log, &mut header)? {
        return Ok(behind);
    }
    let [magic, _, page, _, salt, pepper, sum, sum_two] = words(&header);
    let order = if magic & 1 == 1 { u32::from_be_bytes } else { u32::from_le_bytes };
    let mut running = checksum(order, [0, 0], &header[..HEADER - 8]);
    let mut good = magic & !1 == MAGIC && page as usize == PAGE && running == [sum, sum_two];
    // A header that is bad does not know its own round; the first frame does.
    let mut round = good.then_some([salt, pepper]);
    while fill(&mut log, &mut frame)? {
        let (head, content) = frame.split_at(FRAME);
        let [number, commits, salt, pepper, sum, sum_two] = words(head);
        let ours = number != 0 && *round.get_or_insert([salt, pepper]) == [salt, pepper];
        if good {
            running = checksum(order, checksum(order, running, &head[..8]), content);
            good = ours && running == [sum, sum_two];
        } else if ours {
            behind.frames += 1;
            behind.commits += u64::from(commits != 0);
            behind.ends = commits != 0;
        }
    }
    Ok(behind)
}

/// What a log begins with, but for the last bit: the byte order of its checksums.
const MAGIC: u32 = 0x377f_0682;

/// Fills the buffer; `false` when there is less.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

/// SQLite's: two sums over pairs of words, going on from `from`.
fn checksum(order: fn([u8; 4]) -> u32, from: [u32; 2], bytes: &[u8]) -> [u32; 2] {
    let [mut one, mut two] = from;
    for [first, second] in bytes.as_chunks::<4>().0.as_chunks::<2>().0 {
        one = one.wrapping_add(order(*first)).wrapping_add(two);
        two = two.wrapping_add(order(*second)).wrapping_add(one);
    }
    [one, two]
}
