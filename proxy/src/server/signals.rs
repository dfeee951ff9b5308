//! What ends the process, and how: a signal, or a new process that takes over.

use crate::edge::Edge;
use crate::limits;
use crate::phase::Phase;
use crate::process_log;
use crate::upgrade::{Door, Successor, Takeover};
use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Takes over, if the process was started to; then serves until a signal or a new process ends it.
///
/// SIGTERM drains: nothing new is accepted, what runs is answered, then the process ends. A new process that takes over
/// has the same effect, and a store that is found damaged. SIGINT, or a second signal, ends it at once.
pub(super) struct Signals {
    pub(super) edge: Arc<Edge>,
    pub(super) grace: Duration,
    /// Of the listeners for WeChat and for apps.
    pub(super) phase: watch::Sender<Phase>,
    /// Of the admin listener.
    pub(super) admin_phase: watch::Sender<Phase>,
    pub(super) start: Mutex<Option<Start>>,
    /// Whether the running process did not let this one take over.
    pub(super) refused: Arc<AtomicBool>,
    /// Whether the process ends because only a start can mend its store.
    pub(super) damaged: Arc<AtomicBool>,
}

/// What is needed once.
pub(super) struct Start {
    pub(super) takeover: Option<Takeover>,
    /// For the next process.
    pub(super) sockets: Vec<(&'static str, OwnedFd)>,
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => self.run(terminate, interrupt).await,
            _ => log::error!("signals cannot be heard"),
        }
        ShutdownSignal::FastShutdown
    }
}

impl Signals {
    async fn run(&self, mut terminate: Signal, mut interrupt: Signal) {
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Start { takeover, sockets }) = start else { return };
        if let Some(takeover) = takeover {
            let finished = tokio::select! {
                finished = takeover.finish() => finished,
                _ = interrupt.recv() => return,
                _ = terminate.recv() => return,
            };
            if let Err(error) = finished {
                process_log::say(&format!("wxedge cannot take over: {error}"));
                return self.refused.store(true, Ordering::Relaxed);
            }
        }
        self.phase.send_replace(Phase::Accepting);
        self.admin_phase.send_replace(Phase::Accepting);

        let door = self.open_door(sockets).await;
        let (reason, successor) = tokio::select! {
            successor = successor(door.as_ref()) => ("a new process takes over", Some(successor)),
            _ = interrupt.recv() => return,
            _ = terminate.recv() => ("SIGTERM", None),
            () = self.damage() => {
                self.damaged.store(true, Ordering::Relaxed);
                ("the store is damaged, and the next start saves what can be read", None)
            }
        };
        log::warn!("{reason}: draining");
        self.edge.begin_drain(Instant::now() + self.grace);
        self.phase.send_replace(Phase::Draining);
        drop(door);
        if let Some(successor) = successor {
            // Operators now ask the new process.
            self.admin_phase.send_replace(Phase::Draining);
            successor.tell().await;
            // Who stops the service means this process too, which is about to end by itself.
            tokio::select! {
                () = self.drained() => return,
                _ = interrupt.recv() => return log::warn!("SIGINT: ending at once"),
                _ = terminate.recv() => {}
            }
        }
        tokio::select! {
            () = self.drained() => {}
            _ = interrupt.recv() => log::warn!("SIGINT: ending at once"),
            _ = terminate.recv() => log::warn!("second SIGTERM: ending at once"),
        }
    }

    /// Waits until the store is found damaged, where a start would help. An edge that went on would be unable to
    /// acknowledge anything, or to deliver what it has.
    async fn damage(&self) {
        let store = &self.edge.store;
        while !store.is_damaged() {
            tokio::time::sleep(limits::STORE_REOPEN).await;
        }
        if store.was_just_mended() {
            log::error!(
                "the store is damaged again, so soon after it was mended: look at the disk and the memory of the \
                 machine; nothing is written before a restart"
            );
            std::future::pending().await
        }
    }

    /// An edge that no process can take over from is still an edge.
    async fn open_door(&self, sockets: Vec<(&'static str, OwnedFd)>) -> Option<Door> {
        let path = &self.edge.config().runtime.upgrade_sock;
        let opened = Door::open(path, sockets).await;
        let complain = |error| {
            let path = path.display();
            log::warn!(
                "runtime.upgrade_sock = {path}: {error}; no --upgrade can take over from this process"
            );
        };
        opened.map_err(complain).ok()
    }

    /// Waits until nothing runs any more, or the time is up.
    async fn drained(&self) {
        let busy = || {
            let calls = self.edge.accounts().iter().any(|account| account.in_flight.all() > 0);
            let open = |listener| self.edge.metrics.connections(listener).get() > 0;
            let redelivers = self.edge.accounts().iter().any(|account| account.spool.is_running());
            calls || redelivers || open("callback") || open("api")
        };
        let late = || self.edge.drain_ends().is_some_and(|ends| ends <= Instant::now());
        while busy() {
            if late() {
                return log::warn!(
                    "not drained within grace_s: what still runs is cut off; messages of it that were acknowledged are in the \
                     spool and come again at the next start"
                );
            }
            tokio::time::sleep(limits::DRAIN_POLL).await;
        }
        log::info!("drained");
    }
}

async fn successor(door: Option<&Door>) -> Successor {
    match door {
        Some(door) => door.successor().await,
        None => std::future::pending().await,
    }
}
