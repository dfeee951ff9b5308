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
use crate::callback::unix_now_s;
use crate::connection::{App, Arrival, Response, origin};
use crate::edge::Edge;
use budget::Left;
use caller::Caller;
use forward::Answer;
use http::Method;
use outcome::Outcome;
use pingora::protocols::http::ServerSession;
use record::Record;
use refusal::Refusal;
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use wxedge_wechat::api::route::{ApiPath, Local, Route};
use wxedge_wechat::api::target::Target;

/// What serves the API listener.
#[derive(Debug)]
pub struct Api(pub Arc<Edge>);

impl App for Api {
    async fn respond(self: &Arc<Self>, session: &mut ServerSession, arrival: Arrival) {
        handle(&self.0, session, arrival).await;
    }

    fn unrouted(&self, status: u16, reason: &'static str, peer: IpAddr) -> Response {
        let mut record = Record::begin(&self.0, Instant::now(), peer);
        let refusal = Refusal::bad_request(format!("the request is not well formed ({reason})"));
        record.own_errcode = Some(refusal.errcode());
        let body = refusal.body(&record.rid);
        record.finish(refusal.outcome());
        Response { content_type: refusal::CONTENT_TYPE, ..Response::text(status, body) }
    }
}

/// Handles one call: every stage in order, one answer, one outcome.
pub async fn handle(edge: &Arc<Edge>, session: &mut ServerSession, arrival: Arrival) {
    let mut record = Record::begin(edge, arrival.first_byte, arrival.peer);
    let refused = |refusal: Refusal| (refusal.outcome(), Err(refusal));
    let (outcome, ended) = match stages(edge, session, arrival, &mut record).await {
        Ok(Ended::Own(object)) => (Outcome::Cached, Ok(Ended::Own(object))),
        Ok(Ended::Wechat(outcome, answer)) => (outcome, Ok(Ended::Wechat(outcome, answer))),
        Err(Stop::Refused(refusal)) => refused(refusal),
        Err(Stop::Failed(failure)) => refused(Refusal::bad_gateway(failure.to_string())),
        Err(Stop::ClientGone) => return record.finish(Outcome::ClientGone),
    };
    let written = match ended {
        Ok(Ended::Own(object)) => reply::object(session, &object).await,
        Ok(Ended::Wechat(_, answer)) => reply::answer(session, *answer).await,
        Err(refusal) => {
            record.own_errcode = Some(refusal.errcode());
            reply::refuse(session, &refusal, &record.rid).await
        }
    };
    record.finish(written.map_or_else(|broken| broken.outcome(), |()| outcome));
}

/// The stages. Nothing before `forward` asks WeChat, nothing after `identify` is anybody's who may not call.
async fn stages(
    edge: &Arc<Edge>,
    session: &mut ServerSession,
    arrival: Arrival,
    record: &mut Record,
) -> Result<Ended, Stop> {
    let _place = edge.api_places.try_acquire().map_err(|_full| {
        Refusal::unavailable("too many calls at once; try again later")
    })?;
    admit(edge, session)?;
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
            None => wxedge_wechat::api::route::Credential::AccessToken,
        },
        Route::Forward(credential) => credential,
    };
    caller.may_call(target.decoded_path())?;
    spend(edge, &caller, &account.config.name, path.as_str())?;
    let call = forward::Call { edge, account: &account, credential, target: &target, path: &path };
    let (outcome, answer) = call.forward(session, record).await?;
    Ok(Ended::Wechat(outcome, Box::new(answer)))
}

/// Who may ask at all: no web page, by another site's script or by a name that was made to point here.
fn admit(edge: &Edge, session: &ServerSession) -> Result<(), Refusal> {
    let loopback = edge.state().config().listen.api.ip().is_loopback();
    if let Some(reason) = origin::foreign(session, loopback) {
        return Err(Refusal::forbidden(reason));
    }
    match session.req_header().method {
        Method::GET | Method::POST | Method::HEAD | Method::PUT | Method::DELETE | Method::PATCH => {
            Ok(())
        }
        _ => Err(Refusal::bad_request("no API of WeChat has this method")),
    }
}

/// Counts the call against its daily budget, if it has one.
fn spend(edge: &Edge, caller: &Caller, account: &str, path: &str) -> Result<(), Refusal> {
    let state = edge.state();
    let Some(count) = state.budgets.get(caller.name(), account, path) else { return Ok(()) };
    match count.take(unix_now_s()) {
        Left::Some => Ok(()),
        Left::None => {
            let client = caller.name();
            log::warn!("clients.{client}.budgets: {path} of {account} is used up for today");
            Ok(())
        }
        Left::Refused => Err(Refusal::budget_used_up(format!(
            "reach max api daily quota limit: the budget of client {} for this API",
            caller.name()
        ))),
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
