//! `[accounts.<name>.upstream]`: the app, how it is called and for how long.

use std::fmt;
use std::time::Duration;

use url::Url;

use super::section::Section;
use super::value::http_url;
use super::{SigningKey, shown};

/// The app of one account.
#[derive(Debug, PartialEq, Eq)]
pub struct Upstream {
    /// `url`.
    pub target: Target,
    /// `format`: what the app receives. Default json.
    pub format: BodyFormat,
    /// `deadline_ms`: from the first byte of WeChat's request to the end of the wait for the app, 500 to 4 800 ms.
    /// Default 4 300 ms.
    pub deadline: Duration,
    /// The same for `minigame_*` events, which WeChat gives up on after 3 s: 2 500 ms, or `deadline` when that is smaller.
    pub deadline_minigame: Duration,
    /// `connect_timeout_ms`: 10 ms to 60 s. Default 3 s.
    pub connect_timeout: Duration,
    /// `late_timeout_s`: how long a call may go on in all, from `deadline` to 1 h. Default 60 s.
    pub late_timeout: Duration,
    /// `max_connections`: open connections to the app, 1 to 100 000. Default 512.
    pub max_connections: usize,
    /// `signing_secret`: with it, requests carry Standard Webhooks headers. Default none.
    pub signing_secret: Option<SigningKey>,
}

/// `url`: who answers.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// `builtin:echo`: the edge itself answers text and images with the same.
    Echo,
    /// The app, http or https. May carry a password or a key in the query.
    Url(Url),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Scheme, host and port only: the rest of the URL may hold a secret.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Echo => f.write_str("builtin:echo"),
            Target::Url(url) => f.write_str(&shown(url)),
        }
    }
}

/// `format`: what the app receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// The message as a JSON object, CloudEvents attributes in the headers.
    Json,
    /// A CloudEvents 1.0 structured-mode event, the same object under `data`.
    CloudEvents,
    /// The decrypted XML, as WeChat sends it in plaintext mode.
    Xml,
}

/// WeChat gives up on `minigame_*` events after 3 s.
const DEADLINE_MINIGAME_MS: u64 = 2_500;

impl Upstream {
    /// Whether connections made for the one serve the other.
    pub fn same_app(&self, other: &Upstream) -> bool {
        self.target == other.target
            && self.connect_timeout == other.connect_timeout
            && self.max_connections == other.max_connections
    }

    /// Reads `[accounts.<name>.upstream]`.
    pub(super) fn read(at: &Section<'_>) -> Upstream {
        let what = "write the address of your app, or \"builtin:echo\" to try wxedge without one";
        let target = at.required("url", what, target).unwrap_or(Target::Echo);
        let formats = [
            ("json", BodyFormat::Json),
            ("cloudevents", BodyFormat::CloudEvents),
            ("xml", BodyFormat::Xml),
        ];
        let deadline_ms = at.integer("deadline_ms", 500..=4_800, 4_300);
        let late_timeout_s = at.integer("late_timeout_s", 1..=3_600, 60);
        if late_timeout_s * 1_000 < deadline_ms {
            at.issue(
                "late_timeout_s",
                "must not end before deadline_ms: it is the time a call may take in all",
            );
        }
        Upstream {
            target,
            format: at.choice("format", &formats, BodyFormat::Json),
            deadline: Duration::from_millis(deadline_ms),
            deadline_minigame: Duration::from_millis(deadline_ms.min(DEADLINE_MINIGAME_MS)),
            connect_timeout: Duration::from_millis(at.integer(
                "connect_timeout_ms",
                10..=60_000,
                3_000,
            )),
            late_timeout: Duration::from_secs(late_timeout_s),
            max_connections: at.integer("max_connections", 1..=100_000, 512) as usize,
            signing_secret: signing_secret(at),
        }
    }
}

fn target(text: &str) -> Result<Target, &'static str> {
    if text == "builtin:echo" { Ok(Target::Echo) } else { http_url(text).map(Target::Url) }
}

fn signing_secret(at: &Section<'_>) -> Option<SigningKey> {
    let given = at.credential(Some("signing_secret"), None);
    let key = SigningKey::parse(given.values.first()?.expose());
    if key.is_none() {
        at.issue(
            &given.key,
            "must be whsec_ and the base64 of 24 to 64 random bytes: echo whsec_$(openssl rand -base64 32)",
        );
    }
    key
}
