//! A call to WeChat: the credential put in, the body streamed, an answer that refuses the token mended and the call repeated
//! once, where that is safe.

use super::Stop;
use super::body::Body;
use super::budget::{Count, Left};
use super::outcome::Outcome;
use super::record::Record;
use super::refusal::Refusal;
use super::{head, inspect};
use crate::account::Account;
use crate::api_base::{Connection, Failure};
use crate::callback::unix_now_s;
use crate::credential::{Credentials, Value};
use crate::edge::Edge;
use crate::limits;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, header};
use pingora::http::{RequestHeader, ResponseHeader};
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
    /// The daily budget it counts against, if it has one.
    pub budget: Option<Spending<'a>>,
}

/// A daily budget, and whose.
pub struct Spending<'a> {
    /// The budget.
    pub count: Arc<Count>,
    /// The client's name.
    pub client: &'a str,
}

/// What WeChat answered. The head is the one that goes to the caller.
pub enum Answer {
    /// It was short enough to look into.
    Whole(Box<ResponseHeader>, Bytes),
    /// What has come of its body, and where the rest comes from.
    Stream(Box<ResponseHeader>, Bytes, Box<Connection>),
}

crate::opaque!(Call<'_>, Spending<'_>, Answer);

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
        let copy = self.edge.copies.begin(self.edge.state().config().api.replay_bytes);
        let mut body = Body::begin(session, copy).await?;
        let mut token = match self.credential {
            Credential::AccessToken => Some(self.token().await?),
            _ => None,
        };
        let mut fresh_token = false;
        let mut busy = 0;
        loop {
            let target = self.target_with(token.as_deref())?;
            let answer = self.exchange(&target, &mut body, session, record).await?;
            let said = match &answer {
                Answer::Whole(_, whole) => errcode::read(whole),
                Answer::Stream(..) => None,
            };
            record.said(said.as_ref());
            let Some(said) = said else { return Ok((Outcome::Ok, answer)) };
            let refused = token.as_ref().filter(|_| errcode::is_token_rejected(said.errcode));
            if let Some(refused) = refused {
                // Passed on, the code would make SDKs ask for a token and call again, without end.
                let give_up = |why: &dyn std::fmt::Display| {
                    let code = said.errcode;
                    Refusal::bad_gateway(format!("WeChat refuses the access token ({code}): {why}"))
                };
                if fresh_token {
                    return Err(give_up(&"also a fresh one; see what this API needs").into());
                }
                let better = self.credentials()?.access_token.rejected(refused, said.errcode).await;
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

    async fn token(&self) -> Result<Arc<Value>, Refusal> {
        let token = self.credentials()?.access_token.get().await;
        token.map_err(|missing| Refusal::unavailable(format!("no access token: {missing}")))
    }

    /// Path and query as they go to WeChat.
    fn target_with(&self, token: Option<&Value>) -> Result<String, Refusal> {
        let appid = self.account.config.appid.as_str();
        let inject = match self.credential {
            Credential::AccessToken => {
                Inject::AccessToken(token.map_or("", |token| token.secret().expose()))
            }
            Credential::AppidAndSecret => {
                let secret = self.credentials()?.secret();
                let inject = Inject::AppidAndSecret { appid, secret: secret.expose() };
                return Ok(inject.rewrite(self.target));
            }
            Credential::Appid => Inject::Appid(appid),
            Credential::AsSent => Inject::AsSent,
        };
        Ok(inject.rewrite(self.target))
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
        if record.attempts == 0 {
            self.spend()?;
        }
        record.attempts += 1;
        let mut answer = self.once(&mut connection, target, body, session).await;
        // WeChat closed the connection while it was idle, or is gone. What only reads may come twice, but never a POST.
        if matches!(answer, Err(Stop::Failed(Failure::Reset)))
            && connection.is_reused()
            && session.req_header().method == Method::GET
            && self.path.is_idempotent("GET")
            && body.again().is_some()
        {
            connection = bases.connect_anew().await.map_err(unreached)?;
            record.attempts += 1;
            answer = self.once(&mut connection, target, body, session).await;
        }
        answer?;
        self.receive(connection).await
    }

    /// Counts the call against its budget, now that it can be sent.
    fn spend(&self) -> Result<(), Refusal> {
        let Some(Spending { count, client }) = &self.budget else { return Ok(()) };
        match count.take(unix_now_s()) {
            Left::Some => Ok(()),
            Left::None => {
                let (account, path) = (&self.account.config.name, self.path.as_str());
                log::warn!("clients.{client}.budgets: {path} of {account} is used up for today");
                Ok(())
            }
            Left::Refused => Err(Refusal::budget_used_up(format!(
                "reach max api daily quota limit: the budget of client {client} for this API"
            ))),
        }
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
        let host = connection.base().host().clone();
        request.insert_header(header::HOST, host).map_err(|_| unsendable())?;
        let framed = match body.length() {
            Some(length) => request.insert_header(header::CONTENT_LENGTH, length),
            // A POST without a length is 411 to many servers.
            None if body.is_empty() && expects_body(&request.method) => {
                request.insert_header(header::CONTENT_LENGTH, 0)
            }
            None if body.is_empty() => Ok(()),
            None => {
                let chunked = HeaderValue::from_static("chunked");
                request.insert_header(header::TRANSFER_ENCODING, chunked)
            }
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
        request: RequestHeader,
        body: &mut Body<'_>,
        session: &mut ServerSession,
    ) -> Result<(), Stop> {
        connection.send_head(request).await?;
        if let Some(parts) = body.again() {
            for part in parts {
                connection.send(part).await?;
            }
        } else {
            while let Some(part) = body.next(session).await? {
                connection.send(&part).await?;
            }
        }
        Ok(connection.finish().await?)
    }

    /// Reads what can be looked into; leaves the rest to be streamed.
    async fn receive(&self, mut connection: Connection) -> Result<Answer, Stop> {
        let from = connection.head()?;
        let head = Box::new(head::answer(from).map_err(|_| Failure::Invalid)?);
        if head::is_redirect(from) {
            // Its body repeats where it leads, which holds the token.
            return Ok(Answer::Whole(head, Bytes::new()));
        }
        let mut read = BytesMut::new();
        if !inspect::is_worth_reading(from) {
            return Ok(Answer::Stream(head, read.freeze(), Box::new(connection)));
        }
        while let Some(chunk) = connection.chunk().await? {
            // Whole in one piece, as most are: no copy.
            if read.is_empty() && connection.is_done() && chunk.len() <= limits::API_INSPECT_BYTES {
                connection.release().await;
                return Ok(Answer::Whole(head, chunk));
            }
            read.extend_from_slice(&chunk);
            if read.len() > limits::API_INSPECT_BYTES || !inspect::may_be_object(&read) {
                return Ok(Answer::Stream(head, read.freeze(), Box::new(connection)));
            }
        }
        connection.release().await;
        Ok(Answer::Whole(head, read.freeze()))
    }
}

fn unreached(failure: Failure) -> Stop {
    Refusal::bad_gateway(failure.to_string()).into()
}

fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// A head that was parsed from a request can be written into one.
fn unsendable() -> Stop {
    Refusal::bad_request("the request has a header that cannot be sent on").into()
}
