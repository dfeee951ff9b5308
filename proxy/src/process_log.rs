//! What the process has to say about itself, on standard error. Every message passes one sink, which lets no query
//! string through: Pingora prints requests, and their queries hold signatures and tokens.

use log::{Level, LevelFilter, Log, Metadata, Record};
use prometheus::IntCounter;
use std::io::Write;

struct Sink;

/// Routes `log` here. A host that has a logger of its own keeps it.
pub fn start() {
    if log::set_logger(&Sink).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Says something to the person who started the program.
pub fn say(text: &str) {
    // A closed standard error is no reason to stop.
    let _closed = writeln!(std::io::stderr().lock(), "{text}");
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
        metadata.level() <= if ours { Level::Info } else { Level::Warn }
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            say(&format!("{} {}", record.level(), redacted(&record.args().to_string())));
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
