//! When all is well nothing is said.

use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// An hour of calls of which each hundredth is too slow, at so many a second. Says what fired.
fn hour(per_second: f64, seed: u64, by_chance: bool) -> Vec<(Kind, State)> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::new();
    let (mut due, mut calls) = (0.0, 0_u64);
    for second in 0..3600 {
        due += per_second;
        let mut slow = 0;
        let now = due as u64;
        due -= now as f64;
        for _ in 0..now {
            calls += 1;
            let is_slow =
                if by_chance { random.random_ratio(1, 100) } else { calls.is_multiple_of(100) };
            slow += u64::from(is_slow);
        }
        if now > 0 {
            let outcomes = [("replied", now - slow), ("fallback_deadline", slow)];
            world.summary(&outcomes, &[("timeout", slow)]);
        }
        if second % 30 == 0 {
            world.echo(None);
        }
        world.pass(1);
    }
    world.changes()
}

#[test]
fn an_hour_with_one_slow_call_in_a_hundred_fires_nothing() {
    for per_second in [1.0 / 60.0, 1.0 / 30.0, 0.1, 0.3, 1.0, 10.0, 300.0] {
        assert_eq!(hour(per_second, 0, false), [], "{per_second} a second");
    }
}

#[test]
fn nor_does_one_where_they_come_by_chance() {
    for per_second in [1.0 / 60.0, 1.0 / 30.0, 0.5, 1.0, 10.0, 300.0] {
        for seed in 0..2 {
            assert_eq!(hour(per_second, seed, true), [], "{per_second} a second, seed {seed}");
        }
    }
}
