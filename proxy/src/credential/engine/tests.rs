mod judge;
mod schedule;
mod world;

use super::*;
use crate::config::Secret;
use world::refusal;
use wxedge_wechat::api::errcode::Pause;

const UNIX_MS: i64 = 1_760_000_000_000;

/// One engine, and the clocks.
struct Bench {
    engine: Engine,
    steady_ms: u64,
    unix_ms: i64,
}

impl Bench {
    fn new(source: Source) -> Bench {
        let engine = Engine::new(Policy { source, configuration: 1 });
        Bench { engine, steady_ms: 1_000, unix_ms: UNIX_MS }
    }

    fn now(&self) -> Now {
        Now { steady: Duration::from_millis(self.steady_ms), unix_ms: self.unix_ms }
    }

    fn pass(&mut self, seconds: u64) {
        self.steady_ms += seconds * 1000;
        self.unix_ms += seconds as i64 * 1000;
    }

    fn wanted(&mut self) -> Want {
        self.engine.wanted(self.now())
    }

    fn rejected(&mut self, generation: u64) -> Want {
        self.engine.rejected(self.now(), generation, 40001)
    }

    fn issue(&mut self, fetch: Fetch, value: &str, expires_in_s: i64) -> Outcome {
        let issued = Issued { value: Secret::new(value), expires_in_s };
        self.engine.fetched(self.now(), fetch.flight, Ok(issued), 0.5)
    }

    fn refuse(&mut self, fetch: Fetch, errcode: i64) -> Outcome {
        let refusal = refusal(self.engine.policy.source.asked(), errcode);
        self.engine.fetched(self.now(), fetch.flight, Err(refusal), 0.5)
    }

    /// The value is there.
    fn with(mut self, value: &str) -> Bench {
        let fetch = fetch(self.wanted());
        assert_eq!(self.issue(fetch, value, 7200), Outcome::New);
        self
    }

    fn state(&self) -> State {
        self.engine.status(self.now()).state
    }
}

fn fetch(want: Want) -> Fetch {
    match want {
        Want::Fetch(fetch) => fetch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tokens_are_refreshed_ahead_and_serve_meanwhile() {
    for (jitter, ahead) in [(0.0, 300), (1.0, 210), (f64::NAN, 210), (7.0, 210)] {
        let mut bench = Bench::new(Source::StableToken);
        let first = bench.engine.due(bench.now()).unwrap();
        let issued = Issued { value: Secret::new("A"), expires_in_s: 7200 };
        bench.engine.fetched(bench.now(), first.flight, Ok(issued), jitter);
        assert_eq!(bench.engine.due_in(bench.now()), Some(Duration::from_secs(7200 - ahead)));
        bench.pass(7200 - ahead - 1);
        assert_eq!(bench.engine.due(bench.now()), None);
        bench.pass(1);
        let second = bench.engine.due(bench.now()).unwrap();
        assert_eq!(bench.engine.due(bench.now()), None, "one at a time");
        assert_eq!(bench.wanted(), Want::Use(1));
        assert_eq!(bench.issue(second, "B", 7200), Outcome::New, "its time had come");
        assert_eq!(bench.wanted(), Want::Use(2));
    }
}

#[test]
fn the_same_token_with_the_rest_of_its_life_is_no_new_one() {
    let mut bench = Bench::new(Source::StableToken).with("A");
    bench.pass(6000);
    let again = fetch(bench.engine.operator(bench.now()));
    assert_eq!(bench.issue(again, "A", 1200), Outcome::Confirmed(None));
    assert_eq!(bench.wanted(), Want::Use(1));
    let due_in = bench.engine.due_in(bench.now()).unwrap();
    assert_eq!(due_in, Duration::from_secs(1200 - 255));
}

#[test]
fn failures_leave_the_old_token_to_its_end() {
    let mut bench = Bench::new(Source::StableToken).with("A");
    bench.pass(7000);
    for _ in 0..20 {
        let Some(due) = bench.engine.due(bench.now()) else { break };
        assert_eq!(bench.refuse(due, -1), Outcome::Failed);
        assert_eq!(bench.state(), State::Failing);
        assert_eq!(bench.wanted(), Want::Use(1));
        bench.pass(10);
    }
    bench.pass(200);
    assert_eq!(bench.engine.value(bench.now()).map(Value::generation), None);
    let fetch = fetch(bench.wanted());
    assert_eq!(bench.wanted(), Want::Wait);
    assert_eq!(bench.refuse(fetch, 40164), Outcome::Failed);
    assert_eq!(bench.wanted(), Want::Refused(Why::Pausing(Duration::from_secs(63))));
}

#[test]
fn lives_of_any_length_make_no_storm() {
    for life in [i64::MIN, -1, 0, 1, 2, 30, 59, 60, 61, 100, 300, i64::MAX] {
        let mut bench = Bench::new(Source::StableToken);
        let mut fetches = 0;
        for second in 0..3600 {
            let fetch = match bench.wanted() {
                Want::Fetch(fetch) => Some(fetch),
                _ => bench.engine.due(bench.now()),
            };
            if let Some(fetch) = fetch {
                fetches += 1;
                bench.issue(fetch, &second.to_string(), life);
            }
            bench.pass(1);
        }
        assert!((1..=100).contains(&fetches), "{fetches} fetches with a life of {life} s");
        let life = bench.engine.value(bench.now()).map_or(Duration::ZERO, |v| v.life(bench.now()));
        assert!(life <= Duration::from_secs(24 * 3600));
    }
}

#[test]
fn a_rejected_token_is_asked_about_then_forced_then_held() {
    let mut bench = Bench::new(Source::StableToken).with("A");
    let ask = fetch(bench.rejected(1));
    assert!(!ask.force, "a fresh token may be asked about at once, without force");
    assert_eq!(bench.rejected(1), Want::Wait);
    let Outcome::Confirmed(Some(force)) = bench.issue(ask, "A", 7190) else { panic!() };
    assert!(force.force);
    assert_eq!(
        bench.engine.saved(bench.now()).forced,
        [bench.unix_ms],
        "counted before it is sent"
    );
    // WeChat ignores a force that comes too soon after another system's.
    assert_eq!(bench.issue(force, "A", 7190), Outcome::Confirmed(None));
    assert_eq!(bench.rejected(1), Want::Refused(Why::Confirmed));
    assert_eq!(bench.wanted(), Want::Use(1));
    let status = bench.engine.status(bench.now());
    assert_eq!((status.state, status.errcode), (State::Failing, Some(40001)));
    bench.pass(30);
    assert_eq!(bench.state(), State::Ok);
    let ask = fetch(bench.rejected(1));
    let Outcome::Confirmed(Some(force)) = bench.issue(ask, "A", 7160) else { panic!() };
    assert_eq!(bench.issue(force, "B", 7200), Outcome::New, "our own doing");
    assert_eq!(bench.rejected(1), Want::Use(2));
}

#[test]
fn force_is_used_twenty_times_in_a_day_whatever_the_wall_clock_says() {
    let mut bench = Bench::new(Source::StableToken).with("A");
    let mut forced = 0;
    for minute in 0..24 * 60 - 1 {
        if let Want::Fetch(ask) = bench.rejected(1)
            && let Outcome::Confirmed(Some(force)) = bench.issue(ask, "A", 7200)
        {
            forced += 1;
            bench.issue(force, "A", 7200);
        }
        if minute == 600 {
            bench.unix_ms += 86_400_000;
        }
        bench.pass(60);
    }
    assert_eq!(forced, 20);
    bench.pass(60);
    let ask = fetch(bench.rejected(1));
    assert!(matches!(bench.issue(ask, "A", 7200), Outcome::Confirmed(Some(_))), "a day later");
}

#[test]
fn a_used_up_force_does_not_keep_the_token_from_being_refreshed() {
    let mut bench = Bench::new(Source::StableToken).with("A");
    let ask = fetch(bench.rejected(1));
    let Outcome::Confirmed(Some(force)) = bench.issue(ask, "A", 7200) else { panic!() };
    assert_eq!(bench.refuse(force, 45009), Outcome::Failed);
    assert_eq!(bench.rejected(1), Want::Refused(Why::Confirmed));
    bench.pass(60);
    let ask = fetch(bench.rejected(1));
    assert_eq!(bench.issue(ask, "A", 7140), Outcome::Confirmed(None), "not forced for an hour");
    bench.pass(3600);
    let ask = fetch(bench.rejected(1));
    assert!(matches!(bench.issue(ask, "A", 3540), Outcome::Confirmed(Some(_))));
}

#[test]
fn another_systems_refresh_is_told_from_our_own() {
    let mut bench = Bench::new(Source::StableToken).with("A");
    bench.pass(60);
    let ask = fetch(bench.rejected(1));
    assert_eq!(bench.issue(ask, "B", 7200), Outcome::Foreign);
    // The answer to a forced fetch is lost: the next token is of our own making.
    bench.pass(300);
    let ask = fetch(bench.rejected(2));
    let Outcome::Confirmed(Some(_lost)) = bench.issue(ask, "B", 6900) else { panic!() };
    bench.pass(31);
    let again = bench.engine.due(bench.now());
    assert_eq!(again, None, "it is given up, and a pause follows");
    bench.pass(1);
    let again = bench.engine.due(bench.now()).unwrap();
    assert!(!again.force);
    assert_eq!(bench.issue(again, "C", 7200), Outcome::New);
    // `token` makes a new one each time; only one that was rejected tells of another system.
    let mut bench = Bench::new(Source::Token).with("A");
    bench.pass(60);
    let ask = fetch(bench.engine.operator(bench.now()));
    assert_eq!(bench.issue(ask, "B", 7200), Outcome::New);
    bench.pass(60);
    let ask = fetch(bench.rejected(2));
    assert_eq!(bench.issue(ask, "C", 7200), Outcome::Foreign);
}

#[test]
fn tokens_that_are_rejected_one_after_the_other_are_asked_for_ever_more_slowly() {
    let mut bench = Bench::new(Source::StableToken).with("0");
    let mut fetches = 0;
    for second in 0..3600 {
        if let Want::Fetch(ask) = bench.rejected(bench.engine.generation) {
            fetches += 1;
            bench.issue(ask, &format!("{second} rejected"), 7200);
        }
        bench.pass(1);
    }
    assert!((60..=70).contains(&fetches), "{fetches}");
}

#[test]
fn the_token_endpoint_is_asked_five_hundred_times_a_day_and_half_a_minute_apart() {
    let mut bench = Bench::new(Source::Token).with("0");
    // The first is asked about at once, however new it is.
    let ask = fetch(bench.rejected(1));
    bench.issue(ask, "1", 7200);
    assert_eq!(bench.rejected(2), Want::Refused(Why::Pausing(Duration::from_secs(30))));
    let mut fetches = 1;
    for second in 0..86_000 {
        if let Want::Fetch(ask) = bench.rejected(bench.engine.generation) {
            fetches += 1;
            assert_eq!(bench.engine.due_in(bench.now()), Some(limits::CREDENTIAL_FETCH));
            bench.issue(ask, &format!("{second} rejected"), 7200);
        }
        bench.pass(if second % 7 == 0 { 1 } else { 0 });
        bench.pass(1);
        if let Some(due) = bench.engine.due(bench.now()) {
            bench.issue(due, &format!("{second} due"), 7200);
        }
        if bench.steady_ms > 86_400_000 {
            break;
        }
    }
    assert_eq!(fetches, 500);
}

#[test]
fn tickets_are_fetched_on_demand_and_kept_while_they_are_asked_for() {
    let mut bench = Bench::new(Source::Ticket);
    assert_eq!(bench.engine.due(bench.now()), None);
    assert_eq!(bench.engine.due_in(bench.now()), None);
    assert_eq!(bench.state(), State::None);
    let mut bench = bench.with("A");
    bench.pass(7000);
    assert_eq!(bench.engine.due(bench.now()), None, "nobody has asked since");
    assert_eq!(bench.wanted(), Want::Use(1));
    let due = bench.engine.due(bench.now()).unwrap();
    // The access token was rejected: that stops no ticket.
    assert_eq!(bench.refuse(due, 40001), Outcome::Failed);
    assert_eq!(bench.wanted(), Want::Use(1));
    bench.pass(60);
    let due = bench.engine.due(bench.now()).unwrap();
    assert_eq!(
        bench.issue(due, "B", 7200),
        Outcome::New,
        "of tickets nothing is said about others"
    );
}

#[test]
fn a_wrong_secret_stops_it_until_somebody_acts() {
    let mut bench = Bench::new(Source::StableToken);
    let first = fetch(bench.wanted());
    assert_eq!(bench.refuse(first, 40125), Outcome::Failed);
    bench.pass(100 * 3600);
    assert_eq!(bench.engine.due(bench.now()), None);
    assert_eq!(bench.engine.due_in(bench.now()), None);
    assert_eq!(bench.wanted(), Want::Refused(Why::Stopped));
    let status = bench.engine.status(bench.now());
    assert_eq!((status.state, status.expires, status.errcode), (State::Failing, None, Some(40125)));
    assert!(status.action.unwrap().contains("AppSecret"));

    let saved = bench.engine.saved(bench.now());
    let policy = bench.engine.policy;
    let mut restored = Engine::restore(policy, bench.now(), saved.clone(), 0.5);
    assert_eq!(restored.wanted(bench.now()), Want::Refused(Why::Stopped));
    let other = Policy { configuration: 2, ..policy };
    let mut restored = Engine::restore(other, bench.now(), saved, 0.5);
    assert!(matches!(restored.wanted(bench.now()), Want::Fetch(_)));
    let again = fetch(bench.engine.operator(bench.now()));
    assert_eq!(bench.refuse(again, 40125), Outcome::Failed);
    bench.engine.configure(other);
    let late = bench.engine.due(bench.now()).unwrap();
    // The secret changes while its predecessor is being tried: what that brings is no reason to stop.
    bench.engine.configure(Policy { configuration: 3, ..policy });
    assert_eq!(bench.refuse(late, 40125), Outcome::Ignored);
    assert!(bench.engine.due(bench.now()).is_some());
}

#[test]
fn answers_of_another_flight_change_nothing() {
    let mut bench = Bench::new(Source::StableToken);
    let lost = fetch(bench.wanted());
    bench.pass(29);
    assert_eq!(bench.wanted(), Want::Wait);
    bench.pass(1);
    assert!(matches!(bench.wanted(), Want::Refused(Why::Pausing(_))));
    bench.pass(1);
    let second = fetch(bench.wanted());
    assert_eq!(bench.issue(lost, "A", 7200), Outcome::Ignored);
    assert_eq!(bench.issue(second, "B", 7200), Outcome::New);
    assert_eq!(bench.issue(second, "C", 7200), Outcome::Ignored);
    assert_eq!(bench.engine.value(bench.now()).unwrap().secret().expose(), "B");
}

#[test]
fn a_restart_keeps_what_counts_whatever_the_clock_does() {
    let mut bench = Bench::new(Source::StableToken).with("A");
    let ask = fetch(bench.rejected(1));
    let Outcome::Confirmed(Some(force)) = bench.issue(ask, "A", 7200) else { panic!() };
    bench.issue(force, "B", 7200);
    bench.pass(600);
    let saved = bench.engine.saved(bench.now());
    for (set_s, life_s) in [(0, 6600), (3600, 3000), (-3600, 7200), (86_400, 0), (-86_400, 7200)] {
        let now = Now { steady: Duration::ZERO, unix_ms: bench.unix_ms + set_s * 1000 };
        let mut engine = Engine::restore(bench.engine.policy, now, saved.clone(), 0.5);
        let life = engine.value(now).map_or(Duration::ZERO, |value| value.life(now));
        assert_eq!(life, Duration::from_secs(life_s), "clock set by {set_s} s");
        assert_eq!(engine.saved(now).generation, 2);
        assert_eq!(engine.saved(now).forced.len(), 1);
        let ask = engine.due(now).expect("stable_token is asked at once");
        engine.rejected(now, 2, 40001);
        let issued = Issued { value: Secret::new("B"), expires_in_s: 6600 };
        let outcome = engine.fetched(now, ask.flight, Ok(issued), 0.5);
        assert_eq!(outcome, Outcome::Confirmed(None), "the last force may have been just now");
        assert_eq!(engine.value(now).unwrap().life(now), Duration::from_secs(6600));
    }
    let replaced = Engine::restore(bench.engine.policy, bench.now(), saved, 0.5);
    let known: Vec<Digest> = replaced.digests(bench.now()).collect();
    assert!(known == [Digest::of("B"), Digest::of("A")]);
}

#[test]
fn replaced_tokens_are_known_for_a_day_and_bounded() {
    let mut bench = Bench::new(Source::Token).with("A");
    for number in 0..1000 {
        let next = fetch(bench.engine.operator(bench.now()));
        bench.issue(next, &number.to_string(), 7200);
    }
    assert_eq!(bench.engine.digests(bench.now()).count(), 1 + limits::REPLACED_ENTRIES);
    bench.pass(24 * 3600);
    assert_eq!(bench.engine.digests(bench.now()).count(), 1);
}

#[test]
fn nothing_shows_a_token() {
    let bench = Bench::new(Source::StableToken).with("canary");
    let shown = format!("{:?} {:?}", bench.engine, bench.engine.saved(bench.now()));
    assert!(!shown.contains("canary"));
}

#[test]
fn pauses_stay_within_their_bounds() {
    let seconds = Duration::from_secs;
    for failures in [1, 2, 3, 6, 7, 100, u32::MAX] {
        let most = seconds(1 << failures.saturating_sub(1).min(6)).min(seconds(60));
        assert_eq!(backoff::pause(Pause::Backoff, failures, 1.0), Some(most));
        assert_eq!(backoff::pause(Pause::Backoff, failures, 0.0), Some(most / 2));
        assert_eq!(backoff::pause(Pause::Stop, failures, 0.5), None);
        assert_eq!(backoff::pause(Pause::For(seconds(60)), failures, 0.0), Some(seconds(60)));
        assert_eq!(backoff::pause(Pause::For(seconds(60)), failures, 1.0), Some(seconds(66)));
        assert_eq!(backoff::pause(Pause::For(seconds(3600)), failures, 1.0), Some(seconds(3600)));
    }
}
