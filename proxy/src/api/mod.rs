//! The life of an API call, one stage after the other. This file has the order, each stage its own.

pub mod body;
pub mod budget;
pub mod caller;
pub mod copy;
pub mod edge_token;
pub mod endpoint;
pub mod forward;
pub mod head;
pub mod identify;
pub mod inspect;
pub mod jssdk;
pub mod outcome;
pub mod place;
pub mod quota;
pub mod record;
pub mod refusal;
pub mod reply;
pub mod token;

use crate::api_base::Failure;
use crate::connection::{App, Arrival, Response, origin};
use crate::edge::Edge;
use crate::limits;
use forward::{Answer, Spending};
use http::Method;
use outcome::Outcome;
use pingora::protocols::http::ServerSession;
use record::Record;
use refusal::Refusal;
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::SemaphorePermit;
use wxedge_wechat::api::route::{ApiPath, Credential, Local, Route};
use wxedge_wechat::api::target::Target;

/// Its answer repeats another call: whose query has the token, and whose body may be another client's.
const TELLS_TOKENS: &str = "/cgi-bin/openapi/rid/get";

/// What serves the API listener.
#[derive(Debug)]
pub struct Api {
    edge: Arc<Edge>,
    /// Whether the listener is bound to loopback; a reload does not change that.
    loopback: bool,
}

impl Api {
    /// For the listener that `edge` is configured with now.
    pub fn new(edge: Arc<Edge>) -> Api {
        let loopback = edge.config().listen.api.ip().is_loopback();
        Api { edge, loopback }
    }

    /// Answers a call that is over before it began.
    async fn refuse(&self, session: &mut ServerSession, arrival: Arrival, refusal: &Refusal) {
        let mut record = Record::begin(&self.edge, arrival.first_byte, arrival.peer);
        let outcome = refuse(session, &mut record, refusal).await;
        record.finish(outcome);
    }
}

impl App for Api {
    async fn respond(self: &Arc<Self>, session: &mut ServerSession, arrival: Arrival) {
        if let Some(reason) = origin::foreign(session, self.loopback) {
            return self.refuse(session, arrival, &Refusal::forbidden(reason)).await;
        }
        if !self.loopback && self.edge.state().clients.is_empty() {
            // A reload took the last client away; what is bound stays bound until a restart.
            let refusal = Refusal::unauthorized("no [clients] are configured");
            return self.refuse(session, arrival, &refusal).await;
        }
        handle(&self.edge, session, arrival).await;
    }

    fn unrouted(&self, status: u16, reason: &'static str, peer: IpAddr) -> Response {
        let (record, refusal) = not_well_formed(&self.edge, peer, reason);
        let body = refusal.body(&record.rid);
        record.finish(refusal.outcome());
        Response { content_type: refusal::CONTENT_TYPE, ..Response::text(status, body) }
    }
}

fn not_well_formed(edge: &Arc<Edge>, peer: IpAddr, reason: &str) -> (Record, Refusal) {
    let mut record = Record::begin(edge, Instant::now(), peer);
    let refusal = Refusal::bad_request(format!("the request is not well formed ({reason})"));
    record.refusal = Some(refusal.clone());
    (record, refusal)
}

/// Answers a request that nobody can tell the end of; it is the last of its connection.
pub async fn malformed(
    edge: &Arc<Edge>,
    session: &mut ServerSession,
    arrival: Arrival,
    reason: &str,
) {
    session.set_keepalive(None);
    let (mut record, refusal) = not_well_formed(edge, arrival.peer, reason);
    let outcome = refuse(session, &mut record, &refusal).await;
    record.finish(outcome);
}

/// Handles one call: one answer, one outcome, within the time that the longest may take.
pub async fn handle(edge: &Arc<Edge>, session: &mut ServerSession, arrival: Arrival) {
    let mut record = Record::begin(edge, arrival.first_byte, arrival.peer);
    let answered = answer(edge, session, arrival, &mut record);
    let outcome = match tokio::time::timeout(limits::API_CALL_TIMEOUT, answered).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => {
            // What was sent of an answer must not look complete.
            session.set_keepalive(None);
            session.shutdown().await;
            Outcome::Failed
        }
    };
    record.finish(outcome);
}

async fn answer(
    edge: &Arc<Edge>,
    session: &mut ServerSession,
    arrival: Arrival,
    record: &mut Record,
) -> Outcome {
    // Held until the answer is out: it may be a long one.
    let mut place = None;
    let (outcome, written) = match stages(edge, session, arrival, record, &mut place).await {
        Ok(Ended::Own(object)) => (Outcome::Cached, reply::object(session, &object).await),
        Ok(Ended::Wechat(outcome, answer)) => (outcome, reply::answer(session, *answer).await),
        Err(Stop::Refused(refusal)) => return refuse(session, record, &refusal).await,
        Err(Stop::Failed(failure)) => {
            return refuse(session, record, &Refusal::bad_gateway(failure.to_string())).await;
        }
        Err(Stop::ClientGone) => return Outcome::ClientGone,
    };
    written.map_or_else(|broken| broken.outcome(), |()| outcome)
}

async fn refuse(session: &mut ServerSession, record: &mut Record, refusal: &Refusal) -> Outcome {
    record.refusal = Some(refusal.clone());
    let written = reply::refuse(session, refusal, &record.rid).await;
    written.map_or_else(|broken| broken.outcome(), |()| refusal.outcome())
}

/// The stages, in order. Nothing before `forward` asks WeChat, nothing after `identify` is anybody's who may not call.
async fn stages<'e>(
    edge: &'e Arc<Edge>,
    session: &mut ServerSession,
    arrival: Arrival,
    record: &mut Record,
    place: &mut Option<SemaphorePermit<'e>>,
) -> Result<Ended, Stop> {
    admit(session)?;
    let uri = session.req_header().uri.clone();
    let whole = uri.path_and_query().map_or("/", |target| target.as_str());
    let target = Target::parse(whole).map_err(|error| Refusal::bad_request(error.to_string()))?;
    if target.first_segment() == "v1" {
        return Ok(endpoint::answer(edge, session, &target, arrival, record).await?);
    }
    let named = edge.account(target.first_segment());
    let target = if named.is_some() { target.without_first_segment() } else { target };
    let path = ApiPath::new(target.decoded_path());
    record.api = path.label();
    let route = path.route();
    if let Route::Local(Local::Token | Local::StableToken) = route {
        return token::answer(edge, session, &target, named, arrival, record).await;
    }
    let (caller, bearer) = identify::identify(edge, session, &target, route, arrival.peer)?;
    record.client = caller.name().to_owned();
    caller.count()?;
    let account = place::account(edge, named, &target, &caller, bearer.as_ref())?;
    record.account = account.config.name.clone();
    caller.may_use(&account.config.name)?;
    let credential = match route {
        Route::Refused(reason) => return Err(Refusal::forbidden(reason).into()),
        Route::Local(_) => match endpoint::ticket(&account, &target).await? {
            Some(ticket) => return Ok(Ended::Own(ticket)),
            None => Credential::AccessToken,
        },
        Route::Forward(credential) => credential,
    };
    caller.may_call(target.decoded_path())?;
    if path.as_str() == TELLS_TOKENS {
        caller.may_read_token()?;
    }
    let budget =
        edge.state().budgets.get(caller.name(), &account.config.name, path.as_str()).cloned();
    *place = Some(
        edge.api_places
            .try_acquire()
            .map_err(|_full| Refusal::unavailable("too many calls at once; try again later"))?,
    );
    let call = forward::Call {
        edge,
        account: &account,
        credential,
        target: &target,
        path: &path,
        budget: budget.map(|count| Spending { count, client: caller.name() }),
    };
    let (outcome, answer) = call.forward(session, record).await?;
    Ok(Ended::Wechat(outcome, Box::new(answer)))
}

/// Only what WeChat's APIs have use for.
fn admit(session: &ServerSession) -> Result<(), Refusal> {
    match session.req_header().method {
        Method::GET
        | Method::POST
        | Method::HEAD
        | Method::PUT
        | Method::DELETE
        | Method::PATCH => Ok(()),
        _ => Err(Refusal::bad_request("no API of WeChat has this method")),
    }
}

/// How a call ends that is not refused.
pub enum Ended {
    /// With what the edge itself knows.
    Own(Value),
    /// With what WeChat says.
    Wechat(Outcome, Box<Answer>),
}

crate::opaque!(Ended);

/// Why a call ends before it has an answer of WeChat's.
#[derive(Debug)]
pub enum Stop {
    /// The edge says no.
    Refused(Refusal),
    /// WeChat does not answer.
    Failed(Failure),
    /// Nobody is there to be answered.
    ClientGone,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refused(refusal)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}
