//! It is reached by TLS by those who can trust it, and by nobody else.

use super::*;
use crate::PATIENCE;
use crate::http::Connection;
use crate::tls::Authority;

const HOST: &str = "api.weixin.qq.com";

fn api(identity: &Identity) -> Api {
    Builder::new().account(MAIN, canary::SECRET).tls(HOST, identity).start().unwrap()
}

#[test]
fn who_trusts_the_authority_reaches_it() {
    let authority = Authority::new();
    let api = api(&authority.issue(HOST));
    assert_eq!(api.url(), format!("https://{HOST}:{}", api.address().port()));
    let tls = authority.trusted();
    let mut connection = Connection::open_tls(api.address(), HOST, tls, PATIENCE).unwrap();
    let target =
        format!("/cgi-bin/media/get?access_token={}&media_id=size-500000", api.token(MAIN));
    for _ in 0..3 {
        connection.request("GET", &target, &[], b"").unwrap();
        assert_eq!(connection.response(PATIENCE).unwrap().body.len(), 500_000);
    }
    assert_eq!(api.connections(), 1);
    let mut plain = Connection::to(api.address());
    plain.request("GET", "/", &[], b"").unwrap();
    assert!(plain.response(PATIENCE).is_err(), "not without TLS");
}

#[test]
fn a_wrong_name_an_unknown_authority_and_an_old_certificate_are_refused() {
    let authority = Authority::new();
    for (identity, why) in [
        (authority.issue("api2.weixin.qq.com"), "NotValidForName"),
        (Authority::new().issue(HOST), "UnknownIssuer"),
        (authority.issue_expired(HOST), "Expired"),
        (Identity::of(HOST), "UnknownIssuer"),
    ] {
        let api = api(&identity);
        let tls = authority.trusted();
        let error = Connection::open_tls(api.address(), HOST, tls, PATIENCE).unwrap_err();
        assert!(format!("{error:?}").contains(why), "{error:?}");
        assert_eq!(api.requests().len(), 0);
    }
}
