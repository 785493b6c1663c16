//! What nearly every test and bench begins with: `use crate::support::prelude::*`.
#![allow(unused_imports)] // each test program uses a part of it

pub(crate) use std::sync::{Arc, Mutex, OnceLock};
pub(crate) use std::thread;
pub(crate) use std::time::{Duration, Instant};

pub(crate) use consul_lock::client::Client;
pub(crate) use consul_lock::error::{Error, Status};
pub(crate) use consul_lock::lock::{Completion, Lock};
pub(crate) use consul_lock::options::Options;
pub(crate) use serde_json::{Value as Json, json};

pub(crate) use super::alone::ran_alone;
pub(crate) use super::consul::{Consul, until};

fn set(options: &mut Options, more: &[(&str, &str)]) {
    for (name, value) in more {
        options.set(name, value).expect("an option");
    }
}

/// A client of the Consul at an address, with more options.
pub(crate) fn client(address: &str, more: &[(&str, &str)]) -> Client {
    let mut options = Options::new();
    set(&mut options, &[("address", address)]);
    set(&mut options, more);
    Client::new(Some(&options)).expect("a client")
}

/// A lock of a client, with options.
pub(crate) fn lock(client: &Client, key: &str, more: &[(&str, &str)]) -> Lock {
    let mut options = Options::new();
    set(&mut options, more);
    Lock::new(key, Some(&options), Some(client)).expect("a lock")
}

/// A lock whose acquire waits for so long; 0 is one attempt, -1 is no limit.
pub(crate) fn lock_within(client: &Client, key: &str, wait_ms: i64) -> Lock {
    lock(client, key, &[("acquire_timeout_ms", &wait_ms.to_string())])
}

/// A key as Consul has it.
pub(crate) fn full(key: &str) -> String {
    format!("locks/ephemeral/{key}")
}

/// The status of a call that failed.
#[track_caller]
pub(crate) fn status<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Status {
    outcome.expect_err("a failure").status
}

/// The numbers of a client.
pub(crate) fn stats(client: &Client) -> Json {
    serde_json::from_str(&client.stats()).expect("JSON")
}

/// One of the numbers of a client.
pub(crate) fn number(client: &Client, name: &str) -> u64 {
    stats(client)[name].as_u64().expect(name)
}

/// How many threads of the library this process has.
pub(crate) fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("consul_lock")).count()
}
