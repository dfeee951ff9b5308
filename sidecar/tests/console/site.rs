//! A sidecar whose answers a test writes, with the console's real files.

use crate::browser;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use wxedge_sidecar::console::{ASSETS, POLICY};

/// What the page asked for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `GET /v1/console?lang=en`.
    pub(crate) what: String,
    pub(crate) authorization: Option<String>,
    pub(crate) admin_key: Option<String>,
    pub(crate) body: String,
    /// How often the same was asked for before.
    pub(crate) before: usize,
}

/// A status, and a body: JSON, or lines of an event stream.
pub(crate) type Answer = (u16, String);

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

struct Site {
    answer: Box<Script>,
    reader: String,
    asked: Mutex<Vec<Asked>>,
}

/// What became of a visit.
pub(crate) struct Visit {
    /// The page at the end.
    pub(crate) dom: String,
    /// What it asked for, apart from its files.
    pub(crate) asked: Vec<Asked>,
}

impl Visit {
    /// All that was asked for in these words.
    pub(crate) fn asked(&self, what: &str) -> Vec<&Asked> {
        self.asked.iter().filter(|asked| asked.what == what).collect()
    }

    /// Whether the page says so.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.dom.contains(text)
    }
}

/// Serves the console with these answers, and opens it in a browser with this reader.
pub(crate) fn visit(
    reader: &str,
    answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
) -> Visit {
    let site = Arc::new(Site {
        answer: Box::new(answer),
        reader: browser::script(reader),
        asked: Mutex::default(),
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().fallback(serve).with_state(site.clone());
    runtime.spawn(async { axum::serve(listener, router).await });
    let dom = browser::dom(&url);
    runtime.shutdown_background();
    assert!(!dom.contains("data-trouble="), "{}", dom.get(..400).unwrap_or(&dom));
    assert!(dom.contains(r#"data-done="yes""#), "the reader did not come to the end: {dom}");
    let asked = site.asked.lock().unwrap().clone();
    Visit { dom, asked }
}

async fn serve(State(site): State<Arc<Site>>, request: Request) -> Response {
    let name = request.uri().path().trim_start_matches('/').to_owned();
    let mut response = if name == "reader.js" {
        ([(header::CONTENT_TYPE, "text/javascript")], site.reader.clone()).into_response()
    } else if let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) {
        let bytes = String::from_utf8(asset.bytes.to_vec()).unwrap();
        let first = r#"<script type="module" src="/reader.js"></script><script "#;
        let bytes = bytes.replace("<script ", first);
        ([(header::CONTENT_TYPE, asset.content_type)], bytes).into_response()
    } else {
        api(&site, request).await
    };
    let policy = HeaderValue::from_static(POLICY);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

async fn api(site: &Site, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let text = |name: &str| Some(head.headers.get(name)?.to_str().unwrap().to_owned());
    let what = format!("{} {}", head.method, head.uri);
    let body = to_bytes(body, 1 << 16).await.unwrap();
    let asked = {
        let mut all = site.asked.lock().unwrap();
        let asked = Asked {
            before: all.iter().filter(|one| one.what == what).count(),
            authorization: text("authorization"),
            admin_key: text("x-wxedge-admin-key"),
            body: String::from_utf8(body.to_vec()).unwrap(),
            what,
        };
        all.push(asked.clone());
        asked
    };
    let (status, body) = (site.answer)(&asked);
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An edge that is well, with one account, and an hour of 60 callbacks a minute of which two failed.
pub(crate) fn well() -> Value {
    let mut late = vec![0; 60];
    late[58] = 2;
    json!({
        "version": "0.1.0", "language": "zh", "now": now(),
        "edge": {"up": true, "since": now() - 500, "version": "0.1.0", "started": now() - 7_300, "ready": true,
            "store": {"writable": true, "bytes": 1, "bytes_max": 100}, "config": {"loaded": 1, "error": null}},
        "accounts": [{"account": "main", "appid": "wx0123456789abcdef", "nickname": "示例咖啡", "mode": "safe",
            "path": "/wechat/main", "last_callback": now() - 5,
            "upstream": {"host": "127.0.0.1", "port": 3000, "deadline_ms": 2_500, "circuit": "closed", "in_flight": 0},
            "spool": {"pending": 0, "dead": 0, "oldest_s": 0}, "source_ip": {"policy": "report", "listed": 120},
            "credentials": [{"credential": "access_token", "state": "ok", "expires": now() + 5_430,
                "errcode": null, "action": null}],
            "budgets": [{"api": "/cgi-bin/user/get", "client": "crm", "used": 81_200, "limit": 100_000}],
            "markfail": "healthy"}],
        "api_base": [{"base": "https://api.weixin.qq.com", "up": true, "since": now() - 60}],
        "history": {"step_s": 60, "from": (now() / 60 - 59) * 60, "accounts": {"main": {
            "outcomes": {"replied": vec![60; 60], "fallback_deadline": late}, "slowest_ms": vec![40.5; 60]}}},
        "alerts": [], "silences": [],
        "probes": [{"account": "main", "probe": "echo", "target": "example.com", "ok": true, "took_ms": 58.0,
            "detail": null, "at": now() - 9}],
        "notify": [{"output": "wecom", "sent": 2_071, "failed": 0, "dropped": 0, "waiting": 0, "error": null}],
        "host": {"accept_queue": {"most": 4_096, "overflows": 182, "drops": 190, "overflows_grown": 31,
                "drops_grown": 32, "grown_over_s": 300},
            "files": {"open": 2_144, "most": null}, "edge_files": {"open": 312, "most": 65_536},
            "load": {"one": 1.2, "five": 0.9, "fifteen": 0.75, "cores": 4}, "disk": {"free": 3, "total": 4}}
    })
}

/// The answers of a sidecar that knows `known` and has heard `events`.
pub(crate) fn sidecar(asked: &Asked, known: &Value, events: &[(&str, Value)]) -> Answer {
    match asked.what.split('?').next().unwrap() {
        "GET /v1/console" => (200, known.to_string()),
        // Once: a stream that begins anew has only what is new.
        "GET /v1/tail" if asked.before == 0 => {
            let lines =
                events.iter().map(|(name, data)| format!("event: {name}\ndata: {data}\n\n"));
            (200, lines.collect())
        }
        "GET /v1/tail" => (200, ":\n\n".to_owned()),
        _ => (404, json!({"error": "no such page"}).to_string()),
    }
}
