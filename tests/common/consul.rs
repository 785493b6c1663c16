//! A Consul of one test: a dev agent on free loopback ports, ended with the test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Consul {
    agent: Child,
    address: String,
}

/// Ports that nobody uses at the moment.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

impl Consul {
    /// Starts one (`CONSUL_BIN`, else `consul` on the PATH) and waits until it takes writes.
    pub(crate) fn start() -> Consul {
        let binary = std::env::var_os("CONSUL_BIN").unwrap_or_else(|| "consul".into());
        let [http, server, lan, wan] = free_ports();
        let agent = Command::new(&binary)
            .args([
                "agent",
                "-dev",
                "-bind=127.0.0.1",
                "-client=127.0.0.1",
                "-node=of-the-c-tests",
            ])
            .args(["-dns-port=-1", "-grpc-port=-1"])
            .arg(format!("-http-port={http}"))
            .arg(format!("-server-port={server}"))
            .arg(format!("-serf-lan-port={lan}"))
            .arg(format!("-serf-wan-port={wan}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{binary:?}: {error}; set CONSUL_BIN"));
        let consul = Consul {
            agent,
            address: format!("127.0.0.1:{http}"),
        };
        consul.until("it takes writes", || {
            consul.ask("PUT", "/v1/kv/ready").ends_with("true")
        });
        consul.until("it deletes", || {
            consul.ask("DELETE", "/v1/kv/ready").ends_with("true")
        });
        // Sessions need the agent's own node in the catalog.
        consul.until("it knows its node", || {
            consul
                .ask("GET", "/v1/catalog/nodes")
                .contains("of-the-c-tests")
        });
        consul
    }

    /// What CONSUL_HTTP_ADDR is to be.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The last entry of the Raft log: how many writes there were so far.
    pub(crate) fn raft_index(&self) -> u64 {
        let about = self.ask("GET", "/v1/agent/self");
        let (_, rest) = about.split_once("\"last_log_index\":").expect("an index");
        let index = rest.split('"').nth(1).expect("a text");
        index.parse().expect("a number")
    }

    /// The sessions that exist, as JSON.
    pub(crate) fn sessions(&self) -> String {
        let answer = self.ask("GET", "/v1/session/list");
        answer.lines().last().unwrap_or_default().to_owned()
    }

    /// No key and no session is left, at the latest after a moment.
    pub(crate) fn has_nothing_left(&self) {
        self.until("no session is left", || {
            self.ask("GET", "/v1/session/list").ends_with("[]")
        });
        self.until("no key is left", || {
            self.ask("GET", "/v1/kv/?keys").ends_with("[]")
        });
    }

    /// Status line, headers and body; empty if nobody answers.
    fn ask(&self, method: &str, path: &str) -> String {
        let mut answer = Vec::new();
        let exchange = TcpStream::connect(&self.address).and_then(|mut stream| {
            let host = &self.address;
            write!(
                stream,
                "{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"
            )?;
            stream.read_to_end(&mut answer)
        });
        if exchange.is_err() {
            return String::new();
        }
        String::from_utf8_lossy(&answer).trim_end().to_owned()
    }

    fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while !is_so() {
            assert!(
                Instant::now() < deadline,
                "Consul at {}: never so: {what}",
                self.address
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}
