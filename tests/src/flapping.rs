//! An app that is well and ill by turns, by a seed, and writes down what it takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::app::{Answer, App, Request};
use crate::edge::Builder;
use crate::journal::Journal;
use crate::{seed, thread};

/// How the app answers for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Takes everything, at once or a little later.
    Well,
    /// Takes everything, some of it after the deadline and some after the end of the call.
    Slow,
    /// Takes no connections.
    Refuses,
    /// Answers an error with this status.
    Fails(u16),
    /// Takes the request and says nothing, ever.
    Hangs,
    /// Resets the connection in place of an answer.
    Resets,
    /// Says 200 and breaks off.
    Truncates,
    /// Says something that is no HTTP.
    Garbage,
}

/// The moods that turn; every second time it is well.
const ILL: [Mood; 9] = [
    Mood::Slow,
    Mood::Slow,
    Mood::Refuses,
    Mood::Fails(500),
    Mood::Fails(429),
    Mood::Hangs,
    Mood::Resets,
    Mood::Truncates,
    Mood::Garbage,
];

/// The longest that a mood lasts.
const TURN: Duration = Duration::from_secs(3);
/// The longest that the app takes for an answer: longer than a call of [`Flapping::edge`] may last.
const SLOWEST: Duration = Duration::from_secs(3);

/// The app. Dropping it ends it.
#[derive(Debug)]
pub struct Flapping {
    app: Arc<App>,
    over: Arc<AtomicBool>,
    turning: Option<JoinHandle<()>>,
}

impl Flapping {
    /// An app that turns from one mood to the next.
    #[must_use]
    pub fn start(journal: &Arc<Journal>) -> Flapping {
        let app = Arc::new(App::start());
        let mood = Arc::new(Mutex::new(Mood::Well));
        let over = Arc::new(AtomicBool::new(false));
        app.choose({
            let (journal, mood) = (journal.clone(), mood.clone());
            move |request| answer(&journal, read(&mood), request)
        });
        let turning = {
            let (app, over) = (app.clone(), over.clone());
            let mut source = seed::source(journal.seed(), u64::MAX);
            thread(move || {
                while !over.load(Ordering::SeqCst) {
                    let well = read(&mood) != Mood::Well && source.random_bool(0.5);
                    let next = if well { Some(&Mood::Well) } else { ILL.choose(&mut source) };
                    turn_to(&app, &mood, *next.expect("a mood"));
                    std::thread::sleep(seed::up_to(&mut source, TURN));
                    // They stand in the journal.
                    app.forget();
                }
                turn_to(&app, &mood, Mood::Well);
            })
        };
        Flapping { app, over, turning: Some(turning) }
    }

    /// An edge before it that waits as short as it can, so that much happens in little time.
    #[must_use]
    pub fn edge(&self, program: &str) -> Builder {
        Builder::new(program)
            .url(&self.app.url())
            .upstream("deadline_ms = 500")
            .upstream("late_timeout_s = 2")
            .more("[accounts.main.late_reply]\nvia = \"drop\"")
            .more("[spool]\nretry_min_ms = 100\nretry_max_ms = 1000")
    }

    /// It is well from now on, for good.
    ///
    /// # Panics
    /// When it cannot.
    pub fn recover(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(turning) = self.turning.take() {
            turning.join().expect("an app that turns until told to stop");
        }
    }
}

impl Drop for Flapping {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

fn read(mood: &Mutex<Mood>) -> Mood {
    *mood.lock().unwrap_or_else(PoisonError::into_inner)
}

fn turn_to(app: &App, mood: &Mutex<Mood>, next: Mood) {
    let last = std::mem::replace(&mut *mood.lock().unwrap_or_else(PoisonError::into_inner), next);
    match (last, next) {
        (Mood::Refuses, Mood::Refuses) => {}
        (Mood::Refuses, _) => app.listen_again(),
        (_, Mood::Refuses) => app.stop_listening(),
        _ => {}
    }
}

fn answer(journal: &Journal, mood: Mood, request: &Request) -> Answer {
    let Some(call) = journal.called(request) else { return Answer::status(500) };
    let slow = match mood {
        Mood::Well => Duration::from_millis(20),
        Mood::Slow => SLOWEST,
        Mood::Fails(status) => return Answer::status(status),
        Mood::Hangs => return Answer::hang(),
        Mood::Resets | Mood::Refuses => return Answer::reset(),
        Mood::Truncates => return Answer::text("half of it").truncated(),
        Mood::Garbage => return Answer::raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    };
    std::thread::sleep(slow.mul_f64(rand::random()));
    journal.taken(call);
    match call.key.number % 5 {
        0 => Answer::text("收到"),
        _ => Answer::taken(),
    }
}
