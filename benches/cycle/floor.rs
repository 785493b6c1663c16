//! What a cycle costs at least: a keep-alive socket, the fewest requests, and no look at the answers
//! beyond the status and what the next request needs.

use std::io::{Read, Write};
use std::net::TcpStream;

/// What the library writes under a key by default: when the lock was acquired.
const VALUE: &str = "eyJsb2NrZWRfYXQiOiIyMDI2LTAxLTAxVDAwOjAwOjAwLjAwMFoifQ==";

/// One connection.
pub(crate) struct Floor {
    socket: TcpStream,
    host: String,
    buffer: Vec<u8>,
    session: String,
    key: String,
}

impl Floor {
    pub(crate) fn new(address: &str) -> Floor {
        let socket = TcpStream::connect(address).expect("Consul");
        socket.set_nodelay(true).expect("a socket");
        let key = format!("floor/{}", socket.local_addr().expect("an address").port());
        let mut floor = Floor {
            socket,
            host: address.to_owned(),
            buffer: vec![0; 16 << 10],
            session: String::new(),
            key,
        };
        floor.session = floor.create();
        floor
    }

    /// A `lock` and a `check-session` + `delete`, with a session at hand.
    pub(crate) fn lock_and_delete(&mut self) {
        let session = self.session.clone();
        self.lock(&session);
        self.delete();
    }

    fn delete(&mut self) {
        let (session, key) = (&self.session, &self.key);
        let body = format!(
            "[{{\"KV\":{{\"Verb\":\"check-session\",\"Key\":\"{key}\",\"Session\":\"{session}\"}}}},\
             {{\"KV\":{{\"Verb\":\"delete\",\"Key\":\"{key}\"}}}}]"
        );
        self.put("/v1/txn", &body);
    }

    /// The requests of the library's cycle.
    pub(crate) fn as_the_library(&mut self) {
        let (session, key) = (&self.session, &self.key);
        let body = format!(
            "[{{\"KV\":{{\"Verb\":\"check-not-exists\",\"Key\":\"{key}\"}}}},\
             {{\"KV\":{{\"Verb\":\"lock\",\"Key\":\"{key}\",\"Value\":\"{VALUE}\",\
             \"Flags\":3304740253564472344,\"Session\":\"{session}\"}}}},\
             {{\"KV\":{{\"Verb\":\"get-tree\",\"Key\":\"{key}/.share/\"}}}}]"
        );
        self.put("/v1/txn", &body);
        self.delete();
    }

    /// A session for each lock, destroyed to release it.
    pub(crate) fn create_lock_destroy(&mut self) {
        if !self.session.is_empty() {
            self.end();
        }
        let session = self.create();
        self.lock(&session);
        self.put(&format!("/v1/session/destroy/{session}"), "");
    }

    /// Ends the session at hand.
    pub(crate) fn end(&mut self) {
        let session = std::mem::take(&mut self.session);
        self.put(&format!("/v1/session/destroy/{session}"), "");
    }

    fn create(&mut self) -> String {
        let body =
            r#"{"Name":"floor","TTL":"180s","Behavior":"delete","LockDelay":"0s","NodeChecks":[]}"#;
        let answer = self.put("/v1/session/create", body);
        let (_, id) = answer.split_once("\"ID\"").expect("an id");
        id.split('"').nth(1).expect("an id").to_owned()
    }

    fn lock(&mut self, session: &str) {
        let key = &self.key;
        let body = format!(
            "[{{\"KV\":{{\"Verb\":\"lock\",\"Key\":\"{key}\",\"Value\":\"Zmxvb3I=\",\"Session\":\"{session}\"}}}}]"
        );
        self.put("/v1/txn", &body);
    }

    fn put(&mut self, path: &str, body: &str) -> String {
        let (host, length) = (&self.host, body.len());
        let request = format!(
            "PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.socket.write_all(request.as_bytes()).expect("sent");
        let mut filled = 0;
        loop {
            let read = self
                .socket
                .read(&mut self.buffer[filled..])
                .expect("an answer");
            assert!(read > 0, "Consul closed the connection");
            filled += read;
            let answer = std::str::from_utf8(&self.buffer[..filled]).expect("UTF-8");
            let Some((head, body)) = answer.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head.split("Content-Length: ").nth(1).expect("a length");
            let length: usize = length
                .lines()
                .next()
                .expect("a length")
                .parse()
                .expect("a length");
            if body.len() == length {
                assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
                return body.to_owned();
            }
        }
    }
}
