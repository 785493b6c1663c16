//! The contract row by row, and the life of a lock cell by cell, on a real Consul.

use crate::support::prelude::{self, *};
use std::sync::atomic::{AtomicU32, Ordering};

/// One agent for all tests here. Each uses keys of its own.
fn consul() -> &'static Consul {
    static CONSUL: OnceLock<Consul> = OnceLock::new();
    CONSUL.get_or_init(Consul::start)
}

fn client_with(options: &[(&str, &str)]) -> Client {
    prelude::client(consul().address(), options)
}

fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| client_with(&[]))
}

fn lock(key: &str, options: &[(&str, &str)]) -> Lock {
    prelude::lock(client(), key, options)
}

fn key() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("life-{}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// Nothing of this key is left, nor the session that held it.
fn is_gone(key: &str, session: Option<&str>) -> bool {
    let sessions = consul().sessions();
    consul().row(&full(key)).is_none()
        && session.is_none_or(|id| sessions.iter().all(|row| row["ID"] != id))
}

// The contract.

#[test]
fn acquire_holds_the_key_and_release_removes_it_and_the_session() {
    let key = key();
    // A client of its own: one that others use may keep the session warm for them.
    let lock = prelude::lock(&client_with(&[]), &key, &[]);
    assert!(!lock.is_held() && lock.remaining().is_zero());
    assert_eq!((lock.fencing_token(), lock.session_id()), (None, None));
    lock.acquire().unwrap();
    assert!(lock.is_held());
    assert_eq!(lock.key(), full(&key));
    let row = consul().row(&full(&key)).expect("the key");
    let session = lock.session_id().expect("a session");
    assert_eq!(row["Session"], session.as_str());
    assert_eq!(row["ModifyIndex"].as_u64(), lock.fencing_token());
    assert_eq!(row["Flags"].as_u64(), Some(3_304_740_253_564_472_344));
    // Its whole life is ahead, less a thousandth and a moment.
    let left = lock.remaining();
    assert!(
        left > Duration::from_secs(170) && left < Duration::from_secs(180),
        "{left:?}"
    );
    lock.release().unwrap();
    assert!(is_gone(&key, Some(&session)));
    assert!(!lock.is_held());
    assert!(lock.fencing_token().is_some());
}

/// Does the name of a session say this program and this process?
fn says_who(name: &str) -> bool {
    let program = std::env::current_exe().unwrap();
    let program = program.file_name().unwrap().to_string_lossy();
    let pid = format!(":{} ", std::process::id());
    name.starts_with(&format!("consul_lock {program}@")) && name.contains(&pid)
}

#[test]
fn the_session_is_ttl_only_with_a_name_that_says_who() {
    let key = key();
    let lock = lock(&key, &[("lock_timeout_seconds", "77")]);
    lock.acquire().unwrap();
    let id = lock.session_id().unwrap();
    let session = consul()
        .sessions()
        .into_iter()
        .find(|row| row["ID"] == id.as_str())
        .unwrap();
    assert_eq!(session["TTL"], "77s");
    assert_eq!(session["Behavior"], "delete");
    assert_eq!(session["LockDelay"], 0);
    assert_eq!(session["NodeChecks"].as_array().map(Vec::len), Some(0));
    let name = session["Name"].as_str().unwrap();
    assert!(says_who(name), "{name}");
    lock.release().unwrap();
}

#[test]
fn a_lock_is_single_use() {
    for release_first in [false, true] {
        let key = key();
        let lock = lock(&key, &[]);
        lock.acquire().unwrap();
        if release_first {
            lock.release().unwrap();
        }
        let error = lock.acquire().unwrap_err();
        assert_eq!(error.status, Status::AlreadyUsed);
        assert_eq!(lock.is_held(), !release_first, "the first use goes on");
    }
}

#[test]
fn a_lock_that_was_not_acquired_is_used_up_too() {
    let key = key();
    let theirs = consul().other_holds(&full(&key));
    let lock = lock(&key, &[]);
    assert_eq!(status(lock.acquire()), Status::NotAcquired);
    consul().destroy(&theirs);
    assert_eq!(status(lock.acquire()), Status::AlreadyUsed);
    assert_eq!(status(lock.release()), Status::NotHeld);
}

#[test]
fn one_attempt_against_a_held_key_costs_no_raft_write_and_says_who() {
    let consul = Consul::start();
    let mut options = Options::new();
    options.set("address", consul.address()).unwrap();
    let client = Client::new(Some(&options)).unwrap();
    let theirs = consul.other_holds("locks/ephemeral/k");
    let before = consul.raft_index();
    for _ in 0..20 {
        assert_eq!(
            status(prelude::lock(&client, "k", &[]).acquire()),
            Status::NotAcquired
        );
    }
    // Now and then Consul writes something of its own.
    assert!(
        consul.raft_index() < before + 5,
        "an attempt on a held key writes"
    );
    let error = prelude::lock(&client, "k", &[]).acquire().unwrap_err();
    assert_eq!(error.status, Status::NotAcquired);
    for part in [
        "\"locks/ephemeral/k\"",
        consul.address(),
        &theirs,
        "\"somebody else\"",
        "on node node",
    ] {
        assert!(error.message.contains(part), "{part} in {error}");
    }
    assert!(
        !error.message.contains("theirs"),
        "a stored value in {error}"
    );
    assert!(error.retryable);
}

#[test]
fn the_error_names_our_own_process_and_since_when() {
    let key = key();
    let first = lock(&key, &[]);
    first.acquire().unwrap();
    for client in [client(), &client_with(&[])] {
        let error = prelude::lock(client, &key, &[]).acquire().unwrap_err();
        assert_eq!(error.status, Status::NotAcquired);
        assert!(error.message.contains("this very process"), "{error}");
        assert!(error.message.contains(", since 20"), "{error}");
    }
    first.release().unwrap();
}

#[test]
fn a_waiter_gets_it_when_it_is_released() {
    let key = key();
    let theirs = consul().other_holds(&full(&key));
    let waiting = lock(&key, &[("acquire_timeout_ms", "20000")]);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| waiting.acquire());
        thread::sleep(Duration::from_millis(300));
        assert!(!waiter.is_finished());
        consul().destroy(&theirs);
        waiter.join().unwrap().unwrap();
    });
    assert!(waiting.is_held());
    waiting.release().unwrap();
}

#[test]
fn a_wait_ends_at_its_deadline_and_leaves_nothing() {
    let key = key();
    let theirs = consul().other_holds(&full(&key));
    let sessions = || {
        let pid = format!(":{} ", std::process::id());
        let mine = |row: &serde_json::Value| row["Name"].as_str().unwrap().contains(&pid);
        consul().sessions().iter().filter(|row| mine(row)).count()
    };
    for ms in ["1", "2000"] {
        let begun = Instant::now();
        let error = lock(&key, &[("acquire_timeout_ms", ms)])
            .acquire()
            .unwrap_err();
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_millis(ms.parse().unwrap()),
            "{took:?}"
        );
        assert!(took < Duration::from_secs(8), "{took:?}");
        if ms != "1" {
            assert_eq!(error.status, Status::NotAcquired);
            assert!(error.message.contains("somebody else"), "{error}");
        }
    }
    assert_eq!(consul().holder(&full(&key)), Some(theirs.clone()));
    consul().destroy(&theirs);
    // Those of other tests come and go.
    until("no session of a waiter stays", || sessions() < 20);
}

fn unix_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_millis()).unwrap()
}

#[test]
fn fixed_values_and_the_default_value() {
    let key = key();
    let mut options = Options::new();
    options.set_bytes("value", b"a\0\xff").unwrap();
    let fixed = Lock::new(&key, Some(&options), Some(client())).unwrap();
    fixed.acquire().unwrap();
    assert_eq!(*client().holder(&key).unwrap().unwrap().value.0, b"a\0\xff");
    fixed.release().unwrap();
    let plain = lock(&key, &[]);
    plain.acquire().unwrap();
    let holder = client().holder(&key).unwrap().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&holder.value.0).unwrap();
    assert!(
        value["locked_at"].as_str().unwrap().starts_with("20"),
        "{value}"
    );
    assert_eq!(Some(holder.session.to_string()), plain.session_id());
    assert_eq!(Some(holder.fencing_token), plain.fencing_token());
    assert_eq!(holder.ttl, Some(Duration::from_secs(180)));
    let age = unix_ms() - holder.since.unwrap();
    assert!((-1_000..60_000).contains(&age), "{age}");
    assert!(says_who(&holder.name.unwrap()));
    assert_eq!(holder.node.as_deref(), Some("node"));
    plain.release().unwrap();
    assert!(client().holder(&key).unwrap().is_none());
}

#[test]
fn the_largest_value_fits_and_a_larger_one_is_refused_by_us() {
    let key = key();
    let mut options = Options::new();
    options.set_bytes("value", &vec![7; 390_000]).unwrap();
    assert_eq!(
        status(options.set_bytes("value", &vec![7; 390_001])),
        Status::InvalidOption
    );
    let mut options = Options::new();
    options.set_bytes("value", &vec![7; 390_000]).unwrap();
    let lock = Lock::new(&key, Some(&options), Some(client())).unwrap();
    lock.acquire().unwrap();
    assert_eq!(
        client().holder(&key).unwrap().unwrap().value.0.len(),
        390_000
    );
    lock.release().unwrap();
}

#[test]
fn fencing_tokens_grow_across_deletes() {
    let key = key();
    let mut last = 0;
    for _ in 0..20 {
        let lock = lock(&key, &[]);
        lock.acquire().unwrap();
        let token = lock.fencing_token().unwrap();
        assert!(token > last, "{last} then {token}");
        last = token;
        lock.release().unwrap();
    }
}

#[test]
fn keys_are_stored_as_they_are_given() {
    for name in [
        "a b",
        "100%",
        "q?x=1&y#z",
        "ü/日本",
        "plus+",
        "quote\"'",
        "back\\slash",
        "end/",
    ] {
        let key = format!("{}/{name}", key());
        let lock = lock(&key, &[]);
        lock.acquire().unwrap();
        assert!(consul().keys().contains(&full(&key)), "{key}");
        let other = self::lock(&key, &[]);
        assert_eq!(status(other.acquire()), Status::NotAcquired, "{key}");
        lock.check().unwrap();
        assert_eq!(
            client()
                .holder(&key)
                .unwrap()
                .map(|h| h.session.to_string()),
            lock.session_id(),
            "{key}"
        );
        lock.release().unwrap();
        assert!(!consul().keys().contains(&full(&key)), "{key}");
    }
}

/// Consul takes them in a transaction, and refuses them in a path: such a lock could be taken, and
/// neither be watched nor seen.
#[test]
fn keys_that_consul_does_not_take_everywhere_are_refused() {
    for (name, in_url) in [
        ("a\u{a0}b", "a%C2%A0b"),
        ("a\u{ad}b", "a%C2%ADb"),
        ("a\u{200b}", "a%E2%80%8B"),
        ("a\u{2028}b", "a%E2%80%A8b"),
        ("a\u{3000}b", "a%E3%80%80b"),
        ("\u{feff}a", "%EF%BB%BFa"),
        ("a\u{e000}", "a%EE%80%80"),
    ] {
        let reply = consul().request("GET", &format!("/v1/kv/{in_url}"), "");
        assert_eq!(reply.status, 400, "{in_url}");
        let error = Lock::new(name, None, None).expect_err(in_url);
        assert_eq!(error.status, Status::InvalidArgument, "{error}");
        assert!(error.message.contains("cannot be printed"), "{error}");
    }
}

#[test]
fn a_hot_loop_costs_two_raft_writes_and_the_end_leaves_nothing() {
    let consul = Consul::start();
    let mut options = Options::new();
    options.set("address", consul.address()).unwrap();
    let client = Client::new(Some(&options)).unwrap();
    let cycle = || {
        let lock = prelude::lock(&client, "hot", &[]);
        lock.acquire().unwrap();
        lock.release().unwrap();
    };
    let writes = |act: &dyn Fn()| {
        let before = consul.quiet_raft_index();
        act();
        consul.raft_index() - before
    };
    let cold = writes(&cycle);
    assert!(
        (3..=4).contains(&cold),
        "{cold} writes of a single cold cycle"
    );
    assert!(
        consul.sessions().is_empty(),
        "a process may end after one lock"
    );
    // The least of three: Consul writes something of its own now and then, and a pause of more than
    // a second costs another session.
    let hot = [(); 3].map(|()| {
        cycle();
        writes(&|| (0..50).for_each(|_| cycle()))
    });
    let least = *hot.iter().min().unwrap();
    assert!(
        (100..=104).contains(&least),
        "{hot:?} writes of 50 hot cycles"
    );
    until("the warm session is gone", || consul.sessions().is_empty());
}

// The life table.

#[test]
fn new() {
    let key = key();
    let lock = lock(&key, &[]);
    assert_eq!(status(lock.release()), Status::NotHeld);
    assert_eq!(status(lock.renew()), Status::NotHeld);
    assert_eq!(status(lock.check()), Status::NotHeld);
    lock.acquire()
        .expect("what was asked before has not used it up");
    lock.release().unwrap();
    drop(self::lock(&key, &[]));
}

#[test]
fn a_cancel_before_the_acquire_is_sticky() {
    let key = key();
    let lock = lock(&key, &[]);
    lock.cancel();
    assert_eq!(status(lock.acquire()), Status::Cancelled);
    assert_eq!(status(lock.acquire()), Status::AlreadyUsed);
    assert!(is_gone(&key, None));
}

/// Calls `act` while a lock waits for a key that another program holds. Returns the outcome of the
/// acquire.
fn while_acquiring(act: impl FnOnce(&Lock)) -> Result<(), Error> {
    let key = key();
    let theirs = consul().other_holds(&full(&key));
    let lock = lock(&key, &[("acquire_timeout_ms", "-1")]);
    let outcome = thread::scope(|scope| {
        let waiter = scope.spawn(|| lock.acquire());
        thread::sleep(Duration::from_millis(200));
        assert!(!waiter.is_finished());
        let begun = Instant::now();
        act(&lock);
        let outcome = waiter.join().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
        outcome
    });
    assert_eq!(consul().holder(&full(&key)), Some(theirs.clone()));
    consul().destroy(&theirs);
    outcome
}

#[test]
fn acquiring() {
    assert_eq!(status(while_acquiring(Lock::cancel)), Status::Cancelled);
    assert_eq!(
        status(while_acquiring(|lock| lock.abandon())),
        Status::Cancelled
    );
    let outcome = while_acquiring(|lock| {
        assert_eq!(status(lock.acquire()), Status::AlreadyUsed);
        assert_eq!(status(lock.renew()), Status::NotHeld);
        assert_eq!(status(lock.check()), Status::NotHeld);
        assert!(!lock.is_held());
        assert_eq!(status(lock.release()), Status::NotHeld);
    });
    assert_eq!(status(outcome), Status::Cancelled);
}

#[test]
fn held() {
    let key = key();
    let lock = lock(&key, &[("lock_timeout_seconds", "20")]);
    lock.acquire().unwrap();
    lock.cancel();
    assert!(lock.is_held());
    lock.check().unwrap();
    // Much longer than the renewal may take.
    thread::sleep(Duration::from_secs(4));
    let before = lock.remaining();
    lock.renew().unwrap();
    assert!(
        lock.remaining() > before + Duration::from_secs(1),
        "{before:?} {:?}",
        lock.remaining()
    );
    lock.release().unwrap();
}

#[test]
fn dropping_a_held_lock_releases_it() {
    let key = key();
    let lock = prelude::lock(&client_with(&[]), &key, &[]);
    lock.acquire().unwrap();
    let session = lock.session_id();
    drop(lock);
    assert!(is_gone(&key, session.as_deref()));
}

#[test]
fn abandon_leaves_it_to_the_ttl() {
    let key = key();
    let lock = lock(&key, &[]);
    lock.acquire().unwrap();
    let session = lock.session_id().unwrap();
    lock.abandon();
    assert!(!lock.is_held());
    assert_eq!(status(lock.release()), Status::NotHeld);
    drop(lock);
    assert_eq!(consul().holder(&full(&key)), Some(session.clone()));
    consul().destroy(&session);
}

/// Takes a lock, has it taken away, and asks in `ask` what became of it.
fn after(loss: impl FnOnce(&str, &str), ask: impl FnOnce(&Lock)) {
    let key = key();
    let lock = lock(&key, &[]);
    lock.acquire().unwrap();
    let session = lock.session_id().unwrap();
    loss(&full(&key), &session);
    ask(&lock);
    assert!(!lock.is_held());
    assert_eq!(status(lock.acquire()), Status::AlreadyUsed);
    lock.cancel();
    until("its session is gone", || {
        consul()
            .sessions()
            .iter()
            .all(|row| row["ID"] != session.as_str())
    });
}

fn lose_session(_: &str, session: &str) {
    consul().destroy(session);
}

fn lose_key(key: &str, _: &str) {
    assert_eq!(
        consul()
            .request("DELETE", &format!("/v1/kv/{key}"), "")
            .body
            .trim(),
        "true"
    );
}

#[test]
fn lost() {
    after(lose_session, |lock| {
        assert_eq!(status(lock.renew()), Status::Lost);
        assert_eq!(status(lock.renew()), Status::Lost);
        assert_eq!(status(lock.check()), Status::Lost);
        assert_eq!(status(lock.release()), Status::Lost);
        assert_eq!(status(lock.release()), Status::NotHeld, "told once");
    });
    after(lose_session, |lock| {
        assert_eq!(status(lock.check()), Status::Lost)
    });
    after(lose_key, |lock| {
        assert_eq!(status(lock.check()), Status::Lost)
    });
    after(lose_session, |lock| {
        assert_eq!(status(lock.release()), Status::Lost)
    });
    after(lose_key, |lock| {
        assert_eq!(status(lock.release()), Status::Lost)
    });
}

#[test]
fn a_release_after_a_loss_does_not_touch_the_next_holder() {
    let mut theirs = None;
    after(
        |key, session| {
            lose_session(key, session);
            theirs = Some((key.to_owned(), consul().other_holds(key)));
        },
        |lock| assert_eq!(status(lock.release()), Status::Lost),
    );
    let (key, session) = theirs.unwrap();
    assert_eq!(consul().holder(&key), Some(session.clone()));
    consul().destroy(&session);
}

#[test]
fn a_lease_that_ran_out_is_lost_and_not_hurried() {
    // The holder of each works on past its time. One says at last that it is done, the other is freed:
    // only then the session ends, and not before Consul would let another holder in.
    for is_released in [true, false] {
        let key = key();
        let lock = lock(&key, &[("lock_timeout_seconds", "10")]);
        lock.acquire().unwrap();
        let waiting = self::lock(&key, &[("acquire_timeout_ms", "60000")]);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| waiting.acquire());
            until("its time is over", || !lock.is_held());
            let row = consul()
                .row(&full(&key))
                .expect("the key stands in Consul's slack");
            assert_eq!(row["Session"].as_str(), lock.session_id().as_deref());
            assert!(!waiting.is_held());
            assert_eq!(status(lock.renew()), Status::Lost);
            let token = lock.fencing_token();
            if is_released {
                assert_eq!(status(lock.release()), Status::Lost);
                assert_eq!(status(lock.release()), Status::NotHeld);
            } else {
                drop(lock);
            }
            waiter
                .join()
                .unwrap()
                .expect("the end of the session let it in");
            assert!(waiting.fencing_token() > token);
        });
        assert!(waiting.is_held());
        waiting.release().unwrap();
    }
}

#[test]
fn data_of_another_program_are_neither_overwritten_nor_deleted() {
    for (name, flags, wait) in [
        ("plain", 0, "0"),
        ("flags", 7, "20000"),
        ("semaphore", 0xe0f6_9a2b_aa41_4de0_u64, "20000"),
    ] {
        let key = format!("{}-{name}", self::key());
        let full = full(&key);
        consul().request("PUT", &format!("/v1/kv/{full}?flags={flags}"), "data");
        let before = consul().row(&full).unwrap();
        let lock = lock(&key, &[("acquire_timeout_ms", wait)]);
        let error = lock.acquire().unwrap_err();
        assert_eq!(error.status, Status::Rejected, "{error}");
        assert!(
            error.message.contains("holds data that is no lock"),
            "{error}"
        );
        assert!(
            error.message.contains("4 bytes") && !error.retryable,
            "{error}"
        );
        assert_eq!(status(lock.release()), Status::NotHeld);
        drop(lock);
        assert_eq!(consul().row(&full).unwrap(), before, "as it was");
        consul().request("DELETE", &format!("/v1/kv/{full}"), "");
    }
    // What Go's client leaves behind when it gives a lock back is free, and so is an empty key.
    let key = key();
    let full = full(&key);
    for (wait, flags, value) in [
        ("0", 0x2ddc_cbc0_58a5_0c18_u64, "x"),
        ("20000", 0x2ddc_cbc0_58a5_0c18, ""),
        ("0", 0, ""),
        ("20000", 0, ""),
    ] {
        consul().request("PUT", &format!("/v1/kv/{full}?flags={flags}"), value);
        let lock = lock(&key, &[("acquire_timeout_ms", wait)]);
        lock.acquire().unwrap();
        lock.release().unwrap();
        assert!(consul().row(&full).is_none());
    }
}

#[test]
fn over() {
    let key = key();
    let lock = lock(&key, &[]);
    lock.acquire().unwrap();
    lock.release().unwrap();
    assert_eq!(status(lock.release()), Status::NotHeld);
    assert_eq!(status(lock.renew()), Status::NotHeld);
    assert_eq!(status(lock.check()), Status::NotHeld);
    assert_eq!(status(lock.acquire()), Status::AlreadyUsed);
    lock.cancel();
    lock.abandon();
}

#[test]
fn eight_threads_exclude_each_other() {
    let key = key();
    let inside = AtomicU32::new(0);
    let tokens = std::sync::Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let lock = lock(&key, &[("acquire_timeout_ms", "60000")]);
                    lock.acquire().unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    tokens.lock().unwrap().push(lock.fencing_token().unwrap());
                    thread::sleep(Duration::from_millis(1));
                    assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                    lock.release().unwrap();
                }
            });
        }
    });
    let tokens = tokens.into_inner().unwrap();
    assert_eq!(tokens.len(), 80);
    assert!(tokens.is_sorted(), "{tokens:?}");
}

#[test]
fn more_waiters_than_threads_all_end_at_their_deadline() {
    let theirs: Vec<String> = (0..160)
        .map(|i| consul().other_holds(&full(&format!("many-{i}"))))
        .collect();
    let said = &AtomicU32::new(0);
    thread::scope(|scope| {
        for i in 0..160 {
            scope.spawn(move || {
                let lock = lock(&format!("many-{i}"), &[("acquire_timeout_ms", "3000")]);
                let begun = Instant::now();
                let error = lock.acquire().unwrap_err();
                // A slow machine does not answer all their last looks in time.
                match error.status {
                    Status::NotAcquired => said.fetch_add(1, Ordering::SeqCst),
                    Status::Unavailable => 0,
                    _ => panic!("{error}"),
                };
                let took = begun.elapsed();
                assert!(took >= Duration::from_secs(3), "{took:?}");
                assert!(took < Duration::from_secs(15), "{took:?}");
            });
        }
    });
    assert!(
        said.load(Ordering::SeqCst) > 0,
        "Consul said of none that it is held"
    );
    for session in theirs {
        consul().destroy(&session);
    }
}
