//! The app's faults.

use super::*;
use crate::alert::{Cause, Reason};
use crate::edge::status::LastFailure;

const ALL: [(&str, Kind); 8] = [
    ("dns", Kind::DnsFailure),
    ("dns_timeout", Kind::DnsTimeout),
    ("connect", Kind::ConnectTimeout),
    ("connect_timeout", Kind::ConnectTimeout),
    ("timeout", Kind::RequestTimeout),
    ("status", Kind::ResponseInvalid),
    ("invalid", Kind::ResponseInvalid),
    ("reset", Kind::ResponseInvalid),
];

#[test]
fn each_kind_fires_at_three_failures_and_not_at_two() {
    for (reason, kind) in ALL {
        let mut world = World::new();
        world.summary(&[("replied", 2), ("fallback_error", 2)], &[(reason, 2)]);
        world.pass(30);
        assert_eq!(world.changes(), [], "{reason}");
        world.summary(&[("fallback_error", 1)], &[(reason, 1)]);
        world.pass(1);
        assert_eq!(world.changes(), [(kind, State::Firing)], "{reason}");
        let alert = world.alert(kind).unwrap();
        assert_eq!((alert.count, alert.window_s, alert.severity), (3, 300, kind.severity()));
        assert_eq!(alert.appid.as_deref(), Some("wx_main"));
        assert_eq!((alert.last - alert.time, alert.time), (30, (START / 1000).cast_signed() + 1));
    }
}

#[test]
fn each_kind_fires_at_a_tenth_of_first_deliveries_and_not_below() {
    for (good, fires) in [(36, true), (37, false)] {
        for outcome in ["replied", "acknowledged", "held", "fallback_deadline", "fallback_error"] {
            let mut world = World::new();
            world.summary(&[(outcome, good)], &[]);
            world.summary(&[("fallback_deadline", 4)], &[("timeout", 4)]);
            world.pass(1);
            assert_eq!(world.fires(Kind::RequestTimeout), fires, "{good} {outcome}");
        }
        // What was not delivered for the first time does not count.
        let mut world = World::new();
        let others = [("joined", 900), ("fallback_order", 900), ("rejected_signature", 9)];
        world.summary(&others, &[]);
        world.summary(&[("fallback_error", 4)], &[("timeout", 4)]);
        world.pass(1);
        assert!(world.fires(Kind::RequestTimeout));
    }
}

#[test]
fn failures_of_different_kinds_and_of_long_ago_do_not_add_up() {
    let mut world = World::new();
    world.summary(&[("fallback_error", 4)], &[("timeout", 2), ("connect", 2)]);
    world.pass(300);
    world.summary(&[("fallback_error", 2)], &[("timeout", 1), ("connect", 1)]);
    world.pass(1);
    assert_eq!(world.changes(), []);
    // Different words for the same do.
    world.summary(&[("fallback_error", 2)], &[("connect_timeout", 2)]);
    world.pass(1);
    assert_eq!(world.changes(), [(Kind::ConnectTimeout, State::Firing)]);
}

/// A world in which the app refuses connections.
fn refusing() -> World {
    let mut world = World::new();
    world.summary(&[("fallback_error", 3)], &[("connect", 3)]);
    world.pass(1);
    assert_eq!(world.changes(), [(Kind::ConnectTimeout, State::Firing)]);
    world
}

#[test]
fn it_is_over_after_a_minute_with_traffic_and_none() {
    let mut world = refusing();
    world.pass(200);
    assert_eq!(world.changes(), [], "without traffic");
    world.summary(&[("replied", 1)], &[]);
    world.pass(1);
    assert_eq!(world.changes(), [(Kind::ConnectTimeout, State::Resolved)]);
    // Old failures do not make it fire again; new ones do.
    world.summary(&[("fallback_error", 2)], &[("connect", 2)]);
    world.pass(5);
    assert_eq!(world.changes(), []);
    world.summary(&[("fallback_error", 1)], &[("connect", 1)]);
    world.pass(1);
    assert_eq!(world.changes(), [(Kind::ConnectTimeout, State::Firing)]);
}

#[test]
fn one_more_failure_starts_the_minute_anew() {
    let mut world = refusing();
    world.pass(50);
    world.summary(&[("replied", 50), ("fallback_error", 1)], &[("connect", 1)]);
    world.pass(1);
    for _ in 0..58 {
        world.summary(&[("replied", 1)], &[]);
        world.pass(1);
    }
    assert_eq!(world.changes(), []);
    world.summary(&[("replied", 1)], &[]);
    world.pass(1);
    assert_eq!(world.changes(), [(Kind::ConnectTimeout, State::Resolved)]);
}

#[test]
fn another_failure_is_traffic_too() {
    let mut world = refusing();
    world.pass(60);
    world.summary(&[("fallback_deadline", 3)], &[("timeout", 3)]);
    world.pass(1);
    let expected = [(Kind::ConnectTimeout, State::Resolved), (Kind::RequestTimeout, State::Firing)];
    assert_eq!(world.changes(), expected);
}

#[test]
fn it_stays_while_the_circuit_is_open() {
    let outcomes: [&[(&str, u64)]; 2] =
        [&[("replied", 1)], &[("replied", 1), ("fallback_circuit_open", 1)]];
    for (state, outcomes) in ["open", "probing"].into_iter().zip(outcomes) {
        let mut world = refusing();
        world.main().upstream.circuit = state.to_owned();
        for _ in 0..200 {
            world.summary(outcomes, &[]);
            world.pass(1);
        }
        assert_eq!(world.changes(), []);
        world.main().upstream.circuit = "closed".to_owned();
        for _ in 0..63 {
            world.summary(&[("replied", 1)], &[]);
            world.pass(1);
        }
        assert_eq!(world.changes(), [(Kind::ConnectTimeout, State::Resolved)], "{state}");
    }
}

#[test]
fn on_a_busy_account_the_open_circuit_is_as_good_as_a_tenth() {
    let mut world = World::new();
    for _ in 0..300 {
        world.summary(&[("replied", 99), ("fallback_deadline", 1)], &[("timeout", 1)]);
        world.pass(1);
    }
    // It dies: ten failures open the circuit, and the app is asked no more. Calls from before still run out of time.
    world.summary(&[("fallback_error", 10), ("replied", 20)], &[("connect", 10)]);
    let circuit = Event::Circuit { account: "main".to_owned(), state: "open".to_owned() };
    world.event(circuit);
    world.main().upstream.circuit = "open".to_owned();
    world.main().upstream.last_failure = Some(LastFailure { at: 0, reason: "connect".to_owned() });
    for _ in 0..6 {
        let more = [("fallback_circuit_open", 100), ("fallback_deadline", 1)];
        world.summary(&more, &[("timeout", 1)]);
        world.pass(1);
    }
    assert_eq!(world.changes(), [(Kind::ConnectTimeout, State::Firing)]);
    let alert = world.alert(Kind::ConnectTimeout).unwrap();
    assert_eq!(alert.count, 610);
    let Cause::App { reason: Reason::Connect, unasked: 600, .. } = alert.cause else {
        panic!("{:?}", alert.cause)
    };
}

#[test]
fn a_circuit_that_was_open_before_anybody_looked_is_told() {
    let mut world = World::new();
    world.main().upstream.circuit = "open".to_owned();
    world.main().upstream.last_failure = Some(LastFailure { at: 0, reason: "timeout".to_owned() });
    world.pass(3);
    world.summary(&[("fallback_circuit_open", 2)], &[]);
    world.pass(3);
    assert_eq!(world.changes(), []);
    world.summary(&[("fallback_circuit_open", 1)], &[]);
    world.pass(3);
    assert_eq!(world.changes(), [(Kind::RequestTimeout, State::Firing)]);
}

#[test]
fn a_circuit_that_has_closed_is_not_said_to_be_open() {
    // Also when all that was counted is long ago: that stays then.
    for longer in [0, 400] {
        let mut world = refusing();
        let upstream = &mut world.main().upstream;
        upstream.circuit = "open".to_owned();
        upstream.last_failure = Some(LastFailure { at: 0, reason: "connect".to_owned() });
        world.pass(300);
        world.summary(&[("fallback_circuit_open", 5)], &[]);
        world.pass(1 + longer);
        let told = |world: &World| {
            let alert = world.alert(Kind::ConnectTimeout).unwrap();
            let Cause::App { failures, unasked, open, .. } = alert.cause else { panic!() };
            (alert.count, failures, unasked, open)
        };
        assert_eq!(told(&world), (5, 0, 5, true));
        world.main().upstream.circuit = "closed".to_owned();
        world.pass(3);
        assert_eq!(told(&world), (5, 0, 5, false), "{longer} s later");
        // What was not asked then is no failure of another kind.
        world.summary(&[("fallback_error", 3)], &[("timeout", 3)]);
        world.pass(1);
        assert_eq!(world.alert(Kind::RequestTimeout).unwrap().count, 3);
    }
}

#[test]
fn with_an_open_circuit_the_example_is_what_the_app_answered_to_a_redelivery() {
    let mut world = World::new();
    world.main().upstream.circuit = "open".to_owned();
    world.main().upstream.last_failure = Some(LastFailure { at: 0, reason: "status".to_owned() });
    world.pass(3);
    world.event(Event::Failure(Failure {
        account: "main".to_owned(),
        outcome: "fallback_circuit_open".to_owned(),
        reason: String::new(),
        kind: "text".to_owned(),
        peer: "203.205.140.29".parse().unwrap(),
        duration_ms: 0,
        response_length: 0,
        response: String::new(),
    }));
    world.summary(&[("fallback_circuit_open", 3)], &[]);
    world.pass(1);
    let example = |world: &World| world.alert(Kind::ResponseInvalid).unwrap().example.clone();
    assert_eq!(example(&world).unwrap().ip, Some("203.205.140.29".parse().unwrap()));
    for (response, response_length) in [("Error 502:", 10), ("", 0)] {
        world.event(Event::Spool {
            account: "main".to_owned(),
            action: "retry".to_owned(),
            id: "1".to_owned(),
            reason: "status".to_owned(),
            response_length,
            response: response.to_owned(),
        });
        world.pass(1);
        let example = example(&world).unwrap();
        assert_eq!(example.response.as_deref(), Some("Error 502:"));
        assert_eq!((example.ip, example.response_length), (None, Some(10)));
    }
}

#[test]
fn what_is_not_seen_neither_fires_nor_resolves() {
    // Events are lost, the stream breaks off, the edge restarts, its status fails: the minute begins anew.
    let gaps: [&[Seen]; 4] = [
        &[Seen::Event { of: Event::Lost { n: 5 } }],
        &[Seen::StreamClosed, Seen::StreamOpened],
        &[
            Seen::StreamClosed,
            Seen::StreamOpened,
            Seen::Event { of: Event::Hello { version: "2".to_owned() } },
        ],
        &[Seen::NoStatus { reason: "timeout".to_owned() }],
    ];
    for gap in gaps {
        let mut world = refusing();
        world.pass(50);
        gap.iter().cloned().for_each(|seen| world.see(seen));
        world.summary(&[("replied", 1)], &[]);
        world.pass(30);
        world.summary(&[("replied", 1)], &[]);
        world.pass(25);
        world.changes.retain(|(_, change)| change.alert.kind != Kind::ProxyDown);
        assert_eq!(world.changes(), [], "{gap:?}");
        world.pass(10);
        assert_eq!(world.changes(), [(Kind::ConnectTimeout, State::Resolved)], "{gap:?}");
    }
    // While the stream stays closed nothing is over.
    let mut world = refusing();
    world.summary(&[("replied", 1)], &[]);
    world.see(Seen::StreamClosed);
    world.pass(900);
    assert_eq!(world.changes(), []);
    assert!(world.fires(Kind::ConnectTimeout));
}

#[test]
fn the_example_is_the_last_callback_that_failed_so() {
    let mut world = World::new();
    world.failure("fallback_error", "status", "203.205.140.29");
    world.failure("fallback_deadline", "timeout", "203.205.140.30");
    // A reply that is none: the reason says what is wrong with it.
    world.failure("acknowledged", "not_json", "203.205.140.31");
    world.failure("rejected_signature", "signature", "198.51.100.1");
    world.summary(&[("fallback_error", 3)], &[("status", 2), ("invalid", 1)]);
    world.pass(1);
    let alert = world.alert(Kind::ResponseInvalid).unwrap();
    let example = alert.example.as_ref().unwrap();
    assert_eq!(example.ip, Some("203.205.140.31".parse().unwrap()));
    assert_eq!(example.response.as_deref(), Some("Error 500"));
    assert_eq!((example.msg_type.as_deref(), example.response_length), (Some("text"), Some(9)));
    assert!(matches!(alert.cause, Cause::App { reason: Reason::Status, .. }));
}

#[test]
fn an_account_that_is_gone_takes_its_alerts_along() {
    let mut world = refusing();
    world.status.as_mut().unwrap().accounts = vec![account("other")];
    world.pass(3);
    assert_eq!(world.changes(), [(Kind::ConnectTimeout, State::Resolved)]);
    world.summary(&[("fallback_error", 9)], &[("connect", 9)]);
    world.echo(Some(FaultKind::Redirect));
    world.pass(3);
    assert_eq!(world.changes(), []);
    assert_eq!(world.engine.markfail().len(), 1);
}
