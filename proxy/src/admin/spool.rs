//! `/v1/spool`: what waits and what is dead, for operators to look at, replay, delete and erase.

use super::{Admin, object};
use crate::connection::Response;
use crate::limits;
use crate::store::StoreError;
use crate::store::spool::{Content, Entry, EntryKind, EntryState, Failed, Filter, Listed};
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use url::form_urlencoded;
use wxedge_wechat::message::Message;

/// What stands behind `/v1/spool`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spool<'a> {
    /// The list; DELETE erases a user.
    List,
    /// One entry; its id.
    Entry(&'a str),
    /// Replays one entry.
    Replay(&'a str),
    /// Replays all dead letters.
    ReplayAll,
}

/// Why not.
enum Refusal {
    Mistake(String),
    NotFound(&'static str),
    Conflict(String),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::Conflict(error.to_string())
    }
}

impl<'a> Spool<'a> {
    pub(super) fn find(segments: &[&'a str]) -> Option<Spool<'a>> {
        match segments {
            [] => Some(Spool::List),
            ["replay"] => Some(Spool::ReplayAll),
            [id] => Some(Spool::Entry(id)),
            [id, "replay"] => Some(Spool::Replay(id)),
            _ => None,
        }
    }

    pub(super) fn methods(&self) -> &'static str {
        match self {
            Spool::List | Spool::Entry(_) => "GET, DELETE",
            Spool::Replay(_) | Spool::ReplayAll => "POST",
        }
    }
}

impl Admin {
    pub(super) async fn spool(&self, what: Spool<'_>, method: &Method, query: &str) -> Response {
        let done = match what {
            Spool::List if *method == Method::DELETE => self.erase(query).await,
            Spool::List => self.list(query).await,
            Spool::Entry(id) if *method == Method::DELETE => self.delete(id).await,
            Spool::Entry(id) => self.entry(id).await,
            Spool::Replay(id) => self.replay(id).await,
            Spool::ReplayAll => self.replay_all(query).await,
        };
        let error = |status, error: &str| object(status, &json!({"error": error}));
        match done {
            Ok(response) => response,
            Err(Refusal::Mistake(mistake)) => error(400, &mistake),
            Err(Refusal::NotFound(what)) => error(404, what),
            Err(Refusal::Conflict(why)) => error(409, &why),
        }
    }

    async fn list(&self, query: &str) -> Result<Response, Refusal> {
        let query = Query::read(query, &["state", "account", "limit", "after"])?;
        let filter = Filter {
            dead: query.dead()?,
            appid: self.appid(&query)?,
            after: query.number("after", 0..=u64::MAX, 0)?,
            limit: query.number("limit", 1..=limits::SPOOL_PAGE as u64, 100)? as usize,
        };
        let limit = filter.limit;
        let listed = self.read(move |store| store.spool_page(&filter)).await?;
        let next = listed.last().filter(|_| listed.len() == limit);
        let next = next.map(|last| last.entry.id.to_string());
        let entries: Vec<_> = listed.iter().map(|listed| self.shown(listed)).collect();
        Ok(object(200, &json!({"entries": entries, "next": next})))
    }

    async fn entry(&self, id: &str) -> Result<Response, Refusal> {
        let id = number(id)?;
        let found = self.read(move |store| store.spool_entry(id)).await?;
        let listed = found.ok_or(NO_ENTRY)?;
        let mut shown = self.shown(&listed);
        shown["body"] = match &listed.content {
            Ok(content) => body(&listed.entry, content),
            Err(_) => Value::Null,
        };
        let answer = listed.failed.as_ref().and_then(|failed| failed.answer.as_ref());
        shown["last_answer"] = answer.map_or(Value::Null, |answer| {
            json!({"status": answer.status, "body": String::from_utf8_lossy(&answer.body)})
        });
        Ok(object(200, &shown))
    }

    async fn delete(&self, id: &str) -> Result<Response, Refusal> {
        match self.edge.spool.delete(number(id)?).await? {
            true => Ok(Response::empty(204)),
            false => Err(NO_ENTRY),
        }
    }

    async fn replay(&self, id: &str) -> Result<Response, Refusal> {
        let id = number(id)?;
        if self.edge.spool.replay(id).await? {
            return Ok(object(202, &json!({"replayed": 1})));
        }
        match self.read(move |store| store.spool_entry(id)).await? {
            Some(_) => Err(Refusal::Conflict("the entry is no dead letter".to_owned())),
            None => Err(NO_ENTRY),
        }
    }

    async fn replay_all(&self, query: &str) -> Result<Response, Refusal> {
        let query = Query::read(query, &["state", "account"])?;
        if query.dead()? == Some(false) {
            let mistake = "state: only dead letters are replayed; what is pending is on its way";
            return Err(Refusal::Mistake(mistake.to_owned()));
        }
        let appid = self.appid(&query)?;
        let replayed = self.edge.spool.replay_dead(appid.as_deref()).await?;
        Ok(object(202, &json!({"replayed": replayed})))
    }

    async fn erase(&self, query: &str) -> Result<Response, Refusal> {
        let query = Query::read(query, &["account", "subject"])?;
        let needed = "account and subject are needed: whose entries are to be erased";
        let needed = || Refusal::Mistake(needed.to_owned());
        let appid = self.appid(&query)?.ok_or_else(needed)?;
        let subject =
            query.get("subject").filter(|openid| !openid.is_empty()).ok_or_else(needed)?;
        let erased = self.edge.spool.erase(&appid, subject).await?;
        Ok(object(200, &json!({"erased": erased})))
    }

    /// The appid of the account that a query names; what the configuration no longer has goes by its appid.
    fn appid(&self, query: &Query) -> Result<Option<Arc<str>>, Refusal> {
        let Some(name) = query.get("account").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        if let Some(account) = self.edge.account(name) {
            return Ok(Some(account.config.appid.as_str().into()));
        }
        match self.edge.spool.has(name) {
            true => Ok(Some(name.into())),
            false => Err(Refusal::NotFound("no such account")),
        }
    }

    /// Reads the store, which can take as long as its disk does.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&crate::store::Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = self.edge.store.clone();
        let read = tokio::task::spawn_blocking(move || read(&store)).await;
        Ok(read.map_err(|_| StoreError::Closed)??)
    }

    fn shown(&self, listed: &Listed) -> Value {
        let Listed { entry, content, failed } = listed;
        let account = self.edge.account_of(&entry.appid);
        let name = account.as_ref().map_or(&*entry.appid, |account| &account.config.name);
        let (reason, detail) = match (content, failed) {
            (Err(unreadable), _) => (unreadable.reason().to_owned(), unreadable.to_string()),
            (Ok(_), Some(Failed { reason, detail, .. })) => (reason.clone(), detail.clone()),
            (Ok(_), None) => (String::new(), String::new()),
        };
        let content = content.as_ref().ok();
        let of = |field: fn(&Content) -> &String| content.map(|content| field(content).as_str());
        json!({
            "id": entry.id.to_string(),
            "account": name,
            "kind": match entry.kind {
                EntryKind::Callback => "callback",
                EntryKind::Reply => "reply",
            },
            "state": match entry.state {
                EntryState::Pending => "pending",
                EntryState::Sending => "sending",
                EntryState::Dead => "dead",
            },
            "ce_id": of(|content| &content.ce_id),
            "ce_type": of(|content| &content.ce_type),
            "subject": of(|content| &content.subject),
            "received": entry.received_s,
            "attempts": entry.attempts,
            "next_attempt": account.and_then(|account| account.spool.next_attempt_s(entry)),
            "reason": reason,
            "detail": detail,
            "bytes": entry.bytes,
        })
    }
}

const NO_ENTRY: Refusal = Refusal::NotFound("no such entry");

/// What the app gets, or for a reply what WeChat gets.
fn body(entry: &Entry, content: &Content) -> Value {
    let json = match entry.kind {
        EntryKind::Reply => content.body.clone(),
        EntryKind::Callback => {
            let mut json = Vec::new();
            if let Ok(message) = Message::parse(&content.body) {
                message.write_json(&mut json);
            }
            json
        }
    };
    serde_json::from_slice(&json).unwrap_or(Value::Null)
}

fn number(text: &str) -> Result<u64, Refusal> {
    // An id that is no number is nobody's.
    text.parse().map_err(|_| NO_ENTRY)
}

/// The parameters of a request, each known and given once at most.
struct Query(Vec<(String, String)>);

impl Query {
    fn read(query: &str, known: &[&str]) -> Result<Query, Refusal> {
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !known.contains(&&*name) || given.iter().any(|(before, _)| *before == name) {
                let known = known.join(", ");
                return Err(Refusal::Mistake(format!(
                    "each of {known} once at most, nothing else"
                )));
            }
            given.push((name.into_owned(), value.into_owned()));
        }
        Ok(Query(given))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    fn number(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, Refusal> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else {
            return Ok(default);
        };
        let number = text.parse().ok().filter(|number| range.contains(number));
        let mistake = || format!("{name}: a number from {} to {}", range.start(), range.end());
        number.ok_or_else(|| Refusal::Mistake(mistake()))
    }

    fn dead(&self) -> Result<Option<bool>, Refusal> {
        match self.get("state") {
            None | Some("") => Ok(None),
            Some("pending") => Ok(Some(false)),
            Some("dead") => Ok(Some(true)),
            Some(_) => Err(Refusal::Mistake("state: pending or dead".to_owned())),
        }
    }
}
