//! The book of a proof: of every numbered message of every user, whether it was acknowledged, and when the app took it.
//!
//! What a message says follows from the seed, the user and the number, so the book needs to remember no content to
//! know whether the app got the right one.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::app::Request;
use crate::message::Message;
use crate::{canary, seed};

/// Mistakes that are kept; one is enough to fail, and what is lost or out of order is one.
const MISTAKES: usize = 6;
/// The edge may deliver what comes after a message first when that one has failed this often (product.md §7).
const HOLDS_BACK: u32 = 8;
/// A `MsgId` of 17 digits, more than a double holds; a message's number is added.
const FIRST_ID: u64 = 23_637_352_235_060_881;

/// A message: whose, and the how manieth of that user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// From 0.
    pub user: usize,
    /// From 0.
    pub number: usize,
}

/// One call of the app.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// For which message.
    pub key: Key,
    /// The how manieth, as the edge counts.
    pub attempt: u32,
}

/// The book. Everybody writes into it at once.
#[derive(Debug)]
pub struct Journal {
    seed: u64,
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    users: Vec<Vec<Line>>,
    /// Counts what is written, so that the book knows what was first.
    time: u64,
    mistakes: Vec<String>,
}

/// What became of one message.
#[derive(Debug, Clone, Default)]
struct Line {
    acknowledged: bool,
    /// Acknowledged, and not yet taken: the edge has made itself responsible for it.
    entrusted: bool,
    takings: u64,
    /// When the app first took it, and at which attempt.
    taken: Option<(u64, u32)>,
    ce_id: Option<u128>,
}

impl Journal {
    /// An empty book for this many users.
    #[must_use]
    pub fn new(seed: u64, users: usize) -> Journal {
        let pages = Pages { users: vec![Vec::new(); users], time: 0, mistakes: Vec::new() };
        Journal { seed, pages: Mutex::new(pages) }
    }

    /// Where its chance comes from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message of a user, about to be sent.
    pub fn next(&self, user: usize) -> (Key, Message) {
        let mut pages = self.pages();
        let lines = &mut pages.users[user];
        let key = Key { user, number: lines.len() };
        lines.push(Line::default());
        (key, self.message(key))
    }

    /// What a user writes: short or long, with all that XML and JSON have to escape.
    fn message(&self, key: Key) -> Message {
        const WORDS: [&str; 8] =
            ["你好", "]]>", "<a href=\"x\">&amp;", "😀", "\\u0000\\\"", "\n", "007", "'; --"];
        let mut source = seed::source(self.seed, (key.user as u64) << 32 | key.number as u64);
        let length = if source.random_bool(0.02) { 600 } else { source.random_range(0..30) };
        let words: String =
            (0..length).filter_map(|_| WORDS.choose(&mut source)).copied().collect();
        let content = format!("{} of {}: {words}.", key.number, key.user);
        Message::text(&content)
            .from(&format!("{}{:021}", canary::OPENID, key.user))
            .raw_field("MsgId", &(FIRST_ID + key.number as u64).to_string())
    }

    /// WeChat has an answer to it that ends its deliveries.
    pub fn acknowledged(&self, key: Key) {
        let line = &mut self.pages().users[key.user][key.number];
        line.acknowledged = true;
        line.entrusted = line.taken.is_none();
    }

    /// Something happened that never may.
    pub fn mistake(&self, what: String) {
        self.pages().mistake(what);
    }

    /// Which message the app is given; `None`, and a mistake, when it is not one that was sent, as it was sent and with
    /// the `ce-id` it has had before.
    pub fn called(&self, request: &Request) -> Option<Call> {
        let recognized = self.recognize(request);
        match recognized {
            Some((call, ce_id)) => self.same_id(call.key, ce_id),
            None => self.mistake(format!("the app was given what nobody wrote: {request:?}")),
        }
        recognized.map(|(call, _)| call)
    }

    fn recognize(&self, request: &Request) -> Option<(Call, u128)> {
        let json: serde_json::Value = serde_json::from_slice(&request.body).ok()?;
        let user = json["FromUserName"].as_str()?.strip_prefix(canary::OPENID)?.parse().ok()?;
        let id: u64 = json["MsgId"].as_str()?.parse().ok()?;
        let key = Key { user, number: id.checked_sub(FIRST_ID)?.try_into().ok()? };
        self.pages().users.get(key.user)?.get(key.number)?;
        let message = self.message(key);
        let is_as_sent = ["ToUserName", "FromUserName", "MsgType", "Content", "MsgId"]
            .iter()
            .all(|name| json[name].as_str() == message.get(name));
        let ce_id = u128::from_str_radix(request.header("ce-id")?, 16).ok()?;
        let attempt = request.header("x-wxedge-attempt")?.parse().ok()?;
        is_as_sent.then_some((Call { key, attempt }, ce_id))
    }

    fn same_id(&self, key: Key, ce_id: u128) {
        let mut pages = self.pages();
        let known = *pages.users[key.user][key.number].ce_id.get_or_insert(ce_id);
        if known != ce_id {
            pages.mistake(format!("the ce-id of {key:?} was {known:032x} and is {ce_id:032x}"));
        }
    }

    /// The app answers a call with a complete 2xx.
    pub fn taken(&self, call: Call) {
        let mut pages = self.pages();
        pages.time += 1;
        let now = pages.time;
        let line = &mut pages.users[call.key.user][call.key.number];
        line.takings += 1;
        line.taken.get_or_insert((now, call.attempt));
    }

    /// What the edge answers for at this moment: acknowledged, and not yet taken.
    #[must_use]
    pub fn owed(&self) -> HashSet<Key> {
        let pages = self.pages();
        let owed = |line: &Line| line.acknowledged && line.taken.is_none();
        pages.lines().filter(|(_, line)| owed(line)).map(|(key, _)| key).collect()
    }

    /// All in numbers.
    #[must_use]
    pub fn report(&self) -> Report {
        let pages = self.pages();
        let mut report = Report { mistakes: pages.mistakes.clone(), ..Report::default() };
        let mut ce_ids = HashSet::new();
        for (user, lines) in pages.users.iter().enumerate() {
            // The latest taking of what was acknowledged before, of this user.
            let mut after = 0;
            for (number, line) in lines.iter().enumerate() {
                let key = Key { user, number };
                if line.ce_id.is_some_and(|ce_id| !ce_ids.insert(ce_id)) {
                    report.example(format!("{key:?} has another message's ce-id"));
                }
                report.sent += 1;
                report.acknowledged += u64::from(line.acknowledged);
                report.entrusted += u64::from(line.entrusted);
                report.delivered += u64::from(line.takings > 0);
                report.duplicates += line.takings.saturating_sub(1);
                let Some((at, attempt)) = line.taken else {
                    if line.acknowledged {
                        report.lost += 1;
                        report.example(format!("{key:?} is lost"));
                    }
                    continue;
                };
                if at < after {
                    report.disordered += 1;
                    report.example(format!("{key:?} was taken before an earlier one"));
                }
                let held_back = attempt <= HOLDS_BACK;
                report.overtaken += u64::from(!held_back);
                if line.acknowledged && held_back {
                    after = after.max(at);
                }
            }
        }
        report
    }
}

impl Pages {
    fn mistake(&mut self, what: String) {
        if self.mistakes.len() < MISTAKES {
            self.mistakes.push(what);
        }
    }

    fn lines(&self) -> impl Iterator<Item = (Key, &Line)> {
        self.users.iter().enumerate().flat_map(|(user, lines)| {
            lines.iter().enumerate().map(move |(number, line)| (Key { user, number }, line))
        })
    }
}

/// What a book says in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages.
    pub sent: u64,
    /// Of them, those whose answer was `success` or a reply.
    pub acknowledged: u64,
    /// Of them, those that the app had not taken by then.
    pub entrusted: u64,
    /// Messages that the app has taken.
    pub delivered: u64,
    /// Takings of what was taken before.
    pub duplicates: u64,
    /// Acknowledged, and never taken.
    pub lost: u64,
    /// Taken before an acknowledged one that the same user had sent earlier.
    pub disordered: u64,
    /// Taken after so many failures that later ones need not have waited.
    pub overtaken: u64,
    /// What never may happen, in words; no more than a reader needs.
    pub mistakes: Vec<String>,
}

impl Report {
    fn example(&mut self, what: String) {
        if self.mistakes.len() < MISTAKES {
            self.mistakes.push(what);
        }
    }

    /// Nothing acknowledged is lost, what came was what was sent, and it came in order.
    ///
    /// # Panics
    /// When that is not so.
    #[track_caller]
    pub fn assert_kept(&self) {
        assert!(self.mistakes.is_empty(), "{self}\n{}", self.mistakes.join("\n"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { sent, acknowledged, entrusted, delivered, duplicates, .. } = self;
        write!(
            f,
            "sent {sent}, acknowledged {acknowledged} ({entrusted} before the app took them), "
        )?;
        write!(
            f,
            "delivered {delivered}, duplicates {duplicates}, overtaken {}, ",
            self.overtaken
        )?;
        write!(f, "lost {}, out of order {}", self.lost, self.disordered)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A call as the edge makes it.
    fn request(message: &Message, ce_id: &str, attempt: u32) -> Request {
        let field = |name: &str| (name.to_owned(), message.get(name).unwrap().into());
        let names = ["ToUserName", "FromUserName", "MsgType", "Content", "MsgId"];
        let body: serde_json::Map<_, serde_json::Value> = names.map(field).into_iter().collect();
        let headers = [("ce-id", ce_id), ("x-wxedge-attempt", &attempt.to_string())];
        Request {
            method: "POST".to_owned(),
            target: "/".to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: serde_json::to_vec(&body).unwrap(),
            connection: 1,
            at: Instant::now(),
        }
    }

    /// A user's first messages, called for at this attempt each.
    fn calls<const N: usize>(journal: &Journal, attempts: [u32; N]) -> [Call; N] {
        attempts.map(|attempt| {
            let (key, message) = journal.next(0);
            journal.called(&request(&message, &key.number.to_string(), attempt)).unwrap()
        })
    }

    #[test]
    fn what_was_acknowledged_and_never_taken_is_lost() {
        let journal = Journal::new(1, 1);
        let [taken, never, refused] = calls(&journal, [1, 1, 1]);
        journal.taken(taken);
        journal.taken(taken);
        journal.acknowledged(taken.key);
        journal.acknowledged(never.key);
        assert_eq!(journal.owed(), HashSet::from([never.key]));
        let report = journal.report();
        let found = (report.sent, report.acknowledged, report.entrusted, report.delivered);
        assert_eq!(found, (3, 2, 1, 1), "{refused:?} was not acknowledged");
        assert_eq!((report.lost, report.duplicates), (1, 1));
    }

    #[test]
    fn what_was_acknowledged_is_taken_before_what_came_later() {
        let first_last = |attempt, acknowledged: bool| {
            let journal = Journal::new(1, 1);
            let [first, second] = calls(&journal, [attempt, 1]);
            if acknowledged {
                journal.acknowledged(first.key);
            }
            journal.taken(second);
            journal.taken(first);
            journal.report().disordered
        };
        assert_eq!(first_last(1, true), 1);
        assert_eq!(first_last(1, false), 0, "nobody was promised anything");
        assert_eq!(first_last(9, true), 0, "after 8 failures it holds nobody back");
    }

    #[test]
    fn what_nobody_wrote_is_a_mistake() {
        let journal = Journal::new(1, 1);
        let (_, message) = journal.next(0);
        for wrong in [
            message.clone().text_field("Content", "else"),
            message.clone().raw_field("MsgId", "1"),
            message.clone().from("oNobody"),
        ] {
            assert!(journal.called(&request(&wrong, "1", 1)).is_none());
        }
        assert_eq!(journal.report().mistakes.len(), 3);
        journal.called(&request(&message, "1", 1)).unwrap();
        journal.called(&request(&message, "2", 2)).unwrap();
        assert_eq!(journal.report().mistakes.len(), 4, "another ce-id");
    }
}
