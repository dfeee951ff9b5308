//! An app that fails in one way until it is well, and the messages that it has to get all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wxedge_tests::app::{Answer, App};
use wxedge_tests::edge::Account;
use wxedge_tests::journal::Journal;
use wxedge_tests::wechat::{Delivery, Verdict, Wechat};

/// How the app fails.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Takes no connection.
    Refuses,
    /// Takes no message, and answers so.
    Answers(fn() -> Answer),
    /// Takes every message, after this time.
    Late(Duration),
}

/// Takes no message, and says so at once.
pub(crate) const FAILS: Fault = Fault::Answers(|| Answer::status(500));

/// The app, and the book of what it has to get.
pub(crate) struct Ill {
    pub(crate) app: App,
    pub(crate) journal: Arc<Journal>,
    fault: Fault,
    users: usize,
    well: Arc<AtomicBool>,
}

impl Ill {
    /// An app with messages of this many users.
    pub(crate) fn start(fault: Fault, users: usize) -> Ill {
        let app = App::start();
        let journal = Arc::new(Journal::new(1, users));
        let well = Arc::new(AtomicBool::new(false));
        if matches!(fault, Fault::Refuses) {
            app.stop_listening();
        }
        app.choose({
            let (journal, well) = (journal.clone(), well.clone());
            move |request| {
                let Some(call) = journal.called(request) else { return Answer::status(500) };
                match fault {
                    Fault::Answers(answer) if !well.load(Ordering::SeqCst) => return answer(),
                    Fault::Late(delay) if !well.load(Ordering::SeqCst) => std::thread::sleep(delay),
                    _ => {}
                }
                journal.taken(call);
                Answer::taken()
            }
        });
        Ill { app, journal, fault, users, well }
    }

    /// An app that was never ill.
    pub(crate) fn well(users: usize) -> Ill {
        let ill = Ill::start(FAILS, users);
        ill.recover();
        ill
    }

    /// An account with this app, which asks WeChat for nothing.
    pub(crate) fn account(&self, name: &str) -> Account {
        Account::named(name).url(&self.app.url()).without_secret()
    }

    /// Takes everything from now on.
    pub(crate) fn recover(&self) {
        self.well.store(true, Ordering::SeqCst);
        if matches!(self.fault, Fault::Refuses) {
            self.app.listen_again();
        }
    }

    /// All users write so many messages each, side by side; WeChat has to be content with the first answer.
    pub(crate) fn write(&self, wechat: &Wechat, messages: usize) {
        std::thread::scope(|scope| {
            for user in 0..self.users {
                scope.spawn(move || {
                    for number in 0..messages {
                        let verdict = self.deliver(wechat, user).verdict;
                        assert_eq!(verdict, Verdict::Acknowledged, "{number} of {user}");
                    }
                });
            }
        });
    }

    /// The next message of a user, delivered once.
    pub(crate) fn deliver(&self, wechat: &Wechat, user: usize) -> Delivery {
        let (key, message) = self.journal.next(user);
        let delivery = wechat.deliver(&message);
        match &delivery.verdict {
            Verdict::Acknowledged | Verdict::Replied(_) => self.journal.acknowledged(key),
            Verdict::BadReply(why) => self.journal.mistake(format!("{key:?}: {why}")),
            _ => {}
        }
        delivery
    }
}
