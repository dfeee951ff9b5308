//! A headless Chromium that opens a page, lets a script play its reader, and says what is on it at the end.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// The browser's own time, which runs ahead of the world's whenever nothing is on its way.
const VIRTUAL_MS: u32 = 20_000;
/// After that it hangs, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a reader's script has at hand. It goes with the page's own policy, and tells when that was broken.
const READER: &str = r#"
const trouble = (what) => { document.documentElement.dataset.trouble = String(what); };
addEventListener('error', (event) => trouble(event.message));
addEventListener('unhandledrejection', (event) => trouble(event.reason));
addEventListener('securitypolicyviolation', (event) => trouble(`policy: ${event.violatedDirective}`));
const $ = (selector) => document.querySelector(selector);
const until = async (what, found) => {
  for (let tries = 0; tries < 300; tries += 1) {
    const it = found();
    if (it) return it;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`never: ${what}`);
};
const press = async (within, text) =>
  (await until(text, () => [...document.querySelectorAll(`${within} button:enabled`)].find((one) => one.textContent === text))).click();
const type = async (text) => {
  const field = await until('a question', () => $('dialog input'));
  field.value = text;
  $('dialog form').requestSubmit();
};
const keep = (name, value) => { document.documentElement.dataset[name] = value; };
"#;

/// `reader` as a module.
pub(crate) fn script(reader: &str) -> String {
    format!("{READER}\n{reader}\nkeep('done', 'yes');\n")
}

struct Browser {
    process: Child,
    profile: PathBuf,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It has ended by itself, or it hangs.
        self.process.kill().ok();
        self.process.wait().ok();
        std::fs::remove_dir_all(&self.profile).ok();
    }
}

/// The page's elements and text once the browser's time is over.
pub(crate) fn dom(url: &str) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("chromium-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&profile).unwrap();
    let process = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--virtual-time-budget={VIRTUAL_MS}"))
        .args(["--accept-lang=zh-CN", "--window-size=1280,900", "--dump-dom", url])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromium is needed: `make test` installs it");
    let mut browser = Browser { process, profile };
    let mut stdout = browser.process.stdout.take().unwrap();
    let (said, heard) = sync_channel(1);
    std::thread::spawn(move || {
        let mut dom = String::new();
        stdout.read_to_string(&mut dom).ok();
        // Nobody waits any more when it took too long.
        said.send(dom).ok();
    });
    heard.recv_timeout(PATIENCE).expect("chromium ends")
}
