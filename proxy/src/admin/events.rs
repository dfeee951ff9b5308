//! `GET /v1/events`: everything from now on, as server-sent events, until one end has enough.

use super::Admin;
use crate::events::Event;
use bytes::Bytes;
use http::header;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use serde_json::json;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// An idle event stream says so this often, which shows both ends whether the other one is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

impl Admin {
    /// Sends the stream.
    pub(super) async fn stream(&self, session: &mut ServerSession) -> pingora::Result<()> {
        let mut events = self.edge.events.subscribe();
        let mut head = ResponseHeader::build(200, Some(3))?;
        head.insert_header(header::CONTENT_TYPE, "text/event-stream")?;
        head.insert_header(header::CACHE_CONTROL, "no-store")?;
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        session.set_keepalive(None);
        session.set_write_timeout(Some(crate::limits::WRITE_TIMEOUT));
        session.write_response_header(Box::new(head)).await?;
        let hello =
            self.edge.events.event("hello", None, json!({"version": env!("CARGO_PKG_VERSION")}));
        session.write_response_body(server_sent(&hello), false).await?;
        loop {
            let chunk = tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => server_sent(&event),
                    Err(RecvError::Lagged(lost)) => {
                        self.edge.metrics.events_dropped.inc_by(lost);
                        server_sent(&self.edge.events.event("lost", None, json!({"n": lost})))
                    }
                    Err(RecvError::Closed) => break,
                },
                () = tokio::time::sleep(HEARTBEAT) => Bytes::from_static(b":\n\n"),
                () = self.edge.drain_begun() => break,
            };
            session.write_response_body(chunk, false).await?;
        }
        session.write_response_body(Bytes::new(), true).await
    }
}

fn server_sent(event: &Event) -> Bytes {
    format!("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.name, event.data).into()
}
