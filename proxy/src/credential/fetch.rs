//! One fetch of a token or ticket from WeChat.

use super::engine::Issued;
use super::{Credential, Ground, Kind};
use crate::api_base::Call;
use crate::config::{Secret, TokenEndpoint};
use crate::limits;
use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use wxedge_wechat::api::errcode::{self, Asked, Refusal};

#[derive(Deserialize)]
struct Answer {
    access_token: Option<Secret>,
    ticket: Option<Secret>,
    expires_in: i64,
}

/// Fetches it, within [`limits::CREDENTIAL_ASK`].
///
/// # Errors
/// Why WeChat gives none.
pub(super) async fn fetch(
    ground: &Ground,
    kind: Kind,
    force: bool,
    access_token: Option<&Arc<Credential>>,
) -> Result<Issued, Refusal> {
    in_time(kind, exchange(ground, kind, force, access_token)).await
}

async fn in_time(
    kind: Kind,
    exchange: impl Future<Output = Result<Issued, Refusal>>,
) -> Result<Issued, Refusal> {
    match tokio::time::timeout(limits::CREDENTIAL_ASK, exchange).await {
        Ok(issued) => issued,
        Err(_elapsed) => Err(Refusal::unanswered(asked(kind), "WeChat did not answer in time")),
    }
}

async fn exchange(
    ground: &Ground,
    kind: Kind,
    force: bool,
    access_token: Option<&Arc<Credential>>,
) -> Result<Issued, Refusal> {
    match access_token {
        None => {
            let body = ask(ground, Asked::Token, &token_call(ground, force)).await?;
            issued(kind, &body)
        }
        Some(access_token) => {
            let mut token = access_token.get().await.map_err(|_| no_token())?;
            let mut body = ask(ground, Asked::Ticket, &ticket_call(kind, token.secret())).await;
            if let Err(refusal) = &body
                && refusal.is_access_tokens()
                && let Some(errcode) = refusal.errcode()
            {
                token = access_token.rejected(&token, errcode).await.map_err(|_| no_token())?;
                body = ask(ground, Asked::Ticket, &ticket_call(kind, token.secret())).await;
            }
            issued(kind, &body?)
        }
    }
}

/// A forced refresh could not be written down, so it is not asked for.
pub(super) fn not_durable(kind: Kind) -> Refusal {
    Refusal::unanswered(asked(kind), "the store cannot be written")
}

fn no_token() -> Refusal {
    Refusal::unanswered(Asked::Ticket, "there is no access token")
}

fn asked(kind: Kind) -> Asked {
    if kind == Kind::AccessToken { Asked::Token } else { Asked::Ticket }
}

fn token_call(ground: &Ground, force: bool) -> Call {
    let (appid, secret) = (ground.appid.as_str(), ground.secret.expose());
    match ground.endpoint {
        TokenEndpoint::StableToken => {
            let body = json!({
                "grant_type": "client_credential",
                "appid": appid,
                "secret": secret,
                "force_refresh": force,
            });
            Call {
                method: Method::POST,
                target: "/cgi-bin/stable_token".to_owned(),
                body: body.to_string().into(),
                repeatable: false,
            }
        }
        TokenEndpoint::Token => {
            let secret = utf8_percent_encode(secret, NON_ALPHANUMERIC);
            Call {
                method: Method::GET,
                target: format!(
                    "/cgi-bin/token?grant_type=client_credential&appid={appid}&secret={secret}"
                ),
                body: Bytes::new(),
                repeatable: false,
            }
        }
    }
}

fn ticket_call(kind: Kind, token: &Secret) -> Call {
    let token = utf8_percent_encode(token.expose(), NON_ALPHANUMERIC);
    Call {
        method: Method::GET,
        target: format!("/cgi-bin/ticket/getticket?access_token={token}&type={}", kind.name()),
        body: Bytes::new(),
        repeatable: true,
    }
}

async fn ask(ground: &Ground, asked: Asked, call: &Call) -> Result<Bytes, Refusal> {
    let (_, body) = ground.bases.call(call).await.map_err(|failure| {
        log::warn!("{}: asking for a token or ticket failed: {failure}", ground.account);
        Refusal::unanswered(asked, "WeChat was not reached, or did not answer")
    })?;
    match errcode::read(&body) {
        Some(answer) => Err(Refusal::answered(asked, &answer)),
        None => Ok(body),
    }
}

fn issued(kind: Kind, body: &[u8]) -> Result<Issued, Refusal> {
    let no_value = || Refusal::unanswered(asked(kind), "the answer is no JSON with a value in it");
    let answer: Answer = serde_json::from_slice(body).map_err(|_| no_value())?;
    let value = match kind {
        Kind::AccessToken => answer.access_token,
        Kind::Jsapi | Kind::WxCard => answer.ticket,
    };
    Ok(Issued { value: value.ok_or_else(no_value)?, expires_in_s: answer.expires_in })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_fetch_ends_before_the_engine_takes_it_as_lost() {
        for kind in Kind::ALL {
            let began = Instant::now();
            assert!(in_time(kind, std::future::pending()).await.is_err());
            assert!(began.elapsed() + limits::STORE_WAIT < limits::CREDENTIAL_FETCH);
        }
    }
}
