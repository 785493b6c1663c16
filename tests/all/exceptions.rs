//! What docs/guarantees.md says of the exceptions: how a loss is found with and without a watch, and when not.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use consul_lock::error::LostReason;

use crate::support::prelude::*;
use crate::support::proxy::{Fault, Proxy, Seen};

const UNWATCHED: (&str, &str) = ("monitor", "false");

/// One agent for the tests that count nothing in Consul. Each uses keys of its own.
fn consul() -> &'static Consul {
    static CONSUL: OnceLock<Consul> = OnceLock::new();
    CONSUL.get_or_init(Consul::start)
}

fn held(client: &Client, key: &str, options: &[(&str, &str)]) -> Lock {
    let lock = lock(client, key, options);
    lock.acquire().unwrap_or_else(|error| panic!("{error}"));
    lock
}

fn losses(lock: &Lock) -> Receiver<LostReason> {
    let (told, heard) = channel();
    let told = Box::new(move |reason| told.send(reason).unwrap_or_default());
    lock.set_lost_callback(Some(told)).unwrap();
    heard
}

fn delete(consul: &Consul, key: &str) {
    let reply = consul.request("DELETE", &format!("/v1/kv/{}", full(key)), "");
    assert_eq!(reply.body.trim(), "true");
}

fn pass(_: &Seen) -> Fault {
    Fault::Pass
}

/// The keys that were watched.
fn watched(proxy: &Proxy) -> BTreeSet<String> {
    let seen = proxy.seen();
    let watches = seen.iter().filter(|seen| seen.kind() == "watch");
    let key = |seen: &Seen| seen.target.split('?').next().map(str::to_owned);
    watches.filter_map(key).collect()
}

/// A renewal does not read the key: only a question about the key finds that it is gone.
#[test]
fn a_renewal_does_not_find_that_the_key_was_deleted() {
    let client = client(consul().address(), &[]);
    for (key, ask) in [
        ("deleted-check", Lock::check as fn(&Lock) -> _),
        ("deleted-write", |lock| {
            lock.put_if_held("data/deleted", b"v")
        }),
    ] {
        let life = ("lock_timeout_seconds", "10");
        let lock = held(&client, key, &[life, ("auto_renew", "true"), UNWATCHED]);
        delete(consul(), key);
        // Several renewals, and more than a TTL.
        thread::sleep(Duration::from_secs(12));
        assert!(lock.is_held(), "{key}");
        lock.renew().expect("the session lives");
        assert_eq!(status(ask(&lock)), Status::Lost, "{key}");
        assert_eq!(lock.why_lost(), Some(LostReason::KeyGone), "{key}");
    }
}

/// Neither watched nor renewed, a lock whose session or key is gone is believed to be held until its lease ends.
#[test]
fn without_watch_and_renewal_a_loss_shows_at_the_end_of_the_lease() {
    let client = client(consul().address(), &[]);
    let take = |key| {
        let lock = held(&client, key, &[("lock_timeout_seconds", "10"), UNWATCHED]);
        let heard = losses(&lock);
        (lock, heard)
    };
    let (session, key) = (take("lease-session"), take("lease-key"));
    consul().destroy(&session.0.session_id().expect("a session"));
    delete(consul(), "lease-key");
    for (lock, heard) in [session, key] {
        let left = lock.remaining();
        assert!(
            left.is_zero() || lock.why_lost().is_none(),
            "it knows nothing"
        );
        let told = heard.recv_timeout(left + Duration::from_secs(30));
        assert_eq!(told, Ok(LostReason::Expired));
    }
}

/// The only agent is away, and the session is over meanwhile: the watch finds that when the agent is back, long before
/// the lease ends.
#[test]
fn a_loss_is_found_when_the_only_agent_is_back() {
    let proxy = Proxy::start(consul().address(), pass);
    let client = client(proxy.address(), &[]);
    let lock = held(&client, "agent-away", &[]);
    until("it is watched", || proxy.count("watch") > 0);
    proxy.set(|_| Fault::CloseBefore);
    let heard = losses(&lock);
    // The query that was under way would have told it.
    let before = proxy.count("watch");
    until("that query has ended", || proxy.count("watch") > before);
    consul().destroy(&lock.session_id().expect("a session"));
    assert!(heard.recv_timeout(Duration::from_secs(2)).is_err());
    assert!(lock.is_held(), "its lease goes on");
    proxy.set(pass);
    let told = heard.recv_timeout(Duration::from_secs(30));
    assert_eq!(told, Ok(LostReason::KeyGone));
}

#[test]
fn a_lock_is_watched_after_a_second_and_not_before() {
    let proxy = Proxy::start(consul().address(), pass);
    let client = client(proxy.address(), &[]);
    for number in 0..5 {
        let begun = Instant::now();
        let lock = held(&client, &format!("short/{number}"), &[]);
        thread::sleep(Duration::from_millis(100));
        lock.release().unwrap();
        // On a busy machine a second may have passed.
        let is_short = begun.elapsed() < Duration::from_millis(900);
        let key = format!("/v1/kv/{}", full(&format!("short/{number}")));
        assert!(!is_short || !watched(&proxy).contains(&key), "{key}");
    }
    let lock = held(&client, "long", &[]);
    until("it is watched", || {
        watched(&proxy).iter().any(|key| key.ends_with("long"))
    });
    lock.release().unwrap();
}

/// A client has 10 connections for the watches of held locks. When a query has ended, another lock may have its place.
#[test]
fn ten_held_locks_of_a_client_are_watched_at_a_time() {
    let proxy = Proxy::start(consul().address(), pass);
    let client = client(proxy.address(), &[]);
    let locks = (0..13).map(|number| held(&client, &format!("ten/{number}"), &[]));
    let locks: Vec<Lock> = locks.collect();
    until("one is watched", || !watched(&proxy).is_empty());
    let begun = Instant::now();
    // Each query lasts 5 s.
    while begun.elapsed() < Duration::from_secs(3) {
        let watched = watched(&proxy).len();
        assert!(
            watched <= 10 || begun.elapsed() > Duration::from_secs(4),
            "{watched}"
        );
        thread::sleep(Duration::from_millis(20));
    }
    until("ten are watched", || watched(&proxy).len() >= 10);
    for lock in locks {
        lock.release().unwrap();
    }
}

/// Another program writes the key after the library has seen it free, and before the transaction arrives.
#[test]
fn what_is_written_just_before_the_lock_is_not_overwritten() {
    for wait in ["0", "20000"] {
        let key = format!("between-{wait}");
        let path = format!("/v1/kv/{}?flags=7", full(&key));
        let mut first = true;
        let proxy = Proxy::start(consul().address(), move |seen| {
            if seen.kind() == "lock" && std::mem::take(&mut first) {
                consul().request("PUT", &path, "data");
            }
            Fault::Pass
        });
        let client = client(proxy.address(), &[]);
        let lock = lock(&client, &key, &[("acquire_timeout_ms", wait)]);
        assert_eq!(status(lock.acquire()), Status::Rejected);
        drop(lock);
        let row = consul()
            .row(&full(&key))
            .expect("the key of the other program");
        assert_eq!((&row["Flags"], &row["Session"]), (&json!(7), &Json::Null));
        delete(consul(), &key);
    }
}

/// A request with bytes for a body, which `Consul::request` has not: a snapshot is no text.
fn exchange(consul: &Consul, head: &str, body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(consul.address()).expect("Consul");
    let length = body.len();
    let head = format!("{head} HTTP/1.0\r\nHost: consul\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the head");
    stream.write_all(body).expect("the body");
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).expect("a reply");
    assert!(
        reply.starts_with(b"HTTP/1.0 200"),
        "{}",
        String::from_utf8_lossy(&reply)
    );
    let end = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    reply.split_off(end.expect("the end of the head") + 4)
}

/// An operator restores a snapshot that is older than the locks: the watch, a renewal, a check and a guarded write find
/// that they are lost.
#[test]
fn an_older_snapshot_is_restored() {
    let consul = Consul::start_with("");
    let snapshot = exchange(&consul, "GET /v1/snapshot", b"");
    let client = client(consul.address(), &[]);
    let watched = held(&client, "restored-watched", &[]);
    let renewed = held(&client, "restored-renewed", &[UNWATCHED]);
    let checked = held(&client, "restored-checked", &[UNWATCHED]);
    let written = held(&client, "restored-written", &[UNWATCHED]);
    let heard = losses(&watched);
    // Until it is watched.
    thread::sleep(Duration::from_secs(2));
    exchange(&consul, "PUT /v1/snapshot", &snapshot);
    consul.ready().expect("it takes writes again");
    assert_eq!(
        heard.recv_timeout(Duration::from_secs(30)),
        Ok(LostReason::KeyGone)
    );
    assert_eq!(status(renewed.renew()), Status::Lost);
    assert_eq!(status(checked.check()), Status::Lost);
    assert_eq!(
        status(written.put_if_held("data/restored", b"v")),
        Status::Lost
    );
    let next = held(&client, "restored-watched", &[]);
    next.check().unwrap();
    next.release().unwrap();
}

/// The address of Consul, in the process that exits with a lock.
const EXITS: &str = "TEST_EXITS";

/// A process that returns from its main with a lock leaves the lock to the TTL, as one that is killed does.
#[test]
fn nothing_runs_at_exit() {
    if let Ok(address) = std::env::var(EXITS) {
        let client = client(&address, &[]);
        std::mem::forget(held(&client, "exits", &[]));
        std::process::exit(0);
    }
    let test = ["--exact", "exceptions::nothing_runs_at_exit"];
    let status = Command::new(std::env::current_exe().expect("this program"))
        .args(test)
        .env(EXITS, consul().address())
        .status();
    assert!(status.expect("this program, again").success());
    let session = consul().holder(&full("exits")).expect("it is held");
    consul().destroy(&session);
}
