//! Names, by resolvers that answer, refuse, lie, or say nothing.

use crate::support::names::{Names, Reply, every_name_is};
use crate::support::{LOCALHOST, detail};
use hickory_resolver::proto::op::ResponseCode;
use std::net::IpAddr;
use wxedge_sidecar::observation::{FaultKind, Finding, Probe};
use wxedge_sidecar::probe::dns::{Caller, Resolver};

const HOST: &str = "wechat.test";

async fn look_up(names: &Names, caller: Caller) -> Finding {
    Resolver::at(names.address).look_up(HOST, caller).await
}

async fn fault(reply: Reply) -> (FaultKind, String) {
    let names = Names::start(reply).await;
    let fault = look_up(&names, Caller::WeChat).await.fault.unwrap();
    (fault.kind, fault.detail)
}

#[tokio::test]
async fn a_name_is_found_in_both_families() {
    let names = every_name_is(&["192.0.2.1", "2001:db8::1"]).await;
    let found = look_up(&names, Caller::WeChat).await;
    let addresses: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    assert_eq!((found.fault, found.facts.addresses), (None, addresses.to_vec()));
    assert_eq!((found.probe, found.facts.system), (Probe::Dns, Some(false)));
    assert_eq!(found.target, format!("{} {HOST}", names.address));
}

#[tokio::test]
async fn an_answer_too_long_for_udp_comes_by_tcp() {
    let names = Names::start(Reply::TooLong(vec![LOCALHOST])).await;
    let found = look_up(&names, Caller::WeChat).await;
    assert_eq!((found.fault, found.facts.addresses), (None, vec![LOCALHOST]));
}

#[tokio::test]
async fn each_refusal_has_its_words() {
    for (code, words) in [
        (ResponseCode::NXDomain, "the name does not exist (NXDOMAIN)"),
        (ResponseCode::Refused, "the resolver refuses (REFUSED)"),
        (ResponseCode::ServFail, "the resolver fails (SERVFAIL)"),
    ] {
        assert_eq!(fault(Reply::Code(code)).await, (FaultKind::DnsFailure, words.to_owned()));
    }
    let nothing = (FaultKind::DnsFailure, "the name has no address".to_owned());
    assert_eq!(fault(Reply::Addresses(vec![])).await, nothing);
}

#[tokio::test]
async fn wechat_cannot_use_ipv6_and_an_app_can() {
    let names = every_name_is(&["2001:db8::1"]).await;
    let found = look_up(&names, Caller::WeChat).await;
    assert_eq!(found.fault.unwrap().kind, FaultKind::Ipv6Only);
    assert_eq!(look_up(&names, Caller::Own).await.fault, None);
}

#[tokio::test]
async fn silence_is_a_timeout_after_five_seconds() {
    let names = Names::start(Reply::Silence).await;
    let found = look_up(&names, Caller::WeChat).await;
    assert_eq!(detail(&found), "no answer within 5 s");
    assert_eq!(found.fault.as_ref().unwrap().kind, FaultKind::DnsTimeout);
    assert!((4_900.0..15_000.0).contains(&found.took_ms), "{}", found.took_ms);
}

#[tokio::test]
async fn the_system_knows_localhost_and_nobody_else_is_asked_for_it() {
    let found = Resolver::system().look_up("localhost", Caller::WeChat).await;
    assert_eq!((found.fault, found.facts.system), (None, Some(true)));
    assert!(found.facts.addresses.contains(&LOCALHOST));
    assert_eq!(found.target, "system localhost");
    let names = every_name_is(&["192.0.2.1"]).await;
    assert!(!Resolver::at(names.address).knows("localhost"));
    assert!(Resolver::at(names.address).knows("localhost.test"));
}
