//! What the sidecar says of itself: lines on standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Says something that an operator may want to know.
pub fn say(what: impl Display) {
    // Nobody is left to tell when standard error is closed.
    let _closed = writeln!(io::stderr(), "wxedge-sidecar: {what}");
}
