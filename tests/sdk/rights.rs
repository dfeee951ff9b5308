//! Two clients of one account with different rights: each SDK has its client's key where the AppSecret was, gets an edge
//! token for it, and may do what its client may.

use serde_json::{Value, json};
use wxedge_tests::canary;
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::wechat_api::{Api, Fetches, MAIN};

use crate::peer::{Peer, SDKS};
use crate::{PROGRAM, base};

const SENDS: &str = "/cgi-bin/message/custom/send";
const READS: &str = "/cgi-bin/user/info";

/// The key of a client.
fn key(client: &str) -> String {
    format!("{}-{client}", canary::CLIENT_KEY)
}

fn started(api: &Api) -> Edge {
    let client = |name, allow: &str| {
        (name, [format!("key = {:?}", key(name)), format!("allow = [{allow:?}]")])
    };
    let (crm, crm_lines) = client("crm", "/cgi-bin/message/**");
    let (report, report_lines) = client("report", "/cgi-bin/user/**");
    let builder = Builder::new(PROGRAM).api_base(&[&api.url()]);
    let builder = builder.client(crm, &crm_lines.each_ref().map(String::as_str));
    builder.client(report, &report_lines.each_ref().map(String::as_str)).start()
}

#[test]
fn each_client_may_do_what_it_may() {
    for sdk in SDKS {
        let api = Api::start();
        let edge = started(&api);
        let peer = |client| Peer::start(sdk).at(&base(&edge), MAIN, &key(client));
        let (mut crm, mut report) = (peer("crm"), peer("report"));
        let openid = format!("{}1", canary::OPENID);
        let (message, user) = (json!([openid, "hi"]), json!([openid]));

        crm.call("send_text", &message).unwrap();
        assert_eq!(report.call("user_info", &user).unwrap()["openid"], openid, "{sdk:?}");
        crm.call("user_info", &user).unwrap_err();
        report.call("send_text", &message).unwrap_err();

        assert_eq!((api.count(SENDS), api.count(READS)), (1, 1), "{sdk:?}");
        assert_eq!(api.fetches(), Fetches { token: 0, stable: 1, forced: 0 }, "{sdk:?}");
        assert_eq!(api.mistakes(), [""; 0]);
        for request in api.requests_to(SENDS).iter().chain(&api.requests_to(READS)) {
            assert!(api.is_valid(&request.parameter("access_token").unwrap()), "{sdk:?}");
        }
        let line = |client, api, result, errcode: Value| json!([client, api, result, errcode]);
        let expected = [
            line("crm", "/cgi-bin/token", "cached", Value::Null),
            line("crm", SENDS, "ok", Value::Null),
            line("report", "/cgi-bin/token", "cached", Value::Null),
            line("report", READS, "ok", Value::Null),
            line("crm", READS, "refused", json!(-9403)),
            line("report", SENDS, "refused", json!(-9403)),
        ];
        let fields = ["client", "api", "result", "errcode"];
        let log = edge.await_log(expected.len());
        let log: Vec<Value> =
            log.iter().map(|line| json!(fields.map(|field| &line[field]))).collect();
        assert_eq!(log, expected, "{sdk:?}");
    }
}
