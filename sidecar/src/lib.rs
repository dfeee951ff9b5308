//! The sidecar beside a wxedge: it sees what WeChat sees, and says what WeChat would have said. It watches and is never in
//! the way: the edge does not know whether it runs.
//!
//! | what | where |
//! |---|---|
//! | what the edge says: status, events | [`edge`] |
//! | what the edge looks like from outside | [`probe`] |
//! | all that is seen, in one type | [`observation`] |
//! | what follows from it, without I/O or a clock | [`alert`], [`markfail`] |
//! | where it comes together | [`watch`] |
//! | who is told | [`notify`] |
//! | who asks: Prometheus, programs, people | [`web`], [`metrics`], [`console`] |
//! | every probe once, in words | [`doctor`] |
//! | every bound | [`limits`] |

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

pub mod alert;
pub mod clock;
pub mod config;
pub mod console;
pub mod doctor;
pub mod edge;
pub mod history;
pub mod host;
pub mod http;
pub mod limits;
pub mod log;
pub mod markfail;
pub mod metrics;
pub mod notify;
pub mod observation;
pub mod probe;
pub mod state;
pub mod watch;
pub mod web;

use config::Config;
use edge::client::Client;
use host::{Growth, Host};
use log::{error, info, warn};
use observation::Seen;
use probe::Prober;
use probe::tls::Trust;
use state::StateFile;
use watch::Watch;
use web::{Settings, Site};

/// Where a configuration comes from.
#[derive(Debug)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// What is over it.
    pub environment: BTreeMap<String, String>,
}

/// Runs until SIGTERM or SIGINT. SIGHUP reads the configuration again.
///
/// # Errors
/// When it cannot listen, or the folder of its state is of no use.
pub fn run(source: &Source, config: Config) -> io::Result<()> {
    // One thread is plenty for an observer, and leaves the others to the edge.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve(source, config))
}

async fn serve(source: &Source, mut config: Config) -> io::Result<()> {
    let mut signals = Signals::new()?;
    let roots = http::roots();
    let http = http::client(&http::tls(roots.clone())?)?;
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        io::Error::new(error.kind(), format!("listen = {}: {error}", config.listen))
    })?;
    let file = StateFile::in_folder(&config.data)?;
    let saved = file.read()?.unwrap_or_else(|aside| {
        warn(format_args!("the state made no sense and is now {}", aside.display()));
        None
    });
    let watch = Arc::new(Watch::new(&config, http.clone(), saved.unwrap_or_default()));
    // The port is the real one also where the configuration says 0.
    writeln!(io::stdout(), "wxedge-sidecar listens on http://{}", listener.local_addr()?)?;

    let settings = Arc::new(ArcSwap::from_pointee(Settings::new(&config, &http)));
    let growth = Arc::new(Growth::default());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let router = web::router(Site {
        watch: watch.clone(),
        settings: settings.clone(),
        growth: growth.clone(),
        edge_files: Mutex::default(),
        tails: Arc::new(Semaphore::new(limits::TAILS)),
        stopped: stopped.clone(),
    });
    let pages = tokio::spawn(async move { web::serve(&listener, router, stopped).await });
    let mut running = start(&config, &watch, &http, &roots, &file, &growth);
    loop {
        match signals.next().await {
            Told::Stop => break,
            Told::Reload if reload(source, &mut config) => {
                running.abort_all();
                watch.configure(&config);
                settings.store(Arc::new(Settings::new(&config, &http)));
                running = start(&config, &watch, &http, &roots, &file, &growth);
            }
            Told::Reload => watch.refused(),
        }
    }
    drop(running);
    stop.send_replace(true);
    // It ends within `limits::GRACE`, or has.
    let _ended = pages.await;
    file.write(|| watch.save())
}

/// Takes a changed file over; a bad one is refused with the reason, and the old configuration stays. Whether it has changed.
fn reload(source: &Source, config: &mut Config) -> bool {
    match Config::load(&source.path, &source.environment) {
        Ok(new) if !config.listen.ip().is_loopback() && new.key.is_none() => {
            error(
                "configuration refused, the old one stays: key: is required as long as it listens where it does",
            );
            false
        }
        Ok(mut new) => {
            for (key, same) in
                [("listen", new.listen == config.listen), ("data", new.data == config.data)]
            {
                if !same {
                    warn(format_args!("{key} has changed; it takes effect at a restart"));
                }
            }
            (new.listen, new.data) = (config.listen, config.data.clone());
            *config = new;
            config.warnings.iter().for_each(warn);
            info("configuration reloaded");
            true
        }
        Err(issues) => {
            error(format_args!("configuration refused, the old one stays: {issues}"));
            false
        }
    }
}

/// Everything that goes on in the background; dropping it ends it.
fn start(
    config: &Config,
    watch: &Arc<Watch>,
    http: &reqwest::Client,
    roots: &RootCertStore,
    file: &StateFile,
    growth: &Arc<Growth>,
) -> JoinSet<()> {
    let client = Client::new(http.clone(), config.edge.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(poll(client.clone(), watch.clone()));
    let (edge, heard) = (client.clone(), watch.clone());
    tasks.spawn(async move { edge::stream::follow(&edge, |it| heard.hear(it)).await });
    let (status, seen) = (watch.status(), watch.clone());
    let prober = Arc::new(Prober::new(config.probe.clone(), Trust::of(roots.clone()), client));
    tasks.spawn(async move { probe::run(prober, status, |it| seen.observe(it)).await });
    tasks.spawn(upkeep(watch.clone(), file.clone(), growth.clone(), config.data.clone()));
    tasks
}

/// Asks for the edge's status, again and again.
async fn poll(edge: Client, watch: Arc<Watch>) {
    let mut times = interval(limits::STATUS_INTERVAL);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        watch.observe(match edge.status().await {
            Ok(status) => Seen::Status { of: Box::new(status) },
            Err(why) => Seen::NoStatus { reason: why.reason().to_owned() },
        });
    }
}

/// Judges once a second; writes the state down, and looks at the host, every now and then.
async fn upkeep(watch: Arc<Watch>, file: StateFile, growth: Arc<Growth>, data: PathBuf) {
    let mut seconds = interval(limits::TICK);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut saved = Instant::now();
    let mut saving: Option<JoinHandle<()>> = None;
    loop {
        seconds.tick().await;
        watch.tick();
        let is_free = saving.as_ref().is_none_or(JoinHandle::is_finished);
        if is_free && saved.elapsed() >= limits::SAVE_INTERVAL {
            saved = Instant::now();
            let (watch, file) = (watch.clone(), file.clone());
            let (growth, data) = (growth.clone(), data.clone());
            // The disk may be slow; the next second is not.
            saving = Some(tokio::task::spawn_blocking(move || {
                if let Err(why) = file.write(|| watch.save()) {
                    error(format_args!("the state could not be written: {why}"));
                }
                // For those who ask later how much its counters have grown.
                let _now = Host::read(&data, None, &growth);
            }));
        }
    }
}

/// What the process is told.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

enum Told {
    Stop,
    Reload,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}
