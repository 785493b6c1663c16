//! HTTP/1.1 as bytes: requests in, answers out.

use std::io::Write as _;
use std::time::SystemTime;

use httparse::Status;

use super::HEADER;
use super::connection::Form;
use crate::keys::MAX_BODY;
use crate::model::Reply;
use crate::wire::{reply, too_large};

const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 64;

/// A complete request.
pub(super) struct Message {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) body: Vec<u8>,
    pub(super) form: Form,
    /// The request names a namespace in a header.
    pub(super) has_namespace: bool,
}

/// What the bytes so far are.
pub(super) enum Parsed {
    Message(Message),
    /// The beginning of a request.
    Partial {
        /// The client sends the body when it has heard `100 Continue`.
        wants_continue: bool,
    },
    /// No request. The connection ends with this answer.
    Bad(Reply),
}

/// Takes bytes, and gives requests.
#[derive(Default)]
pub(super) struct Reader {
    input: Vec<u8>,
    /// The head of the request whose body comes.
    head: Option<Head>,
}

struct Head {
    message: Message,
    framing: Framing,
    wants_continue: bool,
}

enum Framing {
    Length(usize),
    Chunked,
}

impl Reader {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.input.len()
    }

    /// The next request.
    pub(super) fn next(&mut self) -> Parsed {
        let mut head = match self.head.take() {
            Some(head) => head,
            None => match self.head() {
                Ok(Some(head)) => head,
                Ok(None) => {
                    return Parsed::Partial {
                        wants_continue: false,
                    };
                }
                Err(refusal) => return Parsed::Bad(refusal),
            },
        };
        match self.body(&mut head) {
            Ok(true) => Parsed::Message(head.message),
            Ok(false) => {
                let wants_continue = std::mem::take(&mut head.wants_continue);
                self.head = Some(head);
                Parsed::Partial { wants_continue }
            }
            Err(refusal) => Parsed::Bad(refusal),
        }
    }

    fn head(&mut self) -> Result<Option<Head>, Reply> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(&self.input) {
            Ok(Status::Complete(length)) if length <= MAX_HEAD => length,
            Ok(Status::Partial) if self.input.len() <= MAX_HEAD => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => {
                return Err(reply(431, "431 Request Header Fields Too Large"));
            }
            Err(error) => return Err(reply(400, format!("400 Bad Request: {error}"))),
        };
        let head = Head::new(&request)?;
        self.input.drain(..length);
        Ok(Some(head))
    }

    /// Takes the body. False: the rest is still to come.
    fn body(&mut self, head: &mut Head) -> Result<bool, Reply> {
        match head.framing {
            Framing::Length(length) if self.input.len() < length => Ok(false),
            Framing::Length(length) => {
                head.message.body = self.input.drain(..length).collect();
                if self.input.is_empty() && self.input.capacity() > MAX_HEAD {
                    self.input = Vec::new();
                }
                Ok(true)
            }
            Framing::Chunked => self.chunks(head),
        }
    }

    fn chunks(&mut self, head: &mut Head) -> Result<bool, Reply> {
        loop {
            let (start, size) = match httparse::parse_chunk_size(&self.input) {
                Ok(Status::Complete((start, size))) => (start, size),
                Ok(Status::Partial) if self.input.len() <= MAX_HEAD => return Ok(false),
                _ => return Err(reply(400, "400 Bad Request: the size of a chunk")),
            };
            let body = &mut head.message.body;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size.saturating_add(body.len()) > MAX_BODY {
                return Err(body_too_large(&head.message.target, size));
            }
            if size == 0 {
                return self.trailers(head, start);
            }
            // The chunk, and the end of its line.
            let end = start + size;
            if self.input.len() < end + 2 {
                return Ok(false);
            }
            body.extend_from_slice(self.input.get(start..end).unwrap_or_default());
            if self.input.get(end..end + 2) != Some(b"\r\n") {
                return Err(reply(400, "400 Bad Request: the end of a chunk"));
            }
            self.input.drain(..end + 2);
        }
    }

    fn trailers(&mut self, head: &mut Head, start: usize) -> Result<bool, Reply> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let rest = self.input.get(start..).unwrap_or_default();
        match httparse::parse_headers(rest, &mut headers) {
            Ok(Status::Complete((length, _))) => {
                self.input.drain(..start + length);
                // Consul reads the body of this request only if the client gives its length.
                if head.message.target.starts_with("/v1/session/create") {
                    head.message.body.clear();
                }
                Ok(true)
            }
            Ok(Status::Partial) if self.input.len() <= MAX_HEAD => Ok(false),
            _ => Err(reply(400, "400 Bad Request: the end of a chunked body")),
        }
    }
}

impl Head {
    fn new(request: &httparse::Request<'_, '_>) -> Result<Head, Reply> {
        let text = |name: &str| {
            let mut headers = request.headers.iter();
            let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok().map(str::trim)
        };
        let has = |name: &str, word: &str| {
            let words = text(name).unwrap_or_default();
            words
                .split(',')
                .any(|it| it.trim().eq_ignore_ascii_case(word))
        };
        let method = request.method.unwrap_or_default().to_owned();
        let target = request.path.unwrap_or_default();
        // A proxy gets the whole address.
        let target = match target.strip_prefix("http://") {
            Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            None => target,
        };
        let length = match text("Content-Length") {
            None => 0,
            Some(digits) => match digits.parse::<usize>() {
                Ok(length) if digits.bytes().all(|byte| byte.is_ascii_digit()) => length,
                _ => return Err(reply(400, "400 Bad Request: bad Content-Length")),
            },
        };
        let framing = match text("Transfer-Encoding") {
            None => Framing::Length(length),
            Some(coding) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
            Some(_) => return Err(reply(501, "Unsupported transfer encoding")),
        };
        if length > MAX_BODY {
            return Err(body_too_large(target, length));
        }
        let is_old = request.version == Some(0);
        let closes = has("Connection", "close") || is_old && !has("Connection", "keep-alive");
        Ok(Head {
            wants_continue: has("Expect", "100-continue"),
            framing,
            message: Message {
                form: Form {
                    is_head: method == "HEAD",
                    closes,
                },
                has_namespace: text("X-Consul-Namespace").is_some_and(|name| !name.is_empty()),
                target: target.to_owned(),
                method,
                body: Vec::new(),
            },
        })
    }
}

/// Consul refuses a body before it has read it.
fn body_too_large(target: &str, size: usize) -> Reply {
    let is_transaction = target.starts_with("/v1/txn");
    let option = if is_transaction {
        "txn_max_req_len"
    } else {
        "kv_max_value_size"
    };
    too_large(size, option)
}

pub(super) fn write_continue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Writes an answer with the headers that Consul sends.
pub(super) fn write_reply(out: &mut Vec<u8>, reply: &Reply, form: Form) {
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "HTTP/1.1 {} {}\r\n",
        reply.status,
        reason(reply.status)
    );
    let mut header = |name: &str, value: &dyn std::fmt::Display| {
        let _ = write!(out, "{name}: {value}\r\n");
    };
    let names_type = reply
        .headers
        .iter()
        .any(|(name, _)| *name == "Content-Type");
    if !names_type && !reply.body.is_empty() {
        let is_json = matches!(reply.status, 200 | 409);
        let kind = if is_json {
            "application/json"
        } else {
            "text/plain; charset=utf-8"
        };
        header("Content-Type", &kind);
    }
    for (name, value) in &reply.headers {
        header(name, value);
    }
    header("Vary", &"Accept-Encoding");
    if let Some(index) = reply.index {
        header("X-Consul-Index", &index);
        header("X-Consul-Knownleader", &true);
        header("X-Consul-Lastcontact", &0);
    }
    header(HEADER, &env!("CARGO_PKG_VERSION"));
    header("Date", &httpdate::HttpDate::from(SystemTime::now()));
    header("Content-Length", &reply.body.len());
    if form.closes {
        header("Connection", &"close");
    }
    out.extend_from_slice(b"\r\n");
    if !form.is_head {
        out.extend_from_slice(&reply.body);
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Request Entity Too Large",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        _ => "Internal Server Error",
    }
}
