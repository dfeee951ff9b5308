//! Small calls of the edge's own: a token, a ticket, a list.

use super::{ApiBases, Connection, Failure};
use crate::limits;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, header};
use pingora::http::RequestHeader;
use tokio::time::{Instant, timeout_at};

/// One small call.
pub struct Call {
    /// GET or POST.
    pub method: Method,
    /// Path and query; it may hold a secret.
    pub target: String,
    /// JSON, with POST.
    pub body: Bytes,
    /// Whether WeChat may get it twice: what is fetched, never what is posted. What may not goes over a connection of
    /// its own, because a kept one that WeChat closes at that moment would leave open whether the call arrived.
    pub repeatable: bool,
}

crate::opaque!(Call);

impl ApiBases {
    /// Sends a small call and reads its whole answer: its status and its body.
    ///
    /// # Errors
    /// Why there is no answer; of what is not repeatable, [`Failure::is_unsent`] says whether it may have arrived.
    pub async fn call(&self, call: &Call) -> Result<(u16, Bytes), Failure> {
        let by = Instant::now() + limits::API_OWN_CALL_TIMEOUT;
        let connect = async {
            if call.repeatable { self.connect().await } else { self.connect_anew().await }
        };
        let connection = timeout_at(by, connect).await.unwrap_or(Err(Failure::ConnectTimeout))?;
        timeout_at(by, self.complete(connection, call)).await.unwrap_or(Err(Failure::Timeout))
    }

    async fn complete(
        &self,
        mut connection: Connection,
        call: &Call,
    ) -> Result<(u16, Bytes), Failure> {
        let mut answer = exchange(&mut connection, call).await;
        // WeChat closed it while it was idle, or is gone.
        if answer == Err(Failure::Reset) && connection.is_reused() && call.repeatable {
            connection = self.connect_anew().await?;
            answer = exchange(&mut connection, call).await;
        }
        if answer.is_ok() {
            connection.release().await;
        }
        answer
    }
}

async fn exchange(connection: &mut Connection, call: &Call) -> Result<(u16, Bytes), Failure> {
    let head = RequestHeader::build(call.method.clone(), call.target.as_bytes(), Some(3));
    let mut head = head.map_err(|_| Failure::Invalid)?;
    let mut insert =
        |name, value: HeaderValue| head.insert_header(name, value).map_err(|_| Failure::Invalid);
    insert(header::HOST, connection.base().host().clone())?;
    if call.method == Method::POST {
        insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))?;
        insert(header::CONTENT_LENGTH, call.body.len().into())?;
    }
    connection.send_head(head).await?;
    connection.send(&call.body).await?;
    connection.finish().await?;
    connection.answer().await?;
    let status = connection.head()?.status.as_u16();
    let mut body = BytesMut::new();
    while let Some(chunk) = connection.chunk().await? {
        if body.len() + chunk.len() > limits::API_OWN_ANSWER_BYTES {
            return Err(Failure::Invalid);
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body.freeze()))
}
