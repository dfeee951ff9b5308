//! The egress proxy.

use super::*;
use crate::PATIENCE;
use crate::http::Connection;
use crate::wechat_api::egress::{Connect, Egress};

/// A tunnel to `target`, or the status that was given instead.
fn tunnel(egress: &Egress, target: &str, authorization: &str) -> Result<Connection, u16> {
    let mut connection = Connection::to(egress.address());
    let head = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n");
    connection.send(format!("{head}Proxy-Authorization: {authorization}\r\n\r\n")).unwrap();
    let answer = connection.response_head(PATIENCE).unwrap();
    if answer.status == 200 { Ok(connection) } else { Err(answer.status) }
}

#[test]
fn calls_go_through_it_and_it_remembers_where_to() {
    let api = Api::start();
    let egress = Egress::start();
    let target = "api.weixin.qq.com:443";
    egress.route(target, api.address());
    let mut connection = tunnel(&egress, target, "Basic eDp5").unwrap();
    let call = format!("/any?access_token={}", api.token(MAIN));
    for _ in 0..3 {
        connection.request("GET", &call, &[("host", "api.weixin.qq.com")], b"").unwrap();
        assert_eq!(connection.response(PATIENCE).unwrap().json()["errcode"], 0);
    }
    let expected = Connect {
        method: "CONNECT".to_owned(),
        target: target.to_owned(),
        authorization: Some("Basic eDp5".to_owned()),
    };
    assert_eq!(egress.connects(), [expected]);
    api.close_connections();
    assert_eq!(connection.closed(PATIENCE), Ok(Vec::new()), "the end goes through, too");
    assert_eq!(egress.url(), format!("http://{}", egress.address()));
}

#[test]
fn who_may_not_go_through_is_told_so() {
    let api = Api::start();
    let egress = Egress::start();
    let target = api.address().to_string();
    egress.require("Basic eDp5");
    assert_eq!(tunnel(&egress, &target, "Basic other").err(), Some(407));
    assert!(tunnel(&egress, &target, "Basic eDp5").is_ok(), "without a route, to where it says");
    crate::eventually(PATIENCE, "the tunnel ends there", || api.connections() == 1);
    api.stop_listening();
    assert_eq!(tunnel(&egress, &target, "Basic eDp5").err(), Some(502));
    assert_eq!(http::get(egress.address(), "/").status, 405);
    assert_eq!(egress.connects().len(), 4);
}
