//! wxedge inside somebody else's Pingora server: `proxy/examples/plugin.rs`, as a process.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use wxedge_tests::app::{Answer, App};
use wxedge_tests::canary;
use wxedge_tests::folder::Folder;
use wxedge_tests::http::{self, Connection};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Verdict, Wechat};
use wxedge_tests::{PATIENCE, eventually_some};

use crate::{PROGRAM, edge};

/// Dropping it ends it.
struct Plugin {
    child: Child,
    address: SocketAddr,
    folder: Folder,
}

impl Plugin {
    fn start(app: &App, site: &App) -> Plugin {
        let folder = Folder::new();
        let config = folder.write("wxedge.toml", edge().app(app).render(&folder));
        let output = File::create(folder.path().join("output")).unwrap();
        let mut command = Command::new(program());
        command.arg(config).arg("127.0.0.1:0").arg(site.address().to_string());
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut child = command.spawn().unwrap();
        let address = eventually_some(PATIENCE, "the plugin listens", || {
            assert_eq!(child.try_wait().unwrap(), None, "the plugin ended");
            listens_on(child.id())
        });
        Plugin { child, address, folder }
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

/// The port on which a process listens, as the kernel tells it.
fn listens_on(pid: u32) -> Option<SocketAddr> {
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
        let (_, port) =
            local.split_once(':').filter(|_| sockets.iter().any(|socket| socket == inode))?;
        Some(SocketAddr::from(([127, 0, 0, 1], u16::from_str_radix(port, 16).ok()?)))
    })
}

#[test]
fn callbacks_are_wxedge_s_and_everything_else_is_the_host_s() {
    let app = App::answering(Answer::text("from the app"));
    let site = App::answering(Answer::new(200, "text/html", "the old site"));
    let plugin = Plugin::start(&app, &site);
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
