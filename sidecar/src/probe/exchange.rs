//! One request and its answer, on a connection that was made before.

use crate::limits;
use crate::observation::{Fault, FaultKind};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};

/// An answer.
pub(super) struct Answer {
    pub(super) head: Response<()>,
    /// Its first [`limits::PROBE_BODY_BYTES`] bytes.
    pub(super) body: Vec<u8>,
    /// All bytes of the body that came.
    pub(super) length: u64,
}

/// Something like a connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Sends a request and reads the answer whole, within `within`.
///
/// # Errors
/// Why there is none.
pub(super) async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Empty<Bytes>>,
    within: Duration,
) -> Result<Answer, Fault> {
    let timeout = || Fault::new(FaultKind::AnswerTimeout, "no whole answer within 5 s");
    let broken = |error: hyper::Error| {
        if error.is_parse() {
            Fault::new(FaultKind::EchoWrong, "what comes is no HTTP")
        } else {
            Fault::new(FaultKind::ConnectRefused, "the connection is closed without a whole answer")
        }
    };
    let exchanged = tokio::time::timeout(within, ask(stream, request)).await;
    exchanged.map_err(|_| timeout())?.map_err(broken)
}

/// Asks for the head of `/`, within what is left of the time for an answer since `begun`.
///
/// # Errors
/// Why there is none.
pub(super) async fn head(
    host_port: &str,
    begun: Instant,
    stream: Box<dyn Stream>,
) -> Result<Answer, Fault> {
    let left = limits::ANSWER_TIMEOUT.saturating_sub(begun.elapsed());
    let request = Request::head("/")
        .header(HOST, host_port)
        .header(CONNECTION, HeaderValue::from_static("close"))
        .body(Empty::new());
    // A host that is no header value has no address either.
    let request = request.map_err(|_| Fault::new(FaultKind::DnsFailure, "no such host"))?;
    exchange(stream, request, left).await
}

async fn ask(
    stream: Box<dyn Stream>,
    request: Request<Empty<Bytes>>,
) -> Result<Answer, hyper::Error> {
    let mut builder = http1::Builder::new();
    let (mut sender, connection) =
        builder.title_case_headers(true).handshake(TokioIo::new(stream)).await?;
    let answered = async move {
        let response = sender.send_request(request).await?;
        read(response).await
    };
    // The connection has to be driven for the answer to come; the answer is what is waited for.
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        driven = connection => match driven {
            Ok(()) => answered.await,
            Err(error) => Err(error),
        },
    }
}

async fn read(response: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let (parts, mut incoming) = response.into_parts();
    let (mut body, mut length) = (Vec::new(), 0);
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        length += data.len() as u64;
        let room = limits::PROBE_BODY_BYTES - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        if body.len() == limits::PROBE_BODY_BYTES {
            break;
        }
    }
    Ok(Answer { head: Response::from_parts(parts, ()), body, length })
}
