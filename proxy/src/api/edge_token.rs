//! Edge tokens: what a client's SDK gets in place of the account's real token.
//!
//! An SDK caches it, puts it into every call, and the edge swaps it for the real one. Nothing is
//! stored: the token itself says whose it is, under a MAC. So it holds over restarts, as long as
//! the key does.
//!
//! `wxedge_` and the base64url of: version (1 byte) · issued (8 bytes, big-endian seconds since 1970) · hash of
//! the client's key (8 bytes) · client · `/` · account · HMAC-SHA-256 over the prefix and all before (32 bytes).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What every edge token begins with; no token of WeChat's does.
const PREFIX: &str = "wxedge_";
/// The layout; another one is refused.
const VERSION: u8 = 2;
/// Longest token, in characters: what WeChat asks SDKs to have room for.
pub const TOKEN_CHARS_MAX: usize = 512;
/// What SDKs are told, in seconds: as WeChat has it.
pub const EXPIRES_IN_S: u64 = 7_200;
/// How long a token is accepted after its issue, in seconds. Longer than [`EXPIRES_IN_S`], because
/// an SDK that keeps it a little too long must not fail: it would see an error that no refresh of
/// WeChat's explains. What the client may do and which keys it has is looked up at every call, so
/// a revoked client or key is out at once all the same.
pub const ACCEPTED_S: u64 = 24 * 3_600;
/// How far ahead the issuing clock may have been, in seconds.
const AHEAD_S: u64 = 300;

const MAC_BYTES: usize = 32;
const HEAD_BYTES: usize = 1 + 8 + KEY_HASH_BYTES;
const KEY_HASH_BYTES: usize = 8;

/// Tells the keys of a client apart; keeps nothing of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash([u8; KEY_HASH_BYTES]);

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &str) -> KeyHash {
        let hash = Sha256::digest(key.as_bytes());
        KeyHash(std::array::from_fn(|place| hash[place]))
    }
}

/// Issues and reads edge tokens under one key.
#[derive(Clone)]
pub struct EdgeTokens(Hmac<Sha256>);

crate::opaque!(EdgeTokens);

/// Whose call it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// `client/account`.
    names: String,
    slash: usize,
    key: KeyHash,
}

impl Bearer {
    /// The name in `[clients.<name>]`.
    pub fn client(&self) -> &str {
        &self.names[..self.slash]
    }

    /// The name in `[accounts.<name>]`.
    pub fn account(&self) -> &str {
        &self.names[self.slash + 1..]
    }

    /// Which of the client's keys it was issued for.
    pub fn key(&self) -> KeyHash {
        self.key
    }
}

/// Why a token is not accepted. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Too long, or not of an edge token's shape.
    #[error("edge token malformed")]
    Malformed,
    /// Changed, or issued under another key.
    #[error("edge token not issued by this edge")]
    Forged,
    /// Older than [`ACCEPTED_S`].
    #[error("edge token expired")]
    Expired,
    /// Issued more than five minutes from now.
    #[error("edge token from the future; check the clock")]
    Future,
}

/// Whether a token claims to be an edge token. Only [`EdgeTokens::read`] says whether it is one.
pub fn looks_like(token: &str) -> bool {
    token.starts_with(PREFIX)
}

impl EdgeTokens {
    /// Keys the MAC.
    pub fn new(key: [u8; 32]) -> EdgeTokens {
        // HMAC fills a short key up with zeros; so this takes any 32 bytes and cannot fail.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&key);
        EdgeTokens(Hmac::new(&block.into()))
    }

    /// A token for a client's calls as an account, both names as the configuration allows them,
    /// for the `key` the client has shown; `now_s` in seconds since 1970.
    pub fn issue(&self, client: &str, account: &str, key: KeyHash, now_s: u64) -> String {
        self.seal(VERSION, client, account, key, now_s)
    }

    fn seal(&self, version: u8, client: &str, account: &str, key: KeyHash, now_s: u64) -> String {
        debug_assert!(!client.contains('/'), "the first / ends the client's name");
        let mut bytes =
            Vec::with_capacity(HEAD_BYTES + client.len() + 1 + account.len() + MAC_BYTES);
        bytes.push(version);
        bytes.extend_from_slice(&now_s.to_be_bytes());
        bytes.extend_from_slice(&key.0);
        bytes.extend_from_slice(client.as_bytes());
        bytes.push(b'/');
        bytes.extend_from_slice(account.as_bytes());
        let mac = self.mac(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        let mut token = PREFIX.to_owned();
        URL_SAFE_NO_PAD.encode_string(&bytes, &mut token);
        token
    }

    /// Whose token it is; `now_s` in seconds since 1970. The MAC is compared in constant time,
    /// before anything in the token counts.
    ///
    /// # Errors
    /// [`Invalid`] for all that was not issued here, or not lately.
    pub fn read(&self, token: &str, now_s: u64) -> Result<Bearer, Invalid> {
        if token.len() > TOKEN_CHARS_MAX {
            return Err(Invalid::Malformed);
        }
        let text = token.strip_prefix(PREFIX).ok_or(Invalid::Malformed)?;
        let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Invalid::Malformed)?;
        let (sealed, mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(Invalid::Malformed)?;
        self.mac(sealed).verify(mac.into()).map_err(|_| Invalid::Forged)?;

        let (head, _) = sealed.split_first_chunk::<HEAD_BYTES>().ok_or(Invalid::Malformed)?;
        let [version, t0, t1, t2, t3, t4, t5, t6, t7, key @ ..] = *head;
        if version != VERSION {
            return Err(Invalid::Malformed);
        }
        let issued_s = u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
        if issued_s > now_s.saturating_add(AHEAD_S) {
            return Err(Invalid::Future);
        }
        if now_s.saturating_sub(issued_s) > ACCEPTED_S {
            return Err(Invalid::Expired);
        }
        // The one allocation of a call: what was decoded becomes the names.
        bytes.truncate(bytes.len() - MAC_BYTES);
        bytes.drain(..HEAD_BYTES);
        let names = String::from_utf8(bytes).map_err(|_| Invalid::Malformed)?;
        let slash = names.find('/').ok_or(Invalid::Malformed)?;
        Ok(Bearer { names, slash, key: KeyHash(key) })
    }

    fn mac(&self, sealed: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(PREFIX.as_bytes());
        mac.update(sealed);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_700_000_000;

    fn tokens() -> EdgeTokens {
        EdgeTokens::new([7; 32])
    }

    fn token() -> String {
        tokens().issue("crm", "main", KeyHash::of("key"), NOW_S)
    }

    #[test]
    fn a_token_says_whose_it_is() {
        let (tokens, token) = (tokens(), token());
        assert!(looks_like(&token));
        let bearer = tokens.read(&token, NOW_S).unwrap();
        assert_eq!((bearer.client(), bearer.account()), ("crm", "main"));
        for (client, account) in [("crm", "other"), ("shop", "main"), ("crmm", "ain")] {
            let token = tokens.issue(client, account, KeyHash::of("key"), NOW_S);
            let bearer = tokens.read(&token, NOW_S).unwrap();
            assert_eq!((bearer.client(), bearer.account()), (client, account));
        }
    }

    #[test]
    fn a_token_says_which_key_it_was_issued_for() {
        let tokens = tokens();
        let of = |key| {
            let token = tokens.issue("crm", "main", KeyHash::of(key), NOW_S);
            tokens.read(&token, NOW_S).unwrap().key()
        };
        assert_eq!(of("key"), KeyHash::of("key"));
        assert_ne!(of("key"), of("kez"));
    }

    #[test]
    fn a_token_fits_into_any_query_and_column() {
        let long = "a".repeat(64);
        let token = tokens().issue(&long, &long, KeyHash::of(&long), u64::MAX);
        assert!(token.len() <= TOKEN_CHARS_MAX, "{}", token.len());
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    }

    #[test]
    fn it_is_accepted_for_a_day() {
        let (tokens, token) = (tokens(), token());
        let read = |now_s| tokens.read(&token, now_s).map(|_| ());
        for now_s in [NOW_S, NOW_S + EXPIRES_IN_S + 1, NOW_S + ACCEPTED_S, NOW_S - AHEAD_S] {
            assert_eq!(read(now_s), Ok(()), "{now_s}");
        }
        assert_eq!(read(NOW_S + ACCEPTED_S + 1), Err(Invalid::Expired));
        assert_eq!(read(u64::MAX), Err(Invalid::Expired));
        assert_eq!(read(NOW_S - AHEAD_S - 1), Err(Invalid::Future));
        assert_eq!(read(0), Err(Invalid::Future));
    }

    #[test]
    fn every_single_bit_counts() {
        let (tokens, token) = (tokens(), token());
        let mut changed = 0;
        for bit in 0..token.len() * 8 {
            let mut bytes = token.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The eighth bit makes it no text.
            let Ok(text) = String::from_utf8(bytes) else { continue };
            assert!(tokens.read(&text, NOW_S).is_err(), "bit {bit}");
            changed += 1;
        }
        assert_eq!(changed, token.len() * 7);
        // And below the encoding.
        let bytes = URL_SAFE_NO_PAD.decode(&token[PREFIX.len()..]).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes));
            assert_eq!(tokens.read(&text, NOW_S), Err(Invalid::Forged), "bit {bit}");
        }
    }

    #[test]
    fn what_was_not_issued_here_is_refused() {
        let (tokens, token) = (tokens(), token());
        for end in 0..token.len() {
            assert!(tokens.read(&token[..end], NOW_S).is_err(), "{end}");
            assert!(tokens.read(&token[end + 1..], NOW_S).is_err(), "{end}");
        }
        for wrong in [
            format!("{token}A"),
            format!("{token}="),
            format!(" {token}"),
            token.replacen("wxedge_", "WXEDGE_", 1),
            format!("{token}{}", "A".repeat(TOKEN_CHARS_MAX)),
            "68_abcDEF".to_owned(),
            String::new(),
        ] {
            assert!(tokens.read(&wrong, NOW_S).is_err(), "{wrong}");
        }
        let other = EdgeTokens::new([8; 32]);
        assert_eq!(other.read(&token, NOW_S), Err(Invalid::Forged));
        assert_eq!(
            tokens.read(&tokens.seal(VERSION + 1, "crm", "main", KeyHash::of("key"), NOW_S), NOW_S),
            Err(Invalid::Malformed)
        );
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", tokens()), "EdgeTokens([redacted])");
    }
}
