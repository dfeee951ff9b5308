//! A real nginx in front, with the configuration that is given to users.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use wxedge_tests::app::{Answer, App};
use wxedge_tests::canary;
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::folder::Folder;
use wxedge_tests::http::{Connection, Response};
use wxedge_tests::message::Message;
use wxedge_tests::port::Port;
use wxedge_tests::tls::Identity;
use wxedge_tests::wechat::{Mode, Verdict, Wechat};
use wxedge_tests::{PATIENCE, eventually};

use crate::edge;
use crate::sockets;

const CONF: &str = include_str!("../../conf/nginx.conf");

/// Dropping it ends it.
struct Nginx {
    child: Child,
    port: Port,
    folder: Folder,
}

impl Nginx {
    /// With `conf/nginx.conf`, in front of this edge.
    fn before(edge: &Edge) -> Nginx {
        Nginx::start(edge, Folder::new(), CONF.to_owned())
    }

    /// With its TLS lines, and a certificate from `folder`.
    fn with_tls(edge: &Edge, folder: Folder) -> Nginx {
        let site =
            CONF.replace("    listen 80;\n", "").replace("#listen 443 ssl;", "listen 80 ssl;");
        let site = site.replace("#ssl_", "ssl_").replace("/etc/ssl/example.com/", "");
        Nginx::start(edge, folder, site)
    }

    /// Without the lines that begin with these words.
    fn without(edge: &Edge, left_out: &[&str]) -> Nginx {
        let kept = CONF.lines();
        let kept = kept.filter(|line| !left_out.iter().any(|words| line.trim().starts_with(words)));
        let site = kept.map(|line| format!("{line}\n")).collect();
        Nginx::start(edge, Folder::new(), site)
    }

    fn start(edge: &Edge, folder: Folder, mut site: String) -> Nginx {
        let port = Port::reserve();
        let path = folder.path().display();
        for (given, here) in [
            ("listen 80", format!("listen {} reuseport", port.address)),
            ("server 127.0.0.1:8080;", format!("server {};", edge.callback)),
            ("/var/log/nginx/", format!("{path}/")),
        ] {
            assert!(site.contains(given), "{given} in conf/nginx.conf");
            site = site.replace(given, &here);
        }
        folder.write("site.conf", site);
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|kind| format!("{kind}_temp_path {path}/{kind};\n")).concat();
        folder.write("nginx.conf", format!(
            "daemon off;\nmaster_process off;\npid {path}/pid;\nevents {{}}\nhttp {{\n{temporary}access_log off;\ninclude site.conf;\n}}\n"
        ));
        let mut command = Command::new(program());
        command.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut nginx = Nginx { child: command.spawn().expect("nginx"), port, folder };
        eventually(PATIENCE, "nginx listens", || {
            assert_eq!(nginx.child.try_wait().unwrap(), None, "nginx refuses conf/nginx.conf");
            Connection::open(nginx.address(), PATIENCE).is_ok()
        });
        nginx
    }

    fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// All that it logged.
    fn logs(&self) -> String {
        let read = |name| std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        read("wxedge.log") + &read("wxedge-error.log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // By its own id; it may have ended.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if !std::thread::panicking() {
            let logs = self.logs();
            assert!(logs.contains("/wechat/main"), "{logs}");
            if let Err(found) = canary::search(&logs) {
                panic!("a secret in nginx's log: {found}");
            }
        }
    }
}

fn program() -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found =
        path.split(':').map(|folder| PathBuf::from(folder).join("nginx")).find(|p| p.exists());
    found.expect("nginx: apt-get install nginx-light")
}

fn behind_nginx() -> Builder {
    edge().listen(r#"trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]"#)
}

/// WeChat, as it knows nginx.
fn through(nginx: &Nginx, edge: &Edge) -> Wechat {
    let appid = "wx0123456789main";
    let mode = edge.status()["accounts"][0]["mode"].as_str().unwrap().parse::<Mode>().unwrap();
    Wechat::new(&format!("http://{}/wechat/main", nginx.address())).appid(appid).mode(mode)
}

/// Sends a message from this address with more header lines, to nginx.
fn send_from(address: [u8; 4], nginx: &Nginx, wechat: &Wechat, more: &[(&str, &str)]) -> Response {
    let sealed = wechat.seal(&Message::text("hi"));
    let mut connection = sockets::from(Ipv4Addr::from(address), nginx.address());
    let target = format!("/wechat/main?{}", sealed.query);
    connection.request("POST", &target, more, &sealed.body).unwrap();
    connection.response(PATIENCE).unwrap()
}

/// What every variant has to do.
fn passes(edge: &Edge, nginx: &Nginx, kept: f64) {
    let wechat = through(nginx, edge);
    assert_eq!(wechat.verify().verdict, Verdict::Acknowledged);
    for _ in 0..10 {
        let push = wechat.push(&Message::text("你好"));
        assert_eq!(push.deliveries.len(), 1);
        assert_eq!(push.reply().at("Content"), Some("你好"));
    }
    edge.await_log(11);
    assert_eq!(send_from([127, 0, 0, 2], nginx, &wechat, &[]).status, 200);
    let log = edge.await_log(12);
    assert_eq!(log[0]["source"], "127.0.0.1", "nobody but trusted proxies on the way");
    assert_eq!(log[11]["source"], "127.0.0.2");
    edge.assert_outcomes(&[("replied", 11), ("verified", 1)]);
    edge.assert_count("wxedge_connections", &[("listener", "callback")], kept);
}

#[test]
fn callbacks_pass_over_kept_connections() {
    let edge = behind_nginx().start();
    let nginx = Nginx::before(&edge);
    passes(&edge, &nginx, 1.0);
}

#[test]
fn callbacks_pass_as_nginx_speaks_by_default() {
    let edge = behind_nginx().start();
    let nginx = Nginx::without(
        &edge,
        &["proxy_http_version", "proxy_set_header   Connection", "keepalive"],
    );
    passes(&edge, &nginx, 0.0);
}

#[test]
fn callbacks_pass_where_nginx_ends_tls() {
    let folder = Folder::new();
    let identity = Identity::of("127.0.0.1");
    folder.write("fullchain.pem", &identity.certificate);
    folder.write("privkey.pem", &identity.key);
    let edge = behind_nginx().start();
    let nginx = Nginx::with_tls(&edge, folder);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let wechat = Wechat::new(&format!("https://{}/wechat/main", nginx.address()));
        let wechat = wechat.tls(identity.trusted(&[version]));
        assert_eq!(wechat.push(&Message::text("hi")).reply().at("Content"), Some("hi"));
    }
}

#[test]
fn the_source_is_the_last_who_is_no_proxy_of_ours() {
    let edge = behind_nginx()
        .line(r#"source_ip = "enforce""#)
        .line(r#"source_ips = ["203.0.113.0/24", "127.0.0.2"]"#)
        .start();
    let nginx = Nginx::before(&edge);
    let wechat = through(&nginx, &edge);
    // Who called nginx, what it said of those before it, and what comes of it.
    let cases: [([u8; 4], Option<&str>, u16, &str); 6] = [
        ([127, 0, 0, 2], None, 200, "127.0.0.2"),
        ([127, 0, 0, 3], None, 403, "127.0.0.3"),
        // A load balancer of ours in between.
        ([127, 0, 0, 1], Some("203.0.113.9, 10.0.0.5"), 200, "203.0.113.9"),
        ([127, 0, 0, 1], Some("198.51.100.7, 10.0.0.5"), 403, "198.51.100.7"),
        // Lies: WeChat's address, written by somebody else.
        ([127, 0, 0, 3], Some("203.0.113.9"), 403, "127.0.0.3"),
        ([127, 0, 0, 1], Some("203.0.113.9, 198.51.100.7, 10.0.0.5"), 403, "198.51.100.7"),
    ];
    for (number, (caller, forwarded, status, source)) in cases.into_iter().enumerate() {
        let headers: Vec<_> = forwarded.iter().map(|list| ("X-Forwarded-For", *list)).collect();
        assert_eq!(
            send_from(caller, &nginx, &wechat, &headers).status,
            status,
            "{caller:?} {forwarded:?}"
        );
        assert_eq!(edge.await_log(number + 1)[number]["source"], source);
    }
}

#[test]
fn nginx_does_not_lose_patience_and_asks_once() {
    let app = App::answering(Answer::hang());
    let edge = behind_nginx()
        .mode(Mode::Plain)
        .app(&app)
        .spool("max_bytes = 1048576")
        .spool("retry_min_ms = 60000")
        .start();
    let nginx = Nginx::before(&edge);
    let wechat = through(&nginx, &edge);
    let slow = wechat.deliver(&Message::text(&"x".repeat(800_000)));
    assert_eq!(slow.verdict, Verdict::Acknowledged, "`success` by the default deadline of 4.3 s");
    assert!(slow.took > Duration::from_secs(4), "{:?}", slow.took);
    // There is no room for another one: WeChat is to send it again, nginx is not.
    app.answer(Answer::status(500));
    let refused = wechat.deliver(&Message::text(&"x".repeat(300_000)));
    assert_eq!(refused.status(), 503);
    assert_eq!(app.calls(), 2);
    edge.assert_outcomes(&[("fallback_deadline", 1), ("unavailable", 1)]);
}

#[test]
fn long_messages_pass_and_longer_ones_do_not() {
    let app = App::start();
    let edge = behind_nginx().mode(Mode::Plain).app(&app).start();
    let nginx = Nginx::before(&edge);
    let wechat = through(&nginx, &edge);
    let long = Message::text(&"长".repeat(1_000_000 / 3));
    assert_eq!(wechat.deliver(&long).verdict, Verdict::Acknowledged);
    assert_eq!(app.only_request().json()["Content"].as_str().unwrap().len(), 999_999);
    assert_eq!(wechat.deliver(&Message::text(&"x".repeat(1_100_000))).status(), 413);
    assert_eq!(app.calls(), 1);
}
