//! `/sns/*`: a user's login. The AppSecret or the user's own token goes with it, never the account's token.

use serde_json::json;

use super::{Answer, Call, Platform};
use crate::canary;
use crate::wechat_api::tokens::random_text;

impl Platform {
    pub(super) fn sns(&mut self, path: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        match path {
            "/sns/jscode2session" => {
                self.login(call, "authorization_code")?;
                call.parameter("js_code").ok_or_else(|| call.error(41008))?;
                Ok(Answer::json(&json!({
                    "openid": openid(),
                    "session_key": random_text("", 24),
                    "unionid": format!("{}Union", canary::OPENID),
                })))
            }
            "/sns/oauth2/access_token" => {
                self.login(call, "authorization_code")?;
                call.parameter("code").ok_or_else(|| call.error(41008))?;
                Ok(user_token())
            }
            "/sns/oauth2/refresh_token" => {
                let appid = call.parameter("appid").ok_or_else(|| call.error(41002))?;
                if !self.accounts.contains_key(appid) {
                    return Err(call.error(40013));
                }
                grant_type(call, "refresh_token")?;
                let token = call.parameter("refresh_token");
                let known = token.is_some_and(|text| text.starts_with(canary::USER_TOKEN_PREFIX));
                if known { Ok(user_token()) } else { Err(call.error(42002)) }
            }
            "/sns/userinfo" => {
                let openid = user(call)?;
                Ok(Answer::json(&json!({
                    "openid": openid,
                    "nickname": "你好",
                    "sex": 0,
                    "headimgurl": "",
                    "privilege": [],
                })))
            }
            "/sns/auth" => user(call).map(|_| Answer::ok()),
            _ => Ok(Answer::ok()),
        }
    }

    fn login(&self, call: &Call<'_>, grant: &str) -> Result<(), Answer> {
        let [appid, secret] = ["appid", "secret"].map(|name| call.parameter(name));
        self.known(call, appid, secret, 40125)?;
        grant_type(call, grant)
    }
}

fn grant_type(call: &Call<'_>, expected: &str) -> Result<(), Answer> {
    let given = call.parameter("grant_type");
    if given == Some(expected) { Ok(()) } else { Err(call.error(40002)) }
}

/// The user whose own token the call carries.
fn user<'a>(call: &'a Call<'_>) -> Result<&'a str, Answer> {
    let token = call.parameter("access_token").ok_or_else(|| call.error(41001))?;
    if !token.starts_with(canary::USER_TOKEN_PREFIX) {
        return Err(super::not_latest(call));
    }
    call.parameter("openid").ok_or_else(|| call.error(41009))
}

fn user_token() -> Answer {
    Answer::json(&json!({
        "access_token": random_text(canary::USER_TOKEN_PREFIX, 88),
        "expires_in": 7200,
        "refresh_token": random_text(canary::USER_TOKEN_PREFIX, 88),
        "openid": openid(),
        "scope": "snsapi_userinfo",
        "is_snapshotuser": 0,
    }))
}

fn openid() -> String {
    random_text(canary::OPENID, 28)
}
