//! How many messages a second the store makes durable, beside a bare append log; and stores that are full.
//!
//! `bench-spool acknowledge FOLDER ROUNDS SECONDS`: so many tasks each write a message, wait until it is on disk, and write
//! the next. Store and log take turns of so many seconds. Then messages come at half of the rate that 1 000 tasks reached,
//! whether the earlier ones are on disk or not. Prints one line of JSON for each turn.
//!
//! `bench-spool fill FOLDER APPID ENTRIES`: a store with so many pending callbacks, each of a user of its own.

mod append_log;

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use append_log::AppendLog;
use mimalloc::MiMalloc;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use wxedge::store::spool::{Content, EntryKind, EntryState, NewEntry};
use wxedge::store::{Options, Store};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const USAGE: &str =
    "usage: bench-spool acknowledge FOLDER ROUNDS SECONDS | bench-spool fill FOLDER APPID ENTRIES";
const TASKS: [usize; 4] = [1, 32, 256, 1_000];
const APPID: &str = "wx0000000000000001";
/// Bytes of a message.
const BODY_BYTES: usize = 1_024;
/// Between the messages that come at a given rate.
const TICK: Duration = Duration::from_millis(1);

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["acknowledge", folder, rounds, seconds] => {
            let turn = Duration::from_secs_f64(seconds.parse()?);
            acknowledge(Path::new(folder), rounds.parse()?, turn).await
        }
        ["fill", folder, appid, entries] => fill(Path::new(folder), appid, entries.parse()?).await,
        _ => Err(USAGE.into()),
    }
}

async fn acknowledge(folder: &Path, rounds: usize, turn: Duration) -> Result<()> {
    let store = Arc::new(Target::Store(Store::open(&folder.join("store"), Options::default())?));
    let log = Arc::new(Target::Log(AppendLog::create(&folder.join("log"))?));
    for target in [&store, &log] {
        closed(target, 32, turn / 4).await?;
    }
    for round in 0..rounds {
        let [first, second] = if round % 2 == 0 { [&store, &log] } else { [&log, &store] };
        let mut rates = [0.0; 2];
        for tasks in TASKS {
            for (target, rate) in [first, second].into_iter().zip(&mut rates) {
                let measured = closed(target, tasks, turn).await?;
                *rate = measured.rate();
                measured.print(target.name(), tasks)?;
            }
        }
        for (target, rate) in [first, second].into_iter().zip(rates) {
            open(target, rate / 2.0, turn).await?.print(target.name(), "half")?;
        }
    }
    Ok(())
}

/// What is measured.
enum Target {
    Store(Store),
    Log(AppendLog),
}

impl Target {
    fn name(&self) -> &'static str {
        match self {
            Target::Store(_) => "store",
            Target::Log(_) => "log",
        }
    }

    /// Makes a new message durable.
    async fn write(&self) -> Result<()> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let content = content(number, vec![b'x'; BODY_BYTES]);
        match self {
            Target::Store(store) => {
                store.spool(entry(APPID, number)?, content, None).await?;
            }
            Target::Log(log) => {
                let Content { ce_id, ce_type, subject, body } = content;
                let texts = [ce_id, ce_type, subject].concat();
                log.append([texts.as_bytes(), &body].concat()).await?;
            }
        }
        Ok(())
    }
}

fn entry(appid: &str, user: u64) -> Result<NewEntry> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(NewEntry {
        appid: appid.into(),
        kind: EntryKind::Callback,
        state: EntryState::Pending,
        user,
        received_s: i64::try_from(now.as_secs())?,
        due_ms: i64::try_from(now.as_millis())?,
        attempts: 1,
        failures: 0,
        died_s: None,
    })
}

fn content(number: u64, body: Vec<u8>) -> Content {
    Content {
        ce_id: format!("{number:064x}"),
        ce_type: "message.text".to_owned(),
        subject: openid(number),
        body,
    }
}

/// None of those whom bench-load sends for.
fn openid(number: u64) -> String {
    format!("oSpooledgRipVsoxg6T{number:09}")
}

/// A turn.
struct Measured {
    latencies: Vec<Duration>,
    elapsed: Duration,
    /// CPU time of both sides: who writes, and who waits for it.
    cpu: Duration,
}

impl Measured {
    fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn print(mut self, target: &str, tasks: impl std::fmt::Display) -> io::Result<()> {
        self.latencies.sort_unstable();
        let percentile = |percent: usize| {
            let at = self.latencies.get(self.latencies.len() * percent / 100);
            at.map_or(0, Duration::as_micros)
        };
        writeln!(
            io::stdout(),
            "{{\"target\":\"{target}\",\"tasks\":\"{tasks}\",\"rate\":{:.0},\"cpu_us\":{:.2},\"p50_us\":{},\"p99_us\":{}}}",
            self.rate(),
            self.cpu.as_secs_f64() * 1e6 / self.latencies.len() as f64,
            percentile(50),
            percentile(99),
        )
    }
}

/// So many tasks, each of which waits for its message before it writes the next.
async fn closed(target: &Arc<Target>, tasks: usize, turn: Duration) -> Result<Measured> {
    let mut running = JoinSet::new();
    let (begun, cpu) = (Instant::now(), cpu()?);
    for _ in 0..tasks {
        let target = target.clone();
        running.spawn(async move {
            let mut latencies = Vec::new();
            while begun.elapsed() < turn {
                let sent = Instant::now();
                target.write().await?;
                latencies.push(sent.elapsed());
            }
            Ok(latencies)
        });
    }
    let latencies = running.join_all().await.into_iter().collect::<Result<Vec<_>>>()?.concat();
    Ok(Measured { latencies, elapsed: begun.elapsed(), cpu: self::cpu()? - cpu })
}

/// So many messages a second, each counted from when it was to be written.
async fn open(target: &Arc<Target>, rate: f64, turn: Duration) -> Result<Measured> {
    let mut running = JoinSet::new();
    let (begun, cpu) = (Instant::now(), cpu()?);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut written = 0;
    loop {
        let due = ticks.tick().await.into_std();
        let passed = due.duration_since(begun);
        if passed >= turn {
            break;
        }
        while (written as f64) < rate * passed.as_secs_f64() {
            written += 1;
            let target = target.clone();
            running.spawn(async move {
                target.write().await?;
                Ok(due.elapsed())
            });
        }
    }
    let latencies = running.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(Measured { latencies, elapsed: begun.elapsed(), cpu: self::cpu()? - cpu })
}

/// CPU time of this process so far.
fn cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: TimeVal| u64::try_from(time.num_microseconds());
    Ok(Duration::from_micros(micros(usage.user_time())? + micros(usage.system_time())?))
}

async fn fill(folder: &Path, appid: &str, entries: u64) -> Result<()> {
    let store = Store::open(folder, Options::default())?;
    let next = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    for _ in 0..2_048 {
        let (store, next, appid) = (store.clone(), next.clone(), appid.to_owned());
        running.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= entries {
                    return Ok(());
                }
                let user = store.user_hashes(&appid, &openid(number))[0];
                let entry = NewEntry { attempts: 0, ..entry(&appid, user)? };
                let body = format!(
                    "<xml><ToUserName><![CDATA[gh_680bdefc8c5d]]></ToUserName>\n\
                     <FromUserName><![CDATA[{}]]></FromUserName>\n<CreateTime>{}</CreateTime>\n\
                     <MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[你好，请问今天几点开门？]]></Content>\n\
                     <MsgId>{}</MsgId>\n</xml>",
                    openid(number),
                    entry.received_s,
                    7_000_000_000_000_000_000 + number,
                );
                store.spool(entry, content(number, body.into_bytes()), None).await?;
            }
        });
    }
    running.join_all().await.into_iter().collect::<Result<()>>()?;
    store.close();
    Ok(())
}
