//! Against the fake WeChat, over real connections.

use super::*;
use crate::config::Config;
use crate::edge::Edge;
use crate::limits;
use prometheus::Registry;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use wxedge_tests::folder::Folder;
use wxedge_tests::tls::Identity;
use wxedge_tests::wechat_api::{Answer, Api, Builder, Fault, MAIN};
use wxedge_tests::{PATIENCE, canary, eventually};

/// Credentials before these servers of WeChat's.
struct Main {
    credentials: Arc<Credentials>,
    _edge: Edge,
    _folder: Folder,
}

impl Main {
    fn before(bases: &[&str]) -> Main {
        let folder = Folder::new();
        let text = format!(
            "[store]
            url = 'embedded:{}'
            [wechat]
            api_base = {bases:?}
            [accounts.main]
            appid = '{MAIN}'
            secret = '{}'
            token = 'CanaryToken'
            mode = 'plain'
            upstream.url = 'builtin:echo'",
            folder.path().display(),
            canary::SECRET,
        );
        let config = Config::parse(&text, &BTreeMap::new()).unwrap();
        let edge = Edge::open(config, Registry::new()).unwrap();
        let credentials = edge.account("main").unwrap().credentials.clone().unwrap();
        Main { credentials, _edge: edge, _folder: folder }
    }

    async fn send(&self) -> Sent {
        send(&self.credentials, &message()).await
    }

    /// A call that uses a kept connection, and keeps its own.
    async fn list(&self) {
        let ask = Ask { path: LIST, body: None, repeatable: true };
        self.credentials.ask(&ask).await.unwrap();
    }
}

const LIST: &str = "/cgi-bin/getcallbackip";

fn message() -> Map<String, Value> {
    let text = json!({"touser": "o1", "msgtype": "text", "text": {"content": "你好 😀\u{7f}"}});
    text.as_object().unwrap().clone()
}

/// Its kind and its reason.
fn word(sent: &Sent) -> (&'static str, &'static str) {
    match sent {
        Sent::Taken => ("sent", ""),
        Sent::Unsent { reason, .. } => ("not sent", reason),
        Sent::Refused { reason, .. } => ("refused", reason),
        Sent::Maybe { reason, .. } => ("maybe", reason),
    }
}

#[tokio::test]
async fn what_wechat_takes_is_sent_once_and_in_raw_utf_8() {
    let api = Api::start();
    assert_eq!(Main::before(&[&api.url()]).send().await, Sent::Taken);
    let [got] = api.custom_messages().try_into().unwrap();
    let body =
        r#"{"msgtype":"text","text":{"content":"你好 😀_"},"touser":"o1"}"#.replace('_', "\u{7f}");
    assert_eq!(String::from_utf8(got.body).unwrap(), body);
    assert_eq!(api.mistakes(), [""; 0]);
}

#[tokio::test]
async fn an_errcode_says_whether_it_may_be_sent_later() {
    let api = Api::start();
    let main = Main::before(&[&api.url()]);
    for (errcode, expected) in [
        (-1, ("not sent", "busy")),
        (45011, ("not sent", "rate")),
        (45015, ("refused", "window")),
        (45047, ("refused", "count")),
        (48001, ("refused", "unauthorized")),
        (45009, ("refused", "quota")),
        (45002, ("refused", "refused")),
    ] {
        api.fault_next(PATH, 1, Fault::Errcode(errcode));
        let sent = main.send().await;
        assert_eq!(word(&sent), expected, "{errcode}");
        match sent {
            Sent::Unsent { detail, pause, .. } => {
                assert!(detail.starts_with(&format!("errcode {errcode}, ")), "{detail}");
                assert_eq!(pause.is_some(), errcode == 45011);
            }
            Sent::Refused { errcode: told, detail, .. } => {
                assert!(detail.starts_with(&format!("errcode {errcode}, ")), "{detail}");
                assert_eq!(told, errcode);
            }
            Sent::Taken | Sent::Maybe { .. } => unreachable!("{errcode}"),
        }
    }
    assert_eq!(api.count(PATH), 7, "each was sent once");
    api.open_window("o1", 0, Duration::from_secs(60));
    assert_eq!(word(&main.send().await), ("refused", "count"));
    assert!(api.custom_messages().is_empty());
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once() {
    let api = Api::start();
    let main = Main::before(&[&api.url()]);
    assert_eq!(main.send().await, Sent::Taken);
    api.kill_token(MAIN);
    assert_eq!(main.send().await, Sent::Taken);
    assert_eq!((api.count(PATH), api.custom_messages().len()), (3, 2));
    api.always_40001(PATH);
    assert_eq!(word(&main.send().await), ("not sent", "token"));
    assert_eq!((api.count(PATH), api.custom_messages().len()), (5, 2));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let api = Api::start();
    api.stop_listening();
    let unreached = Main::before(&[&api.url()]);
    assert_eq!(word(&unreached.send().await), ("not sent", "no_token"));
    api.listen_again();
    api.refuse_tokens(40125);
    let refused = Main::before(&[&api.url()]);
    assert_eq!(word(&refused.send().await), ("not sent", "no_token"));
    assert_eq!(api.count(PATH), 0);
}

#[tokio::test]
async fn without_a_connection_nothing_is_sent() {
    let api = Api::start();
    let unknown = Identity::of("127.0.0.1");
    let untrusted = Builder::new().beside(&api).tls("127.0.0.1", &unknown).start().unwrap();
    let (api_url, untrusted_url) = (api.url(), untrusted.url());
    for (bases, reason) in
        [(vec![api_url.as_str()], "connect"), (vec![&api_url, &untrusted_url], "tls")]
    {
        let main = Main::before(&bases);
        main.list().await;
        api.stop_listening();
        assert_eq!(word(&main.send().await), ("not sent", reason));
        api.listen_again();
        assert_eq!(main.send().await, Sent::Taken, "it was not WeChat's refusal");
    }
    assert_eq!((api.count(PATH), untrusted.count(PATH)), (2, 0));
}

/// The last of these servers would be tried after the time for a call is over.
#[tokio::test]
async fn connections_that_take_too_long_have_sent_nothing() {
    let api = Api::start();
    let silent: Vec<_> =
        (0..4).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let silent = silent.iter().map(|silent| format!("https://{}", silent.local_addr().unwrap()));
    let bases: Vec<String> = [api.url()].into_iter().chain(silent).collect();
    let main = Main::before(&bases.iter().map(String::as_str).collect::<Vec<_>>());
    main.list().await;
    api.stop_listening();
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    assert_eq!(word(&main.send().await), ("not sent", "connect_timeout"));
    let took = began.elapsed();
    assert!(took.abs_diff(limits::API_OWN_CALL_TIMEOUT) < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn what_ends_without_an_answer_of_wechats_may_have_arrived() {
    let api = Api::start();
    let main = Main::before(&[&api.url()]);
    let page = |status, body: &str| Fault::Answer(Answer::new(status, "text/html", body));
    for (fault, reason, arrives) in [
        (Fault::CloseUnanswered, "reset", true),
        (Fault::CutBody, "reset", true),
        (Fault::Garbage, "invalid", true),
        (Fault::CloseAfterHead, "reset", false),
        (Fault::ServerError, "invalid", false),
        (Fault::Redirect(api.url()), "invalid", false),
        (page(200, "<h1>Welcome to our hotel</h1>"), "invalid", false),
        (page(200, "{\"errcode\":0"), "invalid", false),
        (page(502, "{\"errcode\":0}"), "invalid", false),
        (page(502, "{\"errcode\":-1}"), "invalid", false),
    ] {
        let (before, calls) = (api.custom_messages().len(), api.count(PATH));
        api.fault_next(PATH, 1, fault.clone());
        assert_eq!(word(&main.send().await), ("maybe", reason), "{fault:?}");
        assert_eq!(api.custom_messages().len() - before, usize::from(arrives), "{fault:?}");
        assert_eq!(api.count(PATH) - calls, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn what_is_not_answered_in_time_may_have_arrived() {
    let api = Api::start();
    let main = Main::before(&[&api.url()]);
    main.list().await;
    api.fault(PATH, Fault::Silence);
    tokio::time::pause();
    assert_eq!(word(&main.send().await), ("maybe", "timeout"));
    eventually(PATIENCE, "it has arrived", || api.custom_messages().len() == 1);
}

#[tokio::test]
async fn a_kept_connection_that_wechat_closes_leaves_no_doubt() {
    let api = Api::start();
    let main = Main::before(&[&api.url()]);
    main.list().await;
    api.fault(PATH, Fault::StaleKeepAlive);
    for _ in 0..3 {
        assert_eq!(main.send().await, Sent::Taken);
    }
    assert_eq!(api.custom_messages().len(), 3);
    let connections = api.connections();
    main.list().await;
    assert_eq!(api.connections(), connections, "there were kept ones to take");
}
