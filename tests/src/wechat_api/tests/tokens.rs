//! Source: protocol.md §5.1.

use super::*;

#[test]
fn a_plain_token_is_new_each_time_and_the_old_one_serves_for_five_minutes() {
    let api = Api::start();
    let first = plain(&api);
    assert_eq!(first["expires_in"], 7200);
    let second = token(&plain(&api));
    let first = token(&first);
    assert_ne!(first, second);
    assert_eq!((try_token(&api, &first), try_token(&api, &second)), (0, 0));
    api.clock().advance(minutes(5) - seconds(1));
    assert_eq!(try_token(&api, &first), 0);
    api.clock().advance(seconds(1));
    assert_eq!((try_token(&api, &first), try_token(&api, &second)), (40001, 0));
    api.clock().advance(minutes(115) - seconds(1));
    assert_eq!(try_token(&api, &second), 0);
    api.clock().advance(seconds(1));
    assert_eq!(try_token(&api, &second), 42001, "its time is up, and nothing has replaced it");
}

#[test]
fn without_grace_a_plain_token_ends_the_one_before() {
    let api = Api::start();
    api.token_grace(seconds(0));
    let [first, second] = [(); 2].map(|()| token(&plain(&api)));
    assert_eq!((try_token(&api, &first), try_token(&api, &second)), (40001, 0));
}

#[test]
fn a_stable_token_is_the_same_until_its_last_five_minutes() {
    let api = Api::start();
    let first = token(&stable(&api, false));
    api.clock().advance(minutes(60));
    let again = stable(&api, false);
    assert_eq!((token(&again), &again["expires_in"]), (first.clone(), &json!(3600)));
    api.clock().advance(minutes(55) - seconds(1));
    let again = stable(&api, false);
    assert_eq!((token(&again), &again["expires_in"]), (first.clone(), &json!(301)));
    api.clock().advance(seconds(1));
    let next = stable(&api, false);
    assert_eq!(next["expires_in"], 7200);
    let next = token(&next);
    assert_ne!(next, first);
    api.clock().advance(minutes(5) - seconds(1));
    assert_eq!((try_token(&api, &first), try_token(&api, &next)), (0, 0));
    api.clock().advance(seconds(1));
    assert_eq!((try_token(&api, &first), try_token(&api, &next)), (40001, 0));
}

#[test]
fn force_kills_the_old_token_at_once_but_not_twice_in_half_a_minute() {
    let api = Api::start();
    let first = token(&stable(&api, false));
    let second = token(&stable(&api, true));
    assert_ne!(first, second);
    assert_eq!((try_token(&api, &first), try_token(&api, &second)), (40001, 0));
    api.clock().advance(seconds(29));
    let same = stable(&api, true);
    assert_eq!((token(&same), &same["expires_in"]), (second.clone(), &json!(7171)));
    api.clock().advance(seconds(1));
    let third = token(&stable(&api, true));
    assert_eq!((try_token(&api, &second), try_token(&api, &third)), (40001, 0));
    assert_eq!(api.fetches(), Fetches { token: 0, stable: 1, forced: 3 });
}

#[test]
fn force_works_twenty_times_a_day_and_calls_that_do_not_refresh_are_free() {
    let api = Api::start();
    for _ in 0..20 {
        api.clock().advance(seconds(30));
        token(&stable(&api, true));
        token(&stable(&api, true));
    }
    api.clock().advance(seconds(30));
    assert_eq!(stable(&api, true)["errcode"], 45009);
    let current = token(&stable(&api, false));
    assert_eq!(try_token(&api, &current), 0, "without force it goes on");
    api.clock().advance(minutes(24 * 60));
    token(&stable(&api, true));
}

#[test]
fn the_two_endpoints_do_not_touch_each_other() {
    let api = Api::start();
    let (one, other) = (token(&plain(&api)), token(&stable(&api, false)));
    token(&stable(&api, true));
    assert_eq!((try_token(&api, &one), try_token(&api, &other)), (0, 40001));
    let stable = token(&stable(&api, false));
    plain(&api);
    api.clock().advance(minutes(5));
    assert_eq!((try_token(&api, &one), try_token(&api, &stable)), (40001, 0));
}

#[test]
fn what_another_system_refreshed_is_handed_out_without_force() {
    let api = Api::start();
    let (one, other) = (token(&plain(&api)), token(&stable(&api, false)));
    api.kill_token(MAIN);
    assert_eq!((try_token(&api, &one), try_token(&api, &other)), (40001, 40001));
    let new = token(&stable(&api, false));
    assert_ne!(new, other);
    assert_eq!(try_token(&api, &new), 0);
}

#[test]
fn a_token_that_is_refused_but_current_is_cured_by_force_alone() {
    let api = Api::start();
    let dead = token(&stable(&api, false));
    api.kill_token_same(MAIN);
    assert_eq!(try_token(&api, &dead), 40001);
    assert_eq!(token(&stable(&api, false)), dead);
    let new = token(&stable(&api, true));
    assert_eq!((try_token(&api, &dead), try_token(&api, &new)), (40001, 0));
}

#[test]
fn tokens_begin_with_the_canary_and_are_as_long_and_live_as_long_as_told() {
    let api = Api::start();
    for length in [33, 157, 512] {
        api.token_length(length);
        let token = token(&plain(&api));
        assert_eq!(token.len(), length);
        assert!(canary::search(&token).is_err(), "an output with it would be noticed");
    }
    api.token_lifetime(seconds(600));
    let short = stable(&api, false);
    assert_eq!(short["expires_in"], 600);
    api.clock().advance(seconds(600));
    assert_eq!(try_token(&api, &token(&short)), 42001);
    assert!(!api.is_valid(&token(&short)));
}

#[test]
fn an_account_has_its_own_tokens() {
    let api = Api::start();
    api.account("wx2", "other");
    let main = token(&stable(&api, false));
    assert_ne!(main, api.token("wx2"));
    api.kill_token("wx2");
    assert_eq!(try_token(&api, &main), 0);
}

#[test]
fn an_address_beside_it_is_the_same_wechat() {
    let one = Api::start();
    let other = Builder::new().beside(&one).start().unwrap();
    let token = token(&stable(&one, false));
    assert_eq!(try_token(&other, &token), 0);
    other.stop_listening();
    assert_eq!(try_token(&one, &token), 0);
    assert_eq!((one.fetches().all(), other.fetches().all()), (1, 0));
    one.clock().advance(minutes(120));
    other.listen_again();
    assert_eq!(try_token(&other, &token), 42001);
}
