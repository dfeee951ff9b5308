//! Lines for a log, written by a thread of their own. Adding one never waits and never grows anything without end: what
//! cannot be written in time is dropped, and how much that was is said in the log itself.

use crate::limits;
use std::io::Write;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A usual line fits.
const LINE_BYTES: usize = 512;

/// A log.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    dropped: u64,
    writing: bool,
}

impl Lines {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(name: &str, out: impl Write + Send + 'static) -> std::io::Result<Lines> {
        let log = Lines(Arc::default());
        let shared = log.0.clone();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || shared.write_to(out))?;
        Ok(log)
    }

    /// Adds what `write` appends, and an end of line.
    pub fn add(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.lines.len() >= limits::LOG_BYTES {
            waiting.dropped += 1;
            return;
        }
        let first = waiting.lines.is_empty();
        write(&mut waiting.lines);
        waiting.lines.push(b'\n');
        drop(waiting);
        if first {
            self.0.arrived.notify_all();
        }
    }

    /// Waits until all lines are written, but not for a reader that does not read.
    pub fn flush(&self) {
        let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        let _timeout = self.0.arrived.wait_timeout_while(waiting, limits::LOG_FLUSH, busy);
    }
}

impl Shared {
    fn write_to(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let empty = |waiting: &mut Waiting| waiting.lines.is_empty();
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.arrived.wait_while(waiting, empty));
            // More will come: one write for all of them.
            std::thread::sleep(limits::LOG_DELAY);
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut lines, &mut waiting.lines);
            let dropped = std::mem::take(&mut waiting.dropped);
            waiting.writing = true;
            drop(waiting);
            if dropped > 0 {
                let note = format!("{{\"ts\":{:.3},\"dropped_lines\":{dropped}}}\n", unix_now());
                lines.extend_from_slice(note.as_bytes());
            }
            // A closed output is no reason to stop serving.
            let _closed = out.write_all(&lines).and_then(|()| out.flush());
            lines.clear();
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).writing = false;
            self.arrived.notify_all();
        }
    }
}

/// A line of the access log: one JSON object. No value needs escaping: they are numbers, labels, addresses, hashes and
/// names from the configuration's narrow alphabet.
pub struct Line(Vec<u8>);

crate::opaque!(Line);

impl Line {
    /// Begins it with the time.
    pub fn begin() -> Line {
        let mut line = Line(Vec::with_capacity(LINE_BYTES));
        line.0.extend_from_slice(b"{\"ts\":");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        line.thousandths(now.as_millis() as u64);
        line
    }

    /// A member's name; its value is to be appended.
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        &mut self.0
    }

    /// A word.
    pub fn text(&mut self, name: &str, text: &str) {
        let line = self.name(name);
        line.push(b'"');
        line.extend_from_slice(text.as_bytes());
        line.push(b'"');
    }

    /// A sentence, which may hold anything.
    pub fn sentence(&mut self, name: &str, text: &str) {
        // Into memory it cannot fail.
        let _infallible = serde_json::to_writer(self.name(name), text);
    }

    /// A whole number.
    pub fn integer(&mut self, name: &str, number: i64) {
        self.name(name).extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Milliseconds, to the microsecond.
    pub fn ms(&mut self, name: &str, duration: Duration) {
        self.name(name);
        self.thousandths(duration.as_micros() as u64);
    }

    fn thousandths(&mut self, number: u64) {
        let digit = |unit| b'0' + (number / unit % 10) as u8;
        self.0.extend_from_slice(itoa::Buffer::new().format(number / 1_000).as_bytes());
        self.0.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }

    /// An address.
    pub fn address(&mut self, name: &str, address: IpAddr) {
        // Into memory it cannot fail.
        let _infallible = write!(self.name(name), "\"{address}\"");
    }

    /// Something that holds, and is not mentioned where it does not.
    pub fn holds(&mut self, name: &str) {
        self.name(name).extend_from_slice(b"true");
    }

    /// The line, without its end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// Unix time in seconds, to the millisecond.
pub fn unix_now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// A reader that reads nothing before it is told to.
    struct Stuck {
        free: Receiver<()>,
        written: SyncSender<Vec<u8>>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _freed = self.free.recv();
            let _gone = self.written.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn where_nobody_reads_lines_are_dropped_and_counted_and_nobody_waits() {
        const LINES: usize = 200_000;
        let ((free, freed), (written, lines)) = (sync_channel(0), sync_channel(8));
        let log = Lines::start("test-log", Stuck { free: freed, written }).unwrap();
        let line = [b'x'; 99];
        for _ in 0..LINES {
            log.add(|log| log.extend_from_slice(&line));
        }
        assert!(log.0.waiting.lock().unwrap().lines.len() <= limits::LOG_BYTES + 100);
        drop(free);
        let (mut text, mut there, mut dropped) = (String::new(), 0, 0);
        // More than one says so if the thread began late.
        while there + dropped < LINES {
            let more =
                lines.recv_timeout(Duration::from_secs(15)).expect("what was dropped is said");
            text.push_str(&String::from_utf8(more).unwrap());
            there = text.lines().filter(|line| line.starts_with('x')).count();
            let notes = text.lines().filter_map(|line| line.split_once("\"dropped_lines\":"));
            let notes = notes.filter_map(|(_, note)| note.split_once('}'));
            dropped = notes.map(|(dropped, _)| dropped.parse::<usize>().unwrap()).sum();
        }
        assert_eq!(there + dropped, LINES);
        assert!(there <= 2 * (limits::LOG_BYTES / 100 + 1), "{there} lines were kept");
    }
}
