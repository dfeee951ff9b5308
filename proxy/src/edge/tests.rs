//! Reloads and the end, as far as they cannot be seen from outside.

use super::*;
use crate::config::Target;
use std::collections::BTreeMap;
use wxedge_tests::folder::Folder;

/// One account with an AppSecret; nobody answers where WeChat should.
fn account(name: &str, appid: &str) -> String {
    format!(
        "[accounts.{name}]
        appid = '{appid}'
        secret = 'CanarySecret'
        token = 'CanaryToken'
        mode = 'plain'
        upstream.url = 'builtin:echo'
        "
    )
}

fn config(folder: &Folder, more: &str) -> Config {
    let text = format!(
        "[store]
        url = 'embedded:{}'
        [wechat]
        api_base = ['http://127.0.0.1:1']
        {more}",
        folder.path().display()
    );
    Config::parse(&text, &BTreeMap::new()).unwrap()
}

fn edge(folder: &Folder, more: &str) -> Arc<Edge> {
    Arc::new(Edge::open(config(folder, more), Registry::new()).unwrap())
}

fn series_of(edge: &Edge, account: &str) -> Vec<String> {
    let label = format!("account=\"{account}\"");
    let text = edge.render_metrics();
    text.lines().filter(|line| line.contains(&label)).map(str::to_owned).collect()
}

#[tokio::test]
async fn an_appid_keeps_its_credentials_whatever_its_account_is_called() {
    let folder = Folder::new();
    let edge = edge(&folder, &(account("a", "wx1") + &account("b", "wx2")));
    let of = |name: &str| edge.account(name).unwrap();
    let (first, second) = (of("a"), of("b"));
    edge.reload(config(&folder, &(account("b", "wx1") + &account("c", "wx2")))).unwrap();
    for (before, now) in [(&first, of("b")), (&second, of("c"))] {
        let [before_own, now_own] = [before, &now].map(|one| one.credentials.as_ref().unwrap());
        assert!(Arc::ptr_eq(before_own, now_own), "one for each appid");
        assert!(Arc::ptr_eq(&before.callback_ips, &now.callback_ips));
    }
    assert!(Arc::ptr_eq(&second.dedupe, &of("b").dedupe), "messages are the name's");
}

/// What a fetch tells comes after its waiters hear of it, but before one of them goes on: there is one thread.
#[tokio::test]
async fn a_fetch_that_ends_after_its_account_is_gone_makes_no_series() {
    let folder = Folder::new();
    let edge = edge(&folder, &(account("a", "wx1") + &account("b", "wx2")));
    let [removed, renamed] =
        ["a", "b"].map(|name| edge.account(name).unwrap().credentials.clone().unwrap());
    edge.reload(config(&folder, &account("c", "wx2"))).unwrap();
    for credentials in [removed, renamed] {
        credentials.access_token.refresh().await.unwrap_err();
    }
    assert_eq!(series_of(&edge, "a"), [""; 0]);
    assert_eq!(series_of(&edge, "b"), [""; 0]);
    let failed = series_of(&edge, "c").into_iter().find(|line| {
        line.contains("token_refreshes") && line.contains("access_token") && line.ends_with(" 1")
    });
    assert!(failed.is_some(), "{:#?}", series_of(&edge, "c"));
}

#[tokio::test]
async fn a_reload_that_is_refused_has_changed_nothing() {
    let folder = Folder::new();
    let edge = edge(&folder, &(account("a", "wx1") + &account("b", "wx2")));
    let before = edge.render_metrics();
    let changed = account("a", "wx1").replace("CanarySecret", "CanaryOther");
    let mut broken = config(&folder, &(changed + &account("c", "wx3")));
    let of_c = Arc::get_mut(broken.accounts.get_mut("c").unwrap()).unwrap();
    of_c.upstream.target = Target::Url("mailto:nobody".parse().unwrap());
    assert!(matches!(edge.reload(broken), Err(OpenError::App(_))));
    assert_eq!(edge.render_metrics(), before);
    let running = edge.account("a").unwrap().credentials.clone().unwrap();
    assert!(running.secret().matches(b"CanarySecret"));
}

#[tokio::test]
async fn at_the_end_the_counts_are_written_and_the_store_stays_open_for_who_still_serves() {
    let folder = Folder::new();
    let client = "[clients.crm]\nkey = 'k'\naccounts = ['a']\nbudgets = { '/x' = 5 }";
    let edge = edge(&folder, &(account("a", "wx1") + client));
    let count = edge.state().budgets.get("crm", "a", "/x").unwrap().clone();
    count.take(unix_now_s());
    // Somebody has taken it to be written, and nobody knows how far that got.
    let on_its_way = edge.state().budgets.unwritten();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    stop.send(true).unwrap();
    Upkeep(edge.clone()).start(stopping).await;
    let written = |edge: &Edge| edge.store.counters(Budgets::SCOPE).unwrap();
    assert_eq!(written(&edge), on_its_way);
    edge.store.set_value("late", vec![1]).await.unwrap();

    edge.store.close();
    count.take(unix_now_s());
    let lost = edge.state().budgets.unwritten();
    edge.write_down(lost.clone()).await;
    assert_eq!(edge.state().budgets.unwritten(), lost, "to be written again");
}
