//! What keeps a promise comes before what makes a new one.

use crate::support::prelude::{self, *};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::proxy::{Fault, Proxy};

fn client(address: &str) -> Client {
    prelude::client(address, &[("release_timeout_ms", "60000")])
}

/// Each request takes 50 ms, and what fifteen hundred acquires ask takes far longer than the life of a lock.
#[test]
fn renewals_and_releases_are_not_behind_acquires() {
    const MANY: usize = 1_500;
    let consul = Consul::start();
    let proxy = Proxy::start(consul.address(), |_| {
        Fault::DelayBefore(Duration::from_millis(50))
    });
    let client = client(proxy.address());
    let renewed = [("lock_timeout_seconds", "10"), ("auto_renew", "true")];
    let held: Vec<Lock> = (0..3)
        .map(|number| lock(&client, &format!("held/{number}"), &renewed))
        .collect();
    held.iter().for_each(|lock| lock.acquire().expect("free"));
    let given_back = lock(&client, "given back", &[("lock_timeout_seconds", "60")]);
    given_back.acquire().expect("free");

    let ended = Arc::new(AtomicUsize::new(0));
    let more: Vec<Lock> = (0..MANY)
        .map(|number| {
            lock(
                &client,
                &format!("more/{number}"),
                &[("acquire_timeout_ms", "-1")],
            )
        })
        .collect();
    for lock in &more {
        let ended = ended.clone();
        let done = Completion::new(move |_| {
            ended.fetch_add(1, Ordering::SeqCst);
        });
        lock.acquire_start(done).expect("it starts");
    }
    let begun = Instant::now();
    given_back.release().expect("confirmed");
    assert!(
        ended.load(Ordering::SeqCst) < MANY / 2,
        "the others are still at it"
    );
    while begun.elapsed() < Duration::from_secs(14) {
        for lock in &held {
            assert!(lock.is_held(), "lost after {:?}", begun.elapsed());
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(ended.load(Ordering::SeqCst) < MANY, "too few of them");
    proxy.set(|_| Fault::Pass);
    for lock in &held {
        lock.check().expect("held");
        lock.release().expect("held");
    }
    more.iter().for_each(Lock::cancel);
    drop(more);
    until("all have ended", || ended.load(Ordering::SeqCst) == MANY);
    consul.has_nothing_left();
}
