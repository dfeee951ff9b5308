//! Every secret of the tests' configurations, so that all output of the edge can be searched for them.
//!
//! They are valid in their places: WeChat's console would take the Tokens and keys. Openids all begin alike, so one
//! search finds any of them.

/// The Token.
pub const TOKEN: &str = "CanaryTokenNew4c1f";
/// The Token before a change.
pub const TOKEN_OLD: &str = "CanaryTokenOld9b2e";
/// The Token of nobody: what an attacker guesses.
pub const TOKEN_WRONG: &str = "CanaryTokenWrong77d0";
/// The EncodingAESKey.
pub const AES_KEY: &str = "CanaryAesKeyNew1ZyXwVuTsRqPoNmLkJiHgFeDcBaQ";
/// The EncodingAESKey before a change.
pub const AES_KEY_OLD: &str = "CanaryAesKeyOld2AbCdEfGhIjKlMnOpQrStUvWxYz0";
/// The EncodingAESKey of nobody.
pub const AES_KEY_WRONG: &str = "CanaryAesKeyWrong3bCdEfGhIjKlMnOpQrStUvWxYz";
/// The AppSecret.
pub const SECRET: &str = "CanaryAppSecret5d41402abc4b2a76b9";
/// The Standard Webhooks key.
pub const SIGNING_SECRET: &str = "whsec_CanarySigningSecret6789ABCDEFGHIJKLMNOPQ";
/// The key of the admin listener.
pub const ADMIN_KEY: &str = "CanaryAdminKey8f14e45fceea167a";
/// The key of a client of the API listener.
pub const CLIENT_KEY: &str = "CanaryClientKey9c9f0f895fb98ab";
/// A secret in the query of the app's URL.
pub const APP_KEY: &str = "CanaryAppKey1679091c5a880faf";
/// How every access token of the fake WeChat API begins.
pub const ACCESS_TOKEN_PREFIX: &str = "CanaryAccessToken";
/// How every ticket of the fake WeChat API begins.
pub const TICKET_PREFIX: &str = "CanaryTicket";
/// How every token of a user (`/sns/oauth2/*`) of the fake WeChat API begins.
pub const USER_TOKEN_PREFIX: &str = "CanaryUserToken";
/// How every openid of the tests begins.
pub const OPENID: &str = "oCanary";

/// What may not stand in any output: the secrets, and what only query strings hold.
const FORBIDDEN: [&str; 17] = [
    TOKEN,
    TOKEN_OLD,
    TOKEN_WRONG,
    AES_KEY,
    AES_KEY_OLD,
    AES_KEY_WRONG,
    SECRET,
    SIGNING_SECRET,
    ADMIN_KEY,
    CLIENT_KEY,
    APP_KEY,
    ACCESS_TOKEN_PREFIX,
    TICKET_PREFIX,
    USER_TOKEN_PREFIX,
    OPENID,
    "signature=",
    "echostr=",
];

/// Searches `text` for everything that may not stand there, without regard to case.
///
/// # Errors
/// What was found, with the line it stands in.
pub fn search(text: &str) -> Result<(), String> {
    for line in text.lines() {
        let lower = line.to_ascii_lowercase();
        if let Some(found) =
            FORBIDDEN.iter().find(|canary| lower.contains(&canary.to_ascii_lowercase()))
        {
            return Err(format!("{found:?} in {line:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_canary_is_found_in_any_case() {
        for canary in FORBIDDEN {
            for text in [canary.to_owned(), canary.to_uppercase(), canary.to_lowercase()] {
                assert!(search(&format!("first\nlast: {text}.")).is_err(), "{text}");
            }
        }
        search("token, signature and openid\nare words that may be used\n").unwrap();
    }

    #[test]
    fn the_secrets_are_valid_in_their_places() {
        for key in [AES_KEY, AES_KEY_OLD, AES_KEY_WRONG] {
            wxedge_wechat::crypto::AesKey::parse(key).unwrap();
        }
        for token in [TOKEN, TOKEN_OLD, TOKEN_WRONG] {
            assert!((3..=32).contains(&token.len()));
        }
    }
}
