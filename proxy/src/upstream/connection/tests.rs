use super::{Connection, Stream};
use crate::upstream::{AppAnswer, Failure};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const REQUEST: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n";

/// What `exchange` makes of an app that answers `pieces`, each in a segment of its own, and then closes or waits.
async fn exchange(pieces: Vec<Vec<u8>>, closes: bool) -> (Result<(u16, Vec<u8>), Failure>, bool) {
    let (answer, reusable) = answer(pieces, closes).await;
    (answer.map(|answer| (answer.status, answer.body.to_vec())), reusable)
}

async fn answer(pieces: Vec<Vec<u8>>, closes: bool) -> (Result<AppAnswer, Failure>, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let app = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        // Closing with the request unread would reset the connection.
        stream.read_exact(&mut [0; REQUEST.len()]).unwrap();
        // The edge may have had enough before everything is written.
        let _enough = pieces.iter().try_for_each(|piece| stream.write_all(piece));
        if closes { None } else { Some(stream) }
    });
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let mut connection = Connection::new(Stream::Tcp(stream));
    let answer = connection.exchange(REQUEST).await;
    let reusable = connection.rest();
    drop(connection);
    drop(app.join().unwrap());
    (answer, reusable)
}

#[tokio::test]
async fn answers_are_framed_as_rfc_9112_says() {
    // What the app sends, whether it closes then, the status and body or the failure, whether it is used again.
    type Row<'a> = (&'a str, bool, Result<(u16, &'a str), Failure>, bool);
    let rows: [Row<'_>; 25] = [
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            false,
            Err(Failure::Invalid),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n;x\r\n\r\n",
            false,
            Err(Failure::Invalid),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: TE, close\r\n\r\nhi",
            false,
            Ok((200, "hi")),
            false,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, Ok((200, "hi")), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, Ok((200, "")), true),
        (
            "HTTP/1.1 200\r\ncontent-length: 2\r\nConnection: Close\r\n\r\nhi",
            false,
            Ok((200, "hi")),
            false,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, Ok((200, "hi")), false),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi",
            false,
            Ok((200, "hi")),
            true,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", false, Ok((204, "")), true),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\n!",
            false,
            Ok((500, "!")),
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nto the end", true, Ok((200, "to the end")), false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x=y\r\n!\r\n0\r\n\r\n",
            false,
            Ok((200, "hi!")),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\nTrailer: 1\r\n\r\n",
            false,
            Ok((200, "")),
            true,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi, and more", false, Ok((200, "hi")), false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore",
            false,
            Ok((200, "")),
            false,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", true, Err(Failure::Reset), false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi",
            true,
            Err(Failure::Reset),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
            true,
            Err(Failure::Reset),
            false,
        ),
        ("HTTP/1.1 200", true, Err(Failure::Reset), false),
        ("", true, Err(Failure::Reset), false),
        ("SSH-2.0-OpenSSH\r\n", false, Err(Failure::Invalid), false),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
            false,
            Err(Failure::Invalid),
            false,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi", false, Err(Failure::Invalid), false),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            false,
            Err(Failure::Invalid),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi!!",
            false,
            Err(Failure::Invalid),
            false,
        ),
    ];
    for (sent, closes, expected, reusable) in rows {
        let expected =
            (expected.map(|(status, body)| (status, body.as_bytes().to_vec())), reusable);
        assert_eq!(exchange(vec![sent.as_bytes().to_vec()], closes).await, expected, "{sent:?}");
        // The same in segments of one byte.
        let bytes = sent.bytes().map(|byte| vec![byte]).collect();
        let (answer, _) = exchange(bytes, closes).await;
        assert_eq!(answer, expected.0, "{sent:?} byte by byte");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_invalid() {
    let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
    let line = b"X-Header: 0123456789\r\n".repeat(50);
    let endless = |head: &str, piece: Vec<u8>| {
        let mut pieces = vec![head.as_bytes().to_vec()];
        pieces.resize(40, piece);
        pieces
    };
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", vec![b'x'; 4_096]),
        ("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 0x10000]),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", vec![]),
        ("HTTP/1.1 200 OK\r\n", line),
    ] {
        let (answer, reusable) = exchange(endless(head, piece), true).await;
        assert_eq!((answer, reusable), (Err(Failure::Invalid), false), "{head:?}");
    }
}

#[tokio::test]
async fn who_does_not_take_the_message_may_say_for_how_long() {
    for (head, seconds) in [
        ("HTTP/1.1 503 No\r\nRetry-After: 120\r\n", Some(120)),
        ("HTTP/1.1 429 No\r\nretry-after:  7 \r\n", Some(7)),
        ("HTTP/1.1 302 No\r\nRetry-After: 1000000\r\n", Some(86_400)),
        ("HTTP/1.1 503 No\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", Some(0)),
        ("HTTP/1.1 503 No\r\nRetry-After: soon\r\n", None),
        ("HTTP/1.1 503 No\r\n", None),
        ("HTTP/1.1 200 OK\r\nRetry-After: 120\r\n", None),
        // An interim answer's is not the answer's.
        ("HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\nHTTP/1.1 500 No\r\n", None),
    ] {
        let pieces = vec![format!("{head}Content-Length: 0\r\n\r\n").into_bytes()];
        let (answer, reusable) = answer(pieces, false).await;
        let expected = (Ok(seconds.map(Duration::from_secs)), true);
        assert_eq!((answer.map(|answer| answer.retry_after), reusable), expected, "{head:?}");
    }
}
