//! What apps do all day, through both SDKs, without `[clients]`: whoever is on this machine may call, and gets the real
//! token for whatever secret it has.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wxedge_tests::canary;
use wxedge_tests::edge::Edge;
use wxedge_tests::folder::Folder;
use wxedge_tests::http::find;
use wxedge_tests::wechat_api::{Api, Fetches, MAIN, Request};

use crate::peer::{Peer, SDKS, Sdk};
use crate::{base, edge};

/// Not the AppSecret: only the edge has that.
const NO_SECRET: &str = "an SDK wants to be given some text";

/// A picture, for a program.
fn picture() -> Vec<u8> {
    let beginning = [0xff, 0xd8, 0xff, 0xe0];
    beginning.into_iter().chain((0..).map(|at| (at % 251) as u8)).take(48 * 1024).collect()
}

fn started(sdk: Sdk) -> (Api, Edge, Peer) {
    let api = Api::start();
    let edge = edge(&api).start();
    let peer = Peer::start(sdk).at(&base(&edge), MAIN, NO_SECRET);
    (api, edge, peer)
}

fn openid() -> String {
    format!("{}1", canary::OPENID)
}

/// The only request of this path.
fn only(api: &Api, path: &str) -> Request {
    let mut requests = api.requests_to(path);
    assert_eq!(requests.len(), 1, "{path}");
    requests.remove(0)
}

#[test]
fn users_messages_menus_and_tickets_pass() {
    for sdk in SDKS {
        let (api, edge, mut peer) = started(sdk);
        let user = peer.call("user_info", &json!([openid()])).unwrap();
        assert_eq!(
            (&user["openid"], &user["subscribe_time"]),
            (&json!(openid()), &json!(1_700_000_000))
        );

        peer.call("send_text", &json!([openid(), "你好 \"<&>\" \u{1f600}"])).unwrap();
        let sent = only(&api, "/cgi-bin/message/custom/send").json();
        let expected = json!({"touser": openid(), "msgtype": "text", "text": {"content": "你好 \"<&>\" \u{1f600}"}});
        assert_eq!(sent, expected, "{sdk:?}");

        let menu = json!({"button": [{"type": "click", "name": "今日歌曲", "key": "V1001"}]});
        peer.call("menu_create", &json!([menu])).unwrap();
        assert_eq!(peer.call("menu_get", &json!([])).unwrap(), json!({"menu": menu}), "{sdk:?}");

        let ticket = peer.call("jsapi_ticket", &json!([])).unwrap();
        assert!(ticket.as_str().unwrap().starts_with(canary::TICKET_PREFIX), "{sdk:?}");
        assert_eq!(api.count("/cgi-bin/ticket/getticket"), 1);

        assert_eq!(api.fetches(), Fetches { token: 0, stable: 1, forced: 0 }, "{sdk:?}");
        assert_eq!(api.mistakes(), [""; 0]);
        let log = edge.await_log(6);
        let calls: Vec<_> =
            log.iter().map(|line| (line["api"].as_str(), line["result"].as_str())).collect();
        let line = |api, result| (Some(api), Some(result));
        let expected = [
            line("/cgi-bin/token", "cached"),
            line("/cgi-bin/user/info", "ok"),
            line("/cgi-bin/message/custom/send", "ok"),
            line("/cgi-bin/menu/create", "ok"),
            line("/cgi-bin/menu/get", "ok"),
            line("/cgi-bin/ticket/getticket", "cached"),
        ];
        assert_eq!(calls, expected, "{sdk:?}");
    }
}

#[test]
fn media_pass_byte_for_byte() {
    for sdk in SDKS {
        let (api, _edge, mut peer) = started(sdk);
        let folder = Folder::new();
        let path = folder.path().join("picture.jpg");
        std::fs::write(&path, picture()).unwrap();
        let answer = peer.call("upload", &json!([path])).unwrap();
        let upload = only(&api, "/cgi-bin/media/upload");
        assert_eq!(answer["sha256"], upload.body.sha256(), "{sdk:?}");
        assert_eq!(upload.parameter("type").as_deref(), Some("image"), "{sdk:?}");
        assert!(find(upload.body.bytes(), &picture()).is_some(), "{sdk:?}");
        // WeChat takes no chunked uploads.
        assert_eq!(
            upload.header("content-length"),
            Some(&*upload.body.length().to_string()),
            "{sdk:?}"
        );

        let of = |peer: &mut Peer, id: &str| peer.call("download", &json!([id])).unwrap();
        api.media("kept", "image/jpeg", picture());
        assert_eq!(of(&mut peer, "kept"), fingerprint(&picture()), "{sdk:?}");
        let large = of(&mut peer, "size-10485760");
        assert_eq!(large["length"], 10 * 1024 * 1024, "{sdk:?}");
        let missing = peer.call("download", &json!(["nobody has it"])).unwrap_err();
        assert_eq!(missing.code, Some(40007), "{sdk:?}");
    }
}

fn fingerprint(bytes: &[u8]) -> Value {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(bytes);
    let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"length": bytes.len(), "sha256": sha256})
}

#[test]
fn logins_get_the_appsecret_and_never_the_accounts_token() {
    let (api, _edge, mut peer) = started(Sdk::Wechatpy);
    let user = peer.call("login", &json!(["code1"])).unwrap();
    let again = peer.call("login_again", &json!([user["refresh_token"]])).unwrap();
    let (openid, token) = (&again["openid"], &again["access_token"]);
    let profile = peer.call("login_user", &json!([openid, token])).unwrap();
    assert_eq!((&profile["openid"], &profile["nickname"]), (openid, &json!("你好")));
    assert_eq!(peer.call("login_check", &json!([openid, token])).unwrap(), true);
    assert_secrets(&api, &["/sns/oauth2/access_token"]);
    assert_eq!(api.mistakes(), [""; 0]);

    let (api, _edge, mut peer) = started(Sdk::CoWechatApi);
    let user = peer.call("login", &json!(["code1"])).unwrap();
    assert!(user["openid"].as_str().unwrap().starts_with(canary::OPENID));
    assert_secrets(&api, &["/sns/jscode2session"]);
}

/// Of the calls of `/sns/`, these and no others carry the AppSecret, and none what the SDK has in its place.
fn assert_secrets(api: &Api, expected: &[&str]) {
    let requests = api.requests();
    let logins = requests.iter().filter(|request| request.path().starts_with("/sns/"));
    let with: BTreeSet<_> =
        logins.filter_map(|request| Some((request.path(), request.parameter("secret")?))).collect();
    let expected = expected.iter().map(|path| (*path, canary::SECRET.to_owned())).collect();
    assert_eq!(with, expected);
}
