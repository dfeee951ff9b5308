//! The host's own limits, those that WeChat's guide tells to check when callbacks time out: the queue of connections that
//! wait to be accepted, file descriptors, load, and the disk.
//!
//! What is read is of the sidecar's own host; in a container the accept queue is the one of its network namespace, which in
//! a pod is the edge's as well. What cannot be read is left out.

use nix::sys::statvfs::statvfs;
use serde::Serialize;
use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// How far back the growth of a counter is looked at.
const GROWTH_WINDOW: Duration = Duration::from_secs(300);
/// Readings that are nearer to each other than this count as one, so the window has a bounded number of them.
const GROWTH_STEP: Duration = Duration::from_secs(5);

/// What was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Host {
    /// Connections that wait to be accepted.
    pub accept_queue: Option<AcceptQueue>,
    /// File descriptors of the whole system.
    pub files: Option<Files>,
    /// File descriptors of the edge.
    pub edge_files: Option<Files>,
    /// How busy the cores are.
    pub load: Option<Load>,
    /// The disk of a folder.
    pub disk: Option<Disk>,
}

/// The accept queues of all listeners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcceptQueue {
    /// `net.core.somaxconn`: no listener's queue is longer, whatever it asks for.
    pub most: u64,
    /// How often a queue was full, since the host's start.
    pub overflows: u64,
    /// Connections that were dropped on a listener, since the host's start; those of full queues are among them.
    pub drops: u64,
    /// `overflows` within the last `grown_over_s`.
    pub overflows_grown: u64,
    /// `drops` within the last `grown_over_s`.
    pub drops_grown: u64,
    /// In seconds; up to 300, less while the sidecar is young.
    pub grown_over_s: u64,
}

/// Open file descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Files {
    /// How many are open.
    pub open: u64,
    /// How many may be; none when there is no bound worth the name.
    pub most: Option<u64>,
}

/// Processes that run or want to, on average.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Load {
    /// Over a minute.
    pub one: f64,
    /// Over 5 minutes.
    pub five: f64,
    /// Over 15 minutes.
    pub fifteen: f64,
    /// Cores that this process may use.
    pub cores: usize,
}

/// A file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// What programs other than root's may still write.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// Earlier readings of the accept queue's counters.
#[derive(Debug, Default)]
pub struct Growth(Mutex<VecDeque<(Instant, Counters)>>);

/// Of all listeners, since the host's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counters {
    overflows: u64,
    drops: u64,
}

impl Host {
    /// Reads it now; this blocks for as long as the disk takes. `data` is the folder whose disk is looked at, `edge` are
    /// the edge's `process_open_fds` and `process_max_fds`. The growth is that between readings with the same
    /// `growth`.
    pub fn read(data: &Path, edge: Option<Files>, growth: &Growth) -> Host {
        let text = |path: &str| fs::read_to_string(path).ok();
        let most = text("/proc/sys/net/core/somaxconn").and_then(|text| text.trim().parse().ok());
        let counters = text("/proc/net/netstat").and_then(|text| Counters::parse(&text));
        Host {
            accept_queue: most
                .zip(counters)
                .map(|(most, counters)| growth.add(Instant::now(), most, counters)),
            files: text("/proc/sys/fs/file-nr").and_then(|text| Files::parse(&text)),
            edge_files: edge,
            load: text("/proc/loadavg").and_then(|text| Load::parse(&text, cores())),
            disk: Disk::of(data),
        }
    }
}

impl Counters {
    /// Of `/proc/net/netstat`: pairs of lines, the first has the names and the second the values.
    fn parse(text: &str) -> Option<Counters> {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
        let names = lines.next()?.split_whitespace();
        let values: Vec<&str> = lines.next()?.split_whitespace().collect();
        let names: Vec<&str> = names.collect();
        let value = |wanted| {
            let at = names.iter().position(|name| *name == wanted)?;
            values.get(at)?.parse().ok()
        };
        Some(Counters { overflows: value("ListenOverflows")?, drops: value("ListenDrops")? })
    }
}

impl Growth {
    fn add(&self, now: Instant, most: u64, counters: Counters) -> AcceptQueue {
        let mut earlier = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |at: Instant| now.saturating_duration_since(at);
        while earlier.front().is_some_and(|(at, _)| age(*at) > GROWTH_WINDOW) {
            earlier.pop_front();
        }
        let (since, first) = earlier.front().copied().unwrap_or((now, counters));
        if earlier.back().is_none_or(|(at, _)| age(*at) >= GROWTH_STEP) {
            earlier.push_back((now, counters));
        }
        AcceptQueue {
            most,
            overflows: counters.overflows,
            drops: counters.drops,
            overflows_grown: counters.overflows.saturating_sub(first.overflows),
            drops_grown: counters.drops.saturating_sub(first.drops),
            grown_over_s: age(since).as_secs(),
        }
    }
}

impl Files {
    /// Of `/proc/sys/fs/file-nr`: allocated, allocated but unused, the most.
    fn parse(text: &str) -> Option<Files> {
        let mut numbers = text.split_whitespace().map(str::parse::<u64>);
        let allocated = numbers.next()?.ok()?;
        let unused = numbers.next()?.ok()?;
        let most = numbers.next()?.ok()?;
        // systemd sets it to the largest number there is, which means "none".
        let most = (most < 1 << 40).then_some(most);
        Some(Files { open: allocated.saturating_sub(unused), most })
    }
}

impl Load {
    /// Of `/proc/loadavg`.
    fn parse(text: &str, cores: usize) -> Option<Load> {
        let mut numbers = text.split_whitespace().map(str::parse::<f64>);
        let mut next = || numbers.next()?.ok();
        Some(Load { one: next()?, five: next()?, fifteen: next()?, cores })
    }
}

impl Disk {
    /// The disk that a folder is on, or is going to be on: it may not have been made yet.
    fn of(folder: &Path) -> Option<Disk> {
        let found = folder.ancestors().find_map(|path| {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            statvfs(path).ok()
        })?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
        Some(Disk { free: bytes(found.blocks_available()), total: bytes(found.blocks()) })
    }
}

fn cores() -> usize {
    available_parallelism().map_or(1, Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETSTAT: &str = "\
TcpExt: SyncookiesSent SyncookiesRecv ListenOverflows ListenDrops TCPHPHits
TcpExt: 0 1 182 190 77
IpExt: InNoRoutes ListenDrops
IpExt: 4 5
";

    #[test]
    fn the_counters_are_found_by_their_names() {
        assert_eq!(Counters::parse(NETSTAT), Some(Counters { overflows: 182, drops: 190 }));
        for broken in ["", "TcpExt: ListenOverflows ListenDrops\n", "TcpExt: A\nTcpExt: 1\n"] {
            assert_eq!(Counters::parse(broken), None, "{broken:?}");
        }
        assert_eq!(Counters::parse(&NETSTAT.replace("190", "x")), None);
        assert_eq!(Counters::parse("TcpExt: A ListenOverflows ListenDrops\nTcpExt: 1 2\n"), None);
    }

    #[test]
    fn growth_is_that_of_the_last_five_minutes() {
        let growth = Growth::default();
        let start = Instant::now();
        let read = |s, overflows| {
            let counters = Counters { overflows, drops: overflows + 1 };
            let queue = growth.add(start + Duration::from_secs(s), 4_096, counters);
            (queue.overflows_grown, queue.drops_grown, queue.grown_over_s)
        };
        assert_eq!(read(0, 100), (0, 0, 0), "the host's past is not its present");
        assert_eq!(read(60, 130), (30, 30, 60));
        assert_eq!(read(300, 130), (30, 30, 300));
        assert_eq!(read(310, 130), (0, 0, 250), "what happened in the first minute is over");
        assert_eq!(read(320, 7), (0, 0, 260), "a counter that begins anew has not grown");
    }

    #[test]
    fn readings_are_bounded_however_often_somebody_looks() {
        let growth = Growth::default();
        let start = Instant::now();
        for tenth in 0..10_000 {
            let counters = Counters { overflows: tenth, drops: 0 };
            growth.add(start + Duration::from_millis(100 * tenth), 1, counters);
        }
        assert!(growth.0.lock().unwrap().len() <= 61);
    }

    #[test]
    fn descriptors_and_load_are_read() {
        let files = |text| Files::parse(text);
        assert_eq!(files("2144\t100\t65536\n"), Some(Files { open: 2_044, most: Some(65_536) }));
        let none = Some(Files { open: 2_144, most: None });
        assert_eq!(files("2144\t0\t9223372036854775807\n"), none);
        assert_eq!(files("2144\n"), None);
        let load = Load { one: 1.2, five: 0.9, fifteen: 0.75, cores: 4 };
        assert_eq!(Load::parse("1.20 0.90 0.75 2/345 6789\n", 4), Some(load));
        assert_eq!(Load::parse("1.20 0.90\n", 4), None);
    }

    #[test]
    fn this_host_is_read_and_a_folder_to_come_has_the_disk_of_its_parent() {
        let edge = Some(Files { open: 1, most: Some(2) });
        let host = Host::read(Path::new("none/yet/sidecar"), edge, &Growth::default());
        let disk = host.disk.unwrap();
        assert!(disk.free <= disk.total && disk.total > 0);
        assert_eq!(Disk::of(Path::new(".")).map(|disk| disk.total), Some(disk.total));
        assert!(host.load.unwrap().cores >= 1);
        assert!(host.files.unwrap().open > 0);
        assert!(host.accept_queue.unwrap().most > 0);
        assert_eq!(host.edge_files, edge);
    }

    #[test]
    fn it_is_shown_by_these_names() {
        let host = Host {
            accept_queue: Some(AcceptQueue {
                most: 4_096,
                overflows: 3,
                drops: 4,
                overflows_grown: 1,
                drops_grown: 2,
                grown_over_s: 300,
            }),
            files: Some(Files { open: 1, most: None }),
            edge_files: None,
            load: None,
            disk: Some(Disk { free: 1, total: 2 }),
        };
        let shown = serde_json::json!({
            "accept_queue": {"most": 4096, "overflows": 3, "drops": 4, "overflows_grown": 1, "drops_grown": 2,
                "grown_over_s": 300},
            "files": {"open": 1, "most": null},
            "edge_files": null,
            "load": null,
            "disk": {"free": 1, "total": 2},
        });
        assert_eq!(serde_json::json!(host), shown);
    }
}
