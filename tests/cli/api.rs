//! The `fake-wechat-api` program, as programs in other languages drive it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use wxedge_tests::http;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fake-wechat-api");

/// Dropping it ends it.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start() -> Program {
        let accounts = ["--appid", "wx1", "--secret", "s1", "--appid", "wx2", "--secret", "s2"];
        let mut child =
            Command::new(PROGRAM).args(accounts).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("fake-wechat-api listens at http://").unwrap();
        Program { address: address.parse().unwrap(), child }
    }

    fn get(&self, target: &str) -> Value {
        http::get(self.address, target).json()
    }

    fn post(&self, target: &str, body: &Value) -> http::Response {
        http::send(self.address, "POST", target, &[], body.to_string().as_bytes())
    }

    fn stable_token(&self, appid: &str, secret: &str) -> String {
        let grant = "client_credential";
        let body = json!({"grant_type": grant, "appid": appid, "secret": secret});
        let answer = self.post("/cgi-bin/stable_token", &body).json();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// What comes of a call with this token.
    fn call(&self, token: &str) -> Value {
        self.get(&format!("/any?access_token={token}"))["errcode"].clone()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has no other end.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[test]
fn it_serves_its_accounts_and_is_driven_over_http() {
    let api = Program::start();
    let [one, other] = [("wx1", "s1"), ("wx2", "s2")].map(|(a, s)| api.stable_token(a, s));
    assert_eq!((api.call(&one), api.call(&other)), (json!(0), json!(0)));
    assert_eq!(api.post("/_fake/kill_token?appid=wx1", &json!({})).status, 200);
    assert_eq!((api.call(&one), api.call(&other)), (json!(40001), json!(0)));
    let one = api.stable_token("wx1", "s1");
    assert_eq!(api.call(&one), 0);
    let _done = api.post("/_fake/kill_token_same?appid=wx1", &json!({}));
    assert_eq!((api.call(&one), api.stable_token("wx1", "s1")), (json!(40001), one));
    assert_eq!(api.call(&format!("{other}&access_token=x")), 0);
    let expected = json!({
        "token": 0,
        "stable": 4,
        "forced": 0,
        "mistakes": ["2 access_token parameters to /any"],
    });
    assert_eq!(api.get("/_fake/fetches"), expected);
    let requests = api.get("/_fake/requests");
    assert_eq!(requests.as_array().unwrap().len(), 11, "its own endpoints do not count");
    assert_eq!(
        requests[2]["target"].as_str().unwrap().split('=').next(),
        Some("/any?access_token")
    );
    let asked: Value = serde_json::from_str(requests[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(asked["appid"], "wx1");

    let _done = api.post("/_fake/always_40001?path=/any", &json!({}));
    assert_eq!(api.call(&other), 40001);
    let _done = api.post("/_fake/reset", &json!({}));
    assert_eq!(api.get("/_fake/requests"), json!([]));
    assert_eq!(api.call(&other), 0, "tokens stay");
    let _done = api.post("/_fake/clock?advance_s=7200", &json!({}));
    assert_eq!(api.call(&other), 42001);
}

#[test]
fn it_says_what_it_does_not_understand() {
    let api = Program::start();
    for (target, status) in [
        ("/_fake/nothing", 404),
        ("/_fake/requests", 404),
        ("/_fake/kill_token", 400),
        ("/_fake/kill_token?appid=wx9", 400),
        ("/_fake/clock?advance_s=soon", 400),
    ] {
        let answer = api.post(target, &json!({}));
        assert_eq!(answer.status, status, "{target}");
        assert!(answer.json()["error"].is_string());
    }
    for arguments in
        [&[][..], &["--appid", "a"], &["--appid", "a", "--appid", "b", "--secret", "s"]]
    {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
    let taken = api.address.to_string();
    let arguments = ["--listen", &taken, "--appid", "a", "--secret", "s"];
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
