//! The life of a callback, one stage after the other. This file has the order and the control flow, each stage its own.

pub mod admit;
pub mod answer;
pub mod decrypt;
pub mod dedupe;
pub mod holds;
pub mod judge;
pub mod normalize;
pub mod parse;
pub mod record;
pub mod remember;
pub mod spent;
pub mod verify;

use crate::account::{Account, InFlight};
use crate::connection::{Arrival, Response};
use crate::edge::Edge;
use crate::outcome::Outcome;
use bytes::Bytes;
use dedupe::Claim;
use judge::Subject;
use pingora::protocols::http::ServerSession;
use rand::Rng;
use record::Record;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use wxedge_wechat::hex::Hex;

/// Handles one callback: every stage in order, one answer, one outcome.
pub async fn handle(
    edge: &Arc<Edge>,
    account: &Arc<Account>,
    session: &mut ServerSession,
    arrival: Arrival,
) {
    let source = admit::source(session, arrival.peer, &edge.config().listen.trusted_proxies);
    let random = Random::draw();
    let mut record = Record::begin(edge, account, arrival, source, random.request_id);
    let (outcome, response) =
        match stages(edge, account, session, arrival, &random, &mut record).await {
            Ok(ended) => ended,
            Err(rejection) => {
                record.notes().reason = rejection.reason;
                (rejection.outcome, rejection.response())
            }
        };
    let sent = response.body.len();
    let outcome = match outcome {
        Outcome::ClientGone | Outcome::Held => outcome,
        outcome if response.write(session).await.is_ok() => outcome,
        _unwritten => Outcome::ClientGone,
    };
    record.finish(outcome, sent);
}

/// The stages. Nothing after `verify` sees a byte that WeChat did not sign, nothing before `dedupe` is remembered.
async fn stages(
    edge: &Arc<Edge>,
    account: &Arc<Account>,
    session: &mut ServerSession,
    arrival: Arrival,
    random: &Random,
    record: &mut Record,
) -> Result<(Outcome, Response), Rejection> {
    let get = session.req_header().method == http::Method::GET;
    if get {
        record.is_verification();
    }
    let request = admit::admit(account, session, arrival, record.source()).await?;
    record.read(request.body.len());
    let now_s = unix_now_s();
    if get {
        return Ok((Outcome::Verified, verify::echo(account, &request, now_s)?));
    }
    let verified = verify::verify(account, &request, now_s)?;
    // Too many at once is found out here, before the work, and dealt with where the spool can help.
    let mut place = InFlight::enter(account);
    let clear = decrypt::decrypt(account, verified)?;
    let message = parse::parse(&clear)?;
    let identity = message.identity(&account.config.appid);
    let facts = Facts { now_s, ce_id: identity.hex(), random: random.clone() };
    record.parsed(&message, &facts);
    let subject = Subject {
        edge,
        account,
        message: &message,
        clear: &clear.message,
        sealed_with: clear.sealed_with,
        facts: &facts,
    };
    let delivery = answer::Delivery { subject, arrival };
    // Again only when the first delivery ended without an answer, so each turn has another flight, and the deadline
    // ends them all.
    loop {
        match account.dedupe.claim(identity, arrival.first_byte) {
            Claim::Answered => return Ok((Outcome::Joined, subject.acknowledge())),
            Claim::Again(flight) => {
                if let Some(ended) = delivery.again(session, &flight).await? {
                    return Ok(ended);
                }
            }
            Claim::First(claimed) => {
                return delivery.first(session, claimed, place.take(), record).await;
            }
        }
    }
}

/// A request of a callback path, read whole.
pub struct Request {
    /// As it came.
    pub query: String,
    /// As it came.
    pub body: Bytes,
}

crate::opaque!(Request, record::Notes, decrypt::Clear<'_>, verify::Verified<'_>);

/// Why a callback ends before the app has to do with it.
#[derive(Debug)]
pub struct Rejection {
    outcome: Outcome,
    reason: &'static str,
}

impl Rejection {
    /// `reason` goes to log and events, never to the sender.
    pub fn new(outcome: Outcome, reason: &'static str) -> Rejection {
        Rejection { outcome, reason }
    }

    fn response(&self) -> Response {
        Response::empty(self.outcome.status())
    }
}

/// What the stages after parsing need besides the message.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Unix seconds.
    pub now_s: i64,
    /// The same for every delivery of the message.
    pub ce_id: Hex<32>,
    /// This delivery's.
    pub random: Random,
}

/// The fresh randomness of one delivery, drawn at once.
#[derive(Debug, Clone)]
pub struct Random {
    /// The bytes before an encrypted reply.
    pub padding: [u8; 16],
    /// For signatures.
    pub nonce: Hex<16>,
    /// Names the request in the log and, as trace id, in `traceparent`.
    pub request_id: Hex<32>,
    span_id: Hex<16>,
}

impl Random {
    /// Fresh randomness.
    pub fn draw() -> Random {
        let mut rng = rand::rng();
        let (mut padding, mut names) = ([0; 16], [0; 32]);
        rng.fill_bytes(&mut padding);
        rng.fill_bytes(&mut names);
        Random {
            padding,
            nonce: Hex::of(&names[..8]),
            request_id: Hex::of(&names[8..24]),
            span_id: Hex::of(&names[24..32]),
        }
    }

    /// W3C trace context, sampled.
    pub fn write_traceparent(&self, out: &mut String) {
        out.extend(["00-", &self.request_id, "-", &self.span_id, "-01"]);
    }
}

/// Unix time in seconds.
pub fn unix_now_s() -> i64 {
    // Before 1970 the clock is wrong anyway, and every timestamp is outside the window.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
