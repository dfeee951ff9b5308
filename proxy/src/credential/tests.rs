//! What stands between the engine and the store.

use super::*;
use crate::config::Config;
use crate::edge::Edge;
use prometheus::Registry;
use std::collections::BTreeMap;
use wxedge_tests::folder::Folder;

#[tokio::test]
async fn what_a_newer_revision_has_saved_is_saved() {
    let folder = Folder::new();
    let text = format!(
        "[store]
        url = 'embedded:{}'
        [accounts.main]
        appid = 'wx1'
        secret = 'CanarySecret'
        token = 'CanaryToken'
        mode = 'plain'
        upstream.url = 'builtin:echo'",
        folder.path().display()
    );
    let config = Config::parse(&text, &BTreeMap::new()).unwrap();
    let edge = Edge::open(config, Registry::new()).unwrap();
    let credentials = edge.account("main").unwrap().credentials.clone().unwrap();
    let (token, ground) = (&credentials.access_token, credentials.ground.load_full());
    assert!(token.save(&ground).await);
    let newer = SavedCredential {
        appid: "wx1".to_owned(),
        credential: "access_token".to_owned(),
        revision: 100,
        state: Secret::new("{}"),
    };
    assert_eq!(edge.store.save_credential(newer).await, Ok(true));
    assert!(token.save(&ground).await, "a newer one knows more");
    edge.store.close();
    assert!(!token.save(&ground).await);
}
