//! What the edge says of itself: whether it lives, its spool and store, budgets, rejected callbacks.

use super::*;
use crate::alert::Cause;
use crate::edge::status::Budget;

#[test]
fn a_proxy_is_down_after_two_polls_and_up_with_the_next_answer() {
    let mut world = World::new();
    world.pass(2);
    world.status = None;
    world.pass(3);
    assert_eq!(world.changes(), [(Kind::ProxyDown, State::Pending)]);
    world.pass(3);
    assert_eq!(world.changes(), [(Kind::ProxyDown, State::Firing)]);
    let alert = world.alert(Kind::ProxyDown).unwrap();
    assert_eq!((alert.count, alert.account.as_ref()), (2, None));
    assert_eq!(alert.severity, Severity::Critical);
    world.pass(600);
    assert_eq!(world.changes(), []);
    world.status = Some(status());
    world.pass(3);
    assert_eq!(world.changes(), [(Kind::ProxyDown, State::Resolved)]);
}

#[test]
fn one_poll_that_fails_is_forgotten() {
    let mut world = World::new();
    world.see(Seen::NoStatus { reason: "connect".to_owned() });
    world.pass(1);
    assert_eq!(world.changes(), [(Kind::ProxyDown, State::Pending)]);
    world.pass(3);
    assert_eq!(world.changes(), []);
    assert_eq!(world.engine.alerts().len(), 0);
}

#[test]
fn while_the_proxy_is_down_nothing_else_is_over() {
    let mut world = World::new();
    world.summary(&[("rejected_signature", 20), ("fallback_error", 3)], &[("connect", 3)]);
    world.event(token("foreign", None));
    world.main().spool.dead = 1;
    world.main().budgets = vec![budget(80)];
    world.pass(3);
    assert_eq!(world.changes().len(), 5);
    world.summary(&[("replied", 3)], &[]);
    world.status = None;
    world.pass(2 * 3600);
    assert_eq!(
        world.changes(),
        [(Kind::ProxyDown, State::Pending), (Kind::ProxyDown, State::Firing)]
    );
    assert!(world.engine.alerts().iter().all(|alert| alert.state == State::Firing));
}

fn token(result: &str, errcode: Option<i64>) -> Event {
    Event::Token {
        account: "main".to_owned(),
        credential: "access_token".to_owned(),
        result: result.to_owned(),
        errcode,
        action: None,
    }
}

fn budget(used: u64) -> Budget {
    Budget { api: "/cgi-bin/x".to_owned(), client: String::new(), used, limit: Some(100) }
}

#[test]
fn a_backlog_is_a_message_of_over_a_minute_or_a_dead_letter() {
    for (oldest_s, dead, fires) in [(60, 0, false), (61, 0, true), (0, 1, true)] {
        let mut world = World::new();
        world.main().spool = status::Spool { pending: 7, dead, oldest_s };
        world.pass(3);
        assert_eq!(world.fires(Kind::SpoolBacklog), fires, "{oldest_s} {dead}");
        world.main().spool = status::Spool::default();
        world.pass(3);
        assert_eq!(world.state(Kind::SpoolBacklog), fires.then_some(State::Resolved));
    }
}

#[test]
fn a_store_is_nobodys_and_nearly_full_at_80_percent_until_75() {
    let mut world = World::new();
    let fill = |world: &mut World, bytes| {
        world.status.as_mut().unwrap().store.bytes = bytes;
        world.pass(3);
        world.changes()
    };
    assert_eq!(fill(&mut world, 799), []);
    assert_eq!(fill(&mut world, 800), [(Kind::SpoolBacklog, State::Firing)]);
    assert_eq!(world.alert(Kind::SpoolBacklog).unwrap().account, None);
    assert_eq!(fill(&mut world, 750), []);
    assert_eq!(fill(&mut world, 749), [(Kind::SpoolBacklog, State::Resolved)]);
    assert_eq!(fill(&mut world, 799), []);
    world.status.as_mut().unwrap().store.writable = false;
    world.pass(3);
    assert_eq!(world.changes(), [(Kind::SpoolBacklog, State::Firing)]);
}

#[test]
fn a_budget_is_low_at_80_percent() {
    let mut world = World::new();
    world.main().budgets = vec![budget(79), Budget { limit: None, ..budget(900) }];
    world.main().budgets.push(Budget { limit: Some(0), ..budget(900) });
    world.pass(3);
    assert_eq!(world.changes(), []);
    world.main().budgets.extend([budget(80), budget(95), budget(90)]);
    world.pass(3);
    assert_eq!(world.changes(), [(Kind::QuotaLow, State::Firing)]);
    let alert = world.alert(Kind::QuotaLow).unwrap();
    assert!(matches!(alert.cause, Cause::Quota { used: 95, limit: 100, .. }));
    assert_eq!(alert.count, 3);
    // Midnight in Beijing.
    world.main().budgets = vec![budget(0)];
    world.pass(3);
    assert_eq!(world.changes(), [(Kind::QuotaLow, State::Resolved)]);
}

#[test]
fn signatures_fail_at_twenty_of_any_kind_in_a_minute() {
    let mut world = World::new();
    world.summary(&[("rejected_signature", 10)], &[]);
    world.pass(30);
    world.summary(&[("rejected_replay", 5), ("rejected_decrypt", 4), ("rejected_source", 99)], &[]);
    world.pass(20);
    assert_eq!(world.changes(), []);
    world.summary(&[("rejected_decrypt", 1)], &[]);
    world.failure("rejected_decrypt", "no_key", "198.51.100.7");
    world.pass(1);
    assert_eq!(world.changes(), [(Kind::SignatureFailures, State::Firing)]);
    let alert = world.alert(Kind::SignatureFailures).unwrap();
    let expected = Cause::Signatures { signature: 10, replay: 5, decrypt: 5, clock_ahead_s: None };
    assert_eq!((&alert.cause, alert.count, alert.window_s), (&expected, 20, 60));
}

#[test]
fn rejections_around_the_threshold_are_told_once() {
    let mut world = World::new();
    for minute in 0..30 {
        world.summary(&[("rejected_signature", if minute % 2 == 0 { 22 } else { 12 })], &[]);
        world.pass(60);
    }
    assert_eq!(world.changes(), [(Kind::SignatureFailures, State::Firing)]);
    world.summary(&[("rejected_signature", 9)], &[]);
    world.pass(57);
    assert_eq!(world.changes(), []);
    let cause = &world.alert(Kind::SignatureFailures).unwrap().cause;
    assert!(
        matches!(cause, Cause::Signatures { signature: 22, .. }),
        "{cause:?}: its worst minute"
    );
    world.pass(3);
    assert_eq!(world.changes(), [(Kind::SignatureFailures, State::Resolved)]);
}

#[test]
fn a_clock_that_is_off_is_no_alert_but_a_word_about_signatures() {
    let mut world = World::new();
    let mut clock = finding(Probe::Clock, "api.weixin.qq.com", Some(FaultKind::ClockSkew));
    clock.facts.ahead_ms = Some(-400_500);
    clock.account = None;
    world.probe(clock);
    world.summary(&[("rejected_replay", 20)], &[]);
    world.pass(1);
    assert_eq!(world.changes(), [(Kind::SignatureFailures, State::Firing)]);
    let cause = &world.alert(Kind::SignatureFailures).unwrap().cause;
    assert!(matches!(cause, Cause::Signatures { clock_ahead_s: Some(-400), .. }));
}

#[test]
fn what_waits_for_an_appid_without_an_account_is_told_until_it_is_gone() {
    let mut world = World::new();
    let appid = "wx0123456789abcdef";
    let mut told = serde_json::to_value(status()).unwrap();
    // As the edge writes it.
    told["spool_orphans"] = serde_json::json!([
        {"appid": appid, "pending": 1, "dead": 2, "oldest_s": 5},
        {"appid": "wx_empty", "pending": 0, "dead": 0, "oldest_s": 0},
    ]);
    world.status = Some(serde_json::from_value(told).unwrap());
    world.pass(4);
    assert_eq!(world.changes(), [(Kind::SpoolBacklog, State::Firing)]);
    let alert = world.alert(Kind::SpoolBacklog).unwrap();
    assert_eq!((alert.account.as_deref(), alert.count), (Some(appid), 3));
    let words = alert.action(crate::config::Language::English);
    assert!(words.contains(&format!("/v1/spool?account={appid}")), "{words}");
    world.status = Some(status());
    world.pass(4);
    assert_eq!(world.changes(), [(Kind::SpoolBacklog, State::Resolved)]);
}
