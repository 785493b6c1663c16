//! A reply in bytes: its head, and what the head says of the body (RFC 9112, section 6.3). The library is strict where
//! two readings are possible: a wrong end of a reply would make the rest of the body the reply to the next request.

use std::io::{self, Read};
use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Response, Status};

use super::body::{Body, Framing};
use super::incoming::{Broken, Incoming, bad};

const MOST_LINES: usize = 128;

/// The most replies of 1xx before the reply.
const MOST_INTERIM: usize = 8;

/// A longer header `Date` has no date.
const LONGEST_DATE: usize = 64;

/// A complete reply.
#[derive(Debug)]
pub(super) struct WholeReply {
    pub(super) status: u16,
    /// `X-Consul-Index`.
    pub(super) index: Option<u64>,
    pub(super) body: Vec<u8>,
    /// The other side lets the connection serve another request.
    pub(super) keeps: bool,
}

struct Head {
    status: u16,
    index: Option<u64>,
    framing: Framing,
    keeps: bool,
}

impl Incoming {
    /// Reads one whole reply, with a body of at most `limit` bytes. `date` becomes the header `Date`, or empty.
    pub(super) fn reply(
        &mut self,
        source: &mut impl Read,
        limit: usize,
        date: &mut String,
    ) -> Result<WholeReply, Broken> {
        let head = self.head(source, date)?;
        let body = Body::new(limit).read(head.framing, self, source)?;
        // What comes after the reply answers no request.
        let keeps = head.keeps && self.waiting().is_empty();
        self.shrink();
        Ok(WholeReply {
            status: head.status,
            index: head.index,
            body,
            keeps,
        })
    }

    /// The head of the reply, after those of interim replies.
    fn head(&mut self, source: &mut impl Read, date: &mut String) -> io::Result<Head> {
        for _ in 0..=MOST_INTERIM {
            let head = self.one_head(source, date)?;
            match head.status {
                101 => return Err(bad("it changes the protocol, which no request asked for")),
                100..=199 => {}
                _ => return Ok(head),
            }
        }
        Err(bad("interim replies without end"))
    }

    fn one_head(&mut self, source: &mut impl Read, date: &mut String) -> io::Result<Head> {
        if self.waiting().is_empty() {
            self.fill(source)?;
        }
        // The first look parses what has come, which is the whole head as a rule. Later looks wait for the blank line
        // at its end, so bytes that come one by one are parsed no more than twice.
        let mut looked = 0_usize;
        loop {
            let waiting = self.waiting();
            if let [b'\r' | b'\n', ..] = waiting {
                return Err(bad("it begins with a blank line"));
            }
            let news = waiting.get(looked.saturating_sub(2)..).unwrap_or_default();
            if looked == 0 || has_blank_line(news) {
                let mut headers = [const { MaybeUninit::uninit() }; MOST_LINES];
                let mut reply = Response::new(&mut []);
                let parsed = ParserConfig::default().parse_response_with_uninit_headers(
                    &mut reply,
                    waiting,
                    &mut headers,
                );
                match parsed {
                    Ok(Status::Complete(length)) => {
                        let head = judge(&reply, date)?;
                        self.used(length);
                        return Ok(head);
                    }
                    Ok(Status::Partial) => {}
                    Err(why) => return Err(bad(&why.to_string())),
                }
            }
            looked = waiting.len();
            self.fill(source)?;
        }
    }
}

/// Whether a blank line ends in these bytes, which are the new ones, and two before.
fn has_blank_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

fn judge(reply: &Response<'_, '_>, date: &mut String) -> io::Result<Head> {
    let status = reply.code.filter(|code| *code >= 100);
    let status = status.ok_or_else(|| bad("no status"))?;
    let is_modern = reply.version == Some(1);
    let (mut length, mut is_chunked, mut index) = (None, false, None);
    let (mut closes, mut keeps) = (false, is_modern);
    date.clear();
    for Header { name, value } in reply.headers.iter() {
        // The lengths are compared first: most lines are none of these.
        match name.len() {
            4 if name.eq_ignore_ascii_case("Date") && value.len() <= LONGEST_DATE => {
                date.clear();
                date.push_str(text(value));
            }
            10 if name.eq_ignore_ascii_case("Connection") => {
                let words = std::str::from_utf8(value).unwrap_or("close");
                for word in words.split(',').map(str::trim) {
                    closes |= word.eq_ignore_ascii_case("close");
                    keeps |= word.eq_ignore_ascii_case("keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case("Content-Length") => {
                let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
                let number = text(value).parse().ok();
                let first = number.filter(|_| is_number && length.is_none());
                length = Some(first.ok_or_else(|| bad("its length is unclear"))?);
            }
            14 if name.eq_ignore_ascii_case("X-Consul-Index") => {
                index = index.or_else(|| text(value).parse().ok());
            }
            17 if name.eq_ignore_ascii_case("Transfer-Encoding") => {
                if is_chunked || !is_modern || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(bad(
                        "it has a transfer coding that the library does not know",
                    ));
                }
                is_chunked = true;
            }
            _ => {}
        }
    }
    let framing = match (status, length, is_chunked) {
        (_, Some(_), true) => return Err(bad("its length is unclear")),
        (100..=199 | 204 | 304, ..) => Framing::None,
        (_, Some(length), _) => Framing::Length(length),
        (_, None, true) => Framing::Chunked,
        (_, None, false) => Framing::UntilClose,
    };
    Ok(Head {
        status,
        index,
        keeps: keeps && !closes && framing != Framing::UntilClose,
        framing,
    })
}

/// Empty: the value is no text.
fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or_default()
}
