//! An engine that is written down and read back.

use super::*;
use crate::alert::Saved;

/// The engine after a restart at `now`, as a file would have it.
pub(super) fn restarted(engine: &Engine, now: Millis) -> Engine {
    let saved = serde_json::to_string(&engine.save()).unwrap();
    let saved: Saved = serde_json::from_str(&saved).unwrap();
    Engine::restore(saved, terms(), now)
}

/// A world in which much is wrong.
fn troubled() -> World {
    let mut world = World::new();
    world.summary(&[("fallback_error", 3), ("rejected_signature", 25)], &[("connect", 3)]);
    for _ in 0..2 {
        world.echo(Some(FaultKind::EchoQuoted));
        let mut dns = finding(Probe::Dns, "system example.com", Some(FaultKind::DnsFailure));
        dns.account = None;
        world.probe(dns);
    }
    world.echo(Some(FaultKind::AnswerTimeout));
    world.event(Event::Token {
        account: "main".to_owned(),
        credential: "access_token".to_owned(),
        result: "foreign".to_owned(),
        errcode: None,
        action: None,
    });
    world.main().spool.dead = 2;
    world.status.as_mut().unwrap().store.writable = false;
    world.pass(3);
    world
}

#[test]
fn nothing_that_fires_is_told_as_new_and_nothing_is_lost() {
    let mut world = troubled();
    let fired = world.changes();
    assert_eq!(fired.len(), 8, "{fired:?}");
    let before: Vec<Alert> = world.engine.alerts().into_iter().cloned().collect();
    world.now += 5_000;
    world.engine = restarted(&world.engine, world.now);
    let after: Vec<Alert> = world.engine.alerts().into_iter().cloned().collect();
    assert_eq!(after, before);
    world.see(Seen::StreamOpened);
    world.pass(50);
    assert_eq!(world.changes(), []);
    // It goes on to its end.
    world.status = Some(status());
    for _ in 0..2 {
        world.echo(None);
        let mut dns = finding(Probe::Dns, "system example.com", None);
        dns.account = None;
        world.probe(dns);
    }
    for _ in 0..3700 {
        world.summary(&[("replied", 1)], &[]);
        world.pass(1);
    }
    let changes = world.changes();
    assert_eq!(changes.len(), 8);
    assert!(changes.iter().all(|(_, state)| *state == State::Resolved), "{changes:?}");
}

#[test]
fn no_silence_grows_out_of_a_restart() {
    let mut world = pushing::usual();
    world.now += 120_000;
    world.engine = restarted(&world.engine, world.now);
    world.pass(60);
    world.see(Seen::StreamOpened);
    world.pass(15);
    assert_eq!(world.changes(), []);
    assert_eq!(world.engine.markfail()[0].1, crate::markfail::State::AtRisk);
}

#[test]
fn a_clock_that_was_set_back_meanwhile_stops_nothing() {
    let mut world = troubled();
    world.changes();
    for _ in 0..2 {
        world.now -= 3_600_000;
        world.engine = restarted(&world.engine, world.now);
    }
    world.see(Seen::StreamOpened);
    world.status = Some(status());
    for _ in 0..130 {
        world.summary(&[("replied", 1)], &[]);
        world.pass(1);
    }
    let resolved = world.changes();
    let over = [Kind::ConnectTimeout, Kind::SignatureFailures, Kind::SpoolBacklog];
    for kind in over {
        assert!(resolved.contains(&(kind, State::Resolved)), "{kind:?} of {resolved:?}");
    }
    let alert = world.alert(Kind::SpoolBacklog).unwrap();
    let ago = (world.now / 1000).cast_signed() - alert.resolved.unwrap();
    assert!((120..=130).contains(&ago), "by the clock as it is now: {ago}");
}
