use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::signature::{Signature, sign};

const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
const APPID: &str = "wxb11529c136998cb6";

#[derive(Deserialize)]
struct Vectors {
    sha1: Vec<Sha1Vector>,
    decrypt: Vec<Vector>,
    encrypt: Vec<Vector>,
}

#[derive(Deserialize)]
struct Sha1Vector {
    id: String,
    parts: Vec<String>,
    sig: String,
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    token: Option<String>,
    timestamp: Option<String>,
    nonce: Option<String>,
    aes_key: String,
    msg_signature: Option<String>,
    receive_id: String,
    random: Option<String>,
    encrypt: String,
    plaintext: Option<String>,
}

impl Vector {
    fn key(&self) -> AesKey {
        AesKey::parse(&self.aes_key).unwrap()
    }

    /// Whether there was a signature to check.
    fn check_signature(&self) -> bool {
        let (Some(token), Some(timestamp), Some(nonce), Some(signature)) =
            (&self.token, &self.timestamp, &self.nonce, &self.msg_signature)
        else {
            return false;
        };
        assert!(is_canonical_base64(&self.encrypt), "{}", self.id);
        let expected = sign(&[token, timestamp, nonce, &self.encrypt]);
        assert!(Signature::parse_hex(signature).unwrap().matches(&expected), "{}", self.id);
        true
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../../tests/vectors.json")).unwrap()
}

#[test]
fn official_signatures_are_reproduced() {
    let vectors = vectors();
    assert_eq!(vectors.sha1.len(), 9);
    for vector in vectors.sha1 {
        let parts: Vec<&str> = vector.parts.iter().map(String::as_str).collect();
        assert_eq!(sign(&parts).to_string(), vector.sig, "{}", vector.id);
    }
}

#[test]
fn official_ciphertexts_open() {
    let vectors = vectors();
    assert_eq!(vectors.decrypt.len(), 5);
    for vector in vectors.decrypt {
        assert!(vector.check_signature(), "{}", vector.id);
        let message = vector.key().decrypt(&vector.encrypt, &vector.receive_id).unwrap();
        let message = String::from_utf8(message).unwrap();
        match &vector.plaintext {
            Some(plaintext) => assert_eq!(&message, plaintext, "{}", vector.id),
            None => assert!(
                message.starts_with('<') || message.bytes().all(|b| b.is_ascii_digit()),
                "{message}"
            ),
        }
        assert_eq!(
            vector.key().decrypt(&vector.encrypt, "wx0"),
            Err(DecryptError::Appid),
            "{}",
            vector.id
        );
    }
}

#[test]
fn official_encryptions_are_reproduced_byte_for_byte() {
    let vectors = vectors();
    assert_eq!(vectors.encrypt.len(), 5);
    let mut signed = 0;
    for vector in vectors.encrypt {
        signed += usize::from(vector.check_signature());
        let plaintext = vector.plaintext.as_ref().unwrap();
        let random = vector.random.as_ref().unwrap().as_bytes().try_into().unwrap();
        assert_eq!(
            vector.key().encrypt(plaintext.as_bytes(), &vector.receive_id, random),
            vector.encrypt,
            "{}",
            vector.id
        );
        assert_eq!(
            vector.key().decrypt(&vector.encrypt, &vector.receive_id).unwrap(),
            plaintext.as_bytes()
        );
    }
    assert_eq!(signed, 3);
}

/// Made with wechatpy; the lengths at which padding goes wrong.
#[test]
fn boundary_lengths_are_reproduced() {
    let key = AesKey::parse(KEY).unwrap();
    let random = *b"0123456789abcdef";
    for (message, appid, encrypt) in [
        (
            "",
            APPID,
            "Q3stYC6hdFzMh9T8HCvyDHhfHLJCm4hR5ysOJ/7+aIE56VkDU+GN9Zzy1vv3hL0H4b7fYnSu3TUO0j1ZWKCNcA==",
        ),
        (
            "xxxxxxxxxxxxxxxxxxxxxxxxxx",
            APPID,
            "Q3stYC6hdFzMh9T8HCvyDHDxbrF7f8TfmYxXSN1y2Vbjja9RgRLcXPjzJF67v90V3+cSUeXVsBz9zy9FS6aOlAKOGPMkX9CsY1Hcm0RGBpai3w0JQLugbmmRSSjGXHj+",
        ),
        (
            "xxxxxxxxxxxxxxxxxxxxxxxxx",
            APPID,
            "Q3stYC6hdFzMh9T8HCvyDHKNXV2kFh0kNSkrOec3Ns3EXJ/6w2ZrymLt+4Xf4dQBbrrdi4bLRoT8sXJkvVW3bg==",
        ),
        (
            r#"{"msgtype":"text"}"#,
            "",
            "Q3stYC6hdFzMh9T8HCvyDD712uX8onmHUva9KNYQqhHhJQeojMWP+B2d9+v8WlysuzAHHrvUZ9vvpslnY8rN/A==",
        ),
    ] {
        assert_eq!(key.encrypt(message.as_bytes(), appid, random), encrypt);
        assert_eq!(key.decrypt(encrypt, appid).unwrap(), message.as_bytes());
    }
}

#[test]
fn a_key_is_read_leniently_but_only_a_key() {
    let sealed = AesKey::parse(KEY).unwrap().encrypt(b"hi", APPID, [7; 16]);
    for spelling in [
        " abcdefghijklmnopqrstuvwxyz 0123456789ABCDEFG\n",
        "abcdefghijklmnopqrstuvwxyz\t0123456789ABCDEFG",
    ] {
        assert_eq!(AesKey::parse(spelling).unwrap().decrypt(&sealed, APPID).unwrap(), b"hi");
    }
    // The last character's two unused bits.
    for last in ['E', 'F', 'G', 'H'] {
        let key = format!("{}{last}", &KEY[..42]);
        assert_eq!(AesKey::parse(&key).unwrap().decrypt(&sealed, APPID).unwrap(), b"hi", "{last}");
    }
    assert!(AesKey::parse(&format!("{}I", &KEY[..42])).unwrap().decrypt(&sealed, APPID).is_err());
    for (wrong, error) in [
        ("", KeyError::Length),
        (&KEY[1..], KeyError::Length),
        (&format!("{KEY}="), KeyError::Length),
        (&KEY.replace('a', "="), KeyError::Alphabet),
        (&KEY.replace('a', "_"), KeyError::Alphabet),
        (&format!("{}é", &KEY[..41]), KeyError::Alphabet),
        (&format!("{}=", &KEY[..42]), KeyError::Alphabet),
    ] {
        assert_eq!(AesKey::parse(wrong).err(), Some(error), "{wrong}");
    }
}

#[test]
fn a_key_does_not_show_itself() {
    let key = AesKey::parse(KEY).unwrap();
    assert_eq!(format!("{key:?} {:?}", Some(&key)), "[redacted] Some([redacted])");
}

#[test]
fn every_failure_looks_the_same_from_outside() {
    let texts: Vec<String> =
        [DecryptError::Base64, DecryptError::Padding, DecryptError::Length, DecryptError::Appid]
            .iter()
            .map(ToString::to_string)
            .collect();
    assert!(texts.iter().all(|text| text == "cannot decrypt"));
}

/// A frame encrypted as it is, to try what no WeChat would send.
fn raw(frame: &[u8]) -> String {
    let key = AesKey::parse(KEY).unwrap();
    let mut bytes = frame.to_vec();
    let (blocks, rest) = Array::slice_as_chunks_mut(&mut bytes);
    assert!(rest.is_empty());
    cbc::Encryptor::inner_iv_init(&key.encrypt, (&*key.iv).into()).encrypt_blocks(blocks);
    STANDARD.encode(bytes)
}

fn frame(length: u32, body: &[u8], padding: &[u8]) -> Vec<u8> {
    [&[9; 16], &length.to_be_bytes()[..], body, padding].concat()
}

#[test]
fn hostile_frames_are_refused() {
    let key = AesKey::parse(KEY).unwrap();
    let hi = [b"hi", APPID.as_bytes()].concat();
    let open = |frame: Vec<u8>| key.decrypt(&raw(&frame), APPID);
    assert_eq!(open(frame(2, &hi, &[24; 24])).unwrap(), b"hi");

    for (name, hostile, error) in [
        ("padding 0", frame(2, &hi, &[0; 24]), DecryptError::Padding),
        ("padding 33", frame(2, &[&hi[..], &[33; 24]].concat(), &[33; 16]), DecryptError::Padding),
        (
            "first padding byte differs",
            frame(2, &hi, &[&[23][..], &[24; 23]].concat()),
            DecryptError::Padding,
        ),
        (
            "last but one differs",
            frame(2, &hi, &[&[24; 22][..], &[23, 24]].concat()),
            DecryptError::Padding,
        ),
        ("padding longer than the frame", vec![32; 16], DecryptError::Padding),
        ("nothing but padding", vec![16; 16], DecryptError::Length),
        ("length beyond the end", frame(200, &hi, &[24; 24]), DecryptError::Length),
        ("length of 4 GiB", frame(u32::MAX, &hi, &[24; 24]), DecryptError::Length),
        ("length takes a character of the appid", frame(3, &hi, &[24; 24]), DecryptError::Appid),
        ("length gives the appid a character", frame(1, &hi, &[24; 24]), DecryptError::Appid),
        ("appid with a prefix only", frame(2, &hi[..19], &[25; 25]), DecryptError::Appid),
        (
            "appid with a suffix",
            frame(2, &[&hi[..], b"0"].concat(), &[23; 23]),
            DecryptError::Appid,
        ),
    ] {
        assert_eq!(open(hostile), Err(error), "{name}");
    }
}

#[test]
fn only_the_canonical_spelling_of_base64_is_taken() {
    let key = AesKey::parse(KEY).unwrap();
    let right = key.encrypt(b"hi", APPID, [1; 16]);
    assert!(right.ends_with("=="), "the tests below need two bytes of tail");
    assert!(is_canonical_base64(&right));
    let body = right.trim_end_matches('=');
    for wrong in [
        String::new(),
        "====".to_owned(),
        body.to_owned(),
        format!("{body}="),
        format!("{right}===="),
        format!("{right}\n"),
        format!(" {right}"),
        format!("{}\n{}", &right[..8], &right[8..]),
        right.replacen(&right[..1], "-", 1),
        right.replacen(&right[..1], "é", 1),
        right[4..].to_owned(),
        format!("AAAA{right}"),
        // The same bytes with an unused bit set.
        format!("{}{}==", &body[..body.len() - 1], char::from(body.as_bytes()[body.len() - 1] + 1)),
    ] {
        assert!(!is_canonical_base64(&wrong), "{wrong:?}");
        assert!(key.decrypt(&wrong, APPID).is_err(), "{wrong:?}");
    }
}

/// The threshold the verify stage relies on: no other spelling of a callback passes with the same
/// signature.
#[test]
fn every_single_bit_change_is_refused() {
    let key = AesKey::parse(KEY).unwrap();
    let (token, timestamp, nonce) = ("AAAAA", "1714112445", "415670741");
    let encrypt = key.encrypt("<xml><Content>你好</Content></xml>".as_bytes(), APPID, [3; 16]);
    let signature = sign(&[token, timestamp, nonce, &encrypt]);
    let hex = signature.to_string();
    let accepted = |timestamp: &str, nonce: &str, signature: &str, encrypt: &str| {
        let raw = format!("timestamp={timestamp}&nonce={nonce}&msg_signature={signature}");
        let Ok(query) = crate::query::Query::parse(&raw) else { return false };
        is_canonical_base64(encrypt)
            && query.msg_signature.is_some_and(|given| {
                given.matches(&sign(&[token, query.timestamp, query.nonce, encrypt]))
            })
    };
    assert!(accepted(timestamp, nonce, &hex, &encrypt));
    let mut refused = 0;
    for (field, text) in [timestamp, nonce, &hex, &encrypt].into_iter().enumerate() {
        for bit in 0..text.len() * 8 {
            let mut bytes = text.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = String::from_utf8_lossy(&bytes);
            let mut fields = [timestamp, nonce, &hex, &encrypt];
            fields[field] = &changed;
            assert!(
                !accepted(fields[0], fields[1], fields[2], fields[3]),
                "field {field} bit {bit}"
            );
            refused += 1;
        }
    }
    assert_eq!(refused, 8 * (timestamp.len() + nonce.len() + hex.len() + encrypt.len()));
}

proptest! {
    #[test]
    fn what_is_encrypted_opens_again(
        message in prop::collection::vec(any::<u8>(), 0..200), appid in "[a-z0-9]{0,40}", random: [u8; 16],
        key in "[A-Za-z0-9]{43}",
    ) {
        let key = AesKey::parse(&key).unwrap();
        let encrypt = key.encrypt(&message, &appid, random);
        prop_assert!(is_canonical_base64(&encrypt));
        prop_assert_eq!(STANDARD.decode(&encrypt).unwrap().len() % 32, 0);
        prop_assert_eq!(key.decrypt(&encrypt, &appid).unwrap(), message);
        prop_assert_eq!(key.decrypt(&encrypt, &format!("{appid}x")), Err(DecryptError::Appid));
    }

    /// The grammar is exactly what a strict decoder takes, in whole blocks.
    #[test]
    fn the_grammar_agrees_with_the_decoder(text in "[A-Za-z0-9+/=]{20,24}|[A-D+/]{42}[A-Z]=|[A-D]{21}[AQgwBR]==|[AB]{63}[A=]") {
        let decodes = STANDARD.decode(&text).is_ok_and(|bytes| !bytes.is_empty() && bytes.len() % 16 == 0);
        prop_assert_eq!(is_canonical_base64(&text), decodes);
    }
}
