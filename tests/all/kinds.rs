//! What is out there, on the same key: Consul's Go client, the cycle that programs write by hand, an older version of
//! this library, and the semaphore of Consul's Go client. What excludes what, as docs/guarantees.md says it.
//!
//! The others are their requests, byte for byte where that matters.

use crate::support::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::support::rows::{self, is_taken, shares, tickets};

/// One agent for all tests here. Each uses keys of its own.
fn consul() -> &'static Consul {
    static CONSUL: OnceLock<Consul> = OnceLock::new();
    CONSUL.get_or_init(Consul::start)
}

const ONCE: (&str, &str) = ("acquire_timeout_ms", "0");
const SHARE: (&str, &str) = ("mode", "share");

/// `api.LockFlagValue`, which this library has as well.
const LOCK_FLAGS: u64 = 0x2ddc_cbc0_58a5_0c18;

/// `api.SemaphoreFlagValue`.
const SEMAPHORE_FLAGS: u64 = 0xe0f6_9a2b_aa41_4de0;

/// A lock of another process.
fn elsewhere(keys: &[&str], more: &[(&str, &str)]) -> Lock {
    let client = client(consul().address(), &[]);
    let mut options = Options::new();
    options.set("acquire_timeout_ms", "60000").unwrap();
    for (name, value) in more {
        options.set(name, value).unwrap();
    }
    Lock::new_all(keys, Some(&options), Some(&client)).unwrap()
}

fn held(key: &str, more: &[(&str, &str)]) -> Lock {
    let lock = elsewhere(&[key], more);
    lock.acquire().unwrap_or_else(|error| panic!("{error}"));
    lock
}

#[track_caller]
fn nothing_of(key: &str) {
    rows::nothing_of(consul(), key);
}

/// The kinds of this library: all that one attempt can ask for of a key.
fn attempts(key: &str) -> Vec<(&'static str, Lock)> {
    let beside = format!("{key}-beside");
    vec![
        ("exclusive", elsewhere(&[key], &[ONCE])),
        ("share", elsewhere(&[key], &[ONCE, SHARE])),
        ("limit", elsewhere(&[key], &[ONCE, SHARE, ("limit", "3")])),
        ("several", elsewhere(&[key, &beside], &[ONCE])),
    ]
}

/// None of the kinds gets the key, and none waits.
#[track_caller]
fn is_closed(key: &str) {
    for (kind, lock) in attempts(key) {
        assert_eq!(status(lock.acquire()), Status::NotAcquired, "{kind}");
    }
}

/// The kinds in turn, each with the key held by it.
fn in_turn(key: &str, mut meanwhile: impl FnMut(&str)) {
    for (kind, lock) in attempts(key) {
        lock.acquire()
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        meanwhile(kind);
        lock.check().unwrap();
        lock.release().unwrap();
    }
}

/// A program that uses sessions and keys as Consul's documentation says.
struct Program {
    key: String,
    session: String,
    flags: u64,
}

impl Program {
    /// `api.Lock`: sessions of the behavior "release", and the flags of a lock.
    fn go(key: &str) -> Program {
        let body = r#"{"Name":"Consul API Lock","TTL":"15s","LockDelay":"0s"}"#;
        Program::with(key, body, LOCK_FLAGS)
    }

    /// A session of the behavior "delete", `?acquire=`, and a delete of the key at the end.
    fn by_hand(key: &str) -> Program {
        let body = r#"{"Name":"by hand","TTL":"15s","Behavior":"delete","LockDelay":"0s"}"#;
        Program::with(key, body, 0)
    }

    fn with(key: &str, body: &str, flags: u64) -> Program {
        let reply = consul().request("PUT", "/v1/session/create", body);
        let session: Json = serde_json::from_str(&reply.body).unwrap();
        Program {
            key: full(key),
            session: session["ID"].as_str().unwrap().to_owned(),
            flags,
        }
    }

    fn ask(&self, how: &str) -> bool {
        let Program {
            key,
            session,
            flags,
        } = self;
        let path = format!("/v1/kv/{key}?{how}={session}&flags={flags}");
        consul().request("PUT", &path, "theirs").body.trim() == "true"
    }

    fn acquire(&self) -> bool {
        self.ask("acquire")
    }

    /// As `api.Lock.Unlock`: the key stays, and no session holds it.
    fn release(&self) -> bool {
        self.ask("release")
    }

    fn delete(&self) {
        let path = format!("/v1/kv/{}", self.key);
        assert_eq!(consul().request("DELETE", &path, "").body.trim(), "true");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        consul().destroy(&self.session);
    }
}

// Consul's Go client, and programs that do it by hand.

#[test]
fn an_exclusive_lock_and_gos_exclude_each_other() {
    for (key, make) in [
        ("go", Program::go as fn(&str) -> Program),
        ("hand", Program::by_hand),
    ] {
        let other = make(key);
        assert!(other.acquire());
        is_closed(key);
        // Those who wait get it when it is given back.
        let writer = elsewhere(&[key], &[]);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| writer.acquire());
            until("it waits", || tickets(consul(), key) == 1);
            assert!(!writer.is_held());
            match key {
                "go" => assert!(other.release()),
                _ => other.delete(),
            }
            waiting.join().unwrap().unwrap();
        });
        assert!(!other.acquire());
        writer.check().unwrap();
        writer.release().unwrap();
        let beside = format!("{key}-beside");
        for keys in [&[key][..], &[key, &beside]] {
            let lock = elsewhere(keys, &[ONCE]);
            lock.acquire().unwrap();
            assert!(!other.acquire());
            lock.check().unwrap();
            lock.release().unwrap();
        }
        // While an exclusive lock waits for those who share, the key is its own.
        let (reader, writer) = (held(key, &[SHARE]), elsewhere(&[key], &[]));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| writer.acquire());
            until("it has the key", || is_taken(consul(), key));
            assert!(!other.acquire());
            reader.release().unwrap();
            waiting.join().unwrap().unwrap();
        });
        writer.release().unwrap();
        nothing_of(key);
    }
}

/// What is not excluded: another program looks at the key alone, and does not see who shares it.
#[test]
fn gos_lock_and_one_by_hand_do_not_wait_for_those_who_share() {
    for (key, make) in [
        ("go-share", Program::go as fn(&str) -> Program),
        ("hand-share", Program::by_hand),
    ] {
        let (other, reader) = (make(key), held(key, &[SHARE]));
        assert!(other.acquire(), "it does not see the reader");
        // The reader has lost nothing; all others wait for both.
        reader.check().unwrap();
        is_closed(key);
        let writer = elsewhere(&[key], &[]);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| writer.acquire());
            until("it waits", || tickets(consul(), key) == 1);
            match key {
                "go-share" => assert!(other.release()),
                _ => other.delete(),
            }
            until("it has the gate", || is_taken(consul(), key));
            assert!(!writer.is_held());
            reader.release().unwrap();
            waiting.join().unwrap().unwrap();
        });
        writer.release().unwrap();
        nothing_of(key);
    }
}

/// A key that Go's client left behind is a key that no session holds: for all kinds.
#[test]
fn a_key_that_gos_client_has_released_is_free_for_all_kinds() {
    for turn in 0..4 {
        let key = format!("released-{turn}");
        let other = Program::go(&key);
        assert!(other.acquire() && other.release());
        let (kind, lock) = attempts(&key).remove(turn);
        lock.acquire()
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        lock.check().unwrap();
        let shares = matches!(kind, "share" | "limit");
        // The one that shares leaves Go's key as it is, and does not keep Go's client out.
        assert_eq!(other.acquire(), shares, "{kind}");
        lock.release().unwrap();
        if shares {
            is_closed(&key);
            other.delete();
        }
        nothing_of(&key);
    }
}

/// In a hot loop: Go's lock beside exclusive locks, locks of several keys, upgrades, and readers that keep all of
/// these, but Go's, out.
#[test]
fn a_contest_of_gos_lock_with_all_kinds() {
    let key = "contest";
    let (exclusive, readers) = (AtomicU32::new(0), AtomicU32::new(0));
    let is_over = AtomicBool::new(false);
    let counts = [const { AtomicU32::new(0) }; 3];
    thread::scope(|scope| {
        for number in 0..5_usize {
            let (exclusive, readers, is_over) = (&exclusive, &readers, &is_over);
            let counts = &counts;
            scope.spawn(move || {
                let client = client(consul().address(), &[]);
                while !is_over.load(Ordering::SeqCst) {
                    let keys: &[&str] = if number == 0 {
                        &[key, "contest-b"]
                    } else {
                        &[key]
                    };
                    let mut options = Options::new();
                    options.set("acquire_timeout_ms", "60000").unwrap();
                    if number > 2 {
                        options.set("mode", "share").unwrap();
                    }
                    let lock = Lock::new_all(keys, Some(&options), Some(&client)).unwrap();
                    lock.acquire().unwrap();
                    if number > 2 {
                        readers.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(3));
                        readers.fetch_sub(1, Ordering::SeqCst);
                        counts[1].fetch_add(1, Ordering::SeqCst);
                    } else {
                        assert_eq!(exclusive.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                        assert_eq!(readers.load(Ordering::SeqCst), 0, "beside a reader");
                        thread::sleep(Duration::from_millis(3));
                        exclusive.fetch_sub(1, Ordering::SeqCst);
                        counts[0].fetch_add(1, Ordering::SeqCst);
                    }
                    lock.release().unwrap();
                }
            });
        }
        let other = Program::go(key);
        let begun = Instant::now();
        let all_served = || counts.iter().all(|count| count.load(Ordering::SeqCst) > 10);
        while begun.elapsed() < Duration::from_secs(3)
            || (begun.elapsed() < Duration::from_secs(30) && !all_served())
        {
            if other.acquire() {
                assert_eq!(
                    exclusive.fetch_add(1, Ordering::SeqCst),
                    0,
                    "Go beside another"
                );
                thread::sleep(Duration::from_millis(3));
                exclusive.fetch_sub(1, Ordering::SeqCst);
                counts[2].fetch_add(1, Ordering::SeqCst);
                assert!(other.release());
            }
            thread::sleep(Duration::from_millis(2));
        }
        is_over.store(true, Ordering::SeqCst);
    });
    println!("exclusive, shared, Go's: {counts:?}");
    assert!(counts.iter().all(|count| count.load(Ordering::SeqCst) > 10));
    consul().request("DELETE", &format!("/v1/kv/{}", full(key)), "");
    nothing_of(key);
}

/// The semaphore of Consul's Go client has rows of its own below the prefix, and nothing in common with a limit.
#[test]
fn gos_semaphore_and_a_limit_do_not_see_each_other() {
    let key = "semaphore";
    let session = Program::go(key);
    let contender = format!("/v1/kv/{}/{}", full(key), session.session);
    let taken = format!(
        "{contender}?acquire={}&flags={SEMAPHORE_FLAGS}",
        session.session
    );
    assert_eq!(consul().request("PUT", &taken, "").body.trim(), "true");
    let holders = json!({"Limit": 2, "Holders": {(&session.session): true}}).to_string();
    let list = format!("/v1/kv/{}/.lock?cas=0&flags={SEMAPHORE_FLAGS}", full(key));
    assert_eq!(consul().request("PUT", &list, &holders).body.trim(), "true");
    let list = format!("{}/.lock", full(key));
    let before = consul().row(&list);

    in_turn(key, |_| {});
    let permits = [
        held(key, &[SHARE, ("limit", "2")]),
        held(key, &[SHARE, ("limit", "2")]),
    ];
    assert_eq!(consul().row(&list), before);
    drop(permits);
    // The list of its holders is no lock.
    let error = elsewhere(&["semaphore/.lock"], &[ONCE])
        .acquire()
        .unwrap_err();
    assert_eq!(error.status, Status::Rejected, "{error}");
    assert!(error.message.contains("semaphore"), "{error}");
    assert_eq!(consul().row(&list), before);
    consul().request("DELETE", &format!("/v1/kv/{}?recurse", full(key)), "");
    nothing_of(key);
}

// An older version of this library.

/// One that knows of exclusive locks on one key alone: it reads no flags of a ticket, and looks at no `.share`.
struct Older {
    key: String,
    session: String,
}

impl Older {
    fn start(key: &str) -> Older {
        let body = r#"{"Name":"consul_lock old@host:1 2","TTL":"60s","Behavior":"delete","LockDelay":"0s","Checks":[],"NodeChecks":[]}"#;
        let reply = consul().request("PUT", "/v1/session/create", body);
        let session: Json = serde_json::from_str(&reply.body).unwrap();
        Older {
            key: full(key),
            session: session["ID"].as_str().unwrap().to_owned(),
        }
    }

    fn transaction(&self, operations: &[Json]) -> bool {
        let operations = operations.iter().map(|operation| json!({"KV": operation}));
        let body = Json::from_iter(operations).to_string();
        consul().request("PUT", "/v1/txn", &body).status == 200
    }

    fn taking(&self) -> [Json; 2] {
        let (key, session) = (&self.key, &self.session);
        [
            json!({"Verb": "check-not-exists", "Key": key}),
            json!({"Verb": "lock", "Key": key, "Value": "e30=", "Flags": LOCK_FLAGS, "Session": session}),
        ]
    }

    /// Takes the free key.
    fn take(&self) -> bool {
        self.transaction(&self.taking())
    }

    fn ticket(&self) -> String {
        format!("{}/.fifo/3f0", self.key)
    }

    /// Stands in line.
    fn join(&self) {
        let (ticket, session) = (self.ticket(), &self.session);
        let join = json!({"Verb": "lock", "Key": ticket, "Value": "eyJ2IjoxfQ==", "Flags": 0, "Session": session});
        assert!(self.transaction(&[join]));
    }

    /// Takes the key out of the line, past the tickets of these rows.
    fn take_from_the_line(&self, past: &[Json]) -> bool {
        let (ticket, session) = (self.ticket(), &self.session);
        let passed = past.iter().map(
            |row| json!({"Verb": "delete-cas", "Key": row["Key"], "Index": row["ModifyIndex"]}),
        );
        let mut operations: Vec<Json> = passed.collect();
        operations.push(json!({"Verb": "check-session", "Key": ticket, "Session": session}));
        operations.push(json!({"Verb": "delete", "Key": ticket}));
        operations.extend(self.taking());
        self.transaction(&operations)
    }

    fn release(&self) -> bool {
        let (key, session) = (&self.key, &self.session);
        self.transaction(&[
            json!({"Verb": "check-session", "Key": key, "Session": session}),
            json!({"Verb": "delete", "Key": key}),
        ])
    }
}

impl Drop for Older {
    fn drop(&mut self) {
        consul().destroy(&self.session);
    }
}

#[test]
fn an_older_version_excludes_all_kinds_and_all_exclusive_ones_exclude_it() {
    let key = "older";
    let older = Older::start(key);
    assert!(older.take());
    is_closed(key);
    assert!(older.release());
    in_turn(key, |kind| {
        let is_let_in = older.take();
        // Those who share do not keep an older version out.
        assert_eq!(is_let_in, matches!(kind, "share" | "limit"), "{kind}");
        if is_let_in {
            is_closed(key);
            assert!(older.release());
        }
    });
    nothing_of(key);
}

/// Its ticket is that of an exclusive waiter: readers that come later wait behind it.
#[test]
fn an_older_version_stands_in_the_same_line() {
    let key = "older-line";
    let (older, writer) = (Older::start(key), held(key, &[]));
    let reader = elsewhere(&[key], &[SHARE, ("queue_grace_ms", "10000")]);
    older.join();
    thread::scope(|scope| {
        let reads = scope.spawn(|| reader.acquire());
        until("it stands in line", || tickets(consul(), key) == 2);
        writer.release().unwrap();
        thread::sleep(Duration::from_millis(500));
        assert!(!reader.is_held(), "past a ticket");
        assert!(older.take_from_the_line(&[]));
        thread::sleep(Duration::from_millis(500));
        assert!(!reader.is_held(), "beside an exclusive one");
        assert!(older.release());
        reads.join().unwrap().unwrap();
    });
    // The other way round: a ticket of a reader stands before its own, and goes when the reader enters.
    reader.release().unwrap();
    nothing_of(key);
}

/// It takes a waiter for a slot for a dead one, as the key is free: that one loses its place and nothing else.
#[test]
fn an_older_version_passes_a_waiter_for_a_slot() {
    let key = "older-slot";
    let permit = [SHARE, ("limit", "1")];
    let (older, holder) = (Older::start(key), held(key, &permit));
    let waiter = elsewhere(&[key], &permit);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| waiter.acquire());
        until("it stands in line", || tickets(consul(), key) == 1);
        older.join();
        let ticket = consul().keys().into_iter();
        let mut ticket = ticket.filter(|found| {
            found.starts_with(&format!("{}/.fifo/", full(key))) && *found != older.ticket()
        });
        let row = consul().row(&ticket.next().expect("its ticket")).unwrap();
        assert!(older.take_from_the_line(&[row]), "past it");
        holder.release().unwrap();
        thread::sleep(Duration::from_millis(500));
        assert!(!waiter.is_held(), "beside an exclusive one");
        assert!(older.release());
        waiting.join().unwrap().unwrap();
    });
    waiter.release().unwrap();
    assert_eq!(shares(consul(), key), [""; 0]);
    nothing_of(key);
}
