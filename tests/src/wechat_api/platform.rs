//! What WeChat does with a call. Source: protocol.md §5.
//!
//! Pure: no I/O, and the time comes with the call.

mod custom;
mod paths;
mod sns;

pub use custom::CustomMessage;
pub(super) use custom::Customers;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::answer::Answer;
use super::errcode;
use super::query::{parameters, value};
use super::quota::{Quotas, STABLE_TOKEN, TOKEN};
use super::record::Request;
use super::tokens::{Invalid, Tokens, random_text};
use crate::canary;

/// A ticket is the same until it has this long to live.
const TICKET_AHEAD: Duration = Duration::from_secs(300);
const TICKET_LIFETIME: Duration = Duration::from_secs(7200);
/// Paths that take a secret, and no access token.
const WITH_SECRET: [&str; 5] = [
    TOKEN,
    STABLE_TOKEN,
    "/cgi-bin/clear_quota/v2",
    "/cgi-bin/component/api_component_token",
    "/cgi-bin/component/api_start_push_ticket",
];

#[derive(Debug)]
struct Account {
    secret: String,
    menu: Option<Value>,
    tickets: HashMap<&'static str, (String, Duration)>,
}

/// A file that can be fetched: its content type and its bytes.
type Media = (String, Vec<u8>);

/// All that WeChat knows. Listeners that share it are one WeChat under several addresses.
#[derive(Debug)]
pub(super) struct Platform {
    accounts: HashMap<String, Account>,
    pub(super) tokens: Tokens,
    pub(super) quotas: Quotas,
    pub(super) wrong_secret: i64,
    pub(super) unknown_token: i64,
    pub(super) media: HashMap<String, Media>,
    pub(super) customers: Customers,
}

/// What comes of a call: an answer, and what the caller did that no caller should do.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    pub(super) mistakes: Vec<String>,
}

/// A call, taken apart.
struct Call<'a> {
    request: &'a Request,
    parameters: Vec<(String, String)>,
    now: Duration,
}

impl Call<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        value(&self.parameters, name).filter(|value| !value.is_empty())
    }

    /// The body as JSON, if it is an object.
    fn json(&self) -> Result<Value, Answer> {
        let json = serde_json::from_slice(self.request.body.kept()).ok();
        json.filter(Value::is_object).ok_or_else(|| self.error(47001))
    }

    fn error(&self, errcode: i64) -> Answer {
        Answer::json(&errcode::body(errcode, self.now))
    }
}

impl Platform {
    pub(super) fn new() -> Platform {
        Platform {
            accounts: HashMap::new(),
            tokens: Tokens::new(),
            quotas: Quotas::new(),
            wrong_secret: 40001,
            unknown_token: 40014,
            media: HashMap::new(),
            customers: Customers::default(),
        }
    }

    pub(super) fn account(&mut self, appid: &str, secret: &str) {
        let account = Account { secret: secret.to_owned(), menu: None, tickets: HashMap::new() };
        self.accounts.insert(appid.to_owned(), account);
    }

    pub(super) fn knows(&self, appid: &str) -> bool {
        self.accounts.contains_key(appid)
    }

    /// Does what is asked.
    pub(super) fn call(&mut self, request: &Request, now: Duration) -> Outcome {
        let call = Call { request, parameters: parameters(request.query()), now };
        let mistakes = mistakes(&call);
        // Both ways out are answers; the short way is the refusal.
        let answer = self.dispatch(&call).unwrap_or_else(|refusal| refusal);
        Outcome { answer, mistakes }
    }

    fn dispatch(&mut self, call: &Call<'_>) -> Result<Answer, Answer> {
        match call.request.path() {
            TOKEN => self.token(call),
            STABLE_TOKEN => self.stable_token(call),
            "/cgi-bin/clear_quota/v2" => self.clear_quota_by_secret(call),
            path if path.starts_with("/sns/") => self.sns(path, call),
            path if WITH_SECRET.contains(&path) => Ok(Answer::ok()),
            path => {
                let appid = self.authorized(call)?;
                // Otherwise nobody could ask or clear when the day is used up.
                let counted = !path.starts_with("/cgi-bin/clear_quota")
                    && !path.starts_with("/cgi-bin/openapi/quota/");
                if counted && !self.quotas.spend(&appid, path, call.now) {
                    return Err(call.error(45009));
                }
                self.with_token(path, &appid, call)
            }
        }
    }

    /// The account of the access token in the query.
    fn authorized(&self, call: &Call<'_>) -> Result<String, Answer> {
        let token = call.parameter("access_token").ok_or_else(|| call.error(41001))?;
        let owner = self.tokens.owner(token, call.now).map(str::to_owned);
        owner.map_err(|invalid| match invalid {
            Invalid::Unknown if self.unknown_token == 40001 => not_latest(call),
            Invalid::Unknown => call.error(self.unknown_token),
            Invalid::Expired => call.error(42001),
            Invalid::NotLatest => not_latest(call),
        })
    }

    fn token(&mut self, call: &Call<'_>) -> Result<Answer, Answer> {
        let [grant_type, appid, secret] =
            ["grant_type", "appid", "secret"].map(|name| call.parameter(name));
        let appid = self.credentials(call, grant_type, appid, secret)?;
        if !self.quotas.spend(&appid, TOKEN, call.now) {
            return Err(call.error(45009));
        }
        let granted = self.tokens.plain(&appid, call.now);
        Ok(Answer::json(&json!({"access_token": granted.text, "expires_in": granted.expires_in_s})))
    }

    fn stable_token(&mut self, call: &Call<'_>) -> Result<Answer, Answer> {
        if call.request.method != "POST" {
            return Err(call.error(43002));
        }
        let body = call.json()?;
        let [grant_type, appid, secret] =
            ["grant_type", "appid", "secret"].map(|name| body[name].as_str());
        let appid = self.credentials(call, grant_type, appid, secret)?;
        if !self.quotas.spend_minute(&appid, call.now) {
            return Err(call.error(45011));
        }
        if !self.quotas.spend(&appid, STABLE_TOKEN, call.now) {
            return Err(call.error(45009));
        }
        let force = body["force_refresh"] == true && self.tokens.would_force(&appid, call.now);
        let granted = if !force {
            self.tokens.stable(&appid, call.now)
        } else if self.quotas.spend_forced(&appid, call.now) {
            self.tokens.force(&appid, call.now)
        } else {
            return Err(call.error(45009));
        };
        Ok(Answer::json(&json!({"access_token": granted.text, "expires_in": granted.expires_in_s})))
    }

    /// The account, if the caller may ask for its token.
    fn credentials(
        &self,
        call: &Call<'_>,
        grant_type: Option<&str>,
        appid: Option<&str>,
        secret: Option<&str>,
    ) -> Result<String, Answer> {
        if grant_type != Some("client_credential") {
            return Err(call.error(40002));
        }
        self.known(call, appid, secret, self.wrong_secret)
    }

    /// The account of an AppID, if the AppSecret is its own.
    fn known(
        &self,
        call: &Call<'_>,
        appid: Option<&str>,
        secret: Option<&str>,
        wrong_secret: i64,
    ) -> Result<String, Answer> {
        let appid = appid.ok_or_else(|| call.error(41002))?;
        let account = self.accounts.get(appid).ok_or_else(|| call.error(40013))?;
        let secret = secret.ok_or_else(|| call.error(41004))?;
        if secret != account.secret {
            return Err(call.error(wrong_secret));
        }
        Ok(appid.to_owned())
    }

    fn clear_quota_by_secret(&mut self, call: &Call<'_>) -> Result<Answer, Answer> {
        let [appid, secret] = ["appid", "appsecret"].map(|name| call.parameter(name));
        let appid = self.known(call, appid, secret, 40125)?;
        let cleared = self.quotas.clear(&appid, call.now);
        if cleared { Ok(Answer::ok()) } else { Err(call.error(48006)) }
    }

    /// The ticket of an account, a new one ahead of its end.
    fn ticket(&mut self, appid: &str, kind: &'static str, now: Duration) -> (String, u64) {
        let account = self.accounts.get_mut(appid).expect("the account of a token");
        let new = || (random_text(canary::TICKET_PREFIX, 86), now + TICKET_LIFETIME);
        let ticket = account.tickets.entry(kind).or_insert_with(new);
        if ticket.1 < now + TICKET_AHEAD {
            *ticket = new();
        }
        (ticket.0.clone(), (ticket.1 - now).as_secs())
    }
}

fn not_latest(call: &Call<'_>) -> Answer {
    Answer::json(&errcode::not_latest(call.now))
}

/// What no caller should do, whatever the answer.
fn mistakes(call: &Call<'_>) -> Vec<String> {
    let path = call.request.path();
    let is_token = |name: &str| name.eq_ignore_ascii_case("access_token");
    let tokens: Vec<_> = call.parameters.iter().filter(|(name, _)| is_token(name)).collect();
    let mut mistakes = Vec::new();
    if tokens.len() > 1 {
        mistakes.push(format!("{} access_token parameters to {path}", tokens.len()));
    }
    let ours = |value: &str| value.starts_with(canary::ACCESS_TOKEN_PREFIX);
    let unwanted = path.starts_with("/sns/") || WITH_SECRET.contains(&path);
    if unwanted && tokens.iter().any(|(_, value)| ours(value)) {
        mistakes.push(format!("an account's access_token to {path}"));
    }
    mistakes
}
