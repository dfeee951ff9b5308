//! `wxedge-sidecar`: the command line. What it does is in the library.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use wxedge_sidecar::config::Config;

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
    /// Run every probe once and explain each failure (comes in a later version)
    Doctor(File),
}

#[derive(clap::Args)]
struct File {
    /// The sidecar's own TOML file
    #[arg(long)]
    config: PathBuf,
}

fn main() -> ExitCode {
    let (code, message) = match Cli::parse().command {
        Command::Run(File { config }) => match Config::load(&config, &environment()) {
            Err(issues) => (2, issues.to_string()),
            Ok(config) => match wxedge_sidecar::run(&config) {
                Ok(()) => return ExitCode::SUCCESS,
                Err(error) => (1, error.to_string()),
            },
        },
        Command::Doctor(_) => (1, "doctor comes in a later version".to_owned()),
    };
    // Nobody is left to tell when standard error is closed.
    writeln!(io::stderr(), "wxedge-sidecar: {message}").ok();
    ExitCode::from(code)
}

/// The environment, without what is not text and so cannot be meant for this program.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
