use super::*;
use wxedge_wechat::message::Message;

fn identity() -> Identity {
    let xml = "<xml><FromUserName>o1</FromUserName><MsgType>text</MsgType><MsgId>1</MsgId></xml>";
    Message::parse(xml.as_bytes()).unwrap().identity("wx1")
}

fn first(dedupe: &Arc<Dedupe>) -> Claimed {
    match dedupe.claim(identity(), Instant::now()) {
        Claim::First(claimed) => claimed,
        other => panic!("{other:?}"),
    }
}

fn again(dedupe: &Arc<Dedupe>) -> Arc<Flight> {
    match dedupe.claim(identity(), Instant::now()) {
        Claim::Again(flight) => flight,
        other => panic!("{other:?}"),
    }
}

fn dedupe() -> Arc<Dedupe> {
    Arc::new(Dedupe::new(Duration::from_secs(600)))
}

#[test]
fn an_answer_goes_to_deliveries_or_to_the_user_and_never_to_both() {
    let flight = Flight::new(Instant::now());
    assert!(flight.take());
    assert!(flight.take(), "every delivery has the same answer");
    assert!(!flight.take_late());
    let flight = Flight::new(Instant::now());
    assert!(flight.take_late());
    assert!(!flight.take());
    assert!(!flight.take_late());
}

#[test]
fn whoever_comes_first_has_the_answer_alone() {
    for _ in 0..1_000 {
        let flight = Flight::new(Instant::now());
        let (delivery, late) = std::thread::scope(|scope| {
            let delivery = scope.spawn(|| flight.take());
            (flight.take_late(), delivery.join().unwrap())
        });
        assert_ne!(delivery, late);
    }
}

#[tokio::test]
async fn who_falls_due_before_anybody_waits_is_heard() {
    let flight = Flight::new(Instant::now());
    flight.fall_due();
    flight.due().await;
}

#[tokio::test]
async fn a_settled_message_has_one_answer_and_an_abandoned_one_is_new() {
    let dedupe = dedupe();
    let claimed = first(&dedupe);
    let waiting = again(&dedupe);
    assert_eq!((waiting.join(), waiting.join()), (2, 3));
    claimed.abandon("store_slow");
    assert_eq!(waiting.landed().await.unwrap_err(), "store_slow");
    let claimed = first(&dedupe);
    claimed.settle(Outcome::Replied, &Response::text(200, "hi"));
    let landing = again(&dedupe).landed().await.unwrap();
    assert_eq!((landing.outcome, &*landing.response.body), (Outcome::Replied, &b"hi"[..]));
    assert_eq!(waiting.landed().await.unwrap_err(), "store_slow", "another flight");
}

#[tokio::test]
async fn a_message_that_is_dropped_is_new() {
    let dedupe = dedupe();
    let claimed = first(&dedupe);
    let waiting = again(&dedupe);
    drop(claimed);
    assert_eq!(waiting.landed().await.unwrap_err(), "cancelled");
    assert!(dedupe.is_empty());
    drop(first(&dedupe));
}

#[tokio::test]
async fn without_its_answer_a_message_is_known_until_the_time_is_up() {
    let (dedupe, now) = (dedupe(), Instant::now());
    let claimed = first(&dedupe);
    claimed.settle(Outcome::Replied, &Response::text(200, "hi"));
    dedupe.sweep(now + Duration::from_secs(59));
    again(&dedupe);
    dedupe.sweep(now + Duration::from_secs(62));
    assert!(matches!(dedupe.claim(identity(), now), Claim::Answered));
    assert_eq!(dedupe.len(), 1);
    dedupe.sweep(now + Duration::from_secs(598));
    assert!(matches!(dedupe.claim(identity(), now), Claim::Answered));
    dedupe.sweep(now + Duration::from_secs(602));
    assert!(dedupe.is_empty());
    drop(first(&dedupe));
}
