//! What the sidecar says of itself: lines on standard error, with time and level as the edge's.

use chrono::{DateTime, SecondsFormat, Utc};
use std::fmt::Display;
use std::io::{self, Write};
use std::time::SystemTime;

/// Says something that an operator may want to know.
pub fn info(what: impl Display) {
    say("INFO", what);
}

/// Says something that should not be so.
pub fn warn(what: impl Display) {
    say("WARN", what);
}

/// Says what was not done.
pub fn error(what: impl Display) {
    say("ERROR", what);
}

fn say(level: &str, what: impl Display) {
    let time = DateTime::<Utc>::from(SystemTime::now());
    let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
    // Nobody is left to tell when standard error is closed.
    let _closed = writeln!(io::stderr(), "{time} {level} {what}");
}
