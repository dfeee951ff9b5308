//! The environment over the file.

use super::{ACCOUNT, complaints, parse, valid, variables};

#[test]
fn every_type_can_come_from_the_environment() {
    let environment = variables(&[
        ("WXEDGE__LISTEN__CALLBACK", "127.0.0.1:9999"),
        ("WXEDGE__LISTEN__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1"),
        ("WXEDGE__RUNTIME__THREADS", "5"),
        ("WXEDGE__ACCOUNTS__MAIN__MODE", "plain"),
        ("WXEDGE__ACCOUNTS__MAIN__TOKENS", "CanaryOne,CanaryTwo"),
        ("WXEDGE__ACCOUNTS__MAIN__UPSTREAM__URL", "builtin:echo"),
        ("WXEDGE__CLIENTS__CRM__KEY", "Canary"),
        ("WXEDGE__CLIENTS__CRM__ACCOUNTS", "main"),
        ("WXEDGE__CLIENTS__CRM__RAW_TOKEN", "true"),
        ("WXEDGE_SIDECAR__LISTEN", "Canary"),
        ("WXEDGE_LOG", "Canary"),
        ("PATH", "Canary"),
    ]);
    let config = parse(ACCOUNT, &environment).unwrap();
    assert_eq!(config.listen.callback.to_string(), "127.0.0.1:9999");
    let proxies: Vec<_> = config.listen.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "192.0.2.1/32"]);
    assert_eq!(config.runtime.threads, 5);
    let account = &config.accounts["main"];
    assert_eq!(account.mode, crate::config::Mode::Plain);
    let tokens: Vec<_> = account.tokens.iter().map(|token| token.expose()).collect();
    assert_eq!(
        tokens,
        ["CanaryOne", "CanaryTwo"],
        "the environment's form wins over the file's `token`"
    );
    assert_eq!(account.upstream.target, crate::config::Target::Echo);
    assert!(config.clients["crm"].raw_token);
}

#[test]
fn a_whole_account_can_come_from_the_environment() {
    let environment = variables(&[
        ("WXEDGE__ACCOUNTS__A_B__APPID", "wx1"),
        ("WXEDGE__ACCOUNTS__A_B__TOKEN", "Canary"),
        ("WXEDGE__ACCOUNTS__A_B__MODE", "plain"),
        ("WXEDGE__ACCOUNTS__A_B__UPSTREAM__URL", "builtin:echo"),
    ]);
    let config = parse("", &environment).unwrap();
    assert_eq!(config.accounts["a_b"].path, "/wechat/a_b");
}

#[test]
fn an_empty_list_in_the_environment_empties_the_file_s() {
    let environment = variables(&[("WXEDGE__ACCOUNTS__MAIN__SOURCE_IPS", "")]);
    let text = format!("{ACCOUNT}source_ips = [\"192.0.2.0/24\"]");
    assert_eq!(parse(&text, &environment).unwrap().accounts["main"].source_ips, []);
    assert_eq!(valid("source_ips = [\"192.0.2.0/24\"]").accounts["main"].source_ips.len(), 1);
}

#[test]
fn mistakes_name_the_variable() {
    let rows = [
        (
            ("WXEDGE__RUNTIME__THREADS", "1025"),
            "runtime.threads (WXEDGE__RUNTIME__THREADS): must be a whole number from 0 to 1024, without quotes",
        ),
        (
            ("WXEDGE__ACCOUNTS__MAIN__TOKE", "Canary"),
            "accounts.main.toke (WXEDGE__ACCOUNTS__MAIN__TOKE): is not a known key; the nearest is `token`",
        ),
        (
            ("WXEDGE__LISTEN", "Canary"),
            "listen (WXEDGE__LISTEN): must be a table; write it as [listen]",
        ),
        (
            ("WXEDGE__LISTEN__", "Canary"),
            "listen.\"\" (WXEDGE__LISTEN__): is not a known key; the nearest is `trusted_proxies`",
        ),
        (
            ("WXEDGE__ACCOUNTS__MAIN__SOURCE_IPS", "192.0.2.1,Canary"),
            "accounts.main.source_ips (WXEDGE__ACCOUNTS__MAIN__SOURCE_IPS): \
             entry 2 must be a network such as 10.0.0.0/8, or an IP address",
        ),
        (
            ("WXEDGE__ACCOUNTS__MAIN__TOKEN", ""),
            "accounts.main.token (WXEDGE__ACCOUNTS__MAIN__TOKEN): is empty; put the value there, or remove the key",
        ),
        (
            ("WXEDGE__ACCOUNTS__MAIN__TOKENS", ","),
            "accounts.main.tokens (WXEDGE__ACCOUNTS__MAIN__TOKENS): is empty; put the value there, or remove the key",
        ),
    ];
    for (variable, expected) in rows {
        assert_eq!(complaints(ACCOUNT, &variables(&[variable])), [expected]);
    }
}

/// A variable below something that is no table must neither be lost silently nor replace it.
#[test]
fn a_variable_below_a_value_is_not_lost() {
    let environment = variables(&[("WXEDGE__STORE__URL", "embedded:x")]);
    let text = format!("store = 3\n{ACCOUNT}");
    assert_eq!(
        complaints(&text, &environment),
        ["store (line 1): must be a table; write it as [store]"]
    );
    let environment =
        variables(&[("WXEDGE__STORE", "Canary"), ("WXEDGE__STORE__URL", "embedded:x")]);
    assert_eq!(
        complaints(ACCOUNT, &environment),
        ["store (WXEDGE__STORE): must be a table; write it as [store]"]
    );
}
