use super::*;
use crate::notify::silence::Wanted;
use crate::notify::tests::alert;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const REPEAT: Duration = Duration::from_secs(3600);

fn grouping() -> Grouping {
    Grouping::new(REPEAT, Memory::default(), 0)
}

fn fired(alert: &Alert) -> Change {
    Change { alert: alert.clone(), was: None }
}

fn resolved(alert: &Alert, at: i64) -> Change {
    let alert = Alert { state: State::Resolved, resolved: Some(at), ..alert.clone() };
    Change { alert, was: Some(State::Firing) }
}

/// Ticks once a second from `from` to before `to`, in seconds: when something was told, and what.
fn run(
    grouping: &mut Grouping,
    from: u64,
    to: u64,
    firing: &[&Alert],
) -> Vec<(u64, Vec<(News, Kind)>)> {
    let tick = |second| Some((second, grouping.tick(second * 1000, firing)?));
    let told = (from..to).filter_map(tick);
    let news = |message: Message| {
        message.entries.iter().map(|entry| (entry.news, entry.alert.kind)).collect()
    };
    told.map(|(second, message)| (second, news(message))).collect()
}

fn silence(grouping: &mut Grouping, alert: Option<Kind>, account: Option<&str>, until: i64) {
    let account = account.map(str::to_owned);
    let wanted = Wanted { alert, account, until, comment: String::new() };
    grouping.silences.add(0, wanted).unwrap();
}

#[test]
fn a_burst_is_one_message_with_the_last_counts() {
    let mut grouping = grouping();
    let (dns, mut timeout) = (alert(Kind::DnsFailure), alert(Kind::RequestTimeout));
    assert_eq!(run(&mut grouping, 0, 3, &[&dns]), []);
    timeout.count = 1272;
    let message = (3..10).find_map(|second| grouping.tick(second * 1000, &[&dns, &timeout]));
    let counts: Vec<_> = message.unwrap().entries.iter().map(|entry| entry.alert.count).collect();
    assert_eq!(counts, [3, 1272]);
    assert_eq!(run(&mut grouping, 10, 3600, &[&dns, &timeout]), [], "and nothing after it");
}

#[test]
fn what_is_critical_waits_less() {
    let (dns, down) = (alert(Kind::DnsFailure), alert(Kind::ProxyDown));
    assert_eq!(run(&mut grouping(), 0, 60, &[&dns]), [(5, vec![(News::Firing, Kind::DnsFailure)])]);
    assert_eq!(run(&mut grouping(), 0, 60, &[&down]), [(2, vec![(News::Firing, Kind::ProxyDown)])]);
    let mut both = grouping();
    assert_eq!(run(&mut both, 0, 1, &[&dns]), []);
    let told = run(&mut both, 1, 60, &[&dns, &down]);
    let news = vec![(News::Firing, Kind::ProxyDown), (News::Firing, Kind::DnsFailure)];
    assert_eq!(told, [(3, news)]);
}

#[test]
fn what_still_fires_is_repeated() {
    let dns = alert(Kind::DnsFailure);
    let told = run(&mut grouping(), 0, 2 * 3600 + 30, &[&dns]);
    let still = vec![(News::Still, Kind::DnsFailure)];
    let first = (5, vec![(News::Firing, Kind::DnsFailure)]);
    assert_eq!(told, [first, (3610, still.clone()), (7215, still)]);
}

#[test]
fn what_is_over_is_told_with_its_end() {
    let mut grouping = grouping();
    let dns = alert(Kind::DnsFailure);
    run(&mut grouping, 0, 10, &[&dns]);
    grouping.changes(vec![resolved(&dns, 10)]);
    let message = (10..20).find_map(|second| grouping.tick(second * 1000, &[])).unwrap();
    assert_eq!(message.entries[0].news, News::Resolved);
    assert_eq!(message.entries[0].alert.resolved, Some(10));
    assert_eq!(message.severity(), None);
    assert_eq!(run(&mut grouping, 20, 9000, &[]), []);
}

#[test]
fn an_end_that_nobody_told_is_told() {
    let mut grouping = grouping();
    run(&mut grouping, 0, 10, &[&alert(Kind::DnsFailure)]);
    let message = (10..20).find_map(|second| grouping.tick(second * 1000, &[])).unwrap();
    assert_eq!(message.entries[0].alert.state, State::Resolved);
    assert_eq!(message.entries[0].alert.resolved, Some(15));
}

#[test]
fn what_is_over_before_it_was_told_is_told_once() {
    let mut grouping = grouping();
    let dns = alert(Kind::DnsFailure);
    grouping.changes(vec![fired(&dns)]);
    run(&mut grouping, 0, 1, &[&dns]);
    grouping.changes(vec![resolved(&dns, 1)]);
    let mut after = Grouping::new(REPEAT, grouping.memory(), 1000);
    let once = vec![(News::Resolved, Kind::DnsFailure)];
    assert_eq!(run(&mut grouping, 1, 9000, &[]), [(5, once.clone())]);
    assert_eq!(
        run(&mut after, 1, 9000, &[]),
        [(6, once)],
        "also when the sidecar restarts in between"
    );
}

#[test]
fn what_flaps_within_a_burst_is_no_news() {
    let mut grouping = grouping();
    let dns = alert(Kind::DnsFailure);
    run(&mut grouping, 0, 10, &[&dns]);
    grouping.changes(vec![resolved(&dns, 10)]);
    assert_eq!(run(&mut grouping, 10, 12, &[]), []);
    grouping.changes(vec![fired(&dns)]);
    assert_eq!(run(&mut grouping, 12, 100, &[&dns]), []);
    let message = (100..120).find_map(|second| grouping.tick(second * 1000, &[])).unwrap();
    assert_eq!(message.entries[0].alert.resolved, Some(105), "not the end that was none");
}

#[test]
fn pending_and_what_never_fired_are_nobodys_business() {
    let mut grouping = grouping();
    let pending = Alert { state: State::Pending, ..alert(Kind::DnsFailure) };
    let over = Alert { state: State::Resolved, ..pending.clone() };
    grouping.changes(vec![fired(&pending), Change { alert: over, was: Some(State::Pending) }]);
    assert_eq!(run(&mut grouping, 0, 9000, &[&pending]), []);
}

#[test]
fn what_gets_worse_is_told_again() {
    let mut grouping = grouping();
    let mut quota = alert(Kind::QuotaLow);
    run(&mut grouping, 0, 10, &[&quota]);
    quota.severity = Severity::Critical;
    let told = run(&mut grouping, 10, 60, &[&quota]);
    assert_eq!(told, [(12, vec![(News::Firing, Kind::QuotaLow)])]);
    quota.severity = Severity::Medium;
    assert_eq!(run(&mut grouping, 60, 600, &[&quota]), []);
}

#[test]
fn silences_hold_and_end() {
    let dns = alert(Kind::DnsFailure);
    let mut other = alert(Kind::DnsFailure);
    other.account = Some("other".to_owned());

    let mut grouping = grouping();
    silence(&mut grouping, Some(Kind::DnsFailure), Some("main"), 100);
    let told = run(&mut grouping, 0, 200, &[&dns, &other]);
    let once = vec![(News::Firing, Kind::DnsFailure)];
    assert_eq!(told, [(5, once.clone()), (105, once)]);
    assert_eq!(grouping.silences.list(), []);

    // Told before, over meanwhile: that is silenced, too, and forgotten.
    silence(&mut grouping, None, Some("main"), 1000);
    let told = run(&mut grouping, 200, 9000, &[&other]);
    assert_eq!(
        told,
        [
            (3610, vec![(News::Still, Kind::DnsFailure)]),
            (7215, vec![(News::Still, Kind::DnsFailure)])
        ]
    );
}

#[test]
fn nothing_is_told_again_after_a_restart() {
    let (dns, down) = (alert(Kind::DnsFailure), alert(Kind::ProxyDown));
    let mut before = grouping();
    silence(&mut before, Some(Kind::QuotaLow), None, 3000);
    run(&mut before, 0, 10, &[&dns, &down]);
    let saved = serde_json::to_string(&before.memory()).unwrap();
    let mut after = Grouping::new(REPEAT, serde_json::from_str(&saved).unwrap(), 20_000);
    let quota = alert(Kind::QuotaLow);
    assert_eq!(run(&mut after, 20, 1000, &[&dns, &down, &quota]), []);
    assert_eq!(
        run(&mut after, 1000, 1010, &[&dns, &quota]),
        [(1002, vec![(News::Resolved, Kind::ProxyDown)])]
    );
}

#[test]
fn a_clock_that_went_back_does_not_put_off_the_repetition() {
    let dns = alert(Kind::DnsFailure);
    let mut before = grouping();
    run(&mut before, 1_000_000, 1_000_010, &[&dns]);
    let mut after = Grouping::new(REPEAT, before.memory(), 0);
    assert_eq!(run(&mut after, 0, 3700, &[&dns]), [(3605, vec![(News::Still, Kind::DnsFailure)])]);
}

/// Alerts come and go by chance, with restarts and silences in between. A model of one sentence each: what fires for long enough
/// unsilenced has been told; what was told is not told again within the interval unless it was over; only what was told
/// as firing is told as still firing.
#[test]
fn by_chance_everything_is_told_and_nothing_twice() {
    for seed in 0..30 {
        chance(seed);
    }
}

fn chance(seed: u64) {
    let repeat = Duration::from_secs(120);
    let mut random = StdRng::seed_from_u64(seed);
    let mut grouping = Grouping::new(repeat, Memory::default(), 0);
    let kinds = [Kind::DnsFailure, Kind::ProxyDown, Kind::QuotaLow];
    let mut firing: BTreeMap<Kind, Alert> = BTreeMap::new();
    let mut since: BTreeMap<Kind, u64> = BTreeMap::new();
    let mut told: BTreeMap<Kind, u64> = BTreeMap::new();
    let mut unheard = 0;
    for second in 0..1500_u64 {
        for kind in kinds {
            if !random.random_bool(0.02) {
                continue;
            }
            if let Some(alert) = firing.remove(&kind) {
                since.remove(&kind);
                unheard += u64::from(!told.contains_key(&kind));
                grouping.changes(vec![resolved(&alert, second.cast_signed())]);
            } else {
                let alert = Alert { time: second.cast_signed(), ..alert(kind) };
                grouping.changes(vec![fired(&alert)]);
                firing.insert(kind, alert);
                since.insert(kind, second);
            }
        }
        if random.random_bool(0.01) {
            let saved = serde_json::to_string(&grouping.memory()).unwrap();
            grouping = Grouping::new(repeat, serde_json::from_str(&saved).unwrap(), second * 1000);
        }
        if random.random_bool(0.002) {
            let kind = kinds[random.random_range(0..kinds.len())];
            silence(&mut grouping, Some(kind), None, second.cast_signed() + 40);
        }
        let silenced = |kind| grouping.silences.silenced(&alert(kind));
        for kind in kinds.into_iter().filter(|kind| silenced(*kind)) {
            since.insert(kind, second + 1);
        }
        let list: Vec<&Alert> = firing.values().collect();
        for entry in
            grouping.tick(second * 1000, &list).into_iter().flat_map(|message| message.entries)
        {
            let kind = entry.alert.kind;
            let before = told.get(&kind).copied();
            let at = format!("seed {seed}, second {second}, {kind:?}");
            match entry.news {
                News::Firing => {
                    assert_eq!(before, None, "{at}: told twice");
                    told.insert(kind, second);
                }
                News::Still => {
                    assert!(before.is_some_and(|before| before + 120 <= second), "{at}: too early");
                    told.insert(kind, second);
                }
                News::Resolved => {
                    assert!(!firing.contains_key(&kind), "{at}: it fires");
                    if told.remove(&kind).is_none() {
                        assert!(unheard > 0, "{at}: it never fired");
                        unheard -= 1;
                    }
                }
            }
        }
        // Silenced, an end is not heard of; the next beginning is.
        told.retain(|kind, _| {
            firing.contains_key(kind) || grouping.told.keys().any(|key| key.0 == *kind)
        });
        for (kind, since) in &since {
            // A restart begins the wait anew.
            let late = second > since + 30;
            assert!(
                !late || !firing.contains_key(kind) || told.contains_key(kind),
                "seed {seed}, second {second}: {kind:?} was not told"
            );
        }
    }
}
