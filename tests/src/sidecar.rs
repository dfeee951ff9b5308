//! The real `wxedge-sidecar`, beside an edge of the test, ended by its id.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::canary;
use crate::edge::Edge;
use crate::folder::Folder;
use crate::http::{self, Response};
use crate::metrics::Metrics;
use crate::process::{self, Lines, is_heard};
use crate::{PATIENCE, eventually, eventually_some};

/// What a sidecar is started with.
#[derive(Debug, Clone)]
pub struct Builder {
    program: String,
    admin: SocketAddr,
    lines: Vec<(String, String)>,
    left_out: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    folder: Option<Arc<Folder>>,
}

impl Builder {
    /// For the program at this path, beside the edge whose admin listener is there. It looks from outside once a second, and
    /// asks no resolver but the system's, unless told otherwise.
    #[must_use]
    pub fn new(program: &str, admin: SocketAddr) -> Builder {
        let builder = Builder {
            program: program.to_owned(),
            admin,
            lines: Vec::new(),
            left_out: Vec::new(),
            environment: Vec::new(),
            folder: None,
        };
        builder.line("probe", "interval_s = 1").line("probe", "dns_resolvers = []")
    }

    /// One more line in a table; `""` is the one without a name. It replaces one with the same key.
    #[must_use]
    pub fn line(mut self, table: &str, line: &str) -> Builder {
        let key = |line: &str| line.split('=').next().map(|key| key.trim().to_owned());
        self.lines.retain(|(other, known)| other != table || key(known) != key(line));
        self.lines.push((table.to_owned(), line.to_owned()));
        self
    }

    /// Without a line that it would have.
    #[must_use]
    pub fn without(mut self, table: &str, key: &str) -> Builder {
        self.left_out.push((table.to_owned(), key.to_owned()));
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In this folder, where a sidecar before it kept its state.
    #[must_use]
    pub fn folder(self, folder: &Arc<Folder>) -> Builder {
        Builder { folder: Some(folder.clone()), ..self }
    }

    /// The configuration file's text.
    #[must_use]
    pub fn render(&self, folder: &Folder) -> String {
        let mut builder = self.clone();
        for (table, line) in [
            ("", "listen = \"127.0.0.1:0\"".to_owned()),
            ("", format!("data = {:?}", folder.path().join("sidecar"))),
            ("edge", format!("admin = \"http://{}\"", self.admin)),
            ("edge", format!("key = {:?}", canary::ADMIN_KEY)),
        ] {
            let key = line.split('=').next().map(str::trim).unwrap_or_default().to_owned();
            let is_told = |(other, known): &(String, String)| {
                other == table && known.split('=').next().map(str::trim) == Some(&key)
            };
            let is_left_out = self.left_out.contains(&(table.to_owned(), key.clone()));
            if !is_left_out && !self.lines.iter().any(is_told) {
                builder = builder.line(table, &line);
            }
        }
        let mut tables: Vec<&str> = builder.lines.iter().map(|(table, _)| table.as_str()).collect();
        tables.sort_unstable();
        tables.dedup();
        let mut text = String::new();
        for table in tables {
            if !table.is_empty() {
                text.push_str(&format!("[{table}]\n"));
            }
            let own = builder.lines.iter().filter(|(other, _)| other == table);
            own.for_each(|(_, line)| text.push_str(&format!("{line}\n")));
        }
        text
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    #[must_use]
    pub fn start(&self) -> Sidecar {
        let folder = self.folder.clone().unwrap_or_default();
        let config = folder.write("sidecar.toml", self.render(&folder));
        let mut child = self
            .command("run", &config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let stdout = Lines::collect(child.stdout.take().expect("a pipe"));
        let stderr = Lines::collect(child.stderr.take().expect("a pipe"));
        let mut address: SocketAddr = eventually_some(PATIENCE, "the sidecar listens", || {
            if let Ok(Some(exit)) = child.try_wait() {
                panic!("it ended with {exit}: {}", stderr.rest());
            }
            stdout.address("wxedge-sidecar listens on")
        });
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        let pid = child.id();
        eventually(PATIENCE, "the sidecar hears signals", || is_heard(pid, Signal::SIGHUP));
        Sidecar { address, child, exit: None, stdout, stderr, folder }
    }

    /// Runs `check`; gives its exit code and what it said.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn check(&self) -> (Option<i32>, String) {
        let folder = self.folder.clone().unwrap_or_default();
        let config = folder.write("check.toml", self.render(&folder));
        let output = self.command("check", &config).output().expect("the program");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        canary::search(&said).unwrap_or_else(|found| panic!("a secret in its output: {found}"));
        (output.status.code(), said)
    }

    fn command(&self, what: &str, config: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args([what, "--config"]).arg(config);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running sidecar. Dropping it ends it and searches all that it said, and shows, for [canaries](canary).
#[derive(Debug)]
pub struct Sidecar {
    /// Where its pages are.
    pub address: SocketAddr,
    child: Child,
    exit: Option<ExitStatus>,
    stdout: Lines,
    stderr: Lines,
    folder: Arc<Folder>,
}

impl Sidecar {
    /// Asks for a page.
    #[track_caller]
    #[must_use]
    pub fn get(&self, target: &str) -> Response {
        http::get(self.address, target)
    }

    /// Its alerts.
    #[track_caller]
    #[must_use]
    pub fn alerts(&self) -> Vec<Value> {
        self.get("/alerts").json().as_array().expect("a list").clone()
    }

    /// The names of those that fire.
    #[track_caller]
    #[must_use]
    pub fn firing(&self) -> Vec<String> {
        let alerts = self.alerts();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["alert"].to_string()).collect()
    }

    /// Waits until this output has taken so many messages.
    ///
    /// # Panics
    /// When it has not.
    #[track_caller]
    pub fn await_sent(&self, output: &str, messages: u32) {
        eventually(PATIENCE, "the messages are sent", || {
            let sent = [("output", output), ("result", "sent")];
            self.metrics().sum("wxedge_notifications_total", &sent) == Some(messages.into())
        });
    }

    /// The alert of this name, once it is in this state.
    ///
    /// # Panics
    /// When it is not within `patience`.
    #[track_caller]
    pub fn await_alert(&self, name: &str, state: &str, patience: Duration) -> Value {
        eventually_some(patience, &format!("{name} is {state}"), || {
            let found = |alert: &Value| alert["alert"] == name && alert["state"] == state;
            self.alerts().into_iter().find(found)
        })
    }

    /// Its metrics and the edge's.
    #[track_caller]
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(self.get("/metrics").text())
    }

    /// Waits until it reads the event stream of this edge.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn await_stream(&self, edge: &Edge) {
        eventually(PATIENCE, "the sidecar reads the event stream and knows the accounts", || {
            let heard = edge.count("wxedge_connections", &[("listener", "admin")]) >= 2.0;
            let console = self.get("/v1/console").json();
            heard && console["accounts"].as_array().is_some_and(|accounts| !accounts.is_empty())
        });
    }

    /// Waits until it has heard of as many callbacks as the edge has counted, and of `callbacks` at least.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn await_count(&self, edge: &Edge, callbacks: u64) {
        let outcomes = |console: &Value| -> u64 {
            let accounts = console["history"]["accounts"].as_object().into_iter().flatten();
            let outcomes =
                accounts.flat_map(|(_, of)| of["outcomes"].as_object().into_iter().flatten());
            let minutes =
                outcomes.flat_map(|(_, minutes)| minutes.as_array().into_iter().flatten());
            minutes.filter_map(Value::as_u64).sum()
        };
        eventually(PATIENCE, "the sidecar has heard of all callbacks", || {
            let heard = outcomes(&self.get("/v1/console").json());
            heard >= callbacks && heard as f64 >= edge.count("wxedge_callbacks_total", &[])
        });
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("a running sidecar");
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder, for a sidecar after it.
    #[must_use]
    pub fn folder(&self) -> Arc<Folder> {
        self.folder.clone()
    }

    /// What it said on standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Writes another configuration over its file.
    pub fn rewrite(&self, builder: &Builder) {
        self.rewrite_text(&builder.render(&self.folder));
    }

    /// Writes another text over its file.
    pub fn rewrite_text(&self, text: &str) {
        self.folder.write("sidecar.toml", text);
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        self.exit = self.child.wait().ok();
    }

    /// Ends it politely, and says how it ended.
    #[must_use]
    pub fn stop(mut self) -> Option<ExitStatus> {
        self.signal(Signal::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(Some(exit)) = self.child.try_wait() {
                self.exit = Some(exit);
                return self.exit;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    fn said(&mut self) -> String {
        let mut said = String::new();
        if self.exit.is_none() && matches!(self.child.try_wait(), Ok(None)) {
            for target in ["/metrics", "/alerts", "/v1/console"] {
                let answer = http::Connection::open(self.address, Duration::from_secs(2))
                    .ok()
                    .and_then(|mut page| {
                        page.request("GET", target, &[], b"").ok()?;
                        page.response(Duration::from_secs(4)).ok()
                    });
                let body = answer.map(|answer| answer.body).unwrap_or_default();
                said.push_str(&String::from_utf8_lossy(&body));
                said.push('\n');
            }
            self.exit = process::end(&mut self.child);
        }
        said + &self.stdout.rest() + &self.stderr.rest()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let said = self.said();
        if std::thread::panicking() {
            let sample =
                |line: &&str| ["#", "wxedge_", "process_"].iter().any(|p| line.starts_with(p));
            let lines: Vec<&str> = said.lines().filter(|line| !sample(line)).collect();
            process::show("the sidecar", &lines[lines.len().saturating_sub(20)..]);
            return;
        }
        if let Err(found) = canary::search(&said) {
            panic!("a secret in the sidecar's output: {found}");
        }
        assert!(!said.contains("panicked"), "the sidecar panicked: {said}");
    }
}
