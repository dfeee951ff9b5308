//! What waits for the writer: bounded in number and in bytes.

use super::StoreError;
use super::writer::Write;
use crate::limits;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The queue between those who write and the writer.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    enough: Condvar,
}

#[derive(Default)]
struct State {
    /// Each with the bytes it counts.
    waiting: VecDeque<(usize, Box<dyn Write>)>,
    bytes: usize,
    closed: bool,
    /// How many the writer waits for; 0 when it does not wait.
    wanted: usize,
}

impl State {
    fn is_enough(&self) -> bool {
        self.waiting.len() >= self.wanted || self.bytes >= limits::STORE_BATCH_BYTES || self.closed
    }
}

impl Queue {
    /// Puts a write of so many bytes into the queue, or refuses it at once.
    pub(super) fn put(&self, bytes: usize, write: Box<dyn Write>) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let full = state.waiting.len() >= limits::STORE_QUEUE
            || state.bytes.saturating_add(bytes) > limits::STORE_QUEUE_BYTES;
        if full {
            return Err(StoreError::Busy);
        }
        state.bytes += bytes;
        state.waiting.push_back((bytes, write));
        // The writer is woken once for all of a batch, not for each of them.
        if state.wanted > 0 && state.is_enough() {
            state.wanted = 0;
            self.enough.notify_one();
        }
        Ok(())
    }

    /// Fills `batch` with what waits; when nothing does, waits for `patience`. A batch may wait a moment for as many
    /// writes as the `last` one had. `false` when nothing will follow.
    pub(super) fn take(
        &self,
        batch: &mut Vec<Box<dyn Write>>,
        last: usize,
        patience: Duration,
    ) -> bool {
        let mut state = self.wait(self.lock(), 1, patience);
        // Who was alone the last time waits for nobody.
        if !state.waiting.is_empty() {
            state = self.wait(state, last.min(limits::STORE_BATCH), limits::STORE_GATHER);
        }
        let mut bytes = 0;
        while batch.len() < limits::STORE_BATCH && bytes < limits::STORE_BATCH_BYTES {
            let Some((size, write)) = state.waiting.pop_front() else { break };
            bytes += size;
            batch.push(write);
        }
        state.bytes -= bytes;
        !(state.closed && state.waiting.is_empty())
    }

    /// Takes no more writes. What waits stays.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.enough.notify_one();
    }

    /// Takes no more writes and drops what waits.
    pub(super) fn abandon(&self) {
        self.close();
        let waiting = std::mem::take(&mut self.lock().waiting);
        // Not under the lock: who waited is told.
        drop(waiting);
    }

    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        wanted: usize,
        patience: Duration,
    ) -> MutexGuard<'a, State> {
        state.wanted = wanted;
        let waited = self.enough.wait_timeout_while(state, patience, |state| {
            // Whoever has woken us has set it to 0.
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
