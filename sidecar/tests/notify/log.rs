//! What the sidecar says of those who are not told.

use super::receiver::{Answer, CANARY, OK, Receiver};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// For the next line.
const PATIENCE: Duration = Duration::from_secs(40);

struct Sidecar(Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn an_output_that_fails_is_said_once_and_so_is_its_return() {
    let busy = || Answer::Say(503, CANARY);
    let webhook = Receiver::start([busy(), busy(), OK]).await;
    let config = config(&webhook.address);
    // Its edge does not answer, which is worth a message.
    let said = tokio::task::spawn_blocking(move || said_until(&config, "is told again"));
    let mut said = said.await.unwrap();
    assert!(said.iter().all(|line| !line.contains(CANARY)), "{said:?}");
    said.retain(|line| line.contains("notify"));
    let said: Vec<_> = said.iter().filter_map(|line| Some(line.split_once("Z ")?.1)).collect();
    let expected =
        ["WARN notify.webhook is not told: http 503", "INFO notify.webhook is told again"];
    assert_eq!(said, expected);
    assert_eq!(webhook.requests().len(), 3);
}

fn said_until(config: &str, end: &str) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wxedge-sidecar"));
    command.args(["run", "--config", config]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut sidecar = Sidecar(command.spawn().unwrap());
    let lines = BufReader::new(sidecar.0.stderr.take().unwrap()).lines();
    let (tell, heard) = sync_channel(100);
    std::thread::spawn(move || lines.for_each(|line| tell.send(line.unwrap()).unwrap_or(())));
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.ends_with(end)) {
        said.push(heard.recv_timeout(PATIENCE).unwrap());
    }
    said
}

/// A configuration whose edge is nobody, and whose webhook is this one.
fn config(webhook: &str) -> String {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let (path, data) = (format!("{folder}/notify-log.toml"), format!("{folder}/notify-log"));
    std::fs::remove_dir_all(&data).ok();
    let admin = "http://127.0.0.1:1";
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndata = {data:?}\nedge.admin = {admin:?}\nnotify.webhook = {webhook:?}"
    );
    std::fs::write(&path, text).unwrap();
    path
}
