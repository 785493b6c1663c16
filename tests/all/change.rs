//! A lock that becomes a share of its key, and a share that becomes exclusive, without a gap, on a real Consul.

use crate::support::prelude::{self, *};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;

use crate::support::proxy::{Fault, Proxy, Seen};
use crate::support::rows::{self, is_taken, losses};
use consul_lock::error::LostReason;

/// One agent for the tests that count nothing in Consul. Each uses keys of its own.
fn consul() -> &'static Consul {
    static CONSUL: OnceLock<Consul> = OnceLock::new();
    CONSUL.get_or_init(Consul::start)
}

const ONCE: (&str, &str) = ("acquire_timeout_ms", "0");
const SHARE: (&str, &str) = ("mode", "share");

fn lock_at(address: &str, key: &str, more: &[(&str, &str)]) -> Lock {
    let client = client(address, &[("request_timeout_ms", "3000")]);
    let wait = [("acquire_timeout_ms", "60000")];
    prelude::lock(&client, key, &[&wait, more].concat())
}

/// A lock of another process.
fn elsewhere(key: &str, more: &[(&str, &str)]) -> Lock {
    lock_at(consul().address(), key, more)
}

/// A lock of another process, held.
fn held(key: &str, more: &[(&str, &str)]) -> Lock {
    let lock = elsewhere(key, more);
    lock.acquire().unwrap_or_else(|error| panic!("{error}"));
    lock
}

fn tickets(key: &str) -> usize {
    rows::tickets(consul(), key)
}

fn shares(key: &str) -> Vec<String> {
    rows::shares(consul(), key)
}

#[track_caller]
fn nothing_of(key: &str) {
    rows::nothing_of(consul(), key);
}

/// The lock is the one that holds the key, and no session shares it.
#[track_caller]
fn is_exclusive(lock: &Lock, key: &str) {
    lock.check().unwrap();
    assert!(lock.is_held());
    assert_eq!(consul().holder(&full(key)), lock.session_id());
    assert_eq!(shares(key), [""; 0]);
    let row = consul().row(&full(key)).unwrap();
    assert_eq!(row["ModifyIndex"], lock.fencing_token().unwrap());
}

/// The lock is the only one that shares the key.
#[track_caller]
fn is_the_share(lock: &Lock, key: &str) {
    lock.check().unwrap();
    assert!(lock.is_held());
    assert_eq!(consul().row(&full(key)), None);
    let rows = shares(key);
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = consul().row(&rows[0]).unwrap();
    assert_eq!(row["Session"], lock.session_id().unwrap().as_str());
    assert_eq!(row["ModifyIndex"], lock.fencing_token().unwrap());
}

// Down.

#[test]
fn a_downgrade_lets_those_in_that_share_and_no_writer() {
    let lock = held("down", &[]);
    let token = lock.fencing_token();
    let (reader, writer) = (elsewhere("down", &[SHARE]), elsewhere("down", &[]));
    thread::scope(|scope| {
        let reads = scope.spawn(|| reader.acquire());
        until("the reader waits", || tickets("down") == 1);
        let writes = scope.spawn(|| writer.acquire());
        until("the writer waits", || tickets("down") == 2);
        lock.downgrade().unwrap();
        reads.join().unwrap().unwrap();
        lock.check().unwrap();
        assert!(lock.is_held() && lock.fencing_token() > token);
        assert_eq!(lock.slot(), None);
        thread::sleep(Duration::from_millis(500));
        assert!(!writer.is_held() && !writes.is_finished());
        lock.release().unwrap();
        thread::sleep(Duration::from_millis(200));
        assert!(!writer.is_held());
        reader.release().unwrap();
        writes.join().unwrap().unwrap();
    });
    writer.release().unwrap();
    nothing_of("down");
}

/// A writer that comes first in line takes the gate after the downgrade, and waits for the share.
#[test]
fn a_writer_that_waits_gets_the_lock_only_after_the_share() {
    let lock = held("down-writer", &[]);
    let writer = elsewhere("down-writer", &[]);
    thread::scope(|scope| {
        let writes = scope.spawn(|| writer.acquire());
        until("the writer waits", || tickets("down-writer") == 1);
        lock.downgrade().unwrap();
        until("it has the gate", || is_taken(consul(), "down-writer"));
        lock.check().unwrap();
        assert!(lock.is_held() && !writer.is_held());
        lock.release().unwrap();
        writes.join().unwrap().unwrap();
    });
    writer.release().unwrap();
    nothing_of("down-writer");
}

#[test]
fn a_downgrade_goes_to_the_limit_of_the_lock() {
    let lock = held("down-limit", &[("mode", "exclusive"), ("limit", "2")]);
    assert_eq!(lock.slot(), None);
    lock.downgrade().unwrap();
    let slot = lock.slot().expect("a slot");
    assert!(slot < 2);
    is_the_share(&lock, "down-limit");
    let other = held("down-limit", &[SHARE, ("limit", "2"), ONCE]);
    assert_ne!(other.slot(), Some(slot));
    let third = elsewhere("down-limit", &[SHARE, ("limit", "2"), ONCE]);
    assert_eq!(status(third.acquire()), Status::NotAcquired);
    let fourth = elsewhere("down-limit", &[SHARE, ONCE]);
    assert_eq!(status(fourth.acquire()), Status::Conflict);
    other.release().unwrap();
    lock.release().unwrap();
    nothing_of("down-limit");
}

// Up.

#[test]
fn up_and_down_and_up_again() {
    let lock = held("up-down", &[SHARE]);
    let mut last = lock.fencing_token();
    for turn in 0..4 {
        if turn % 2 == 0 {
            lock.upgrade(0).unwrap();
            is_exclusive(&lock, "up-down");
            let late = elsewhere("up-down", &[SHARE, ONCE]);
            assert_eq!(status(late.acquire()), Status::NotAcquired);
        } else {
            lock.downgrade().unwrap();
            is_the_share(&lock, "up-down");
            held("up-down", &[SHARE, ONCE]).release().unwrap();
        }
        assert!(lock.fencing_token() > last);
        last = lock.fencing_token();
        lock.renew().unwrap();
        lock.put_if_held("data/up-down", b"v").unwrap();
        lock.delete_if_held("data/up-down").unwrap();
    }
    lock.release().unwrap();
    nothing_of("up-down");
}

#[test]
fn an_upgrade_waits_for_the_others_and_for_no_longer_than_it_may() {
    let more = [SHARE, ("limit", "3")];
    for (key, more) in [("up-reader", &more[..1]), ("up-permit", &more)] {
        let (lock, other) = (held(key, more), held(key, more));
        let slot = lock.slot();
        for wait in [0, 700] {
            let begun = Instant::now();
            let error = lock.upgrade(wait).unwrap_err();
            let took = begun.elapsed();
            assert_eq!(error.status, Status::NotAcquired, "{error}");
            assert!(error.message.contains("still share"), "{error}");
            assert!(
                error.message.contains(&other.session_id().unwrap()),
                "{error}"
            );
            let least = Duration::from_millis(wait.unsigned_abs());
            assert!(took + Duration::from_millis(5) >= least, "{took:?}");
            assert!(took < least + Duration::from_secs(5), "{took:?}");
            // A share, as before, beside the other.
            lock.check().unwrap();
            other.check().unwrap();
            assert!(lock.is_held());
            assert_eq!(lock.slot(), slot);
            assert_eq!(consul().row(&full(key)), None);
            assert_eq!(shares(key).len(), 2);
            held(key, &[more, &[ONCE]].concat()).release().unwrap();
        }
        thread::scope(|scope| {
            let up = scope.spawn(|| lock.upgrade(30_000));
            until("it has the key", || is_taken(consul(), key));
            let late = elsewhere(key, &[more, &[ONCE]].concat());
            assert_eq!(status(late.acquire()), Status::NotAcquired);
            thread::sleep(Duration::from_millis(300));
            assert!(!up.is_finished());
            other.release().unwrap();
            up.join().unwrap().unwrap();
        });
        is_exclusive(&lock, key);
        lock.release().unwrap();
        nothing_of(key);
    }
}

/// To wait for each other would be to wait for ever: the second one is told so, and keeps its share.
#[test]
fn of_two_upgraders_one_is_told_to_give_way() {
    let (first, second) = (held("two", &[SHARE]), held("two", &[SHARE]));
    thread::scope(|scope| {
        let up = scope.spawn(|| first.upgrade(-1));
        until("it has the key", || is_taken(consul(), "two"));
        let begun = Instant::now();
        let error = second.upgrade(-1).unwrap_err();
        assert_eq!(error.status, Status::NotAcquired, "{error}");
        assert!(error.message.contains("wait for each other"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        second.check().unwrap();
        assert!(second.is_held() && !up.is_finished());
        second.release().unwrap();
        up.join().unwrap().unwrap();
    });
    is_exclusive(&first, "two");
    first.release().unwrap();
    nothing_of("two");
}

/// A writer that has the gate waits for the share: an upgrade would be a deadlock, too.
#[test]
fn an_upgrade_beside_a_writer_that_waits_at_the_gate() {
    let (share, writer) = (held("gate", &[SHARE]), elsewhere("gate", &[]));
    thread::scope(|scope| {
        let writes = scope.spawn(|| writer.acquire());
        until("it has the gate", || is_taken(consul(), "gate"));
        assert_eq!(status(share.upgrade(-1)), Status::NotAcquired);
        share.check().unwrap();
        share.release().unwrap();
        writes.join().unwrap().unwrap();
    });
    writer.release().unwrap();
    nothing_of("gate");
}

/// Between the upgrade and the downgrade of a lock nothing changes what it has read: without a gap no update is lost.
#[test]
fn nothing_is_written_between_a_read_and_its_upgrade() {
    let (counter, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    let written = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..5 {
            let (counter, refused, written) = (&counter, &refused, &written);
            scope.spawn(move || {
                let client = client(consul().address(), &[]);
                let mut mine = 0;
                let begun = Instant::now();
                while mine < 6 && begun.elapsed() < Duration::from_secs(60) {
                    let wait = ("acquire_timeout_ms", "60000");
                    let lock = prelude::lock(&client, "update", &[wait, SHARE]);
                    lock.acquire().unwrap();
                    let read = counter.load(Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(3));
                    match lock.upgrade(20_000) {
                        Ok(()) => {
                            let now = counter.load(Ordering::SeqCst);
                            assert_eq!(now, read, "written between read and upgrade");
                            counter.store(read + 1, Ordering::SeqCst);
                            written.fetch_add(1, Ordering::SeqCst);
                            lock.downgrade().unwrap();
                            let now = counter.load(Ordering::SeqCst);
                            assert_eq!(now, read + 1, "written after the downgrade");
                            mine += 1;
                        }
                        Err(error) => {
                            assert_eq!(error.status, Status::NotAcquired, "{error}");
                            refused.fetch_add(1, Ordering::SeqCst);
                            lock.check().unwrap();
                        }
                    }
                    lock.release().unwrap();
                }
                assert_eq!(mine, 6);
            });
        }
    });
    println!("{written:?} written, {refused:?} refused");
    assert_eq!(counter.into_inner(), 30);
    nothing_of("update");
}

#[test]
fn a_cancel_turns_an_upgrade_back() {
    let (lock, other) = (held("cancel-up", &[SHARE]), held("cancel-up", &[SHARE]));
    thread::scope(|scope| {
        let up = scope.spawn(|| lock.upgrade(-1));
        until("it has the key", || is_taken(consul(), "cancel-up"));
        thread::sleep(Duration::from_millis(100));
        lock.cancel();
        assert_eq!(status(up.join().unwrap()), Status::Cancelled);
    });
    assert!(lock.is_held());
    lock.check().unwrap();
    assert_eq!(consul().row(&full("cancel-up")), None);
    other.release().unwrap();
    lock.upgrade(0).unwrap();
    lock.release().unwrap();
    nothing_of("cancel-up");
}

/// The release of a lock whose upgrade waits ends both.
#[test]
fn a_release_ends_an_upgrade_that_waits() {
    let (lock, other) = (held("release-up", &[SHARE]), held("release-up", &[SHARE]));
    thread::scope(|scope| {
        let up = scope.spawn(|| lock.upgrade(-1));
        until("it has the key", || is_taken(consul(), "release-up"));
        lock.release().unwrap();
        assert!(up.join().unwrap().is_err());
    });
    assert!(!lock.is_held());
    other.check().unwrap();
    until("the key is free", || {
        consul().row(&full("release-up")).is_none()
    });
    other.release().unwrap();
    nothing_of("release-up");
}

#[test]
fn changes_without_waiting() {
    let lock = held("start", &[SHARE]);
    let other = held("start", &[SHARE]);
    let (told, heard) = channel();
    let tell = || {
        let told = told.clone();
        Completion::new(move |outcome: Result<(), Error>| told.send(outcome).unwrap())
    };
    let next = || {
        heard
            .recv_timeout(Duration::from_secs(20))
            .expect("it is told")
    };
    lock.upgrade_start(-1, tell()).unwrap();
    until("it has the key", || is_taken(consul(), "start"));
    // Another change meanwhile is refused.
    lock.downgrade_start(tell()).unwrap();
    assert_eq!(status(next()), Status::InvalidArgument);
    other.release().unwrap();
    next().unwrap();
    is_exclusive(&lock, "start");
    lock.downgrade_start(tell()).unwrap();
    next().unwrap();
    is_the_share(&lock, "start");
    lock.release().unwrap();
    lock.upgrade_start(0, tell()).unwrap();
    assert_eq!(status(next()), Status::NotHeld);
    nothing_of("start");
}

#[test]
fn what_cannot_be_changed() {
    let lock = elsewhere("refused", &[]);
    assert_eq!(status(lock.downgrade()), Status::NotHeld);
    assert_eq!(status(lock.upgrade(0)), Status::NotHeld);
    let lock = held("refused", &[]);
    assert_eq!(status(lock.upgrade(0)), Status::InvalidArgument);
    is_exclusive(&lock, "refused");
    lock.downgrade().unwrap();
    assert_eq!(status(lock.downgrade()), Status::InvalidArgument);
    for wrong in [-2, 86_400_001] {
        let error = lock.upgrade(wrong).unwrap_err();
        assert_eq!(error.status, Status::InvalidArgument);
        assert!(error.message.contains(&wrong.to_string()), "{error}");
    }
    is_the_share(&lock, "refused");
    lock.release().unwrap();
    assert_eq!(status(lock.upgrade(0)), Status::NotHeld);
    // Data of another program is neither overwritten nor removed.
    let lock = held("occupied", &[SHARE]);
    let path = format!("/v1/kv/{}", full("occupied"));
    assert_eq!(consul().request("PUT", &path, "data").body.trim(), "true");
    let error = lock.upgrade(5_000).unwrap_err();
    assert_eq!(error.status, Status::Rejected, "{error}");
    assert!(error.message.contains("no lock"), "{error}");
    assert_eq!(
        consul().row(&full("occupied")).unwrap()["Value"],
        "ZGF0YQ=="
    );
    lock.check().unwrap();
    lock.release().unwrap();
    assert_eq!(
        consul().row(&full("occupied")).unwrap()["Value"],
        "ZGF0YQ=="
    );
    consul().request("DELETE", &path, "");
}

// What goes on while it changes, and afterwards.

#[test]
fn a_changed_lock_is_renewed_and_its_loss_is_told() {
    let more = [("lock_timeout_seconds", "10"), ("auto_renew", "true")];
    let lock = held("renewed-share", &more);
    lock.downgrade().unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        assert!(lock.remaining() > Duration::from_secs(3));
        thread::sleep(Duration::from_millis(200));
    }
    is_the_share(&lock, "renewed-share");
    let heard = losses(&lock);
    let row = shares("renewed-share").remove(0);
    consul().request("DELETE", &format!("/v1/kv/{row}"), "");
    let told = heard.recv_timeout(Duration::from_secs(5));
    assert_eq!(told, Ok(LostReason::KeyGone));
    assert_eq!(status(lock.upgrade(0)), Status::Lost);
    drop(lock);
    nothing_of("renewed-share");

    let lock = held("exclusive-again", &[SHARE]);
    lock.upgrade(0).unwrap();
    let heard = losses(&lock);
    thread::sleep(Duration::from_millis(1_500));
    consul().request("DELETE", &format!("/v1/kv/{}", full("exclusive-again")), "");
    let told = heard.recv_timeout(Duration::from_secs(5));
    assert_eq!(told, Ok(LostReason::KeyGone));
    drop(lock);
    nothing_of("exclusive-again");
}

/// The lock is lost before or during the change: the change says so, and nothing is left.
#[test]
fn a_lock_that_is_lost_meanwhile() {
    let destroy = |lock: &Lock| consul().destroy(&lock.session_id().unwrap());
    let lock = held("lost-down", &[("monitor", "false")]);
    destroy(&lock);
    assert_eq!(status(lock.downgrade()), Status::Lost);
    drop(lock);
    nothing_of("lost-down");

    let lock = held("lost-up", &[SHARE, ("monitor", "false")]);
    destroy(&lock);
    assert_eq!(status(lock.upgrade(0)), Status::Lost);
    drop(lock);
    nothing_of("lost-up");

    let (lock, other) = (held("lost-gate", &[SHARE]), held("lost-gate", &[SHARE]));
    let heard = losses(&lock);
    thread::scope(|scope| {
        let up = scope.spawn(|| lock.upgrade(-1));
        until("it has the key", || is_taken(consul(), "lost-gate"));
        destroy(&lock);
        other.release().unwrap();
        assert_eq!(status(up.join().unwrap()), Status::Lost);
    });
    assert!(heard.recv_timeout(Duration::from_secs(5)).is_ok());
    assert_eq!(status(lock.release()), Status::Lost);
    nothing_of("lost-gate");
}

/// Whatever is lost on the way, the change is done once, and the lock is what the library says.
#[test]
fn answers_that_are_lost_do_not_lose_a_change() {
    let is_change = |seen: &Seen| {
        let both = ["\"check-session\"", "\"lock\"", "\"delete"];
        seen.target == "/v1/txn" && both.iter().all(|verb| seen.body.contains(verb))
    };
    let faults = [
        Fault::CloseBefore,
        Fault::ResetBefore,
        Fault::DropReply,
        Fault::ResetReply,
        Fault::NeverReply,
        Fault::Answer(500, "No cluster leader"),
        Fault::Answer(
            500,
            "rpc error making call: leadership lost while committing log",
        ),
        Fault::TwiceLater(Duration::from_millis(50)),
        Fault::PassAndAgain(Duration::from_millis(20)),
        Fault::OnlyLater(Duration::from_millis(50)),
    ];
    thread::scope(|scope| {
        for (number, fault) in faults.into_iter().enumerate() {
            scope.spawn(move || {
                let key = format!("faulty-change-{number}");
                let left = Arc::new(AtomicU32::new(0));
                let more = left.clone();
                let spoilt = fault.clone();
                let proxy = Proxy::start(consul().address(), move |seen| {
                    let take = |left: u32| left.checked_sub(1);
                    let order = Ordering::SeqCst;
                    let spoils = is_change(seen) && more.fetch_update(order, order, take).is_ok();
                    if spoils { spoilt.clone() } else { Fault::Pass }
                });
                let all_copies = || thread::sleep(Duration::from_millis(150));
                for spoilt in [1, 2] {
                    let failed = |error: Error| panic!("{fault:?}, {spoilt}: {error}");
                    let ttl = ("lock_timeout_seconds", "60");
                    let lock = lock_at(proxy.address(), &key, &[ttl]);
                    lock.acquire().unwrap_or_else(failed);
                    let token = lock.fencing_token();
                    left.store(spoilt, Ordering::SeqCst);
                    lock.downgrade().unwrap_or_else(failed);
                    all_copies();
                    assert!(lock.fencing_token() > token, "{fault:?}");
                    is_the_share(&lock, &key);
                    lock.upgrade(0).unwrap_or_else(failed);
                    is_exclusive(&lock, &key);
                    lock.release().unwrap_or_else(failed);

                    let lock = lock_at(proxy.address(), &key, &[ttl, SHARE]);
                    lock.acquire().unwrap_or_else(failed);
                    let token = lock.fencing_token();
                    left.store(spoilt, Ordering::SeqCst);
                    lock.upgrade(20_000).unwrap_or_else(failed);
                    all_copies();
                    assert!(lock.fencing_token() > token, "{fault:?}");
                    is_exclusive(&lock, &key);
                    lock.downgrade().unwrap_or_else(failed);
                    is_the_share(&lock, &key);
                    lock.release().unwrap_or_else(failed);
                }
                nothing_of(&key);
            });
        }
    });
}

/// The network repeats a change later, when the lock has changed once more: the copy turns only the row that it was made
/// for, and that one is gone.
#[test]
fn a_late_copy_of_a_change_does_no_harm() {
    let late = Duration::from_millis(400);
    let proxy = Proxy::start(consul().address(), move |seen| {
        let both = ["\"check-session\"", "\"lock\"", "\"delete"];
        match both.iter().all(|verb| seen.body.contains(verb)) {
            true => Fault::PassAndAgain(late),
            false => Fault::Pass,
        }
    });
    let lock = lock_at(proxy.address(), "late-copy", &[]);
    lock.acquire().unwrap();
    for _ in 0..2 {
        lock.downgrade().unwrap();
        lock.upgrade(0).unwrap();
        thread::sleep(late * 2);
        is_exclusive(&lock, "late-copy");
    }
    lock.downgrade().unwrap();
    lock.upgrade(0).unwrap();
    lock.downgrade().unwrap();
    thread::sleep(late * 2);
    is_the_share(&lock, "late-copy");
    lock.release().unwrap();
    nothing_of("late-copy");
}

/// A write each.
#[test]
fn a_change_costs_one_write() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let cycle = |changes: u32| {
        let lock = prelude::lock(&client, "cost", &[]);
        lock.acquire().unwrap();
        for _ in 0..changes {
            lock.downgrade().unwrap();
            lock.upgrade(0).unwrap();
        }
        lock.release().unwrap();
    };
    // The second use keeps its session warm.
    cycle(0);
    cycle(0);
    let before = (consul.raft_index(), number(&client, "raft_writes"));
    for _ in 0..5 {
        cycle(1);
    }
    let after = (consul.raft_index(), number(&client, "raft_writes"));
    assert_eq!(after.1 - before.1, 20);
    // A leader adds one of its own each minute.
    assert!((20..=21).contains(&(after.0 - before.0)));
    drop(client);
    consul.has_nothing_left();
}
