//! `wxedge backup` beside a running edge, and an edge that starts with what it made.

use std::sync::Arc;

use wxedge_tests::folder::Folder;

use crate::PROGRAM;
use crate::api::{Wechat, assert_ok, before, get};

const USERS: &str = "/main/cgi-bin/user/get";

#[test]
fn an_edge_starts_with_the_backup_of_one_that_runs() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    assert_ok(&get(&edge, USERS));
    let place = Arc::new(Folder::new());
    let to = place.path().join("store");
    let to = to.to_str().expect("a name in UTF-8");
    let output = edge.command(PROGRAM, &["backup", "--to", to]);
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for words in ["is whole", "wxedge.db", "openid.key", "edge_token.key", "to restore it", to] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let again = edge.command(PROGRAM, &["backup", "--to", to]);
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8(again.stderr).expect("text");
    assert!(said.contains("is not empty"), "{said}");

    // It goes on, and the copy knows its token.
    assert_ok(&get(&edge, USERS));
    let restored = before(&wechat).folder(&place).start();
    assert_ok(&get(&restored, USERS));
    restored.await_stderr("access_token confirmed");
    let hashes =
        [&edge, &restored].map(|edge| edge.command(PROGRAM, &["hash-openid", "oABC"]).stdout);
    assert_eq!(hashes[0], hashes[1]);
}
