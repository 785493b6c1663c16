//! Many short lives of locks, in all their ways to end; afterwards the process has no more threads,
//! descriptors and pages than after the first ones, and Consul no key and no session.
//!
//! SOAK_SECONDS=600 makes it a longer one.

use crate::support::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::memory;

/// Threads that use the library at the same time.
const THREADS: u64 = 8;

/// Connections that may be open at the end and were not before: a client keeps at most so many for
/// its later requests.
const SPARE: usize = 16;

/// What memory may grow by, in KiB: allocators keep some, and a leak grows with the time.
const SLACK: u64 = 16 * 1024;

/// What this process uses of the system.
#[derive(Debug)]
struct Usage {
    threads: usize,
    descriptors: usize,
    resident: u64,
}

impl Usage {
    fn now() -> Usage {
        let entries = |folder| std::fs::read_dir(folder).expect("/proc").count();
        Usage {
            threads: entries("/proc/self/task"),
            descriptors: entries("/proc/self/fd"),
            resident: memory("VmRSS") as u64 / 1024,
        }
    }
}

fn new(client: &Client, key: &str) -> Lock {
    lock(client, key, &[])
}

fn patient(client: &Client, key: &str, timeout_ms: &str) -> Lock {
    lock(client, key, &[("acquire_timeout_ms", timeout_ms)])
}

/// The life number `turn` of a thread, whose keys begin with `own`.
fn live(consul: &Consul, client: &Client, own: &str, turn: u64) {
    match turn % 8 {
        // All threads want one key.
        0 | 1 => {
            let lock = patient(client, "shared", "60000");
            lock.acquire().unwrap();
            lock.release().unwrap();
        }
        // It is dropped while it is held.
        2 => new(client, own).acquire().unwrap(),
        // Two waits that end in vain: at once, and at a deadline.
        3 => {
            let held = new(client, own);
            held.acquire().unwrap();
            let error = new(client, own).acquire().unwrap_err();
            assert_eq!(error.status, Status::NotAcquired, "{error}");
            let error = patient(client, own, "500").acquire().unwrap_err();
            // Whether or not Consul answered in that time.
            assert!(
                matches!(error.status, Status::NotAcquired | Status::Unavailable),
                "{error}"
            );
            held.release().unwrap();
        }
        // The lock is lost, because an operator destroys its session.
        4 => {
            let lock = new(client, own);
            lock.acquire().unwrap();
            consul.destroy(&lock.session_id().unwrap());
            assert_eq!(lock.check().unwrap_err().status, Status::Lost);
        }
        // A wait that another thread cancels.
        5 => {
            let held = new(client, own);
            held.acquire().unwrap();
            let waiting = patient(client, own, "60000");
            thread::scope(|scope| {
                let waiter = scope.spawn(|| waiting.acquire());
                waiting.cancel();
                let error = waiter.join().unwrap().unwrap_err();
                assert_eq!(error.status, Status::Cancelled, "{error}");
            });
            held.release().unwrap();
        }
        // A client for one lock. One thread's are enough: Consul serves 200 connections of one
        // address, and a client keeps its own for some seconds after its last lock.
        6 if own == "own-0" => {
            let client = client_of(consul);
            let lock = new(&client, own);
            lock.acquire().unwrap();
            lock.release().unwrap();
        }
        // A lock that its caller never acquires.
        _ => drop(new(client, own)),
    }
}

fn client_of(consul: &Consul) -> Client {
    client(consul.address(), &[])
}

/// Lives lives for so long, and waits until Consul has nothing of them. Answers how many.
fn soak(consul: &Consul, client: &Client, length: Duration) -> u64 {
    let end = Instant::now() + length;
    let lives = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let lives = &lives;
            scope.spawn(move || {
                let own = format!("own-{thread}");
                for turn in thread.. {
                    // Every way has its turn, however short the time.
                    if Instant::now() > end && turn >= thread + 8 {
                        return;
                    }
                    live(consul, client, &own, turn);
                    lives.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    consul.has_nothing_left();
    lives.into_inner()
}

#[test]
fn nothing_grows() {
    if ran_alone(nothing_grows) {
        return;
    }
    let seconds = std::env::var("SOAK_SECONDS").ok();
    let seconds = seconds.map_or(10, |text| text.parse().expect("a number of seconds"));
    let consul = Consul::start();
    let client = client_of(&consul);
    // The first lives start what the process keeps.
    soak(&consul, &client, Duration::from_secs(3));
    let before = Usage::now();
    let lives = soak(&consul, &client, Duration::from_secs(seconds));
    println!("{lives} lives in {seconds} s");
    until(
        "no more threads and hardly more descriptors than before",
        || {
            let now = Usage::now();
            now.threads <= before.threads && now.descriptors <= before.descriptors + SPARE
        },
    );
    let after = Usage::now();
    println!("before {before:?}, after {after:?}");
    assert!(
        after.resident <= before.resident + SLACK,
        "{before:?}, {after:?}"
    );
}
