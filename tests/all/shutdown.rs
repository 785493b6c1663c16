//! An orderly end: alone in its process, as it waits for every client of it.

use crate::support::prelude::{self, *};
use crate::support::proxy::{Fault, Proxy, Seen};

fn lock(client: &Client) -> Lock {
    prelude::lock(client, "shutdown", &[])
}

/// A create that Consul refused is over: nothing waits for an answer that has come.
#[test]
fn a_create_that_was_refused_is_not_under_way() {
    if ran_alone(a_create_that_was_refused_is_not_under_way) {
        return;
    }
    let consul = Consul::start();
    let answers = [
        (403, "Permission denied"),
        (400, "Request decode failed"),
        (500, "Invalid Session TTL '1'"),
        (500, "No cluster leader"),
    ];
    for (status, body) in answers {
        let proxy = Proxy::start(consul.address(), move |seen: &Seen| match seen.kind() {
            "create" => Fault::Answer(status, body),
            _ => Fault::Pass,
        });
        let mut options = Options::new();
        options.set("address", proxy.address()).unwrap();
        let client = Client::new(Some(&options)).unwrap();
        lock(&client).acquire().expect_err(body);
        consul_lock::client::shutdown(Duration::from_secs(10)).expect("nothing is under way");
    }
    consul.has_nothing_left();
}

#[test]
fn shutdown_ends_warm_sessions() {
    if ran_alone(shutdown_ends_warm_sessions) {
        return;
    }
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
