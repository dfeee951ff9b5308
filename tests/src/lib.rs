//! What the tests stand on: the fake WeChat, the fake app, and the real binary between them.
//!
//! | module | what it is |
//! |---|---|
//! | [`wechat`] | WeChat: signs, encrypts, sends, waits, sends again, judges the answer, alarms |
//! | [`wechat_api`] | WeChat's API: tokens, tickets, quotas by the real rules; fails as told, and remembers what it was asked |
//! | [`message`] | messages and events as WeChat words them |
//! | [`app`] | the app: answers as told, badly where told, and remembers what it was asked |
//! | [`edge`] | the real `wxedge`, started with a configuration of its own, ended by its id |
//! | [`sidecar`] | the real `wxedge-sidecar` beside it |
//! | [`users`], [`journal`] | users who write numbered messages, and the book of what became of each |
//! | [`flapping`] | an app that is well and ill by turns |
//! | [`crash`] | the proof that `kill -9` loses nothing |
//! | [`disk`] | a disk of the store that fails as told |
//! | [`port`] | a port that nobody else gets |
//! | [`spool`] | what the edge says of its spool |
//! | [`seed`] | chance that can be had again |
//! | [`canary`] | every secret of those configurations; none of them may turn up in any output |
//! | [`http`] | an HTTP/1.1 client that sends what it is told, byte for byte |
//! | [`tls`] | certificates, and clients that trust them |
//! | [`xml`] | a strict reader for replies that shares nothing with wxedge's own |
//! | [`metrics`] | Prometheus' text format, read |
//!
//! Everything blocks and runs on threads: a test reads from top to bottom. Everything is bound to free ports and to
//! folders of its own, so all tests run side by side. No test sleeps to wait for something: [`eventually`] does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

pub mod app;
pub mod canary;
pub mod crash;
pub mod disk;
pub mod edge;
pub mod flapping;
pub mod folder;
pub mod http;
pub mod journal;
pub mod message;
pub mod metrics;
pub mod port;
mod process;
pub mod seed;
pub mod sidecar;
pub mod spool;
pub mod tls;
pub mod users;
pub mod wechat;
pub mod wechat_api;
pub mod xml;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// As long as anything may take that takes no time on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `patience`.
#[track_caller]
pub fn eventually(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    eventually_some(patience, what, || condition().then_some(()));
}

/// Waits until `find` finds something.
///
/// # Panics
/// When it does not within `patience`.
#[track_caller]
pub fn eventually_some<T>(
    patience: Duration,
    what: &str,
    mut find: impl FnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Measures how long the machine keeps threads waiting that want to run, so that tests of deadlines can tell a slow edge
/// from a busy machine.
#[derive(Debug)]
pub struct Ruler {
    worst_us: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Ruler {
    /// Begins to measure.
    #[must_use]
    pub fn start() -> Ruler {
        let ruler = Ruler { worst_us: Arc::default(), over: Arc::default() };
        let (worst_us, over) = (ruler.worst_us.clone(), ruler.over.clone());
        thread(move || {
            let pause = Duration::from_millis(2);
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                std::thread::sleep(pause);
                let late = begun.elapsed().saturating_sub(pause);
                worst_us.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
            }
        });
        ruler
    }

    /// The longest that a thread had to wait until now.
    #[must_use]
    pub fn worst(&self) -> Duration {
        Duration::from_micros(self.worst_us.load(Ordering::Relaxed))
    }
}

impl Drop for Ruler {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on a thread of its own with a small stack, so that thousands can run at once.
///
/// # Panics
/// When the system has no thread left.
pub fn thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::Builder::new().stack_size(256 * 1024).spawn(work).expect("a thread")
}
