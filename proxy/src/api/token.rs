//! `/cgi-bin/token` and `/cgi-bin/stable_token`: what SDKs ask for first. Without `[clients]` they get the real token, with
//! them an edge token, for the client's key in the place of the AppSecret.

use super::caller::Caller;
use super::edge_token::KeyHash;
use super::record::Record;
use super::refusal::Refusal;
use super::{Ended, Stop, edge_token, identify};
use crate::account::Account;
use crate::callback::unix_now_s;
use crate::connection::Arrival;
use crate::edge::Edge;
use crate::limits;
use pingora::protocols::http::ServerSession;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use wxedge_wechat::api::query;
use wxedge_wechat::api::target::Target;

/// What the edge reads of such a request; `grant_type` and `force_refresh` change nothing.
#[derive(Default, Deserialize)]
struct Asked {
    #[serde(default)]
    appid: Option<String>,
    #[serde(default)]
    secret: Option<String>,
}

/// Answers it.
///
/// # Errors
/// WeChat's own 40013 and 40125, or why there is no token.
pub async fn answer(
    edge: &Arc<Edge>,
    session: &mut ServerSession,
    target: &Target<'_>,
    named: Option<Arc<Account>>,
    arrival: Arrival,
    record: &mut Record,
) -> Result<Ended, Stop> {
    let asked = asked(session, target, arrival.read_by()).await?;
    let account = account(edge, named, asked.appid.as_deref())?;
    record.account = account.config.name.clone();
    let key = identify::authorization(session).or(asked.secret.as_deref()).unwrap_or_default();
    let caller = caller(edge, key, arrival)?;
    record.client = caller.name().to_owned();
    caller.count()?;
    caller.may_use(&account.config.name)?;
    let (token, expires_in) = match &caller {
        Caller::Anyone => super::endpoint::access_token(&account).await?,
        Caller::Client(client) => {
            let names = (&client.config.name, &account.config.name);
            let (key, now_s) = (KeyHash::of(key), unix_now_s().unsigned_abs());
            let token = edge.edge_tokens.issue(names.0, names.1, key, now_s);
            (token, edge_token::EXPIRES_IN_S)
        }
    };
    Ok(Ended::Own(json!({"access_token": token, "expires_in": expires_in})))
}

async fn asked(
    session: &mut ServerSession,
    target: &Target<'_>,
    by: Instant,
) -> Result<Asked, Stop> {
    let query = target.query().unwrap_or_default();
    let of_query = |name| query::value(query, name).map(|value| value.into_owned());
    let in_query = Asked { appid: of_query("appid"), secret: of_query("secret") };
    if session.is_body_empty() {
        return Ok(in_query);
    }
    let body = super::body::small(session, limits::API_TOKEN_REQUEST_BYTES, by).await?;
    let in_body: Asked = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Asked {
        appid: in_body.appid.or(in_query.appid),
        secret: in_body.secret.or(in_query.secret),
    })
}

fn account(
    edge: &Edge,
    named: Option<Arc<Account>>,
    appid: Option<&str>,
) -> Result<Arc<Account>, Refusal> {
    let is_it = |account: &Arc<Account>| appid.is_some_and(|appid| account.config.appid == appid);
    match named {
        Some(named) if appid.is_none() || is_it(&named) => Ok(named),
        Some(_) => Err(Refusal::unknown_appid()),
        None => edge.accounts().into_iter().find(is_it).ok_or(Refusal::unknown_appid()),
    }
}

fn caller(edge: &Edge, key: &str, arrival: Arrival) -> Result<Caller, Refusal> {
    let state = edge.state();
    if state.clients.is_empty() {
        return identify::anyone(arrival.peer);
    }
    let client = state.clients.by_key(key).ok_or(Refusal::wrong_key())?;
    Ok(Caller::Client(client.clone()))
}
