//! Whole looks at a public URL, and WeChat's own.

use crate::support::admin::{Admin, ECHOSTR, QUERY};
use crate::support::certificates::Authority;
use crate::support::names::{Names, Reply, every_name_is};
use crate::support::site::{Site, answer, parameter};
use crate::support::{config, detail, kinds, prober};
use hickory_resolver::proto::op::ResponseCode;
use rustls::RootCertStore;
use serde_json::json;
use wxedge_sidecar::observation::{FaultKind, Finding, Probe};
use wxedge_sidecar::probe::dns::Resolver;

/// Looks at a site on this machine that answers as told.
async fn look(
    enforced: bool,
    body: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Vec<Finding> {
    let (admin, site) = (Admin::start().await, Site::start(None, body).await);
    let prober = prober(&config(admin.address, ""), vec![], RootCertStore::empty());
    let url = format!("http://{}/wechat/main", site.address).parse().unwrap();
    prober.callback("main", &url, enforced).await
}

async fn fault(
    body: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> (FaultKind, String) {
    let findings = look(false, body).await;
    assert_eq!(kinds(&findings)[0], (Probe::Tcp, None));
    let [_, echo] = findings.as_slice() else { panic!("{findings:?}") };
    (echo.fault.as_ref().unwrap().kind, detail(echo).to_owned())
}

#[tokio::test]
async fn a_url_is_asked_as_wechat_asks_it() {
    let (admin, authority) = (Admin::start().await, Authority::new());
    let echo = |head: &str| Some(answer(200, "", &parameter(head, "echostr")));
    let site = Site::start(Some(authority.server("wechat.test", 90)), echo).await;
    // Nobody listens at ::1, and WeChat does not call it.
    let names = every_name_is(&["127.0.0.1", "::1"]).await;
    let resolvers = vec![Resolver::system_with(names.address), Resolver::at(names.address)];
    let prober = prober(&config(admin.address, ""), resolvers, authority.roots());
    let port = site.address.port();
    let url = format!("https://wechat.test:{port}/wechat/main?a=b").parse().unwrap();

    let findings = prober.callback("main", &url, false).await;
    let expected = [Probe::Dns, Probe::Dns, Probe::Dns, Probe::Tcp, Probe::Tls, Probe::Echo];
    assert_eq!(kinds(&findings), expected.map(|probe| (probe, None)));
    assert!(findings.iter().all(|finding| finding.account.as_deref() == Some("main")));
    let targets: Vec<_> = findings.iter().map(|finding| finding.target.clone()).collect();
    let (configured, place) = (names.address, format!("wechat.test:{port}"));
    let of_names = ["system wechat.test".to_owned(), format!("{configured} wechat.test")];
    assert_eq!(targets[..2], of_names);
    assert_eq!(targets[2..], ["wechat.test", &place, &place, &place]);
    assert_eq!(findings[5].facts.status, Some(200));
    let expected = format!(
        "GET /wechat/main?a=b&{QUERY} HTTP/1.1\r\nUser-Agent: Mozilla/4.0\r\nAccept: */*\r\n\
        Host: {place}\r\nPragma: no-cache\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(site.requests(), [expected]);
}

#[tokio::test]
async fn each_wrong_answer_is_told() {
    use FaultKind::*;
    let cases = [
        (answer(200, "", &format!("\"{ECHOSTR}\"")), EchoQuoted, "the echostr in quotes"),
        (answer(200, "", &format!("{ECHOSTR}\n")), EchoQuoted, "the echostr with a line break"),
        (answer(200, "", "<html><body>It works</body></html>"), EchoWrong, "an HTML page"),
        (answer(200, "", ""), EchoWrong, "an empty answer"),
        (answer(301, "Location: /other?a=b\r\n", ""), Redirect, "status 301 to /other"),
        (answer(403, "", ""), SignatureRefused, "status 403 without a word"),
        (answer(403, "", "blocked"), AnswerStatus, "status 403"),
        (answer(500, "", "oops"), AnswerStatus, "status 500"),
        ("SSH-2.0-whatever\r\n\r\n".to_owned(), EchoWrong, "what comes is no HTTP"),
        (String::new(), ConnectRefused, "the connection is closed without a whole answer"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n437".to_owned(),
            ConnectRefused,
            "the connection is closed without a whole answer",
        ),
    ];
    for (text, kind, words) in cases {
        assert_eq!(fault(move |_| Some(text.clone())).await, (kind, words.to_owned()));
    }
}

#[tokio::test]
async fn what_came_is_shown_without_the_signed_query() {
    let findings = look(false, |head| Some(answer(404, "", &format!("nothing at {head}")))).await;
    let facts = &findings[1].facts;
    let shown = facts.response.as_deref().unwrap();
    assert!(shown.starts_with("nothing at GET /wechat/main?… HTTP/1.1"), "{shown}");
    assert_eq!((facts.status, facts.response_length.is_some()), (Some(404), true));
}

#[tokio::test]
async fn an_edge_that_takes_listed_addresses_only_may_refuse_this_one() {
    let findings = look(true, |_| Some(answer(403, "", ""))).await;
    assert_eq!(kinds(&findings), [(Probe::Tcp, None), (Probe::Echo, None)]);
    assert_eq!(findings[1].facts.status, Some(403));
    let page = look(true, |_| Some(answer(403, "", "a firewall's page"))).await;
    assert_eq!(kinds(&page)[1], (Probe::Echo, Some(FaultKind::AnswerStatus)));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout_after_five_seconds() {
    let findings = look(false, |_| None).await;
    assert_eq!(kinds(&findings)[1], (Probe::Echo, Some(FaultKind::AnswerTimeout)));
    let took_ms = findings[1].took_ms;
    assert!((4_900.0..15_000.0).contains(&took_ms), "{took_ms}");
}

#[tokio::test]
async fn a_name_that_leads_nowhere_ends_the_look() {
    let admin = Admin::start().await;
    let names = Names::start(Reply::Code(ResponseCode::NXDomain)).await;
    let resolvers = vec![Resolver::at(names.address); 2];
    let prober = prober(&config(admin.address, ""), resolvers, RootCertStore::empty());
    let findings = prober.callback("main", &"http://wechat.test/".parse().unwrap(), false).await;
    assert_eq!(kinds(&findings), [(Probe::Dns, Some(FaultKind::DnsFailure)); 2]);
}

#[tokio::test]
async fn resolvers_that_disagree_are_told() {
    let admin = Admin::start().await;
    let honest = every_name_is(&["127.0.0.1"]).await;
    let liar = every_name_is(&["127.0.0.9"]).await;
    let broken = Names::start(Reply::Code(ResponseCode::ServFail)).await;
    let site = Site::start(None, |head| Some(answer(200, "", &parameter(head, "echostr")))).await;
    let url = format!("http://wechat.test:{}/", site.address.port()).parse().unwrap();
    for (other, words) in [
        (&liar, format!("{} says 127.0.0.1, {} says 127.0.0.9", honest.address, liar.address)),
        (&broken, format!("no use: {}; others answer", broken.address)),
    ] {
        let resolvers = vec![Resolver::at(honest.address), Resolver::at(other.address)];
        let prober = prober(&config(admin.address, ""), resolvers, RootCertStore::empty());
        let findings = prober.callback("main", &url, false).await;
        let differs = &findings[2];
        assert_eq!(kinds(&findings)[2], (Probe::Dns, Some(FaultKind::DnsDiffers)));
        assert_eq!((differs.target.as_str(), detail(differs)), ("wechat.test", words.as_str()));
        // WeChat goes where the first one outside says.
        assert_eq!(kinds(&findings)[3..], [(Probe::Tcp, None), (Probe::Echo, None)]);
    }
}

#[tokio::test]
async fn what_wechat_never_calls_is_not_called() {
    let admin = Admin::start().await;
    let names = every_name_is(&["192.0.2.1"]).await;
    let resolvers = vec![Resolver::at(names.address)];
    let prober = prober(&config(admin.address, ""), resolvers, RootCertStore::empty());
    for (url, kind, words) in [
        ("http://wechat.test:8080/", FaultKind::WrongPort, "http on port 8080"),
        ("https://wechat.test:80/", FaultKind::WrongPort, "https on port 80"),
        ("http://[2001:db8::1]/", FaultKind::Ipv6Only, "an IPv6 address; WeChat calls by IPv4"),
    ] {
        let findings = prober.callback("main", &url.parse().unwrap(), false).await;
        let last = findings.last().unwrap();
        assert_eq!(kinds(&findings).last(), Some(&(Probe::Echo, Some(kind))));
        assert_eq!(detail(last), words);
        assert!(kinds(&findings).iter().all(|(probe, _)| *probe != Probe::Tcp));
    }
}

#[tokio::test]
async fn an_edge_that_does_not_help_is_told() {
    let (admin, site) = (Admin::start().await, Site::start(None, |_| None).await);
    let prober = prober(&config(admin.address, ""), vec![], RootCertStore::empty());
    let url = format!("http://{}/", site.address).parse().unwrap();
    let findings = prober.callback("other", &url, false).await;
    assert_eq!(kinds(&findings)[1], (Probe::Echo, Some(FaultKind::EdgeUnavailable)));
    assert_eq!(detail(&findings[1]), "the edge answers 404: no such account");
}

#[tokio::test]
async fn wechat_is_asked_what_it_sees() {
    let admin = Admin::start().await;
    let names = every_name_is(&["192.0.2.1"]).await;
    let more = "[probe.public_url]\nmain = 'http://wechat.test/'";
    let resolvers = vec![Resolver::at(names.address)];
    let prober = prober(&config(admin.address, more), resolvers, RootCertStore::empty());
    let path = "/v1/accounts/main/callback-check";
    let sees = |ip: &str| json!({"dns": [{"ip": ip, "real_operator": "CAP"}], "ping": []});
    for (status, body, expected) in [
        (200, sees("192.0.2.1"), None),
        (200, sees("192.0.2.7"), Some(FaultKind::CheckDiffers)),
        (200, json!({"dns": [], "ping": []}), Some(FaultKind::DnsFailure)),
        (200, json!({"errcode": 45009, "errmsg": "quota"}), Some(FaultKind::CheckRefused)),
        (409, json!({"error": "accounts.main has no `secret`"}), Some(FaultKind::EdgeUnavailable)),
    ] {
        admin.says(path, status, &body);
        let finding = prober.check("main").await;
        assert_eq!(kinds(std::slice::from_ref(&finding)), [(Probe::CallbackCheck, expected)]);
        assert_eq!(
            (finding.target.as_str(), finding.account.as_deref()),
            ("wechat.test", Some("main"))
        );
    }
}
