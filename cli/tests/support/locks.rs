//! Locks that the test itself holds, by the library or as another program does.

use std::thread::{self, JoinHandle};

use consul_lock::client::Client;
use consul_lock::lock::Lock;
use consul_lock::options::Options;
use serde_json::{Value as Json, json};

use super::consul::{Consul, until};

fn options(more: &[(&str, &str)]) -> Options {
    let mut options = Options::new();
    for (name, value) in more {
        options.set(name, value).expect("an option");
    }
    options
}

/// A client of a Consul.
pub(crate) fn client(consul: &Consul, more: &[(&str, &str)]) -> Client {
    let mut all = vec![("address", consul.address())];
    all.extend_from_slice(more);
    Client::new(Some(&options(&all))).expect("a client")
}

/// A lock of a new client, made with these options.
pub(crate) fn lock(consul: &Consul, key: &str, more: &[(&str, &str)]) -> Lock {
    let client = client(consul, &[]);
    Lock::new(key, Some(&options(more)), Some(&client)).expect("a lock")
}

/// A lock that is held.
pub(crate) fn held(consul: &Consul, key: &str, more: &[(&str, &str)]) -> Lock {
    let lock = lock(consul, key, more);
    lock.acquire().expect("free");
    lock
}

/// Begins to wait in the line of a key, as number `number` of the line. The thread gives the lock back as soon as it
/// has it.
pub(crate) fn waiting(
    consul: &Consul,
    key: &str,
    number: usize,
    more: &[(&str, &str)],
) -> JoinHandle<()> {
    let mut all = vec![("acquire_timeout_ms", "60000")];
    all.extend_from_slice(more);
    let lock = lock(consul, key, &all);
    let waiter = thread::spawn(move || {
        lock.acquire().expect("its turn");
        lock.release().expect("held");
    });
    let line = format!("locks/ephemeral/{key}/.fifo/");
    until("it stands in line", || {
        let keys = consul.keys();
        keys.iter().filter(|key| key.starts_with(&line)).count() == number
    });
    waiter
}

/// Another program's session, made with these settings, which takes the key as `consul lock` does.
pub(crate) fn foreign(consul: &Consul, key: &str, settings: Json) -> String {
    let mut session = json!({"Name": "Consul API Lock", "TTL": "60s", "LockDelay": "0s"});
    for (name, value) in settings.as_object().expect("settings") {
        session[name] = value.clone();
    }
    let reply = consul.request("PUT", "/v1/session/create", &session.to_string());
    let session: Json = serde_json::from_str(&reply.body).expect("a session");
    let session = session["ID"].as_str().expect("an id").to_owned();
    let path = format!("/v1/kv/{key}?acquire={session}&flags=3304740253564472344");
    assert_eq!(consul.request("PUT", &path, "theirs").body.trim(), "true");
    session
}
