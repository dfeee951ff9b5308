//! An app that answers after 59 s of its 60: the message is taken, once, and its reply reaches the user, once.

use std::time::Duration;

use wxedge_tests::app::{Answer, App};
use wxedge_tests::edge::Builder;
use wxedge_tests::message::Message;
use wxedge_tests::wechat::Verdict;
use wxedge_tests::wechat_api::Api;
use wxedge_tests::{eventually, spool};

use crate::PROGRAM;

#[test]
fn an_answer_after_59_seconds_is_taken_and_its_reply_is_sent() {
    let api = Api::start();
    let app = App::answering(Answer::text("这就来").after(Duration::from_secs(59)));
    let edge = Builder::new(PROGRAM).app(&app).api_base(&[&api.url()]).start();
    let message = Message::text("在吗？");
    assert_eq!(edge.wechat().deliver(&message).verdict, Verdict::Acknowledged);
    assert_eq!(spool::pending(&edge, None), 1, "safe while the app takes its time");

    let send = "/cgi-bin/message/custom/send";
    eventually(Duration::from_secs(75), "the reply is sent", || api.count(send) > 0);
    spool::await_empty(&edge, None, Duration::from_secs(15));
    assert_eq!((app.calls(), api.count(send)), (1, 1));
    let request = api.requests_to(send).remove(0);
    let sent: serde_json::Value = serde_json::from_slice(request.body.bytes()).unwrap();
    assert_eq!(sent["touser"], message.openid());
    assert_eq!(sent["text"]["content"], "这就来");
}
