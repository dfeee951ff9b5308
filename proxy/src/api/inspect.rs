//! Whether an answer of WeChat can hold an errcode, which comes with HTTP 200 and only in short JSON. Everything else is
//! passed on byte by byte, unread.

use crate::limits;
use http::header;
use pingora::http::ResponseHeader;

/// Whether the body may be JSON short enough to look into, by its head. WeChat sends JSON also as `text/plain`.
pub fn is_worth_reading(head: &ResponseHeader) -> bool {
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    if head.headers.contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if length.is_some_and(|length| length > limits::API_INSPECT_BYTES) {
        return false;
    }
    let Some(media_type) = text(header::CONTENT_TYPE) else { return true };
    let begins = |with: &str| {
        media_type.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    begins("application/json") || begins("text/plain")
}

/// Whether what has come of the body can still become a JSON object.
pub fn may_be_object(body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    first.is_none_or(|byte| *byte == b'{')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&'static str, &str)]) -> ResponseHeader {
        let mut head = ResponseHeader::build(200, None).unwrap();
        for (name, value) in headers {
            head.insert_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn only_short_json_is_read() {
        for (headers, expected) in [
            (&[("content-type", "application/json; encoding=utf-8")][..], true),
            (&[("content-type", "Text/Plain"), ("content-length", "65536")], true),
            (&[("content-type", "text/plain"), ("content-length", "65537")], false),
            (&[("content-type", "image/jpeg"), ("content-length", "10")], false),
            (&[("content-type", "application/octet-stream")], false),
            (&[("content-type", "application/json"), ("content-encoding", "gzip")], false),
            (&[], true),
        ] {
            assert_eq!(is_worth_reading(&head(headers)), expected, "{headers:?}");
        }
        assert!(
            may_be_object(b" \r\n{\"errcode\":0}") && may_be_object(b"") && may_be_object(b"  ")
        );
        assert!(!may_be_object(b"\xff\xd8\xff") && !may_be_object(b" []"));
    }
}
