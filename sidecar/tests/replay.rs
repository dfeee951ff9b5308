//! Streams that were written down lead to the same alerts again: `data/NAME.jsonl` has the observations, one a line,
//! `data/NAME.changes` what was told of them, with the seconds since the first.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wxedge_sidecar::alert::{Change, Engine};
use wxedge_sidecar::config::{Language, MarkFail};
use wxedge_sidecar::observation::{Millis, Observation};

/// After the last observation time goes on for this long.
const AFTER_S: u64 = 5;

fn terms() -> MarkFail {
    MarkFail {
        visible_failures: 30,
        window: Duration::from_secs(300),
        silence: Duration::from_secs(20),
    }
}

fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    files.sort();
    files
}

fn read(path: &Path) -> Vec<Observation> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What is told of them, with a tick at the end of every second.
fn replay(observations: &[Observation]) -> Vec<(Millis, Change)> {
    let start = observations[0].at;
    let mut engine = Engine::new(terms(), start);
    let mut told = Vec::new();
    let mut tick = |engine: &mut Engine, at| {
        told.extend(engine.tick(at).into_iter().map(|change| ((at - start) / 1000, change)));
    };
    let mut next = start + 1000;
    for Observation { at, seen } in observations {
        while next <= *at {
            tick(&mut engine, next);
            next += 1000;
        }
        engine.observe(*at, seen);
    }
    for _ in 0..AFTER_S {
        tick(&mut engine, next);
        next += 1000;
    }
    told
}

#[test]
fn what_was_written_down_is_told_again() {
    let recordings = recordings();
    assert!(recordings.len() >= 5);
    for path in recordings {
        let mut told = String::new();
        for (second, Change { alert, was }) in replay(&read(&path)) {
            let name = |state| serde_json::to_value(state).unwrap();
            let was = was.map_or("new".to_owned(), |was| name(was).as_str().unwrap().to_owned());
            let (account, kind) = (alert.account.as_deref().unwrap_or("-"), alert.kind.name());
            let state = name(alert.state);
            writeln!(told, "{second:>4} {account} {kind} {was} {}", state.as_str().unwrap())
                .unwrap();
            for language in [Language::Chinese, Language::English] {
                assert!(!alert.description(language).is_empty());
            }
        }
        let expected = std::fs::read_to_string(path.with_extension("changes")).unwrap();
        assert_eq!(told, expected, "{}", path.display());
    }
}

#[test]
fn what_was_written_down_can_be_written_down_again() {
    for path in recordings() {
        for observation in read(&path) {
            let line = serde_json::to_string(&observation).unwrap();
            let again: Observation = serde_json::from_str(&line).unwrap();
            assert_eq!(serde_json::to_string(&again).unwrap(), line);
        }
    }
}
