use proptest::prelude::*;

use super::*;
use crate::signature::sign;

const HEX: &str = "f464b24fc39322e44b38aa78f5edd27bd1441696";

/// A query with all parameters, one of them replaced; `None` leaves it out.
fn query_with(name: &str, value: Option<&str>) -> String {
    [
        ("signature", HEX),
        ("timestamp", "1714036504"),
        ("nonce", "1514711492"),
        ("openid", "oABC"),
        ("encrypt_type", "aes"),
        ("msg_signature", HEX),
    ]
    .into_iter()
    .filter_map(|(n, v)| Some(format!("{n}={}", if n == name { value? } else { v })))
    .collect::<Vec<_>>()
    .join("&")
}

fn error_with(name: &str, value: &str) -> Option<QueryError> {
    Query::parse(&query_with(name, Some(value))).err()
}

#[test]
fn a_callback_of_wechat_is_read() {
    let raw = query_with("", None);
    let query = Query::parse(&raw).unwrap();
    assert_eq!(query.signature, Signature::parse_hex(HEX));
    assert_eq!(query.msg_signature, Signature::parse_hex(HEX));
    assert_eq!((query.timestamp, query.nonce, query.aes), ("1714036504", "1514711492", true));
    assert_eq!(query.timestamp_s(), 1_714_036_504);
    assert_eq!(query.openid.as_deref(), Some("oABC"));
    assert_eq!(query.echostr, None);
}

#[test]
fn the_official_verification_is_read_and_verifies() {
    let raw = format!(
        "signature={HEX}&echostr=4375120948345356249&timestamp=1714036504&nonce=1514711492"
    );
    let query = Query::parse(&raw).unwrap();
    assert_eq!(query.echostr.as_deref(), Some("4375120948345356249"));
    assert!(query.signature.unwrap().matches(&sign(&["AAAAA", query.timestamp, query.nonce])));
}

#[test]
fn signatures_and_openid_may_be_missing_but_timestamp_and_nonce_may_not() {
    for name in ["signature", "msg_signature", "openid", "encrypt_type"] {
        assert!(Query::parse(&query_with(name, None)).is_ok(), "{name}");
    }
    assert_eq!(Query::parse(&query_with("timestamp", None)).err(), Some(QueryError::Timestamp));
    assert_eq!(Query::parse(&query_with("nonce", None)).err(), Some(QueryError::Nonce));
    assert_eq!(Query::parse("").err(), Some(QueryError::Timestamp));
}

#[test]
fn the_grammar_is_strict() {
    let long = "9".repeat(65);
    for timestamp in ["", "1234567890123", "-1", "+1", " 1", "1.5", "1e3", "١", "%31", "0x1"] {
        assert_eq!(error_with("timestamp", timestamp), Some(QueryError::Timestamp), "{timestamp}");
    }
    for nonce in ["", &long, "a b", "a+b", "a.b", "a=b", "a%41", "é", "a/b", "a\0"] {
        assert_eq!(error_with("nonce", nonce), Some(QueryError::Nonce), "{nonce}");
    }
    let upper = HEX.to_uppercase();
    for signature in ["", "0", &HEX[1..], &format!("{HEX}0"), &upper, &HEX.replace('f', "%66")] {
        assert_eq!(error_with("signature", signature), Some(QueryError::Signature), "{signature}");
        assert_eq!(
            error_with("msg_signature", signature),
            Some(QueryError::Signature),
            "{signature}"
        );
    }
    for kind in ["", "AES", "aes ", "none"] {
        assert_eq!(error_with("encrypt_type", kind), Some(QueryError::EncryptType), "{kind}");
    }
    assert!(!Query::parse(&query_with("encrypt_type", Some("raw"))).unwrap().aes);
}

#[test]
fn a_repeated_known_parameter_is_refused_and_an_unknown_one_ignored() {
    let raw = query_with("", None);
    for name in ["signature", "msg_signature", "timestamp", "nonce", "encrypt_type", "openid"] {
        let twice = format!("{raw}&{name}=1");
        assert_eq!(Query::parse(&twice).err(), Some(QueryError::Repeated), "{name}");
    }
    assert_eq!(
        Query::parse(&format!("{raw}&echostr=1&echostr=1")).err(),
        Some(QueryError::Repeated)
    );
    assert!(Query::parse(&format!("{raw}&utm=1&utm=2&&=&Nonce=3")).is_ok());
}

#[test]
fn values_are_decoded_where_they_may_be_encoded() {
    let echostr = |value: &str| {
        Query::parse(&query_with("", None)).map(|_| ()).and_then(|()| {
            let raw = format!("{}&echostr={value}", query_with("", None));
            Query::parse(&raw).map(|query| query.echostr.map(Cow::into_owned))
        })
    };
    assert_eq!(echostr("a%2Bb+c%3d").unwrap().as_deref(), Some("a+b+c="));
    assert_eq!(echostr("").unwrap().as_deref(), Some(""));
    for wrong in ["%", "%4", "%zz", "%+1", "%ff", "a%"] {
        assert_eq!(echostr(wrong), Err(QueryError::Echostr), "{wrong}");
    }
    assert!(echostr(&"1".repeat(ECHOSTR_BYTES_MAX)).is_ok());
    assert_eq!(echostr(&"1".repeat(ECHOSTR_BYTES_MAX + 1)), Err(QueryError::Echostr));
    assert_eq!(error_with("openid", &"o".repeat(OPENID_BYTES_MAX + 1)), Some(QueryError::Openid));
    assert_eq!(error_with("openid", "%e4%bd"), Some(QueryError::Openid));
}

#[test]
fn length_is_bounded() {
    let raw = query_with("", None);
    let fill = |length: usize| format!("{raw}&x={}", "y".repeat(length - raw.len() - 3));
    assert!(Query::parse(&fill(QUERY_BYTES_MAX)).is_ok());
    assert_eq!(Query::parse(&fill(QUERY_BYTES_MAX + 1)).err(), Some(QueryError::TooLong));
}

/// The forgeries that `sha1(sort(...))` allows: the same digest with the border between two fields
/// moved. What the grammar lets through is a time far outside of any replay window.
#[test]
fn a_moved_border_between_fields_is_refused() {
    let (token, timestamp, nonce, encrypt) =
        ("AAAAA", "1714112445", "415670741", "BCDEFGHIJKLMNOPQRSTUVA==");
    let right = sign(&[token, timestamp, nonce, encrypt]);
    let mut same_digest = 0;
    let all = [timestamp, nonce, token, encrypt].concat();
    for end in 0..all.len() {
        for start in 0..=end {
            // Three fields next to each other, the middle one the token; and two of them exchanged.
            for (forged_timestamp, forged_nonce) in
                [(&all[..start], &all[start..end]), (&all[start..end], &all[..start])]
            {
                let rest = &all[end..];
                let Some(forged_encrypt) = rest.strip_prefix(token) else { continue };
                if (forged_timestamp, forged_nonce) == (timestamp, nonce)
                    || !sign(&[token, forged_timestamp, forged_nonce, forged_encrypt])
                        .matches(&right)
                {
                    continue;
                }
                same_digest += 1;
                let raw = format!(
                    "timestamp={forged_timestamp}&nonce={forged_nonce}&msg_signature={right}"
                );
                if let Ok(query) = Query::parse(&raw) {
                    assert!(query.timestamp_s().abs_diff(1_714_112_445) > 300, "{raw}");
                }
            }
        }
    }
    assert!(same_digest > 10, "only {same_digest} of these are the attack");
}

#[test]
fn swapped_timestamp_and_nonce_are_refused_unless_both_are_plausible() {
    // The digest does not change, so only the grammar and the replay window stand in the way.
    let (timestamp, nonce) = ("1714112445", "abc_DEF-123");
    assert_eq!(sign(&["t", timestamp, nonce]), sign(&["t", nonce, timestamp]));
    assert_eq!(
        Query::parse(&format!("timestamp={nonce}&nonce={timestamp}")).err(),
        Some(QueryError::Timestamp)
    );
    // A nonce of digits passes the grammar, as a time: far outside of any window.
    let raw = "timestamp=415670741&nonce=1714112445".to_owned();
    assert!(Query::parse(&raw).unwrap().timestamp_s().abs_diff(1_714_112_445) > 300);
}

/// Length extension: `sha1(m)` gives `sha1(m + padding + anything)`, and the padding has to stand
/// in the nonce.
#[test]
fn a_length_extended_nonce_is_refused() {
    let mut nonce = b"415670741".to_vec();
    nonce.push(0x80);
    nonce.resize(56, 0);
    nonce.extend_from_slice(&(25_u64 * 8).to_be_bytes());
    nonce.extend_from_slice(b"forged");
    let encoded: String = nonce.iter().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(error_with("nonce", &encoded), Some(QueryError::Nonce));
    let raw = String::from_utf8_lossy(&nonce).into_owned();
    assert_eq!(error_with("nonce", &raw), Some(QueryError::Nonce));
}

proptest! {
    #[test]
    fn what_wechat_may_send_is_read_back(
        timestamp in "[0-9]{1,12}", nonce in "[A-Za-z0-9_-]{1,64}", echostr in "[A-Za-z0-9+/=]{0,100}", aes: bool,
    ) {
        let encoded = echostr.replace('=', "%3D").replace('/', "%2f");
        let kind = if aes { "aes" } else { "raw" };
        let raw = format!("echostr={encoded}&encrypt_type={kind}&nonce={nonce}&timestamp={timestamp}");
        let query = Query::parse(&raw).unwrap();
        prop_assert_eq!(query.timestamp, &timestamp);
        prop_assert_eq!(query.timestamp_s(), timestamp.parse::<i64>().unwrap());
        prop_assert_eq!(query.nonce, &nonce);
        prop_assert_eq!(query.echostr.as_deref(), Some(&*echostr));
        prop_assert_eq!(query.aes, aes);
    }
}
