//! The edge's own endpoints: tokens, tickets and JS-SDK configurations for programs that are no SDK.

use super::record::Record;
use super::refusal::Refusal;
use super::{Ended, identify, jssdk};
use crate::account::Account;
use crate::callback::unix_now_s;
use crate::connection::Arrival;
use crate::credential::{self, Kind};
use crate::edge::Edge;
use http::Method;
use pingora::protocols::http::ServerSession;
use serde_json::{Value, json};
use std::sync::Arc;
use wxedge_wechat::api::jssdk::signature;
use wxedge_wechat::api::query;
use wxedge_wechat::api::route::{Local, Route};
use wxedge_wechat::api::target::Target;

/// Answers a request for `/v1/…`.
///
/// # Errors
/// Why not.
pub async fn answer(
    edge: &Arc<Edge>,
    session: &ServerSession,
    target: &Target<'_>,
    arrival: Arrival,
    record: &mut Record,
) -> Result<Ended, Refusal> {
    let route = Route::Local(Local::Token);
    let (caller, bearer) = identify::identify(edge, session, target, route, arrival.peer)?;
    record.client = caller.name().to_owned();
    caller.count()?;
    let path: Vec<&str> = target.segments().collect();
    let (name, what) = match path.as_slice() {
        ["v1", "accounts", name, what @ ..] => (*name, what),
        _ => return Err(Refusal::not_found("there is no such endpoint")),
    };
    let account = edge.account(name).ok_or(Refusal::not_found("there is no such account"))?;
    record.account = account.config.name.clone();
    caller.may_use(name)?;
    if bearer.is_some_and(|bearer| bearer.account() != name) {
        return Err(Refusal::forbidden("the edge token is for another account"));
    }
    if session.req_header().method != Method::GET {
        return Err(Refusal::bad_request("only GET"));
    }
    let object = match what {
        ["token"] => {
            caller.may_read_token()?;
            let (token, expires_in) = access_token(&account).await?;
            json!({"access_token": token, "expires_in": expires_in})
        }
        ["ticket", kind @ ("jsapi" | "wx_card")] => {
            let (ticket, expires_in) = value(&account, ticket_kind(kind)).await?;
            json!({"ticket": ticket, "expires_in": expires_in})
        }
        ["jssdk"] => {
            let url = query::value(target.query().unwrap_or_default(), "url");
            let url = url.ok_or(Refusal::bad_request("url=<percent-encoded page> is missing"))?;
            let page = jssdk::page(&url, &account.config.jssdk_hosts)
                .map_err(|refused| Refusal::forbidden(refused.to_string()))?;
            let (ticket, _) = value(&account, Kind::Jsapi).await?;
            configuration(&account.config.appid, &ticket, page)
        }
        _ => return Err(Refusal::not_found("there is no such endpoint")),
    };
    Ok(Ended::Own(object))
}

/// `/cgi-bin/ticket/getticket` from the cache; nothing for a type that is not kept.
///
/// # Errors
/// Why there is no ticket.
pub async fn ticket(account: &Account, target: &Target<'_>) -> Result<Option<Value>, Refusal> {
    let kind = query::value(target.query().unwrap_or_default(), "type");
    let Some(kind @ ("jsapi" | "wx_card")) = kind.as_deref() else { return Ok(None) };
    let (ticket, expires_in) = value(account, ticket_kind(kind)).await?;
    Ok(Some(json!({"errcode": 0, "errmsg": "ok", "ticket": ticket, "expires_in": expires_in})))
}

/// The real token and the seconds it still lives.
///
/// # Errors
/// Why there is none.
pub async fn access_token(account: &Account) -> Result<(String, u64), Refusal> {
    value(account, Kind::AccessToken).await
}

fn ticket_kind(name: &str) -> Kind {
    if name == Kind::WxCard.name() { Kind::WxCard } else { Kind::Jsapi }
}

async fn value(account: &Account, kind: Kind) -> Result<(String, u64), Refusal> {
    let name = &account.config.name;
    let credentials = account.credentials.as_ref().ok_or_else(|| {
        Refusal::unavailable(format!("accounts.{name} has no `secret`, so there is no token"))
    })?;
    let value = credentials.of(kind).get().await;
    let missing = |missing| Refusal::unavailable(format!("no {}: {missing}", kind.name()));
    let value = value.map_err(missing)?;
    Ok((value.secret().expose().to_owned(), value.life(credential::now()).as_secs()))
}

/// What a page gives to `wx.config`.
fn configuration(appid: &str, ticket: &str, page: &str) -> Value {
    let timestamp = unix_now_s();
    let nonce = format!("{:016x}", rand::random::<u64>());
    let signature = signature(ticket, &nonce, &timestamp.to_string(), page);
    json!({
        "appId": appid,
        "timestamp": timestamp,
        "nonceStr": nonce,
        "signature": signature.to_string(),
    })
}
