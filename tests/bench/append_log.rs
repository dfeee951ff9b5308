//! What the store is measured beside: a file that messages are appended to, with the store's batching and nothing else.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use wxedge::limits;

/// A log that is written by a thread of its own. It ends with the program.
pub(crate) struct AppendLog {
    queue: Arc<Queue>,
    writer: JoinHandle<io::Result<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    enough: Condvar,
}

/// A record and who waits for it.
type Waiting = (Vec<u8>, oneshot::Sender<()>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// How many the writer waits for; 0 when it does not wait.
    wanted: usize,
}

impl AppendLog {
    /// An empty log.
    pub(crate) fn create(path: &Path) -> io::Result<AppendLog> {
        let file = File::create_new(path)?;
        let queue = Arc::new(Queue::default());
        let writer = Writer { file, queue: queue.clone() };
        let writer = std::thread::Builder::new().spawn(move || writer.run())?;
        Ok(AppendLog { queue, writer })
    }

    /// Appends a record. Returns when it is on disk.
    pub(crate) async fn append(&self, record: Vec<u8>) -> io::Result<()> {
        self.put(record)?.await.map_err(io::Error::other)
    }

    fn put(&self, record: Vec<u8>) -> io::Result<oneshot::Receiver<()>> {
        let (waiter, synced) = oneshot::channel();
        let mut state = self.queue.lock();
        if self.writer.is_finished() || state.waiting.len() >= limits::STORE_QUEUE {
            return Err(io::Error::other("the log takes no more"));
        }
        state.bytes += record.len();
        state.waiting.push_back((record, waiter));
        if state.wanted > 0 && state.is_enough() {
            state.wanted = 0;
            self.queue.enough.notify_one();
        }
        Ok(synced)
    }
}

struct Writer {
    file: File,
    queue: Arc<Queue>,
}

impl Writer {
    fn run(mut self) -> io::Result<()> {
        let (mut batch, mut buffer) = (Vec::new(), Vec::new());
        let mut last = 0;
        loop {
            self.queue.take(&mut batch, last);
            last = batch.len();
            buffer.clear();
            batch.iter().for_each(|(record, _)| buffer.extend_from_slice(record));
            self.file.write_all(&buffer)?;
            self.file.sync_data()?;
            for (_, waiter) in batch.drain(..) {
                // Who no longer waits need not know.
                let _gone = waiter.send(());
            }
        }
    }
}

impl State {
    fn is_enough(&self) -> bool {
        self.waiting.len() >= self.wanted || self.bytes >= limits::STORE_BATCH_BYTES
    }
}

impl Queue {
    /// Fills `batch` as the store's writer does: a batch may wait a moment for as many as the `last` one had.
    fn take(&self, batch: &mut Vec<Waiting>, last: usize) {
        let mut state = self.wait(self.lock(), 1, Duration::MAX);
        state = self.wait(state, last.min(limits::STORE_BATCH), limits::STORE_GATHER);
        let mut bytes = 0;
        while batch.len() < limits::STORE_BATCH && bytes < limits::STORE_BATCH_BYTES {
            let Some((record, waiter)) = state.waiting.pop_front() else { break };
            bytes += record.len();
            batch.push((record, waiter));
        }
        state.bytes -= bytes;
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        wanted: usize,
        patience: Duration,
    ) -> MutexGuard<'a, State> {
        let waited = self.enough.wait_timeout_while(state, patience, |state| {
            state.wanted = wanted;
            !state.is_enough()
        });
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.wanted = 0;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
