//! Stage 1: who may send, how much, how fast.

use super::{Rejection, Request};
use crate::account::{Account, Unverified};
use crate::config::SourceIp;
use crate::connection::Arrival;
use crate::outcome::Outcome;
use bytes::{Bytes, BytesMut};
use ipnet::IpNet;
use pingora::ErrorType;
use pingora::protocols::http::ServerSession;
use std::net::IpAddr;
use std::time::Instant;

/// Lets a request in and reads it whole.
///
/// # Errors
/// `rejected_source`, `rejected_size`, `rejected_timeout`, `rejected_malformed`, `client_gone`.
pub async fn admit(
    account: &Account,
    session: &mut ServerSession,
    arrival: Arrival,
    source: IpAddr,
) -> Result<Request, Rejection> {
    if account.config.source_ip == SourceIp::Enforce && !is_listed(account, source) {
        return Err(Rejection::new(Outcome::RejectedSource, "source_ip"));
    }
    let body = read_body(account, session, arrival.read_by()).await?;
    let header = session.req_header();
    Ok(Request { query: header.uri.query().unwrap_or_default().to_owned(), body })
}

/// Whether `source` may send callbacks; without a list, everybody may.
pub fn is_listed(account: &Account, source: IpAddr) -> bool {
    let list = &account.config.source_ips;
    list.is_empty() || list.iter().any(|net| net.contains(&source))
}

/// Who sent the request: the right-most address of `X-Forwarded-For` that is not one of our own proxies.
pub fn source(session: &ServerSession, peer: IpAddr, trusted_proxies: &[IpNet]) -> IpAddr {
    let trusted = |ip: &IpAddr| trusted_proxies.iter().any(|net| net.contains(ip));
    if !trusted(&peer) {
        return peer;
    }
    let mut source = peer;
    let headers = session.req_header().headers.get_all("x-forwarded-for");
    let forwarded: Vec<&str> = headers.iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in forwarded.iter().flat_map(|line| line.split(',')).rev() {
        let Ok(ip) = hop.trim().parse::<IpAddr>() else { break };
        source = ip.to_canonical();
        if !trusted(&source) {
            break;
        }
    }
    source
}

async fn read_body(
    account: &Account,
    session: &mut ServerSession,
    read_by: Instant,
) -> Result<Bytes, Rejection> {
    let max = account.config.max_body_bytes;
    let mut unverified = Unverified::new(account);
    let too_large = Rejection::new(Outcome::RejectedSize, "body");
    let announced = session.req_header().headers.get(http::header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max) {
        return Err(too_large);
    }
    if session.is_body_empty() {
        return Ok(Bytes::new());
    }
    if session.get_header(http::header::EXPECT).is_some()
        && session.req_header().version == http::Version::HTTP_11
    {
        let told = tokio::time::timeout_at(read_by.into(), session.write_continue_response()).await;
        if !matches!(told, Ok(Ok(()))) {
            return Err(Rejection::new(Outcome::ClientGone, "body"));
        }
    }
    let mut whole = BytesMut::new();
    loop {
        let read = tokio::time::timeout_at(read_by.into(), session.read_request_body()).await;
        if !matches!(read, Ok(Ok(_))) {
            // Nobody knows where this request ends and the next would begin.
            session.set_keepalive(None);
        }
        let chunk = match read {
            Err(_late) => return Err(Rejection::new(Outcome::RejectedTimeout, "body")),
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return Ok(whole.freeze()),
            Ok(Err(error)) => {
                return Err(match error.etype() {
                    ErrorType::ConnectionClosed | ErrorType::ReadError => {
                        Rejection::new(Outcome::ClientGone, "body")
                    }
                    _ => Rejection::new(Outcome::RejectedMalformed, "body_framing"),
                });
            }
        };
        if whole.len() + chunk.len() > max {
            return Err(too_large);
        }
        if !unverified.add(chunk.len()) {
            return Err(Rejection::new(Outcome::Unavailable, "unverified_bytes"));
        }
        if whole.is_empty() && Some(chunk.len()) == announced {
            return Ok(chunk);
        }
        whole.extend_from_slice(&chunk);
    }
}
