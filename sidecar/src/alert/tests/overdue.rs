//! Targets that are configured no more.

use super::*;

const TIMEOUT: Option<FaultKind> = Some(FaultKind::ConnectTimeout);

/// Looks at some of `main`'s targets, so many times with so many seconds after each.
fn look(world: &mut World, of: &[(Probe, &str, Option<FaultKind>)], times: u32, gap_s: u64) {
    for _ in 0..times {
        for (probe, target, fault) in of {
            world.probe(finding(*probe, target, *fault));
        }
        world.pass(gap_s);
    }
}

#[test]
fn a_name_that_was_corrected_fires_no_more() {
    let mut world = World::new();
    look(&mut world, &[(Probe::Dns, "system old", Some(FaultKind::DnsFailure))], 3, 30);
    assert!(world.fires(Kind::DnsFailure));
    look(&mut world, &[(Probe::Dns, "system new", None)], 4, 30);
    assert!(world.fires(Kind::DnsFailure), "the next look may be late");
    look(&mut world, &[(Probe::Dns, "system new", None)], 2, 30);
    assert_eq!(world.state(Kind::DnsFailure), Some(State::Resolved));
    assert_eq!(world.changes().last(), Some(&(Kind::DnsFailure, State::Resolved)));
}

#[test]
fn a_name_that_is_there_no_more_takes_its_connection_along() {
    let mut world = World::new();
    let old = [(Probe::Dns, "system old", None), (Probe::Tcp, "old:443", TIMEOUT)];
    look(&mut world, &old, 3, 30);
    assert!(world.fires(Kind::ConnectTimeout));
    world.pass(240);
    assert_eq!(world.state(Kind::ConnectTimeout), Some(State::Resolved));
}

#[test]
fn what_was_seen_once_and_corrected_is_forgotten() {
    let mut world = World::new();
    look(&mut world, &[(Probe::Tcp, "new:443", None), (Probe::Tcp, "old:443", TIMEOUT)], 1, 30);
    assert_eq!(world.state(Kind::ConnectTimeout), Some(State::Pending));
    look(&mut world, &[(Probe::Tcp, "new:443", None)], 6, 30);
    assert_eq!(world.state(Kind::ConnectTimeout), None);
}

#[test]
fn looks_that_come_seldom_are_waited_for() {
    for (probe, target, fault, kind, gap_s) in [
        (Probe::Tcp, "example.com:443", FaultKind::ConnectTimeout, Kind::ConnectTimeout, 3600),
        (Probe::CallbackCheck, "example.com", FaultKind::DnsFailure, Kind::DnsFailure, 600),
    ] {
        let mut world = World::new();
        // 20 % early, then 20 % late.
        look(&mut world, &[(probe, target, Some(fault))], 1, gap_s * 4 / 5);
        for _ in 0..3 {
            look(&mut world, &[(probe, target, Some(fault))], 1, gap_s * 6 / 5);
            assert!(world.fires(kind), "{kind:?}");
        }
        world.pass(gap_s * 6 / 5 + 125);
        assert_eq!(world.state(kind), Some(State::Resolved), "{kind:?}");
    }
}

/// Two schedules look at the same name by the same resolver: an app's and the public URL's.
#[test]
fn a_target_of_two_schedules_has_the_longer_gap() {
    let mut world = World::new();
    let name = [(Probe::Dns, "system example.com", Some(FaultKind::DnsFailure))];
    look(&mut world, &[(Probe::Tcp, "example.com:443", None)], 2, 3600);
    look(&mut world, &name, 1, 3);
    look(&mut world, &name, 1, 3597);
    assert!(world.fires(Kind::DnsFailure));
}

#[test]
fn a_step_that_fails_hides_those_after_it() {
    let expired = Some(FaultKind::TlsExpired);
    let name = (Probe::Dns, "system example.com", None);
    let tls = (Probe::Tls, "example.com:443", expired);
    let mut world = World::new();
    look(&mut world, &[name, (Probe::Tcp, "example.com:443", None), tls], 3, 30);
    look(&mut world, &[name, (Probe::Tcp, "example.com:443", TIMEOUT)], 20, 30);
    assert!(world.fires(Kind::TlsExpiry) && world.fires(Kind::ConnectTimeout));
    look(&mut world, &[(Probe::Dns, "system example.com", Some(FaultKind::DnsFailure))], 20, 30);
    assert!(world.fires(Kind::TlsExpiry) && world.fires(Kind::DnsFailure));
    // There is another port now.
    look(&mut world, &[name, (Probe::Tcp, "example.com:8443", None)], 20, 30);
    assert_eq!(world.state(Kind::TlsExpiry), Some(State::Resolved));
    assert_eq!(world.state(Kind::ConnectTimeout), Some(State::Resolved));
}

#[test]
fn a_look_that_says_nothing_is_one_all_the_same() {
    let mut world = World::new();
    look(&mut world, &[(Probe::Echo, "example.com:443", Some(FaultKind::EchoWrong))], 3, 30);
    let silent = [(Probe::Echo, "example.com:443", Some(FaultKind::EdgeUnavailable))];
    look(&mut world, &silent, 20, 30);
    assert!(world.fires(Kind::ResponseInvalid));
}

#[test]
fn a_time_that_was_missed_counts_for_nothing() {
    let mut world = World::new();
    look(&mut world, &[(Probe::Tcp, "example.com:443", TIMEOUT)], 3, 30);
    // The machine was asleep.
    world.now += 3_600_000;
    world.pass(60);
    assert!(world.fires(Kind::ConnectTimeout));
    world.now += 3_600_000;
    world.engine = restart::restarted(&world.engine, world.now);
    world.pass(60);
    assert!(world.fires(Kind::ConnectTimeout));
    look(&mut world, &[(Probe::Tcp, "example.com:443", TIMEOUT)], 1, 30);
    // Those hours were no gap between looks.
    world.pass(240);
    assert_eq!(world.state(Kind::ConnectTimeout), Some(State::Resolved));
}
