//! `GET /v1/tail`: the edge's events as they come, as server-sent events.

use super::Shared;
use crate::limits;
use crate::watch::Told;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde_json::json;
use std::convert::Infallible;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

pub(super) async fn tail(State(site): Shared) -> Response {
    let (lines, body) = Channel::new(1);
    // It ends with its reader, which is looked for at every heartbeat.
    tokio::spawn(send(site.watch.tail(), lines));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::new(body)).into_response()
}

async fn send(mut tail: Receiver<Told>, mut lines: Sender<Bytes, Infallible>) {
    // The first bytes at once, so that the reader knows that it is heard.
    let mut line = Bytes::from_static(b":\n\n");
    while lines.send_data(line).await.is_ok() {
        line = match timeout(limits::TAIL_HEARTBEAT, tail.recv()).await {
            Ok(Ok(told)) => server_sent(&told.0, &told.1),
            Ok(Err(RecvError::Lagged(lost))) => {
                server_sent("lost", &json!({"n": lost}).to_string())
            }
            Ok(Err(RecvError::Closed)) => return,
            Err(_nothing) => Bytes::from_static(b":\n\n"),
        };
    }
}

fn server_sent(name: &str, data: &str) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}
