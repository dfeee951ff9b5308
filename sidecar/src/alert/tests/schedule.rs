//! Everything at once, in an order that a seed decides: whatever happens, an alert is in one state, and told once.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::collections::{BTreeMap, HashMap};

const OUTCOMES: [&str; 8] = [
    "replied",
    "fallback_error",
    "fallback_deadline",
    "fallback_circuit_open",
    "rejected_signature",
    "unavailable",
    "client_gone",
    "acknowledged",
];
const REASONS: [&str; 5] = ["dns", "connect", "timeout", "status", "invalid"];
const FAULTS: [Option<FaultKind>; 8] = [
    None,
    None,
    None,
    Some(FaultKind::ConnectRefused),
    Some(FaultKind::AnswerTimeout),
    Some(FaultKind::EchoWrong),
    Some(FaultKind::TlsExpired),
    Some(FaultKind::EdgeUnavailable),
];

fn one<T: Copy>(random: &mut impl Rng, of: &[T]) -> T {
    of[random.random_range(0..of.len())]
}

fn happens(world: &mut World, random: &mut impl Rng) {
    match random.random_range(0..14) {
        0..5 => {
            let outcomes = [(one(random, &OUTCOMES), random.random_range(1..8))];
            let failures = [(one(random, &REASONS), random.random_range(0..3))];
            world.summary(&outcomes, &failures);
        }
        5 => world.echo(one(random, &FAULTS)),
        6 => {
            let target = one(random, &["system a.example", "1.1.1.1:53 a.example"]);
            let fault = one(random, &[None, Some(FaultKind::DnsFailure)]);
            world.probe(finding(Probe::Dns, target, fault));
        }
        7 => {
            let open = random.random_ratio(2, 3);
            world.see(if open { Seen::StreamOpened } else { Seen::StreamClosed });
        }
        8 => world.event(Event::Lost { n: 1 }),
        9 => {
            let gone = random.random_ratio(1, 6);
            let mut status = status();
            if gone {
                status.accounts.clear();
            } else {
                let main = &mut status.accounts[0];
                main.spool.dead = random.random_range(0..2);
                main.upstream.circuit = one(random, &["open", "closed", "probing"]).to_owned();
            }
            world.status = Some(status);
        }
        10 => world.status = None,
        11 => world.event(Event::Token {
            account: "main".to_owned(),
            credential: "access_token".to_owned(),
            result: one(random, &["failed", "new", "foreign"]).to_owned(),
            errcode: one(random, &[None, Some(40164), Some(-1)]),
            action: None,
        }),
        12 => world.pass(random.random_range(0..90)),
        _ => world.now += random.random_range(0..30_000),
    }
}

#[test]
fn an_alert_is_in_one_state_and_told_once() {
    let mut told = HashMap::new();
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = World::new();
        let mut states: BTreeMap<(Kind, Option<String>), State> = BTreeMap::new();
        for _ in 0..800 {
            happens(&mut world, &mut random);
            if random.random_ratio(1, 40) {
                world.engine = Engine::restore(world.engine.save(), terms(), world.now);
            }
            world.pass(1);
            for (_, change) in world.changes.drain(..) {
                follows(&mut states, &change);
                *told.entry((change.was, change.alert.state)).or_insert(0) += 1;
            }
            let shown = world.engine.alerts();
            let mut keys: Vec<_> = shown.iter().map(|one| (one.kind, &one.account)).collect();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), shown.len(), "seed {seed}: two of one key");
            for alert in shown {
                let key = (alert.kind, alert.account.clone());
                assert_eq!(states.get(&key), Some(&alert.state), "seed {seed}: {key:?}");
                assert!(alert.time <= alert.last, "seed {seed}: {alert:?}");
                assert_eq!(alert.resolved.is_some(), alert.state == State::Resolved);
            }
        }
    }
    // A schedule in which some of these never happen proves little.
    assert!(told.len() == 4 && told.values().all(|n| *n > 50), "{told:?}");
}

/// A change must lead on from what was told before.
fn follows(states: &mut BTreeMap<(Kind, Option<String>), State>, change: &Change) {
    let key = (change.alert.kind, change.alert.account.clone());
    let before = states.insert(key, change.alert.state);
    let told = (change.was, change.alert.state);
    let right = match told {
        // What was pending may have been forgotten, what was resolved is another one's now.
        (None, State::Pending | State::Firing) => before != Some(State::Firing),
        (Some(State::Pending), State::Firing) => before == Some(State::Pending),
        (Some(State::Firing), State::Resolved) => before == Some(State::Firing),
        _ => false,
    };
    assert!(right, "{before:?}, then {told:?}: {change:?}");
}
