//! What the detector of MarkFail is told, and what becomes of what it believes.

use super::*;
use crate::alert::{Cause, Saved};
use crate::markfail;
use std::sync::LazyLock;

/// `visible` failures that WeChat can see, each by `one`.
fn visible(world: &mut World, times: u64, mut one: impl FnMut(&mut World)) {
    for _ in 0..times {
        one(world);
        world.pass(1);
    }
}

fn risk(world: &World) -> Option<u64> {
    match world.alert(Kind::MarkFailRisk)?.cause {
        Cause::MarkFailRisk { visible, threshold: 30, window_s: 300 } => Some(visible),
        _ => panic!(),
    }
}

#[test]
fn every_failure_that_wechat_sees_counts_once() {
    type One = fn(&mut World);
    let table: [(&str, One, bool); 11] = [
        ("unavailable", |world| world.summary(&[("unavailable", 1)], &[]), true),
        ("held", |world| world.summary(&[("held", 1)], &[]), true),
        ("client_gone", |world| world.summary(&[("client_gone", 1)], &[]), true),
        ("rejected_timeout", |world| world.summary(&[("rejected_timeout", 1)], &[]), true),
        ("late", |world| late(world, 5000.0), true),
        ("in time", |world| late(world, 4999.0), false),
        ("fallback", |world| world.summary(&[("fallback_error", 1)], &[]), false),
        ("url", |world| world.echo(Some(FaultKind::Redirect)), true),
        ("expiry", |world| world.echo(Some(FaultKind::TlsExpires)), false),
        ("WeChat", |world| rejected(world, "101.226.103.5"), true),
        ("others", |world| rejected(world, "198.51.100.1"), false),
    ];
    for (what, one, counts) in table {
        let mut world = World::new();
        let list = vec!["101.226.103.0/25".to_owned(), "no address".to_owned()];
        world.see(Seen::CallbackIps { account: "main".to_owned(), list });
        visible(&mut world, 23, one);
        assert_eq!(risk(&world), None, "{what}");
        visible(&mut world, 1, one);
        assert_eq!(risk(&world), counts.then_some(24), "{what}");
        world.pass(310);
        assert_eq!(world.state(Kind::MarkFailRisk), counts.then_some(State::Resolved), "{what}");
    }
}

fn late(world: &mut World, slowest_ms: f64) {
    let outcomes = [("replied".to_owned(), 3)].into();
    let account = "main".to_owned();
    world.event(Event::Summary(Summary { account, outcomes, slowest_ms, ..Summary::default() }));
}

fn rejected(world: &mut World, peer: &str) {
    world.failure("rejected_signature", "signature", peer);
    world.summary(&[("rejected_signature", 1)], &[]);
    world.changes.clear();
}

/// Two hours of two callbacks a second, and then as many failures as make WeChat likely to stop: enough to believe it soon.
static USUAL: LazyLock<(Saved, Millis)> = LazyLock::new(|| {
    let mut world = World::new();
    for _ in 0..7200 {
        world.summary(&[("replied", 2)], &[]);
        world.pass(1);
    }
    assert_eq!(world.changes(), []);
    for _ in 0..24 {
        world.summary(&[("replied", 1), ("unavailable", 1)], &[]);
        world.pass(1);
    }
    assert_eq!(world.changes(), [(Kind::MarkFailRisk, State::Firing)]);
    (world.engine.save(), world.now)
});

pub(super) fn usual() -> World {
    let (saved, now) = USUAL.clone();
    let mut world = World::new();
    (world.engine, world.now) = (Engine::restore(saved, terms(), now), now);
    world.see(Seen::StreamOpened);
    world
}

#[test]
fn a_silence_that_traffic_makes_improbable_is_told_and_ends_with_the_traffic() {
    let mut world = usual();
    world.pass(60);
    assert_eq!(world.changes(), [(Kind::MarkFail, State::Firing)]);
    let alert = world.alert(Kind::MarkFail).unwrap();
    assert_eq!(alert.severity, Severity::Critical);
    let Cause::MarkFail { silent_s, usual_per_minute, visible: 24 } = alert.cause else { panic!() };
    assert!((20..=60).contains(&silent_s) && (usual_per_minute - 120.0).abs() < 1.0);
    assert_eq!(world.engine.markfail(), [("main", markfail::State::Suspected)]);
    world.summary(&[("replied", 2)], &[]);
    world.pass(1);
    let over = [(Kind::MarkFail, State::Resolved), (Kind::MarkFailRisk, State::Resolved)];
    assert_eq!(world.changes(), over);
}

#[test]
fn what_is_no_callback_of_wechats_does_not_break_the_silence() {
    let mut world = usual();
    for _ in 0..60 {
        world.summary(&[("rejected_malformed", 3), ("verified", 1)], &[]);
        world.pass(1);
    }
    assert_eq!(world.changes(), [(Kind::MarkFail, State::Firing)]);
}

#[test]
fn a_silence_that_nobody_watched_is_none() {
    type Unseen = fn(&mut World);
    let unseen: [(&str, Unseen); 4] = [
        ("closed", |world| {
            world.see(Seen::StreamClosed);
            world.pass(60);
        }),
        ("no status", |world| {
            world.status = None;
            world.pass(60);
        }),
        ("the sidecar itself was stopped", |world| {
            world.now += 60_000;
            world.pass(10);
        }),
        ("lost", |world| {
            for _ in 0..10 {
                world.event(Event::Lost { n: 1 });
                world.pass(8);
            }
        }),
    ];
    for (what, unseen) in unseen {
        let mut world = usual();
        unseen(&mut world);
        world.changes.retain(|(_, change)| change.alert.kind == Kind::MarkFail);
        assert_eq!(world.changes(), [], "{what}");
    }
}
