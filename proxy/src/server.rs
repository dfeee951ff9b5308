//! The wiring: what is started in which order, and how it ends.

mod listeners;
mod signals;

use crate::admin::Admin;
use crate::api::Api;
use crate::config::{Config, Tls};
use crate::edge::Edge;
use crate::limits;
use crate::phase::{self, Phase};
use crate::process_log;
use crate::summary::Summaries;
use crate::upgrade::{self, Inherited, Takeover};
use async_trait::async_trait;
use listeners::{Certificates, Listeners};
use nix::sys::prctl::set_thp_disable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownWatch};
use pingora::services::background::{BackgroundService, background_service};
use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;
use serde_json::json;
use signals::{Signals, Start};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The store was found damaged while it was in use.
const EXIT_DAMAGED: u8 = 3;

/// `wxedge run`: serves until it is told to stop. Exit 2 is a configuration that cannot be used, 1 a start that
/// failed for another reason, a refused takeover among them. Exit 3 asks for another start, which mends the store.
pub fn run(path: &Path, upgrade: bool) -> ExitCode {
    if let Err(error) = process_log::start() {
        process_log::say(&format!("wxedge cannot start: {error}"));
        return ExitCode::FAILURE;
    }
    let config = match Config::load(path, &environment()) {
        Ok(config) => config,
        Err(issues) => {
            process_log::say(&format!("{}:\n{issues}", path.display()));
            return ExitCode::from(2);
        }
    };
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    raise_file_descriptor_limit(file_descriptors(&config));
    // Callbacks that wait are many small allocations; huge pages would make each cost several times its size.
    if let Err(error) = set_thp_disable(true) {
        log::warn!(
            "transparent huge pages stay on, waiting callbacks will take more memory: {error}"
        );
    }
    match start(path, config, upgrade) {
        Ok((server, signals, edge)) => {
            let (refused, damaged) = (signals.refused.clone(), signals.damaged.clone());
            server.run(RunArgs { shutdown_signal: Box::new(signals) });
            close(&edge);
            edge.log.flush();
            process_log::flush();
            if damaged.load(Ordering::Relaxed) {
                ExitCode::from(EXIT_DAMAGED)
            } else if refused.load(Ordering::Relaxed) {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            process_log::say(&format!("wxedge cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes down what is only in memory, and closes the store. Pingora's runtimes are gone by now.
fn close(edge: &Edge) {
    if let Err(error) = block_on(edge.flush()) {
        log::error!("the last counts are lost: {error}");
    }
    edge.store.close();
}

/// Outside of Pingora's runtimes.
fn block_on<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}

/// The environment as the configuration reads it.
pub fn environment() -> BTreeMap<String, String> {
    // A variable that is no text is none of ours.
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

type StartError = Box<dyn std::error::Error>;

fn start(
    path: &Path,
    config: Config,
    upgrade: bool,
) -> Result<(Server, Signals, Arc<Edge>), StartError> {
    let registry = Registry::new();
    registry.register(Box::new(ProcessCollector::for_self()))?;
    let (takeover, mut inherited) =
        if upgrade { begin_takeover(&config)? } else { (None, Inherited::default()) };
    let open = if takeover.is_some() { Edge::join } else { Edge::open };
    let edge = Arc::new(open(config, registry)?);
    process_log::count_panics(edge.metrics.panics.clone());

    let config = edge.config();
    let (phase, phases) = phase::channel(Phase::Waiting);
    // Operators can ask until the end: a load balancer wants to hear that the edge is not ready any more.
    let (admin_phase, admin_phases) = phase::channel(Phase::Waiting);
    let ready = Arc::new(AtomicBool::new(false));
    let admin = Arc::new(Admin::new(edge.clone(), ready.clone()));
    let api = Arc::new(Api::new(edge.clone()));
    let mut making =
        Listeners { edge: &edge, inherited: &mut inherited, certificates: Certificates::default() };
    let callback = making.listener("callback", edge.clone(), &phases)?;
    let api_listener = making.listener("api", api, &phases)?;
    let admin_listener = making.listener("admin", admin.clone(), &admin_phases)?;
    let certificates = making.certificates;
    for address in inherited.rest() {
        log::warn!(
            "no listener is at {address} any more: it closes with the process before this one"
        );
    }
    drop(inherited);
    let sockets = vec![callback.share()?, api_listener.share()?, admin_listener.share()?];
    let addresses = [callback.address(), api_listener.address(), admin_listener.address()];
    announce(path, &config, addresses);

    let mut conf = ServerConf {
        threads: config.runtime.threads,
        pid_file: config.store.dir.join("pid").display().to_string(),
        ..ServerConf::default()
    };
    // Draining is ours: it ends when the last callback does, not after a fixed time.
    conf.grace_period_seconds = Some(0);
    conf.graceful_shutdown_timeout_seconds = Some(0);
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.add_service(callback);
    server.add_service(api_listener);
    server.add_service(admin_listener);
    let upkeep = Upkeep {
        path: path.to_owned(),
        started: config.clone(),
        edge: edge.clone(),
        admin,
        certificates,
        ready,
    };
    server.add_service(background_service("upkeep", upkeep));
    let signals = Signals {
        edge: edge.clone(),
        grace: config.runtime.grace,
        phase,
        admin_phase,
        start: Mutex::new(Some(Start { takeover, sockets })),
        refused: Arc::default(),
        damaged: Arc::default(),
    };
    Ok((server, signals, edge))
}

/// Asks the running process for its sockets. Without one this is a start like any other, so that a service manager can
/// always say `--upgrade`.
fn begin_takeover(config: &Config) -> Result<(Option<Takeover>, Inherited), StartError> {
    let path = &config.runtime.upgrade_sock;
    match block_on(upgrade::begin(path))? {
        Ok(Some((takeover, inherited))) => Ok((Some(takeover), inherited)),
        Ok(None) => {
            log::info!("nobody is at {}: starting without taking over", path.display());
            Ok((None, Inherited::default()))
        }
        Err(error) => Err(format!("runtime.upgrade_sock = {}: {error}", path.display()).into()),
    }
}

/// Tells a person where things are, and what to try.
fn announce(path: &Path, config: &Config, [callback, api, admin]: [SocketAddr; 3]) {
    let scheme = |tls: &Option<Tls>| if tls.is_some() { "https" } else { "http" };
    let mut text = format!(
        "wxedge {} listens\n  for WeChat  {}://{callback}\n  for apps    {}://{api}\n  for you     {}://{admin}/v1/status\n",
        env!("CARGO_PKG_VERSION"),
        scheme(&config.listen.callback_tls),
        scheme(&config.listen.api_tls),
        scheme(&config.listen.admin_tls),
    );
    for (name, account) in &config.accounts {
        text.push_str(&format!("  account {name}: {}\n", account.path));
    }
    if let Some(name) = config.accounts.keys().next() {
        let program = std::env::args().next().unwrap_or_else(|| "wxedge".to_owned());
        let path = path.display();
        text.push_str(&format!(
            "try it:\n  {program} send --config {path} --account {name} text \"你好\""
        ));
    }
    process_log::say(&text);
}

/// What the configuration can need at once: the connections of the three listeners, to the apps and to WeChat.
fn file_descriptors(config: &Config) -> u64 {
    let apps = config.accounts.values().map(|account| account.upstream.max_connections);
    let kept = limits::API_IDLE_CONNECTIONS * config.wechat.api_base.len();
    let wechat = limits::API_IN_FLIGHT + kept;
    let connections = 3 * config.listen.max_connections + apps.sum::<usize>() + wechat;
    limits::FILE_DESCRIPTORS + connections as u64
}

fn raise_file_descriptor_limit(needed: u64) {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        if hard < needed {
            log::warn!(
                "the system allows {hard} open files, the configuration can need {needed}: raise the limit \
                 (LimitNOFILE, ulimit -Hn) or lower max_connections"
            );
        }
        let wanted = needed.min(hard);
        if soft < wanted
            && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
        {
            log::warn!("only {soft} files can be open at once: {error}");
        }
    }
}

/// What is done beside the callbacks: once a second, and at SIGHUP.
struct Upkeep {
    path: PathBuf,
    /// What listeners, threads and store were made from.
    started: Arc<Config>,
    edge: Arc<Edge>,
    admin: Arc<Admin>,
    certificates: Certificates,
    ready: Arc<AtomicBool>,
}

#[async_trait]
impl BackgroundService for Upkeep {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            log::error!("SIGHUP cannot be heard: no reload");
            return;
        };
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut summaries = Summaries::default();
        self.ready.store(true, Ordering::Relaxed);
        loop {
            tokio::select! {
                _ = second.tick() => self.edge.tick(&mut summaries),
                _ = hangup.recv() => self.reload(),
                _ = shutdown.changed() => return,
            }
        }
    }
}

impl Upkeep {
    /// Takes the changed file over, or refuses it and says why.
    fn reload(&self) {
        let result = self.take_over();
        match &result {
            Ok(()) => log::info!("configuration reloaded"),
            Err(error) => log::error!("configuration refused, the old one stays: {error}"),
        }
        self.edge.metrics.config_reload(result.is_ok());
        let event = json!({"result": if result.is_ok() { "ok" } else { "refused" }, "error": result.as_ref().err()});
        self.edge.events.send("reload", None, event);
        self.admin.reloaded(result);
    }

    fn take_over(&self) -> Result<(), String> {
        let config =
            Config::load(&self.path, &environment()).map_err(|issues| issues.to_string())?;
        for warning in &config.warnings {
            log::warn!("{warning}");
        }
        for key in self.started.restart_only(&config) {
            log::warn!("{key} has changed; it takes effect at a restart");
        }
        self.certificates.reload(&config)?;
        self.edge.reload(config).map_err(|error| error.to_string())
    }
}
