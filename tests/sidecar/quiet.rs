//! When all is well nothing is said.

use wxedge_tests::app::{Answer, App};
use wxedge_tests::message::Message;
use wxedge_tests::wechat_api::Api;

use crate::{edge_with_secret, sidecar};

#[test]
fn a_well_pair_is_silent() {
    let app = App::answering(Answer::text("hi"));
    let api = Api::start();
    let edge = edge_with_secret().app(&app).api_base(&[&api.url()]);
    api.account("wx0123456789main", wxedge_tests::canary::SECRET);
    let edge = edge.start();
    let sidecar = sidecar(&edge).start();
    sidecar.await_stream(&edge);
    for _ in 0..50 {
        assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    }
    sidecar.await_count(&edge, 50);
    assert_eq!(sidecar.firing(), Vec::<String>::new());
}
