//! What a pending acquire costs: alone in its process, as it looks at its memory.

use crate::support::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::memory;

#[test]
fn many_pending_acquires_cost_little() {
    if ran_alone(many_pending_acquires_cost_little) {
        return;
    }
    const MANY: usize = 10_000;
    let consul = Consul::start();
    let holding = client(consul.address(), &[]);
    let held = lock_within(&holding, "many", 0);
    held.acquire().expect("free");

    let waiting = client(consul.address(), &[]);
    // Threads and connections are there before the first look at the memory.
    let told = Arc::new(AtomicUsize::new(0));
    let start = |lock: &Lock| {
        let told = told.clone();
        let started = lock.acquire_start(Completion::new(move |outcome| {
            assert_eq!(
                outcome.expect_err("cancelled").status,
                Status::Cancelled,
                "the holder never releases it"
            );
            told.fetch_add(1, Ordering::SeqCst);
        }));
        started.expect("it starts");
    };
    let first: Vec<Lock> = (0..200)
        .map(|_| lock_within(&waiting, "many", -1))
        .collect();
    first.iter().for_each(start);
    thread::sleep(Duration::from_secs(1));
    let before = memory("VmRSS");
    let locks: Vec<Lock> = (0..MANY)
        .map(|_| lock_within(&waiting, "many", -1))
        .collect();
    let made = memory("VmRSS");
    locks.iter().for_each(start);
    // Everybody has looked, and waits.
    thread::sleep(Duration::from_secs(3));
    let after = memory("VmRSS");
    println!(
        "{} bytes a pending acquire, {} of them the lock",
        (after - before) / MANY,
        (made - before) / MANY
    );
    assert_eq!(told.load(Ordering::SeqCst), 0);
    for lock in first.iter().chain(&locks) {
        lock.cancel();
    }
    until("all are told", || {
        told.load(Ordering::SeqCst) == MANY + first.len()
    });
    drop((first, locks, held));
    consul.has_nothing_left();
    assert!((after - before) / MANY <= 2_048);
}
