//! Locks that are bound to the queue of a thread which is ended without a last word.

use crate::support::prelude::{self, *};
use std::os::fd::OwnedFd;

use consul_lock::queue::{News, Queue};

/// A lock that waits until it is served, lives for 10 s, and goes with `queue`.
fn bound(client: &Client, queue: &Arc<Queue>, key: &str, auto_renew: bool) -> Lock {
    let options = [
        ("acquire_timeout_ms", "-1"),
        ("lock_timeout_seconds", "10"),
        ("auto_renew", if auto_renew { "true" } else { "false" }),
    ];
    let lock = lock(client, key, &options);
    lock.bind(queue.clone()).expect("this process's");
    lock
}

fn start(lock: &Lock, queue: &Arc<Queue>) {
    let sender = queue.sender(1);
    let done = Completion::prompt(move |outcome| sender.put(News::Done(outcome)));
    lock.acquire_start(done).expect("it starts");
}

fn queue() -> (Arc<Queue>, OwnedFd) {
    Queue::new().expect("a queue")
}

#[test]
fn a_wait_whose_reader_is_gone_blocks_nobody() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let (mine, _reader) = queue();
    let held = bound(&client, &mine, "orphan/wait", false);
    held.acquire().expect("free");

    // Two of the same client behind each other, and one of another client behind them.
    let (theirs, reader) = queue();
    let orphans = [0, 1].map(|_| bound(&client, &theirs, "orphan/wait", true));
    for orphan in &orphans {
        start(orphan, &theirs);
    }
    std::thread::sleep(Duration::from_millis(300));
    let other = prelude::client(consul.address(), &[]);
    let last = bound(&other, &mine, "orphan/wait", false);
    start(&last, &mine);
    std::thread::sleep(Duration::from_millis(300));

    drop(reader);
    held.release().expect("held");
    let begun = Instant::now();
    until("the last is served", || last.is_held());
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "no TTL was waited for"
    );
    last.release().expect("held");
    assert!(orphans.iter().all(|orphan| !orphan.is_held()));
    drop((client, other));
    consul.has_nothing_left();
}

#[test]
fn any_number_of_waits_whose_reader_is_gone_end_one_after_the_other() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let (mine, _reader) = queue();
    let held = bound(&client, &mine, "orphan/many", false);
    held.acquire().expect("free");
    let (theirs, reader) = queue();
    let orphans = [0; 2000].map(|_| bound(&client, &theirs, "orphan/many", false));
    for orphan in &orphans {
        start(orphan, &theirs);
    }
    let last = bound(&client, &mine, "orphan/many", false);
    start(&last, &mine);
    drop(reader);
    held.release().expect("held");
    until("the last is served", || last.is_held());
    last.release().expect("held");
    assert!(orphans.iter().all(|orphan| !orphan.is_held()));
    drop(client);
    consul.has_nothing_left();
}

#[test]
fn a_held_lock_whose_reader_is_gone_is_renewed_no_more() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let (theirs, reader) = queue();
    let (mine, _reader) = queue();
    let orphan = bound(&client, &theirs, "orphan/held", true);
    start(&orphan, &theirs);
    until("it is taken", || orphan.is_held());
    let kept = bound(&client, &mine, "orphan/kept", true);
    start(&kept, &mine);
    until("it is taken", || kept.is_held());

    drop(reader);
    until("it is given up", || !orphan.is_held());
    // Consul ends the session by its TTL; another lock gets the key, and the kept lock still lives.
    let heir = bound(&client, &mine, "orphan/held", false);
    start(&heir, &mine);
    until("the heir is served", || heir.is_held());
    assert!(kept.is_held());
    for lock in [&heir, &kept] {
        lock.release().expect("held");
    }
}

#[test]
fn a_lock_that_was_given_up_is_used_up() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let (theirs, reader) = queue();
    let lock = bound(&client, &theirs, "orphan/again", false);
    lock.acquire().expect("free");
    drop(reader);
    // It asks Consul something, so it is found out.
    let _ = lock.check();
    assert!(!lock.is_held());
    let error = lock.release().expect_err("given up");
    assert_eq!(error.status, Status::NotHeld, "{error}");
    let error = lock.acquire().expect_err("single use");
    assert_eq!(error.status, Status::AlreadyUsed, "{error}");
}
