//! What a row of `content` or `failure` holds: texts, each after its length, and then the rest.

use crate::limits;

/// What is delivered.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// `ce-id`.
    pub ce_id: String,
    /// `ce-type`.
    pub ce_type: String,
    /// `ce-subject`: the openid.
    pub subject: String,
    /// Of a callback, the decrypted message as it came from WeChat. Of a reply, JSON that
    /// begins with [`Content::REPLY`].
    pub body: Vec<u8>,
}

/// Why the last call of an entry failed.
#[derive(Clone, PartialEq, Eq)]
pub struct Failed {
    /// A word that programs know: `timeout`, `status`, `maybe_sent`.
    pub reason: String,
    /// A sentence for people.
    pub detail: String,
    /// What the app answered, if it did.
    pub answer: Option<LastAnswer>,
}

/// What an app answered at last.
#[derive(Clone, PartialEq, Eq)]
pub struct LastAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Its body; only the first [`limits::SPOOL_ANSWER_BYTES`] are kept.
    pub body: Vec<u8>,
}

// They hold messages, openids and what an app made of them.
crate::opaque!(Content, Failed, LastAnswer);

impl Content {
    /// What the body of a reply begins with, and no message of WeChat.
    pub const REPLY: &[u8] = b"{\"until_s\":";

    /// What an entry with this content counts against `spool.max_bytes`.
    pub fn bytes(&self) -> u64 {
        limits::SPOOL_ENTRY_BYTES + self.body.len() as u64
    }

    pub(in crate::store) fn encode(&self) -> Vec<u8> {
        encode([&self.ce_id, &self.ce_type, &self.subject], &self.body)
    }

    /// All but the body, of the beginning of a record, if that is enough.
    pub(super) fn decode_head(record: &[u8]) -> Option<Content> {
        let ([ce_id, ce_type, subject], _) = decode(record)?;
        Some(Content { ce_id, ce_type, subject, body: Vec::new() })
    }

    pub(super) fn decode(record: &[u8]) -> Option<Content> {
        let ([ce_id, ce_type, subject], body) = decode(record)?;
        Some(Content { ce_id, ce_type, subject, body: body.to_owned() })
    }
}

impl Failed {
    pub(in crate::store) fn encode(&self) -> Vec<u8> {
        let mut record = encode([&self.reason, &self.detail], &[]);
        if let Some(LastAnswer { status, body }) = &self.answer {
            record.extend(status.to_be_bytes());
            record.extend(body.iter().take(limits::SPOOL_ANSWER_BYTES));
        }
        record
    }

    pub(super) fn decode(record: &[u8]) -> Option<Failed> {
        let ([reason, detail], answer) = decode(record)?;
        let answer = answer.split_first_chunk().map(|(status, body)| LastAnswer {
            status: u16::from_be_bytes(*status),
            body: body.to_owned(),
        });
        Some(Failed { reason, detail, answer })
    }
}

fn encode<const N: usize>(texts: [&str; N], rest: &[u8]) -> Vec<u8> {
    let bytes = texts.iter().map(|text| 4 + text.len()).sum::<usize>();
    let mut record = Vec::with_capacity(bytes + rest.len());
    for text in texts {
        // None is that long: all came in one request.
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        record.extend(length.to_be_bytes());
        record.extend(text.as_bytes());
    }
    record.extend(rest);
    record
}

fn decode<const N: usize>(mut record: &[u8]) -> Option<([String; N], &[u8])> {
    let mut texts = [const { String::new() }; N];
    for text in &mut texts {
        let (length, rest) = record.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (bytes, rest) = rest.split_at_checked(length)?;
        *text = String::from_utf8(bytes.to_owned()).ok()?;
        record = rest;
    }
    Some((texts, record))
}
