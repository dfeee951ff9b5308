//! The real binary, with a configuration of its own, on ports of its own, ended by its id.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::app::App;
use crate::canary;
use crate::folder::Folder;
use crate::http::{self, Response};
use crate::metrics::Metrics;
use crate::process::{self, Lines, is_heard};
use crate::wechat::{Mode, Wechat};
use crate::{PATIENCE, eventually, eventually_some};

/// An account as the configuration has it.
#[derive(Debug, Clone)]
pub struct Account {
    name: String,
    appid: String,
    mode: Mode,
    secret: bool,
    tokens: Vec<String>,
    aes_keys: Vec<String>,
    url: String,
    lines: Vec<String>,
    upstream: Vec<String>,
}

impl Account {
    /// A safe account whose app is `builtin:echo`.
    #[must_use]
    pub fn named(name: &str) -> Account {
        Account {
            name: name.to_owned(),
            appid: format!("wx0123456789{name}"),
            mode: Mode::Safe,
            secret: true,
            tokens: vec![canary::TOKEN.to_owned()],
            aes_keys: vec![canary::AES_KEY.to_owned()],
            url: "builtin:echo".to_owned(),
            lines: Vec::new(),
            upstream: Vec::new(),
        }
    }

    /// In this mode.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Account {
        Account { mode, ..self }
    }

    /// With these Tokens, the first one current.
    #[must_use]
    pub fn tokens(self, tokens: &[&str]) -> Account {
        Account { tokens: owned(tokens), ..self }
    }

    /// With these EncodingAESKeys, the first one current.
    #[must_use]
    pub fn aes_keys(self, keys: &[&str]) -> Account {
        Account { aes_keys: owned(keys), ..self }
    }

    /// With the app at this URL.
    #[must_use]
    pub fn url(self, url: &str) -> Account {
        Account { url: url.to_owned(), ..self }
    }

    /// Without an AppSecret: it asks WeChat for nothing.
    #[must_use]
    pub fn without_secret(self) -> Account {
        Account { secret: false, ..self }
    }

    /// With one more line under `[accounts.<name>]`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Account {
        self.lines.push(line.to_owned());
        self
    }

    /// With one more line under `[accounts.<name>.upstream]`, in the place of one with the same key.
    #[must_use]
    pub fn upstream(mut self, line: &str) -> Account {
        let key = |line: &str| line.split('=').next().map(|key| key.trim().to_owned());
        self.upstream.retain(|other| key(other) != key(line));
        self.upstream.push(line.to_owned());
        self
    }

    fn render(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "[accounts.{}]\nappid = {:?}", self.name, self.appid)?;
        writeln!(text, "mode = \"{}\"", self.mode)?;
        if self.secret {
            writeln!(text, "secret = {:?}", canary::SECRET)?;
        }
        writeln!(text, "tokens = {:?}\nencoding_aes_keys = {:?}", self.tokens, self.aes_keys)?;
        self.lines.iter().try_for_each(|line| writeln!(text, "{line}"))?;
        writeln!(text, "[accounts.{}.upstream]\nurl = {:?}", self.name, self.url)?;
        if !self.upstream.iter().any(|line| line.starts_with("signing_secret")) {
            writeln!(text, "signing_secret = {:?}", canary::SIGNING_SECRET)?;
        }
        self.upstream.iter().try_for_each(|line| writeln!(text, "{line}"))
    }
}

/// What an edge is started with: one account called `main` unless told otherwise.
#[derive(Debug, Clone)]
pub struct Builder {
    program: String,
    prefix: Vec<String>,
    accounts: Vec<Account>,
    listen: Vec<String>,
    runtime: Vec<String>,
    wechat: Vec<String>,
    spool: Vec<String>,
    clients: Vec<(String, Vec<String>)>,
    more: Vec<String>,
    environment: Vec<(String, String)>,
    admin_key: bool,
    folder: Option<Arc<Folder>>,
    store: Option<PathBuf>,
    upgrade: bool,
}

impl Builder {
    /// For the program at this path: `env!("CARGO_BIN_EXE_wxedge")`.
    #[must_use]
    pub fn new(program: &str) -> Builder {
        Builder {
            program: program.to_owned(),
            prefix: Vec::new(),
            accounts: vec![Account::named("main")],
            listen: Vec::new(),
            runtime: Vec::new(),
            wechat: Vec::new(),
            spool: Vec::new(),
            clients: vec![("crm".to_owned(), Vec::new())],
            more: Vec::new(),
            environment: Vec::new(),
            admin_key: true,
            folder: None,
            store: None,
            upgrade: false,
        }
    }

    /// The account `main`, changed.
    #[must_use]
    pub fn main(mut self, change: impl FnOnce(Account) -> Account) -> Builder {
        let main = self.accounts.remove(0);
        self.accounts.insert(0, change(main));
        self
    }

    /// The account `main` in this mode.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Builder {
        self.main(|account| account.mode(mode))
    }

    /// The account `main` with this app.
    #[must_use]
    pub fn app(self, app: &App) -> Builder {
        self.url(&app.url())
    }

    /// The account `main` with the app at this URL.
    #[must_use]
    pub fn url(self, url: &str) -> Builder {
        self.main(|account| account.url(url))
    }

    /// One more line for the account `main`.
    #[must_use]
    pub fn line(self, line: &str) -> Builder {
        self.main(|account| account.line(line))
    }

    /// One more line for the app of the account `main`.
    #[must_use]
    pub fn upstream(self, line: &str) -> Builder {
        self.main(|account| account.upstream(line))
    }

    /// These accounts instead of `main`.
    #[must_use]
    pub fn accounts(self, accounts: impl IntoIterator<Item = Account>) -> Builder {
        Builder { accounts: accounts.into_iter().collect(), ..self }
    }

    /// One more account.
    #[must_use]
    pub fn and(mut self, account: Account) -> Builder {
        self.accounts.push(account);
        self
    }

    /// One more line under `[listen]`; `callback` and `admin` are free ports unless given.
    #[must_use]
    pub fn listen(mut self, line: &str) -> Builder {
        self.listen.push(line.to_owned());
        self
    }

    /// One more line under `[runtime]`.
    #[must_use]
    pub fn runtime(mut self, line: &str) -> Builder {
        self.runtime.push(line.to_owned());
        self
    }

    /// Calls of the API go to these, in order of preference.
    #[must_use]
    pub fn api_base(self, urls: &[&str]) -> Builder {
        self.wechat(&format!("api_base = {urls:?}"))
    }

    /// One more line under `[wechat]`.
    #[must_use]
    pub fn wechat(mut self, line: &str) -> Builder {
        self.wechat.push(line.to_owned());
        self
    }

    /// One more line under `[spool]`.
    #[must_use]
    pub fn spool(mut self, line: &str) -> Builder {
        self.spool.push(line.to_owned());
        self
    }

    /// A client of the API listener with these lines under `[clients.<name>]`. `key` and `accounts` are those of `crm`
    /// unless given: [`canary::CLIENT_KEY`] and the first account.
    #[must_use]
    pub fn client(mut self, name: &str, lines: &[&str]) -> Builder {
        self.clients.retain(|(other, _)| other != name);
        self.clients.push((name.to_owned(), owned(lines)));
        self
    }

    /// Without clients: anybody on this machine may use the API listener. There is one, `crm`, unless told.
    #[must_use]
    pub fn without_clients(self) -> Builder {
        Builder { clients: Vec::new(), ..self }
    }

    /// More tables, as they are.
    #[must_use]
    pub fn more(mut self, text: &str) -> Builder {
        self.more.push(text.to_owned());
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// By another program, which becomes this one: `["prlimit", "--nofile=64:"]`.
    #[must_use]
    pub fn under(self, prefix: &[&str]) -> Builder {
        Builder { prefix: owned(prefix), ..self }
    }

    /// Without a key on the admin listener: then its `Host` is looked at instead.
    #[must_use]
    pub fn without_admin_key(self) -> Builder {
        Builder { admin_key: false, ..self }
    }

    /// In this folder, where an edge before it kept its store.
    #[must_use]
    pub fn folder(self, folder: &Arc<Folder>) -> Builder {
        Builder { folder: Some(folder.clone()), ..self }
    }

    /// With `--upgrade`, in the folder of the edge that it takes over from.
    #[must_use]
    pub fn after(self, edge: &Edge) -> Builder {
        Builder { upgrade: true, ..self.folder(&edge.folder) }
    }

    /// With its store in this folder, not in the folder of the test.
    #[must_use]
    pub fn store(self, store: &Path) -> Builder {
        Builder { store: Some(store.to_owned()), ..self }
    }

    /// The configuration file's text, for an edge that keeps its store in `folder` unless told otherwise.
    ///
    /// # Panics
    /// Never: text can always be longer.
    #[must_use]
    pub fn render(&self, folder: &Folder) -> String {
        let path = folder.path().display();
        let mut text = String::from("[listen]\n");
        for key in ["callback", "api", "admin"] {
            if !self.listen.iter().any(|line| line.split('=').next().map(str::trim) == Some(key)) {
                text.push_str(&format!("{key} = \"127.0.0.1:0\"\n"));
            }
        }
        if self.admin_key {
            text.push_str(&format!("admin_key = {:?}\n", canary::ADMIN_KEY));
        }
        let lines =
            |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        text.push_str(&lines(&self.listen));
        text.push_str("[runtime]\n");
        if !self.runtime.iter().any(|line| line.starts_with("threads")) {
            text.push_str("threads = 2\n");
        }
        text.push_str(&lines(&self.runtime));
        text.push_str(&format!("upgrade_sock = \"{path}/upgrade.sock\"\n"));
        let store = self.store.clone().unwrap_or_else(|| folder.path().join("store"));
        text.push_str(&format!("[store]\nurl = \"embedded:{}\"\n", store.display()));
        text.push_str("[wechat]\n");
        if !self.wechat.iter().any(|line| line.starts_with("api_base")) {
            // Nobody is there: no test asks the real WeChat.
            text.push_str("api_base = [\"http://127.0.0.1:1\"]\n");
        }
        text.push_str(&lines(&self.wechat));
        if !self.spool.is_empty() {
            text.push_str(&format!("[spool]\n{}", lines(&self.spool)));
        }
        for account in &self.accounts {
            account.render(&mut text).expect("text");
        }
        for (name, own) in &self.clients {
            let is_given = |key: &str| own.iter().any(|line| line.starts_with(key));
            text.push_str(&format!("[clients.{name}]\n{}", lines(own)));
            if !is_given("key") {
                text.push_str(&format!("key = {:?}\n", canary::CLIENT_KEY));
            }
            if !is_given("accounts") {
                text.push_str(&format!("accounts = [{:?}]\n", self.accounts[0].name));
            }
        }
        text.push_str(&lines(&self.more));
        text
    }

    fn spawn(&self, folder: &Folder) -> Child {
        let config = folder.write("wxedge.toml", self.render(folder));
        let mut words = self.prefix.iter().chain([&self.program]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).args(["run", "--config"]).arg(config).current_dir(folder.path());
        command.args(self.upgrade.then_some("--upgrade"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program")
    }

    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    #[must_use]
    pub fn start(&self) -> Edge {
        let mut edge = self.begin();
        edge.await_start();
        edge
    }

    /// Starts it and does not wait: its addresses are not known yet.
    #[must_use]
    pub fn begin(&self) -> Edge {
        let folder = self.folder.clone().unwrap_or_default();
        let mut child = self.spawn(&folder);
        let stdout = Lines::collect(child.stdout.take().expect("a pipe"));
        let stderr = Lines::collect(child.stderr.take().expect("a pipe"));
        Edge {
            callback: SocketAddr::from(([0, 0, 0, 0], 0)),
            admin: SocketAddr::from(([0, 0, 0, 0], 0)),
            accounts: self.accounts.clone(),
            tls: self.listen.iter().any(|line| line.starts_with("callback_tls")),
            child,
            exit: None,
            stdout,
            stderr,
            folder,
        }
    }

    /// Starts it, waits until it has ended by itself, and returns its exit code and what it said.
    ///
    /// # Panics
    /// When it goes on.
    #[track_caller]
    #[must_use]
    pub fn fail(&self) -> (Option<i32>, String) {
        let folder = self.folder.clone().unwrap_or_default();
        let mut child = self.spawn(&folder);
        let stdout = Lines::collect(child.stdout.take().expect("a pipe"));
        let stderr = Lines::collect(child.stderr.take().expect("a pipe"));
        let begun = Instant::now();
        let exit = loop {
            match child.try_wait().expect("a child") {
                Some(exit) => break exit,
                None if begun.elapsed() > PATIENCE => {
                    child.kill().expect("a child to kill");
                    panic!("it should have ended: {}", stderr.text());
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let said = stdout.rest() + &stderr.rest();
        canary::search(&said).unwrap_or_else(|found| panic!("a secret in its output: {found}"));
        (exit.code(), said)
    }
}

/// A running edge.
///
/// Dropping it ends it and searches all that it said, on standard output, standard error, in `/metrics` and in
/// `/v1/status`, for [canaries](canary): one hit fails the test.
#[derive(Debug)]
pub struct Edge {
    /// Where WeChat calls.
    pub callback: SocketAddr,
    /// Where operators ask.
    pub admin: SocketAddr,
    accounts: Vec<Account>,
    tls: bool,
    child: Child,
    exit: Option<ExitStatus>,
    stdout: Lines,
    stderr: Lines,
    folder: Arc<Folder>,
}

impl Edge {
    #[track_caller]
    fn await_start(&mut self) {
        let (callback, admin) = eventually_some(PATIENCE, "the edge listens", || {
            if let Ok(Some(exit)) = self.child.try_wait() {
                panic!("it ended with {exit}: {}", self.stderr.rest());
            }
            Some((self.stderr.address("for WeChat")?, self.stderr.address("for you")?))
        });
        (self.callback, self.admin) = (callback, admin);
        let pid = self.child.id();
        eventually(PATIENCE, "the edge hears signals", || {
            [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].iter().all(|s| is_heard(pid, *s))
        });
        if !self.stderr.text().contains("for you     https:") {
            eventually(PATIENCE, "the edge is ready", || self.admin("/readyz").status == 200);
        }
    }

    /// WeChat, as it sends to the account `main`.
    #[must_use]
    pub fn wechat(&self) -> Wechat {
        self.wechat_of(&self.accounts[0].name)
    }

    /// WeChat, as it sends to an account.
    ///
    /// # Panics
    /// When there is no such account.
    #[must_use]
    pub fn wechat_of(&self, name: &str) -> Wechat {
        let account = self.accounts.iter().find(|account| account.name == name);
        let account = account.expect("an account of this edge");
        let scheme = if self.tls { "https" } else { "http" };
        Wechat::new(&format!("{scheme}://{}/wechat/{name}", self.callback))
            .mode(account.mode)
            .appid(&account.appid)
            .token(&account.tokens[0])
            .aes_key(&account.aes_keys[0])
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder, for an edge after it.
    #[must_use]
    pub fn folder(&self) -> Arc<Folder> {
        self.folder.clone()
    }

    /// Asks the admin listener, with the key.
    #[track_caller]
    #[must_use]
    pub fn admin(&self, target: &str) -> Response {
        self.operate("GET", target)
    }

    /// Tells the admin listener what to do, with the key.
    #[track_caller]
    pub fn operate(&self, method: &str, target: &str) -> Response {
        let key = format!("Bearer {}", canary::ADMIN_KEY);
        http::send(self.admin, method, target, &[("authorization", &key)], b"")
    }

    /// Where apps ask.
    ///
    /// # Panics
    /// When the edge does not say where that is.
    #[track_caller]
    #[must_use]
    pub fn api(&self) -> SocketAddr {
        eventually_some(PATIENCE, "the edge says where apps ask", || {
            self.stderr.address("for apps")
        })
    }

    /// `/v1/status`.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> Value {
        self.admin("/v1/status").json()
    }

    /// `/metrics`.
    #[track_caller]
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(self.admin("/metrics").text())
    }

    /// The sum of the series of `name` with these labels.
    ///
    /// # Panics
    /// When there is no such series.
    #[track_caller]
    #[must_use]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let count = self.metrics().sum(name, labels);
        count.unwrap_or_else(|| panic!("no series {name} {labels:?}"))
    }

    /// Waits until the series of `name` with these labels sum up to `expected`: a callback is counted after its
    /// answer went out.
    ///
    /// # Panics
    /// When they do not.
    #[track_caller]
    pub fn assert_count(&self, name: &str, labels: &[(&str, &str)], expected: f64) {
        let mut last = f64::NAN;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            last = self.count(name, labels);
            if last == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{name} {labels:?} is {last}, not {expected}");
    }

    /// Waits until the callbacks have ended as expected, these and no others.
    ///
    /// # Panics
    /// When they have not.
    #[track_caller]
    pub fn assert_outcomes(&self, expected: &[(&str, u64)]) {
        let name = "wxedge_callbacks_total";
        let mut seen = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            let metrics = self.metrics();
            seen = metrics
                .label_values(name, "outcome")
                .into_iter()
                .filter_map(|outcome| {
                    let count = metrics.sum(name, &[("outcome", &outcome)])? as u64;
                    (count > 0).then_some((outcome, count))
                })
                .collect();
            let mut expected: Vec<_> =
                expected.iter().map(|(o, n)| ((*o).to_owned(), *n)).collect();
            expected.sort();
            if seen == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("outcomes are {seen:?}, not {expected:?}; log: {:#?}", self.log());
    }

    /// The access log until now: a line a request.
    ///
    /// # Panics
    /// When a line is no JSON.
    #[must_use]
    pub fn log(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line.get("call").is_none()).collect()
    }

    /// The lines of this kind of call that the edge made by itself: `redelivery`, `late_call` or `late_reply`.
    ///
    /// # Panics
    /// When a line is no JSON.
    #[must_use]
    pub fn log_of(&self, call: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["call"] == call).collect()
    }

    fn lines(&self) -> Vec<Value> {
        let text = self.stdout.text();
        let json =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        text.lines().map(json).collect()
    }

    /// Waits for this many lines in the access log.
    ///
    /// # Panics
    /// When they do not come.
    #[track_caller]
    pub fn await_log(&self, lines: usize) -> Vec<Value> {
        eventually_some(PATIENCE, &format!("{lines} log lines"), || {
            let log = self.log();
            (log.len() >= lines).then_some(log)
        })
    }

    /// What it said on standard error until now.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until it has said this on standard error.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn await_stderr(&self, words: &str) {
        eventually(PATIENCE, &format!("{words:?} on standard error"), || {
            self.stderr().contains(words)
        });
    }

    /// Writes a new configuration into its file. It takes notice at SIGHUP.
    pub fn rewrite(&mut self, builder: &Builder) {
        self.rewrite_text(&builder.render(&self.folder));
        self.accounts.clone_from(&builder.accounts);
    }

    /// Writes any text into its configuration file.
    pub fn rewrite_text(&self, text: &str) {
        self.folder.write("wxedge.toml", text);
    }

    /// The program's other commands, with the same configuration: what they said and how they ended.
    ///
    /// # Panics
    /// When the program cannot be run.
    #[must_use]
    pub fn command(&self, program: &str, arguments: &[&str]) -> std::process::Output {
        let config = self.folder.path().join("wxedge.toml");
        let mut command = Command::new(program);
        let (name, rest) = arguments.split_first().expect("a command");
        command.arg(name).arg("--config").arg(config).args(rest).current_dir(self.folder.path());
        command.output().expect("the program")
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a running edge");
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it does not within `patience`.
    #[track_caller]
    pub fn await_exit(&mut self, patience: Duration) -> ExitStatus {
        if let Some(exit) = self.exit {
            return exit;
        }
        let exit =
            eventually_some(patience, "the edge ends", || self.child.try_wait().expect("a child"));
        self.exit = Some(exit);
        exit
    }

    /// Ends it without a warning, as a crash does.
    ///
    /// # Panics
    /// When it has ended by itself.
    #[track_caller]
    pub fn kill(&mut self) {
        assert!(self.is_running(), "it ended by itself: {}", self.stderr.rest());
        self.signal(Signal::SIGKILL);
        self.await_exit(PATIENCE);
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.exit.is_none() && matches!(self.child.try_wait(), Ok(None))
    }

    /// How much memory it has in use, in bytes.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("a running edge");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// All that it said, for the search.
    fn said(&mut self) -> String {
        let mut said = String::new();
        if self.is_running() {
            for target in ["/metrics", "/v1/status"] {
                let key = format!("Bearer {}", canary::ADMIN_KEY);
                let answer = http::Connection::open(self.admin, Duration::from_secs(2))
                    .ok()
                    .and_then(|mut admin| {
                        admin.request("GET", target, &[("authorization", &key)], b"").ok()?;
                        admin.response(Duration::from_secs(2)).ok()
                    });
                said.push_str(
                    &answer
                        .map(|a| String::from_utf8_lossy(&a.body).into_owned())
                        .unwrap_or_default(),
                );
                said.push('\n');
            }
            self.end();
        }
        said + &self.stdout.rest() + &self.stderr.rest()
    }

    /// Ends it, politely first.
    fn end(&mut self) {
        self.exit = process::end(&mut self.child);
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test has failed already; what the edge said may tell why.
            let said = self.said();
            let sample =
                |line: &&str| ["#", "wxedge_", "process_"].iter().any(|p| line.starts_with(p));
            let tail: Vec<&str> = said.lines().filter(|line| !sample(line)).collect();
            process::show("the edge", &tail[tail.len().saturating_sub(40)..]);
            return;
        }
        let said = self.said();
        if let Err(found) = canary::search(&said) {
            panic!("a secret in the edge's output: {found}");
        }
        assert!(!said.contains("ERROR panic"), "the edge panicked: {said}");
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_listener_is_configured_as_told() {
        let folder = Folder::new();
        let usual = Builder::new("wxedge").render(&folder);
        let key = canary::CLIENT_KEY;
        assert!(usual.contains(&format!("[clients.crm]\nkey = {key:?}\naccounts = [\"main\"]\n")));
        assert!(usual.contains("[wechat]\napi_base = [\"http://127.0.0.1:1\"]\n"));
        let told = Builder::new("wxedge")
            .api_base(&["http://127.0.0.1:1", "http://127.0.0.1:2"])
            .wechat("ca_file = \"ca.pem\"")
            .client("crm", &["keys = [\"a\", \"b\"]", "raw_token = true"])
            .client("shop", &["accounts = [\"other\"]"])
            .render(&folder);
        let wechat = "[wechat]\napi_base = [\"http://127.0.0.1:1\", \"http://127.0.0.1:2\"]\nca_file = \"ca.pem\"\n";
        assert!(told.contains(wechat), "{told}");
        let crm = "[clients.crm]\nkeys = [\"a\", \"b\"]\nraw_token = true\naccounts = [\"main\"]\n";
        let shop = format!("[clients.shop]\naccounts = [\"other\"]\nkey = {key:?}\n");
        assert!(told.contains(&format!("{crm}{shop}")), "{told}");
        assert!(!Builder::new("wxedge").without_clients().render(&folder).contains("[clients"));
    }
}
