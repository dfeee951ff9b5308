//! `fake-wechat-api`: plays `api.weixin.qq.com` for an edge, a benchmark or an SDK. See `tests/README.md`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it speaks to the person who typed it"
)]

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use wxedge_tests::wechat_api::{Builder, Clock};

/// Plays WeChat's API: hands out tokens by the real rules and answers calls.
#[derive(Debug, Parser)]
#[command(name = "fake-wechat-api")]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The AppID of an account; once for each account.
    #[arg(long, required = true)]
    appid: Vec<String>,
    /// The AppSecret of the account, in the same order.
    #[arg(long, required = true)]
    secret: Vec<String>,
    /// How long tokens live, in seconds.
    #[arg(long, default_value_t = 7200, value_parser = clap::value_parser!(u64).range(1..))]
    token_lifetime_s: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.appid.len() != arguments.secret.len() {
        eprintln!("every --appid needs its --secret");
        return ExitCode::from(2);
    }
    let accounts = arguments.appid.iter().zip(&arguments.secret);
    let builder = Builder::new().listen(arguments.listen).clock(Clock::running()).control();
    let builder = accounts.fold(builder, |builder, (appid, secret)| builder.account(appid, secret));
    let api = match builder.start() {
        Ok(api) => api,
        Err(error) => {
            eprintln!("cannot listen at {}: {error}", arguments.listen);
            return ExitCode::FAILURE;
        }
    };
    api.token_lifetime(std::time::Duration::from_secs(arguments.token_lifetime_s));
    println!("fake-wechat-api listens at {}", api.url());
    loop {
        // Until it is killed; the work is done on other threads.
        std::thread::park();
    }
}
