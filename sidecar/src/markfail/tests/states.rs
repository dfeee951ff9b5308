//! What leads from one state to another.

use super::*;

/// A day old.
fn account(rate: f64) -> Account {
    let mut account = Account::new(Shape::Steady, rate, SEED);
    account.live(DAY_S);
    assert_eq!(account.detector.state(), State::Healthy);
    account
}

/// After how many silent seconds a block was found, with so many failures at its begin.
fn found_after(account: &mut Account, visible: u64) -> Option<u64> {
    account.tell(true, 1, visible);
    account.block()
}

#[test]
fn failures_that_wechat_sees_are_a_risk_while_they_are_in_the_window() {
    let mut account = account(1.0);
    assert_eq!(account.tell(true, 1, 23), State::Healthy);
    assert_eq!(account.tell(true, 1, 1), State::AtRisk);
    assert_eq!(account.detector.evidence().visible, 24);
    account.live(290);
    assert_eq!(account.detector.state(), State::AtRisk);
    account.live(10);
    assert_eq!(account.detector.state(), State::Healthy);
}

#[test]
fn a_silence_after_failures_needs_less_evidence() {
    let (mut slow, mut failing) = (account(0.2), account(0.2));
    assert_eq!(found_after(&mut slow, 0), None);
    let found = found_after(&mut failing, 30).expect("found");
    println!("at 0.2/s after failures: found after {found} s");
    assert!(found <= 45, "{found}");
    assert_eq!(found_after(&mut account(1.0), 30), Some(20));
}

#[test]
fn blocks_after_failures_are_found_at_a_fifth_of_a_callback_per_second() {
    let mut account = account(0.2);
    let mut found = Found::default();
    for _ in 0..50 {
        account.live(1800);
        for _ in 0..30 {
            let arrivals = account.traffic.second(account.at);
            account.tell(true, arrivals, 1);
        }
        found.count(account.block());
    }
    println!(
        "at 0.2/s after failures: {} of {} found in 30 s, {} ever",
        found.soon, found.blocks, found.ever
    );
    assert!(found.ever >= 48, "{}", found.ever);
}

#[test]
fn callbacks_that_come_again_are_a_recovery_and_after_minutes_health() {
    let mut account = account(2.0);
    assert!(account.block().is_some());
    assert_eq!(account.tell(true, 1, 0), State::Recovered);
    account.live(200);
    assert_eq!(account.detector.state(), State::Recovered);
    account.live(110);
    assert_eq!(account.detector.state(), State::Healthy);
}

#[test]
fn failures_after_a_recovery_are_a_risk_again_and_those_before_it_are_not() {
    let mut account = account(2.0);
    assert!(found_after(&mut account, 40).is_some());
    assert_eq!(account.tell(true, 1, 20), State::Recovered);
    assert_eq!(account.tell(true, 1, 10), State::AtRisk);
}

#[test]
fn a_second_block_right_after_the_first_is_found() {
    let mut account = account(2.0);
    assert!(account.block().is_some());
    account.live(60);
    assert_eq!(account.detector.state(), State::Recovered);
    assert!(account.block().is_some_and(|seconds| seconds <= 30));
}

#[test]
fn a_silence_beyond_a_block_stays_suspect_until_callbacks_come() {
    let mut account = account(2.0);
    for _ in 0..60 {
        account.block();
    }
    assert_eq!(account.detector.state(), State::Suspected);
    assert!(account.detector.evidence().silent_s >= 3600.0);
    assert_eq!(account.tell(true, 1, 0), State::Recovered);
}

#[test]
fn traffic_that_has_become_less_for_good_is_suspect_once_or_twice() {
    let mut account = account(2.0);
    account.traffic = Traffic::new(Shape::Steady, 0.02, SEED);
    let suspected = account.live(2 * DAY_S);
    assert!((1..=2).contains(&suspected), "{suspected}");
}

#[test]
fn nothing_is_suspected_in_the_first_minutes_of_an_account() {
    let mut account = Account::new(Shape::Steady, 5.0, SEED);
    account.live(600);
    assert_eq!(account.block(), None);
}

#[test]
fn no_silence_grows_out_of_seconds_that_nobody_watched() {
    let mut account = account(5.0);
    for _ in 0..200 {
        assert_eq!(account.tell(false, 0, 0), State::Healthy);
    }
    for _ in 0..19 {
        assert_eq!(account.tell(true, 0, 0), State::Healthy);
    }
    assert_eq!(account.tell(false, 0, 0), State::Healthy);
    assert_eq!(account.block(), Some(20), "the silence began anew");
}

#[test]
fn a_block_right_after_an_edge_restart_is_found() {
    let mut account = account(2.0);
    for _ in 0..30 {
        account.tell(false, 0, 0);
    }
    assert!((20..=30).contains(&account.block().expect("found")));
}

#[test]
fn a_suspicion_outlasts_a_lost_stream_for_as_long_as_a_block() {
    let mut account = account(2.0);
    account.block();
    for _ in 0..60 {
        assert_eq!(account.tell(false, 0, 0), State::Suspected);
    }
    assert_eq!(account.tell(false, 0, 0), State::Healthy);
}

#[test]
fn a_clock_that_jumps_is_time_that_nobody_watched() {
    for jump in [-3_600_000, -1000, 1000, 3_600_000] {
        let mut account = account(5.0);
        for _ in 0..15 {
            account.tell(true, 0, 0);
        }
        account.at = account.at.checked_add_signed(jump).expect("a time");
        account.tell(true, 0, 0);
        assert_eq!(account.detector.evidence().silent_s, 1.0, "after a jump of {jump} ms");
        account.live(3600);
        assert_eq!(account.detector.state(), State::Healthy);
    }
}

#[test]
fn what_was_written_down_goes_on_as_if_nothing_had_been() {
    let mut account = account(1.0);
    account.tell(true, 1, 3);
    for _ in 0..10 {
        account.tell(true, 0, 0);
    }
    let text = serde_json::to_string(&account.detector).expect("written");
    assert!(text.len() < 16 << 10, "{} bytes", text.len());
    let mut detector: Detector = serde_json::from_str(&text).expect("read");
    detector.configure(&TERMS);
    for second in 0..5000 {
        let arrivals = if second < 50 { 0 } else { account.traffic.second(account.at) };
        let told = Second { at: account.at, known: true, arrivals, visible: 0 };
        assert_eq!(detector.second(told), account.tell(true, arrivals, 0));
        assert_eq!(detector.evidence().silent_s, account.detector.evidence().silent_s);
    }
}

#[test]
fn what_another_version_wrote_is_refused() {
    let text = serde_json::to_string(&Detector::new(&TERMS)).expect("written");
    let shorter = text.replacen("[0.0,0.0],", "", 1);
    assert!(serde_json::from_str::<Detector>(&text).is_ok());
    assert!(serde_json::from_str::<Detector>(&shorter).is_err());
}
