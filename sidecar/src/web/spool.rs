//! The edge's spool for the console. What the edge asks of an operator it asks here, too: its own key, which is passed on and
//! not kept. The sidecar's own key of the edge is not used for it.

use super::{Shared, Site, edge_key, error};
use crate::edge::client::AskError;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use reqwest::Method;

pub(super) async fn list(site: Shared, query: RawQuery, headers: HeaderMap) -> Response {
    pass(&site, Method::GET, "", query, &headers).await
}

pub(super) async fn entry(site: Shared, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    pass(&site, Method::GET, &format!("/{id}"), RawQuery(None), &headers).await
}

pub(super) async fn delete(site: Shared, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    pass(&site, Method::DELETE, &format!("/{id}"), RawQuery(None), &headers).await
}

pub(super) async fn replay(site: Shared, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    pass(&site, Method::POST, &format!("/{id}/replay"), RawQuery(None), &headers).await
}

pub(super) async fn replay_all(site: Shared, query: RawQuery, headers: HeaderMap) -> Response {
    pass(&site, Method::POST, "/replay", query, &headers).await
}

/// Asks the edge and gives its answer on.
async fn pass(
    State(site): &State<std::sync::Arc<Site>>,
    method: Method,
    path: &str,
    RawQuery(query): RawQuery,
    headers: &HeaderMap,
) -> Response {
    let settings = site.settings.load_full();
    if !settings.guard.loopback && !settings.edge.has_key() {
        let why = "off loopback the spool needs listen.admin_key at the edge, and edge.key here";
        return error(StatusCode::FORBIDDEN, why);
    }
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("/v1/spool{path}{query}");
    match settings.edge.spool(method, &path, edge_key(headers)).await {
        Ok((status, body)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(AskError::Timeout) => error(StatusCode::GATEWAY_TIMEOUT, "the edge does not answer"),
        Err(why) => error(StatusCode::BAD_GATEWAY, &why.to_string()),
    }
}
