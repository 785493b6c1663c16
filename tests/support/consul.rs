//! A real Consul for one test program: a dev agent, or servers with their data on disk, on free
//! loopback ports, ended with the test.
#![allow(unsafe_code)] // signals and socket options

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// How long a Consul may take for what it is expected to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back of a request of the test's own.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A Consul process. It ends when this is dropped, and also when the test is killed: it is the child
/// of a shell that reads from a pipe of ours, whose end it cannot miss.
pub(crate) struct Consul {
    shell: Child,
    agent: i32,
    address: String,
    folder: PathBuf,
}

/// Ports that nobody uses at the moment.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

/// `CONSUL_BIN`, else what `scripts/get-consul` finds or gets.
fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(binary) = std::env::var_os("CONSUL_BIN") {
            return binary.into();
        }
        let script = super::root().join("scripts/get-consul");
        let found = Command::new(&script)
            .stderr(Stdio::inherit())
            .output()
            .expect("get-consul");
        assert!(
            found.status.success(),
            "{} found no Consul",
            script.display()
        );
        String::from_utf8_lossy(&found.stdout).trim().into()
    })
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Consul {
    /// A dev agent that takes writes.
    pub(crate) fn start() -> Consul {
        Consul::start_with("")
    }

    /// The same with settings of its own, in HCL.
    pub(crate) fn start_with(settings: &str) -> Consul {
        let [http, server, lan, wan] = free_ports();
        let arguments = [
            "-dev".to_owned(),
            "-bind=127.0.0.1".to_owned(),
            "-client=127.0.0.1".to_owned(),
            format!("-http-port={http}"),
            format!("-server-port={server}"),
            format!("-serf-lan-port={lan}"),
            format!("-serf-wan-port={wan}"),
        ];
        let consul = Consul::run("node", http, &arguments, settings);
        consul.until_ready();
        consul
    }

    /// Starts a process.
    pub(crate) fn run(node: &str, http: u16, arguments: &[String], settings: &str) -> Consul {
        let unique = format!("consul-{}-{http}", std::process::id());
        let folder = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("settings.hcl"), settings).expect("the settings");
        let mut shell = Command::new("sh")
            // The agent ends with the shell's input, whoever dies first.
            .args([
                "-c",
                "\"$@\" >\"$LOG\" 2>&1 </dev/null & echo $!; read _; kill -9 $! 2>/dev/null; wait",
                "sh",
            ])
            .arg(binary())
            .args(["agent", "-log-level=err", "-dns-port=-1", "-grpc-port=-1"])
            .arg(format!("-node={node}"))
            .arg(format!(
                "-config-file={}",
                folder.join("settings.hcl").display()
            ))
            .args(arguments)
            .env("LOG", folder.join("log"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut pid = String::new();
        let stdout = shell.stdout.take().expect("the shell's output");
        BufReader::new(stdout).read_line(&mut pid).expect("a pid");
        let agent = pid.trim().parse().expect("a pid");
        Consul {
            shell,
            agent,
            address: format!("127.0.0.1:{http}"),
            folder,
        }
    }

    /// Waits until it takes writes and knows its own node, which sessions need.
    pub(crate) fn until_ready(&self) {
        let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        until(
            &format!("Consul at {} is ready; {}", self.address, log()),
            || {
                let body = r#"{"Name":"ready","TTL":"10s","Behavior":"delete"}"#;
                let Some(reply) = self.try_request("PUT", "/v1/session/create", body, "root")
                else {
                    return false;
                };
                let session: Json = serde_json::from_str(&reply.body).unwrap_or_default();
                session["ID"].as_str().is_some_and(|id| {
                    let destroy = format!("/v1/session/destroy/{id}");
                    self.try_request("PUT", &destroy, "", "root")
                        .is_some_and(|r| r.body.trim() == "true")
                })
            },
        );
    }

    /// What CONSUL_HTTP_ADDR is to be.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// One request past the library, with the token "root".
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Reply {
        self.try_request(method, path, body, "root")
            .unwrap_or_else(|| panic!("{} does not answer {method} {path}", self.address))
    }

    fn try_request(&self, method: &str, path: &str, body: &str, token: &str) -> Option<Reply> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(15)))
            .ok()?;
        let (host, length) = (&self.address, body.len());
        // HTTP/1.0: the end of the connection is the end of the answer.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {host}\r\nX-Consul-Token: {token}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Reply {
            status,
            body: body.to_owned(),
        })
    }

    fn json(&self, path: &str) -> Json {
        let reply = self.request("GET", path, "");
        serde_json::from_str(&reply.body).unwrap_or(Json::Null)
    }

    /// The row of a key.
    pub(crate) fn row(&self, key: &str) -> Option<Json> {
        self.json(&format!("/v1/kv/{key}")).get(0).cloned()
    }

    /// The session that holds a key.
    pub(crate) fn holder(&self, key: &str) -> Option<String> {
        self.row(key)?["Session"].as_str().map(str::to_owned)
    }

    pub(crate) fn sessions(&self) -> Vec<Json> {
        self.json("/v1/session/list")
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let keys = self.json("/v1/kv/?keys");
        let keys = keys.as_array().cloned().unwrap_or_default();
        keys.iter()
            .filter_map(Json::as_str)
            .map(str::to_owned)
            .collect()
    }

    /// The Raft index of the last write, of whatever kind.
    pub(crate) fn raft_index(&self) -> u64 {
        let agent = self.json("/v1/agent/self");
        let index = agent["Stats"]["raft"]["commit_index"]
            .as_str()
            .map(str::parse);
        index.expect("Stats.raft.commit_index").expect("a number")
    }

    /// A session of somebody else's, that holds `key`.
    pub(crate) fn other_holds(&self, key: &str) -> String {
        let body = r#"{"Name":"somebody else","TTL":"60s","Behavior":"delete","LockDelay":"0s","NodeChecks":[]}"#;
        let reply = self.request("PUT", "/v1/session/create", body);
        let session: Json = serde_json::from_str(&reply.body).expect("a session");
        let session = session["ID"].as_str().expect("an id").to_owned();
        let acquire = format!("/v1/kv/{key}?acquire={session}");
        assert_eq!(self.request("PUT", &acquire, "theirs").body.trim(), "true");
        session
    }

    pub(crate) fn destroy(&self, session: &str) {
        let reply = self.request("PUT", &format!("/v1/session/destroy/{session}"), "");
        assert_eq!(reply.body.trim(), "true");
    }

    /// No key and no session is left, at the latest after a moment.
    pub(crate) fn has_nothing_left(&self) {
        until("no session is left", || self.sessions().is_empty());
        until("no key is left", || self.keys().is_empty());
    }

    fn signal(&self, signal: i32) {
        // SAFETY: the pid is of a child of our shell, which has not been waited for.
        let sent = unsafe { libc::kill(self.agent, signal) };
        assert_eq!(sent, 0, "kill {}", self.agent);
    }

    /// Stops it without ending it: it answers nobody.
    pub(crate) fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&self) {
        self.signal(libc::SIGKILL);
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        // The end of its input ends the shell, which ends the agent.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Three servers on three loopback addresses.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Consul>,
}

impl Cluster {
    pub(crate) fn start() -> Cluster {
        let [rpc, serf] = free_ports();
        let join: Vec<String> = (1..=3)
            .map(|i| format!("-retry-join=127.0.0.{i}:{serf}"))
            .collect();
        let servers = (1..=3)
            .map(|i| {
                let [http] = free_ports();
                let data = std::env::temp_dir()
                    .join(format!("consul-{}-{http}", std::process::id()))
                    .join("data");
                let mut arguments = vec![
                    "-server".to_owned(),
                    "-bootstrap-expect=3".to_owned(),
                    format!("-bind=127.0.0.{i}"),
                    "-client=127.0.0.1".to_owned(),
                    format!("-http-port={http}"),
                    format!("-server-port={rpc}"),
                    format!("-serf-lan-port={serf}"),
                    "-serf-wan-port=-1".to_owned(),
                    "-retry-interval=1s".to_owned(),
                    format!("-data-dir={}", data.display()),
                ];
                arguments.extend(join.clone());
                let settings = "performance { raft_multiplier = 1 }";
                Consul::run(&format!("server-{i}"), http, &arguments, settings)
            })
            .collect();
        let cluster = Cluster { servers };
        for server in &cluster.servers {
            server.until_ready();
        }
        cluster
    }

    /// The one that leads, as the others see it.
    pub(crate) fn leader(&self) -> usize {
        let mut leader = None;
        until("there is a leader", || {
            leader = self.servers.iter().position(|server| {
                let agent = server.try_request("GET", "/v1/agent/self", "", "root");
                agent.is_some_and(|reply| {
                    let json: Json = serde_json::from_str(&reply.body).unwrap_or_default();
                    json["Stats"]["consul"]["leader"] == "true"
                })
            });
            leader.is_some()
        });
        leader.expect("a leader")
    }
}
