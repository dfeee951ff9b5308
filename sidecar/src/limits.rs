//! Every bound of the sidecar that is not configuration.

use std::time::Duration;

/// From one look at the edge's status to the next. Two in a row that fail say that it is down: within 10 s of the fault.
pub const STATUS_INTERVAL: Duration = Duration::from_secs(3);
/// For an answer of the edge's admin API.
pub const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// For what the edge has to ask WeChat about first.
pub const ACTION_TIMEOUT: Duration = Duration::from_secs(15);
/// The most that an answer of the edge may have, in bytes: the metrics of some hundred accounts.
pub const ANSWER_BYTES: usize = 32 << 20;
/// Between two connections to the edge's event stream; doubled by each that fails, up to the second.
pub const STREAM_RETRY: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(3)];
/// The edge says something this often, if only that there is nothing to say (every 15 s).
pub const STREAM_SILENCE: Duration = Duration::from_secs(40);
/// The longest event, in bytes.
pub const EVENT_BYTES: usize = 64 << 10;

/// WeChat's time to connect.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// WeChat's time for an answer, from the first packet to the last.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// WeChat's time for a name.
pub const DNS_TIMEOUT: Duration = Duration::from_secs(5);

/// What changes within this time of the first change is told in one message.
pub const GROUP_WAIT: Duration = Duration::from_secs(5);
/// The same from a critical change on.
pub const GROUP_WAIT_CRITICAL: Duration = Duration::from_secs(2);
/// Alerts that one message has; how many more there were is told.
pub const MESSAGE_ALERTS: usize = 200;
/// Messages that wait for one robot; the oldest goes first.
pub const MESSAGES: usize = 64;
/// For the answer of a robot, a webhook or Alertmanager.
pub const NOTIFY_TIMEOUT: Duration = Duration::from_secs(5);
/// The most such an answer may have, in bytes.
pub const NOTIFY_ANSWER_BYTES: usize = 64 << 10;
/// Before a message is tried again; doubled each time, up to the second, less up to a half by chance.
pub const NOTIFY_RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];
/// The least before one that came too often is tried again: the robots count by the minute.
pub const NOTIFY_TOO_OFTEN: Duration = Duration::from_secs(60);
/// A message is given up this long after its first try.
pub const NOTIFY_AGE: Duration = Duration::from_secs(1800);

/// Firing alerts are told to Alertmanager this often.
pub const ALERTMANAGER_RESEND: Duration = Duration::from_secs(60);
/// It takes them for resolved this long after it was last told: when the sidecar is gone.
pub const ALERTMANAGER_EXPIRY: Duration = Duration::from_secs(300);

/// Silences at a time.
pub const SILENCES: usize = 64;
/// The longest silence: nobody remembers a longer one.
pub const SILENCE_LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// The longest comment of one, in characters.
pub const SILENCE_COMMENT: usize = 200;

/// A certificate that ends in less than this is said to end.
pub const CERTIFICATE_LEFT: Duration = Duration::from_secs(14 * 24 * 3600);
/// The clock may be off by this much. At 300 s (`replay_window_s`) callbacks are refused.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// From one question to WeChat how it sees the callback URL to the next: it allows about 1 440 a day.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(600);
/// Within this time of a start every target is looked at for the first time.
pub const FIRST_LOOK: Duration = Duration::from_secs(3);
/// Targets that are looked at; further ones are not.
pub const TARGETS: usize = 1000;
/// Looks at the same time.
pub const LOOKS: usize = 8;
/// Addresses of one name that are connected to.
pub const ADDRESSES: usize = 4;
/// Bytes that are read of an answer to a probe, its body alone.
pub const PROBE_BODY_BYTES: usize = 64 << 10;
/// Characters of an answer, or of other words from elsewhere, that are shown.
pub const EXCERPT_CHARS: usize = 200;

/// Accounts that alerts are kept for; more is not believed.
pub const ALERT_ACCOUNTS: usize = 4096;
/// Targets of probes that alerts remember: of each account, some resolvers, a connection, a certificate and an answer.
pub const ALERT_TARGETS: usize = 8 * ALERT_ACCOUNTS;
/// Credentials of one account that may fail at once; three are known.
pub const ALERT_CREDENTIALS: usize = 16;
/// Names in an alert's words; how many more there are is said.
pub const ALERT_NAMES: usize = 4;

/// Connections to the sidecar's own pages at once.
pub const CONNECTIONS: usize = 256;
/// For the head of a request to them, and between two requests.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// After a connection could not be accepted.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a stop waits for answers that are on their way.
pub const GRACE: Duration = Duration::from_secs(5);
/// Events that a reader of the live tail may be behind.
pub const TAIL: usize = 256;
/// The live tail says this often that it is there.
pub const TAIL_HEARTBEAT: Duration = Duration::from_secs(15);
/// Findings kept for the console: more targets than that are not shown.
pub const FINDINGS: usize = 2_000;
/// How long a finding is shown that nothing newer has come for, in milliseconds: its target is gone.
pub const FINDING_MS: u64 = 30 * 60 * 1_000;
/// From one writing of the state to the next.
pub const SAVE_INTERVAL: Duration = Duration::from_secs(10);
/// What was seen is judged this often.
pub const TICK: Duration = Duration::from_secs(1);
/// How old the number of the edge's open files may be that the host panel shows.
pub const EDGE_FILES: Duration = Duration::from_secs(15);
/// The clock is followed when it is off by this much, in milliseconds.
pub const CLOCK_STEP_MS: u64 = 2_000;
/// For a client of the sidecar's pages to take some of an answer.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Readers of the live tail at once.
pub const TAILS: usize = 32;
/// The longest `probe.interval_s`, in seconds: what is older than some of them is not believed any more.
pub const PROBE_INTERVAL_S: u64 = 600;
