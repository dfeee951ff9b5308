//! Users who write one numbered message after the other, through WeChat.
//!
//! A user's next message is sent when the last one was answered or given up, on a connection that WeChat keeps. No
//! answer and any status but 200 mean that it is delivered again, three times in all, with the same `MsgId`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::Connection;
use crate::journal::{Journal, Key};
use crate::message::Message;
use crate::wechat::{ANSWER, DELIVERIES, Fault, Verdict, Wechat};
use crate::{seed, thread};

/// WeChat does not come back at once to who does not answer.
const AGAIN: Duration = Duration::from_millis(200);

/// Users who write until they are told to stop.
#[derive(Debug)]
pub struct Users {
    threads: Vec<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

impl Users {
    /// These users, each on a thread; `pause` is the mean time between an answer and the next message.
    #[must_use]
    pub fn start(
        wechat: &Wechat,
        journal: &Arc<Journal>,
        users: std::ops::Range<usize>,
        pause: Duration,
    ) -> Users {
        let over = Arc::new(AtomicBool::new(false));
        let threads = users.map(|number| {
            let user = User { wechat: wechat.clone(), journal: journal.clone(), number };
            let over = over.clone();
            thread(move || user.write(pause, &over))
        });
        Users { threads: threads.collect(), over }
    }

    /// Lets everybody finish the message at hand.
    ///
    /// # Panics
    /// When a user has.
    pub fn stop(self) {
        self.over.store(true, Ordering::SeqCst);
        for user in self.threads {
            user.join().expect("a user who writes until told to stop");
        }
    }
}

struct User {
    wechat: Wechat,
    journal: Arc<Journal>,
    number: usize,
}

impl User {
    fn write(&self, pause: Duration, over: &AtomicBool) {
        let mut source = seed::source(self.journal.seed(), self.number as u64);
        let mut connection = None;
        while !over.load(Ordering::SeqCst) {
            let (key, message) = self.journal.next(self.number);
            self.push(key, &message, &mut connection);
            std::thread::sleep(seed::up_to(&mut source, pause * 2));
        }
    }

    /// Delivers a message until it is answered, three times at most.
    fn push(&self, key: Key, message: &Message, connection: &mut Option<Connection>) {
        for _ in 0..DELIVERIES {
            match self.deliver(message, connection) {
                Verdict::Acknowledged | Verdict::Replied(_) => {
                    return self.journal.acknowledged(key);
                }
                Verdict::BadReply(why) => {
                    return self.journal.mistake(format!("the answer to {key:?} is none: {why}"));
                }
                _ => std::thread::sleep(AGAIN),
            }
        }
    }

    fn deliver(&self, message: &Message, kept: &mut Option<Connection>) -> Verdict {
        let begun = Instant::now();
        let sealed = self.wechat.seal(message);
        let mut connection = match kept.take().map_or_else(|| self.wechat.connect(), Ok) {
            Ok(connection) => connection,
            Err(fault) => return self.wechat.verdict(message, &Err(fault)),
        };
        // An answer can come before the request was read, and stands.
        let _refused = connection.send(self.wechat.request("POST", &sealed.query, &sealed.body));
        let answer = connection.response(ANSWER.saturating_sub(begun.elapsed()));
        let answer = answer.map_err(Fault::from);
        if answer.as_ref().is_ok_and(|answer| answer.header("connection") != Some("close")) {
            *kept = Some(connection);
        }
        self.wechat.verdict(message, &answer)
    }
}
