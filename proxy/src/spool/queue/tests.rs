mod judge;
mod schedule;

use super::*;

const HOUR: u64 = 3_600_000;

const TERMS: Terms = Terms {
    retry_min_ms: 2_000,
    retry_max_ms: 600_000,
    give_up_after_ms: 24 * HOUR,
    concurrency: 32,
    deletes: 512,
};

/// A failure of the app as a whole.
const DOWN: Failure = Failure { retry_after_ms: None, at_most_ms: None, counts: false };
/// A failure that may be the entry's own fault.
const OWN: Failure = Failure { counts: true, ..DOWN };

fn queue() -> Queue {
    Queue::new(TERMS, 0)
}

fn pending(id: u64, user: u64) -> Pending {
    Pending { id, user, attempts: 1, failures: 0, received_at: 0, due: 0, bytes: 100 }
}

/// A queue that has these entries, each with its user, and lets 32 attempts run at once.
fn with(entries: &[(u64, u64)]) -> Queue {
    let mut queue = queue();
    for _ in 0..5 {
        queue.add(pending(1, 1), false, None);
        assert_eq!(taken(&mut queue, 0), Some(1));
        queue.delivered(1);
    }
    for (id, user) in entries {
        queue.add(pending(*id, *user), false, None);
    }
    queue
}

fn taken(queue: &mut Queue, now: u64) -> Option<u64> {
    queue.take(now).map(|attempt| attempt.id)
}

fn pause(verdict: Option<Verdict>, now: u64) -> u64 {
    match verdict {
        Some(Verdict::Retry { due, .. }) => due - now,
        other => panic!("{other:?}"),
    }
}

/// Everything that can be taken now.
fn all_taken(queue: &mut Queue, now: u64) -> Vec<u64> {
    std::iter::from_fn(|| taken(queue, now)).collect()
}

#[test]
fn the_oldest_comes_first_and_users_do_not_wait_for_each_other() {
    let mut queue = with(&[(30, 3), (10, 1), (11, 1), (20, 2), (31, 3)]);
    assert_eq!(all_taken(&mut queue, 0), [10, 20, 30]);
    queue.delivered(20);
    assert_eq!(queue.take(0), None, "nothing else of user 2");
    queue.delivered(30);
    queue.delivered(10);
    assert_eq!(all_taken(&mut queue, 0), [11, 31]);
}

#[test]
fn what_is_taken_makes_room_before_it_is_deleted() {
    let mut queue = with(&[(10, 1), (11, 1), (20, 2)]);
    queue.configure(Terms { concurrency: 1, ..TERMS });
    for id in [10, 11, 20] {
        assert_eq!(all_taken(&mut queue, 0), [id]);
        queue.taken(id);
    }
    assert!(!queue.holds(1), "new messages of this user need not go behind what is taken");
    assert_eq!((queue.len(), queue.bytes(), queue.in_flight()), (3, 300, 0), "it still counts");
    assert_eq!((queue.has_untaken(), queue.oldest(0), queue.next_at()), (false, None, None));
    for id in [20, 10, 11] {
        assert_eq!(queue.delivered(id).map(|gone| gone.id), Some(id));
        assert_eq!(queue.delivered(id), None);
    }
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
}

#[test]
fn no_more_is_tried_than_can_be_deleted() {
    let mut queue = with(&[(10, 1), (20, 2), (30, 3)]);
    queue.configure(Terms { deletes: 2, ..TERMS });
    assert_eq!(all_taken(&mut queue, 0), [10, 20, 30]);
    queue.add(pending(40, 4), false, None);
    queue.taken(10);
    queue.taken(20);
    assert_eq!((queue.take(0), queue.take_probe(0), queue.next_at()), (None, None, None));
    queue.delivered(20);
    assert_eq!(all_taken(&mut queue, 0), [40]);
}

#[test]
fn what_is_taken_is_tried_no_more_whatever_becomes_of_its_row() {
    let mut queue = with(&[(10, 1)]);
    assert_eq!(taken(&mut queue, 0), Some(10));
    queue.taken(10);
    queue.taken(10);
    assert_eq!(queue.failed(10, 0, DOWN, 0), None);
    queue.release(10);
    queue.add(pending(10, 1), false, None);
    queue.pull(HOUR);
    assert_eq!(queue.take(HOUR), None);
    assert_eq!(queue.remove_in_flight(10, 2), None);
    assert!(queue.contains(10) && queue.due(10).is_none());
    assert!(queue.remove(10).is_some(), "an operator may delete it");
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
}

#[test]
fn what_is_due_is_taken_by_age_and_not_by_due_time() {
    let mut queue = with(&[]);
    for (id, due) in [(1, 300), (2, 100), (3, 200)] {
        queue.add(Pending { due, ..pending(id, id) }, false, None);
    }
    assert_eq!(queue.next_at(), Some(100));
    assert_eq!(queue.take(99), None);
    assert_eq!(all_taken(&mut queue, 300), [1, 2, 3]);
}

#[test]
fn attempts_count_on() {
    let mut queue = with(&[(10, 1)]);
    assert_eq!(queue.take(0), Some(Attempt { id: 10, attempt: 2 }), "the first call was 1");
    let verdict = queue.failed(10, 0, DOWN, u32::MAX);
    assert_eq!(verdict, Some(Verdict::Retry { due: 4_000, attempts: 2, failures: 0 }));
    assert_eq!(queue.take(4_000), Some(Attempt { id: 10, attempt: 3 }));
    queue.release(10);
    assert_eq!(queue.take(4_000), Some(Attempt { id: 10, attempt: 4 }), "at once");
}

#[test]
fn pauses_double_and_are_spread() {
    for (jitter, pauses) in [
        (0, [1_000, 2_000, 4_000, 8_000]),
        (u32::MAX / 2, [1_499, 2_999, 5_999, 11_999]),
        (u32::MAX, [2_000, 4_000, 8_000, 16_000]),
    ] {
        let mut queue = with(&[]);
        queue.add(Pending { attempts: 0, ..pending(10, 1) }, false, None);
        let mut now = 0;
        for expected in pauses {
            assert_eq!(taken(&mut queue, now), Some(10));
            assert_eq!(pause(queue.failed(10, now, DOWN, jitter), now), expected);
            now += expected;
            assert_eq!(queue.next_at(), Some(now));
            assert_eq!(queue.take(now - 1), None);
        }
    }
}

#[test]
fn pauses_end_at_the_longest() {
    for attempts in [10, 63, 64, 65, 1_000, u32::MAX] {
        let mut queue = with(&[]);
        queue.add(Pending { attempts, ..pending(10, 1) }, false, None);
        assert_eq!(taken(&mut queue, 0), Some(10));
        assert_eq!(pause(queue.failed(10, 0, DOWN, u32::MAX), 0), 600_000);
    }
}

#[test]
fn retry_after_is_respected() {
    for (asked, expected) in [
        (0, 4_000),
        (3_999, 4_000),
        (4_001, 4_001),
        (HOUR, HOUR),
        (24 * HOUR, 24 * HOUR),
        (u64::MAX, 24 * HOUR),
    ] {
        let mut queue = with(&[(10, 1)]);
        assert_eq!(taken(&mut queue, 0), Some(10));
        let failure = Failure { retry_after_ms: Some(asked), ..DOWN };
        assert_eq!(pause(queue.failed(10, 0, failure, u32::MAX), 0), expected);
    }
}

#[test]
fn an_entry_is_given_up_at_its_age() {
    let mut queue = with(&[(10, 1), (11, 1)]);
    let age = 24 * HOUR;
    assert_eq!(taken(&mut queue, age - 1), Some(10));
    assert_eq!(pause(queue.failed(10, age - 1, DOWN, u32::MAX), age - 1), 2_000, "one more try");
    assert_eq!(taken(&mut queue, age + 1_999), Some(10));
    assert_eq!(queue.failed(10, age + 1_999, DOWN, 0), Some(Verdict::GiveUp));
    assert_eq!(queue.take(age + 1_999), None, "no dead letter yet");
    assert_eq!(queue.remove(10).map(|pending| pending.attempts), Some(3));
    assert_eq!(taken(&mut queue, age + 1_999), Some(11));
}

#[test]
fn what_could_not_be_made_a_dead_letter_is_tried_again() {
    let mut queue = with(&[(10, 1)]);
    assert_eq!(taken(&mut queue, 25 * HOUR), Some(10));
    assert_eq!(queue.failed(10, 25 * HOUR, DOWN, 0), Some(Verdict::GiveUp));
    queue.release(10);
    assert_eq!(taken(&mut queue, 25 * HOUR), Some(10));
    queue.delivered(10);
    assert!(queue.is_empty());
}

#[test]
fn an_old_entry_is_tried_at_least_once_after_it_was_spooled() {
    let mut queue = with(&[]);
    queue.add(Pending { received_at: i64::MIN, ..pending(10, 1) }, true, None);
    let verdict = queue.failed(10, 0, DOWN, u32::MAX);
    assert_eq!(pause(verdict, 0), 2_000, "it was its first call that failed");
    assert_eq!(taken(&mut queue, 2_000), Some(10));
    assert_eq!(queue.failed(10, 2_000, DOWN, 0), Some(Verdict::GiveUp));
}

#[test]
fn some_answers_are_borne_for_ten_minutes_only() {
    let mut queue = with(&[(10, 1)]);
    let refused = Failure { at_most_ms: Some(600_000), ..OWN };
    let mut now = 0;
    let verdict = loop {
        assert_eq!(taken(&mut queue, now), Some(10));
        match queue.failed(10, now, refused, u32::MAX) {
            Some(Verdict::Retry { due, .. }) => now = due,
            other => break other,
        }
    };
    assert_eq!(verdict, Some(Verdict::GiveUp));
    assert_eq!(now, 600_000, "the last try is made when the time is up");
}

#[test]
fn an_entry_whose_first_call_runs_is_leased() {
    let mut queue = with(&[(20, 2)]);
    queue.add(pending(10, 1), true, None);
    queue.add(pending(11, 1), false, None);
    assert_eq!(all_taken(&mut queue, 0), [20]);
    assert_eq!(queue.in_flight(), 1, "first calls are none of its own");
    assert_eq!(pause(queue.failed(10, 0, DOWN, u32::MAX), 0), 2_000);
    assert_eq!(queue.next_at(), Some(2_000), "and still the second waits for it");
    assert_eq!(taken(&mut queue, 2_000), Some(10));
    queue.delivered(10);
    assert_eq!(taken(&mut queue, 2_000), Some(11));
}

#[test]
fn first_calls_of_one_user_end_in_any_order() {
    let mut queue = with(&[]);
    queue.add(pending(10, 1), true, None);
    queue.add(pending(11, 1), true, None);
    queue.failed(11, 0, DOWN, 0);
    assert_eq!(queue.take(HOUR), None, "the older one runs");
    queue.failed(10, HOUR, DOWN, 0);
    assert_eq!(taken(&mut queue, 2 * HOUR), Some(10));
    queue.delivered(10);
    assert_eq!(taken(&mut queue, 2 * HOUR), Some(11));
}

#[test]
fn a_first_call_that_runs_keeps_the_users_turn() {
    let mut queue = with(&[(10, 1)]);
    queue.add(pending(11, 1), true, None);
    assert_eq!(queue.take(0), None);
    queue.delivered(11);
    assert_eq!(taken(&mut queue, 0), Some(10));
}

#[test]
fn a_write_on_its_way_holds_its_user() {
    let mut queue = with(&[]);
    assert!(!queue.holds(1));
    let failing = queue.announce(1);
    let lasting = queue.announce(1);
    queue.withdraw(failing);
    assert!(queue.holds(1));
    queue.add(pending(10, 1), false, Some(lasting));
    assert!(queue.holds(1), "now the entry does");
    assert_eq!(taken(&mut queue, 0), Some(10));
    assert!(queue.holds(1), "also in flight");
    queue.delivered(10);
    assert!(!queue.holds(1));
}

#[test]
fn an_entry_does_not_overtake_a_write_that_was_announced_before() {
    let mut queue = with(&[]);
    let (first, second) = (queue.announce(1), queue.announce(1));
    queue.add(pending(11, 1), false, Some(second));
    assert_eq!(queue.take(0), None);
    let later = queue.announce(1);
    queue.add(pending(10, 1), false, Some(first));
    assert_eq!(taken(&mut queue, 0), Some(10), "it does not wait for later ones");
    queue.delivered(10);
    assert_eq!(queue.take(0), None, "for all that is known it could be 10 and a half");
    queue.withdraw(later);
    assert_eq!(taken(&mut queue, 0), Some(11));
}

#[test]
fn an_entry_keeps_its_turn_whatever_is_announced() {
    let mut queue = with(&[(10, 1)]);
    let later = queue.announce(1);
    assert_eq!(taken(&mut queue, 0), Some(10));
    queue.withdraw(later);
}

#[test]
fn after_eight_failures_of_its_own_an_entry_holds_nobody() {
    let mut queue = with(&[(10, 1), (11, 1)]);
    let mut now = 0;
    for failure in 1..=8 {
        assert_eq!(all_taken(&mut queue, now), [10], "after {failure} failures");
        queue.succeeded(1);
        let verdict = queue.failed(10, now, OWN, 0);
        assert!(matches!(verdict, Some(Verdict::Retry { failures, .. }) if failures == failure));
        now += pause(verdict, now);
    }
    assert_eq!(all_taken(&mut queue, now - 1), [11], "which does not wait for its pause to end");
    queue.delivered(11);
    assert!(!queue.holds(1));
    assert_eq!(all_taken(&mut queue, now), [10], "it is tried on");
    queue.delivered(10);
    assert!(queue.is_empty());
}

#[test]
fn failures_are_its_own_only_if_others_succeed() {
    let mut queue = with(&[(10, 1), (20, 2)]);
    let failures = |queue: &mut Queue, failure| {
        queue.pull(0);
        assert_eq!(taken(queue, 0), Some(10));
        match queue.failed(10, 0, failure, 0) {
            Some(Verdict::Retry { failures, .. }) => failures,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(failures(&mut queue, OWN), 0, "nobody succeeded since it was added");
    queue.succeeded(1);
    assert_eq!(failures(&mut queue, OWN), 1);
    assert_eq!(failures(&mut queue, OWN), 1, "nobody succeeded since");
    assert_eq!(taken(&mut queue, 0), Some(20));
    queue.delivered(20);
    assert_eq!(failures(&mut queue, DOWN), 1, "no fault of its own");
    assert_eq!(failures(&mut queue, OWN), 1, "nobody succeeded since");
}

#[test]
fn a_replayed_entry_goes_before_younger_ones() {
    let mut queue = with(&[(20, 1), (21, 1)]);
    for id in [10, 11] {
        queue.add(pending(id, 1), false, None);
    }
    for id in [10, 11, 20, 21] {
        assert_eq!(all_taken(&mut queue, 0), [id]);
        queue.delivered(id);
    }
}

#[test]
fn a_replayed_entry_overtakes_none_in_flight() {
    let mut queue = with(&[(20, 1)]);
    assert_eq!(taken(&mut queue, 0), Some(20));
    queue.add(pending(10, 1), false, None);
    assert_eq!(queue.take(0), None);
    queue.failed(20, 0, DOWN, 0);
    assert_eq!(all_taken(&mut queue, HOUR), [10], "now it is the oldest");
    queue.delivered(10);
    assert_eq!(all_taken(&mut queue, HOUR), [20]);
}

#[test]
fn the_same_entry_is_not_added_twice() {
    let mut queue = with(&[(10, 1)]);
    assert_eq!(taken(&mut queue, 0), Some(10));
    let announced = queue.announce(1);
    queue.add(pending(10, 1), false, Some(announced));
    assert_eq!((queue.len(), queue.bytes(), queue.take(0)), (1, 100, None));
}

#[test]
fn attempts_at_once_double_with_success_and_halve_with_failure() {
    let mut queue = queue();
    for id in 1..=1_000 {
        queue.add(pending(id, id), false, None);
    }
    let mut running = Vec::new();
    for most in [1, 2, 4, 8, 16, 32, 32] {
        running.extend(all_taken(&mut queue, 0));
        assert_eq!((running.len(), queue.in_flight()), (most, most));
        assert_eq!(queue.next_at(), None, "there is no room");
        queue.delivered(running.remove(0));
    }
    for most in [16, 8, 4, 2, 1, 1] {
        queue.failed(running.remove(0), 0, DOWN, 0);
        running.drain(..).for_each(|id| queue.release(id));
        running.extend(all_taken(&mut queue, 0));
        assert_eq!(running.len(), most);
    }
}

#[test]
fn attempts_at_once_follow_the_configuration() {
    let mut queue = with(&[]);
    for id in 1..=100 {
        queue.add(pending(id, id), false, None);
    }
    queue.configure(Terms { concurrency: 3, ..TERMS });
    assert_eq!(all_taken(&mut queue, 0), [1, 2, 3]);
    queue.delivered(1);
    queue.configure(Terms { concurrency: 5, ..TERMS });
    assert_eq!(all_taken(&mut queue, 0), [4], "from 3 on it is doubled again");
    queue.delivered(2);
    assert_eq!(all_taken(&mut queue, 0), [5, 6, 7]);
    assert_eq!(queue.in_flight(), 5);
}

#[test]
fn when_the_app_is_back_nothing_waits_and_trust_begins_anew() {
    let mut queue = with(&[(10, 1), (20, 2), (30, 3), (31, 3)]);
    for id in [10, 20, 30] {
        assert_eq!(taken(&mut queue, 0), Some(id));
    }
    for id in [10, 20, 30] {
        queue.failed(id, 0, Failure { retry_after_ms: Some(HOUR), ..DOWN }, 0);
    }
    assert_eq!(queue.take(1_000), None);
    queue.pull(1_000);
    assert_eq!(queue.get(30).map(|pending| pending.due), Some(1_000));
    for expected in [&[10][..], &[20, 30]] {
        assert_eq!(all_taken(&mut queue, 1_000), expected);
        for id in expected {
            queue.delivered(*id);
        }
    }
}

#[test]
fn an_open_circuit_is_probed_with_the_oldest() {
    let mut queue = with(&[]);
    queue.add(Pending { due: HOUR, ..pending(10, 1) }, false, None);
    queue.add(pending(11, 1), false, None);
    queue.add(pending(20, 2), false, None);
    let mut now = 0;
    for id in [10, 20, 10] {
        for _ in 0..8 {
            now += 1_000;
            assert_eq!(queue.take_probe(now).map(|attempt| attempt.id), Some(id));
            queue.failed(id, now, DOWN, 0);
        }
    }
    queue.pull(now);
    assert_eq!(queue.take_probe(now).map(|attempt| attempt.id), Some(10), "it begins anew");
    assert_eq!(queue.take_probe(now).map(|attempt| attempt.id), Some(20), "10 is in flight");
    assert_eq!(queue.take_probe(now), None, "11 waits for 10");
}

#[test]
fn a_probe_is_one_of_the_attempts_at_once() {
    let mut queue = with(&[(10, 1), (20, 2)]);
    queue.configure(Terms { concurrency: 1, ..TERMS });
    assert_eq!(taken(&mut queue, 0), Some(10));
    assert_eq!(queue.take_probe(0), None);
    queue.failed(10, 0, DOWN, 0);
    assert_eq!(queue.take_probe(0), Some(Attempt { id: 10, attempt: 3 }));
}

#[test]
fn what_is_removed_is_gone() {
    let mut queue = with(&[(10, 1), (11, 1), (12, 1), (20, 2)]);
    queue.add(Pending { due: HOUR, ..pending(30, 3) }, false, None);
    assert_eq!((queue.len(), queue.bytes()), (5, 500));
    assert_eq!(queue.remove(11), Some(pending(11, 1)), "one that waits for another");
    assert_eq!(queue.remove(20), Some(pending(20, 2)), "one that could be tried");
    assert!(queue.remove(30).is_some(), "one that is not due");
    assert_eq!(queue.remove(99), None);
    assert_eq!(taken(&mut queue, HOUR), Some(10));
    assert!(queue.remove(10).is_some(), "one in flight");
    assert_eq!((queue.len(), queue.bytes(), queue.in_flight()), (1, 100, 0));
    assert_eq!(queue.failed(10, HOUR, DOWN, 0), None);
    queue.delivered(10);
    queue.release(10);
    assert!(!queue.contains(10) && queue.contains(12));
    assert_eq!(all_taken(&mut queue, HOUR), [12]);
}

#[test]
fn a_first_call_that_runs_is_removed_too() {
    let mut queue = with(&[]);
    queue.add(pending(10, 1), true, None);
    queue.add(pending(11, 1), false, None);
    queue.remove(10);
    assert_eq!(taken(&mut queue, 0), Some(11));
}

#[test]
fn the_age_of_the_oldest_is_told() {
    let mut queue = with(&[]);
    assert_eq!(queue.oldest(0), None);
    queue.add(Pending { received_at: -5_000, ..pending(10, 1) }, false, None);
    queue.add(Pending { received_at: 7_000, ..pending(11, 1) }, false, None);
    assert_eq!(queue.oldest(1_000), Some(6_000));
    queue.remove(10);
    assert_eq!(queue.oldest(8_000), Some(1_000));
    assert_eq!(queue.oldest(0), Some(0));
}

#[test]
fn a_restored_queue_goes_on_where_it_was() {
    let entries = [
        pending(12, 1),
        Pending { due: HOUR, failures: 7, ..pending(11, 1) },
        Pending { failures: 8, ..pending(10, 1) },
        Pending { due: HOUR, failures: 9, ..pending(20, 2) },
        pending(21, 2),
        Pending { due: 10, ..pending(30, 3) },
    ];
    let mut restore = Restore::new(10);
    entries.into_iter().for_each(|entry| restore.push(entry));
    let mut queue = restore.finish(TERMS);
    assert_eq!((queue.len(), queue.bytes(), queue.holds(1)), (6, 600, true));
    let mut order = Vec::new();
    for now in [10, HOUR] {
        while let Some(id) = taken(&mut queue, now) {
            order.push((now, id));
            queue.delivered(id);
        }
    }
    assert_eq!(order, [(10, 10), (10, 21), (10, 30), (HOUR, 11), (HOUR, 12), (HOUR, 20)]);
}

#[test]
fn an_entry_takes_a_hundred_bytes() {
    const ENTRIES: u64 = 200_000;
    let user = |id: u64| id.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    let mut restore = Restore::new(0);
    let mut queue = queue();
    for id in 0..ENTRIES {
        restore.push(pending(id, user(id)));
        queue.add(pending(id, user(id)), false, None);
    }
    for queue in [queue, restore.finish(TERMS)] {
        assert_eq!(queue.len() as u64, ENTRIES);
        let bytes = queue.heap_bytes() as u64 / ENTRIES;
        assert!((72..=100).contains(&bytes), "{bytes} bytes");
    }
}

impl Queue {
    /// The memory it takes, if nothing waits for its time and nothing is on its way.
    fn heap_bytes(&self) -> usize {
        self.entries.heap_bytes() + self.order.heap_bytes() + self.agenda.heap_bytes()
    }
}

#[test]
fn who_wrote_an_entry_has_it_in_hand_also_when_the_store_was_read_in_between() {
    let mut queue = with(&[(10, 1)]);
    let written = queue.get(10).unwrap();
    queue.add(written, true, None);
    assert_eq!(queue.take(0), None, "its first call runs");
    assert_eq!(queue.len(), 1);
    queue.delivered(10);
    assert!(queue.is_empty());
}

#[test]
fn what_was_replayed_meanwhile_is_not_buried_with_its_last_call() {
    let mut queue = with(&[(10, 1)]);
    let attempt = queue.take(0).unwrap();
    let replayed = queue.remove(10).unwrap();
    queue.add(replayed, false, None);
    assert_eq!(queue.remove_in_flight(10, attempt.attempt), None);
    let again = queue.take(0).unwrap();
    assert_eq!(queue.remove_in_flight(10, attempt.attempt), None, "another call");
    assert_eq!(queue.remove_in_flight(10, again.attempt).map(|gone| gone.id), Some(10));
}
