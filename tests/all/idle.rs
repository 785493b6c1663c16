//! What a client leaves when it does nothing: no thread and no connection. Alone in its process, as it counts
//! threads.

use crate::support::prelude::*;
use std::fs;

fn connections(client: &Client) -> u64 {
    number(client, "connections")
}

/// The sockets of this process that lead to Consul.
fn sockets(consul: &Consul) -> usize {
    let port = consul.address().rsplit_once(':').expect("a port").1;
    let port: u16 = port.parse().expect("a number");
    let ends = format!(":{port:04X}");
    let open = fs::read_to_string("/proc/self/net/tcp").expect("Linux");
    let mut open = open.lines().map(str::split_whitespace);
    // The remote address, and "established".
    open.by_ref()
        .filter(|line| {
            let words: Vec<&str> = line.clone().collect();
            words.get(2).is_some_and(|remote| remote.ends_with(&ends))
                && words.get(3) == Some(&"01")
        })
        .count()
}

#[test]
fn nothing_is_left_where_nothing_is_done() {
    if ran_alone(nothing_is_left_where_nothing_is_done) {
        return;
    }
    let consul = Consul::start();
    let client = client(consul.address(), &[]);

    // A burst of one client, which stays.
    thread::scope(|scope| {
        for number in 0..20 {
            let lock = lock(&client, &format!("burst/{number}"), &[]);
            scope.spawn(move || {
                lock.acquire().expect("free");
                thread::sleep(Duration::from_millis(300));
                lock.release().expect("held");
            });
        }
    });
    assert!(connections(&client) > 1, "it was a burst");
    until("its connections are closed", || connections(&client) == 0);
    until("its threads have ended", || threads() == 0);

    // A question alone: nothing has a deadline.
    client.holder("burst/0").expect("an answer");
    assert_eq!(connections(&client), 1);
    until("its connection is closed", || connections(&client) == 0);
    until("its threads have ended", || threads() == 0);

    // While a lock is held, one connection stays, however little it is needed.
    let held = lock(&client, "held", &[]);
    held.acquire().expect("free");
    thread::sleep(Duration::from_secs(8));
    assert!(connections(&client) >= 1);
    held.release().expect("held");
    drop(held);
    until("its threads have ended", || threads() == 0);

    // Clients that are freed leave at once what a client that stays keeps for some seconds.
    let begun = Instant::now();
    for number in 0..50 {
        let once = self::client(consul.address(), &[]);
        let lock = lock(&once, &format!("once/{number}"), &[]);
        lock.acquire().expect("free");
        lock.release().expect("held");
    }
    let used = begun.elapsed();
    // A slow machine has its seconds: of the first ones, all is gone in any case.
    until("nothing is left of any", || {
        threads() == 0 && sockets(&consul) == 0
    });
    let took = begun.elapsed() - used;
    assert!(took < Duration::from_secs(4), "it took {took:?}");
    consul.has_nothing_left();
}
