//! A server that answers as the test says: right, wrong, slowly, by half, or not at all.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::http::Message;
use super::server::{End, Server, reset_on_close};

/// One request, as it came.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names as they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    /// The value of the first header of that name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(&**value))
    }
}

/// What is done about it.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A proper reply. The Content-Length is added.
    Reply {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Nothing, for as long as the client stays.
    Hang,
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
    /// These bytes, whatever they are, then the connection is closed.
    Raw(Vec<u8>),
    /// These bytes, then nothing, for as long as the client stays.
    RawThenHang(Vec<u8>),
    /// These bytes one by one with that time between them, then the connection is closed.
    Trickle(Vec<u8>, Duration),
    /// An answer after that time.
    After(Duration, Box<Answer>),
}

impl Answer {
    /// A reply without headers of its own.
    pub(crate) fn reply(status: u16, body: &str) -> Answer {
        Answer::Reply {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// A reply with `X-Consul-Index`, as those to a read have.
    pub(crate) fn indexed(status: u16, index: u64, body: &str) -> Answer {
        Answer::Reply {
            status,
            headers: vec![("X-Consul-Index".to_owned(), index.to_string())],
            body: body.into(),
        }
    }

    /// The head of a reply that promises `body`, and only the first half of it.
    pub(crate) fn half_reply(status: u16, body: &str) -> Answer {
        let mut bytes = reply_bytes(status, &[], body.as_bytes());
        bytes.truncate(bytes.len() - body.len().div_ceil(2));
        Answer::Raw(bytes)
    }
}

/// A proper reply as bytes, for the tests that spoil one.
pub(crate) fn reply_bytes(status: u16, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str("\r\n");
    [bytes.as_bytes(), body].concat()
}

/// A server. Dropped, it is gone with all its connections.
pub(crate) struct Scripted {
    server: Server,
}

impl Scripted {
    /// Asks `script` about every request, on whatever connection, in the order in which they come.
    pub(crate) fn start(script: impl FnMut(&Asked) -> Answer + Send + 'static) -> Scripted {
        let script = Mutex::new(script);
        let server = Server::start(move |client, end| {
            let mut from = BufReader::new(&**client);
            while let Some(request) = Message::request(&mut from)? {
                let headers = request.headers();
                let asked = Asked {
                    method: request.method().to_owned(),
                    target: request.target().to_owned(),
                    headers: headers
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .collect(),
                    body: String::from_utf8_lossy(&request.body).into_owned(),
                };
                let answer = (script.lock().expect("not poisoned"))(&asked);
                if !perform(client, answer, end)? {
                    break;
                }
            }
            Ok(())
        });
        Scripted { server }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.server.address()
    }

    /// How many connections were opened to it.
    pub(crate) fn connections(&self) -> usize {
        self.server.connections()
    }
}

/// `false` closes the connection.
fn perform(client: &Arc<TcpStream>, answer: Answer, end: &End) -> io::Result<bool> {
    let mut to = &**client;
    match answer {
        Answer::Reply {
            status,
            headers,
            body,
        } => {
            to.write_all(&reply_bytes(status, &headers, &body))?;
            return Ok(true);
        }
        Answer::Hang => until_the_client_leaves(client)?,
        Answer::Close => {}
        Answer::Reset => reset_on_close(client),
        Answer::Raw(bytes) => to.write_all(&bytes)?,
        Answer::RawThenHang(bytes) => {
            to.write_all(&bytes)?;
            until_the_client_leaves(client)?;
        }
        Answer::Trickle(bytes, time) => {
            for byte in bytes {
                to.write_all(&[byte])?;
                end.pause(time)?;
            }
        }
        Answer::After(time, answer) => {
            end.pause(time)?;
            return perform(client, *answer, end);
        }
    }
    Ok(false)
}

fn until_the_client_leaves(client: &TcpStream) -> io::Result<()> {
    let mut ignored = [0; 1024];
    while (&mut &*client).read(&mut ignored)? > 0 {}
    Ok(())
}
