//! The addresses WeChat calls from, as `/cgi-bin/getcallbackip` lists them: asked for once a day, kept over restarts, the last
//! good list kept when WeChat gives none.

use crate::callback::unix_now_s;
use crate::credential::{Ask, AskError, Credentials};
use crate::limits;
use crate::store::Store;
use arc_swap::ArcSwap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The list of one account.
#[derive(Debug)]
pub struct CallbackIps {
    list: ArcSwap<List>,
    /// When it is asked for again, in Unix seconds.
    due_s: AtomicI64,
}

/// A list, and when WeChat gave it.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct List {
    /// As WeChat writes them.
    pub ip_list: Vec<String>,
    /// Unix seconds; 0 is never.
    pub fetched: i64,
    #[serde(skip)]
    nets: Vec<IpNet>,
}

/// Why there is no new list.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// WeChat was not asked, or does not answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// What WeChat answers is no list of addresses.
    #[error("WeChat's answer has no addresses")]
    Empty,
}

impl List {
    fn read(ip_list: Vec<String>, fetched: i64) -> List {
        let net = |text: &String| {
            text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        };
        List { nets: ip_list.iter().filter_map(net).collect(), ip_list, fetched }
    }

    /// Networks and addresses in it.
    pub fn len(&self) -> usize {
        self.nets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }

    /// Whether an address is in it.
    pub fn contains(&self, ip: &IpAddr) -> bool {
        self.nets.iter().any(|net| net.contains(ip))
    }
}

impl CallbackIps {
    /// The list that was kept for `appid`.
    pub fn restore(store: &Store, appid: &str) -> CallbackIps {
        let kept = store.value(&name(appid)).ok().flatten();
        let kept: List =
            kept.and_then(|kept| serde_json::from_slice(&kept).ok()).unwrap_or_default();
        let list = List::read(kept.ip_list, kept.fetched);
        let due_s = AtomicI64::new(due_s(list.fetched, unix_now_s()));
        CallbackIps { list: ArcSwap::from_pointee(list), due_s }
    }

    /// The list now.
    pub fn list(&self) -> Arc<List> {
        self.list.load_full()
    }

    /// What `look` sees in the list now, which it does not keep.
    pub fn with<T>(&self, look: impl FnOnce(&List) -> T) -> T {
        look(&self.list.load())
    }

    /// Asks for it when it is due. Called once a second.
    pub fn upkeep(self: &Arc<Self>, credentials: &Arc<Credentials>, store: &Store, appid: &str) {
        let now_s = unix_now_s();
        if now_s < self.due_s.load(Ordering::Relaxed) || credentials.access_token.value().is_none()
        {
            return;
        }
        let retry = limits::CALLBACK_IPS_RETRY.as_secs() as i64;
        self.due_s.store(now_s + retry, Ordering::Relaxed);
        let (ips, credentials) = (self.clone(), credentials.clone());
        let (store, appid) = (store.clone(), appid.to_owned());
        tokio::spawn(async move {
            if let Err(error) = ips.refresh(&credentials, &store, &appid).await {
                log::warn!("{appid}: the callback addresses could not be listed: {error}");
            }
        });
    }

    /// Asks for it now.
    ///
    /// # Errors
    /// When there is no new list; the old one stays.
    pub async fn refresh(
        &self,
        credentials: &Credentials,
        store: &Store,
        appid: &str,
    ) -> Result<Arc<List>, ListError> {
        let ask = Ask { path: "/cgi-bin/getcallbackip", body: None, repeatable: true };
        let answer = credentials.ask(&ask).await?;
        let texts = answer["ip_list"].as_array().map(Vec::as_slice).unwrap_or_default();
        let texts = texts.iter().filter_map(|text| text.as_str().map(str::to_owned));
        let now_s = unix_now_s();
        let list = List::read(texts.take(limits::CALLBACK_IPS).collect(), now_s);
        if list.is_empty() {
            return Err(ListError::Empty);
        }
        // A list of texts cannot fail to be JSON.
        let kept = serde_json::to_vec(&list).unwrap_or_default();
        self.list.store(Arc::new(list));
        self.due_s.store(now_s + limits::CALLBACK_IPS_REFRESH.as_secs() as i64, Ordering::Relaxed);
        if let Err(error) = store.set_value(&name(appid), kept).await {
            log::error!("{appid}: the callback addresses could not be saved: {error}");
        }
        Ok(self.list())
    }
}

/// When a list that was fetched then is asked for again.
fn due_s(fetched_s: i64, now_s: i64) -> i64 {
    // A clock that was ahead does not put it off.
    fetched_s.min(now_s) + limits::CALLBACK_IPS_REFRESH.as_secs() as i64
}

fn name(appid: &str) -> String {
    format!("callback_ips/{appid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_day_old_at_most_whatever_clock_it_was_fetched_under() {
        const NOW_S: i64 = 1_795_104_000;
        const DAY_S: i64 = 86_400;
        assert_eq!(due_s(NOW_S - 3_600, NOW_S), NOW_S + DAY_S - 3_600);
        assert_eq!(due_s(NOW_S + 3_600, NOW_S), NOW_S + DAY_S);
        for broken in [i64::MAX, NOW_S + 3_650 * DAY_S] {
            assert_eq!(due_s(broken, NOW_S), NOW_S + DAY_S);
        }
        assert!(due_s(0, NOW_S) < NOW_S, "without a list it is due");
    }
}
