//! The proof that `kill -9` loses nothing: users write, the app is well and ill by turns, and the edge is killed at any
//! moment and started again on the same store. In the end the app is well, and everything that was acknowledged has to
//! have reached it, as it was sent, under one `ce-id`, in the order in which its user sent it.
//!
//! It fails when an acknowledgement leaves before the message is on disk, when a start forgets, reorders or renumbers
//! what it finds, and when what waits is not delivered within [`Crash::patience`] once the app is well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;

use crate::edge::{Builder, Edge};
use crate::flapping::Flapping;
use crate::folder::Folder;
use crate::journal::{Journal, Report};
use crate::port::Port;
use crate::users::Users;
use crate::{seed, spool};

/// What is run.
#[derive(Debug)]
pub struct Crash {
    /// The program: `env!("CARGO_BIN_EXE_wxedge")`.
    pub program: &'static str,
    /// Where its chance comes from.
    pub seed: u64,
    /// How many users write at the same time.
    pub users: usize,
    /// The mean time between an answer and the user's next message.
    pub pause: Duration,
    /// How long they write, at least.
    pub duration: Duration,
    /// How often the edge is killed, at least.
    pub kills: u64,
    /// The longest that an edge lives.
    pub life: Duration,
    /// How long what waits in the end may take to be delivered.
    pub patience: Duration,
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// How often the edge was killed.
    pub kills: u64,
    /// What became of the messages.
    pub report: Report,
}

impl Crash {
    /// Runs it.
    ///
    /// # Panics
    /// When the edge does not start or does not deliver in the end.
    #[track_caller]
    #[must_use]
    pub fn run(&self) -> Outcome {
        let journal = Arc::new(Journal::new(self.seed, self.users));
        let mut app = Flapping::start(&journal);
        // A crash does not move WeChat's callback URL.
        let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
        let [callback, api, admin] = ports.each_ref().map(|port| port.address);
        let builder = app
            .edge(self.program)
            .folder(&Arc::new(Folder::new()))
            .listen(&format!("callback = \"{callback}\""))
            .listen(&format!("api = \"{api}\""))
            .listen(&format!("admin = \"{admin}\""));

        let mut edge = builder.start();
        let users = Users::start(&edge.wechat(), &journal, 0..self.users, self.pause);
        let kills = self.kill_again_and_again(&builder, &mut edge);
        users.stop();
        app.recover();
        spool::await_empty(&edge, None, self.patience);
        drop(edge);
        Outcome { kills, report: journal.report() }
    }

    /// Kills the edge and starts it anew, now and then before it has finished starting.
    fn kill_again_and_again(&self, builder: &Builder, edge: &mut Edge) -> u64 {
        let mut source = seed::source(self.seed, u64::MAX - 1);
        let begun = Instant::now();
        let mut kills = 0;
        while kills < self.kills || begun.elapsed() < self.duration {
            std::thread::sleep(seed::up_to(&mut source, self.life));
            edge.kill();
            kills += 1;
            if source.random_bool(0.2) {
                let mut young = builder.begin();
                std::thread::sleep(seed::up_to(&mut source, Duration::from_millis(100)));
                young.kill();
                kills += 1;
            }
            *edge = builder.start();
        }
        kills
    }
}
