//! Another process that works with the store of a test: the test runs itself again as that process.

use super::dir;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use wxedge_tests::folder::Folder;

/// Says to the process that it is the other one, and where the store is.
const OTHER: &str = "WXEDGE_TEST_STORE";

/// The store's folder, in the other process.
pub(super) fn other() -> Option<PathBuf> {
    std::env::var_os(OTHER).map(PathBuf::from)
}

/// Runs `test`, its path in `store::tests`, as the other process.
pub(super) fn start(test: &str, folder: &Folder) -> (Child, Lines<BufReader<ChildStdout>>) {
    let name = format!("store::tests::{test}");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(OTHER, dir(folder))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, said)
}

/// Says a line to the first process.
pub(super) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{line}").and_then(|()| out.flush()).unwrap();
}

/// The next line that the other process said; what the test runner prints is none.
pub(super) fn next(said: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    // The runner begins a line with the test's name, and we end it.
    said.map_while(Result::ok).find_map(|line| Some(line.split_once('@')?.1.to_owned()))
}
