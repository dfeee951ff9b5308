//! The state machine by itself.

use crate::alert::book::{Book, Level, Names, Sign};
use crate::alert::{Cause, Kind, Severity, State};
use std::collections::BTreeMap;

const AHEAD: u64 = 5_000;

fn sign(level: Level, severity: Severity, at: u64) -> Sign {
    Sign {
        kind: Kind::DnsFailure,
        account: Some("main".to_owned()),
        level,
        severity,
        cause: Cause::ForeignRefresh { credential: format!("{at}") },
        first: at * 1000 + AHEAD,
        last: at * 1000 + AHEAD,
        count: 1,
        window_s: 300,
        example: None,
    }
}

/// What the book says of these signs at a second: state before and after.
fn take(book: &mut Book, second: u64, signs: &[Sign]) -> Vec<(Option<State>, State)> {
    let names = [("main".to_owned(), Names { appid: "wx1".to_owned(), nickname: String::new() })];
    let changes = book.take(second * 1000 + AHEAD, AHEAD, signs.to_vec(), &BTreeMap::from(names));
    changes.into_iter().map(|change| (change.was, change.alert.state)).collect()
}

#[test]
fn from_pending_to_gone() {
    let (pending, firing) = (Level::Pending, Level::Firing);
    let mut book = Book::default();
    let seen = |level, at| [sign(level, Severity::High, at)];
    assert_eq!(take(&mut book, 10, &seen(pending, 10)), [(None, State::Pending)]);
    assert_eq!(take(&mut book, 11, &seen(pending, 10)), []);
    let fires = (Some(State::Pending), State::Firing);
    assert_eq!(take(&mut book, 12, &seen(firing, 12)), [fires]);
    assert_eq!(take(&mut book, 13, &seen(pending, 13)), []);
    let alert = book.alerts()[0].clone();
    assert_eq!((alert.time, alert.last, alert.resolved), (10, 13, None));
    assert_eq!((alert.appid.as_deref(), alert.nickname), (Some("wx1"), None));
    let over = (Some(State::Firing), State::Resolved);
    assert_eq!(take(&mut book, 20, &[]), [over]);
    assert_eq!(book.alerts()[0].resolved, Some(20));
    assert_eq!(take(&mut book, 919, &[]), []);
    assert_eq!(book.alerts().len(), 1);
    assert_eq!(take(&mut book, 920, &[]), []);
    assert_eq!(book.alerts().len(), 0);
}

#[test]
fn pending_for_nothing_is_forgotten_without_a_word() {
    let mut book = Book::default();
    take(&mut book, 1, &[sign(Level::Pending, Severity::High, 1)]);
    assert_eq!(take(&mut book, 2, &[]), []);
    assert_eq!(book.alerts().len(), 0);
}

#[test]
fn what_fires_again_is_new() {
    let mut book = Book::default();
    take(&mut book, 1, &[sign(Level::Firing, Severity::High, 1)]);
    take(&mut book, 2, &[]);
    // Not yet sure: what was resolved is still shown.
    assert_eq!(take(&mut book, 3, &[sign(Level::Pending, Severity::High, 3)]), []);
    assert_eq!(book.alerts()[0].state, State::Resolved);
    let again = take(&mut book, 4, &[sign(Level::Firing, Severity::High, 3)]);
    assert_eq!(again, [(None, State::Firing)]);
    let alert = book.alerts()[0];
    assert_eq!((alert.time, alert.resolved, book.alerts().len()), (3, None, 1));
}

#[test]
fn of_several_signs_the_surest_then_the_worst_then_the_first_has_the_word() {
    let (pending, firing) = (Level::Pending, Level::Firing);
    let (medium, high) = (Severity::Medium, Severity::High);
    let table = [
        ([sign(firing, medium, 5), sign(pending, high, 1)], (medium, "5", 5)),
        ([sign(firing, medium, 1), sign(firing, high, 5)], (high, "5", 1)),
        ([sign(firing, high, 5), sign(firing, high, 2)], (high, "2", 2)),
    ];
    for (signs, (severity, word, time)) in table {
        let [a, b] = signs.clone();
        for signs in [signs, [b, a]] {
            let mut book = Book::default();
            assert_eq!(take(&mut book, 9, &signs).len(), 1);
            let alert = book.alerts()[0];
            let cause = Cause::ForeignRefresh { credential: word.to_owned() };
            assert_eq!((alert.severity, &alert.cause, alert.time), (severity, &cause, time));
            assert_eq!(alert.last, 5);
        }
    }
}

#[test]
fn the_worst_comes_first() {
    let mut book = Book::default();
    let of = |kind, level, severity| Sign { kind, ..sign(level, severity, 1) };
    take(&mut book, 1, &[of(Kind::TlsExpiry, Level::Firing, Severity::Critical)]);
    let signs = [
        of(Kind::DnsFailure, Level::Pending, Severity::Critical),
        of(Kind::QuotaLow, Level::Firing, Severity::Medium),
        of(Kind::MarkFail, Level::Firing, Severity::Critical),
    ];
    take(&mut book, 2, &signs);
    let kinds: Vec<Kind> = book.alerts().iter().map(|alert| alert.kind).collect();
    assert_eq!(kinds, [Kind::MarkFail, Kind::QuotaLow, Kind::DnsFailure, Kind::TlsExpiry]);
}
