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
/// Connections that are still taken when accepting ends, because the kernel has taken them already.
pub const ACCEPT_LAST: usize = 4_096;
/// Connections that wait in the kernel to be accepted.
pub const ACCEPT_BACKLOG: nix::sys::socket::Backlog = nix::sys::socket::Backlog::MAXCONN;

// --- callbacks -------------------------------------------------------------------------------------------------

/// A callback is answered within this time of its first byte, or not by us: WeChat gives up after 5 s.
pub const ANSWER_BY: Duration = Duration::from_millis(4_750);
/// The same for `minigame_*` events, which WeChat gives up on after 3 s.
pub const ANSWER_BY_MINIGAME: Duration = Duration::from_millis(2_800);
/// The least time between the deadline and the answer, for the spool to write the message.
pub const ANSWER_AFTER_DEADLINE: Duration = Duration::from_millis(100);
/// How often WeChat delivers a message.
pub const DELIVERIES: u32 = 3;
/// WeChat does not repeat a message any more this long after its first delivery: 3 deliveries of 5 s, and some.
pub const REPEATS_END: Duration = Duration::from_secs(20);
/// `join`: how long the app has, counted from the first delivery.
pub const JOIN_DEADLINE: Duration = Duration::from_secs(14);
/// `join`: a delivery that begins this long after the first one is the last.
pub const JOIN_LAST: Duration = Duration::from_secs(9);
/// `join`: a delivery that is left unanswered is closed after this long, unless WeChat did.
pub const JOIN_HELD: Duration = Duration::from_secs(6);
/// `join_budget` counts the visible failures of this long.
pub const JOIN_WINDOW: Duration = Duration::from_secs(300);
/// Bytes of unverified bodies an account holds at once; more requests get 503.
pub const UNVERIFIED_BYTES: usize = 64 * 1024 * 1024;
/// Messages whose answers an account keeps for repeats; of the oldest only [`DEDUPE_SEEN`] remains.
pub const DEDUPE_ENTRIES: usize = 100_000;
/// Answered messages an account remembers without their answers, in 20 MB at most; of more the oldest eighth goes. With
/// `replay_window_s = 300` a signed request stays valid for up to 600 s, and that is enough for 2 600 messages a second.
pub const DEDUPE_SEEN: usize = 1_835_008;
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
/// The longest `retry-after` that is believed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// A message that the app turns away with 401, 403 or 404 is delivered again for this long: as long as a deployment
/// or a key that is being changed may take.
pub const TURNED_AWAY: Duration = Duration::from_secs(10 * 60);
/// After a failed lookup, or when no address takes a connection, the next lookup waits this long.
pub const DNS_PAUSE: Duration = Duration::from_secs(1);

// --- WeChat's servers ------------------------------------------------------------------------------------------

/// A connection to one of WeChat's servers, TLS and egress proxy included.
pub const API_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long WeChat may take to begin its answer.
pub const API_ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long WeChat may be silent within an answer.
pub const API_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long WeChat may refuse to take more of a request.
pub const API_WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Interim answers (1xx) before the real one.
pub const API_INTERIM_ANSWERS: usize = 8;
/// A call of the edge's own, whole.
pub const API_OWN_CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The answer to a call of the edge's own, in bytes.
pub const API_OWN_ANSWER_BYTES: usize = 256 * 1024;
/// Kept connections to one of WeChat's servers.
pub const API_IDLE_CONNECTIONS: usize = 256;
/// A kept connection is closed after this long; short, so that WeChat rarely closes it first.
pub const API_IDLE: Duration = Duration::from_secs(15);
/// A server that nobody tried to reach for this long is probed; one that is down is probed more often.
pub const API_BASE_PROBE: Duration = Duration::from_secs(30);
/// The same for one that is down.
pub const API_BASE_PROBE_DOWN: Duration = Duration::from_secs(2);
/// Failures in a row after which a server is down.
pub const API_BASE_DOWN_AFTER: u32 = 2;
/// Successes in a row after which it is up again.
pub const API_BASE_UP_AFTER: u32 = 3;
/// The head of the egress proxy's answer, in bytes.
pub const EGRESS_HEAD_BYTES: usize = 4 * 1024;

// --- API calls -------------------------------------------------------------------------------------------------

/// API calls at once; more get 503.
pub const API_IN_FLIGHT: usize = 4_096;
/// An API call, up- and download included.
pub const API_CALL_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// The copy of one request body that is kept for a repetition, in bytes; `api.replay_bytes` bounds all together.
pub const API_COPY_BYTES: u64 = 12 * 1024 * 1024;
/// Smaller parts of a body are gathered in its copy.
pub const API_COPY_BLOCK_BYTES: usize = 16 * 1024;
/// Answers of WeChat up to this size are looked into for an errcode.
pub const API_INSPECT_BYTES: usize = 64 * 1024;
/// Repetitions of a call that only reads and that WeChat was too busy for.
pub const API_BUSY_REPEATS: u32 = 3;
/// The first pause before such a repetition; it doubles each time.
pub const API_BUSY_PAUSE: Duration = Duration::from_secs(1);
/// How long WeChat's last words are waited for when it does not take the rest of a body.
pub const API_LAST_WORDS: Duration = Duration::from_secs(1);
/// The body of a request for a token, in bytes.
pub const API_TOKEN_REQUEST_BYTES: usize = 16 * 1024;
/// The body of an operator's request, in bytes.
pub const ADMIN_BODY_BYTES: usize = 16 * 1024;
/// `rate_per_second` counts in intervals of this length.
pub const RATE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a caller waits for a token or ticket that is being fetched.
pub const CREDENTIAL_WAIT: Duration = Duration::from_secs(8);
/// The list of WeChat's callback addresses is asked for again after this long.
pub const CALLBACK_IPS_REFRESH: Duration = Duration::from_secs(24 * 60 * 60);
/// The same after WeChat gave none.
pub const CALLBACK_IPS_RETRY: Duration = Duration::from_secs(10 * 60);
/// Entries of that list.
pub const CALLBACK_IPS: usize = 4_096;
/// `clear_quota` calls of an account a month, WeChat's own limit.
pub const CLEAR_QUOTA_A_MONTH: u64 = 10;
/// WeChat's own quota of an API is asked for again after this long.
pub const QUOTA_REFRESH: Duration = Duration::from_secs(60 * 60);

// --- the store -------------------------------------------------------------------------------------------------

/// Writes that wait for the store; beyond them a write is refused at once.
pub const STORE_QUEUE: usize = 16_384;
/// Bytes of messages in writes that wait for the store; beyond them a write is refused at once.
pub const STORE_QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Writes that share one transaction and one sync of the disk. With 1 000 writers these are two groups: one prepares while the
/// other is written, which is faster than one of all.
pub const STORE_BATCH: usize = 512;
/// Bytes of messages after which a transaction takes no further write.
pub const STORE_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How long a batch waits for as many writes as the last one had.
pub const STORE_GATHER: Duration = Duration::from_millis(1);
/// How long a caller waits for its write to be on disk.
pub const STORE_WAIT: Duration = Duration::from_secs(5);
/// How long a read waits for a program that has locked the store's file, and a start for another start on its folder.
pub const STORE_LOCKED: Duration = Duration::from_secs(1);
/// How often a write asks whether another process has ended its transaction: the other wxedge during an upgrade, or
/// `sqlite3`; for [`STORE_WAIT`] in all.
pub const STORE_TURN: Duration = Duration::from_millis(1);
/// A store that cannot write tries to open its file again this often.
pub const STORE_REOPEN: Duration = Duration::from_secs(1);
/// Bytes of a page of the database: measured, 4 KiB cost a spooled message a fifth more, and 16 KiB nothing less.
pub const STORE_PAGE_BYTES: i64 = 8 * 1024;
/// Pages in the write-ahead log that are then moved into the database, beside the writes.
pub const STORE_WAL_PAGES: i64 = 125;
/// Pages of the write-ahead log after which the writer itself moves what is left, so that it begins anew; at twice as many
/// it does not even wait for a better moment.
pub const STORE_WAL_PAGES_MAX: i64 = 2_000;
/// Bytes the write-ahead log's file keeps for the next writes.
pub const STORE_WAL_BYTES: i64 = 32 * 1024 * 1024;
/// How long nobody writes before the store gives pages back that it no longer needs, some at a time.
pub const STORE_IDLE: Duration = Duration::from_millis(100);
/// Pages that it gives back at a time: the next write waits no longer than for these.
pub const STORE_SHRINK_PAGES: i64 = 512;
/// Free pages that it keeps for what is written next.
pub const STORE_FREE_PAGES: i64 = 512;

/// Bytes that an entry of the spool counts besides its content: its rows, and what memory holds of it.
pub const SPOOL_ENTRY_BYTES: u64 = 256;
/// Bytes of an app's last answer that are kept.
pub const SPOOL_ANSWER_BYTES: usize = 1_024;
/// The least pause before a late reply is sent again.
pub const LATE_REPLY_PAUSE: Duration = Duration::from_secs(1);
/// Entries of one account that are on their way to the disk; more callbacks get 503. Well below [`STORE_QUEUE`], so that
/// one account's storm leaves room for the others.
pub const SPOOL_WRITES: usize = 4_096;
/// The longest wait that an entry brings over a restart, whatever the clock says meanwhile; `spool.retry_max_ms` when
/// that is shorter.
pub const SPOOL_RESTORED_WAIT: Duration = Duration::from_secs(600);
/// Entries of one account that the app, or WeChat, has taken and the disk has not forgotten yet; then no further one is
/// tried. Enough for 5 000 a second where a sync takes 50 ms; and so many may be delivered twice after a crash.
pub const SPOOL_DELETES: usize = 512;
/// What the time between two processes counts at most, when messages grow old.
pub const SPOOL_GAP: Duration = Duration::from_secs(3600);
/// How often a process writes down that it runs, so that the next one knows when it did.
pub const SPOOL_ALIVE: Duration = Duration::from_secs(600);
/// How often the spool is looked at when nothing happens.
pub const SPOOL_IDLE: Duration = Duration::from_secs(1);
/// How often old dead letters are looked for.
pub const SPOOL_EXPIRE: Duration = Duration::from_secs(60);
/// Entries that one transaction replays, deletes or forgets, and that are read at a time at start.
pub const SPOOL_CHUNK: usize = 1_000;
/// Chunks that are read at start before those before them are dealt with.
pub const SPOOL_CHUNKS_AHEAD: usize = 4;
/// Of an entry that counts more bytes a page of the list reads only the beginning, a quarter of this.
pub const SPOOL_LISTED_WHOLE: u64 = 16 * 1024;
/// Entries on one page of the list.
pub const SPOOL_PAGE: usize = 1_000;
/// Bits of an entry's id below the millisecond its process has started in.
pub const SPOOL_ID_BITS: u32 = 10;

// --- the spool -------------------------------------------------------------------------------------------------

/// Failures of an entry's own, while others succeeded, after which it no longer holds its user back.
pub const SPOOL_OWN_FAILURES: u32 = 8;
/// Failures in a row of an entry that an open circuit is probed with; then the next oldest is the probe.
pub const SPOOL_PROBE_FAILURES: u32 = 8;
/// The longest `Retry-After` that is respected; a longer one counts as this.
pub const SPOOL_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Failures in a row that open the circuit.
pub const CIRCUIT_FAILURES: u32 = 10;
/// Half of the calls within [`CIRCUIT_WINDOW`] open it too, if they were at least this many.
pub const CIRCUIT_CALLS: u64 = 20;
/// How far back calls are counted.
pub const CIRCUIT_WINDOW: Duration = Duration::from_secs(30);
/// Between probes of an open circuit.
pub const CIRCUIT_PROBE: Duration = Duration::from_secs(1);
/// A probe that has not ended after this long gets company: it may hang where the app no longer does.
pub const CIRCUIT_PROBE_HANGS: Duration = Duration::from_secs(2);

/// A process whose store was mended at its start does not end for another damage before this: a disk that goes on damaging
/// it must not make the edge start again and again.
pub const SALVAGE_HOLDS: Duration = Duration::from_secs(3600);
/// A longer row in a damaged database is not believed.
pub const SALVAGE_ROW_BYTES: usize = 64 * 1024 * 1024;

// --- tokens and tickets ----------------------------------------------------------------------------------------

/// A longer life than this is not believed; WeChat's is 7200 s.
pub const CREDENTIAL_LIFE: Duration = Duration::from_secs(24 * 3600);
/// The earliest before its expiry that a credential is refreshed: WeChat has a new token only in the last 5 minutes.
pub const CREDENTIAL_AHEAD_MAX: Duration = Duration::from_secs(300);
/// The latest before its expiry that a credential is refreshed.
pub const CREDENTIAL_AHEAD_MIN: Duration = Duration::from_secs(210);
/// A credential with less life than this is paused after like a failure, or a short-lived one would be asked for all
/// the time.
pub const CREDENTIAL_SHORT_LIFE: Duration = Duration::from_secs(60);
/// A fetch, with the token that a ticket is fetched with and with another when that one is rejected; then it has failed.
pub const CREDENTIAL_ASK: Duration = Duration::from_secs(20);
/// A fetch that has not ended after this long is taken as lost; [`CREDENTIAL_ASK`] and [`STORE_WAIT`], for a forced one,
/// are shorter together.
pub const CREDENTIAL_FETCH: Duration = Duration::from_secs(30);
/// The longest pause after a failed fetch.
pub const CREDENTIAL_PAUSE: Duration = Duration::from_secs(3600);
/// A token that WeChat rejects but hands out again is not asked about for this long.
pub const CONFIRMED_HOLD: Duration = Duration::from_secs(30);
/// Forced refreshes within 24 hours, which is WeChat's own limit for a day.
pub const FORCED_FETCHES: usize = 20;
/// Between forced refreshes; WeChat ignores closer ones.
pub const FORCED_SPACING: Duration = Duration::from_secs(30);
/// Fetches within 24 hours because a token was rejected, where each makes a new token. WeChat allows 2000 in all.
pub const REACTIVE_FETCHES: usize = 500;
/// Between such fetches.
pub const REACTIVE_SPACING: Duration = Duration::from_secs(30);
/// Rejected tokens in a row, each younger than [`REACTIVE_PEACE`], that are asked about at once; the next ones wait.
pub const REACTIVE_AT_ONCE: u32 = 3;
/// Rejected tokens younger than this make the next ones wait, as failures do.
pub const REACTIVE_PEACE: Duration = Duration::from_secs(120);
/// How long a replaced token still tells whose call it is.
pub const REPLACED_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Replaced tokens an account remembers; the oldest go first.
pub const REPLACED_ENTRIES: usize = 256;

// --- restart and upgrade ---------------------------------------------------------------------------------------

/// How long before the end of draining whatever still waits is answered.
pub const DRAIN_ANSWER: Duration = Duration::from_millis(500);
/// How often draining looks whether it is done.
pub const DRAIN_POLL: Duration = Duration::from_millis(20);
/// How long a kept connection still takes a request when the edge drains. Who uses it often has asked by then and was
/// told that it closes; shorter than the shortest `grace_s`.
pub const DRAIN_LINGER: Duration = Duration::from_millis(750);
/// How long the running and the new process wait for a word of each other.
pub const UPGRADE_TALK: Duration = Duration::from_secs(5);
/// How long the new process may take from getting the sockets to being ready: it reads the whole store.
pub const UPGRADE_START: Duration = Duration::from_secs(120);
/// A message between the two, in bytes.
pub const UPGRADE_MESSAGE_BYTES: usize = 4 * 1024;
/// Sockets that go with one message.
pub const UPGRADE_SOCKETS: usize = 16;
/// New processes that wait in the kernel to be heard.
pub const UPGRADE_BACKLOG: i32 = 8;

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
/// Events of one kind a second and account: failures, and each thing that happens to entries of the spool.
pub const EVENTS_A_SECOND: u32 = 10;
/// Characters of an app's answer that a failure event shows.
pub const EVENT_RESPONSE_CHARS: usize = 200;
/// File descriptors for everything that is no connection: the store, the logs, lookups of names. What is asked for at
/// start are these and one for each connection that the configuration allows.
pub const FILE_DESCRIPTORS: u64 = 1_024;

const _: () = assert!(REQUEST_TIMEOUT.as_millis() < 5_000, "WeChat gives up after 5 s");
const _: () = assert!(DEDUPE_ANSWER.as_secs() >= 20, "WeChat repeats for up to 20 s");
