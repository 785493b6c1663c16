//! Replies in bytes, without a socket: whatever comes, in whatever pieces.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::super::incoming::KEPT;
use super::*;

const LIMIT: usize = 4 << 20;

/// Gives out one piece with each read, and then the end.
#[derive(Default)]
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    /// How many bytes there was room for at most.
    most_room: usize,
}

impl Pieces {
    fn of(bytes: &[u8], size: usize) -> Pieces {
        Pieces {
            pieces: bytes.chunks(size.max(1)).map(<[u8]>::to_vec).collect(),
            most_room: 0,
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.most_room = self.most_room.max(into.len());
        let Some(piece) = self.pieces.front_mut() else {
            return Ok(0);
        };
        let some = piece.len().min(into.len());
        into[..some].copy_from_slice(&piece[..some]);
        piece.drain(..some);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Ok(some)
    }
}

/// Status, body, and whether the connection is kept.
type InShort = Result<(u16, Vec<u8>, bool), String>;

fn read_with(input: &mut Incoming, source: &mut Pieces, limit: usize) -> InShort {
    input.prepare().unwrap();
    match input.reply(source, limit, &mut String::new()) {
        Ok(reply) => Ok((
            reply.status,
            reply.body,
            reply.keeps && source.pieces.is_empty(),
        )),
        Err(Broken::TooLarge) => Err("too large".to_owned()),
        Err(Broken::Io(error)) => Err(error.to_string()),
    }
}

fn read(bytes: &[u8], limit: usize) -> InShort {
    read_with(
        &mut Incoming::default(),
        &mut Pieces::of(bytes, bytes.len()),
        limit,
    )
}

/// A head, its end included.
fn head(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n")
}

fn length(value: &str) -> String {
    head(&format!("Content-Length: {value}"))
}

/// A reply in chunks.
fn chunked(body: &str) -> String {
    head("Transfer-Encoding: chunked") + body
}

/// Whole replies, and what they say.
fn whole() -> Vec<(String, u16, &'static str, bool)> {
    let ok = |text: String, body, keeps| (text, 200, body, keeps);
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nLink: a\r\n\r\n";
    let until_end = "HTTP/1.1 200 OK\r\n\r\nto the end";
    vec![
        ok(length("4") + "true", "true", true),
        ok(length("0"), "", true),
        ok(length("004") + "true", "true", true),
        ok(head("cOnTeNt-LeNgTh:4") + "true", "true", true),
        ok(head("Content-Length: \t 4 \t ") + "true", "true", true),
        ok(head("X: \u{e9}\r\nContent-Length: 1") + "x", "x", true),
        // A line may end with a line feed alone (RFC 9112, 2.2), in a head.
        ok(
            "HTTP/1.1 200 OK\nContent-Length: 2\n\nok".to_owned(),
            "ok",
            true,
        ),
        ok(
            "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            "ok",
            true,
        ),
        // What keeps a connection, and what does not.
        ok(
            head("Connection: close\r\nContent-Length: 2") + "ok",
            "ok",
            false,
        ),
        ok(
            head("Connection: x, CLOSE\r\nContent-Length: 2") + "ok",
            "ok",
            false,
        ),
        ok(
            head("Connection: keep-alive\r\nContent-Length: 2") + "ok",
            "ok",
            true,
        ),
        ok(
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            "ok",
            false,
        ),
        ok(
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            "ok",
            true,
        ),
        // Until the end of the connection.
        ok(until_end.to_owned(), "to the end", false),
        ok(until_end.replace("1.1", "1.0"), "to the end", false),
        ok(head("Connection: keep-alive") + "x", "x", false),
        ok(head("X: y"), "", false),
        // More than the reply.
        ok(length("4") + "trueHTTP/1.1 200 OK\r\n\r\n", "true", false),
        ok(length("4") + "true\r\n", "true", false),
        ok(chunked("0\r\n\r\nx"), "", false),
        // Chunks.
        ok(chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "abcde", true),
        ok(chunked("0\r\n\r\n"), "", true),
        ok(
            chunked("0003;a=b\r\nabc\r\n00;c=\"d\"\r\n\r\n"),
            "abc",
            true,
        ),
        ok(chunked("A \r\n0123456789\r\n0\r\n\r\n"), "0123456789", true),
        ok(
            chunked("a\t;x\r\n0123456789\r\n0\r\nX: y\r\nContent-Length: 7\r\n\r\n"),
            "0123456789",
            true,
        ),
        ok(
            head("Transfer-Encoding: CHUNKED") + "1\r\n\r\r\n0\r\n\r\n",
            "\r",
            true,
        ),
        // No body, whatever the head says.
        ("HTTP/1.1 204 X\r\n\r\n".to_owned(), 204, "", true),
        (
            "HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n".to_owned(),
            204,
            "",
            true,
        ),
        (
            "HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n".to_owned(),
            304,
            "",
            true,
        ),
        (
            "HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            304,
            "",
            true,
        ),
        // Interim replies.
        ok(interim.to_owned() + &length("4") + "true", "true", true),
        (
            interim.to_owned() + "HTTP/1.1 500 X\r\nContent-Length: 1\r\n\r\nx",
            500,
            "x",
            true,
        ),
        ok(
            "HTTP/1.1 100 C\r\nContent-Length: 9\r\n\r\n".repeat(8) + &length("1") + "x",
            "x",
            true,
        ),
    ]
}

/// What is no reply, or none that the library understands without doubt, and a word of the reason.
fn broken() -> Vec<(String, &'static str)> {
    let end = "0\r\n\r\n";
    vec![
        // The end of the connection comes too early.
        (String::new(), "end of file"),
        ("HTTP/1.1 200 OK\r\nConte".to_owned(), "end of file"),
        (length("9") + "true", "end of file"),
        (chunked("3\r\nab"), "end of file"),
        (chunked("3\r\nabc\r\n"), "end of file"),
        (chunked("3\r\nabc\r\n0\r\n"), "end of file"),
        (chunked("3\r\nabc\r\n0\r\nX: y\r\n"), "end of file"),
        ("HTTP/1.1 100 C\r\n\r\n".to_owned(), "end of file"),
        // No HTTP, or another one.
        ("\u{15}\u{3}\u{3}\0\u{2}\u{2}(".to_owned(), "not HTTP"),
        ("SSH-2.0-OpenSSH_9\r\n\r\n".to_owned(), "not HTTP"),
        ("HTTP/2 200 OK\r\n\r\n".to_owned(), "not HTTP"),
        ("HTTP/1.2 200 OK\r\n\r\n".to_owned(), "not HTTP"),
        ("\r\n".to_owned() + &length("2") + "ok", "blank line"),
        ("HTTP/1.1 20 OK\r\n\r\n".to_owned(), "not HTTP"),
        ("HTTP/1.1 099 OK\r\n\r\n".to_owned(), "no status"),
        ("HTTP/1.1 2000 OK\r\n\r\n".to_owned(), "not HTTP"),
        (
            "HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n".to_owned(),
            "changes the protocol",
        ),
        ("HTTP/1.1 100 C\r\n\r\n".repeat(9) + &length("0"), "interim"),
        // Lines that are none.
        (head("X : y\r\nContent-Length: 0"), "not HTTP"),
        (head("X: y\r\n z\r\nContent-Length: 0"), "not HTTP"),
        (head(" X: y"), "not HTTP"),
        (head("X: \0"), "not HTTP"),
        (head("X\0: y"), "not HTTP"),
        (head("no colon"), "not HTTP"),
        (head(": y"), "not HTTP"),
        (head("X: y\rContent-Length: 0"), "not HTTP"),
        (head(&"X: y\r\n".repeat(200)), "too many headers"),
        // Two readings of the end.
        (length("4, 4") + "true", "length is unclear"),
        (length("") + "true", "length is unclear"),
        (length("-4") + "true", "length is unclear"),
        (length("+4") + "true", "length is unclear"),
        (length("0x4") + "true", "length is unclear"),
        (length("4 4") + "true", "length is unclear"),
        (length("99999999999999999999") + "true", "length is unclear"),
        (
            length("4\r\nContent-Length: 4") + "true",
            "length is unclear",
        ),
        (
            length("4\r\nContent-Length: 5") + "true",
            "length is unclear",
        ),
        (
            length("4\r\nTransfer-Encoding: chunked") + end,
            "length is unclear",
        ),
        (
            head("Transfer-Encoding: chunked\r\nContent-Length: 4") + end,
            "length is unclear",
        ),
        (head("Transfer-Encoding: gzip") + "x", "transfer coding"),
        (
            head("Transfer-Encoding: gzip, chunked") + end,
            "transfer coding",
        ),
        (
            head("Transfer-Encoding: chunked, chunked") + end,
            "transfer coding",
        ),
        (head("Transfer-Encoding: identity") + "x", "transfer coding"),
        (head("Transfer-Encoding:") + "x", "transfer coding"),
        (
            head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked") + end,
            "transfer coding",
        ),
        (chunked(end).replace("1.1", "1.0"), "transfer coding"),
        // Chunks that are none.
        (chunked("\r\n"), "without a size"),
        (chunked(";x\r\n\r\n"), "without a size"),
        (chunked(" 0\r\n\r\n"), "without a size"),
        (chunked("-1\r\n\r\n"), "without a size"),
        (chunked("+1\r\nx\r\n0\r\n\r\n"), "without a size"),
        (chunked("0x1\r\nx\r\n0\r\n\r\n"), "without a size"),
        (chunked("g\r\n\r\n"), "without a size"),
        (chunked("1 1\r\nx\r\n0\r\n\r\n"), "without a size"),
        (chunked("10000000000000000\r\nx"), "without a size"),
        (chunked("FFFFFFFFFFFFFFFF\r\nx"), "too large"),
        (chunked("1\nx\r\n0\r\n\r\n"), "has no end"),
        (chunked("1;a\nb\r\nx\r\n0\r\n\r\n"), "has no end"),
        (chunked("1;a\rb\r\nx\r\n0\r\n\r\n"), "without a size"),
        (
            chunked(&format!("1;{}\r\nx", "a".repeat(1_100))),
            "between chunks",
        ),
        (chunked(&"0".repeat(30_000)), "too long"),
        (chunked("2\r\nabc\r\n0\r\n\r\n"), "longer than its size"),
        (chunked("3\r\nabc0\r\n\r\n"), "longer than its size"),
        (chunked("0\r\nno colon\r\n\r\n"), "not HTTP"),
        (chunked("0\r\nX: \0\r\n\r\n"), "not HTTP"),
        (
            chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(200))),
            "trailers",
        ),
    ]
}

#[test]
fn a_reply_ends_where_its_head_says() {
    for (text, status, body, keeps) in whole() {
        let expected = Ok((status, body.as_bytes().to_vec(), keeps));
        assert_eq!(read(text.as_bytes(), LIMIT), expected, "{text:?}");
    }
}

#[test]
fn what_is_no_reply_is_an_error_that_says_why() {
    for (text, why) in broken() {
        let told = read(text.as_bytes(), LIMIT);
        assert!(
            matches!(&told, Err(told) if told.contains(why)),
            "{text:?}: {told:?}"
        );
    }
}

/// Two pieces, cut at each place, and pieces of one to nine bytes.
#[test]
fn the_pieces_in_which_a_reply_comes_change_nothing() {
    let whole = whole().into_iter().map(|(text, ..)| text);
    let broken = broken().into_iter().map(|(text, _)| text);
    for text in whole.chain(broken) {
        let bytes = text.as_bytes();
        let expected = read(bytes, LIMIT);
        let mut input = Incoming::default();
        let mut check = |mut source: Pieces, how: &dyn std::fmt::Debug| {
            let told = read_with(&mut input, &mut source, LIMIT);
            match &expected {
                Ok(_) => assert_eq!(told, expected, "{text:?}, {how:?}"),
                Err(_) => assert!(told.is_err(), "{text:?}, {how:?}: {told:?}"),
            }
        };
        for at in 0..bytes.len().min(400) {
            let (one, other) = bytes.split_at(at);
            let both = [one, other].into_iter().filter(|piece| !piece.is_empty());
            let source = Pieces {
                pieces: both.map(<[u8]>::to_vec).collect(),
                most_room: 0,
            };
            check(source, &at);
        }
        for size in 1..10 {
            check(Pieces::of(bytes, size), &size);
        }
    }
}

#[test]
fn a_reply_as_large_as_the_limit_is_read_and_no_larger_one() {
    let until_close = "HTTP/1.1 200 OK\r\n\r\n".to_owned();
    for size in [10, 5_000, 70_000, 200_000] {
        for at_once in [1, 999, 1 << 20] {
            let texts = |more: usize| {
                let body = "x".repeat(size + more);
                let split = size / 3;
                let (a, b) = body.split_at(split);
                [
                    length(&body.len().to_string()) + &body,
                    until_close.clone() + &body,
                    chunked(&format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
                    chunked(&format!(
                        "{split:x}\r\n{a}\r\n{:X}\r\n{b}\r\n0\r\n\r\n",
                        b.len()
                    )),
                ]
            };
            for (fits, not) in texts(0).iter().zip(texts(1)) {
                let mut input = Incoming::default();
                let mut told = |text: &str| {
                    read_with(&mut input, &mut Pieces::of(text.as_bytes(), at_once), size)
                };
                let (_, body, _) = told(fits).unwrap();
                assert_eq!(body.len(), size);
                assert!(body.iter().all(|byte| *byte == b'x'));
                assert_eq!(told(&not), Err("too large".to_owned()));
            }
        }
    }
}

#[test]
fn a_head_has_16_kb_and_no_more() {
    let of = |size: usize| {
        let rest = length("4").len() + "X: \r\n".len();
        let text = head(&format!(
            "X: {}\r\nContent-Length: 4",
            "x".repeat(size - rest)
        ));
        assert_eq!(text.len(), size);
        text + "true"
    };
    let mut input = Incoming::default();
    for at_once in [1, 1_000, 1 << 20] {
        let mut told = |size: usize| {
            let told = read_with(
                &mut input,
                &mut Pieces::of(of(size).as_bytes(), at_once),
                LIMIT,
            );
            (told, input.memory())
        };
        let (fits, memory) = told(16 << 10);
        assert_eq!(fits, Ok((200, b"true".to_vec(), true)));
        assert!(memory <= KEPT, "{memory}");
        let (told, _) = told((16 << 10) + 1);
        assert!(
            matches!(&told, Err(why) if why.contains("more than 16 KB")),
            "{told:?}"
        );
    }
}

/// No room is made for what only a length promises.
#[test]
fn a_length_is_not_trusted_before_the_bytes_come() {
    let mebibytes = (20 << 20).to_string();
    for text in [
        length(&mebibytes) + "x",
        chunked("1400000\r\nx"),
        "HTTP/1.1 200 OK\r\n\r\nx".to_owned(),
    ] {
        let mut source = Pieces::of(text.as_bytes(), 1 << 20);
        let _ = read_with(&mut Incoming::default(), &mut source, 32 << 20);
        assert!(
            source.most_room <= 64 << 10,
            "{} for {text:?}",
            source.most_room
        );
    }
}

/// Work that grows with the square of the length would take hours.
#[test]
fn bytes_that_come_one_by_one_cost_no_more_each() {
    let begun = Instant::now();
    let body = "x".repeat(2 << 20);
    let mut chunks = String::new();
    for _ in 0..200_000 {
        write!(chunks, "1;e\r\nx\r\n").unwrap();
    }
    let mut lines = String::new();
    for n in 0..120 {
        write!(lines, "X-{n}: {}\r\n", "y".repeat(120)).unwrap();
    }
    let long = head(&format!("{lines}Content-Length: 0"));
    let mut input = Incoming::default();
    let mut told = |text: &str| read_with(&mut input, &mut Pieces::of(text.as_bytes(), 1), LIMIT);
    for text in [
        length(&body.len().to_string()) + &body,
        format!("HTTP/1.1 200 OK\r\n\r\n{body}"),
        chunked(&format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
        chunked(&format!("{chunks}0\r\n\r\n")),
    ] {
        assert!(told(&text).unwrap().1.len() >= 200_000);
    }
    for _ in 0..200 {
        assert_eq!(told(&long), Ok((200, Vec::new(), true)));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(120),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn the_date_and_the_index_are_those_of_the_reply() {
    let mut input = Incoming::default();
    let mut date = String::new();
    let mut told = |text: String| {
        input.prepare().unwrap();
        let reply = input.reply(&mut Pieces::of(text.as_bytes(), 7), LIMIT, &mut date);
        (reply.unwrap().index, date.clone())
    };
    let now = "Fri, 27 Nov 2026 01:16:20 GMT";
    let both = head(&format!(
        "X-Consul-Index: 24\r\nDate: {now}\r\nContent-Length: 0"
    ));
    assert_eq!(told(both), (Some(24), now.to_owned()));
    assert_eq!(told(length("0")), (None, String::new()));
    for bad in ["", "-1", "1.5", "99999999999999999999", "x"] {
        let text = head(&format!("X-Consul-Index: {bad}\r\nContent-Length: 0"));
        assert_eq!(told(text).0, None, "{bad}");
    }
    let long = head(&format!("Date: {}\r\nContent-Length: 0", "x".repeat(9_000)));
    assert_eq!(told(long), (None, String::new()));
}
