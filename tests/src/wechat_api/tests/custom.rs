//! Source: protocol.md §4.5.

use super::*;

fn send(api: &Api, message: &Value) -> Value {
    let target = format!("/cgi-bin/message/custom/send?access_token={}", api.token(MAIN));
    post(api, &target, message)["errcode"].clone()
}

fn text(touser: &str, content: &str) -> Value {
    json!({"touser": touser, "msgtype": "text", "text": {"content": content}})
}

#[test]
fn a_user_gets_what_the_window_has_room_for() {
    let api = Api::start();
    api.open_window("o1", 2, minutes(1));
    let sent = [text("o1", "中"), text("o1", "2"), text("o1", "3"), text("o2", "4")];
    assert_eq!(sent.each_ref().map(|message| send(&api, message)), [0, 0, 45047, 0]);
    api.clock().advance(minutes(1));
    assert_eq!([send(&api, &sent[0]), send(&api, &sent[3])], [45015, 0]);
    api.open_window("o1", 1, minutes(1));
    assert_eq!(send(&api, &sent[0]), 0);
    let got = api.custom_messages();
    let tousers: Vec<_> = got.iter().map(|message| message.touser.as_str()).collect();
    assert_eq!(tousers, ["o1", "o1", "o2", "o2", "o1"]);
    assert_eq!(got[0].body, sent[0].to_string().as_bytes());
    assert_eq!(got[1].json(), sent[1]);
}

#[test]
fn content_that_no_user_would_get_is_refused() {
    let api = Api::start();
    let news = |articles: Value| json!({"touser": "o1", "msgtype": "news", "news": {"articles": articles}});
    for (message, errcode) in [
        (text("o1", &"x".repeat(2048)), 0),
        (text("o1", &"中".repeat(683)), 45002),
        (text("o1", " \n"), 44004),
        (text("", "x"), 40003),
        (json!({"msgtype": "text", "text": {"content": "x"}}), 40003),
        (json!({"touser": "o1", "msgtype": "text"}), 44004),
        (json!({"touser": "o1", "msgtype": "image"}), 40008),
        (news(json!([{"title": "T"}])), 0),
        (news(json!([{"title": "T"}, {"title": "U"}])), 45008),
        (json!({}), 0),
    ] {
        assert_eq!(send(&api, &message), errcode, "{message}");
    }
    assert_eq!(api.custom_messages().len(), 2);
}

#[test]
fn a_message_arrives_also_when_nobody_is_told() {
    let api = Api::start();
    let target = format!("/cgi-bin/message/custom/send?access_token={}", api.token(MAIN));
    let mut sent = 0;
    for (fault, arrives) in [
        (Fault::CloseUnanswered, 1),
        (Fault::CutBody, 1),
        (Fault::CloseAfterHead, 0),
        (Fault::ServerError, 0),
        (Fault::Errcode(48001), 0),
    ] {
        api.fault_next("/cgi-bin/message/custom/send", 1, fault.clone());
        let mut connection = http::Connection::to(api.address());
        let body = text("o1", "x").to_string();
        connection.request("POST", &target, &[], body.as_bytes()).unwrap();
        let answered = connection.response(crate::PATIENCE);
        let closes =
            matches!(fault, Fault::CloseUnanswered | Fault::CutBody | Fault::CloseAfterHead);
        assert_eq!(answered.is_err(), closes, "{fault:?}");
        sent += arrives;
        assert_eq!(api.custom_messages().len(), sent, "{fault:?}");
    }
}
