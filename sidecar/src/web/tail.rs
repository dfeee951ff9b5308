//! `GET /v1/tail`: the edge's events as they come, as server-sent events.

use super::{Shared, error};
use crate::limits;
use crate::watch::Told;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde_json::json;
use std::convert::Infallible;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::timeout;

pub(super) async fn tail(State(site): Shared) -> Response {
    let Ok(place) = site.tails.clone().try_acquire_owned() else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "too many read the tail");
    };
    let (lines, body) = Channel::new(1);
    let (tail, stopped) = (site.watch.tail(), site.stopped.clone());
    // It ends with its reader, which is looked for at every heartbeat.
    tokio::spawn(async move {
        send(tail, lines, stopped).await;
        drop(place);
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::new(body)).into_response()
}

async fn send(
    mut tail: Receiver<Told>,
    mut lines: Sender<Bytes, Infallible>,
    mut stopped: watch::Receiver<bool>,
) {
    // The first bytes at once, so that the reader knows that it is heard.
    let mut line = Bytes::from_static(b":\n\n");
    while lines.send_data(line).await.is_ok() {
        let told = tokio::select! {
            told = timeout(limits::TAIL_HEARTBEAT, tail.recv()) => told,
            _ = stopped.changed() => return,
        };
        line = match told {
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
