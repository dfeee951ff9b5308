//! A call to WeChat: the credential put in, the body streamed, an answer that refuses the token mended and the call repeated
//! once, where that is safe.

use super::Stop;
use super::body::Body;
use super::outcome::Outcome;
use super::record::Record;
use super::refusal::Refusal;
use super::{head, inspect};
use crate::account::Account;
use crate::api_base::{Connection, Failure};
use crate::credential::{Credentials, Value};
use crate::edge::Edge;
use crate::limits;
use bytes::{Bytes, BytesMut};
use http::{Method, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use std::sync::Arc;
use wxedge_wechat::api::errcode;
use wxedge_wechat::api::query::Inject;
use wxedge_wechat::api::route::{ApiPath, Credential};
use wxedge_wechat::api::target::Target;

/// A call that is let through.
pub struct Call<'a> {
    /// The edge.
    pub edge: &'a Arc<Edge>,
    /// Whose token it gets.
    pub account: &'a Arc<Account>,
    /// What is put in.
    pub credential: Credential,
    /// Where it goes, without the account.
    pub target: &'a Target<'a>,
    /// Its path, as the tables know it.
    pub path: &'a ApiPath<'a>,
}

/// What WeChat answered.
pub enum Answer {
    /// It was short enough to look into. Its head as it goes on, and its body.
    Whole(ResponseHeader, Bytes),
    /// Its head as it goes on, what has come of its body, and where the rest comes from.
    Stream(ResponseHeader, Bytes, Connection),
}

crate::opaque!(Call<'_>, Answer);

impl Call<'_> {
    /// Sends the call, and once more where an answer says that it was not executed and will be now.
    ///
    /// # Errors
    /// Why there is no answer to pass on.
    pub async fn forward(
        &self,
        session: &mut ServerSession,
        record: &mut Record,
    ) -> Result<(Outcome, Answer), Stop> {
        let credentials = self.credentials()?;
        let copy = self.edge.copies.begin(self.edge.state().config().api.replay_bytes);
        let mut body = Body::begin(session, copy).await?;
        let mut token = match self.credential {
            Credential::AccessToken => Some(self.token(credentials).await?),
            _ => None,
        };
        let mut fresh_token = false;
        let mut busy = 0;
        loop {
            let target = self.target_with(credentials, token.as_deref());
            let answer = self.exchange(&target, &mut body, session, record).await?;
            let Answer::Whole(_, whole) = &answer else {
                record.said(None);
                return Ok((Outcome::Ok, answer));
            };
            let said = match errcode::read(whole) {
                Some(said) => said,
                None => {
                    record.said(None);
                    return Ok((Outcome::Ok, answer));
                }
            };
            record.said(Some(&said));
            let refused = token.as_ref().filter(|_| errcode::is_token_rejected(said.errcode));
            if let Some(refused) = refused {
                // Passed on, the code would make SDKs ask for a token and call again, without end.
                let give_up = |why: &dyn std::fmt::Display| {
                    Refusal::bad_gateway(format!("WeChat refuses the access token ({}): {why}", said.errcode))
                };
                if fresh_token {
                    return Err(give_up(&"also a fresh one; see what this API needs").into());
                }
                let better = credentials.access_token.rejected(refused, said.errcode).await;
                token = Some(better.map_err(|missing| give_up(&missing))?);
                if body.again().is_none() {
                    // Too long for a copy. The caller's own repetition gets the better token.
                    return Ok((Outcome::Errcode, answer));
                }
                fresh_token = true;
            } else if said.errcode == errcode::BUSY
                && busy < limits::API_BUSY_REPEATS
                && body.again().is_some()
                && self.path.is_idempotent(session.req_header().method.as_str())
            {
                let pause = limits::API_BUSY_PAUSE * 2u32.pow(busy);
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                busy += 1;
            } else {
                return Ok((Outcome::Errcode, answer));
            }
        }
    }

    fn credentials(&self) -> Result<&Arc<Credentials>, Refusal> {
        self.account.credentials.as_ref().ok_or_else(|| {
            let name = &self.account.config.name;
            Refusal::unavailable(format!("accounts.{name} has no `secret`, so there is no token"))
        })
    }

    async fn token(&self, credentials: &Credentials) -> Result<Arc<Value>, Refusal> {
        let token = credentials.access_token.get().await;
        token.map_err(|missing| Refusal::unavailable(format!("no access token: {missing}")))
    }

    /// Path and query as they go to WeChat.
    fn target_with(&self, credentials: &Credentials, token: Option<&Value>) -> String {
        let appid = self.account.config.appid.as_str();
        match self.credential {
            Credential::AccessToken => {
                let token = token.map_or("", |token| token.secret().expose());
                Inject::AccessToken(token).rewrite(self.target)
            }
            Credential::AppidAndSecret => {
                let secret = credentials.secret();
                Inject::AppidAndSecret { appid, secret: secret.expose() }.rewrite(self.target)
            }
            Credential::Appid => Inject::Appid(appid).rewrite(self.target),
            Credential::AsSent => Inject::AsSent.rewrite(self.target),
        }
    }

    /// One request and its answer.
    async fn exchange(
        &self,
        target: &str,
        body: &mut Body<'_>,
        session: &mut ServerSession,
        record: &mut Record,
    ) -> Result<Answer, Stop> {
        let bases = self.edge.api_bases();
        let mut connection = bases.connect().await.map_err(unreached)?;
        record.attempts += 1;
        let mut answer = self.once(&mut connection, target, body, session).await;
        let gone_idle = matches!(answer, Err(Stop::Failed(Failure::Reset)));
        // WeChat closed the connection while it was idle, perhaps. A GET may come twice.
        if gone_idle
            && connection.is_reused()
            && matches!(session.req_header().method, Method::GET | Method::HEAD)
            && body.again().is_some()
        {
            connection = bases.fresh(&connection.base().clone()).await.map_err(unreached)?;
            record.attempts += 1;
            answer = self.once(&mut connection, target, body, session).await;
        }
        answer?;
        self.receive(connection).await
    }

    /// Sends the request on a connection and waits for the head of its answer.
    async fn once(
        &self,
        connection: &mut Connection,
        target: &str,
        body: &mut Body<'_>,
        session: &mut ServerSession,
    ) -> Result<(), Stop> {
        let mut request = head::request(session.req_header(), target).map_err(|_| unsendable())?;
        request
            .insert_header(header::HOST, connection.base().host().clone())
            .map_err(|_| unsendable())?;
        let framed = match body.length() {
            Some(length) => request.insert_header(header::CONTENT_LENGTH, length),
            None if body.is_empty() => Ok(()),
            None => request.insert_header(header::TRANSFER_ENCODING, "chunked"),
        };
        framed.map_err(|_| unsendable())?;
        match self.send(connection, request, body, session).await {
            // It may have refused the rest, and have said why.
            Err(Stop::Failed(failure)) => {
                session.set_keepalive(None);
                let said = tokio::time::timeout(limits::API_LAST_WORDS, connection.answer()).await;
                match said {
                    Ok(Ok(())) => Ok(()),
                    _ => Err(Stop::Failed(failure)),
                }
            }
            Err(stop) => Err(stop),
            Ok(()) => Ok(connection.answer().await?),
        }
    }

    async fn send(
        &self,
        connection: &mut Connection,
        request: pingora::http::RequestHeader,
        body: &mut Body<'_>,
        session: &mut ServerSession,
    ) -> Result<(), Stop> {
        connection.send_head(request).await?;
        if let Some(copy) = body.again() {
            for chunk in copy {
                connection.send(chunk).await?;
            }
        } else {
            while let Some(chunk) = body.next(session).await? {
                connection.send(&chunk).await?;
            }
        }
        Ok(connection.finish().await?)
    }

    /// Reads what can be looked into; leaves the rest to be streamed.
    async fn receive(&self, mut connection: Connection) -> Result<Answer, Stop> {
        let from = connection.head()?;
        let head = head::answer(from).map_err(|_| Failure::Invalid)?;
        let mut read = BytesMut::new();
        if !inspect::is_worth_reading(from) {
            return Ok(Answer::Stream(head, read.freeze(), connection));
        }
        while let Some(chunk) = connection.chunk().await? {
            // Whole in one piece, as most are: no copy.
            if read.is_empty() && connection.is_done() && chunk.len() <= limits::API_INSPECT_BYTES {
                connection.release().await;
                return Ok(Answer::Whole(head, chunk));
            }
            read.extend_from_slice(&chunk);
            if read.len() > limits::API_INSPECT_BYTES || !inspect::may_be_object(&read) {
                return Ok(Answer::Stream(head, read.freeze(), connection));
            }
        }
        connection.release().await;
        Ok(Answer::Whole(head, read.freeze()))
    }
}

fn unreached(failure: Failure) -> Stop {
    Refusal::bad_gateway(failure.to_string()).into()
}

/// A head that was parsed from a request can be written into one.
fn unsendable() -> Stop {
    Refusal::bad_request("the request has a header that cannot be sent on").into()
}
