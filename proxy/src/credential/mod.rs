//! The credentials of an account: its access token and its tickets, fetched by one, read by all.
//!
//! [`engine`] decides, without I/O. Here stands what it needs around it: who asks waits here, fetches are carried out here
//! (`fetch`), and what must survive a restart is written down. Reading the token waits for nobody.

mod ask;
pub mod engine;
mod fetch;
mod ground;

pub use ask::{Ask, AskError};
pub use engine::Value;
pub use ground::Ground;

use crate::callback::unix_now_s;
use crate::config::Secret;
use crate::limits;
use crate::store::SavedCredential;
use arc_swap::{ArcSwap, ArcSwapOption};
use engine::{Digest, Engine, Fetch, Now, Outcome, Status, Want, Why};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// What an account has of WeChat.
#[derive(Debug)]
pub struct Credentials {
    ground: Arc<ArcSwap<Ground>>,
    /// `access_token`.
    pub access_token: Arc<Credential>,
    /// The ticket of the JS-SDK.
    pub jsapi: Arc<Credential>,
    /// The ticket of cards.
    pub wx_card: Arc<Credential>,
}

/// Which credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `access_token`.
    AccessToken,
    /// `jsapi`.
    Jsapi,
    /// `wx_card`.
    WxCard,
}

/// One credential.
#[derive(Debug)]
pub struct Credential {
    kind: Kind,
    ground: Arc<ArcSwap<Ground>>,
    /// Of a ticket: what it is fetched with.
    access_token: Option<Arc<Credential>>,
    engine: Mutex<Engine>,
    /// The engine's value, to be read without it.
    value: ArcSwapOption<Value>,
    /// The last revision that was written down.
    revision: AtomicU64,
    fetched: Notify,
}

/// Why there is no token or ticket: one sentence for the caller's developer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Missing(String);

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::AccessToken, Kind::Jsapi, Kind::WxCard];

    /// The name in metrics, status, store and in WeChat's own `type=`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::AccessToken => "access_token",
            Kind::Jsapi => "jsapi",
            Kind::WxCard => "wx_card",
        }
    }
}

impl Credentials {
    /// The credentials of an account, as `saved` by an earlier process. Nothing is asked of WeChat yet.
    pub fn new(ground: Ground, saved: &[SavedCredential]) -> Credentials {
        let ground = Arc::new(ArcSwap::from_pointee(ground));
        let credential = |kind, access_token| {
            Arc::new(Credential::restored(kind, ground.clone(), access_token, saved))
        };
        let access_token = credential(Kind::AccessToken, None);
        Credentials {
            jsapi: credential(Kind::Jsapi, Some(access_token.clone())),
            wx_card: credential(Kind::WxCard, Some(access_token.clone())),
            access_token,
            ground,
        }
    }

    /// Takes over a new configuration of the same appid.
    pub fn configure(&self, ground: Ground) {
        self.ground.store(Arc::new(ground));
        for credential in self.all() {
            credential.engine().configure(self.ground.load().policy(credential.kind));
            credential.show();
        }
    }

    /// Their account is no longer served: what still runs is saved, but counted and told no more.
    pub fn retire(&self) {
        self.ground.load().retire();
    }

    /// The AppSecret.
    pub fn secret(&self) -> Secret {
        self.ground.load().secret.clone()
    }

    /// All of them.
    pub fn all(&self) -> [&Arc<Credential>; 3] {
        [&self.access_token, &self.jsapi, &self.wx_card]
    }

    /// The one of a kind.
    pub fn of(&self, kind: Kind) -> &Arc<Credential> {
        match kind {
            Kind::AccessToken => &self.access_token,
            Kind::Jsapi => &self.jsapi,
            Kind::WxCard => &self.wx_card,
        }
    }

    /// Fetches what is due. Called once a second.
    pub fn upkeep(&self) {
        for credential in self.all() {
            let due = credential.engine().due(now());
            if let Some(fetch) = due {
                credential.start(fetch);
            }
        }
    }
}

impl Credential {
    fn restored(
        kind: Kind,
        ground: Arc<ArcSwap<Ground>>,
        access_token: Option<Arc<Credential>>,
        saved: &[SavedCredential],
    ) -> Credential {
        let (appid, policy) = (ground.load().appid.clone(), ground.load().policy(kind));
        let saved =
            saved.iter().find(|saved| saved.appid == appid && saved.credential == kind.name());
        let engine =
            saved.and_then(|saved| serde_json::from_str(saved.state.expose()).ok()).map_or_else(
                || Engine::new(policy),
                |saved| Engine::restore(policy, now(), saved, rand::random()),
            );
        let credential = Credential {
            kind,
            ground,
            access_token,
            value: ArcSwapOption::from_pointee(engine.value(now()).cloned()),
            engine: Mutex::new(engine),
            revision: AtomicU64::new(saved.map_or(0, |saved| saved.revision)),
            fetched: Notify::new(),
        };
        credential.show();
        credential
    }

    /// The value there is, or the one that is being fetched: waits for it, but not for long.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn get(self: &Arc<Self>) -> Result<Arc<Value>, Missing> {
        // A ticket is kept fresh only while it is asked for, so the engine has to hear of it.
        if self.kind == Kind::AccessToken
            && let Some(value) = self.value.load_full()
            && value.life(now()) > Duration::ZERO
        {
            return Ok(value);
        }
        self.wait(|engine| engine.wanted(now())).await
    }

    /// A better value than the one WeChat rejected with 40001, 40014 or 42001.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn rejected(
        self: &Arc<Self>,
        value: &Value,
        errcode: i64,
    ) -> Result<Arc<Value>, Missing> {
        self.wait(|engine| engine.rejected(now(), value.generation(), errcode)).await
    }

    /// An operator wants it fetched now, whatever happened before.
    ///
    /// # Errors
    /// Why that failed.
    pub async fn refresh(self: &Arc<Self>) -> Result<Arc<Value>, Missing> {
        let mut asked = false;
        let value = self.wait(|engine| {
            if std::mem::replace(&mut asked, true) {
                engine.wanted(now())
            } else {
                engine.operator(now())
            }
        });
        let value = value.await?;
        match self.status() {
            Status { action: Some(action), .. } => Err(Missing(action)),
            _ => Ok(value),
        }
    }

    /// The value there is, also one that is about to expire; nobody is asked.
    pub fn value(&self) -> Option<Arc<Value>> {
        self.value.load_full()
    }

    /// Whether `value` is the value there is.
    pub fn is(&self, value: &str) -> bool {
        self.value.load().as_ref().is_some_and(|own| own.secret().matches(value.as_bytes()))
    }

    /// Whether `value` was replaced within the last 24 h.
    pub fn was(&self, value: &str) -> bool {
        let digest = Digest::of(value);
        self.engine().digests(now()).any(|known| known == digest)
    }

    /// How it is.
    pub fn status(&self) -> Status {
        self.engine().status(now())
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Asks the engine until there is a value or a reason why not.
    async fn wait(
        self: &Arc<Self>,
        mut ask: impl FnMut(&mut Engine) -> Want,
    ) -> Result<Arc<Value>, Missing> {
        let waiting = async {
            loop {
                let fetched = self.fetched.notified();
                let (want, value) = {
                    let mut engine = self.engine();
                    let want = ask(&mut engine);
                    (want, engine.value(now()).cloned())
                };
                match (want, value) {
                    (Want::Use(_), Some(value)) => return Ok(Arc::new(value)),
                    (Want::Use(_) | Want::Wait, _) => {}
                    (Want::Fetch(fetch), _) => self.start(fetch),
                    (Want::Refused(why), _) => return Err(self.missing(why)),
                }
                fetched.await;
            }
        };
        match tokio::time::timeout(limits::CREDENTIAL_WAIT, waiting).await {
            Ok(value) => value,
            Err(_elapsed) => Err(Missing("WeChat has not handed one out in time".to_owned())),
        }
    }

    fn missing(&self, why: Why) -> Missing {
        let Status { errcode, action, .. } = self.status();
        let action = action.unwrap_or_default();
        let code = errcode.map(|code| format!(" ({code})")).unwrap_or_default();
        let text = match why {
            Why::Confirmed => "WeChat hands out this very one".to_owned(),
            Why::Pausing(pause) => {
                format!("WeChat is asked again in {} s{code}. {action}", pause.as_secs() + 1)
            }
            Why::Stopped => format!("WeChat gives none{code}. {action}"),
        };
        Missing(text.trim_end().to_owned())
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries an order out, whoever stops waiting for it.
    fn start(self: &Arc<Self>, fetch: Fetch) {
        tokio::spawn(self.clone().carry_out(fetch));
    }

    async fn carry_out(self: Arc<Self>, fetch: Fetch) {
        let mut next = Some(fetch);
        while let Some(fetch) = next {
            let ground = self.ground.load_full();
            // A forced refresh counts against the day's bound, also when nobody lives to see its answer.
            let may_ask = !fetch.force || self.save(&ground).await;
            let answer = if may_ask {
                fetch::fetch(&ground, self.kind, fetch.force, self.access_token.as_ref()).await
            } else {
                Err(fetch::not_durable(self.kind))
            };
            let (outcome, status) = {
                let mut engine = self.engine();
                let outcome = engine.fetched(now(), fetch.flight, answer, rand::random());
                self.value.store(engine.value(now()).cloned().map(Arc::new));
                (outcome, engine.status(now()))
            };
            self.fetched.notify_waiters();
            self.tell(outcome, &status);
            next = match outcome {
                Outcome::Confirmed(next) => next,
                _ => None,
            };
            self.save(&ground).await;
        }
    }

    /// Writes down what the engine knows. Says whether that is on disk.
    async fn save(&self, ground: &Ground) -> bool {
        let (state, revision) = {
            let engine = self.engine();
            (engine.saved(now()), self.revision.fetch_add(1, Ordering::Relaxed) + 1)
        };
        // Numbers and text cannot fail to be JSON.
        let state = Secret::new(serde_json::to_string(&state).unwrap_or_default());
        let (appid, credential) = (ground.appid.clone(), self.kind.name().to_owned());
        let saved = SavedCredential { appid, credential, revision, state };
        match ground.store.save_credential(saved).await {
            // Or a newer one is, which knows more.
            Ok(_saved) => true,
            Err(error) => {
                let (account, kind) = (&ground.account, self.kind.name());
                log::error!("{account}: the {kind} could not be saved: {error}");
                false
            }
        }
    }

    /// Says what became of a fetch: metrics, events, log.
    fn tell(&self, outcome: Outcome, status: &Status) {
        // The account may have another name by now, or be gone.
        let ground = self.ground.load();
        if ground.is_retired() {
            return;
        }
        self.show();
        let Some(result) = outcome.name() else { return };
        let kind = self.kind.name();
        ground.metrics.refreshed(&ground.account, kind, result);
        let account = &ground.account;
        match outcome {
            Outcome::Foreign => log::warn!(
                "{account}: the {kind} died early: another system refreshes this appid; let it ask wxedge instead"
            ),
            Outcome::Failed => {
                let what = match status.expires.map(|expires| expires - unix_now_s()) {
                    Some(left) if left > 0 => {
                        format!("the {kind} is good for {left} s and cannot be refreshed")
                    }
                    _ => format!("no {kind}"),
                };
                let code = status.errcode.map(|code| format!(" ({code})")).unwrap_or_default();
                let action = status.action.as_deref().unwrap_or_default();
                log::warn!("{account}: {what}{code}: {action}");
            }
            _ => log::info!("{account}: {kind} {result}"),
        }
        let event = json!({
            "credential": kind,
            "result": result,
            "errcode": status.errcode,
            "action": status.action,
        });
        ground.events.send("token", Some(account), event);
    }

    fn show(&self) {
        let ground = self.ground.load();
        let expires = self.engine().status(now()).expires.unwrap_or(0);
        ground.metrics.expires(&ground.account, self.kind.name(), expires);
    }
}

/// The time, as the engine wants it: one clock that nobody sets and that goes on while the machine sleeps, one for people.
pub fn now() -> Now {
    let steady = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { steady, unix_ms: i64::try_from(unix.as_millis()).unwrap_or(i64::MAX) }
}

#[cfg(test)]
mod tests;
