//! A proxy between the library and a real Consul, which does to single requests what networks do.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::http::Message;
use super::server::{End, Server, reset_on_close};

/// One request, as it came; without its headers, which carry the token.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: String,
}

impl Seen {
    /// A `lock` transaction, a `check-session` + `delete`, or the path without what varies.
    pub(crate) fn kind(&self) -> &'static str {
        match (self.target.as_str(), self.body.as_str()) {
            // A key that is locked carries the flags of Go's client, a ticket none.
            ("/v1/txn", body) if body.contains("\"lock\"") && body.contains("\"Flags\":0,") => {
                "join"
            }
            ("/v1/txn", body) if body.contains("\"lock\"") => "lock",
            ("/v1/txn", body) if body.contains("\"check-not-exists\"") => "survey",
            ("/v1/txn", body) if body.contains("[{\"KV\":{\"Verb\":\"get-tree\"") => "line",
            ("/v1/txn", body) if body.contains("\"check-session\"") => "unlock",
            ("/v1/session/create", _) => "create",
            ("/v1/session/list", _) => "list",
            (path, _) if path.starts_with("/v1/session/destroy/") => "destroy",
            (path, _) if path.starts_with("/v1/session/renew/") => "renew",
            (path, _) if path.starts_with("/v1/session/info/") => "info",
            (path, _) if path.starts_with("/v1/kv/") && path.contains("index=") => "watch",
            (path, _) if path.starts_with("/v1/kv/") => "read",
            _ => "other",
        }
    }
}

/// What happens to it.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    Pass,
    /// The connection is closed, and Consul never sees the request.
    CloseBefore,
    /// The connection is reset, and Consul never sees the request.
    ResetBefore,
    /// Consul applies it; the connection is closed instead of answering.
    DropReply,
    /// The same with a reset.
    ResetReply,
    /// It arrives later, even if the client has given up by then.
    DelayBefore(Duration),
    /// Consul applies it at once; the answer comes later.
    DelayReply(Duration),
    /// Consul applies it, and its answer never comes.
    NeverReply,
    /// This is the answer, and Consul never sees the request.
    Answer(u16, &'static str),
    /// Consul gets it with this body.
    Body(String),
    /// Consul applies it, and these bytes come instead of its answer.
    Instead(&'static str),
    /// The connection is closed at once; Consul gets the request after that time.
    OnlyLater(Duration),
    /// The answer is lost; Consul gets the request now, and once more after that time.
    TwiceLater(Duration),
    /// All is well; but Consul gets the request once more after that time.
    PassAndAgain(Duration),
}

type Rule = dyn FnMut(&Seen) -> Fault + Send;

/// Answers of which none says what became of a request.
#[allow(dead_code, reason = "not every test spoils answers")]
pub(crate) const UNREADABLE: [(&str, &str); 10] = [
    (
        "an empty 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    ("a 204", "HTTP/1.1 204 No Content\r\n\r\n"),
    (
        "cut off",
        "HTTP/1.0 200 OK\r\n\r\n{\"Results\":[{\"KV\":{\"LockInd",
    ),
    (
        "gzip",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x08\x08\x00",
    ),
    (
        "a proxy's 404",
        "HTTP/1.1 404 X\r\nContent-Length: 18\r\n\r\n404 page not found",
    ),
    (
        "a proxy's 408",
        "HTTP/1.1 408 X\r\nContent-Length: 16\r\n\r\nRequest Time-out",
    ),
    ("a 499", "HTTP/1.1 499 X\r\nContent-Length: 0\r\n\r\n"),
    (
        "a page with 403",
        "HTTP/1.1 403 X\r\nContent-Length: 22\r\n\r\n<h1>403 Forbidden</h1>",
    ),
    (
        "a page with 429",
        "HTTP/1.1 429 X\r\nContent-Length: 19\r\n\r\n<p>rate limit</p>\r\n",
    ),
    (
        "a page with 502",
        "HTTP/1.1 502 X\r\nContent-Length: 24\r\n\r\n<p>No cluster leader</p>",
    ),
];

/// A proxy. Dropped, it is gone with all its connections.
pub(crate) struct Proxy {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    rule: Mutex<Box<Rule>>,
    seen: Mutex<Vec<Seen>>,
}

impl Proxy {
    /// Stands before `upstream` and asks `rule` about every request.
    pub(crate) fn start(
        upstream: &str,
        rule: impl FnMut(&Seen) -> Fault + Send + 'static,
    ) -> Proxy {
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            rule: Mutex::new(Box::new(rule)),
            seen: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let server = Server::start(move |client, end| serving.serve(client, end));
        Proxy { server, shared }
    }

    pub(crate) fn address(&self) -> &str {
        self.server.address()
    }

    /// How many connections were opened to it.
    pub(crate) fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Another rule from now on.
    pub(crate) fn set(&self, rule: impl FnMut(&Seen) -> Fault + Send + 'static) {
        *self.shared.rule.lock().expect("not poisoned") = Box::new(rule);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("not poisoned").clone()
    }

    /// The kinds of the requests so far, in order.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.seen().iter().map(Seen::kind).collect()
    }

    /// How many requests of a kind came so far.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.kinds().iter().filter(|&&seen| seen == kind).count()
    }
}

/// The connection to Consul on which a client's request is under way.
type UnderWay = Mutex<Option<Arc<TcpStream>>>;

impl Shared {
    fn serve(self: &Arc<Self>, client: &Arc<TcpStream>, end: &Arc<End>) -> io::Result<()> {
        let under_way: Arc<UnderWay> = Arc::default();
        // Requests are read by a thread of its own, which thereby notices a client that gives up,
        // and ends a request under way as a client without a proxy would.
        let (requests, read) = mpsc::channel();
        let (socket, ended) = (Arc::clone(client), Arc::clone(&under_way));
        let reader = std::thread::spawn(move || {
            let mut from = BufReader::new(&*socket);
            while let Ok(Some(request)) = Message::request(&mut from) {
                if requests.send(request).is_err() {
                    break;
                }
            }
            if let Some(upstream) = ended.lock().expect("not poisoned").take() {
                let _ = upstream.shutdown(Shutdown::Both);
            }
        });
        let mut result = Ok(true);
        while matches!(result, Ok(true)) {
            let Ok(request) = read.recv() else { break };
            result = self.handle(client, &request, &under_way, end);
        }
        // The reader holds the socket too: a reset comes with the last close.
        drop(read);
        let _ = client.shutdown(Shutdown::Read);
        let _ = reader.join();
        result.map(drop)
    }

    /// Answers one request; `false` closes the connection.
    fn handle(
        self: &Arc<Self>,
        client: &Arc<TcpStream>,
        request: &Message,
        under_way: &UnderWay,
        end: &Arc<End>,
    ) -> io::Result<bool> {
        let seen = Seen {
            method: request.method().to_owned(),
            target: request.target().to_owned(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
        };
        self.seen.lock().expect("not poisoned").push(seen.clone());
        let fault = (self.rule.lock().expect("not poisoned"))(&seen);
        let forward = || self.forward(request, under_way, end);
        match fault {
            Fault::Pass => forward()?.send(&mut &**client)?,
            Fault::CloseBefore => return Ok(false),
            Fault::ResetBefore => {
                reset_on_close(client);
                return Ok(false);
            }
            Fault::DropReply => {
                forward()?;
                return Ok(false);
            }
            Fault::ResetReply => {
                forward()?;
                reset_on_close(client);
                return Ok(false);
            }
            Fault::DelayBefore(time) => {
                end.pause(time)?;
                forward()?.send(&mut &**client)?;
            }
            Fault::DelayReply(time) => {
                let reply = forward()?;
                end.pause(time)?;
                reply.send(&mut &**client)?;
            }
            Fault::NeverReply => {
                // The connection stays open until the client gives up.
                forward()?;
            }
            Fault::Answer(status, text) => {
                let length = text.len();
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
                (&**client).write_all(format!("{head}{text}").as_bytes())?;
            }
            Fault::Body(body) => {
                let request = request.with_body(&body);
                let reply = self.forward(&request, under_way, end)?;
                reply.send(&mut &**client)?;
            }
            Fault::Instead(bytes) => {
                forward()?;
                (&**client).write_all(bytes.as_bytes())?;
                // A body without a length ends with the connection.
                return Ok(bytes.contains("Content-Length") || bytes.contains(" 204 "));
            }
            Fault::OnlyLater(time) => {
                self.forward_later(request, time, end);
                return Ok(false);
            }
            Fault::TwiceLater(time) => {
                forward()?;
                self.forward_later(request, time, end);
                return Ok(false);
            }
            Fault::PassAndAgain(time) => {
                let reply = forward()?;
                self.forward_later(request, time, end);
                reply.send(&mut &**client)?;
            }
        }
        Ok(true)
    }

    /// Asks Consul, on a connection of its own.
    fn forward(&self, request: &Message, under_way: &UnderWay, end: &End) -> io::Result<Message> {
        let upstream = Arc::new(TcpStream::connect(&self.upstream)?);
        end.close_then(&upstream);
        {
            // In one step: a client that leaves meanwhile ends a request that was sent.
            let mut under_way = under_way.lock().expect("not poisoned");
            request.send(&mut &*upstream)?;
            *under_way = Some(Arc::clone(&upstream));
        }
        let reply = Message::reply(&mut BufReader::new(&*upstream));
        under_way.lock().expect("not poisoned").take();
        reply
    }

    fn forward_later(self: &Arc<Self>, request: &Message, time: Duration, end: &Arc<End>) {
        let (shared, request, end) = (Arc::clone(self), request.clone(), Arc::clone(end));
        std::thread::spawn(move || {
            end.pause(time)?;
            shared.forward(&request, &UnderWay::default(), &end)
        });
    }
}
