//! What each SDK makes of the edge's own errors, and that it does not repeat on them.
//!
//! With HTTP 200 both SDKs read the body: errcode and errmsg are in the exception. With another status neither does:
//! wechatpy's exception has the answer in `response`, co-wechat-api's message has only the status.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use wxedge_tests::canary;
use wxedge_tests::edge::Builder;
use wxedge_tests::wechat_api::{Api, MAIN};

use crate::peer::{Peer, SDKS, Sdk, Thrown};
use crate::{PROGRAM, base};

const CALLED: &str = "/cgi-bin/user/info";
const TOKEN: &str = "/cgi-bin/token";
const ALLOWED: &str = "allow = [\"/cgi-bin/**\"]";

/// A call that the edge refuses.
struct Case {
    errcode: i64,
    status: i64,
    /// What stands in the message, where an SDK shows it.
    says: &'static str,
    /// Lines of the client in the configuration.
    client: &'static [&'static str],
    appid: &'static str,
    key: &'static str,
    /// Before the edge starts.
    before: fn(&Api),
    /// One call succeeds first, then this.
    between: Option<fn(&Api)>,
    /// What the edge was asked by the call that fails.
    asked: &'static [&'static str],
}

const USUAL: Case = Case {
    errcode: 0,
    status: 200,
    says: "",
    client: &[ALLOWED],
    appid: MAIN,
    key: canary::CLIENT_KEY,
    before: |_| {},
    between: None,
    asked: &[TOKEN, CALLED],
};

fn cases() -> [Case; 6] {
    [
        Case {
            errcode: -9403,
            status: 403,
            says: "client crm may not call this API",
            client: &["allow = [\"/cgi-bin/message/**\"]"],
            ..USUAL
        },
        Case {
            errcode: -9502,
            status: 502,
            says: "WeChat",
            between: Some(Api::stop_listening),
            asked: &[CALLED],
            ..USUAL
        },
        Case {
            errcode: -9503,
            status: 503,
            says: "40164",
            before: |api| api.refuse_ip(Ipv4Addr::new(203, 0, 113, 9)),
            ..USUAL
        },
        Case {
            errcode: 45009,
            says: "the budget of client crm",
            client: &[ALLOWED, "budget = \"enforce\"", "budgets = { \"/cgi-bin/user/info\" = 1 }"],
            between: Some(|_| {}),
            asked: &[CALLED],
            ..USUAL
        },
        Case {
            errcode: 40013,
            says: "invalid appid",
            appid: "wx0000other",
            asked: &[TOKEN],
            ..USUAL
        },
        Case {
            errcode: 40125,
            says: "invalid appsecret",
            key: "AppSecret",
            asked: &[TOKEN],
            ..USUAL
        },
    ]
}

#[test]
fn an_sdk_says_what_the_edge_says_and_does_not_repeat() {
    for (case, sdk) in cases().iter().flat_map(|case| SDKS.map(|sdk| (case, sdk))) {
        let api = Api::start();
        (case.before)(&api);
        let builder = Builder::new(PROGRAM).api_base(&[&api.url()]).client("crm", case.client);
        let edge = builder.start();
        let mut peer = Peer::start(sdk).at(&base(&edge), case.appid, case.key);
        let user = json!([format!("{}1", canary::OPENID)]);
        let mut expected = Vec::new();
        if let Some(between) = case.between {
            peer.call("user_info", &user).unwrap();
            expected.extend([TOKEN, CALLED]);
            between(&api);
        }
        expected.extend(case.asked);
        let calls = api.count(CALLED);
        let thrown = peer.call("user_info", &user).unwrap_err();
        print(case, sdk, &thrown);
        assert_said(case, sdk, &thrown);

        let log = edge.await_log(expected.len());
        let asked: Vec<_> = log.iter().map(|line| line["api"].as_str().unwrap()).collect();
        assert_eq!(asked, expected, "{} {sdk:?}", case.errcode);
        assert_eq!(log.last().unwrap()["errcode"], case.errcode, "{sdk:?}");
        assert_eq!(api.count(CALLED), calls, "{} {sdk:?}: WeChat was not asked", case.errcode);
    }
}

fn assert_said(case: &Case, sdk: Sdk, thrown: &Thrown) {
    let Case { errcode, status, says, .. } = case;
    if *status == 200 {
        assert_eq!(thrown.code, Some(*errcode), "{sdk:?}: {thrown:?}");
        assert!(thrown.message.contains("wxedge: ") && thrown.message.contains(says), "{thrown:?}");
        let limited = sdk == Sdk::Wechatpy && *errcode == 45009;
        assert_eq!(thrown.name == "APILimitedException", limited, "{thrown:?}");
        return;
    }
    assert_eq!(thrown.code, None, "{sdk:?}: {thrown:?}");
    match sdk {
        Sdk::Wechatpy => {
            assert_eq!((&*thrown.name, thrown.status), ("WeChatClientException", Some(*status)));
            let body: Value = serde_json::from_str(thrown.body.as_ref().unwrap()).unwrap();
            assert_eq!(body["errcode"], *errcode);
            let errmsg = body["errmsg"].as_str().unwrap();
            assert!(errmsg.starts_with("wxedge: ") && errmsg.contains(says), "{errmsg}");
        }
        Sdk::CoWechatApi => {
            assert!(thrown.message.ends_with(&format!("status code: {status}")), "{thrown:?}");
        }
    }
}

#[allow(clippy::print_stdout, reason = "what a developer would read is worth a look")]
fn print(case: &Case, sdk: Sdk, thrown: &Thrown) {
    println!("{} | {} | {}: {}", case.errcode, sdk.name(), thrown.name, thrown.message);
}

#[test]
fn a_client_that_calls_too_often_is_told_so_once_a_call() {
    const AT_ONCE: usize = 50;
    for sdk in SDKS {
        let api = Api::start();
        // The token and the first call; then at most two a second.
        let builder = Builder::new(PROGRAM).api_base(&[&api.url()]);
        let edge = builder.client("crm", &[ALLOWED, "rate_per_second = 2"]).start();
        let mut peer = Peer::start(sdk).at(&base(&edge), MAIN, canary::CLIENT_KEY);
        let user = json!([format!("{}1", canary::OPENID)]);
        peer.call("user_info", &user).unwrap();
        peer.begin(AT_ONCE, "user_info", &user);
        let outcomes = peer.end();
        let thrown: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        let case = Case { errcode: -9429, status: 429, says: "2 times a second", ..USUAL };
        thrown.iter().for_each(|thrown| assert_said(&case, sdk, thrown));
        print(&case, sdk, thrown.first().expect("too many calls"));

        // One request a call: nothing was repeated.
        let log = edge.await_log(2 + AT_ONCE);
        let limited = log.iter().filter(|line| line["result"] == "rate_limited").count();
        assert_eq!((log.len(), limited), (2 + AT_ONCE, thrown.len()), "{sdk:?}");
        assert_eq!(api.count(CALLED), (1 + AT_ONCE - limited) as u64, "{sdk:?}");
    }
}
