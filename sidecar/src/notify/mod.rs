//! Who is told of alerts: robots, a webhook, Alertmanager.
//!
//! `grouping` says what is told when, `text` in which words, a `lane` takes it to each receiver. The lanes run by
//! themselves; nothing here waits for one.

mod alertmanager;
mod dingtalk;
mod feishu;
mod grouping;
mod lane;
mod message;
mod retry;
mod signature;
mod silence;
mod text;
mod webhook;
mod wecom;
mod words;

pub use lane::Health;
pub use silence::{Silence, SilenceError, Wanted};

use crate::alert::{Alert, Change};
use crate::config::{self, Language, Secret};
use crate::observation::Millis;
use alertmanager::{Alertmanager, Snapshot, Snapshots};
use dingtalk::DingTalk;
use feishu::Feishu;
use grouping::{Grouping, Memory};
use lane::{Counted, Lane, Receiver};
use message::Message;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;
use webhook::Webhook;
use wecom::WeCom;

/// Tells people, and remembers what they were told.
#[derive(Debug)]
pub struct Notifier {
    http: Client,
    grouping: Grouping,
    robots: Vec<Arc<Lane<Message>>>,
    snapshots: Snapshots,
    alertmanager: Option<Arc<Lane<Snapshot>>>,
    /// Who is told.
    addresses: Vec<(&'static str, Secret)>,
    /// Of every output there was before a change of the configuration.
    counted: Counted,
    /// The lanes that run; they end with this.
    tasks: JoinSet<()>,
}

/// What is remembered over a restart: what was told, the silences, and what no receiver has taken yet. It has no address in it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    memory: Memory,
    /// The keys of those who were told.
    told: Vec<String>,
    /// By output.
    waiting: BTreeMap<String, Vec<Message>>,
    /// The same as `told` with their addresses, for a change of the configuration.
    #[serde(skip)]
    addresses: Vec<(&'static str, Secret)>,
    #[serde(skip)]
    counted: Counted,
}

impl Notifier {
    /// One that tells nobody until [`Notifier::spawn`].
    pub fn new(
        config: &config::Notify,
        language: Language,
        http: Client,
        saved: Saved,
        now: Millis,
    ) -> Notifier {
        let Saved { memory, told, waiting, addresses: before, counted } = saved;
        let knew = |key: &'static str, address: &Secret| match before.is_empty() {
            true => told.iter().any(|known| known == key),
            false => before.iter().any(|(known, its)| *known == key && its == address),
        };
        let mut grouping = Grouping::new(config.repeat_interval, memory, now);
        if config.addresses().any(|(key, address)| !knew(key, address)) {
            grouping.tell_again();
        }
        let lane = |receiver| Lane::new(receiver, &counted);
        let robots: Vec<_> = receivers(config, language).into_iter().map(lane).collect();
        for lane in &robots {
            for message in waiting.get(lane.health().output).into_iter().flatten() {
                lane.push(Arc::new(message.clone()));
            }
        }
        let alertmanager = config.alertmanager.as_ref().map(Alertmanager::new);
        let alertmanager =
            alertmanager.map(|receiver| Arc::new(Lane::new(Box::new(receiver), &counted)));
        Notifier {
            http,
            grouping,
            robots: robots.into_iter().map(Arc::new).collect(),
            snapshots: Snapshots::new(language),
            alertmanager,
            addresses: config.addresses().map(|(key, address)| (key, address.clone())).collect(),
            counted,
            tasks: JoinSet::new(),
        }
    }

    /// Takes a changed configuration over. The outputs end; those that take their place begin with [`Notifier::spawn`], send
    /// what has not been taken yet, and count on. Who is new is told what fires.
    pub fn configure(&mut self, config: &config::Notify, language: Language, now: Millis) {
        *self = Notifier::new(config, language, self.http.clone(), self.save(), now);
    }

    /// Starts a task for each output, once. They end when this is dropped.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn spawn(&mut self) {
        if !self.tasks.is_empty() {
            return;
        }
        for lane in &self.robots {
            run(&mut self.tasks, lane, &self.http);
        }
        if let Some(lane) = &self.alertmanager {
            run(&mut self.tasks, lane, &self.http);
        }
    }

    /// Takes note of changes.
    pub fn changes(&mut self, changes: Vec<Change>) {
        self.grouping.changes(changes);
    }

    /// Tells what there is to tell; once a second. `firing` is all that fires now.
    pub fn tick(&mut self, now: Millis, firing: &[&Alert]) {
        if let Some(message) = self.grouping.tick(now, firing) {
            let message = Arc::new(message);
            for lane in &self.robots {
                lane.push(Arc::clone(&message));
            }
        }
        if let Some(lane) = &self.alertmanager
            && let Some(snapshot) = self.snapshots.tick(now, firing)
        {
            lane.push(Arc::new(snapshot));
        }
    }

    /// All silences, the oldest first.
    pub fn silences(&self) -> &[Silence] {
        self.grouping.silences.list()
    }

    /// Adds a silence.
    ///
    /// # Errors
    /// When it is none, or one too many.
    pub fn silence(&mut self, now: Millis, wanted: Wanted) -> Result<Silence, SilenceError> {
        self.grouping.silences.add(now, wanted)
    }

    /// Ends a silence before its time; false when there is none of that name.
    pub fn unsilence(&mut self, id: &str) -> bool {
        self.grouping.silences.remove(id)
    }

    /// What to remember over a restart.
    pub fn save(&self) -> Saved {
        let waiting = self.robots.iter().map(|lane| {
            let messages = lane.waiting().iter().map(|message| (**message).clone()).collect();
            (lane.health().output.to_owned(), messages)
        });
        let mut counted = self.counted.clone();
        counted.extend(self.health().into_iter().map(|health| (health.output, health)));
        Saved {
            memory: self.grouping.memory(),
            told: self.addresses.iter().map(|(key, _)| (*key).to_owned()).collect(),
            waiting: waiting.collect(),
            addresses: self.addresses.clone(),
            counted,
        }
    }

    /// How each output is doing, for metrics and the page.
    pub fn health(&self) -> Vec<Health> {
        let robots = self.robots.iter().map(|lane| lane.health());
        robots.chain(self.alertmanager.iter().map(|lane| lane.health())).collect()
    }
}

/// Those who get messages.
fn receivers(config: &config::Notify, language: Language) -> Vec<Box<dyn Receiver<Message>>> {
    let config::Notify { wecom, dingtalk, dingtalk_secret, feishu, feishu_secret, webhook, .. } =
        config;
    let mut receivers: Vec<Box<dyn Receiver<Message>>> = Vec::new();
    if let Some(address) = wecom.clone() {
        receivers.push(Box::new(WeCom { address, language }));
    }
    if let Some(address) = dingtalk.clone() {
        let secret = dingtalk_secret.clone();
        receivers.push(Box::new(DingTalk { address, secret, language }));
    }
    if let Some(address) = feishu.clone() {
        let secret = feishu_secret.clone();
        receivers.push(Box::new(Feishu { address, secret, language }));
    }
    if let Some(address) = webhook.clone() {
        receivers.push(Box::new(Webhook { address, language }));
    }
    receivers
}

fn run<T: Send + Sync + 'static>(tasks: &mut JoinSet<()>, lane: &Arc<Lane<T>>, http: &Client) {
    let (lane, http) = (Arc::clone(lane), http.clone());
    tasks.spawn(async move { lane.deliver(&http).await });
}

#[cfg(test)]
mod tests;
