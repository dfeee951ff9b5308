use super::*;

fn open() -> Breaker {
    let mut breaker = Breaker::default();
    for call in 1..=10 {
        let change = breaker.failed(5_000);
        assert_eq!(change.is_some(), call == 10);
    }
    assert_eq!(breaker.state(), State::Open);
    breaker
}

#[test]
fn ten_failures_in_a_row_open_it() {
    let mut breaker = Breaker::default();
    for minute in 0..9 {
        assert_eq!(breaker.failed(minute * 60_000), None, "however far apart");
    }
    breaker.succeeded(540_000, 1);
    for second in 0..9 {
        assert_eq!(breaker.failed(600_000 + second * 1_000), None, "a success begins a new row");
    }
    assert_eq!(breaker.failed(610_000), Some(State::Open));
    assert_eq!(breaker.failed(610_000), None, "it is open already");
}

#[test]
fn half_of_twenty_open_it() {
    let mut breaker = Breaker::default();
    for _ in 0..9 {
        breaker.succeeded(1_000, 1);
        assert_eq!(breaker.failed(1_000), None);
    }
    breaker.succeeded(1_999, 1);
    assert_eq!(breaker.failed(30_999), Some(State::Open), "10 of 20 within 30 s");
}

#[test]
fn less_than_half_is_borne() {
    let mut breaker = Breaker::default();
    for second in 0..1_000 {
        breaker.succeeded(second * 1_000, 11);
        for _ in 0..9 {
            assert_eq!(breaker.failed(second * 1_000), None);
        }
    }
}

#[test]
fn only_the_last_thirty_seconds_count() {
    let mut breaker = Breaker::default();
    breaker.succeeded(1_000, 1_000_000);
    for _ in 0..9 {
        assert_eq!(breaker.failed(30_000), None);
    }
    breaker.succeeded(30_000, 9);
    assert_eq!(breaker.failed(30_999), None, "a million successes still count");
    assert_eq!(breaker.failed(31_000), Some(State::Open), "11 of 20");
}

#[test]
fn a_late_good_answer_undoes_its_failure() {
    let mut breaker = Breaker::default();
    for second in 0..100 {
        let now = second * 1_000;
        assert_eq!(breaker.failed(now), None, "every answer is late, and good");
        if second >= 3 {
            breaker.took_back(now - 3_000);
        }
    }
    for _ in 0..6 {
        assert_eq!(breaker.failed(99_000), None);
    }
    assert_eq!(breaker.failed(99_000), Some(State::Open), "the tenth without an answer");
}

#[test]
fn a_failure_long_ago_is_undone_without_harm_to_the_present() {
    let mut breaker = Breaker::default();
    breaker.succeeded(60_000, 10);
    for _ in 0..9 {
        assert_eq!(breaker.failed(60_000), None);
    }
    breaker.took_back(0);
    assert_eq!(breaker.failed(60_000), Some(State::Open), "10 of 20 still");
}

#[test]
fn it_is_probed_once_a_second_one_at_a_time() {
    let mut breaker = open();
    assert!(!breaker.try_probe(5_999));
    assert!(breaker.try_probe(6_000));
    assert_eq!(breaker.state(), State::Probing);
    assert!(!breaker.try_probe(7_999), "one is on its way");
    assert_eq!(breaker.probe_ended(false), Some(State::Open));
    assert!(breaker.try_probe(9_000));
    assert_eq!(breaker.probe_ended(false), Some(State::Open));
    assert!(!breaker.try_probe(9_999));
    assert!(breaker.try_probe(10_000));
    assert_eq!(breaker.probe_ended(true), Some(State::Closed));
    assert!(!breaker.try_probe(20_000), "there is nothing to find out");
}

#[test]
fn only_a_probe_closes_it_and_then_all_is_forgotten() {
    let mut breaker = open();
    breaker.succeeded(5_500, 100);
    breaker.took_back(5_000);
    assert_eq!(breaker.failed(5_500), None);
    assert_eq!(breaker.state(), State::Open);
    assert!(breaker.try_probe(6_000));
    assert_eq!(breaker.failed(6_000), None);
    assert_eq!(breaker.probe_ended(true), Some(State::Closed));
    for _ in 0..9 {
        assert_eq!(breaker.failed(6_100), None);
    }
    assert_eq!(breaker.failed(6_100), Some(State::Open));
}

#[test]
fn a_probe_that_does_not_end_gets_company() {
    let mut breaker = open();
    assert!(breaker.try_probe(6_000));
    assert!(!breaker.try_probe(7_999));
    assert!(breaker.try_probe(8_000));
    assert_eq!(breaker.probe_ended(false), Some(State::Open));
    assert_eq!(breaker.probe_ended(false), None, "the other has failed, too");
    assert_eq!(breaker.probe_ended(true), Some(State::Closed), "and one has gone well");
    assert_eq!(breaker.probe_ended(true), None);
}
