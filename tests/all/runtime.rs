//! Callers, threads and deadlines: what the runtime owes its callers, against a real Consul and
//! against peers that never answer.

use crate::support::prelude::{self, *};
use std::net::TcpListener;

fn client(address: &str) -> Client {
    // Two hundred releases at once take their time.
    prelude::client(address, &[("release_timeout_ms", "20000")])
}

fn lock(client: &Client, key: &str, wait_ms: i64) -> Lock {
    let wait = wait_ms.to_string();
    prelude::lock(
        client,
        key,
        &[
            ("acquire_timeout_ms", &wait),
            ("lock_timeout_seconds", "60"),
        ],
    )
}

/// Cancels an acquire that has run for `after`; answers its outcome, and how long that took.
fn cancelled(lock: Lock, after: Duration) -> (Result<(), Error>, Duration) {
    let lock = Arc::new(lock);
    let acquiring = thread::spawn({
        let lock = lock.clone();
        move || (lock.acquire(), Instant::now())
    });
    thread::sleep(after);
    let cancelled = Instant::now();
    lock.cancel();
    assert!(
        cancelled.elapsed() < Duration::from_secs(5),
        "cancel blocked"
    );
    let (outcome, ended) = acquiring.join().expect("no panic");
    (outcome, ended.saturating_duration_since(cancelled))
}

fn is_cancelled(what: &str, (outcome, took): (Result<(), Error>, Duration)) {
    let error = outcome.expect_err(what);
    assert_eq!(error.status, Status::Cancelled, "{what}: {error}");
    assert!(took < Duration::from_secs(5), "{what}: it took {took:?}");
}

#[test]
fn a_cancel_is_prompt_wherever_the_acquire_is() {
    let consul = Consul::start();
    let warm = client(consul.address());
    let holder = lock(&warm, "cancel", 0);
    holder.acquire().expect("free");
    for after in [0, 1, 5, 50, 500] {
        let waiting = lock(&warm, "cancel", -1);
        is_cancelled("a wait", cancelled(waiting, Duration::from_millis(after)));
    }
    holder.check().expect("still held");
    holder.release().expect("held");

    // Accepts and never answers: connected, and in the middle of a request.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address").to_string();
    let stuck = lock(&client(&address), "cancel", 30_000);
    is_cancelled("a request", cancelled(stuck, Duration::from_millis(300)));
    consul.has_nothing_left();
}

#[test]
fn an_outcome_comes_in_time_from_a_peer_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address").to_string();
    let begun = Instant::now();
    let error = lock(&client(&address), "silent", 700)
        .acquire()
        .expect_err("the peer never answers");
    assert_eq!(error.status, Status::Unavailable, "{error}");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(690), "too early: {took:?}");
    assert!(took < Duration::from_secs(4), "too late: {took:?}");
}

#[test]
fn more_waiters_than_threads_all_end_at_their_deadline() {
    const WAITERS: usize = 200;
    let consul = Consul::start();
    let holding = client(consul.address());
    let held: Vec<Lock> = (0..WAITERS)
        .map(|i| {
            let lock = lock(&holding, &format!("many/{i}"), 10_000);
            lock.acquire().expect("free");
            lock
        })
        .collect();

    let waiting = client(consul.address());
    let wait = Duration::from_secs(3);
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..WAITERS)
            .map(|i| {
                let lock = lock(&waiting, &format!("many/{i}"), 3_000);
                scope.spawn(move || {
                    let begun = Instant::now();
                    (lock.acquire(), begun.elapsed())
                })
            })
            .collect();
        let mut in_doubt = 0;
        for waiter in waiters {
            let (outcome, took) = waiter.join().expect("no panic");
            let error = outcome.expect_err("all keys are held");
            // A slow machine does not answer all their last looks in time.
            match error.status {
                Status::NotAcquired => {}
                Status::Unavailable => in_doubt += 1,
                _ => panic!("{error}"),
            }
            assert!(
                took >= wait - Duration::from_millis(10),
                "too early: {took:?}"
            );
            assert!(took < wait * 4, "too late: {took:?}");
        }
        assert!(in_doubt < WAITERS, "Consul said of none that it is held");
    });

    thread::scope(|scope| {
        for lock in &held {
            scope.spawn(move || lock.release().expect("held"));
        }
    });
    consul.has_nothing_left();
}

#[test]
fn a_waiter_has_it_when_it_is_released() {
    let consul = Consul::start();
    let holding = client(consul.address());
    let waiting = client(consul.address());
    let held = lock(&holding, "handed", 0);
    held.acquire().expect("free");
    let waiter = thread::spawn(move || {
        let lock = lock(&waiting, "handed", 20_000);
        lock.acquire().expect("released before the deadline");
        let at = Instant::now();
        (lock, at)
    });
    thread::sleep(Duration::from_millis(500));
    let released = Instant::now();
    held.release().expect("held");
    let (lock, at) = waiter.join().expect("no panic");
    let took = at.saturating_duration_since(released);
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    assert!(lock.fencing_token() > held.fencing_token());
    drop(lock);
    consul.has_nothing_left();
}
