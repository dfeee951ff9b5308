//! The real binary: it listens, answers, stops when it is told to, and refuses what it must.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_wxedge-sidecar");

/// A file with `text`, for one test.
fn config(name: &str, text: &str) -> String {
    let path = format!("{}/{name}.toml", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, text).unwrap();
    path
}

fn output(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

#[test]
fn it_answers_healthz_and_ends_on_sigterm() {
    // Port 1 is nobody's: there is no edge.
    let data = format!("{}/healthz", env!("CARGO_TARGET_TMPDIR"));
    let text =
        format!("listen = \"127.0.0.1:0\"\ndata = {data:?}\nedge.admin = \"http://127.0.0.1:1\"");
    let config = config("healthz", &text);
    let mut sidecar = Command::new(BINARY)
        .args(["run", "--config", &config])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(sidecar.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("wxedge-sidecar listens on http://").unwrap();

    let mut answer = String::new();
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")
        .unwrap();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"));

    // A connection that says nothing must not hold up the end.
    let _silent = TcpStream::connect(address).unwrap();
    let kill = Command::new("kill").arg(sidecar.id().to_string()).status().unwrap();
    assert!(kill.success());
    assert!(sidecar.wait().unwrap().success());
}

#[test]
fn it_refuses_a_wrong_configuration_with_status_2() {
    let config = config("wrong", "listn = \"127.0.0.1:0\"");
    let output = output(&["run", "--config", &config]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("{config}:\nlistn (line 1): there is no such key; the nearest is listen\n")
    );
}

#[test]
fn it_says_that_a_port_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = config("taken", &format!("listen = \"{address}\""));
    let output = output(&["run", "--config", &config]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let expected =
        format!("wxedge-sidecar cannot start: listen = {address}: Address already in use");
    assert!(said.starts_with(&expected), "{said}");
}
