//! The looks, again and again, as the configuration and the edge's status say.

use crate::support::admin::{Admin, status};
use crate::support::names::every_name_is;
use crate::support::site::{Site, answer, parameter};
use crate::support::{config, prober};
use rustls::RootCertStore;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use wxedge_sidecar::edge::status::Status;
use wxedge_sidecar::observation::{Probe, Seen};
use wxedge_sidecar::probe::dns::Resolver;
use wxedge_sidecar::probe::{Prober, run};

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a prober; what it sees and the status that it follows.
fn start(prober: Prober) -> (mpsc::Receiver<Seen>, watch::Sender<Option<Arc<Status>>>) {
    let (observed, seen) = mpsc::channel(1000);
    let (status, follow) = watch::channel(None);
    tokio::spawn(run(Arc::new(prober), follow, move |seen| observed.try_send(seen).unwrap_or(())));
    (seen, status)
}

/// Waits for something seen that `wanted` wants.
async fn eventually(seen: &mut mpsc::Receiver<Seen>, wanted: impl Fn(&Seen) -> bool) {
    let wait = async {
        loop {
            if wanted(&seen.recv().await.unwrap()) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

fn is(seen: &Seen, probe: Probe) -> bool {
    matches!(seen, Seen::Probe { of } if of.probe == probe)
}

#[tokio::test]
async fn targets_are_looked_at_as_they_become_known() {
    let admin = Admin::start().await;
    admin.says("/v1/accounts/main/callback-check", 200, &json!({"dns": [{"ip": "127.0.0.1"}]}));
    admin.says("/v1/accounts/main/callback-ips", 200, &json!({"ip_list": ["192.0.2.0/24"]}));
    let site = Site::start(None, |head| Some(answer(200, "", &parameter(head, "echostr")))).await;
    let api = Site::start(None, |_| Some(answer(404, "", ""))).await;
    let names = every_name_is(&["127.0.0.1"]).await;
    let more =
        format!("[probe]\ninterval_s = 1\n[probe.public_url]\nmain = 'http://{}/'", site.address);
    let resolvers = vec![Resolver::system_with(names.address)];
    let (mut seen, edge) =
        start(prober(&config(admin.address, &more), resolvers, RootCertStore::empty()));

    // The public URL is known without the edge, and is looked at more than once.
    eventually(&mut seen, |seen| is(seen, Probe::Echo)).await;
    eventually(&mut seen, |seen| is(seen, Probe::Echo)).await;
    assert_eq!((names.asked(), api.requests().len()), (0, 0));

    let mut told = status();
    told["api_base"] = json!([{"base": format!("http://{}", api.address), "up": true}]);
    told["accounts"][0]["upstream"]["host"] = json!("app.internal");
    told["accounts"][0]["credentials"] = json!([{"credential": "access_token", "state": "ok"}]);
    edge.send_replace(Some(Arc::new(serde_json::from_value(told).unwrap())));
    eventually(&mut seen, |seen| is(seen, Probe::Clock)).await;
    eventually(
        &mut seen,
        |seen| matches!(seen, Seen::Probe { of } if of.target == "system app.internal"),
    )
    .await;

    // Without a status the last one holds.
    edge.send_replace(None);
    while seen.try_recv().is_ok() {}
    eventually(&mut seen, |seen| is(seen, Probe::Clock)).await;
    drop(edge);
    // Nobody gives a status any more: it ends, and so does what it says.
    let wait = async { while seen.recv().await.is_some() {} };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test]
async fn wechats_own_look_and_its_addresses_are_told() {
    let admin = Admin::start().await;
    admin.says("/v1/accounts/main/callback-check", 200, &json!({"dns": [{"ip": "127.0.0.1"}]}));
    admin.says("/v1/accounts/main/callback-ips", 200, &json!({"ip_list": ["192.0.2.0/24"]}));
    let config = config(admin.address, "");
    let (mut seen, edge) = start(prober(&config, vec![], RootCertStore::empty()));
    let mut told = status();
    told["accounts"][0]["credentials"] = json!([{"credential": "access_token", "state": "ok"}]);
    edge.send_replace(Some(Arc::new(serde_json::from_value(told).unwrap())));
    eventually(&mut seen, |seen| is(seen, Probe::CallbackCheck)).await;
    eventually(&mut seen, |seen| {
        matches!(seen, Seen::CallbackIps { account, list } if account == "main" && list == &["192.0.2.0/24"])
    })
    .await;
}
