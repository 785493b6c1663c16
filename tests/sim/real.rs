//! A real Consul, the server of the model, and one connection to either.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use consul_model::server::{Server, Settings, Stopper};

use super::model::{Edition, NODE};
use super::ports;
use crate::consul::http::{HttpReply, HttpRequest, Method};
use crate::consul::secrets::Secrets;

/// A Consul agent in development mode. It ends with this value.
pub(super) struct Agent {
    child: Child,
    edition: Edition,
    address: String,
}

/// The Consul that CONSUL_BIN names, or what `scripts/get-consul` finds or gets.
fn binary() -> String {
    std::env::var("CONSUL_BIN").unwrap_or_else(|_| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/get-consul");
        let found = Command::new(script)
            .stderr(Stdio::inherit())
            .output()
            .expect("get-consul");
        assert!(found.status.success(), "{script} found no Consul");
        String::from_utf8_lossy(&found.stdout).trim().to_owned()
    })
}

/// The version of a Consul program, such as `1.16.4`.
fn version(binary: &str) -> String {
    let said = Command::new(binary).arg("version").output();
    let said = said.unwrap_or_else(|error| panic!("cannot start {binary}: {error}"));
    // Consul v1.8.7+dfsg1
    let said = String::from_utf8_lossy(&said.stdout);
    let version = said.lines().next().and_then(|line| line.split_once('v'));
    version.expect("a version").1.to_owned()
}

/// The management token of an agent whose settings ask for one. Other agents ignore it.
pub(super) const ROOT: &str = "root";

/// Starts an agent, and waits until it serves sessions.
pub(super) fn start_agent() -> Agent {
    start_agent_with("")
}

/// Starts an agent with settings of its own, in HCL.
pub(super) fn start_agent_with(settings: &str) -> Agent {
    let binary = binary();
    let version = version(&binary);
    let edition = Edition::of(&version).expect("a version");
    // Two tests must not get the same port: one would then speak with the agent of the other.
    let ports = ports::free::<4>();
    let child = Command::new(&binary)
        .args([
            "agent",
            "-dev",
            "-bind=127.0.0.1",
            "-dns-port=-1",
            "-grpc-port=-1",
        ])
        // An older Consul does not know this port.
        .args((edition > Edition::V1_8).then_some("-grpc-tls-port=-1"))
        .arg(format!("-node={NODE}"))
        .arg(format!("-hcl={settings}"))
        .arg(format!("-http-port={}", ports[0]))
        .arg(format!("-server-port={}", ports[1]))
        .arg(format!("-serf-lan-port={}", ports[2]))
        .arg(format!("-serf-wan-port={}", ports[3]))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {binary}: {error}; set CONSUL_BIN"));
    let mut agent = Agent {
        child,
        edition,
        address: format!("127.0.0.1:{}", ports[0]),
    };
    agent.wait_until_ready();
    agent
}

impl Agent {
    /// The edition of the model for this Consul.
    pub(super) fn edition(&self) -> Edition {
        self.edition
    }

    pub(super) fn connect(&self) -> Connection {
        Connection::new(&self.address).expect("a connection to Consul")
    }

    /// A session can be made when there is a leader and the agent has registered itself.
    fn wait_until_ready(&mut self) {
        let end = Instant::now() + Duration::from_secs(30);
        let create = HttpRequest {
            method: Method::Put,
            target: format!("/v1/session/create?token={ROOT}"),
            body: Some(b"{\"TTL\":\"10s\"}".to_vec()),
        };
        loop {
            let created = Connection::new(&self.address).ok().map(|mut consul| {
                let reply = consul.ask(&create);
                let text = String::from_utf8_lossy(&reply.body).into_owned();
                (reply.status, text, consul)
            });
            if let Some((200, text, mut consul)) = created {
                let id = text.split('"').nth(3).expect("a session");
                consul.ask(&HttpRequest {
                    target: format!("/v1/session/destroy/{id}?token={ROOT}"),
                    body: None,
                    ..create
                });
                return;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("Consul ended: {status}");
            }
            assert!(Instant::now() < end, "Consul does not get ready in 30 s");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The server of the model, in a thread of its own. It ends with this value.
pub(super) struct ModelServer {
    address: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl ModelServer {
    pub(super) fn start(edition: Edition) -> ModelServer {
        let settings = Settings {
            edition,
            node: NODE.to_owned(),
            speed: 1,
            seed: 1,
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Server::bind(any, &settings).expect("a free port");
        ModelServer {
            address: server.address(),
            stopper: server.stopper(),
            thread: Some(std::thread::spawn(move || {
                server.run(Duration::from_secs(60), || true)
            })),
        }
    }

    pub(super) fn connect(&self) -> Connection {
        Connection::new(&self.address.to_string()).expect("a connection to the model")
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        let _ = self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection, which stays open.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn new(address: &str) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Connection {
            stream: BufReader::new(stream),
        })
    }

    pub(super) fn ask(&mut self, request: &HttpRequest) -> HttpReply {
        self.send(request);
        self.receive()
    }

    pub(super) fn send(&mut self, request: &HttpRequest) {
        let method = match request.method {
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        };
        let body = request.body.as_deref().unwrap_or_default();
        let mut out = format!(
            "{method} {} HTTP/1.1\r\nHost: consul\r\nContent-Length: {}\r\n\r\n",
            request.target,
            body.len()
        )
        .into_bytes();
        out.extend_from_slice(body);
        self.stream
            .get_mut()
            .write_all(&out)
            .expect("Consul takes a request");
    }

    pub(super) fn receive(&mut self) -> HttpReply {
        let head = self.line();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut reply = HttpReply {
            status: status.expect("a status"),
            index: None,
            body: vec![],
            secrets: Secrets::default(),
        };
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").expect("a header");
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().expect("a length"),
                "transfer-encoding" => chunked = true,
                "x-consul-index" => reply.index = Some(value.parse().expect("an index")),
                _ => {}
            }
        }
        if !chunked {
            self.take(length, &mut reply.body);
            return reply;
        }
        loop {
            let size = usize::from_str_radix(&self.line(), 16).expect("the size of a chunk");
            self.take(size, &mut reply.body);
            self.line();
            if size == 0 {
                return reply;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("Consul answers");
        line.trim_end().to_owned()
    }

    fn take(&mut self, length: usize, out: &mut Vec<u8>) {
        let before = out.len();
        out.resize(before + length, 0);
        self.stream
            .read_exact(&mut out[before..])
            .expect("Consul answers");
    }
}
