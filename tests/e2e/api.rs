//! What the modules of the API path share: an edge in front of fake APIs, and calls of the client `crm`.

use std::ops::Deref;
use std::time::Duration;

use serde_json::Value;
use wxedge_tests::canary;
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::folder::Folder;
use wxedge_tests::http::{self, Connection, Response};
use wxedge_tests::wechat_api::{self, Api, MAIN};
use wxedge_tests::{PATIENCE, eventually, eventually_some};

use crate::edge;

/// For what the edge does once a second, or again after a pause.
pub(crate) const LONG: Duration = Duration::from_secs(40);

/// A fake API that nobody may make a mistake at: at its end none must have been made.
#[derive(Debug)]
pub(crate) struct Wechat(pub(crate) Api);

impl Wechat {
    /// With the account `main`.
    pub(crate) fn start() -> Wechat {
        Wechat(Api::start())
    }

    /// With the accounts `main` and `other`.
    pub(crate) fn with_other() -> Wechat {
        let wechat = Wechat::start();
        wechat.account(OTHER, canary::SECRET);
        wechat
    }

    /// Another address of the same one.
    pub(crate) fn beside(&self) -> Wechat {
        Wechat(wechat_api::Builder::new().beside(self).start().unwrap())
    }

    /// The only request with this path.
    #[track_caller]
    pub(crate) fn only(&self, path: &str) -> wechat_api::Request {
        let mut requests = self.requests_to(path);
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.remove(0)
    }

    /// The token of `main` that is current.
    pub(crate) fn main_token(&self) -> String {
        self.token(MAIN)
    }
}

impl Deref for Wechat {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.0
    }
}

impl Drop for Wechat {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.mistakes(), Vec::<String>::new());
        }
    }
}

/// The AppID of the account `other`.
pub(crate) const OTHER: &str = "wx0123456789other";

/// An edge in front of `wechat`; `crm` may call everything.
pub(crate) fn before(wechat: &Api) -> Builder {
    before_all(&[wechat])
}

/// An edge in front of several addresses of WeChat's, in order of preference.
pub(crate) fn before_all(wechats: &[&Api]) -> Builder {
    let urls: Vec<_> = wechats.iter().map(|wechat| wechat.url()).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    edge().api_base(&urls).client("crm", &["allow = [\"/**\"]", "rate_per_second = 1000000"])
}

/// What every call of a client carries.
pub(crate) fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// A call of `crm`.
#[track_caller]
pub(crate) fn call(
    edge: &Edge,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let key = bearer(canary::CLIENT_KEY);
    let mut all = vec![("authorization", key.as_str())];
    all.extend_from_slice(headers);
    http::send(edge.api(), method, target, &all, body)
}

/// A GET of `crm`.
#[track_caller]
pub(crate) fn get(edge: &Edge, target: &str) -> Response {
    call(edge, "GET", target, &[], b"")
}

/// A POST of `crm` with JSON.
#[track_caller]
pub(crate) fn post(edge: &Edge, target: &str, body: &Value) -> Response {
    let json = ("content-type", "application/json");
    call(edge, "POST", target, &[json], body.to_string().as_bytes())
}

/// A connection of `crm` on which `head` has been sent; lines end in CR LF, the key is put in.
pub(crate) fn begin(edge: &Edge, head: &str) -> Connection {
    let mut connection = Connection::to(edge.api());
    let key = bearer(canary::CLIENT_KEY);
    connection
        .send(format!("{head}\r\nhost: {}\r\nauthorization: {key}\r\n\r\n", edge.api()))
        .unwrap();
    connection
}

/// Makes a first call, and waits until the edge has asked what it asks of its own: a token that is killed now is met by the
/// calls of the test.
#[track_caller]
pub(crate) fn settle(edge: &Edge, wechat: &Wechat) {
    assert_ok(&get(edge, "/main/cgi-bin/user/get"));
    let accounts = edge.status()["accounts"].as_array().unwrap().len() as u64;
    eventually(PATIENCE, "the lists of addresses", || {
        wechat.count("/cgi-bin/getcallbackip") == accounts
    });
}

/// An answer without an error of WeChat's or the edge's.
#[track_caller]
pub(crate) fn assert_ok(response: &Response) {
    let said = String::from_utf8_lossy(&response.body[..response.body.len().min(300)]);
    assert_eq!(response.status, 200, "{said}");
    let errcode = serde_json::from_slice::<Value>(&response.body).ok();
    let errcode = errcode.and_then(|object| object["errcode"].as_i64()).unwrap_or(0);
    assert_eq!(errcode, 0, "{said}");
}

/// An answer of the edge's own, with this status and the code that belongs to it.
#[track_caller]
pub(crate) fn assert_refused(response: &Response, status: u16) {
    assert_own(response, status, -9000 - i64::from(status));
}

/// An answer of the edge's own.
#[track_caller]
pub(crate) fn assert_own(response: &Response, status: u16, errcode: i64) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"));
    let object = response.json();
    let mut fields: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["errcode", "errmsg", "rid"]);
    assert_eq!(object["errcode"], errcode, "{object}");
    assert!(object["errmsg"].as_str().unwrap().starts_with("wxedge: "), "{object}");
    let rid = object["rid"].as_str().unwrap();
    assert!(rid.len() == 32 && rid.bytes().all(|byte| byte.is_ascii_hexdigit()), "{rid}");
}

/// Waits until the calls have ended with these results and no others.
#[track_caller]
pub(crate) fn assert_results(edge: &Edge, expected: &[(&str, u64)]) {
    let name = "wxedge_api_requests_total";
    let mut expected: Vec<_> = expected.iter().map(|(r, n)| ((*r).to_owned(), *n)).collect();
    expected.sort();
    let mut seen = Vec::new();
    let what = format!("the results {expected:?}");
    eventually(Duration::from_secs(10), &what, || {
        let metrics = edge.metrics();
        let count = |result: String| {
            let count = metrics.sum(name, &[("result", &result)])? as u64;
            (count > 0).then_some((result, count))
        };
        seen = metrics.label_values(name, "result").into_iter().filter_map(count).collect();
        seen == expected
    });
}

/// A credential in the status.
pub(crate) fn credential(edge: &Edge, name: &str) -> Value {
    let status = edge.status();
    let all = status["accounts"][0]["credentials"].as_array().unwrap();
    all.iter().find(|one| one["credential"] == name).unwrap().clone()
}

/// Asks the admin listener to do something.
#[track_caller]
pub(crate) fn admin_post(edge: &Edge, target: &str, body: &[u8]) -> Response {
    let key = bearer(canary::ADMIN_KEY);
    http::send(edge.admin, "POST", target, &[("authorization", &key)], body)
}

/// Waits for the access log's line that `fits`.
#[track_caller]
pub(crate) fn await_line(edge: &Edge, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually_some(Duration::from_secs(10), what, || edge.log().into_iter().find(&fits))
}

/// Waits until the store has this number for a query: what was said is on disk a moment later.
#[track_caller]
pub(crate) fn await_disk(folder: &Folder, sql: &str, number: i64) {
    let file = folder.path().join("store/wxedge.db");
    let ask = || {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let store = rusqlite::Connection::open_with_flags(&file, flags).ok()?;
        store.query_row(sql, (), |row| row.get::<_, i64>(0)).ok()
    };
    // It may be busy for a moment, too.
    eventually(PATIENCE, sql, || ask() == Some(number));
}
