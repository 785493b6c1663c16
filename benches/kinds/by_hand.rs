//! A read/write lock as programs write it themselves: one key with the number of readers and whether there is a writer,
//! changed by compare-and-set, and watched by a blocking query while it does not let one in. It has no order, and a
//! process that dies inside leaves its count behind.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};

use crate::support::http::Message;

pub(crate) struct ByHand {
    stream: BufReader<TcpStream>,
    address: String,
    key: String,
    /// How many requests it has sent.
    sent: Arc<AtomicU64>,
}

/// The key as it is.
struct Guard {
    readers: i64,
    has_writer: bool,
    /// What compare-and-set compares; 0: there is no key.
    modify_index: u64,
    /// What a blocking query waits from.
    index: u64,
}

impl ByHand {
    pub(crate) fn new(address: &str, key: &str, sent: Arc<AtomicU64>) -> ByHand {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        ByHand {
            stream: BufReader::new(stream),
            address: address.to_owned(),
            key: key.to_owned(),
            sent,
        }
    }

    pub(crate) fn enter(&mut self, writes: bool) -> Result<(), String> {
        let mut guard = self.read(None)?;
        loop {
            let lets_in = !guard.has_writer && (!writes || guard.readers == 0);
            if lets_in && self.change(&guard, writes, 1)? {
                return Ok(());
            }
            guard = match lets_in {
                // Another one was faster.
                true => self.read(None)?,
                false => self.read(Some(guard.index))?,
            };
        }
    }

    pub(crate) fn leave(&mut self, writes: bool) -> Result<(), String> {
        loop {
            let guard = self.read(None)?;
            if self.change(&guard, writes, -1)? {
                return Ok(());
            }
        }
    }

    fn change(&mut self, guard: &Guard, writes: bool, by: i64) -> Result<bool, String> {
        let value = match writes {
            true => json!({"readers": guard.readers, "writer": by > 0}),
            false => json!({"readers": guard.readers + by, "writer": guard.has_writer}),
        };
        let target = format!("/v1/kv/{}?cas={}", self.key, guard.modify_index);
        let reply = self.exchange("PUT", &target, &value.to_string())?;
        Ok(reply.body.starts_with(b"true"))
    }

    fn read(&mut self, after: Option<u64>) -> Result<Guard, String> {
        let target = match after {
            Some(index) => format!("/v1/kv/{}?index={index}&wait=10s", self.key),
            None => format!("/v1/kv/{}", self.key),
        };
        let reply = self.exchange("GET", &target, "")?;
        let index = reply.header("X-Consul-Index");
        let index = index.and_then(|index| index.parse().ok()).unwrap_or(0);
        let rows: Json = serde_json::from_slice(&reply.body).unwrap_or_default();
        let row = &rows[0];
        let value = BASE64.decode(row["Value"].as_str().unwrap_or_default());
        let value: Json = serde_json::from_slice(&value.unwrap_or_default()).unwrap_or_default();
        Ok(Guard {
            readers: value["readers"].as_i64().unwrap_or(0),
            has_writer: value["writer"].as_bool().unwrap_or(false),
            modify_index: row["ModifyIndex"].as_u64().unwrap_or(0),
            index,
        })
    }

    fn exchange(&mut self, method: &str, target: &str, body: &str) -> Result<Message, String> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let (address, size) = (&self.address, body.len());
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {size}\r\n\r\n{body}"
        );
        let stream = self.stream.get_mut();
        let written = stream.write_all(request.as_bytes());
        let reply = written.and_then(|()| Message::reply(&mut self.stream));
        reply.map_err(|error| error.to_string())
    }
}
