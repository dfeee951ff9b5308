//! How far a listener is: its connections wait, are accepted, or come to their end.

use tokio::sync::watch;

/// What a listener does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is bound; connections wait in the kernel.
    Waiting,
    /// It accepts.
    Accepting,
    /// It accepts no more, and its connections end.
    Draining,
}

/// What a listener and its connections see of their phase.
#[derive(Debug, Clone)]
pub struct Phases(watch::Receiver<Phase>);

/// A phase, and who is told when it changes. Without the sender the server is gone: that is draining.
pub fn channel(phase: Phase) -> (watch::Sender<Phase>, Phases) {
    let (sender, receiver) = watch::channel(phase);
    (sender, Phases(receiver))
}

impl Phases {
    /// Waits until the listener may accept, or has no need to any more.
    pub async fn started(&mut self) {
        self.until(|phase| phase != Phase::Waiting).await;
    }

    /// Waits until the listener drains.
    pub async fn draining(&mut self) {
        self.until(|phase| phase == Phase::Draining).await;
    }

    /// Whether the listener drains.
    pub fn are_draining(&self) -> bool {
        *self.0.borrow() == Phase::Draining
    }

    async fn until(&mut self, holds: impl Fn(Phase) -> bool) {
        // An error means the sender is gone, and with it the server.
        let _gone = self.0.wait_for(|phase| holds(*phase)).await.map(drop);
    }
}
