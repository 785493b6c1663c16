//! As much HTTP/1.1 as the tests speak: messages read whole, kept as they came, and a client that
//! opens a connection for each request.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A request or a reply.
#[derive(Clone)]
pub(crate) struct Message {
    /// Start line and headers with the empty line after them, as they came.
    head: String,
    /// The body as it came, chunks and all.
    raw: Vec<u8>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Reads the next request; `None` if the peer ended the connection before it began.
    pub(crate) fn request(from: &mut impl BufRead) -> io::Result<Option<Message>> {
        Message::read(from, false)
    }

    /// Reads a reply. Whatever it was asked, Consul sends a body only with GET, PUT and DELETE, and
    /// nothing else is asked here.
    pub(crate) fn reply(from: &mut impl BufRead) -> io::Result<Message> {
        Message::read(from, true)?.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    fn read(from: &mut impl BufRead, is_reply: bool) -> io::Result<Option<Message>> {
        let mut head = String::new();
        loop {
            let begun = head.len();
            if from.read_line(&mut head)? == 0 {
                if head.is_empty() {
                    return Ok(None);
                }
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if matches!(head.get(begun..), Some("\r\n" | "\n")) {
                break;
            }
        }
        let mut message = Message {
            head,
            raw: Vec::new(),
            body: Vec::new(),
        };
        if message.header("Transfer-Encoding") == Some("chunked") {
            message.read_chunks(from)?;
        } else if let Some(length) = message.header("Content-Length") {
            let length = length.parse().map_err(io::Error::other)?;
            message.raw = vec![0; length];
            from.read_exact(&mut message.raw)?;
            message.body.clone_from(&message.raw);
        } else if is_reply && !matches!(message.status(), 204 | 304) {
            from.read_to_end(&mut message.raw)?;
            message.body.clone_from(&message.raw);
        }
        Ok(Some(message))
    }

    fn read_chunks(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            self.raw.extend_from_slice(line.as_bytes());
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            from.read_exact(&mut chunk)?;
            self.raw.extend_from_slice(&chunk);
            if size == 0 {
                return Ok(());
            }
            self.body.extend_from_slice(&chunk[..size]);
        }
    }

    /// The same with another body.
    pub(crate) fn with_body(&self, body: &str) -> Message {
        let is_length = |line: &&str| line.to_lowercase().starts_with("content-length:");
        let lines = self.head.lines().filter(|line| !is_length(line));
        let mut head: String = lines
            .take_while(|line| !line.is_empty())
            .map(|line| format!("{line}\r\n"))
            .collect();
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        Message {
            head,
            raw: body.into(),
            body: body.into(),
        }
    }

    fn word(&self, number: usize) -> &str {
        self.head.split_whitespace().nth(number).unwrap_or_default()
    }

    /// Of a request.
    pub(crate) fn method(&self) -> &str {
        self.word(0)
    }

    /// Of a request: path and query.
    pub(crate) fn target(&self) -> &str {
        self.word(1)
    }

    /// Of a reply; 0 if it has none.
    pub(crate) fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or(0)
    }

    /// Names and values, in their order.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.lines().skip(1);
        lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name, value.trim()))
        })
    }

    /// The value of the first header of that name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers();
        headers.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Sends it on as it came, in one write.
    pub(crate) fn send(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&[self.head.as_bytes(), &self.raw].concat())
    }
}

/// Sends one request on a connection of its own. `limit` is for the connect, and for each read and
/// write.
pub(crate) fn exchange(
    address: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
    limit: Duration,
) -> io::Result<Message> {
    let peer: SocketAddr = address.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&peer, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let size = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Length: {size}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    Message::reply(&mut BufReader::new(stream))
}
