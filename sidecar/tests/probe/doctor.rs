//! What the doctor says: nothing bad when all is well, and each failure in words with the fix.

use crate::support::admin::{Admin, QUERY, status};
use crate::support::certificates::Authority;
use crate::support::names::{Names, Reply, every_name_is};
use crate::support::site::{Site, answer, parameter};
use crate::support::{config, nobody, prober};
use hickory_resolver::proto::op::ResponseCode;
use rustls::RootCertStore;
use serde_json::{Value, json};
use std::process::Output;
use wxedge_sidecar::config::Config;
use wxedge_sidecar::doctor::{Marks, examine};
use wxedge_sidecar::probe::Prober;
use wxedge_sidecar::probe::dns::Resolver;

const NOTIFY: &str = "[notify]\nwebhook = 'https://example.com/SECRET'\n";

/// What it says, and whether all is well.
async fn report(config: &Config, prober: &Prober) -> (bool, String) {
    let mut out = Vec::new();
    let well = examine(config, prober, Marks::Ascii, &mut out).await.unwrap();
    (well, String::from_utf8(out).unwrap())
}

/// What it says of an edge whose `main` is behind `http://127.0.0.1:<port>/`, where a site answers so.
async fn of_site(
    admin: &Admin,
    body: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> (bool, String) {
    let site = Site::start(None, body).await;
    let more = format!("{NOTIFY}[probe.public_url]\nmain = 'http://{}/'", site.address);
    let config = config(admin.address, &more);
    report(&config, &prober(&config, vec![], RootCertStore::empty())).await
}

fn echo(head: &str) -> Option<String> {
    Some(answer(200, "", &parameter(head, "echostr")))
}

/// The line that begins so, and the two below: what it means and what to do.
fn lines<'a>(text: &'a str, start: &str) -> [&'a str; 3] {
    let mut rest = text.lines().skip_while(|line| !line.starts_with(start));
    let line = rest.next().unwrap_or_else(|| panic!("no {start:?} in\n{text}"));
    [line, rest.next().unwrap_or_default(), rest.next().unwrap_or_default()]
}

#[track_caller]
fn explains(text: &str, start: &str, fix: &str) {
    let [_, meaning, to_do] = lines(text, start);
    assert!(meaning.starts_with("      ") && to_do.starts_with("      To do: "), "{text}");
    assert!(to_do.contains(fix), "{fix:?} is not in {to_do:?}");
}

#[tokio::test]
async fn all_is_well() {
    let (well, text) = of_site(&Admin::start().await, echo).await;
    assert!(well, "{text}");
    assert!(text.ends_with("\nAll is well.\n"), "{text}");
    assert!(!text.contains("[!]") && !text.contains("[x]"), "{text}");
    for start in ["[ok] admin API http://", "[ok] version: ", "[ok] TCP 127", "[ok] echostr 127"] {
        lines(&text, start);
    }
    assert_eq!(lines(&text, "[ok] channels")[0], "[ok] channels: notify.webhook");
    assert!(!text.contains("SECRET") && !text.contains(QUERY), "{text}");
}

#[tokio::test]
async fn an_answer_that_is_wrong_is_explained() {
    let quoted = |head: &str| Some(answer(200, "", &format!("\"{}\"", parameter(head, "echostr"))));
    let (well, text) = of_site(&Admin::start().await, quoted).await;
    assert!(!well);
    assert!(lines(&text, "[x]  echostr")[0].contains("the echostr in quotes"), "{text}");
    explains(&text, "[x]  echostr", "as text/plain, not as JSON");
    assert!(text.ends_with("\nProblems: 1. Hints: 0.\n"), "{text}");

    for (status, headers, fix) in [
        (301, "Location: https://example.com/\r\n", "Enter the final URL"),
        (403, "", "Compare the Token"),
        (502, "", "the proxy does not reach the edge"),
    ] {
        let wrong = move |_: &str| Some(answer(status, headers, ""));
        let (well, text) = of_site(&Admin::start().await, wrong).await;
        assert!(!well);
        explains(&text, "[x]  echostr", fix);
    }
}

#[tokio::test]
async fn an_edge_that_is_not_there_is_explained_and_the_rest_is_looked_at() {
    let nobody = nobody();
    let site = Site::start(None, echo).await;
    let more = format!("{NOTIFY}[probe.public_url]\nmain = 'http://{}/'", site.address);
    let config = config(nobody.local_addr().unwrap(), &more);
    let (well, text) = report(&config, &prober(&config, vec![], RootCertStore::empty())).await;
    assert!(!well);
    explains(&text, "[x]  admin API", "systemctl status wxedge");
    lines(&text, "[ok] TCP 127");
    explains(&text, "[x]  echostr", "First solve what is said of the edge");
}

#[tokio::test]
async fn a_wrong_key_and_a_wrong_address_are_told_apart() {
    let admin = Admin::start().await;
    let mut config = config(admin.address, NOTIFY);
    config.edge.key = None;
    let (_, text) = report(&config, &prober(&config, vec![], RootCertStore::empty())).await;
    explains(&text, "[x]  admin API", "listen.admin_key");

    for (status, body) in [(404, ""), (200, "<html>"), (200, "{}")] {
        let other = Site::start(None, move |_| Some(answer(status, "", body))).await;
        let config = crate::support::config(other.address, NOTIFY);
        let (well, text) = report(&config, &prober(&config, vec![], RootCertStore::empty())).await;
        assert!(!well);
        explains(&text, "[x]  admin API", "listen.admin, not its callback");
    }
}

/// What it says of an edge whose account `main` has these things in its status.
async fn of_account(account: Value) -> (bool, String) {
    let admin = Admin::start().await;
    let mut told = status();
    let main = told["accounts"][0].as_object_mut().unwrap();
    main.extend(account.as_object().unwrap().clone());
    admin.says("/v1/status", 200, &told);
    let check = json!({"dns": [{"ip": "127.0.0.1"}], "ping": []});
    admin.says("/v1/accounts/main/callback-check", 200, &check);
    of_site(&admin, echo).await
}

#[tokio::test]
async fn what_the_edge_knows_of_an_account_is_explained() {
    let token = |errcode: i64, action: &str| {
        json!({"credentials": [
            {"credential": "access_token", "state": "failing", "errcode": errcode, "action": action},
        ]})
    };
    let cases = [
        (token(40164, "Add 198.51.100.7 to the list"), "[x]  credential", "IP allow-list"),
        (token(61004, "Add 198.51.100.7 to the list"), "[x]  credential", "IP allow-list"),
        (token(40125, ""), "[x]  credential", "AppSecret"),
        (token(89503, ""), "[x]  credential", "administrator"),
        (token(45009, ""), "[x]  credential", "clear_quota"),
        (
            json!({"upstream": {"host": "127.0.0.1", "circuit": "open"}}),
            "[x]  circuit of the app",
            "Check that the app runs",
        ),
        (
            json!({"upstream": {"host": "127.0.0.1", "port": 3000, "circuit": "open",
                "last_failure": {"at": 1, "reason": "connect"}}}),
            "[x]  circuit of the app 127.0.0.1:3000: open",
            "ss -ltnp",
        ),
        (
            json!({"spool": {"pending": 3, "dead": 0, "oldest_s": 61}}),
            "[x]  spool: 3 pending, the oldest for 61 s; dead letters: 0",
            "Bring the app back",
        ),
        (
            json!({"spool": {"pending": 0, "dead": 2, "oldest_s": 0}}),
            "[x]  spool: nothing pending; dead letters: 2",
            "replay the dead letters",
        ),
    ];
    for (account, line, fix) in cases {
        let (well, text) = of_account(account).await;
        assert!(!well, "{text}");
        explains(&text, line, fix);
    }
    let (_, text) = of_account(token(40164, "Add 198.51.100.7 to the list")).await;
    assert_eq!(
        lines(&text, "[x]  credential")[0],
        "[x]  credential access_token: failing, errcode 40164"
    );
    explains(&text, "[x]  credential", "198.51.100.7");
    let (well, text) = of_account(json!({"spool": {"pending": 1, "dead": 0, "oldest_s": 4}})).await;
    assert!(well, "{text}");
    lines(&text, "[ok] spool: 1 pending, the oldest for 4 s");
    let enforce = json!({"source_ip": {"policy": "enforce", "listed": 0}});
    let (well, text) = of_account(enforce).await;
    assert!(well, "a hint alone is well:\n{text}");
    explains(&text, "[!]  source_ip", "source_ips");
}

#[tokio::test]
async fn callbacks_that_were_refused_are_a_problem_unless_others_are_taken() {
    let refused = "wxedge_callbacks_total{account=\"main\",kind=\"unknown\",outcome=\"rejected_signature\"} 5\n";
    let taken = "wxedge_callbacks_total{account=\"main\",kind=\"text\",outcome=\"replied\"} 9\n";
    let admin = Admin::start().await;
    admin.writes("/metrics", refused);
    let (well, text) = of_site(&admin, echo).await;
    assert!(!well);
    assert_eq!(
        lines(&text, "[x]  callbacks refused")[0],
        "[x]  callbacks refused since the edge's start rejected_signature: 5"
    );
    explains(&text, "[x]  callbacks refused", "Compare the Token");
    admin.writes("/metrics", &format!("{refused}{taken}"));
    let (well, text) = of_site(&admin, echo).await;
    assert!(well, "{text}");
    explains(&text, "[!]  callbacks refused", "Compare the Token");
    lines(&text, "[ok] callbacks accepted since the edge's start: 9");
}

#[tokio::test]
async fn names_ports_and_certificates_are_explained() {
    let (admin, authority) = (Admin::start().await, Authority::new());
    let good = every_name_is(&["127.0.0.1"]).await;
    let broken = Names::start(Reply::Code(ResponseCode::ServFail)).await;
    let expired = Site::start(Some(authority.expired("wechat.test")), echo).await;
    let more = format!(
        "{NOTIFY}[probe.public_url]\nmain = 'https://wechat.test:{}/'",
        expired.address.port()
    );
    let of_url = config(admin.address, &more);
    let again = Resolver::at(broken.address);
    let resolvers = vec![Resolver::at(good.address), again, again];
    let (well, text) = report(&of_url, &prober(&of_url, resolvers, authority.roots())).await;
    assert!(!well);
    explains(&text, &format!("[x]  name {} ", broken.address), "its A record");
    assert_eq!(text.matches("      As above.\n").count(), 1, "{text}");
    explains(&text, "[!]  name wechat.test", "every address");
    explains(&text, "[x]  TLS", "Renew it");

    for (addresses, url, line, fix) in [
        (["192.0.2.1"], "http://wechat.test:8080/", "[x]  echostr", "conf/nginx.conf"),
        (["2001:db8::1"], "http://wechat.test/", "[x]  name", "Add an A record"),
    ] {
        let names = every_name_is(&addresses).await;
        let of_url = config(admin.address, &format!("{NOTIFY}[probe.public_url]\nmain = '{url}'"));
        let resolvers = vec![Resolver::at(names.address)];
        let (well, text) = report(&of_url, &prober(&of_url, resolvers, authority.roots())).await;
        assert!(!well);
        explains(&text, line, fix);
    }
}

#[tokio::test]
async fn wechats_servers_and_the_clock_are_looked_at() {
    let admin = Admin::start().await;
    let old = "Date: Thu, 01 Jan 2015 00:00:00 GMT\r\n";
    let api = Site::start(None, move |_| Some(answer(404, old, ""))).await;
    let mut told = status();
    let base = format!("http://{}", api.address);
    told["api_base"] = json!([{"base": base, "up": false, "since": 1}]);
    admin.says("/v1/status", 200, &told);
    let (well, text) = of_site(&admin, echo).await;
    assert!(!well);
    explains(&text, "[x]  from the edge", "wechat.proxy");
    explains(&text, "[x]  clock", "systemd-timesyncd");
    told["api_base"] = json!([{"base": base, "up": null, "since": null}]);
    admin.says("/v1/status", 200, &told);
    let (_, text) = of_site(&admin, echo).await;
    let line = lines(&text, "[-]  from the edge")[0];
    assert_eq!(line, format!("[-]  from the edge {base}: not tried yet"));
}

#[tokio::test]
async fn what_is_wrong_with_the_store_is_explained() {
    let admin = Admin::start().await;
    let salvaged = json!({"saved": 7, "lost": 2, "folder": "data/damaged-1"});
    for (store, orphans, line, fix) in [
        (json!({"writable": false}), json!([]), "[x]  store", "df -h"),
        (
            json!({"writable": true, "bytes": 9, "bytes_max": 10}),
            json!([]),
            "[x]  store",
            "spool.max_bytes",
        ),
        (
            json!({"writable": false, "error": "it is damaged"}),
            json!([]),
            "[x]  store: it is damaged",
            "smartctl",
        ),
        (
            json!({"writable": true, "salvaged": salvaged}),
            json!([]),
            "[!]  store: 7 saved, 2 lost; what it was is in data/damaged-1",
            "smartctl",
        ),
        (
            json!({"writable": true}),
            json!([{"appid": "wx9", "pending": 3, "dead": 1, "oldest_s": 9}]),
            "[x]  messages without an account wx9: 3 pending, the oldest for 9 s; dead letters: 1",
            "Give wx9 an account",
        ),
    ] {
        let mut told = status();
        (told["store"], told["spool_orphans"]) = (store, orphans);
        admin.says("/v1/status", 200, &told);
        let (well, text) = of_site(&admin, echo).await;
        assert_eq!(well, line.starts_with("[!]"), "{text}");
        explains(&text, line, fix);
    }
}

#[tokio::test]
async fn what_is_not_configured_is_a_hint() {
    let admin = Admin::start().await;
    let mut told = status();
    told["version"] = json!("0.0.1");
    admin.says("/v1/status", 200, &told);
    let bare = config(admin.address, "");
    let (well, text) = report(&bare, &prober(&bare, vec![], RootCertStore::empty())).await;
    assert!(well, "{text}");
    explains(&text, "[!]  version: 0.0.1", "the same version");
    explains(&text, "[!]  public URL", "[probe.public_url]");
    explains(&text, "[!]  channels", "[notify]");
    assert!(text.ends_with("\nProblems: 0. Hints: 3.\n"), "{text}");

    let other = config(admin.address, "[probe.public_url]\nother = 'http://127.0.0.1:9/'");
    let (well, text) = report(&other, &prober(&other, vec![], RootCertStore::empty())).await;
    assert!(!well);
    explains(&text, "[x]  Account other", "the same name in both files");
}

#[tokio::test]
async fn an_api_listener_that_is_elsewhere_is_a_hint() {
    let (admin, nobody) = (Admin::start().await, nobody());
    let silent = Site::start(None, |_| Some("SSH-2.0-OpenSSH_9.9\r\n".to_owned())).await;
    for (api, well, detail) in [
        (admin.address, true, ""),
        (nobody.local_addr().unwrap(), false, "refuses"),
        (silent.address, false, "no HTTP"),
    ] {
        let mut config = config(admin.address, NOTIFY);
        config.edge.api = format!("http://user:SECRET@{api}/SECRET").parse().unwrap();
        let (passed, text) =
            report(&config, &prober(&config, vec![], RootCertStore::empty())).await;
        assert!(passed && !text.contains("SECRET"), "{text}");
        let start = format!("{} API http://{api}", if well { "[ok]" } else { "[!] " });
        assert!(lines(&text, &start)[0].contains(detail), "{text}");
        if !well {
            explains(&text, &start, "the edge's listen.api");
        }
    }
}

/// Runs the program itself.
async fn run(name: &str, text: String) -> Output {
    let path = format!("{}/{name}.toml", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, text).unwrap();
    let doctor = move || {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_wxedge-sidecar"));
        program.args(["doctor", "--config", &path]).output().unwrap()
    };
    tokio::task::spawn_blocking(doctor).await.unwrap()
}

#[tokio::test]
async fn the_program_speaks_chinese_and_ends_with_what_it_found() {
    let (admin, site) = (Admin::start().await, Site::start(None, echo).await);
    let file = |key: &str| {
        let (admin, site) = (admin.address, site.address);
        format!(
            "{NOTIFY}[edge]\nadmin = 'http://{admin}'\napi = 'http://{admin}'\nkey = '{key}'\n[probe.public_url]\nmain = 'http://{site}/'\n"
        )
    };
    let well = run("doctor_well", file("key")).await;
    let text = String::from_utf8(well.stdout).unwrap();
    assert_eq!(well.status.code(), Some(0), "{text}");
    assert!(text.ends_with("\n一切正常。\n") && !text.contains('\x1b'), "{text}");
    let ill = run("doctor_ill", file("wrong")).await;
    let text = String::from_utf8(ill.stdout).unwrap();
    assert_eq!(ill.status.code(), Some(1), "{text}");
    assert!(text.contains("处理：[edge] key（或 key_file）"), "{text}");
    assert!(!text.contains("wrong"), "{text}");
    assert_eq!(run("doctor_refused", "nonsense = 1".to_owned()).await.status.code(), Some(2));
}
