//! Lines for a log, written by a thread of their own. Adding one never waits and never grows anything without end: what
//! cannot be written in time is dropped, and how much that was is said in the log itself.

use crate::limits;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

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

/// Unix time in seconds, to the millisecond.
pub fn unix_now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as f64 / 1_000.0
}
