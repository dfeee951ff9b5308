//! A fake that takes everything proves nothing: it has to keep to WeChat's rules, and to fail as it is told.

mod custom;
mod egress;
mod faults;
mod framing;
mod quotas;
mod rules;
mod tls;
mod tokens;

use serde_json::{Value, json};

use super::*;
use crate::http;

/// A call of the API with a token; what came of it.
fn call(api: &Api, path: &str, token: &str) -> i64 {
    let answer = http::get(api.address(), &format!("{path}?access_token={token}"));
    assert_eq!(answer.status, 200, "business errors are no HTTP errors");
    answer.json()["errcode"].as_i64().unwrap_or(0)
}

/// A call of any API.
fn try_token(api: &Api, token: &str) -> i64 {
    call(api, "/cgi-bin/anything", token)
}

fn get(api: &Api, target: &str) -> Value {
    http::get(api.address(), target).json()
}

fn post(api: &Api, target: &str, body: &Value) -> Value {
    let headers = [("content-type", "application/json")];
    http::send(api.address(), "POST", target, &headers, body.to_string().as_bytes()).json()
}

/// `/cgi-bin/token` of [`MAIN`].
fn plain(api: &Api) -> Value {
    let secret = canary::SECRET;
    let query = format!("grant_type=client_credential&appid={MAIN}&secret={secret}");
    get(api, &format!("/cgi-bin/token?{query}"))
}

/// `/cgi-bin/stable_token` of [`MAIN`].
fn stable(api: &Api, force: bool) -> Value {
    let body = json!({
        "grant_type": "client_credential",
        "appid": MAIN,
        "secret": canary::SECRET,
        "force_refresh": force,
    });
    post(api, "/cgi-bin/stable_token", &body)
}

/// The token in an answer.
#[track_caller]
fn token(answer: &Value) -> String {
    let token = answer["access_token"].as_str();
    token.unwrap_or_else(|| panic!("no token in {answer}")).to_owned()
}

fn minutes(number: u64) -> Duration {
    Duration::from_secs(number * 60)
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}
