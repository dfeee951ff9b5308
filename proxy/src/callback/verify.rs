//! Stage 2: was it WeChat? The account's mode decides how that is shown, never the request.

use super::spent::Use;
use super::{Rejection, Request};
use crate::account::Account;
use crate::config::{Mode, Secret};
use crate::connection::Response;
use crate::outcome::Outcome;
use std::borrow::Cow;
use wxedge_wechat::crypto::is_canonical_base64;
use wxedge_wechat::envelope::Envelope;
use wxedge_wechat::query::Query;
use wxedge_wechat::signature::{Signature, sign};

/// A body whose sender knows the Token. Only this stage makes one.
pub enum Verified<'a> {
    /// The message itself (plain mode).
    Plain(&'a [u8]),
    /// The ciphertext of the message, and the place of the Token that signed it.
    Encrypted {
        /// Canonical base64.
        encrypt: Cow<'a, str>,
        /// Which of the account's Tokens; the reply is signed with the same.
        token: usize,
    },
}

/// Checks the signature of a message (POST).
///
/// # Errors
/// `rejected_signature`, `rejected_replay`; `rejected_malformed` when the envelope is no XML or JSON.
pub fn verify<'a>(
    account: &Account,
    request: &'a Request,
    now_s: i64,
) -> Result<Verified<'a>, Rejection> {
    let query = Query::parse(&request.query).map_err(|error| unsigned(error.reason()))?;
    match account.config.mode {
        Mode::Plain => {
            let signature = query.signature.ok_or(unsigned("signature_missing"))?;
            signed_by(account, &signature, |token| sign(&[token, query.timestamp, query.nonce]))?;
            in_window(account, &query, now_s)?;
            if !account.spent.spend(signature, Use::post(&request.body)) {
                return Err(Rejection::new(Outcome::RejectedReplay, "signature_spent"));
            }
            Ok(Verified::Plain(&request.body))
        }
        Mode::Compatible | Mode::Safe => {
            let signature = query.msg_signature.ok_or(unsigned("msg_signature_missing"))?;
            if !query.aes {
                return Err(unsigned("encrypt_type"));
            }
            let envelope = Envelope::open(&request.body)
                .map_err(|error| Rejection::new(Outcome::RejectedMalformed, error.reason()))?;
            let encrypt = envelope.encrypt.ok_or(unsigned("encrypt_missing"))?;
            if !is_canonical_base64(&encrypt) {
                return Err(unsigned("encrypt_base64"));
            }
            let token = signed_by(account, &signature, |token| {
                sign(&[token, query.timestamp, query.nonce, &encrypt])
            })?;
            in_window(account, &query, now_s)?;
            Ok(Verified::Encrypted { encrypt, token })
        }
    }
}

/// Answers the URL verification (GET): `echostr`, as it came.
///
/// # Errors
/// `rejected_signature`, `rejected_replay`.
pub fn echo(account: &Account, request: &Request, now_s: i64) -> Result<Response, Rejection> {
    let query = Query::parse(&request.query).map_err(|error| unsigned(error.reason()))?;
    let signature = query.signature.ok_or(unsigned("signature_missing"))?;
    signed_by(account, &signature, |token| sign(&[token, query.timestamp, query.nonce]))?;
    in_window(account, &query, now_s)?;
    if account.config.mode == Mode::Plain && !account.spent.spend(signature, Use::Get) {
        return Err(Rejection::new(Outcome::RejectedReplay, "signature_spent"));
    }
    let echostr = query.echostr.ok_or(unsigned("echostr_missing"))?;
    Ok(Response::text(200, echostr.into_owned()))
}

/// Which of the account's Tokens made `signature`. Every Token is tried, each in constant time.
fn signed_by(
    account: &Account,
    signature: &Signature,
    expected: impl Fn(&str) -> Signature,
) -> Result<usize, Rejection> {
    let matches = |token: &Secret| expected(token.expose()).matches(signature);
    account.config.tokens.iter().position(matches).ok_or(unsigned("signature"))
}

fn in_window(account: &Account, query: &Query<'_>, now_s: i64) -> Result<(), Rejection> {
    let Some(window) = account.config.replay_window else { return Ok(()) };
    if query.timestamp_s().abs_diff(now_s) <= window.as_secs() {
        Ok(())
    } else {
        Err(Rejection::new(Outcome::RejectedReplay, "timestamp"))
    }
}

fn unsigned(reason: &'static str) -> Rejection {
    Rejection::new(Outcome::RejectedSignature, reason)
}
