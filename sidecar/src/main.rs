//! `wxedge-sidecar`: the command line. What it does is in the library.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use wxedge_sidecar::Source;
use wxedge_sidecar::config::Config;
use wxedge_sidecar::doctor::{Marks, doctor};
use wxedge_sidecar::log::warn;

/// Shows operators what WeChat sees of a wxedge.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the sidecar until it is told to stop
    Run(File),
    /// Check the file as a start would, and name every mistake
    Check(File),
    /// Run every probe once and explain each failure; exits with 1 when there is one
    Doctor(File),
}

#[derive(clap::Args)]
struct File {
    /// The sidecar's own TOML file
    #[arg(long)]
    config: PathBuf,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let (Command::Run(file) | Command::Check(file) | Command::Doctor(file)) = &command;
    let source = Source { path: file.config.clone(), environment: environment() };
    let config = match Config::load(&source.path, &source.environment) {
        Ok(config) => config,
        Err(issues) => return failed(2, &format!("{}:\n{issues}", source.path.display())),
    };
    config.warnings.iter().for_each(warn);
    let ended = match command {
        Command::Run(_) => wxedge_sidecar::run(&source, config).map(|()| true),
        Command::Check(_) => writeln!(io::stdout(), "configuration is valid").map(|()| true),
        Command::Doctor(_) => examine(&config),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        // The report has said why.
        Ok(false) => ExitCode::FAILURE,
        // Who reads the report has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => failed(1, &format!("wxedge-sidecar cannot start: {error}")),
    }
}

fn failed(code: u8, message: &str) -> ExitCode {
    // Nobody is left to tell when standard error is closed.
    writeln!(io::stderr(), "{message}").ok();
    ExitCode::from(code)
}

fn examine(config: &Config) -> io::Result<bool> {
    let mut out = io::stdout();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let marks = match (out.is_terminal(), plain) {
        (false, _) => Marks::Ascii,
        (true, true) => Marks::Signs,
        (true, false) => Marks::Colours,
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(doctor(config, marks, &mut out))
}

/// The environment, without what is not text and so cannot be meant for this program.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
