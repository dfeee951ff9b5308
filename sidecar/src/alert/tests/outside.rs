//! What probes find: the public URL and names.

use super::*;
use crate::alert::Cause;
use crate::config::Language;
use crate::limits;

const URL: [(Probe, FaultKind, Kind); 14] = [
    (Probe::Tcp, FaultKind::ConnectRefused, Kind::ConnectTimeout),
    (Probe::Tcp, FaultKind::ConnectTimeout, Kind::ConnectTimeout),
    (Probe::Echo, FaultKind::ConnectRefused, Kind::ConnectTimeout),
    (Probe::Tls, FaultKind::AnswerTimeout, Kind::RequestTimeout),
    (Probe::Echo, FaultKind::AnswerTimeout, Kind::RequestTimeout),
    (Probe::Tls, FaultKind::TlsInvalid, Kind::ResponseInvalid),
    (Probe::Tls, FaultKind::TlsExpired, Kind::TlsExpiry),
    (Probe::Echo, FaultKind::Redirect, Kind::ResponseInvalid),
    (Probe::Echo, FaultKind::AnswerStatus, Kind::ResponseInvalid),
    (Probe::Echo, FaultKind::EchoQuoted, Kind::ResponseInvalid),
    (Probe::Echo, FaultKind::EchoWrong, Kind::ResponseInvalid),
    (Probe::Echo, FaultKind::SignatureRefused, Kind::ResponseInvalid),
    (Probe::Tcp, FaultKind::WrongPort, Kind::ResponseInvalid),
    (Probe::CallbackCheck, FaultKind::DnsFailure, Kind::DnsFailure),
];

#[test]
fn a_first_bad_look_is_pending_a_second_fires_two_good_ones_resolve() {
    for (probe, fault, kind) in URL {
        let mut world = World::new();
        let mut look = |bad: bool| {
            world.probe(finding(probe, "example.com:443", bad.then_some(fault)));
            world.pass(30);
            world.changes()
        };
        assert_eq!(look(false), []);
        assert_eq!(look(true), [(kind, State::Pending)], "{fault:?}");
        assert_eq!(look(false), [], "{fault:?}");
        assert_eq!(look(true), [(kind, State::Pending)], "{fault:?}");
        assert_eq!(look(true), [(kind, State::Firing)], "{fault:?}");
        assert_eq!(look(false), []);
        assert_eq!(look(true), []);
        assert_eq!(look(false), []);
        assert_eq!(look(false), [(kind, State::Resolved)], "{fault:?}");
    }
}

#[test]
fn two_bad_looks_in_a_row_count_whatever_they_find() {
    let mut world = World::new();
    for fault in [FaultKind::AnswerTimeout, FaultKind::AnswerStatus] {
        world.echo(Some(fault));
        world.pass(30);
    }
    let expected = [(Kind::RequestTimeout, State::Pending), (Kind::ResponseInvalid, State::Firing)];
    assert_eq!(world.changes(), expected);
    // From one to the other and back: both are told once.
    for fault in [FaultKind::AnswerTimeout, FaultKind::AnswerStatus, FaultKind::AnswerTimeout] {
        world.echo(Some(fault));
        world.pass(30);
    }
    assert_eq!(world.changes(), [(Kind::RequestTimeout, State::Firing)]);
}

#[test]
fn what_says_nothing_changes_nothing() {
    let silent = [
        (Probe::Echo, FaultKind::EdgeUnavailable),
        (Probe::CallbackCheck, FaultKind::PingLoss),
        (Probe::CallbackCheck, FaultKind::CheckDiffers),
        (Probe::CallbackCheck, FaultKind::CheckRefused),
        (Probe::Clock, FaultKind::ClockSkew),
        (Probe::Dns, FaultKind::DnsDiffers),
    ];
    let mut world = World::new();
    for (probe, fault) in silent {
        for _ in 0..3 {
            world.probe(finding(probe, "example.com", Some(fault)));
            world.pass(1);
        }
    }
    assert_eq!(world.changes(), []);
    for _ in 0..2 {
        world.echo(Some(FaultKind::Redirect));
    }
    for _ in 0..9 {
        world.echo(Some(FaultKind::EdgeUnavailable));
    }
    world.pass(1);
    assert_eq!(world.changes(), [(Kind::ResponseInvalid, State::Firing)]);
}

#[test]
fn a_certificate_is_told_two_weeks_ahead() {
    const DAY: i64 = 86_400;
    for (left, days) in [(14 * DAY + 60, None), (14 * DAY - 60, Some(13)), (DAY / 2, Some(0))] {
        let mut world = World::new();
        let mut tls = finding(Probe::Tls, "example.com:443", None);
        tls.facts.not_after = Some((world.now / 1000).cast_signed() + left);
        for _ in 0..2 {
            world.probe(tls.clone());
            world.pass(1);
        }
        let cause = world.alert(Kind::TlsExpiry).map(|alert| alert.cause.clone());
        let target = "example.com:443".to_owned();
        assert_eq!(cause, days.map(|days| Cause::Certificate { target, days: Some(days) }));
        assert_eq!(world.fires(Kind::TlsExpiry), days.is_some());
    }
}

#[test]
fn a_look_that_does_not_see_the_certificate_does_not_renew_it() {
    let mut world = World::new();
    let mut tls = finding(Probe::Tls, "example.com:443", None);
    tls.facts.not_after = Some((world.now / 1000).cast_signed() + 60);
    world.probe(tls.clone());
    world.probe(tls.clone());
    for _ in 0..3 {
        let fault = Some(FaultKind::ConnectRefused);
        world.probe(finding(Probe::Tls, "example.com:443", fault));
    }
    world.pass(1);
    assert!(world.fires(Kind::TlsExpiry) && world.fires(Kind::ConnectTimeout));
    tls.facts.not_after = Some((world.now / 1000).cast_signed() + 90 * 86_400);
    world.probe(tls.clone());
    world.probe(tls);
    world.pass(1);
    assert_eq!(world.state(Kind::TlsExpiry), Some(State::Resolved));
}

#[test]
fn an_app_and_a_url_that_fail_alike_are_one_alert() {
    let mut world = World::new();
    world.summary(&[("fallback_error", 3)], &[("connect", 3)]);
    world.pass(1);
    for _ in 0..2 {
        world.probe(finding(Probe::Tcp, "example.com:443", Some(FaultKind::ConnectRefused)));
        world.pass(1);
    }
    assert_eq!(world.changes(), [(Kind::ConnectTimeout, State::Firing)]);
    let is_apps = |world: &World| {
        matches!(world.alert(Kind::ConnectTimeout).unwrap().cause, Cause::App { .. })
    };
    assert!(is_apps(&world), "the first one");
    world.pass(60);
    world.summary(&[("replied", 1)], &[]);
    world.pass(1);
    assert_eq!(world.changes(), []);
    assert!(!is_apps(&world));
    for _ in 0..2 {
        world.probe(finding(Probe::Tcp, "example.com:443", None));
        world.pass(1);
    }
    assert_eq!(world.changes(), [(Kind::ConnectTimeout, State::Resolved)]);
}

/// Looks at a host by the system's resolver and two others: which fail, and how.
fn resolve(world: &mut World, account: Option<&str>, faults: [Option<FaultKind>; 3]) {
    for _ in 0..2 {
        for (resolver, fault) in ["system", "1.1.1.1:53", "[2400::1]:53"].iter().zip(faults) {
            let mut look = finding(Probe::Dns, &format!("{resolver} example.com"), fault);
            look.facts.system = Some(*resolver == "system");
            look.account = account.map(str::to_owned);
            world.probe(look);
        }
        world.pass(1);
    }
}

#[test]
fn a_name_is_as_bad_as_those_that_do_not_know_it() {
    use FaultKind::{DnsFailure, DnsTimeout, Ipv6Only};
    let (none, slow, six) = (Some(DnsFailure), Some(DnsTimeout), Some(Ipv6Only));
    let table = [
        ([none, None, None], Some(Severity::High), None),
        ([None, none, None], Some(Severity::Medium), None),
        ([None, none, none], Some(Severity::Medium), None),
        ([none, none, none], Some(Severity::High), None),
        ([slow, none, none], Some(Severity::High), Some(Severity::Medium)),
        ([slow, None, None], None, Some(Severity::Medium)),
        ([slow, slow, slow], None, Some(Severity::Medium)),
        ([six, six, six], Some(Severity::Medium), None),
        ([None, None, None], None, None),
    ];
    for account in [Some("main"), None] {
        for (faults, failure, timeout) in table {
            let mut world = World::new();
            resolve(&mut world, account, faults);
            assert_eq!(world.severity(Kind::DnsFailure), failure, "{faults:?}");
            assert_eq!(world.severity(Kind::DnsTimeout), timeout, "{faults:?}");
            let fired = world.engine.alerts();
            assert!(fired.iter().all(|alert| alert.account.as_deref() == account));
            assert!(fired.iter().all(|alert| alert.state == State::Firing));
            resolve(&mut world, account, [None; 3]);
            assert!(world.engine.alerts().iter().all(|alert| alert.state == State::Resolved));
        }
    }
}

#[test]
fn all_hosts_that_cannot_be_resolved_are_named() {
    let mut world = World::new();
    let hosts = ["a.example", "b.example", "c.example"];
    for looks in [1, 2] {
        for host in &hosts[..=looks] {
            let target = format!("system {host}");
            world.probe(finding(Probe::Dns, &target, Some(FaultKind::DnsFailure)));
        }
        world.probe(finding(Probe::CallbackCheck, "b.example", Some(FaultKind::DnsFailure)));
    }
    world.pass(1);
    let told = world.alert(Kind::DnsFailure).unwrap().description(Language::English);
    assert!(told.contains("a.example") && told.contains("b.example"), "{told}");
    // That one was looked at once: nothing to tell anybody yet.
    assert!(!told.contains("c.example"), "{told}");
    for n in 0..9 {
        for _ in 0..2 {
            let target = format!("system {n}.example");
            world.probe(finding(Probe::Dns, &target, Some(FaultKind::DnsFailure)));
        }
    }
    world.pass(1);
    let (Cause::Name { others, .. } | Cause::NameAtWeChat { others, .. }) =
        &world.alert(Kind::DnsFailure).unwrap().cause
    else {
        panic!()
    };
    assert_eq!(others.len(), limits::ALERT_NAMES);
}

#[test]
fn the_names_of_resolvers_are_few() {
    let mut world = World::new();
    for _ in 0..2 {
        for n in 0..9 {
            let fault = (n > 0).then_some(FaultKind::DnsFailure);
            world.probe(finding(Probe::Dns, &format!("10.0.0.{n}:53 example.com"), fault));
        }
    }
    world.pass(1);
    let Cause::Name { failing, failed, asked, system, .. } =
        &world.alert(Kind::DnsFailure).unwrap().cause
    else {
        panic!()
    };
    assert_eq!((failing.len(), *failed, *asked, *system), (limits::ALERT_NAMES, 8, 9, false));
}
