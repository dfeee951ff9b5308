//! Requests that are rightly signed and wrongly framed: none of them reaches the app.
//!
//! Each is written as it goes over the wire. `{target}`, `{host}`, `{len}` and `{body}` stand for those of a message that
//! is taken as it is, as the rows that are taken show.

use std::time::Duration;

use wxedge_tests::PATIENCE;
use wxedge_tests::app::{Answer, App};
use wxedge_tests::edge::Edge;
use wxedge_tests::http::{Connection, NoAnswer, Response, find};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Mode, Wechat};

use crate::edge;
use crate::tally::Tally;

/// What is to come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// 400 before anybody asks whose it is; the connection ends.
    Refused,
    /// No callback, well framed: this status.
    Unrouted(u16),
    /// A callback with this outcome and status; the connection ends.
    Rejected(&'static str, u16),
    /// The same, but it is plain where it ended: the connection may go on.
    Judged(&'static str, u16),
    /// 200, and the app has it once.
    Taken,
    /// 200, the app has it once, and what follows is not read: the connection ends.
    TakenAndClosed,
    /// No answer and no trace: there was no whole header.
    Nothing,
    /// No answer to a client that left: a callback all the same.
    Gone,
}

struct Row {
    name: &'static str,
    end: End,
    request: Vec<u8>,
    /// Says afterwards that nothing more will come.
    leaves: bool,
}

/// A row whose whole request is given.
fn raw(end: End, name: &'static str, request: impl AsRef<[u8]>) -> Row {
    Row { name, end, request: request.as_ref().to_vec(), leaves: false }
}

/// A row that differs in the request line.
fn line(end: End, name: &'static str, line: impl AsRef<[u8]>) -> Row {
    let rest = b"\r\nHost: {host}\r\nContent-Length: {len}\r\n\r\n{body}";
    raw(end, name, [line.as_ref(), rest].concat())
}

/// A row with one more header line.
fn header(end: End, name: &'static str, line: impl AsRef<[u8]>) -> Row {
    framed(end, name, [line.as_ref(), b"\r\nContent-Length: {len}\r\n\r\n{body}"].concat())
}

/// A row that differs in framing: everything after the Host line.
fn framed(end: End, name: &'static str, rest: impl AsRef<[u8]>) -> Row {
    raw(end, name, [b"POST {target} HTTP/1.1\r\nHost: {host}\r\n", rest.as_ref()].concat())
}

/// A row with a chunked body.
fn chunked(end: End, name: &'static str, body: impl AsRef<[u8]>) -> Row {
    framed(end, name, [b"Transfer-Encoding: chunked\r\n\r\n", body.as_ref()].concat())
}

fn leaving(row: Row) -> Row {
    Row { leaves: true, ..row }
}

/// What shows that it is the framing, and nothing else, for which the others are refused.
fn controls() -> Vec<Row> {
    vec![
        header(End::Taken, "as it should be", "Content-Type: text/xml"),
        header(End::TakenAndClosed, "a client that says it is the last", "Connection: close"),
        header(End::TakenAndClosed, "and says so among other things", "Connection: te, close"),
        // Where a chunked body ends is what smuggling is about: nothing follows one.
        chunked(End::TakenAndClosed, "chunked", "{chunk}0\r\n\r\n"),
        chunked(
            End::TakenAndClosed,
            "chunked, with an extension",
            "{hex};name=value\r\n{body}\r\n0\r\n\r\n",
        ),
        chunked(
            End::TakenAndClosed,
            "chunked, with leading zeros",
            "000{hex}\r\n{body}\r\n0\r\n\r\n",
        ),
        header(End::Taken, "blanks around a value", "X-A: \t b \t "),
        header(End::Taken, "an empty value", "X-A:"),
        header(End::Taken, "a value in Latin-1", b"X-A: \xe4\xf6\xfc"),
        header(End::Taken, "an unknown Expect", "Expect: the-unexpected"),
        raw(
            End::Taken,
            "header names in any case",
            "POST {target} HTTP/1.1\r\nhOST: {host}\r\ncONTENT-lENGTH: {len}\r\n\r\n{body}",
        ),
        raw(
            End::TakenAndClosed,
            "HTTP/1.0 with one Content-Length, as nginx sends it",
            "POST {target} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{body}",
        ),
        raw(
            End::TakenAndClosed,
            "HTTP/1.0 without a Host",
            "POST {target} HTTP/1.0\r\nContent-Length: {len}\r\n\r\n{body}",
        ),
    ]
}

fn request_lines() -> Vec<Row> {
    use End::{Nothing, Refused, Unrouted};
    vec![
        line(Refused, "absolute target", "POST http://{host}{target} HTTP/1.1"),
        line(
            Refused,
            "absolute target of somebody else",
            "POST http://evil.example{target} HTTP/1.1",
        ),
        line(Refused, "https target", "POST https://{host}{target} HTTP/1.1"),
        line(Refused, "authority target", "POST {host} HTTP/1.1"),
        line(Refused, "CONNECT", "CONNECT {host} HTTP/1.1"),
        line(Refused, "asterisk target", "OPTIONS * HTTP/1.1"),
        line(Refused, "two slashes", "POST /{target} HTTP/1.1"),
        line(Refused, "no slash", "POST wechat/main HTTP/1.1"),
        line(Refused, "at sign for a slash", "POST @evil{target} HTTP/1.1"),
        line(Refused, "fragment", "POST {target}#fragment HTTP/1.1"),
        line(Refused, "backslash", "POST {target}\\ HTTP/1.1"),
        line(Refused, "control byte in the target", b"POST {target}&a=\x01 HTTP/1.1"),
        line(Refused, "NUL in the target", b"POST {target}&a=\0 HTTP/1.1"),
        line(Refused, "DEL in the target", b"POST {target}&a=\x7f HTTP/1.1"),
        line(Refused, "UTF-8 in the target", "POST {target}&a=ä HTTP/1.1"),
        line(Refused, "no UTF-8 in the target", b"POST {target}&a=\xff HTTP/1.1"),
        line(Refused, "quotes in the target", "POST {target}&a=\"b\" HTTP/1.1"),
        line(Refused, "quotes in the path", "POST /\"wechat\" HTTP/1.1"),
        line(Refused, "angle brackets in the target", "POST {target}&a=<b> HTTP/1.1"),
        line(Refused, "CR in the target", "POST {target}&a=\rb HTTP/1.1"),
        line(Refused, "blank in the target", "POST {target}&a= b HTTP/1.1"),
        line(Refused, "TAB in the target", "POST {target}&a=\tb HTTP/1.1"),
        line(Refused, "no target", "POST HTTP/1.1"),
        line(Refused, "empty target", "POST  HTTP/1.1"),
        line(Refused, "two blanks after the method", "POST  {target} HTTP/1.1"),
        line(Refused, "two blanks before the version", "POST {target}  HTTP/1.1"),
        line(Refused, "blank after the version", "POST {target} HTTP/1.1 "),
        line(Refused, "TABs for blanks", "POST\t{target}\tHTTP/1.1"),
        line(Refused, "blank before the method", " POST {target} HTTP/1.1"),
        line(Refused, "no method", "{target} HTTP/1.1"),
        line(Refused, "quotes in the method", "\"POST\" {target} HTTP/1.1"),
        line(Refused, "control byte in the method", b"PO\x01ST {target} HTTP/1.1"),
        line(Refused, "HTTP/1.2", "POST {target} HTTP/1.2"),
        line(Refused, "HTTP/2.0", "POST {target} HTTP/2.0"),
        line(Refused, "HTTP/0.9 by name", "POST {target} HTTP/0.9"),
        line(Refused, "HTTP/1", "POST {target} HTTP/1"),
        line(Refused, "HTTP/1.10", "POST {target} HTTP/1.10"),
        line(Refused, "HTTP/01.1", "POST {target} HTTP/01.1"),
        line(Refused, "version in lower case", "POST {target} http/1.1"),
        line(Refused, "another protocol", "POST {target} ICY/1.1"),
        line(Refused, "no version", "POST {target}"),
        raw(Refused, "HTTP/0.9", "GET {target}\r\n\r\n"),
        raw(Refused, "HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        raw(Refused, "TLS to a plain port", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n"),
        raw(Refused, "another protocol's greeting", "EHLO evil.example\r\n\r\n"),
        line(Refused, "an empty line more than one first", "\r\n\r\n\r\nPOST {target} HTTP/1.1"),
        line(Unrouted(405), "TRACE", "TRACE {target} HTTP/1.1"),
        line(Unrouted(405), "CONNECT with a path", "CONNECT {target} HTTP/1.1"),
        line(Unrouted(405), "method in lower case", "post {target} HTTP/1.1"),
        line(Unrouted(405), "unknown method", "PROPFIND {target} HTTP/1.1"),
        line(Unrouted(404), "path in another spelling", "POST /wechat/%6dain HTTP/1.1"),
        line(Unrouted(404), "path with dots", "POST /wechat/./main HTTP/1.1"),
        line(Unrouted(404), "path with a way back", "POST /wechat/main/../main HTTP/1.1"),
        line(Unrouted(404), "path parameter", "POST /wechat/main;a=b HTTP/1.1"),
        leaving(raw(Nothing, "half a request line", "POST {target}")),
        leaving(raw(
            Nothing,
            "half a header",
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Le",
        )),
        leaving(raw(Nothing, "no byte at all", "")),
    ]
}

fn headers() -> Vec<Row> {
    use End::Refused;
    let post = "POST {target} HTTP/1.1\r\n";
    let rest = "Content-Length: {len}\r\n\r\n{body}";
    let huge = format!("X-A: {}", "a".repeat(17 * 1024));
    let many: String = (0..300).map(|n| format!("X-{n}: a\r\n")).collect();
    let long = format!("POST {{target}}&a={} HTTP/1.1", "a".repeat(17 * 1024));
    vec![
        raw(Refused, "no Host", format!("{post}{rest}")),
        raw(Refused, "empty Host", format!("{post}Host:\r\n{rest}")),
        raw(Refused, "blank Host", format!("{post}Host: \t \r\n{rest}")),
        raw(Refused, "Host with a path", format!("{post}Host: {{host}}/a\r\n{rest}")),
        raw(Refused, "Host with a user", format!("{post}Host: a@{{host}}\r\n{rest}")),
        raw(Refused, "two hosts in one line", format!("{post}Host: {{host}}, evil\r\n{rest}")),
        header(Refused, "Host twice", "Host: evil.example"),
        header(Refused, "Host twice, alike", "Host: {host}"),
        header(Refused, "Host twice, in another case", "hOsT: {host}"),
        header(Refused, "underscore in a name", "X_Forwarded_For: 203.0.113.9"),
        header(Refused, "underscore in Content_Length", "Content_Length: 0"),
        header(Refused, "blank before the colon", "X-A : b"),
        header(Refused, "TAB before the colon", "X-A\t: b"),
        header(Refused, "blank in a name", "X A: b"),
        header(Refused, "no colon", "X-A"),
        header(Refused, "no name", ": b"),
        header(Refused, "NUL in a name", b"X-\0A: b"),
        header(Refused, "control byte in a name", b"X-\x01A: b"),
        header(Refused, "UTF-8 in a name", "X-Ä: b"),
        header(Refused, "quotes in a name", "\"X-A\": b"),
        header(Refused, "NUL in a value", b"X-A: \0b"),
        header(Refused, "control byte in a value", b"X-A: b\x01"),
        header(Refused, "DEL in a value", b"X-A: b\x7f"),
        header(Refused, "folded line", "X-A: b\r\n c"),
        header(Refused, "folded line with a TAB", "X-A: b\r\n\tc"),
        header(Refused, "folded Content-Length", "Content-Length:\r\n 0"),
        raw(Refused, "folded first line", format!("{post} Host: {{host}}\r\n{rest}")),
        header(Refused, "bare LF after a header", "X-A: b\nX-C: d"),
        header(Refused, "bare CR in a value", "X-A: b\rX-C: d"),
        header(Refused, "bare CR in a name", "X\r-A: b"),
        header(Refused, "CR CR LF", "X-A: b\r"),
        raw(
            Refused,
            "bare LF after the request line",
            format!("POST {{target}} HTTP/1.1\nHost: {{host}}\r\n{rest}"),
        ),
        raw(
            Refused,
            "bare LF everywhere",
            "POST {target} HTTP/1.1\nHost: {host}\nContent-Length: {len}\n\n{body}",
        ),
        framed(Refused, "bare LF for the empty line", "Content-Length: {len}\r\n\n{body}"),
        header(Refused, "Upgrade", "Connection: Upgrade\r\nUpgrade: websocket"),
        header(
            Refused,
            "Upgrade to HTTP/2",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        ),
        header(Refused, "a huge header", huge),
        line(Refused, "a huge target", long),
        header(Refused, "300 headers", many.trim_end()),
    ]
}

fn smuggling() -> Vec<Row> {
    use End::Refused;
    let te =
        |value: &str| format!("Transfer-Encoding: {value}\r\n\r\n{{chunk}}0\r\n\r\n").into_bytes();
    vec![
        framed(
            Refused,
            "CL.TE",
            "Content-Length: {len}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len}\r\n\r\n{body}",
        ),
        framed(
            Refused,
            "TE.CL",
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunk}0\r\n\r\n",
        ),
        framed(
            Refused,
            "CL.TE, well meant",
            "Content-Length: {len}\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n",
        ),
        framed(
            Refused,
            "TE.TE, the second hidden",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n{chunk}0\r\n\r\n",
        ),
        framed(
            Refused,
            "TE.TE, alike",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n",
        ),
        framed(
            Refused,
            "CL.0 by identity",
            "Transfer-Encoding: identity\r\nContent-Length: {len}\r\n\r\n{body}",
        ),
        framed(Refused, "chunked and identity", te("chunked, identity")),
        framed(Refused, "identity and chunked", te("identity, chunked")),
        framed(Refused, "gzip and chunked", te("gzip, chunked")),
        framed(Refused, "chunked twice in one line", te("chunked, chunked")),
        framed(Refused, "chunked in quotes", te("\"chunked\"")),
        framed(Refused, "chunked with a comma", te("chunked,")),
        framed(Refused, "xchunked", te("xchunked")),
        framed(Refused, "chunked with a parameter", te("chunked;q=1")),
        framed(Refused, "chunked after a vertical tab", te("\x0bchunked")),
        framed(Refused, "chunked before a NUL", te("chunked\0")),
        framed(Refused, "empty Transfer-Encoding", te("")),
        framed(
            Refused,
            "Transfer-Encoding with a blank before the colon",
            "Transfer-Encoding : chunked\r\n\r\n{chunk}0\r\n\r\n",
        ),
        framed(
            Refused,
            "Transfer_Encoding",
            "Transfer_Encoding: chunked\r\nContent-Length: {len}\r\n\r\n{body}",
        ),
        framed(
            Refused,
            "folded Transfer-Encoding",
            "Transfer-Encoding:\r\n chunked\r\n\r\n{chunk}0\r\n\r\n",
        ),
        raw(
            Refused,
            "HTTP/1.0 with Transfer-Encoding",
            "POST {target} HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n",
        ),
        raw(
            Refused,
            "HTTP/1.0 with both",
            "POST {target} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {len}\r\nTransfer-Encoding: chunked\r\n\r\n{body}",
        ),
        raw(
            Refused,
            "HTTP/1.0 with two lengths",
            "POST {target} HTTP/1.0\r\nContent-Length: {len}\r\nContent-Length: {len}\r\n\r\n{body}",
        ),
        header(Refused, "two lengths", "Content-Length: 0"),
        header(Refused, "two lengths, alike", "Content-Length: {len}"),
        framed(Refused, "two lengths in one line", "Content-Length: {len}, {len}\r\n\r\n{body}"),
        framed(Refused, "length with a sign", "Content-Length: +{len}\r\n\r\n{body}"),
        framed(Refused, "negative length", "Content-Length: -{len}\r\n\r\n{body}"),
        framed(Refused, "empty length", "Content-Length:\r\n\r\n{body}"),
        framed(Refused, "blank length", "Content-Length: \t\r\n\r\n{body}"),
        framed(Refused, "length with a blank in it", "Content-Length: 1 {len}\r\n\r\n{body}"),
        framed(Refused, "length in hex", "Content-Length: 0x{hex}\r\n\r\n{body}"),
        framed(Refused, "length with a fraction", "Content-Length: {len}.0\r\n\r\n{body}"),
        framed(Refused, "length with a letter", "Content-Length: {len}b\r\n\r\n{body}"),
        framed(
            Refused,
            "length beyond 64 bits",
            "Content-Length: 18446744073709551617\r\n\r\n{body}",
        ),
        framed(
            Refused,
            "length that wraps to the right one",
            "Content-Length: 18446744073709551616{len}\r\n\r\n{body}",
        ),
        framed(
            Refused,
            "length with 20 zeros",
            "Content-Length: 00000000000000000000{len}\r\n\r\n{body}",
        ),
        framed(
            End::Rejected("rejected_size", 413),
            "length of 19 nines",
            "Content-Length: 9999999999999999999\r\n\r\n{body}",
        ),
    ]
}

fn bodies() -> Vec<Row> {
    use End::{Gone, Judged, Rejected, TakenAndClosed};
    const BAD: End = Rejected("rejected_malformed", 400);
    let long = format!("{{chunk}}0;{}\r\n\r\n", "a".repeat(1024));
    let endless = format!("{{chunk}}0;{}", "a".repeat(80 * 1024));
    vec![
        chunked(BAD, "chunk size that is no number", "xyz\r\n{body}\r\n0\r\n\r\n"),
        chunked(BAD, "empty chunk size", "\r\n{body}\r\n0\r\n\r\n"),
        chunked(BAD, "negative chunk size", "-{hex}\r\n{body}\r\n0\r\n\r\n"),
        chunked(BAD, "chunk size with a sign", "+{hex}\r\n{body}\r\n0\r\n\r\n"),
        chunked(BAD, "chunk size with 0x", "0x{hex}\r\n{body}\r\n0\r\n\r\n"),
        chunked(BAD, "chunk size after a blank", " {hex}\r\n{body}\r\n0\r\n\r\n"),
        chunked(BAD, "chunk size beyond 64 bits", "1000000000000000{hex}\r\n{body}\r\n0\r\n\r\n"),
        chunked(BAD, "chunk size with an underscore", "0_{hex}\r\n{body}\r\n0\r\n\r\n"),
        chunked(BAD, "bare LF after the chunk size", "{hex}\n{body}\r\n0\r\n\r\n"),
        chunked(BAD, "bare CR in a chunk extension", "{hex};a\rb\r\n{body}\r\n0\r\n\r\n"),
        chunked(BAD, "bare LF after a chunk", "{hex}\r\n{body}\n0\r\n\r\n"),
        chunked(BAD, "chunk longer than its size", "{hex}\r\n{body}XX\r\n0\r\n\r\n"),
        chunked(BAD, "chunk without an end", "{hex}\r\n{body}0\r\n\r\n"),
        chunked(BAD, "endless chunk extension", endless),
        chunked(BAD, "chunked and empty", "0\r\n\r\n"),
        framed(BAD, "no length, and bytes behind the header", "\r\n{body}"),
        framed(Judged("rejected_malformed", 400), "length 0", "Content-Length: 0\r\n\r\n"),
        leaving(chunked(Gone, "no last chunk", "{chunk}")),
        leaving(chunked(Gone, "no CR LF after the last chunk", "{chunk}0\r\nXX")),
        leaving(chunked(Gone, "a chunk larger than anything", "7fffffffffffffff\r\n{body}")),
        leaving(chunked(Gone, "half a chunk", "{hex}\r\n<xml>")),
        leaving(framed(
            Gone,
            "body shorter than its length",
            "Content-Length: 1{len}\r\n\r\n{body}",
        )),
        leaving(framed(Gone, "no body", "Content-Length: {len}\r\n\r\n")),
        chunked(TakenAndClosed, "trailers", "{chunk}0\r\nX-A: b\r\n\r\n"),
        // Where these end is in dispute, so nothing is believed that follows on the same connection.
        chunked(
            TakenAndClosed,
            "bare LF in a chunk extension",
            "{hex};a\nb\r\n{body}\r\n0\r\n\r\n",
        ),
        chunked(TakenAndClosed, "a long chunk extension", long),
        framed(
            TakenAndClosed,
            "garbage behind the body",
            "Content-Length: {len}\r\n\r\n{body}GARBAGE",
        ),
        framed(
            TakenAndClosed,
            "a second request behind the body",
            "Content-Length: {len}\r\n\r\n{body}POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len}\r\n\r\n{body}",
        ),
        chunked(
            TakenAndClosed,
            "a second request behind the last chunk",
            "{chunk}0\r\n\r\nGET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        ),
    ]
}

fn table() -> Vec<Row> {
    [controls(), request_lines(), headers(), smuggling(), bodies()].into_iter().flatten().collect()
}

/// The request with a fresh message in the places of the words in braces.
fn fill(request: &[u8], wechat: &Wechat, edge: &Edge) -> Vec<u8> {
    let sealed = wechat.seal(&Message::text("hi"));
    let (len, hex) = (sealed.body.len().to_string(), format!("{:x}", sealed.body.len()));
    let body = String::from_utf8(sealed.body).unwrap();
    let words = [
        ("{target}", format!("/wechat/main?{}", sealed.query)),
        ("{host}", edge.callback.to_string()),
        ("{len}", len),
        ("{chunk}", format!("{hex}\r\n{body}\r\n")),
        ("{hex}", hex),
        ("{body}", body),
    ];
    let mut filled = request.to_vec();
    for (word, text) in words {
        while let Some(at) = find(&filled, word.as_bytes()) {
            filled.splice(at..at + word.len(), text.bytes());
        }
    }
    filled
}

/// What came back, and whether the connection ended after it without another word.
fn exchange(edge: &Edge, request: &[u8], leaves: bool) -> (Result<Response, NoAnswer>, bool) {
    let mut connection = Connection::to(edge.callback);
    // It can be refused before it is sent whole.
    let _refused = connection.send(request);
    if leaves {
        connection.finish_sending().unwrap();
    }
    let answer = connection.response(PATIENCE);
    let patience = if answer.is_ok() { Duration::from_millis(500) } else { PATIENCE };
    let closed = connection.closed(patience) == Ok(Vec::new());
    (answer, closed)
}

/// What is wrong with what came of a row, if anything.
fn judge(row: &Row, answer: &Result<Response, NoAnswer>, closed: bool) -> Result<(), String> {
    let status = answer.as_ref().ok().map(|answer| answer.status);
    let (expected, closes) = match row.end {
        End::Refused => (Some(400), true),
        End::Unrouted(status) => (Some(status), false),
        End::Rejected(_, status) => (Some(status), true),
        End::Judged(_, status) => (Some(status), false),
        End::Taken => (Some(200), false),
        End::TakenAndClosed => (Some(200), true),
        End::Nothing | End::Gone => (None, true),
    };
    if status != expected {
        return Err(format!("{status:?} instead of {expected:?}"));
    }
    if closes && !closed {
        return Err("the connection goes on".to_owned());
    }
    match answer {
        Ok(answer) if answer.status >= 400 && !answer.body.is_empty() => {
            Err("a refusal with a body".to_owned())
        }
        Err(why) if *why != NoAnswer::Closed(Vec::new()) => Err(format!("{why:?}")),
        _ => Ok(()),
    }
}

#[test]
fn none_of_them_reaches_the_app_and_each_is_counted_once() {
    let app = App::answering(Answer::text("hi"));
    let edge = edge().mode(Mode::Plain).app(&app).start();
    let wechat = edge.wechat();
    let rows = table();
    assert!(rows.len() >= 50, "{}", rows.len());
    let mut expected = Tally::default();
    let mut calls = 0;
    let mut wrong = Vec::new();
    for row in &rows {
        let (answer, closed) = exchange(&edge, &fill(&row.request, &wechat, &edge), row.leaves);
        match row.end {
            End::Refused => expected.add("400"),
            End::Unrouted(status) => expected.add(&status.to_string()),
            End::Rejected(outcome, _) | End::Judged(outcome, _) => expected.add(outcome),
            End::Taken | End::TakenAndClosed => {
                expected.add("replied");
                calls += 1;
            }
            End::Gone => expected.add("client_gone"),
            End::Nothing => {}
        }
        let mut fault = judge(row, &answer, closed).err();
        if let Err(counted) = expected.agrees(&edge) {
            fault
                .get_or_insert_default()
                .push_str(&format!(" counted: {counted:?}, not {expected:?}"));
            expected = counted;
        }
        if app.calls() != calls {
            fault.get_or_insert_default().push_str(&format!(" {} calls, not {calls}", app.calls()));
            calls = app.calls();
        }
        wrong.extend(fault.map(|fault| format!("{}: {fault}", row.name)));
        if wrong.len() == 20 {
            break;
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert_eq!(edge.count("wxedge_panics_total", &[]), 0.0);
}

#[test]
fn the_admin_listener_is_as_strict() {
    let edge = edge().mode(Mode::Plain).start();
    let wechat = edge.wechat();
    let refused = table().into_iter().filter(|row| row.end == End::Refused);
    for row in refused {
        let mut connection = Connection::to(edge.admin);
        let _refused = connection.send(fill(&row.request, &wechat, &edge));
        let answer = connection.response(PATIENCE);
        assert_eq!(answer.map(|answer| answer.status), Ok(400), "{}", row.name);
        assert_eq!(connection.closed(PATIENCE), Ok(Vec::new()), "{}", row.name);
    }
    assert_eq!(
        Tally::of(&edge),
        Tally::default(),
        "operators' mistakes are no requests of WeChat's"
    );
}

#[test]
fn a_client_that_waits_to_be_asked_for_the_body_is_asked() {
    let app = App::answering(Answer::text("hi"));
    let edge = edge().app(&app).start();
    let sealed = edge.wechat().seal(&Message::text("hi"));
    let head = |version: &str| {
        let (target, length) = (format!("/wechat/main?{}", sealed.query), sealed.body.len());
        format!(
            "POST {target} HTTP/{version}\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut connection = Connection::to(edge.callback);
    connection.send(head("1.1")).unwrap();
    assert_eq!(connection.response_head(PATIENCE).unwrap().status, 100);
    assert_eq!(app.calls(), 0);
    connection.send(&sealed.body).unwrap();
    assert_eq!(connection.response_head(PATIENCE).unwrap().status, 200);
    assert_eq!(app.calls(), 1);

    // HTTP/1.0 knows no such answer: the first that comes is the last.
    let mut connection = Connection::to(edge.callback);
    connection.send([head("1.0").as_bytes(), &sealed.body].concat()).unwrap();
    assert_eq!(connection.response_head(PATIENCE).unwrap().status, 200);
    edge.assert_outcomes(&[("joined", 1), ("replied", 1)]);

    // Nor is anybody asked for a body that will be refused.
    let mut connection = Connection::to(edge.callback);
    let large = head("1.1").replace("Content-Length: ", "Content-Length: 99999");
    connection.send(large).unwrap();
    assert_eq!(connection.response_head(PATIENCE).unwrap().status, 413);
}
