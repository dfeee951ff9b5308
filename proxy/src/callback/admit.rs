//! Stage 1: who may send, how much, how fast.

use super::{Rejection, Request};
use crate::account::{Account, Unverified};
use crate::config::SourceIp;
use crate::connection::Arrival;
use crate::outcome::Outcome;
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use ipnet::IpNet;
use pingora::ErrorType;
use pingora::protocols::http::ServerSession;
use std::net::{IpAddr, SocketAddr};
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
    let own = &account.config.source_ips;
    own.iter().any(|net| net.contains(&source))
        || account.callback_ips.with(|list| match list.is_empty() {
            true => own.is_empty(),
            false => list.contains(&source),
        })
}

/// Who sent the request: the right-most address of `X-Forwarded-For` that is not one of our own proxies.
pub fn source(session: &ServerSession, peer: IpAddr, trusted_proxies: &[IpNet]) -> IpAddr {
    let trusted = |ip: &IpAddr| trusted_proxies.iter().any(|net| net.contains(ip));
    if !trusted(&peer) {
        return peer;
    }
    let mut source = peer;
    let headers = session.req_header().headers.get_all("x-forwarded-for");
    // By bytes: a value that is no text still holds what our own proxy wrote at its end.
    let lines: Vec<&[u8]> = headers.iter().map(HeaderValue::as_bytes).collect();
    for hop in lines.iter().flat_map(|line| line.split(|byte| *byte == b',')).rev() {
        let Some(ip) = hop_address(hop) else { break };
        source = ip.to_canonical();
        if !trusted(&source) {
            break;
        }
    }
    source
}

/// The address in an element of `X-Forwarded-For`: alone, in brackets, or with a port, as some load balancers write it.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || hop.parse().ok().map(|address: SocketAddr| address.ip());
    hop.parse().ok().or_else(bracketed).or_else(with_port)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_an_address_with_or_without_brackets_and_port() {
        let rows = [
            ("1.2.3.4", Some("1.2.3.4")),
            (" 1.2.3.4:5678\t", Some("1.2.3.4")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("", None),
            ("unknown", None),
            ("_hidden", None),
            ("1.2.3.4:", None),
            ("1.2.3.4:65536", None),
            ("1.2.3.4:x", None),
            ("[1.2.3.4]", None),
            ("[2001:db8::1", None),
            ("2001:db8::1]", None),
            ("[2001:db8::1]443", None),
            ("1.2.3.4 5.6.7.8", None),
        ];
        for (hop, expected) in rows {
            let expected = expected.map(|ip| ip.parse().unwrap());
            assert_eq!(hop_address(hop.as_bytes()), expected, "{hop:?}");
        }
        assert_eq!(hop_address(b"\xff"), None);
    }
}
