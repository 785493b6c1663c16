//! An orderly end: alone in its process, as it waits for every client of it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing
)] // helpers of tests

mod support;

use std::time::Duration;

use consul_lock::client::Client;
use consul_lock::lock::Lock;
use consul_lock::options::Options;
use support::consul::Consul;

fn lock(client: &Client) -> Lock {
    let mut options = Options::new();
    options.set_client(client.clone());
    Lock::new("shutdown", Some(&options)).unwrap()
}

#[test]
fn shutdown_ends_warm_sessions() {
    let consul = Consul::start();
    let mut options = Options::new();
    options.set("address", consul.address()).unwrap();
    let client = Client::new(Some(&options)).unwrap();
    for _ in 0..3 {
        let lock = lock(&client);
        lock.acquire().unwrap();
        lock.release().unwrap();
    }
    assert_eq!(consul.sessions().len(), 1, "one is kept warm");
    consul_lock::client::shutdown(Duration::from_secs(10)).unwrap();
    assert_eq!(consul.sessions().len(), 0);
    let lock = lock(&client);
    lock.acquire().expect("clients stay usable");
    lock.release().unwrap();
    consul.has_nothing_left();
}
