//! `/_fake/`: the fake, driven from other programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::Answer;
use super::fault::{Fault, Scope};
use super::query::{parameters, value};
use super::server::{Server, lock};
use super::wire::Head;

/// Does what is asked, or says what can be asked.
pub(super) fn answer(server: &Server, head: &Head) -> Answer {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let parameters = parameters(query);
    let parameter = |name: &str| value(&parameters, name).ok_or(format!("{name} is missing"));
    let account = || {
        let appid = parameter("appid")?;
        let known = lock(&server.platform).knows(appid);
        if known { Ok(appid) } else { Err("appid is unknown".to_owned()) }
    };
    let done = match (head.method.as_str(), path) {
        ("GET", "/_fake/requests") => Ok(requests(server)),
        ("GET", "/_fake/fetches") => Ok(fetches(server)),
        ("POST", "/_fake/kill_token") => account().map(|appid| {
            lock(&server.platform).tokens.kill(appid, server.clock.now());
            json!({})
        }),
        ("POST", "/_fake/kill_token_same") => account().map(|appid| {
            lock(&server.platform).tokens.refuse_current(appid);
            json!({})
        }),
        ("POST", "/_fake/always_40001") => parameter("path").map(|path| {
            lock(&server.faults).always(Scope::from(path), Fault::Errcode(40001));
            json!({})
        }),
        ("POST", "/_fake/clock") => parameter("advance_s").and_then(|seconds| {
            let seconds = seconds.parse().map_err(|_| "advance_s is no number".to_owned())?;
            server.clock.advance(Duration::from_secs(seconds));
            Ok(json!({"now": server.clock.now().as_secs()}))
        }),
        ("POST", "/_fake/reset") => {
            server.forget();
            lock(&server.faults).heal_all();
            Ok(json!({}))
        }
        _ => return error(404, "see tests/README.md for what there is"),
    };
    done.map_or_else(|what| error(400, &what), |value| Answer::json(&value))
}

fn requests(server: &Server) -> Value {
    lock(&server.record).requests.iter().map(|request| request.to_json()).collect()
}

fn fetches(server: &Server) -> Value {
    let record = lock(&server.record);
    let fetches = record.fetches;
    json!({
        "token": fetches.token,
        "stable": fetches.stable,
        "forced": fetches.forced,
        "mistakes": record.mistakes,
    })
}

fn error(status: u16, what: &str) -> Answer {
    Answer { status, ..Answer::json(&json!({"error": what})) }
}
