//! Calls of the edge's own that need the access token: lists, checks, quotas.

use super::{Credentials, Missing};
use crate::api_base::{Call, Failure};
use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use wxedge_wechat::api::errcode;

/// One call.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Without a query.
    pub path: &'a str,
    /// Posted; without it the call is a GET.
    pub body: Option<Value>,
    /// Whether WeChat may get it twice.
    pub repeatable: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no access token.
    #[error("no access token: {0}")]
    Token(#[from] Missing),
    /// WeChat does not answer.
    #[error("{0}")]
    Failed(#[from] Failure),
    /// WeChat's answer is no JSON object.
    #[error("WeChat's answer is no JSON object")]
    NoObject,
}

impl AskError {
    /// The name for operators.
    pub fn reason(&self) -> &'static str {
        match self {
            AskError::Token(_) => "no_token",
            AskError::Failed(failure) => failure.reason(),
            AskError::NoObject => Failure::Invalid.reason(),
        }
    }

    /// Whether it is certain that WeChat has done nothing of what is not repeatable.
    pub fn is_unsent(&self) -> bool {
        match self {
            AskError::Token(_) => true,
            AskError::Failed(failure) => failure.is_unsent(),
            AskError::NoObject => false,
        }
    }
}

impl Credentials {
    /// Sends it, and once more with another token when WeChat rejects the first. The answer may hold an `errcode`.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask(&self, ask: &Ask<'_>) -> Result<Value, AskError> {
        let (_, answer) = self.ask_for_bytes(ask).await?;
        let object = serde_json::from_slice(&answer).ok().filter(Value::is_object);
        object.ok_or(AskError::NoObject)
    }

    /// The same, with the answer as it came: its status and its body.
    ///
    /// # Errors
    /// Why there is no answer, that is of the last time: the one before it was rejected.
    pub async fn ask_for_bytes(&self, ask: &Ask<'_>) -> Result<(u16, Bytes), AskError> {
        let mut token = self.access_token.get().await?;
        let mut answer = self.ask_with(ask, token.secret().expose()).await?;
        let rejected = errcode::read(&answer.1).map(|answer| answer.errcode);
        if let Some(errcode) = rejected.filter(|code| errcode::is_token_rejected(*code))
            && let Ok(better) = self.access_token.rejected(&token, errcode).await
        {
            token = better;
            answer = self.ask_with(ask, token.secret().expose()).await?;
        }
        Ok(answer)
    }

    async fn ask_with(&self, ask: &Ask<'_>, token: &str) -> Result<(u16, Bytes), Failure> {
        let token = utf8_percent_encode(token, NON_ALPHANUMERIC);
        let call = Call {
            method: if ask.body.is_some() { Method::POST } else { Method::GET },
            target: format!("{}?access_token={token}", ask.path),
            body: ask.body.as_ref().map(Value::to_string).unwrap_or_default().into(),
            repeatable: ask.repeatable,
        };
        let bases = self.ground.load().bases.clone();
        bases.call(&call).await
    }
}
