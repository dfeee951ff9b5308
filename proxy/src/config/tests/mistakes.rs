//! Broken configurations and exactly what is said about each.

use wxedge_wechat::api::route::ApiPath;

use super::{ACCOUNT, NO_ENVIRONMENT, complaints, parse, valid, warnings};

const NUMBER: &str = "must be a whole number from";
const QUOTES: &str = "must be a text; put it in quotes";
const LIST: &str = "must be a list of texts; write it as [\"…\", \"…\"]";
const URL: &str = "must be a URL such as http://127.0.0.1:3000/wechat";
const CIDR: &str = "must be a network such as 10.0.0.0/8, or an IP address";
const ADDRESS: &str = "must be an IP address and a port, such as 127.0.0.1:8082 or [::1]:8082";
const NAME: &str = "is not a name: use a to z, 0 to 9 and single _, at most 64 characters";
const RESERVED_V1: &str = "clashes with the edge's own /v1; choose another name";
const RESERVED_WXA: &str = "clashes with WeChat's APIs below /wxa/, which SDKs call without an account in front; choose another name";
const PATH: &str =
    "must begin with / and hold only A to Z, a to z, 0 to 9, - . _ ~ and /, 256 in all at most";
const SEGMENT: &str = "must not hold // or a segment . or .., which proxies rewrite";
const EMBEDDED: &str = "must be embedded: and a folder, such as embedded:data/wxedge";
const EMPTY: &str = "is empty; put the value there, or remove the key";
const APPID: &str =
    "must be 1 to 64 of A to Z, a to z, 0 to 9, _ and -; copy it from WeChat's console";
const SIGNING: &str =
    "must be whsec_ and the base64 of 24 to 64 random bytes: echo whsec_$(openssl rand -base64 32)";
const PATTERN: &str =
    "must be a path pattern such as /cgi-bin/message/**: * is one whole segment, ** any number";
const BUDGET: &str = "must be the path of an API, such as \"/cgi-bin/message/custom/send\"";
const SYNTAX: &str = "this is not TOML; look for a missing quote or bracket, a text without quotes, \
                      or a key or table that is there twice";

/// One mistake each, below [`ACCOUNT`], whose next line is 6: the text, the key, its line, what is said.
#[test]
fn one_mistake_one_line() {
    #[rustfmt::skip]
    let rows: &[(&str, &str, usize, &str)] = &[
        // Listeners
        ("[listen]\ncallback = \"Canary:8080\"", "listen.callback", 7, ADDRESS),
        ("[listen]\ncallback = \":8080\"", "listen.callback", 7, ADDRESS),
        ("[listen]\ncallback = 8080", "listen.callback", 7, QUOTES),
        ("[listen]\nadmin = \"127.0.0.1:8080\"", "listen.admin", 7, "takes the same port as listen.callback; give each listener its own"),
        ("[listen]\nadmin = \"127.0.0.1:8081\"", "listen.admin", 7, "takes the same port as listen.api; give each listener its own"),
        ("[listen]\ncallback = \"[::]:8081\"", "listen.api", 6, "takes the same port as listen.callback; give each listener its own"),
        ("[listen]\nadmin = \"0.0.0.0:8082\"", "listen.admin", 7, "is reachable from other machines; set listen.admin_key, or listen on 127.0.0.1"),
        ("[listen]\napi = \"192.0.2.1:8081\"", "listen.api", 7, "is reachable from other machines; add a [clients.<name>] with a key, or listen on 127.0.0.1"),
        ("[listen]\nadmin_key = \"Canary key\"", "listen.admin_key", 7, "must be visible ASCII characters without blanks, because it travels in a header"),
        ("[listen]\nadmin_key = \"\"", "listen.admin_key", 7, EMPTY),
        ("[listen]\nadmin_key = 1234567890", "listen.admin_key", 7, QUOTES),
        ("[listen]\ntrusted_proxies = [\"10.0.0.0/8\", \"Canary\"]", "listen.trusted_proxies", 7, &format!("entry 2 {CIDR}")),
        ("[listen]\ntrusted_proxies = [\"10.0.0.0/33\"]", "listen.trusted_proxies", 7, &format!("entry 1 {CIDR}")),
        ("[listen]\ntrusted_proxies = \"10.0.0.0/8\"", "listen.trusted_proxies", 7, LIST),
        ("[listen]\nmax_connections = 0", "listen.max_connections", 7, &format!("{NUMBER} 1 to 1000000, without quotes")),
        ("[listen]\nmax_connections = \"5\"", "listen.max_connections", 7, &format!("{NUMBER} 1 to 1000000, without quotes")),
        ("[listen]\nmax_connections = 5.5", "listen.max_connections", 7, &format!("{NUMBER} 1 to 1000000, without quotes")),
        ("[listen]\nmax_connections = 99999999999999999999", "listen.max_connections", 7, &format!("{NUMBER} 1 to 1000000, without quotes")),
        ("[listen]\nmax_connections_per_peer = -1", "listen.max_connections_per_peer", 7, &format!("{NUMBER} 1 to 1000000, without quotes")),
        ("[listen]\ncallback_tls = \"Canary\"", "listen.callback_tls", 7, "must be a table; write it as [listen.callback_tls]"),
        ("[listen]\ncallback_port = 1", "listen.callback_port", 7, "is not a known key; the nearest is `callback`"),
        // Process and store
        ("[runtime]\nthreads = 1025", "runtime.threads", 7, &format!("{NUMBER} 0 to 1024, without quotes")),
        ("[runtime]\ngrace_s = 0", "runtime.grace_s", 7, &format!("{NUMBER} 1 to 600, without quotes")),
        ("[runtime]\ngrace_s = 2020-01-01", "runtime.grace_s", 7, &format!("{NUMBER} 1 to 600, without quotes")),
        ("[runtime]\nupgrade_sock = \"\"", "runtime.upgrade_sock", 7, "must be a path"),
        (&format!("[runtime]\nupgrade_sock = {:?}", "a".repeat(108)), "runtime.upgrade_sock", 7, "must be at most 107 bytes long, as every path of a Unix socket"),
        ("[store]\nurl = \"redis://:Canary@127.0.0.1\"", "store.url", 7, "redis:// is refused until several edges are supported; use embedded:data/wxedge"),
        ("[store]\nurl = \"Canary\"", "store.url", 7, EMBEDDED),
        ("[store]\nurl = \"embedded:\"", "store.url", 7, "must be a path"),
        // WeChat
        ("[wechat]\napi_base = [\"http://api.weixin.qq.com\"]", "wechat.api_base", 7, "entry 1 must be https://; http:// is for loopback only, because access tokens travel over it"),
        ("[wechat]\napi_base = [\"https://Canary@api.weixin.qq.com\"]", "wechat.api_base", 7, "entry 1 must be a scheme and a host without path, query or user, such as https://api.weixin.qq.com"),
        ("[wechat]\napi_base = []", "wechat.api_base", 7, "is empty; remove the key for WeChat's own servers"),
        ("[wechat]\napi_base = [1]", "wechat.api_base", 7, LIST),
        ("[wechat]\nproxy = \"socks5://Canary:Canary@127.0.0.1\"", "wechat.proxy", 7, "must begin with http:// or https://"),
        ("[wechat]\nca_file = \"Canary\"", "wechat.ca_file", 7, "cannot be read (No such file or directory (os error 2)); check the path and its permissions"),
        // API and spool
        ("[api]\nreplay_bytes = -1", "api.replay_bytes", 7, &format!("{NUMBER} 0 to 68719476736, without quotes")),
        ("[spool]\nretry_min_ms = 99", "spool.retry_min_ms", 7, &format!("{NUMBER} 100 to 3600000, without quotes")),
        ("[spool]\nretry_max_ms = 1999", "spool.retry_max_ms", 7, "must not be smaller than retry_min_ms"),
        ("[spool]\ngive_up_after_s = 0", "spool.give_up_after_s", 7, &format!("{NUMBER} 1 to 2592000, without quotes")),
        ("[spool]\nmax_bytes = 1", "spool.max_bytes", 7, &format!("{NUMBER} 1048576 to 1099511627776, without quotes")),
        ("[spool]\nretention_days = 366", "spool.retention_days", 7, &format!("{NUMBER} 1 to 365, without quotes")),
        ("[spool]\nconcurrency = 0", "spool.concurrency", 7, &format!("{NUMBER} 1 to 4096, without quotes")),
        // Account
        ("appidd = \"Canary\"", "accounts.main.appidd", 6, "is not a known key; the nearest is `appid`"),
        ("deadline_ms = 100", "accounts.main.deadline_ms", 6, "is not a key of this table; it belongs in [accounts.main.upstream]"),
        ("upstream.mode = \"Canary\"", "accounts.main.upstream.mode", 6, "is not a key of this table; it belongs in [accounts.main]"),
        ("[upstream]", "upstream", 6, "is not a key of this table; it belongs in [accounts.main]"),
        ("[acounts.main]", "acounts", 6, "is not a known key; the nearest is `accounts`"),
        ("\"pat.h\\n\" = 1", "accounts.main.\"pat.h\\n\"", 6, "is not a known key; the nearest is `path`"),
        ("mode = \"Canary\"", "accounts.main.mode", 6, "must be one of \"plain\", \"compatible\", \"safe\""),
        ("mode = true", "accounts.main.mode", 6, QUOTES),
        ("nickname = \"Canary\\n\"", "accounts.main.nickname", 6, "must be one line of at most 64 characters"),
        ("secret = [\"Canary\"]", "accounts.main.secret", 6, QUOTES),
        ("secret = \" \"", "accounts.main.secret", 6, EMPTY),
        ("secret = \"Canary\\tCanary\"", "accounts.main.secret", 6, "holds a line break or control character; keep the value alone"),
        ("path = \"Canary\"", "accounts.main.path", 6, PATH),
        ("path = \"/Canary?x=1\"", "accounts.main.path", 6, PATH),
        ("path = \"/Canary%2f\"", "accounts.main.path", 6, PATH),
        ("path = \"/Canary/../x\"", "accounts.main.path", 6, SEGMENT),
        ("path = \"/Canary//x\"", "accounts.main.path", 6, SEGMENT),
        ("replay_window_s = 86401", "accounts.main.replay_window_s", 6, &format!("{NUMBER} 0 to 86400, without quotes")),
        ("max_body_bytes = 1023", "accounts.main.max_body_bytes", 6, &format!("{NUMBER} 1024 to 67108864, without quotes")),
        ("max_in_flight = 0", "accounts.main.max_in_flight", 6, &format!("{NUMBER} 1 to 1000000, without quotes")),
        ("source_ip = \"on\"", "accounts.main.source_ip", 6, "must be one of \"off\", \"report\", \"enforce\""),
        ("source_ips = [\"Canary\"]", "accounts.main.source_ips", 6, &format!("entry 1 {CIDR}")),
        ("on_deadline = \"Canary\"", "accounts.main.on_deadline", 6, "must be one of \"success\", \"join\""),
        ("join_budget = 1001", "accounts.main.join_budget", 6, &format!("{NUMBER} 0 to 1000, without quotes")),
        ("token_endpoint = \"Canary\"", "accounts.main.token_endpoint", 6, "must be one of \"stable_token\", \"token\""),
        ("jssdk_hosts = [\"https://Canary\"]", "accounts.main.jssdk_hosts", 6, "entry 1 must be a host name without scheme or port, such as www.example.com"),
        ("late_reply.via = \"Canary\"", "accounts.main.late_reply.via", 6, "must be one of \"customer_service\", \"drop\""),
        ("late_reply = \"Canary\"", "accounts.main.late_reply", 6, "must be a table; write it as [accounts.main.late_reply]"),
        // Upstream
        ("upstream.format = \"Canary\"", "accounts.main.upstream.format", 6, "must be one of \"json\", \"cloudevents\", \"xml\""),
        ("upstream.deadline_ms = 4801", "accounts.main.upstream.deadline_ms", 6, &format!("{NUMBER} 500 to 4800, without quotes")),
        ("upstream.deadline_ms = 499", "accounts.main.upstream.deadline_ms", 6, &format!("{NUMBER} 500 to 4800, without quotes")),
        ("upstream.connect_timeout_ms = 9", "accounts.main.upstream.connect_timeout_ms", 6, &format!("{NUMBER} 10 to 60000, without quotes")),
        ("upstream.late_timeout_s = 3601", "accounts.main.upstream.late_timeout_s", 6, &format!("{NUMBER} 1 to 3600, without quotes")),
        ("upstream.late_timeout_s = 4", "accounts.main.upstream.late_timeout_s", 6, "must not end before deadline_ms: it is the time a call may take in all"),
        ("upstream.max_connections = 100001", "accounts.main.upstream.max_connections", 6, &format!("{NUMBER} 1 to 100000, without quotes")),
        ("upstream.signing_secret = \"Canary\"", "accounts.main.upstream.signing_secret", 6, SIGNING),
        ("upstream.signing_secret = \"whsec_Q2FuYXJ5\"", "accounts.main.upstream.signing_secret", 6, SIGNING),
        ("upstream.signing_secret = \"whsec_Canary!!\"", "accounts.main.upstream.signing_secret", 6, SIGNING),
        // Names
        ("[accounts.Main]\nappid = 'wx2'\ntoken = 'abc'\nmode = 'plain'\nupstream.url = 'builtin:echo'", "accounts.Main", 6, NAME),
        ("[accounts.a__b]\nappid = 'wx2'\ntoken = 'abc'\nmode = 'plain'\nupstream.url = 'builtin:echo'", "accounts.a__b", 6, NAME),
        ("[accounts.\"\"]\nappid = 'wx2'\ntoken = 'abc'\nmode = 'plain'\nupstream.url = 'builtin:echo'\npath = '/x'", "accounts.\"\"", 6, NAME),
        ("[accounts.v1]\nappid = 'wx2'\ntoken = 'abc'\nmode = 'plain'\nupstream.url = 'builtin:echo'", "accounts.v1", 6, RESERVED_V1),
        ("[accounts.wxa]\nappid = 'wx2'\ntoken = 'abc'\nmode = 'plain'\nupstream.url = 'builtin:echo'", "accounts.wxa", 6, RESERVED_WXA),
        ("[accounts.two]\nappid = 'wxCanary'\ntoken = 'abc'\nmode = 'plain'\nupstream.url = 'builtin:echo'", "accounts.two.appid", 7, "is also the appid of accounts.main; every account has its own"),
        ("[accounts.two]\nappid = 'wx2'\ntoken = 'abc'\nmode = 'plain'\nupstream.url = 'builtin:echo'\npath = '/wechat/main'", "accounts.two.path", 11, "is also the path of accounts.main; give each account its own"),
        // Clients
        ("[clients.crm]\naccounts = [\"main\"]", "clients.crm.key", 6, "is missing; write a long random text that only this client gets: openssl rand -hex 32"),
        ("[clients.crm]\nkey = \"Canary\"", "clients.crm.accounts", 6, "names no account; the configured ones are main"),
        ("[clients.crm]\nkey = \"Canary\"\naccounts = []", "clients.crm.accounts", 8, "names no account; the configured ones are main"),
        ("[clients.crm]\nkey = \"Canary\"\naccounts = [\"main\", \"Canary\"]", "clients.crm.accounts", 8, "entry 2 is no account; the configured ones are main"),
        ("[clients.crm]\nkeys = [\"Canary1\", \"Canary 2\"]\naccounts = [\"main\"]", "clients.crm.keys", 7, "entry 2 must be visible ASCII characters without blanks, because it travels in a header"),
        ("[clients.crm]\nkey = \"wxedge_Canary\"\naccounts = [\"main\"]", "clients.crm.key", 7, "must not begin with wxedge_, which is how edge tokens begin"),
        ("[clients.crm]\nkeys = [\"Canary1\", \"\"]\naccounts = [\"main\"]", "clients.crm.keys", 7, EMPTY),
        ("[clients.crm]\nkeys = \"Canary\"\naccounts = [\"main\"]", "clients.crm.keys", 7, LIST),
        ("[clients.crm]\nkey = \"Canary\"\naccounts = [\"main\"]\nallow = [\"cgi-bin\"]", "clients.crm.allow", 9, &format!("entry 1 {PATTERN}")),
        ("[clients.crm]\nkey = \"Canary\"\naccounts = [\"main\"]\nallow = [\"/a*\"]", "clients.crm.allow", 9, &format!("entry 1 {PATTERN}")),
        ("[clients.crm]\nkey = \"Canary\"\naccounts = [\"main\"]\nrate_per_second = 0", "clients.crm.rate_per_second", 9, &format!("{NUMBER} 1 to 1000000, without quotes")),
        ("[clients.crm]\nkey = \"Canary\"\naccounts = [\"main\"]\nraw_token = \"yes\"", "clients.crm.raw_token", 9, "must be true or false, without quotes"),
        ("[clients.crm]\nkey = \"Canary\"\naccounts = [\"main\"]\nbudget = \"Canary\"", "clients.crm.budget", 9, "must be one of \"off\", \"report\", \"enforce\""),
        ("[clients.crm]\nkey = \"Canary\"\naccounts = [\"main\"]\nbudgets = { \"/a/*\" = 5 }", "clients.crm.budgets.\"/a/*\"", 9, BUDGET),
        ("[clients.crm]\nkey = \"Canary\"\naccounts = [\"main\"]\nbudgets = { \"/a\" = 0 }", "clients.crm.budgets.\"/a\"", 9, &format!("{NUMBER} 1 to 1000000000000, without quotes")),
        ("[clients]\na = { key = \"Canary\", accounts = [\"main\"] }\nb = { key = \"Canary\", accounts = [\"main\"] }", "clients.b.key", 8, "is also a key of clients.a; it must say who calls"),
        ("[clients]\na = \"Canary\"", "clients.a", 7, "must be a table; write it as [clients.a]"),
    ];
    for (more, key, line, message) in rows {
        let found = complaints(&format!("{ACCOUNT}{more}"), NO_ENVIRONMENT);
        assert_eq!(found, [format!("{key} (line {line}): {message}")], "{more}");
    }
}

/// The same for what stands in [`ACCOUNT`]: a line of it is replaced.
#[test]
fn mistakes_in_what_every_account_needs() {
    #[rustfmt::skip]
    let rows: &[(&str, &str, &str, usize, &str)] = &[
        ("appid", "", "appid", 1, "is missing; copy it from WeChat's console"),
        ("appid", "appid = \"\"", "appid", 2, APPID),
        ("appid", "appid = \"wx Canary\"", "appid", 2, APPID),
        ("appid", "appid = 1", "appid", 2, QUOTES),
        ("token", "", "token", 1, "is missing; write the Token you entered in WeChat's console"),
        ("token", "token = \"\"", "token", 3, EMPTY),
        ("token", "tokens = []", "tokens", 3, EMPTY),
        ("token", "token = [\"Canary\"]", "token", 3, QUOTES),
        ("token", "tokens = \"Canary\"", "tokens", 3, LIST),
        ("token", "tokens = [\"Canary\", 5]", "tokens", 3, LIST),
        ("encoding", "", "encoding_aes_keys", 1, "is missing; write the EncodingAESKey of WeChat's console, or set mode = \"plain\" if it is so there"),
        ("encoding", "encoding_aes_keys = \"Canary\"", "encoding_aes_keys", 4, LIST),
        ("encoding", "encoding_aes_keys = [\"Canary\"]", "encoding_aes_keys", 4, "is no EncodingAESKey: 43 letters and digits, as in WeChat's console"),
        ("encoding", "encoding_aes_keys = [\"CanaryKey0123456789012345678901234567890123\", \"CanaryKey012345678901234567890123456789012!\"]", "encoding_aes_keys", 4, "entry 2 is no EncodingAESKey: 43 letters and digits, as in WeChat's console"),
        ("encoding", "encoding_aes_key = \"Canary\"\nencoding_aes_keys_file = \"/dev/null\"\nmode = \"plain\"", "encoding_aes_key", 4, "is not a known key; the nearest is `encoding_aes_keys`"),
        ("upstream", "", "upstream.url", 1, "is missing; write the address of your app, or \"builtin:echo\" to try wxedge without one"),
        ("upstream", "upstream.url = \"Canary\"", "upstream.url", 5, URL),
        ("upstream", "upstream.url = \"http://\"", "upstream.url", 5, URL),
        ("upstream", "upstream.url = \"unix:/Canary\"", "upstream.url", 5, "must begin with http:// or https://"),
        ("upstream", "upstream.url = \"builtin:Canary\"", "upstream.url", 5, "must begin with http:// or https://"),
        ("upstream", "upstream.url = \"http://Canary/#Canary\"", "upstream.url", 5, "must not have a #fragment; servers never see it"),
        ("upstream", "upstream = \"Canary\"", "upstream", 5, "must be a table; write it as [accounts.main.upstream]"),
    ];
    for (replaced, by, key, line, message) in rows {
        let lines = ACCOUNT.lines().map(|line| if line.starts_with(replaced) { by } else { line });
        let text = lines.collect::<Vec<_>>().join("\n");
        let found: Vec<_> = complaints(&text, NO_ENVIRONMENT)
            .into_iter()
            .filter(|line| !line.starts_with("accounts.main.encoding_aes_keys_file"))
            .collect();
        assert_eq!(found, [format!("accounts.main.{key} (line {line}): {message}")], "{by}");
    }
}

#[test]
fn there_must_be_an_account() {
    let message = "add [accounts.main] with appid, token, encoding_aes_keys and upstream.url";
    assert_eq!(complaints("", NO_ENVIRONMENT), [format!("accounts: is missing; {message}")]);
    assert_eq!(
        complaints("[accounts]", NO_ENVIRONMENT),
        [format!("accounts (line 1): is empty; {message}")]
    );
    let table = "accounts (line 1): must be a table; write it as [accounts]";
    assert_eq!(complaints("accounts = \"Canary\"", NO_ENVIRONMENT), [table]);
    let table = "accounts.main (line 1): must be a table; write it as [accounts.main]";
    assert_eq!(complaints("accounts.main = \"Canary\"", NO_ENVIRONMENT), [table]);
    let table = "accounts (line 1): must be a table; write it as [accounts]";
    assert_eq!(complaints("[[accounts]]\nname = \"Canary\"", NO_ENVIRONMENT), [table]);
}

/// The parser's own error quotes the line, which may hold a secret.
#[test]
fn a_syntax_error_names_the_place_and_nothing_else() {
    let rows = [
        ("token = \"Canary\n", 1, 16),
        ("\n\ntoken = Canary\n", 3, 9),
        ("a = 1\ntoken = \"Canary\" Canary", 2, 18),
        ("[accounts.main\ntoken = \"Canary\"", 1, 15),
        ("Canary", 1, 7),
        ("鑰 = Canary", 1, 1),
        ("token = \"Canary\"\ntoken = \"Canary\"", 2, 1),
        ("[a]\n[a]", 2, 2),
        ("a = [\"Canary\"", 1, 14),
    ];
    for (text, line, column) in rows {
        let found = complaints(text, NO_ENVIRONMENT);
        assert_eq!(found, [format!("line {line}: column {column}: {SYNTAX}")], "{text}");
    }
}

#[test]
fn what_is_valid_but_hardly_meant_is_a_warning() {
    let odd = "is no Token that WeChat's console takes: 3 to 32 letters and digits";
    let config = |line: &str| {
        let text = ACCOUNT.replace("token = \"CanaryToken\"", line);
        parse(&format!("{text}late_reply.via = \"drop\""), NO_ENVIRONMENT).unwrap()
    };
    for token in ["ab", "Canary_1", "Canary0123456789012345678901234567"] {
        let found = warnings(&config(&format!("token = {token:?}")));
        assert_eq!(found, [format!("accounts.main.token (line 3): {odd}")]);
    }
    let found = warnings(&config("tokens = [\"Canary\", \"Canary.\"]"));
    assert_eq!(found, [format!("accounts.main.tokens (line 3): entry 2 {odd}")]);

    let expected = "accounts.main.secret (line 1): is not set, so a reply that comes too late for WeChat is dropped; \
                    set it, or late_reply.via = \"drop\" if that is meant";
    assert_eq!(warnings(&valid("")), [expected]);
    assert_eq!(warnings(&valid("secret = \"Canary\"")), [""; 0]);
    assert_eq!(warnings(&valid("late_reply.via = \"drop\"")), [""; 0]);

    let enforce = "late_reply.via = \"drop\"\nsource_ip = \"enforce\"\n";
    let expected = "accounts.main.source_ip (line 7): acts as \"report\" while source_ips is empty; \
                    list WeChat's addresses there";
    assert_eq!(warnings(&valid(enforce)), [expected]);
    // With an AppSecret the edge asks WeChat for them.
    assert_eq!(warnings(&valid(&format!("{enforce}secret = \"Canary\""))), [""; 0]);
    assert_eq!(warnings(&valid(&format!("{enforce}source_ips = [\"192.0.2.1\"]"))), [""; 0]);
}

/// SDKs call WeChat's APIs without an account in front: an account of that name would be called instead.
#[test]
fn no_account_is_named_like_the_first_segment_of_an_api() {
    let segments: std::collections::BTreeSet<_> =
        ApiPath::labels().filter_map(|path| path.split('/').nth(1)).collect();
    assert!(segments.contains("wxa"), "{segments:?}");
    for segment in segments {
        let account = format!(
            "[accounts.{segment}]\nappid = 'wx2'\ntoken = 'abc'\nmode = 'plain'\nupstream.url = 'builtin:echo'"
        );
        let found = complaints(&format!("{ACCOUNT}{account}"), NO_ENVIRONMENT);
        let no_name = segment.contains('-');
        let reserved = RESERVED_WXA.replace("wxa", segment);
        let expected = if no_name { NAME } else { &reserved };
        assert_eq!(found, [format!("accounts.{segment} (line 6): {expected}")]);
    }
}

/// What looks like a mistake and is none.
#[test]
fn the_edges_of_the_rules_are_accepted() {
    let rows = [
        "[listen]\ncallback = \"127.0.0.1:0\"\napi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"",
        "[listen]\ncallback = \"0.0.0.0:8081\"\napi = \"[::1]:8081\"",
        "[listen]\nadmin = \"0.0.0.0:8082\"\nadmin_key = \"Canary\"",
        "[listen]\napi = \"0.0.0.0:8081\"\n[clients.crm]\nkey = \"Canary\"\naccounts = [\"main\"]",
        "[listen]\nmax_connections = 1_000",
        "[wechat]\napi_base = [\"http://127.0.0.1:9\", \"http://[::1]:9\", \"http://localhost:9/\"]",
        "[wechat]\nca_file = \"\"\nproxy = \"\"",
        "[wechat]\nproxy = \"http://Canary:Canary@127.0.0.1:3128\"",
        "upstream.deadline_ms = 4800",
        "upstream.deadline_ms = 500\nupstream.late_timeout_s = 1",
        "upstream.signing_secret = \"whsec_Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5Q2FuYXI=\"",
        "upstream.signing_secret = \"whsec_Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5Q2FuYXI\"",
        "path = \"/\"",
        "path = \"/wechat/main/\"",
        "nickname = \"服务号\"",
        "[accounts.a_1]\nappid = 'wx2'\ntoken = 'abc'\nmode = 'plain'\nupstream.url = 'https://app/x'",
        "[clients.crm]\nkey = \"Canary\"\naccounts = [\"main\"]\nallow = [\"/**\", \"/cgi-bin/*/get\"]",
    ];
    for more in rows {
        valid(more);
    }
}

#[test]
fn the_original_id_is_no_appid() {
    let text = ACCOUNT.replace("wxCanary", "gh_1") + "secret = \"Canary\"";
    let found = warnings(&parse(&text, NO_ENVIRONMENT).unwrap());
    assert_eq!(found, ["accounts.main.appid (line 2): is the 原始ID; the AppID begins with wx"]);
}

#[test]
fn warnings_are_kept_when_there_are_mistakes() {
    let text = ACCOUNT.replace("token = \"CanaryToken\"", "token = \"Canary.\"\ntokn = \"Canary\"");
    let issues = parse(&text, NO_ENVIRONMENT).unwrap_err();
    assert_eq!((issues.mistakes.len(), issues.warnings.len()), (1, 2), "{issues:?}");
    assert!(issues.warnings[1].to_string().contains("is no Token"));
    assert!(!issues.to_string().contains("is no Token"), "what is wrong, in one place");
}
