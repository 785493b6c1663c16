//! A proxy between the library and a real Consul, which does to single requests what networks do.
#![allow(unsafe_code)] // signals and socket options

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request, as it came.
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
            ("/v1/txn", body) if body.contains("\"lock\"") => "lock",
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
    /// Consul applies it; the connection is closed instead of answering.
    DropReply,
    /// The same with a reset.
    ResetReply,
    /// It arrives later.
    DelayBefore(Duration),
    /// Consul applies it, and nobody ever answers.
    NeverReply,
    /// This is the answer, and Consul never sees the request.
    Answer(u16, &'static str),
    /// The answer is lost; Consul gets the request now, and once more after that time.
    TwiceLater(Duration),
}

type Rule = dyn FnMut(&Seen) -> Fault + Send;

/// A proxy; ends with the test program.
pub(crate) struct Proxy {
    address: String,
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
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            rule: Mutex::new(Box::new(rule)),
            seen: Mutex::default(),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = serving.clone();
                // An error is the end of a connection, which is what proxies have.
                std::thread::spawn(move || drop(shared.serve(client)));
            }
        });
        Proxy { address, shared }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
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
}

impl Shared {
    fn serve(&self, client: TcpStream) -> std::io::Result<()> {
        let mut client = BufReader::new(client);
        let mut upstream = BufReader::new(TcpStream::connect(&self.upstream)?);
        while let Some((request, raw)) = read_request(&mut client)? {
            self.seen
                .lock()
                .expect("not poisoned")
                .push(request.clone());
            let fault = (self.rule.lock().expect("not poisoned"))(&request);
            match fault {
                Fault::CloseBefore => return Ok(()),
                Fault::Answer(status, text) => {
                    let length = text.len();
                    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
                    client
                        .get_mut()
                        .write_all(format!("{head}{text}").as_bytes())?;
                    continue;
                }
                Fault::DelayBefore(delay) => std::thread::sleep(delay),
                _ => {}
            }
            upstream.get_mut().write_all(&raw)?;
            let reply = read_message(&mut upstream)?.unwrap_or_default();
            match fault {
                Fault::DropReply => return Ok(()),
                Fault::ResetReply => {
                    reset(client.get_ref());
                    return Ok(());
                }
                Fault::NeverReply => {
                    // Until the client gives up.
                    let _ = client.fill_buf();
                    return Ok(());
                }
                Fault::TwiceLater(delay) => {
                    let upstream = self.upstream.clone();
                    std::thread::spawn(move || {
                        std::thread::sleep(delay);
                        let mut again = TcpStream::connect(upstream)?;
                        again.write_all(&raw)?;
                        read_message(&mut BufReader::new(again))
                    });
                    return Ok(());
                }
                _ => client.get_mut().write_all(&reply)?,
            }
        }
        Ok(())
    }
}

/// Has the close send RST instead of FIN.
fn reset(socket: &TcpStream) {
    use std::os::fd::AsRawFd as _;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the descriptor is open, and `linger` is of the size that is told.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0);
}

fn read_request(from: &mut BufReader<TcpStream>) -> std::io::Result<Option<(Seen, Vec<u8>)>> {
    let Some(raw) = read_message(from)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&raw);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut first = head.split(' ');
    let (method, target) = (first.next().unwrap_or(""), first.next().unwrap_or(""));
    let seen = Seen {
        method: method.to_owned(),
        target: target.to_owned(),
        body: body.to_owned(),
    };
    Ok(Some((seen, raw)))
}

/// One HTTP message: its head, and its body by Content-Length or in chunks.
fn read_message(from: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut raw = Vec::new();
    while !raw.ends_with(b"\r\n\r\n") {
        if from.read_until(b'\n', &mut raw)? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&raw).to_lowercase();
    let field = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|value| value.trim().to_owned())
    };
    if field("transfer-encoding:").is_some_and(|value| value == "chunked") {
        loop {
            let start = raw.len();
            from.read_until(b'\n', &mut raw)?;
            let size = String::from_utf8_lossy(&raw[start..]);
            let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
            read_more(from, &mut raw, size + 2)?;
            if size == 0 {
                return Ok(Some(raw));
            }
        }
    }
    let length = field("content-length:")
        .and_then(|value| value.parse().ok())
        .unwrap_or(0);
    read_more(from, &mut raw, length)?;
    Ok(Some(raw))
}

fn read_more(from: &mut impl Read, raw: &mut Vec<u8>, length: usize) -> std::io::Result<()> {
    let start = raw.len();
    raw.resize(start + length, 0);
    from.read_exact(&mut raw[start..])
}
