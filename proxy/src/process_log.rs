//! What the process has to say about itself, on standard error. Every message passes one sink, which lets no query
//! string through: Pingora prints requests, and their queries hold signatures and tokens.

use crate::limits;
use crate::lines::Lines;
use chrono::{DateTime, SecondsFormat, Utc};
use log::{Level, LevelFilter, Log, Metadata, Record};
use prometheus::IntCounter;
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

struct Sink;

/// Written by a thread of its own: whoever logs does not wait for a terminal or a journal.
static LINES: OnceLock<Lines> = OnceLock::new();

/// Routes `log` here. A host that has a logger of its own keeps it.
///
/// # Errors
/// When the thread that writes cannot be started.
pub fn start() -> std::io::Result<()> {
    let lines = Lines::start("process-log", std::io::stderr())?;
    if LINES.set(lines).is_ok() && log::set_logger(&Sink).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    Ok(())
}

/// Writes what has been said.
pub fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush();
    }
}

/// Says something to the person who started the program, at once.
pub fn say(text: &str) {
    flush();
    // A closed standard error is no reason to stop.
    let _closed = writeln!(std::io::stderr().lock(), "{text}");
}

/// Keeps what goes on for long from being said all the time.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is time to say it, for the first time or again.
    pub fn is_time(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let time = last.is_none_or(|last| last.elapsed() >= limits::REMINDER);
        if time {
            *last = Some(Instant::now());
        }
        time
    }
}

/// Counts panics, and prints where they were but not their message, which may hold what came from outside.
pub fn count_panics(panics: IntCounter) {
    std::panic::set_hook(Box::new(move |panic| {
        panics.inc();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        say(&format!("ERROR panic at {place}"));
    }));
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries print raw headers at lower levels.
        let ours = metadata.target().starts_with("wxedge");
        // What fails in connecting we are told, and say ourselves; a kept connection that is missed is no error.
        let told = metadata.target() == "pingora_core::connectors";
        !told && metadata.level() <= if ours { Level::Info } else { Level::Warn }
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let Some(lines) = LINES.get() else { return };
            let time = DateTime::<Utc>::from(SystemTime::now());
            let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
            let text = redacted(&record.args().to_string());
            lines.add(|line| line.extend(format!("{time} {} {text}", record.level()).bytes()));
        }
    }

    fn flush(&self) {}
}

/// The text with whatever follows a `?`, up to the next blank or quote, taken out.
fn redacted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(mark) = rest.find('?') {
        shown.push_str(&rest[..=mark]);
        rest = &rest[mark + 1..];
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ','))
            .unwrap_or(rest.len());
        if end > 0 {
            shown.push_str("[redacted]");
        }
        rest = &rest[end..];
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn queries_are_taken_out() {
        let text = "Fail: GET /cgi-bin/x?access_token=SECRET&a=b, Host: a; POST /y?sig=SECRET HTTP/1.1 ok?";
        assert_eq!(
            redacted(text),
            "Fail: GET /cgi-bin/x?[redacted], Host: a; POST /y?[redacted] HTTP/1.1 ok?"
        );
    }
}
