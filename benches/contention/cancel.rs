//! How fast a waiting acquire ends when it is cancelled from another thread.

use crate::common::prelude::*;

use crate::contender;

const TIMES: u64 = 200;

pub(crate) fn table() -> Table {
    Table::new(
        "cancel of a waiting acquire, until it returns",
        &["server"],
        &[("median", "ms"), ("p99", "ms"), ("reach", "")],
    )
}

pub(crate) fn measure(table: &mut Table, servers: &Servers) {
    let times = times(servers);
    table.row(
        &[servers.name()],
        vec![
            Cell::new(median(&times), 3),
            Cell::new(percentile(&times, 0.99), 3),
            Cell::text("10 ms"),
        ],
    );
}

fn times(servers: &Servers) -> Vec<f64> {
    let consul = servers.consul();
    let other = consul.other_holds("locks/ephemeral/cancel");
    let mut options = contender::options(consul.address(), &[]);
    options
        .set_int("acquire_timeout_ms", 60_000)
        .expect("in range");
    let cancel = |number: u64| {
        let lock = Arc::new(Lock::new("cancel", Some(&options), None).expect("a lock"));
        let waiter = Arc::clone(&lock);
        let waiter = std::thread::spawn(move || {
            let outcome = waiter.acquire();
            (outcome, clock())
        });
        // At any instant of its life, from its first request to deep in the wait.
        std::thread::sleep(Duration::from_micros(500 + number * 100));
        let begun = clock();
        lock.cancel();
        let (outcome, ended) = waiter.join().expect("a thread");
        let error = outcome.expect_err("it is held");
        assert_eq!(error.status, Status::Cancelled, "{}", error.message);
        ms_between(begun, ended)
    };
    let times = (0..TIMES).map(cancel).collect();
    consul.destroy(&other);
    times
}
