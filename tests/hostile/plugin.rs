//! wxedge inside somebody else's Pingora server: `proxy/examples/plugin.rs`, as a process.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use wxedge_tests::app::{Answer, App};
use wxedge_tests::canary;
use wxedge_tests::folder::Folder;
use wxedge_tests::http::{self, Connection};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Verdict, Wechat};
use wxedge_tests::wechat_api::Api;
use wxedge_tests::{PATIENCE, eventually_some};

use crate::{PROGRAM, edge};

/// Dropping it ends it.
struct Plugin {
    child: Child,
    address: SocketAddr,
    /// Where apps call WeChat.
    api: SocketAddr,
    folder: Folder,
}

impl Plugin {
    fn start(app: &App, site: &App, wechat: &Api) -> Plugin {
        let folder = Folder::new();
        let edge =
            edge().app(app).api_base(&[&wechat.url()]).client("crm", &[r#"allow = ["/**"]"#]);
        let config = folder.write("wxedge.toml", edge.render(&folder));
        let output = File::create(folder.path().join("output")).unwrap();
        let mut command = Command::new(program());
        command.arg(config).arg("127.0.0.1:0").arg(site.address().to_string()).arg("127.0.0.2:0");
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut child = command.spawn().unwrap();
        let mut listens_on = |ip: [u8; 4]| {
            eventually_some(PATIENCE, "the plugin listens", || {
                assert_eq!(child.try_wait().unwrap(), None, "the plugin ended");
                listens_on(child.id(), ip.into())
            })
        };
        let (address, api) = (listens_on([127, 0, 0, 1]), listens_on([127, 0, 0, 2]));
        Plugin { child, address, api, folder }
    }

    fn wechat(&self) -> Wechat {
        Wechat::new(&format!("http://{}/wechat/main", self.address))
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("output")).unwrap()
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // By its own id; it may have ended.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The example beside the program under test. `cargo test` builds it, unless it was asked for one suite alone.
fn program() -> PathBuf {
    let folder = Path::new(PROGRAM).parent().unwrap();
    let program = folder.join("examples/plugin");
    let built =
        program.metadata().and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    if ["src", "wechat/src", "examples"]
        .iter()
        .any(|sources| newest(&Path::new(SOURCES).join(sources)) > built)
    {
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--package",
            "wxedge",
            "--example",
            "plugin",
            "--target-dir",
        ]);
        build.arg(folder.parent().unwrap()).current_dir(SOURCES);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    }
    program
}

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

/// When a file in this folder, or below it, was last written.
fn newest(folder: &Path) -> SystemTime {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let times = files.map(|file| match file.file_type().unwrap().is_dir() {
        true => newest(&file.path()),
        false => file.metadata().unwrap().modified().unwrap(),
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The port of `ip` on which a process listens, as the kernel tells it.
fn listens_on(pid: u32, ip: Ipv4Addr) -> Option<SocketAddr> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let sockets: Vec<String> = files
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields.as_slice() else { return None };
        let (address, port) =
            local.split_once(':').filter(|_| sockets.iter().any(|socket| socket == inode))?;
        // As the machine has it in memory: little-endian.
        let is_ip = u32::from_str_radix(address, 16).ok()? == u32::from_le_bytes(ip.octets());
        is_ip.then_some(SocketAddr::from((ip, u16::from_str_radix(port, 16).ok()?)))
    })
}

#[test]
fn callbacks_are_wxedge_s_and_everything_else_is_the_host_s() {
    let app = App::answering(Answer::text("from the app"));
    let site = App::answering(Answer::new(200, "text/html", "the old site"));
    let api = Api::start();
    let plugin = Plugin::start(&app, &site, &api);
    let wechat = plugin.wechat();
    assert_eq!(wechat.verify().verdict, Verdict::Acknowledged);
    for _ in 0..3 {
        let push = wechat.push(&Message::text("hi"));
        assert_eq!(push.reply().at("Content"), Some("from the app"));
    }
    assert_eq!((app.calls(), site.calls()), (3, 0));

    for target in ["/", "/wechat/other?signature=CanaryQuery", "/wechat/main/deeper"] {
        let answer = http::get(plugin.address, target);
        assert_eq!((answer.status, answer.text()), (200, "the old site"), "{target}");
    }
    assert_eq!((app.calls(), site.calls()), (3, 3));
    assert_eq!(site.requests()[1].target, "/wechat/other?signature=CanaryQuery");

    assert_eq!(
        wechat.clone().token(canary::TOKEN_WRONG).deliver(&Message::text("hi")).status(),
        403
    );
    assert_eq!(http::send(plugin.address, "PUT", "/wechat/main", &[], b"").status, 405);
    let sealed = wechat.seal(&Message::text("hi"));
    let right = String::from_utf8(wechat.request("POST", &sealed.query, &sealed.body)).unwrap();
    let length = format!("Content-Length: {}", sealed.body.len());
    let (head, _) = right.split_once("<xml>").unwrap();
    let chunked = head.replace(&length, "Transfer-Encoding: chunked");
    for (what, wrong) in [
        ("Host twice", right.replace("\r\nPragma", "\r\nHost: evil.example\r\nPragma")),
        ("a name with _", right.replace("\r\nPragma", "\r\nX_A: b\r\nPragma")),
        ("bare LF", right.replace("\r\nPragma", "\nPragma")),
        ("two lengths", right.replace("\r\nPragma", "\r\nContent-Length: 0\r\nPragma")),
        ("CL.TE", right.replace("\r\nPragma", "\r\nTransfer-Encoding: chunked\r\nPragma")),
        (
            "no body, and a name with _",
            "GET /wechat/main HTTP/1.1\r\nHost: a\r\nX_A: b\r\n\r\n".to_owned(),
        ),
        ("a chunk of no size", chunked + "xyz\r\n<xml>\r\n0\r\n\r\n"),
    ] {
        let mut connection = Connection::to(plugin.address);
        connection.send(&wrong).unwrap();
        let answer = connection.response(PATIENCE).unwrap();
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{what}");
        assert_eq!(connection.closed(PATIENCE), Ok(Vec::new()), "{what}");
    }
    assert_eq!((app.calls(), site.calls()), (3, 3));

    // What Pingora prints when the host's site is gone must not hold the query either.
    drop(site);
    assert_eq!(http::get(plugin.address, "/wechat/other?signature=CanaryQuery").status, 502);
    eventually_some(PATIENCE, "the log is written", || {
        (plugin.output().matches("\"outcome\"").count() >= 5).then_some(())
    });
    let output = plugin.output();
    canary::search(&output).unwrap();
    assert!(!output.contains("CanaryQuery"), "{output}");
}

#[test]
fn apps_call_wechat_through_the_host() {
    let (app, site, wechat) =
        (App::answering(Answer::text("")), App::answering(Answer::text("")), Api::start());
    let plugin = Plugin::start(&app, &site, &wechat);
    let target = "/main/cgi-bin/user/info?openid=o1";
    assert_eq!(http::get(plugin.api, target).json()["errcode"], -9401);
    let key = format!("Bearer {}", canary::CLIENT_KEY);
    let call = |method, target, body: &[u8]| {
        http::send(plugin.api, method, target, &[("authorization", &key)], body)
    };
    assert_eq!(call("GET", target, b"").json()["openid"], "o1");
    let sent = call("POST", "/main/cgi-bin/message/custom/send", b"{\"touser\":\"o1\"}");
    assert_eq!(sent.json()["errcode"], 0);
    assert_eq!(call("GET", "/main//cgi-bin", b"").json()["errcode"], -9400);
    assert_eq!((wechat.mistakes(), wechat.fetches().stable), (Vec::<String>::new(), 1));
    assert_eq!((app.calls(), site.calls()), (0, 0));
    eventually_some(PATIENCE, "the log is written", || {
        (plugin.output().matches("\"api\":").count() >= 4).then_some(())
    });
    canary::search(&plugin.output()).unwrap();
}
