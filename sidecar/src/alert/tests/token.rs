//! Tokens and tickets that cannot be had, and those that others take away.

use super::*;
use crate::edge::status::Credential;

fn event(credential: &str, result: &str, errcode: Option<i64>) -> Event {
    Event::Token {
        account: "main".to_owned(),
        credential: credential.to_owned(),
        result: result.to_owned(),
        errcode,
        action: errcode.map(|_| "do something".to_owned()),
    }
}

fn credential(state: &str, errcode: Option<i64>) -> Credential {
    let (credential, state) = ("access_token".to_owned(), state.to_owned());
    Credential { credential, state, errcode, ..Credential::default() }
}

#[test]
fn what_wechat_would_say_again_fires_at_once_the_rest_after_15_s() {
    let definite = [40164, 61004, 40125, 40243, 40001, 89503, 89501, 89506, 89507, 45009, 40013];
    let passing = [None, Some(-1), Some(45011), Some(50000), Some(1)];
    for errcode in definite.map(Some) {
        let mut world = World::new();
        world.event(event("access_token", "failed", errcode));
        world.pass(1);
        assert_eq!(world.changes(), [(Kind::TokenFailure, State::Firing)], "{errcode:?}");
    }
    for errcode in passing {
        let mut world = World::new();
        world.pass(2);
        world.main().credentials = vec![credential("failing", errcode)];
        world.event(event("access_token", "failed", errcode));
        world.pass(14);
        assert_eq!(world.changes(), [(Kind::TokenFailure, State::Pending)], "{errcode:?}");
        world.pass(1);
        assert_eq!(world.changes(), [(Kind::TokenFailure, State::Firing)], "{errcode:?}");
    }
}

#[test]
fn a_status_alone_tells_it_and_ends_it() {
    let mut world = World::new();
    world.main().credentials = vec![credential("failing", Some(40164))];
    world.pass(3);
    assert_eq!(world.changes(), [(Kind::TokenFailure, State::Firing)]);
    assert_eq!(world.severity(Kind::TokenFailure), Some(Severity::Critical));
    world.pass(900);
    assert_eq!(world.changes(), []);
    world.main().credentials = vec![credential("ok", None)];
    world.pass(3);
    assert_eq!(world.changes(), [(Kind::TokenFailure, State::Resolved)]);
}

#[test]
fn a_short_time_without_wechat_is_not_told() {
    let mut world = World::new();
    world.event(event("access_token", "failed", None));
    world.main().credentials = vec![credential("failing", None)];
    world.pass(12);
    world.event(event("access_token", "new", None));
    world.main().credentials = vec![credential("ok", None)];
    world.pass(60);
    assert_eq!(world.changes(), [(Kind::TokenFailure, State::Pending)]);
    assert_eq!(world.engine.alerts().len(), 0);
}

#[test]
fn a_ticket_waits_for_the_access_token_that_it_is_asked_with() {
    let mut world = World::new();
    world.main().credentials =
        vec![Credential { credential: "jsapi".to_owned(), ..credential("failing", Some(40001)) }];
    world.event(event("jsapi", "failed", Some(40001)));
    world.pass(10);
    assert_eq!(world.changes(), [(Kind::TokenFailure, State::Pending)]);
    // One credential that can be had again leaves the other's alert alone.
    world.event(event("access_token", "new", None));
    world.pass(10);
    assert_eq!(world.changes(), [(Kind::TokenFailure, State::Firing)]);
}

#[test]
fn a_foreign_refresh_is_over_after_an_hour_without_another() {
    let mut world = World::new();
    world.event(event("access_token", "foreign", None));
    world.pass(1);
    assert_eq!(world.changes(), [(Kind::TokenForeignRefresh, State::Firing)]);
    world.pass(3000);
    world.event(event("access_token", "foreign", None));
    world.pass(3598);
    assert_eq!(world.changes(), []);
    assert_eq!(world.alert(Kind::TokenForeignRefresh).unwrap().count, 1);
    world.pass(2);
    assert_eq!(world.changes(), [(Kind::TokenForeignRefresh, State::Resolved)]);
}
