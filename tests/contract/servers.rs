//! A real Prometheus and a real Alertmanager with the files of `dashboards/`, on ports of their own, ended by their ids.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use wxedge_tests::folder::Folder;
use wxedge_tests::http;
use wxedge_tests::port::Port;
use wxedge_tests::{PATIENCE, eventually};

use crate::file;

/// The edge, beside the sidecar in the target folder.
///
/// # Panics
/// When it is not built.
pub(crate) fn edge_program() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_wxedge-sidecar")).with_file_name("wxedge");
    assert!(program.exists(), "{} is missing: cargo build --package wxedge", program.display());
    program
}

/// What Prometheus is to scrape: the edge, or a sidecar with the edge's metrics in its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// Where `/metrics` is.
    pub(crate) address: SocketAddr,
    /// Its key, if it has one.
    pub(crate) key: Option<&'a str>,
}

/// A process with a port and a folder.
#[derive(Debug)]
struct Server {
    child: Child,
    port: Port,
    folder: Folder,
}

impl Server {
    fn start(program: &str, folder: Folder, arguments: &[&str]) -> Server {
        let port = Port::reserve();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(format!("--web.listen-address={}", port.address))
            .current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(std::fs::File::create(folder.path().join("log")).unwrap());
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("{program}: {error}; apt-get install prometheus prometheus-alertmanager")
        });
        let mut server = Server { child, port, folder };
        eventually(PATIENCE, &format!("{program} is ready"), || {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "{program} ended: {}", server.log());
            let connection = http::Connection::open(server.port.address, PATIENCE);
            connection.is_ok_and(|mut connection| {
                connection.request("GET", "/-/ready", &[], b"").is_ok()
                    && connection.response(PATIENCE).is_ok_and(|answer| answer.status == 200)
            })
        });
        server
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _code = self.child.wait();
    }
}

/// Replaces words that have to be there.
fn replace(text: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(text.to_owned(), |text, (given, here)| {
        assert!(text.contains(given), "{given}");
        text.replace(given, here)
    })
}

/// Prometheus with `prometheus.yml` and `wxedge.rules.yml`.
#[derive(Debug)]
pub(crate) struct Prometheus(Server);

impl Prometheus {
    /// It scrapes and evaluates every second, a range of 5 minutes is one of 10 seconds, and whatever has to hold for
    /// some time has to for 1 second.
    pub(crate) fn start(target: Target<'_>, alertmanager: &Alertmanager) -> Prometheus {
        let folder = Folder::new();
        let rules: String = file("dashboards/wxedge.rules.yml")
            .lines()
            .map(|line| match line.trim_start().split_once(": ") {
                Some((key @ ("for" | "keep_firing_for"), _)) => format!("        {key}: 1s\n"),
                _ => line.replace("[5m]", "[10s]") + "\n",
            })
            .collect();
        folder.write("wxedge.rules.yml", rules);
        let mut config = file("dashboards/prometheus.yml");
        if let Some(key) = target.key {
            folder.write("key", key);
            let given = "#authorization: { credentials_file: /etc/prometheus/wxedge-sidecar.key }";
            config = replace(&config, &[(given, "authorization: { credentials_file: key }")]);
        }
        let (address, told) = (target.address.to_string(), alertmanager.address().to_string());
        let here = [(": 15s", ": 1s"), ("127.0.0.1:8090", &address), ("127.0.0.1:9093", &told)];
        let config = replace(&config, &here);
        folder.write("prometheus.yml", config);
        Prometheus(Server::start(
            "prometheus",
            folder,
            &["--config.file=prometheus.yml", "--storage.tsdb.path=data"],
        ))
    }

    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let answer = http::get(self.0.port.address, &format!("{path}?{query}")).json();
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        answer["data"].clone()
    }

    /// The series that an expression has now.
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        self.get("/api/v1/query", &[("query", expression)])["result"].as_array().unwrap().clone()
    }

    /// All rules, with their health.
    pub(crate) fn rules(&self) -> Vec<Value> {
        let groups = self.get("/api/v1/rules", &[])["groups"].as_array().unwrap().clone();
        groups.into_iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    /// The names of the alerts that fire.
    pub(crate) fn firing(&self) -> Vec<String> {
        let firing = self.query("group by (alertname) (ALERTS{alertstate=\"firing\"})");
        let mut names: Vec<_> = firing
            .iter()
            .map(|alert| alert["metric"]["alertname"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }
}

/// Alertmanager with `alertmanager.yml`.
#[derive(Debug)]
pub(crate) struct Alertmanager(Server);

impl Alertmanager {
    /// It tells `receiver`, at `/page` and `/ticket`, after a second.
    pub(crate) fn start(receiver: SocketAddr) -> Alertmanager {
        let config = replace(
            &file("dashboards/alertmanager.yml"),
            &[
                ("127.0.0.1:9095", &receiver.to_string()),
                ("group_wait: 15s", "group_wait: 1s"),
                ("group_interval: 5m", "group_interval: 1s"),
            ],
        );
        let folder = Folder::new();
        folder.write("alertmanager.yml", config);
        let arguments =
            ["--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address="];
        Alertmanager(Server::start("prometheus-alertmanager", folder, &arguments))
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.port.address
    }

    /// What it knows of an alert.
    pub(crate) fn alert(&self, name: &str) -> Option<Value> {
        let all = http::get(self.address(), "/api/v2/alerts").json();
        all.as_array().unwrap().iter().find(|alert| alert["labels"]["alertname"] == *name).cloned()
    }

    /// Tells it of an alert as the sidecar does.
    pub(crate) fn tell(&self, name: &str, severity: &str, account: &str) {
        let labels = json!({
            "alertname": name, "severity": severity, "account": account, "appid": "wx1",
            "source": "wxedge-sidecar",
        });
        let body = json!([{"labels": labels}]).to_string();
        let headers = [("content-type", "application/json")];
        let answer =
            http::send(self.address(), "POST", "/api/v2/alerts", &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}
