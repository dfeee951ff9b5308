//! An SDK in a process of its own, and what becomes of its calls.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// An SDK as its package registry has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sdk {
    Wechatpy,
    CoWechatApi,
}

pub(crate) const SDKS: [Sdk; 2] = [Sdk::Wechatpy, Sdk::CoWechatApi];

impl Sdk {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Sdk::Wechatpy => "wechatpy",
            Sdk::CoWechatApi => "co-wechat-api",
        }
    }

    /// `make test` puts both where they are looked for; without them the tests fail.
    fn command(self) -> Command {
        let default =
            |below: &str| concat!(env!("CARGO_MANIFEST_DIR"), "/../target/").to_owned() + below;
        let place = |variable, below| std::env::var(variable).unwrap_or_else(|_| default(below));
        match self {
            Sdk::Wechatpy => {
                let mut command = Command::new(place("WXEDGE_PYTHON", "venv/bin/python"));
                command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/sdk/peer.py"));
                command
            }
            Sdk::CoWechatApi => {
                let mut command = Command::new("node");
                command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/sdk/peer.js"));
                command.env("NODE_PATH", place("WXEDGE_NODE_PATH", "node/node_modules"));
                command
            }
        }
    }
}

/// A running SDK.
pub(crate) struct Peer {
    sdk: Sdk,
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What an SDK throws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thrown {
    /// The class of it.
    pub(crate) name: String,
    /// The errcode, as the SDK has it.
    pub(crate) code: Option<i64>,
    /// What a developer reads.
    pub(crate) message: String,
    /// HTTP's status and body, where the SDK keeps them.
    pub(crate) status: Option<i64>,
    pub(crate) body: Option<String>,
}

pub(crate) type Outcome = Result<Value, Thrown>;

impl Peer {
    /// The SDK is loaded; it knows of no WeChat yet.
    pub(crate) fn start(sdk: Sdk) -> Peer {
        let mut command = sdk.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?}: {error}; `make target/venv/ready target/node/ready` installs it")
        });
        let requests = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut peer = Peer { sdk, process, requests, answers };
        assert_eq!(peer.hear(), "ready");
        peer
    }

    /// Where WeChat is, and who asks.
    pub(crate) fn at(mut self, base: &str, appid: &str, secret: &str) -> Peer {
        self.say(&json!({"base": base, "appid": appid, "secret": secret}));
        self
    }

    /// Begins the same call so many times at once, with one client object.
    pub(crate) fn begin(&mut self, at_once: usize, command: &str, arguments: &Value) {
        self.say(&json!({"command": command, "arguments": arguments, "at_once": at_once}));
    }

    /// What has become of them.
    pub(crate) fn end(&mut self) -> Vec<Outcome> {
        let outcomes = self.hear();
        let outcome = |outcome: &Value| match &outcome["error"] {
            Value::Null => Ok(outcome["ok"].clone()),
            error => {
                let text = |name: &str| error[name].as_str().map(str::to_owned);
                Err(Thrown {
                    name: text("name").unwrap(),
                    code: error["code"].as_i64(),
                    message: text("message").unwrap(),
                    status: error["status"].as_i64(),
                    body: text("body"),
                })
            }
        };
        outcomes.as_array().unwrap().iter().map(outcome).collect()
    }

    /// One call.
    pub(crate) fn call(&mut self, command: &str, arguments: &Value) -> Outcome {
        self.begin(1, command, arguments);
        self.end().remove(0)
    }

    fn say(&mut self, line: &Value) {
        writeln!(self.requests, "{line}").unwrap_or_else(|error| self.is_gone(&error));
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        read.unwrap_or_else(|error| self.is_gone(&error));
        serde_json::from_str(&line).unwrap_or_else(|error| self.is_gone(&error))
    }

    fn is_gone(&self, why: &dyn std::fmt::Display) -> ! {
        panic!("{} has ended ({why}); is it installed?", self.sdk.name())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
