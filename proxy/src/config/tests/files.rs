//! Secrets and certificates in files of their own.

use super::{ACCOUNT, Folder, NO_ENVIRONMENT, complaints, parse, valid, variables, warnings};
use std::os::unix::fs::PermissionsExt;

fn tokens(config: &crate::config::Config) -> Vec<&str> {
    config.accounts["main"].tokens.iter().map(|token| token.expose()).collect()
}

/// [`ACCOUNT`] with something else in the place of its token.
fn with_token(line: &str) -> String {
    ACCOUNT.replace("token = \"CanaryToken\"", line)
}

#[test]
fn a_secret_can_stand_in_a_file() {
    let folder = Folder::new();
    for ending in ["", "\n", "\r\n"] {
        let file = folder.file("token", format!("CanaryOne{ending}"));
        let config = parse(&with_token(&format!("token_file = {file:?}")), NO_ENVIRONMENT).unwrap();
        assert_eq!(tokens(&config), ["CanaryOne"]);
    }
    let file = folder.file("tokens", "CanaryOne\r\nCanaryTwo\n\n");
    let config = parse(&with_token(&format!("tokens_file = {file:?}")), NO_ENVIRONMENT).unwrap();
    assert_eq!(tokens(&config), ["CanaryOne", "CanaryTwo"]);
}

#[test]
fn every_secret_has_a_file_twin() {
    let folder = Folder::new();
    let secret = folder.file("secret", "Canary\n");
    let aes_keys = folder.file("keys", "CanaryKey0123456789012345678901234567890123\n".repeat(2));
    let signing = folder.file("signing", "whsec_Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5\n");
    let config = parse(
        &format!(
            "[listen]
            admin_key_file = {secret:?}
            [accounts.main]
            appid = 'wx1'
            token_file = {secret:?}
            secret_file = {secret:?}
            encoding_aes_keys_file = {aes_keys:?}
            upstream = {{ url = 'builtin:echo', signing_secret_file = {signing:?} }}
            [clients]
            a = {{ key_file = {secret:?}, accounts = ['main'] }}
            b = {{ keys_file = {aes_keys:?}, accounts = ['main'] }}"
        ),
        NO_ENVIRONMENT,
    )
    .unwrap();
    let account = &config.accounts["main"];
    assert!(config.listen.admin_key.as_ref().unwrap().matches(b"Canary"));
    assert!(account.secret.as_ref().unwrap().matches(b"Canary"));
    assert_eq!(account.aes_keys.len(), 2);
    assert_eq!(
        account.upstream.signing_secret.as_ref().unwrap().expose(),
        b"CanaryCanaryCanaryCanary"
    );
    assert_eq!((config.clients["a"].keys.len(), config.clients["b"].keys.len()), (1, 2));
}

#[test]
fn a_secret_that_everybody_may_read_is_a_warning() {
    let folder = Folder::new();
    let (token, store_key) = (folder.file("token", "Canary"), folder.file("key", "Canary"));
    let own = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
    let cert = folder.file("cert.pem", own.cert.pem());
    let key = folder.file("key.pem", own.signing_key.serialize_pem());
    let text = with_token(&format!("token_file = {token:?}"))
        + &format!(
            "late_reply.via = 'drop'
            [listen]
            callback_tls = {{ cert = {cert:?}, key = {key:?} }}
            [store]
            key_file = {store_key:?}"
        );
    for (mode, expected) in [
        (0o600, vec![]),
        (0o640, vec![]),
        (
            0o644,
            vec![
                "accounts.main.token_file (line 3)",
                "listen.callback_tls.key (line 8)",
                "store.key_file (line 10)",
            ],
        ),
    ] {
        for file in [&token, &store_key, &key] {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let open = ": can be read by every user of this machine; chmod 600 it, or 640";
        let expected: Vec<_> = expected.into_iter().map(|place| format!("{place}{open}")).collect();
        assert_eq!(warnings(&parse(&text, NO_ENVIRONMENT).unwrap()), expected, "{mode:o}");
    }
}

#[test]
fn the_environment_s_form_wins_over_the_file_s() {
    let folder = Folder::new();
    let file = folder.file("token", "CanaryFile");
    let environment = variables(&[("WXEDGE__ACCOUNTS__MAIN__TOKEN_FILE", &file)]);
    assert_eq!(tokens(&parse(ACCOUNT, &environment).unwrap()), ["CanaryFile"]);
    let environment = variables(&[("WXEDGE__ACCOUNTS__MAIN__TOKEN", "CanaryEnvironment")]);
    let text = with_token("token_file = \"no/such/file\"");
    assert_eq!(tokens(&parse(&text, &environment).unwrap()), ["CanaryEnvironment"]);
}

#[test]
fn two_forms_in_one_layer_contradict_each_other() {
    let text = format!("{ACCOUNT}tokens = [\"CanaryOne\"]\ntoken_file = \"Canary\"");
    let expected = [
        "accounts.main.tokens (line 6): is given besides `token`; keep one of the two",
        "accounts.main.token_file (line 7): is given besides `token`; keep one of the two",
    ];
    assert_eq!(complaints(&text, NO_ENVIRONMENT), expected);
    let environment = variables(&[
        ("WXEDGE__ACCOUNTS__MAIN__TOKEN", "CanaryOne"),
        ("WXEDGE__ACCOUNTS__MAIN__TOKENS", "CanaryOne"),
    ]);
    let expected = "accounts.main.tokens (WXEDGE__ACCOUNTS__MAIN__TOKENS): is given besides `token`; keep one of the two";
    assert_eq!(complaints(ACCOUNT, &environment), [expected]);
}

#[test]
fn files_that_hold_no_secret_are_refused() {
    let folder = Folder::new();
    let rows: [(&[u8], &str); 6] = [
        (b"", "is empty; put the value there, or remove the key"),
        (b"\n\n", "is empty; put the value there, or remove the key"),
        (
            b"CanaryOne\nCanaryTwo\n",
            "holds a line break or control character; keep the value alone",
        ),
        (b"Canary\x1b[0m", "holds a line break or control character; keep the value alone"),
        (b"Canary\xff", "is not UTF-8 text; check that it is the right file"),
        (&[b'C'; (1 << 20) + 1], "is larger than 1 MiB; check that it is the right file"),
    ];
    for (contents, expected) in rows {
        let file = folder.file("token", contents);
        let found = complaints(&with_token(&format!("token_file = {file:?}")), NO_ENVIRONMENT);
        assert_eq!(found, [format!("accounts.main.token_file (line 3): {expected}")]);
    }
    let found = complaints(&with_token("token_file = \"Canary\""), NO_ENVIRONMENT);
    let expected = "accounts.main.token_file (line 3): cannot be read (No such file or directory (os error 2)); \
                    check the path and its permissions";
    assert_eq!(found, [expected]);
}

#[test]
fn certificates_and_keys_must_be_readable_and_match() {
    let folder = Folder::new();
    let own = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
    let cert = folder.file("cert.pem", own.cert.pem());
    let key = folder.file("key.pem", own.signing_key.serialize_pem());
    let other_key = folder.file("other.pem", other.signing_key.serialize_pem());
    let damaged = folder
        .file("damaged.pem", "-----BEGIN CERTIFICATE-----\nQ2FuYXJ5\n-----END CERTIFICATE-----\n");
    let half = folder.file("half.pem", format!("{}-----BEGIN CERTIFICATE-----\n!", own.cert.pem()));
    let kind = folder
        .file("kind.pem", "-----BEGIN PRIVATE KEY-----\nQ2FuYXJ5\n-----END PRIVATE KEY-----\n");

    let tls = |cert: &str, key: &str| {
        format!("[listen]\ncallback_tls = {{ cert = {cert:?}, key = {key:?} }}")
    };
    let listen = valid(&tls(&cert, &key)).listen;
    assert_eq!(listen.callback_tls.unwrap().cert.to_str().unwrap(), cert);
    assert_eq!(valid("").restart_only(&valid(&tls(&cert, &key))), ["listen.callback_tls"]);

    let rows = [
        (
            tls(&cert, &other_key),
            "key",
            "does not belong to the first certificate of `cert`; put the leaf first",
        ),
        (
            tls(&damaged, &key),
            "key",
            "cannot be compared: the first certificate of `cert` is damaged",
        ),
        (
            tls(&cert, &kind),
            "key",
            "is of a kind that is not supported; use an RSA key of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519",
        ),
        (
            tls(&key, &key),
            "cert",
            "holds no certificate; it must be PEM, \"-----BEGIN CERTIFICATE-----\"",
        ),
        (
            tls(&half, &key),
            "cert",
            "holds no certificate; it must be PEM, \"-----BEGIN CERTIFICATE-----\"",
        ),
        (
            tls(&cert, &cert),
            "key",
            "holds no private key; it must be PEM without a password, \"-----BEGIN PRIVATE KEY-----\"",
        ),
        (
            tls(&cert, "Canary"),
            "key",
            "cannot be read (No such file or directory (os error 2)); check the path and its permissions",
        ),
        (
            format!("[listen]\ncallback_tls.cert = {cert:?}"),
            "key",
            "is missing; name the PEM file with the private key",
        ),
    ];
    for (more, at, expected) in rows {
        let found = complaints(&format!("{ACCOUNT}{more}"), NO_ENVIRONMENT);
        assert_eq!(found, [format!("listen.callback_tls.{at} (line 7): {expected}")]);
    }
    let found = complaints(&format!("{ACCOUNT}[wechat]\nca_file = {key:?}"), NO_ENVIRONMENT);
    let expected = "wechat.ca_file (line 7): holds no certificate; it must be PEM, \"-----BEGIN CERTIFICATE-----\"";
    assert_eq!(found, [expected]);
    assert!(valid(&format!("[wechat]\nca_file = {cert:?}")).wechat.ca_file.is_some());
}

#[test]
fn a_certificate_whose_time_is_over_or_has_not_come_is_refused_with_the_date() {
    let folder = Folder::new();
    let found = |from: i32, to: i32| {
        let mut wanted = rcgen::CertificateParams::new(["example.com".to_owned()]).unwrap();
        wanted.not_before = rcgen::date_time_ymd(from, 2, 3);
        wanted.not_after = rcgen::date_time_ymd(to, 4, 5);
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = folder.file("cert.pem", wanted.self_signed(&key).unwrap().pem());
        let key = folder.file("key.pem", key.serialize_pem());
        let more = format!("[listen]\ncallback_tls = {{ cert = {cert:?}, key = {key:?} }}");
        match parse(&format!("{ACCOUNT}{more}"), NO_ENVIRONMENT) {
            Ok(_) => String::new(),
            Err(issues) => issues.to_string(),
        }
    };
    let at = "listen.callback_tls.cert (line 7): ";
    assert_eq!(found(2001, 2002), format!("{at}ended on 2002-04-05 00:00 UTC; renew it"));
    let expected =
        format!("{at}begins on 2901-02-03 00:00 UTC only; check the clock of this machine");
    assert_eq!(found(2901, 2902), expected);
    assert_eq!(found(2001, 2902), "");
}
