//! A process under test: what it says, what it hears, how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The lines of a pipe, as they come.
#[derive(Debug)]
pub(crate) struct Lines {
    text: Arc<Mutex<String>>,
    reader: Mutex<Option<JoinHandle<()>>>,
}

impl Lines {
    pub(crate) fn collect(pipe: impl Read + Send + 'static) -> Lines {
        let text = Arc::new(Mutex::new(String::new()));
        let into = text.clone();
        let reader = crate::thread(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let line = std::mem::take(&mut line);
                let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
                into.push_str(&String::from_utf8_lossy(&line));
            }
        });
        Lines { text, reader: Mutex::new(Some(reader)) }
    }

    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything, once the other end is closed.
    pub(crate) fn rest(&self) -> String {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            // Its panic would be ours.
            let _read = reader.join();
        }
        self.text()
    }

    /// The address in the line that begins so.
    pub(crate) fn address(&self, words: &str) -> Option<SocketAddr> {
        let text = self.text();
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(words))?;
        let address = line.trim().split("://").nth(1)?;
        address.split('/').next()?.parse().ok()
    }
}

/// Whether a process has a handler for a signal, by the mask that the kernel shows.
pub(crate) fn is_heard(pid: u32, signal: Signal) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & 1 << (signal as i32 - 1) != 0
}

/// Ends a process by its id, politely first.
pub(crate) fn end(child: &mut Child) -> Option<ExitStatus> {
    let pid = Pid::from_raw(child.id().cast_signed());
    // It may have ended by itself.
    let _gone = kill(pid, Signal::SIGINT);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        if let Ok(Some(exit)) = child.try_wait() {
            return Some(exit);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // By its own id, and only once it has not listened.
    let _ended = child.kill();
    child.wait().ok()
}

#[allow(clippy::print_stderr, reason = "the test has failed and its reader wants to know why")]
pub(crate) fn show(who: &str, lines: &[&str]) {
    eprintln!("--- {who} said ---\n{}", lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_what_the_edge_says() {
        let said = "wxedge 0.1.0 listens\n  for WeChat  http://127.0.0.1:1\n  for apps    https://127.0.0.1:2\n  for you     http://127.0.0.1:3/v1/status\n";
        let lines = Lines::collect(said.as_bytes());
        let _said = lines.rest();
        let found =
            ["for WeChat", "for apps", "for you", "for nobody"].map(|words| lines.address(words));
        let port = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(found, [port(1), port(2), port(3), None]);
    }
}
