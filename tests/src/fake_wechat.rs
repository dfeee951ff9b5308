//! `fake-wechat`: plays WeChat against a callback URL and says what WeChat would have said. See `tests/README.md`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it speaks to the person who typed it"
)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Ledger, Mode, Verdict, Wechat};

/// Plays WeChat: verifies the URL, pushes messages, judges the answers as WeChat does.
#[derive(Debug, Parser)]
#[command(name = "fake-wechat")]
struct Arguments {
    /// The callback URL, http://
    #[arg(long)]
    url: String,
    /// The Token.
    #[arg(long)]
    token: String,
    /// The EncodingAESKey; not needed in plain mode.
    #[arg(long, default_value = wxedge_tests::canary::AES_KEY, hide_default_value = true)]
    aes_key: String,
    /// The AppID.
    #[arg(long)]
    appid: String,
    /// plain, compatible or safe.
    #[arg(long, default_value = "safe")]
    mode: Mode,
    /// The text of the messages.
    #[arg(long, default_value = "你好")]
    text: String,
    /// Push this event instead of a text.
    #[arg(long)]
    event: Option<String>,
    /// How many messages.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// How many of them at once.
    #[arg(long, default_value_t = 1)]
    concurrency: u64,
    /// An alarm at so many failures of a kind in 5 minutes.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    alarm: u64,
    /// Stop pushing for a minute at so many failures in 5 minutes.
    #[arg(long)]
    markfail: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.url.starts_with("http://") {
        eprintln!("--url must begin with http://");
        return ExitCode::from(2);
    }
    let mut ledger = Ledger::default().threshold(arguments.alarm as usize);
    if let Some(failures) = arguments.markfail {
        ledger = ledger.markfail(failures);
    }
    let wechat = Wechat::new(&arguments.url)
        .mode(arguments.mode)
        .appid(&arguments.appid)
        .token(&arguments.token)
        .aes_key(&arguments.aes_key)
        .ledger(ledger);
    let verified = wechat.verify().verdict == Verdict::Acknowledged;
    push(&wechat, &arguments);

    let report = wechat.report();
    let mut json = report.to_json();
    json["verified"] = verified.into();
    println!("{json:#}");
    if verified && report.is_quiet() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Pushes all messages, `concurrency` at once.
fn push(wechat: &Wechat, arguments: &Arguments) {
    let pushed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..arguments.concurrency.clamp(1, arguments.count.max(1)) {
            scope.spawn(|| {
                while pushed.fetch_add(1, Ordering::Relaxed) < arguments.count {
                    let message = match &arguments.event {
                        Some(event) => Message::event(event),
                        None => Message::text(&arguments.text),
                    };
                    // What came of it stands in the ledger.
                    let _push = wechat.push(&message);
                }
            });
        }
    });
}
