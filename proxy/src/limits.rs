//! Every bound that is not a configuration key, in one place.
//!
//! A reader who asks "what happens when there is too much of X" finds the number here and the rule beside it.

use std::time::Duration;

// --- listeners -------------------------------------------------------------------------------------------------

/// The whole request, header and body, from its first byte; then 408.
pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(3_500);
/// A connection without a request is closed after this long.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection is closed after this many requests, so that none lives for ever.
pub const KEEPALIVE_REQUESTS: u32 = 10_000;
/// A TLS handshake takes no longer than this.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Writing an answer takes no longer than this; a client that does not read is dropped.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Request line and headers together, in bytes; then 400.
pub const HEADER_BYTES: usize = 16 * 1024;
/// Answers up to this size leave in one write.
pub const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Pause after `accept` failed for want of file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that wait in the kernel to be accepted.
pub const ACCEPT_BACKLOG: nix::sys::socket::Backlog = nix::sys::socket::Backlog::MAXCONN;

// --- callbacks -------------------------------------------------------------------------------------------------

/// Bytes of unverified bodies an account holds at once; more requests get 503.
pub const UNVERIFIED_BYTES: usize = 64 * 1024 * 1024;
/// Answered messages an account remembers for deduplication; the oldest go first.
pub const DEDUPE_ENTRIES: usize = 100_000;
/// How long an answer is kept to be given again to a repeat.
pub const DEDUPE_ANSWER: Duration = Duration::from_secs(60);
/// Bytes of kept answers per account; beyond them a repeat gets `success`.
pub const DEDUPE_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Signatures an account in plain mode remembers; the oldest go first.
pub const SPENT_SIGNATURES: usize = 100_000;

// --- the app ---------------------------------------------------------------------------------------------------

/// The body of the app's answer, in bytes. A longer one is not read on, so it is not complete and the message not taken:
/// a failure, `invalid`.
pub const APP_ANSWER_BYTES: usize = 1024 * 1024;
/// Headers of the app's answer; more are `invalid`.
pub const APP_HEADERS: usize = 64;
/// The size line of one chunk of the app's answer, extensions included.
pub const CHUNK_LINE_BYTES: usize = 1_024;
/// Bytes read from the app at once.
pub const APP_READ_BYTES: usize = 4 * 1024;
/// An idle connection to the app is closed after this long.
pub const APP_IDLE: Duration = Duration::from_secs(30);
/// A name is looked up again after this long; the last good answer serves meanwhile.
pub const DNS_REFRESH: Duration = Duration::from_secs(30);
/// How long a call waits for the first lookup of a name.
pub const DNS_TIMEOUT: Duration = Duration::from_secs(3);
/// Each address of a name gets at least this much of `connect_timeout_ms`.
pub const CONNECT_SHARE: Duration = Duration::from_millis(250);
/// After a failed lookup, or when no address takes a connection, the next lookup waits this long.
pub const DNS_PAUSE: Duration = Duration::from_secs(1);

// --- what operators see ----------------------------------------------------------------------------------------

/// Access log bytes that wait to be written; beyond them lines are dropped and counted.
pub const LOG_BYTES: usize = 4 * 1024 * 1024;
/// How long a line may wait for company before it is written.
pub const LOG_DELAY: Duration = Duration::from_millis(50);
/// How long the end of the process waits for the last lines to be written.
pub const LOG_FLUSH: Duration = Duration::from_millis(200);
/// A fault that goes on is said again after this long.
pub const REMINDER: Duration = Duration::from_secs(10);
/// Characters of a path that was no callback's which the log shows.
pub const LOG_PATH_CHARS: usize = 64;
/// Events a slow reader may lag behind; beyond them it loses and is told how many.
pub const EVENTS: usize = 1_024;
/// Failure events a second and account.
pub const FAILURE_EVENTS: u32 = 10;
/// Characters of an app's answer that a failure event shows.
pub const EVENT_RESPONSE_CHARS: usize = 200;
/// How often draining looks whether it is done.
pub const DRAIN_POLL: Duration = Duration::from_millis(20);
/// File descriptors for everything that is no connection: the store, the logs, lookups of names. What is asked for at
/// start are these and one for each connection that the configuration allows.
pub const FILE_DESCRIPTORS: u64 = 1_024;

const _: () = assert!(REQUEST_TIMEOUT.as_millis() < 5_000, "WeChat gives up after 5 s");
const _: () = assert!(DEDUPE_ANSWER.as_secs() >= 20, "WeChat repeats for up to 20 s");
