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

/// Characters of an answer, or of other words from elsewhere, that an alert shows.
pub const EXCERPT_CHARS: usize = 200;
/// Accounts that alerts are kept for; more is not believed.
pub const ALERT_ACCOUNTS: usize = 4096;
/// Targets of probes that alerts remember: of each account, some resolvers, a connection, a certificate and an answer.
pub const ALERT_TARGETS: usize = 8 * ALERT_ACCOUNTS;
/// Credentials of one account that may fail at once; three are known.
pub const ALERT_CREDENTIALS: usize = 16;
/// Names in an alert's words; how many more there are is said.
pub const ALERT_NAMES: usize = 4;
