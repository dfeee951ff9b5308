//! Who calls: by the key of a client, by an edge token, or, while no client is configured, somebody on this machine.

use super::caller::Caller;
use super::edge_token::{self, Bearer};
use super::refusal::Refusal;
use crate::callback::unix_now_s;
use crate::edge::Edge;
use http::header;
use pingora::protocols::http::ServerSession;
use std::net::IpAddr;
use wxedge_wechat::api::query;
use wxedge_wechat::api::route::{Credential, Route};
use wxedge_wechat::api::target::Target;

/// Says who makes a call, and what the edge token says that it carries, if it carries one.
///
/// # Errors
/// 401 when that is unknown.
pub fn identify(
    edge: &Edge,
    session: &ServerSession,
    target: &Target<'_>,
    route: Route,
    peer: IpAddr,
) -> Result<(Caller, Option<Bearer>), Refusal> {
    let state = edge.state();
    let carried = target.query().and_then(|query| query::value(query, "access_token"));
    let user_token = matches!(route, Route::Forward(Credential::AsSent));
    if user_token && carried.as_deref().is_some_and(edge_token::looks_like) {
        let message = "this API takes the user's own access_token; send the edge token as Authorization: Bearer";
        return Err(Refusal::bad_request(message));
    }
    let header = authorization(session);
    let token = header.filter(|text| edge_token::looks_like(text));
    let token = token.or(carried.as_deref().filter(|text| edge_token::looks_like(text)));
    let bearer = token.map(|token| edge.edge_tokens.read(token, unix_now_s().unsigned_abs()));
    let bearer = bearer
        .transpose()
        .map_err(|_invalid| Refusal::unauthorized("the edge token is not valid, or no longer"))?;
    if state.clients.is_empty() {
        return anyone(peer).map(|caller| (caller, bearer));
    }
    let key = header.filter(|text| !edge_token::looks_like(text)).map(str::to_owned);
    // SDKs send their secret here, and theirs is the client's key.
    let key = key.or_else(|| match route {
        Route::Forward(Credential::AppidAndSecret) => {
            query::value(target.query()?, "secret").map(|secret| secret.into_owned())
        }
        _ => None,
    });
    let by_key = match &key {
        None => None,
        Some(key) => Some(
            state
                .clients
                .by_key(key)
                .ok_or(Refusal::unauthorized("no client of this edge has this key"))?,
        ),
    };
    let by_token = match &bearer {
        None => None,
        Some(bearer) => Some(
            state
                .clients
                .by_name(bearer.client())
                .filter(|client| client.has_key_hash(bearer.key()))
                .ok_or(Refusal::unauthorized(
                    "the edge token is of a client or key that is gone",
                ))?,
        ),
    };
    match (by_key, by_token) {
        (Some(key), Some(token)) if key.config.name != token.config.name => {
            Err(Refusal::unauthorized("key and edge token are of different clients"))
        }
        (Some(client), _) | (None, Some(client)) => Ok((Caller::Client(client.clone()), bearer)),
        (None, None) => Err(Refusal::unauthorized(
            "authorization: Bearer <key of a client>, or an edge token as access_token, is needed",
        )),
    }
}

/// Somebody on this machine, while no client is configured.
///
/// # Errors
/// 401 for everybody else.
pub fn anyone(peer: IpAddr) -> Result<Caller, Refusal> {
    if peer.is_loopback() {
        return Ok(Caller::Anyone);
    }
    Err(Refusal::unauthorized("without [clients] only programs on this machine may call"))
}

/// What follows `Bearer` in the header.
pub fn authorization(session: &ServerSession) -> Option<&str> {
    let value = session.get_header(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}
