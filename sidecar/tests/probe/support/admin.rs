//! The admin API of an edge: its answers as told, its key checked.

use super::site::{Site, answer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

pub(crate) const ECHOSTR: &str = "4375120948345356249";
pub(crate) const QUERY: &str = "signature=f464b24fc39322e44b38aa78f5edd27bd1441696&timestamp=1714036504&nonce=1514711492&echostr=4375120948345356249";

/// Answers by path.
type Answers = Arc<Mutex<BTreeMap<String, (u16, String)>>>;

/// An edge's admin listener.
pub(crate) struct Admin {
    pub(crate) address: SocketAddr,
    answers: Answers,
}

impl Admin {
    /// Of an edge with the account `main`, where all is well.
    pub(crate) async fn start() -> Admin {
        let answers = Answers::default();
        let known = answers.clone();
        let site = Site::start(None, move |head| {
            let path = head.split(' ').nth(1).unwrap();
            if !head.contains("authorization: Bearer key\r\n") {
                return Some(answer(401, "", r#"{"error":"authorization: Bearer <admin_key>"}"#));
            }
            let found = known.lock().unwrap().get(path).cloned();
            let (status, body) =
                found.unwrap_or((404, json!({"error": "no such account"}).to_string()));
            Some(answer(status, "", &body))
        })
        .await;
        let admin = Admin { address: site.address, answers };
        admin.says("/v1/status", 200, &status());
        let verification = json!({"query": QUERY, "echostr": ECHOSTR});
        admin.says("/v1/accounts/main/verification", 200, &verification);
        admin.writes("/metrics", "");
        admin
    }

    pub(crate) fn says(&self, path: &str, status: u16, body: &Value) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body.to_string()));
    }

    pub(crate) fn writes(&self, path: &str, body: &str) {
        self.answers.lock().unwrap().insert(path.to_owned(), (200, body.to_owned()));
    }
}

/// The status of an edge with the account `main`, where all is well.
pub(crate) fn status() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"), "started": 1, "ready": true,
        "store": {"writable": true}, "config": {"loaded": 1, "error": null}, "api_base": [],
        "accounts": [{
            "account": "main", "appid": "wx0123456789abcdef",
            "upstream": {"host": "builtin:echo", "circuit": "closed", "in_flight": 0},
            "source_ip": {"policy": "report", "listed": 0}, "credentials": [], "budgets": [],
        }],
    })
}
