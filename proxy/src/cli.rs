//! The command line: what there is to say, and who does it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "commands speak to the person who typed them"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Listen, Mode, Tls};
use crate::store::{self, Backup};
use crate::{openid, send, server};

/// The edge between WeChat and an app that knows nothing of WeChat.
#[derive(Debug, Parser)]
#[command(name = "wxedge", version, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy.
    Run {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Take the sockets over from the running proxy, which then drains and ends.
        #[arg(long)]
        upgrade: bool,
    },
    /// Check a configuration and name every mistake. The store is not opened: it may be in use.
    Check {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Copy the store into a new folder, also while it is in use.
    Backup {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The folder: a new one, or an empty one.
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
    },
    /// Play WeChat: send one callback and show the answer.
    Send(Box<send::Arguments>),
    /// Print what stands for an openid in the log.
    HashOpenid {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The openid to look for.
        openid: String,
    },
}

/// A configuration that cannot be used.
const EXIT_CONFIGURATION: u8 = 2;

/// Does what the command line says.
pub fn main() -> ExitCode {
    match Line::parse().command {
        Command::Run { config, upgrade } => server::run(&config, upgrade),
        Command::Check { config } => with_config(&config, check),
        Command::Backup { config, to } => with_config(&config, |config| backup(config, &to)),
        Command::Send(arguments) => {
            with_config(arguments.config(), |config| send::run(config, &arguments))
        }
        Command::HashOpenid { config, openid } => {
            with_config(&config, |config| hash_openid(config, &openid))
        }
    }
}

/// Goes on with the configuration at `path`, or prints what is wrong with it.
fn with_config(path: &Path, command: impl FnOnce(&Config) -> ExitCode) -> ExitCode {
    match Config::load(path, &server::environment()) {
        Ok(config) => command(&config),
        Err(issues) => {
            eprintln!("{issues}");
            for warning in &issues.warnings {
                eprintln!("warning: {warning}");
            }
            ExitCode::from(EXIT_CONFIGURATION)
        }
    }
}

fn check(config: &Config) -> ExitCode {
    println!("{}", summary(config));
    ExitCode::SUCCESS
}

fn backup(config: &Config, to: &Path) -> ExitCode {
    let dir = &config.store.dir;
    match store::backup(dir, to) {
        Ok(done) => {
            println!("{}", backed_up(dir, to, &done));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("no backup was made: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a backup holds, and how it is used.
fn backed_up(dir: &Path, to: &Path, done: &Backup) -> String {
    let (dir, to) = (dir.display(), to.display());
    let mut lines =
        vec![format!("the store {dir} is copied to {to}, and the copy was read and is whole")];
    lines.extend(done.files.iter().map(|(name, bytes)| format!("  {name:<16} {bytes} bytes")));
    lines.push(format!("{} messages wait in it or are dead letters", done.messages));
    lines.push(format!(
        "to restore it: stop wxedge, move {dir} away, move {to} to its place, start wxedge"
    ));
    lines.push("it holds tokens, keys and messages: keep it as safe as the store".to_owned());
    lines.join("\n")
}

fn hash_openid(config: &Config, openid: &str) -> ExitCode {
    match openid::hash_command(config, openid) {
        Ok(hash) => {
            println!("{hash}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the key of the log cannot be read: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a valid configuration comes down to.
fn summary(config: &Config) -> String {
    let mut lines = vec!["configuration is valid".to_owned()];
    lines.extend(config.warnings.iter().map(|warning| format!("warning: {warning}")));
    let Listen { callback, callback_tls, api, api_tls, admin, admin_tls, .. } = &config.listen;
    lines.push(format!("listen   callback {}", address(callback, callback_tls)));
    lines.push(format!("         api      {}", address(api, api_tls)));
    lines.push(format!("         admin    {}", address(admin, admin_tls)));
    for account in config.accounts.values() {
        let mode = match account.mode {
            Mode::Plain => "plain",
            Mode::Compatible => "compatible",
            Mode::Safe => "safe",
        };
        let (name, appid, path, app) =
            (&account.name, &account.appid, &account.path, &account.upstream.target);
        lines.push(format!("account  {name} ({appid}, {mode}): {path} -> {app}"));
    }
    for client in config.clients.values() {
        lines.push(format!("client   {}: {}", client.name, client.accounts.join(", ")));
    }
    lines.join("\n")
}

fn address(address: &SocketAddr, tls: &Option<Tls>) -> String {
    let scheme = if tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{address}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Line as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_contract_s_command_lines_are_understood() {
        let lines = [
            "wxedge run --config f.toml",
            "wxedge run --config f.toml --upgrade",
            "wxedge check --config f.toml",
            "wxedge backup --config f.toml --to folder",
            "wxedge send --config f.toml --account main text 你好",
            "wxedge send --config f.toml event subscribe",
            "wxedge send --config f.toml --openid oUser_-1 text hi",
            "wxedge send --config f.toml --url http://127.0.0.1:1/x --file message.xml",
            "wxedge hash-openid --config f.toml oABC",
        ];
        for line in lines {
            if let Err(error) = Line::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
        for line in [
            "wxedge",
            "wxedge run",
            "wxedge backup --config f.toml",
            "wxedge send --config f.toml",
            "wxedge send --config f.toml --openid a]]>b text hi",
            "wxedge hash-openid --config f.toml",
        ] {
            assert!(Line::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn the_summary_shows_what_is_set_and_no_secret() {
        let text = r#"
            [accounts.main]
            appid = "wx1"
            token = "Canary"
            mode = "plain"
            secret = "Canary"
            upstream.url = "https://user:Canary@app.example:8443/Canary?key=Canary"
            [clients.crm]
            key = "Canary"
            accounts = ["main"]
        "#;
        let config = Config::parse(text, &BTreeMap::new()).unwrap();
        let expected = "configuration is valid
listen   callback http://0.0.0.0:8080
         api      http://127.0.0.1:8081
         admin    http://127.0.0.1:8082
account  main (wx1, plain): /wechat/main -> https://app.example:8443
client   crm: main";
        assert_eq!(summary(&config), expected);
    }
}
