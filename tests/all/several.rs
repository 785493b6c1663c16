//! One lock on several keys, on a real Consul: all of them or none.

use crate::support::prelude::{self, *};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

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

fn options(more: &[(&str, &str)]) -> Options {
    let mut options = Options::new();
    options.set("acquire_timeout_ms", "60000").unwrap();
    for (name, value) in more {
        options.set(name, value).unwrap();
    }
    options
}

/// A lock on several keys.
fn all(client: &Client, keys: &[&str], more: &[(&str, &str)]) -> Lock {
    Lock::new_all(keys, Some(&options(more)), Some(client)).unwrap()
}

fn one(client: &Client, key: &str, more: &[(&str, &str)]) -> Lock {
    Lock::new(key, Some(&options(more)), Some(client)).unwrap()
}

fn a_client() -> Client {
    client(consul().address(), &[])
}

/// A lock of another process on several keys.
fn elsewhere(keys: &[&str], more: &[(&str, &str)]) -> Lock {
    all(&a_client(), keys, more)
}

/// A lock of another process on one key, held.
fn held(key: &str, more: &[(&str, &str)]) -> Lock {
    let lock = one(&a_client(), key, more);
    lock.acquire().unwrap_or_else(|error| panic!("{error}"));
    lock
}

fn tickets(key: &str) -> usize {
    rows::tickets(consul(), key)
}

#[track_caller]
fn nothing_of(folder: &str) {
    rows::nothing_of(consul(), folder);
}

/// Who is where: panics when two are at one place.
struct Places([AtomicBool; 4]);

impl Places {
    fn new() -> Places {
        Places([const { AtomicBool::new(false) }; 4])
    }

    fn stay(&self, at: &[usize], time: Duration) {
        for place in at {
            let was = self.0[*place].swap(true, Ordering::SeqCst);
            assert!(!was, "two at {place}");
        }
        thread::sleep(time);
        for place in at {
            self.0[*place].store(false, Ordering::SeqCst);
        }
    }
}

// All or none.

#[test]
fn all_keys_are_taken_in_one_write_and_released_in_one() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    // In no order, and one of them twice.
    let names = ["c", "a", "b", "a"];
    let cycle = || {
        let lock = all(&client, &names, &[]);
        lock.acquire().unwrap();
        lock
    };
    // The second use keeps its session warm.
    cycle().release().unwrap();
    cycle().release().unwrap();
    let before = consul.raft_index();
    let lock = cycle();
    let taken = consul.raft_index();
    assert_eq!(lock.keys(), [&full("a"), &full("b"), &full("c")]);
    assert_eq!(lock.key(), full("a"));
    for key in lock.keys() {
        let row = consul.row(key).unwrap();
        assert_eq!(row["Session"], lock.session_id().unwrap().as_str());
        assert_eq!(row["ModifyIndex"], lock.fencing_token().unwrap());
        assert_eq!(row["CreateIndex"], lock.fencing_token().unwrap());
    }
    lock.release().unwrap();
    let released = consul.raft_index();
    // A leader adds one of its own each minute.
    assert!((1..=2).contains(&(taken - before)), "{}", taken - before);
    assert!((1..=2).contains(&(released - taken)));
    drop(client);
    consul.has_nothing_left();
}

#[test]
fn one_key_that_is_held_keeps_all_of_them_free() {
    let holder = held("none/b", &[]);
    let session = holder.session_id().unwrap();
    for wait in ["0", "700"] {
        let lock = elsewhere(
            &["none/a", "none/b", "none/c"],
            &[("acquire_timeout_ms", wait)],
        );
        let error = lock.acquire().unwrap_err();
        assert_eq!(error.status, Status::NotAcquired, "{error}");
        let named = format!("\"{}\" is not free", full("none/b"));
        assert!(error.message.contains(&named), "{error}");
        assert!(error.message.contains(&session), "{error}");
        assert!(error.message.contains(&full("none/c")), "{error}");
        assert!(!is_taken(consul(), "none/a") && !is_taken(consul(), "none/c"));
    }
    // What was waited for is free for others.
    for key in ["none/a", "none/c"] {
        held(key, &[ONCE]).release().unwrap();
    }
    holder.release().unwrap();
    let lock = elsewhere(&["none/a", "none/b", "none/c"], &[ONCE]);
    lock.acquire().unwrap();
    lock.release().unwrap();
    nothing_of("none");
}

/// Each takes two of four keys, in whatever order: none waits for ever, no key has two holders, and Consul never
/// shows a part of a lock.
#[test]
fn overlapping_sets_end_in_no_deadlock_and_in_no_partial_hold() {
    let places = Places::new();
    let names = ["ring/0", "ring/1", "ring/2", "ring/3"];
    let served = Mutex::new([0_u32; 8]);
    let begun = Instant::now();
    let goes_on = || match begun.elapsed().as_secs() {
        0..5 => true,
        5..40 => served.lock().unwrap().iter().any(|count| *count < 5),
        _ => false,
    };
    let is_over = AtomicBool::new(false);
    let looks = AtomicU32::new(0);
    thread::scope(|scope| {
        let contenders: Vec<_> = (0..8_usize)
            .map(|number| {
                let (places, served, goes_on) = (&places, &served, &goes_on);
                scope.spawn(move || {
                    let client = a_client();
                    let mut turn = number;
                    while goes_on() {
                        turn += 1;
                        let (first, second) = (turn % 4, (turn + 1 + turn / 4 % 3) % 4);
                        let pair = [names[first], names[second]];
                        // The last one takes single keys.
                        let keys = if number == 7 { &pair[..1] } else { &pair };
                        let value = keys.join(" ");
                        let lock = all(&client, keys, &[("value", &value)]);
                        lock.acquire().unwrap();
                        places.stay(&[first, second][..keys.len()], Duration::from_millis(4));
                        lock.release().unwrap();
                        served.lock().unwrap()[number] += 1;
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let parts = parts_in(&names);
                assert_eq!(parts, [""; 0]);
                looks.fetch_add(1, Ordering::SeqCst);
            }
        });
        let ended: Vec<_> = contenders.into_iter().map(|one| one.join()).collect();
        is_over.store(true, Ordering::SeqCst);
        assert!(ended.iter().all(Result::is_ok));
    });
    let served = served.into_inner().unwrap();
    println!("served {served:?}, {looks:?} looks");
    assert!(served.iter().all(|count| *count >= 5), "{served:?}");
    assert!(looks.into_inner() > 20);
    nothing_of("ring");
}

/// The keys that a session should hold, by the value of another key that it holds, and does not; at one instant.
fn parts_in(names: &[&str]) -> Vec<String> {
    let get = |name: &&str| json!({"KV": {"Verb": "get-tree", "Key": full(name)}});
    let body = Json::from_iter(names.iter().map(get)).to_string();
    let reply = consul().request("PUT", "/v1/txn", &body);
    let reply: Json = serde_json::from_str(&reply.body).unwrap();
    let rows: HashMap<String, (String, String)> = reply["Results"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| {
            let row = &row["KV"];
            let session = row["Session"].as_str()?.to_owned();
            let key = row["Key"].as_str()?.to_owned();
            let value = row["Value"].as_str().unwrap_or_default();
            (!key.contains(".fifo")).then_some((key, (session, decoded(value))))
        })
        .collect();
    let mut parts = Vec::new();
    for (key, (session, value)) in &rows {
        for other in value.split(' ').map(full) {
            let holder = rows.get(&other).map(|(session, _)| session);
            if holder != Some(session) {
                parts.push(format!("{session} has {key} and not {other}: {holder:?}"));
            }
        }
    }
    parts
}

fn decoded(value: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(value);
    String::from_utf8(bytes.unwrap()).unwrap()
}

// In line.

/// The line of each key has the same order: who came before, with whatever keys, is served before.
#[test]
fn several_keys_stand_in_the_line_of_each_key() {
    let holders = [held("lines/a", &[]), held("lines/b", &[])];
    let served = Mutex::new(Vec::new());
    let arrivals: [&[&str]; 5] = [
        &["lines/a"],
        &["lines/b", "lines/a"],
        &["lines/b"],
        &["lines/a", "lines/b"],
        &["lines/a"],
    ];
    thread::scope(|scope| {
        let mut places = 0;
        for (number, keys) in arrivals.iter().enumerate() {
            let served = &served;
            scope.spawn(move || {
                let lock = elsewhere(keys, &[("queue_grace_ms", "10000")]);
                lock.acquire().unwrap();
                served.lock().unwrap().push(number);
                thread::sleep(Duration::from_millis(30));
                lock.release().unwrap();
            });
            places += keys.len();
            until("it stands in all of its lines", || {
                tickets("lines/a") + tickets("lines/b") == places
            });
        }
        // The second is first at b now, and b is free: the third may not have it.
        holders[1].release().unwrap();
        thread::sleep(Duration::from_millis(500));
        assert_eq!(*served.lock().unwrap(), [0; 0]);
        holders[0].release().unwrap();
    });
    let served = served.into_inner().unwrap();
    let before = |first: usize, second: usize| {
        let at = |number| served.iter().position(|found| *found == number).unwrap();
        assert!(at(first) < at(second), "{served:?}");
    };
    // The third one shares no key with the first; it may overtake none of its own line.
    for (first, second) in [(0, 1), (1, 2), (1, 3), (2, 3), (3, 4)] {
        before(first, second);
    }
    nothing_of("lines");
}

#[test]
fn thirty_keys_alone_and_in_line_and_not_thirty_one() {
    let names: Vec<String> = (0..31).map(|number| format!("thirty/{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let error = Lock::new_all(&names, None, Some(&a_client())).unwrap_err();
    assert_eq!(error.status, Status::InvalidArgument);
    assert!(error.message.contains("30"), "{error}");
    let error = Lock::new_all(&[], None, Some(&a_client())).unwrap_err();
    assert_eq!(error.status, Status::InvalidArgument);

    let (places, keys) = (Places::new(), &names[..30]);
    let lock = elsewhere(keys, &[ONCE]);
    lock.acquire().unwrap();
    lock.check().unwrap();
    for key in keys {
        assert_eq!(consul().holder(&full(key)), lock.session_id());
    }
    lock.release().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            let places = &places;
            scope.spawn(move || {
                let client = a_client();
                for _ in 0..4 {
                    let lock = all(&client, keys, &[]);
                    lock.acquire().unwrap();
                    places.stay(&[0, 1], Duration::from_millis(5));
                    lock.release().unwrap();
                }
            });
        }
        let places = &places;
        scope.spawn(move || {
            let client = a_client();
            for _ in 0..8 {
                let lock = one(&client, keys[29], &[]);
                lock.acquire().unwrap();
                places.stay(&[1], Duration::from_millis(5));
                lock.release().unwrap();
            }
        });
    });
    nothing_of("thirty");
}

/// Three Raft writes for each grant in line, whatever the number of keys.
#[test]
fn several_keys_cost_as_much_as_one() {
    let consul = Consul::start();
    let names: Vec<String> = (0..10).map(|number| format!("cost/{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let clients: Vec<Client> = (0..6)
        .map(|_| prelude::client(consul.address(), &[]))
        .collect();
    for client in &clients {
        let lock = all(client, &names, &[]);
        lock.acquire().unwrap();
        lock.release().unwrap();
    }
    let rounds = 8_u64;
    let before = consul.raft_index();
    thread::scope(|scope| {
        for client in &clients {
            let names = &names;
            scope.spawn(move || {
                for turn in 0..rounds {
                    let keys = if turn % 2 == 0 {
                        &names[..7]
                    } else {
                        &names[5..]
                    };
                    let lock = all(client, keys, &[("queue_grace_ms", "10000")]);
                    lock.acquire().unwrap();
                    thread::sleep(Duration::from_millis(3));
                    lock.release().unwrap();
                }
            });
        }
    });
    let written = consul.raft_index() - before;
    let grants = 6 * rounds;
    println!("{written} writes for {grants} grants");
    // And a session each, and an attempt that came before the line was known.
    assert!(written <= 3 * grants + 4 * 6 + 2, "{written}");
    drop(clients);
    consul.has_nothing_left();
}

#[test]
fn unfair_ones_stand_in_no_line() {
    let proxy = Proxy::start(consul().address(), |_: &Seen| Fault::Pass);
    let here = client(proxy.address(), &[]);
    let holder = held("unfair-keys/b", &[]);
    let lock = all(
        &here,
        &["unfair-keys/a", "unfair-keys/b"],
        &[("fair", "false")],
    );
    thread::scope(|scope| {
        let waiting = scope.spawn(|| lock.acquire());
        until("it waits", || proxy.count("watch") > 0);
        holder.release().unwrap();
        waiting.join().unwrap().unwrap();
    });
    lock.release().unwrap();
    assert!(
        !proxy
            .seen()
            .iter()
            .any(|seen| seen.body.contains("/.fifo/"))
    );
    nothing_of("unfair-keys");
}

#[test]
fn a_cancel_gives_up_every_place() {
    let holder = held("cancelled/c", &[]);
    let lock = elsewhere(&["cancelled/a", "cancelled/b", "cancelled/c"], &[]);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| lock.acquire());
        until("it stands in line", || tickets("cancelled/a") == 1);
        lock.cancel();
        assert_eq!(status(waiting.join().unwrap()), Status::Cancelled);
    });
    until("its tickets are gone", || {
        ["a", "b", "c"]
            .iter()
            .all(|key| tickets(&format!("cancelled/{key}")) == 0)
    });
    held("cancelled/a", &[ONCE]).release().unwrap();
    holder.release().unwrap();
    nothing_of("cancelled");
}

// Beside other locks.

/// Those who share one of the keys are waited for, and no other session enters meanwhile.
#[test]
fn several_keys_wait_for_those_who_share_one_of_them() {
    let readers = [
        held("drain/b", &[SHARE]),
        held("drain/c", &[SHARE, ("limit", "2")]),
    ];
    let keys = ["drain/a", "drain/b", "drain/c"];
    let error = elsewhere(&keys, &[ONCE]).acquire().unwrap_err();
    assert_eq!(error.status, Status::NotAcquired, "{error}");
    assert!(error.message.contains("share it"), "{error}");
    let error = elsewhere(&keys, &[("acquire_timeout_ms", "700")])
        .acquire()
        .unwrap_err();
    assert_eq!(error.status, Status::NotAcquired, "{error}");
    assert!(
        error.message.contains("is not free: ") && error.message.contains("share it"),
        "{error}"
    );
    let lock = elsewhere(&keys, &[]);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| lock.acquire());
        until("it has the keys", || is_taken(consul(), "drain/a"));
        let late = one(&a_client(), "drain/b", &[SHARE, ONCE]);
        assert_eq!(status(late.acquire()), Status::NotAcquired);
        for reader in &readers {
            thread::sleep(Duration::from_millis(200));
            assert!(!lock.is_held() && !waiting.is_finished());
            reader.release().unwrap();
        }
        waiting.join().unwrap().unwrap();
    });
    lock.check().unwrap();
    lock.release().unwrap();
    nothing_of("drain");
}

#[test]
fn several_keys_are_exclusive_and_stay_so() {
    let more = options(&[SHARE]);
    let error = Lock::new_all(&["x", "y"], Some(&more), Some(&a_client())).unwrap_err();
    assert_eq!(error.status, Status::InvalidOption, "{error}");
    assert!(error.message.contains("exclusive"), "{error}");
    // One key, twice, is one key.
    let lock = Lock::new_all(&["same", "same"], Some(&more), Some(&a_client())).unwrap();
    assert_eq!(lock.keys(), [&full("same")]);

    let lock = elsewhere(&["stay/a", "stay/b"], &[]);
    lock.acquire().unwrap();
    let error = lock.downgrade().unwrap_err();
    assert_eq!(error.status, Status::InvalidArgument, "{error}");
    assert!(error.message.contains("several keys"), "{error}");
    lock.check().unwrap();
    lock.release().unwrap();
    nothing_of("stay");
}

// While they are held.

#[test]
fn several_keys_are_renewed_checked_and_written_under() {
    let keys = ["kept-keys/a", "kept-keys/b"];
    let more = [
        ("lock_timeout_seconds", "10"),
        ("auto_renew", "true"),
        ("value", "v"),
    ];
    let lock = elsewhere(&keys, &more);
    lock.acquire().unwrap();
    let begun = Instant::now();
    for key in keys {
        assert_eq!(consul().row(&full(key)).unwrap()["Value"], "dg==");
    }
    lock.put_if_held("data/keys", b"all").unwrap();
    assert_eq!(consul().row("data/keys").unwrap()["Value"], "YWxs");
    lock.delete_if_held("data/keys").unwrap();
    assert_eq!(consul().row("data/keys"), None);
    for key in keys {
        let refused = lock.put_if_held(&full(key), b"v");
        assert_eq!(status(refused), Status::InvalidArgument);
    }
    lock.renew().unwrap();
    while begun.elapsed() < Duration::from_secs(13) {
        assert!(lock.remaining() > Duration::from_secs(3));
        thread::sleep(Duration::from_millis(200));
    }
    lock.check().unwrap();
    lock.release().unwrap();
    nothing_of("kept-keys");
}

fn delete(key: &str) {
    let reply = consul().request("DELETE", &format!("/v1/kv/{}", full(key)), "");
    assert_eq!(reply.body.trim(), "true");
}

/// An operator deletes one key, whichever it is, or another program takes it: the holder is told, and need not ask.
#[test]
fn the_loss_of_one_key_is_told_whichever_it_is() {
    let told = |name: &str, lost: &str, taken: bool, more: &[(&str, &str)]| {
        let keys = ["a", "b", "c"].map(|key| format!("whichever/{name}/{key}"));
        let keys = keys.each_ref().map(String::as_str);
        let lost = format!("whichever/{name}/{lost}");
        let lock = elsewhere(&keys, more);
        lock.acquire().unwrap();
        let heard = losses(&lock);
        thread::sleep(Duration::from_millis(1_500));
        delete(&lost);
        let theirs = taken.then(|| consul().other_holds(&full(&lost)));
        let why = match taken {
            true => LostReason::TakenOver,
            false => LostReason::KeyGone,
        };
        // Long before the lease ends, and before a renewal, which would not find it.
        let found = heard.recv_timeout(Duration::from_secs(40));
        assert_eq!(found, Ok(why), "{name}");
        assert!(!lock.is_held());
        assert_eq!(status(lock.release()), Status::Lost);
        drop(lock);
        if let Some(theirs) = theirs {
            assert_eq!(consul().holder(&full(&lost)), Some(theirs.clone()));
            consul().destroy(&theirs);
        }
        nothing_of(&format!("whichever/{name}"));
    };
    let renewed = ("auto_renew", "true");
    thread::scope(|scope| {
        scope.spawn(|| told("first", "a", false, &[]));
        scope.spawn(|| told("second", "b", false, &[]));
        scope.spawn(|| told("last", "c", false, &[]));
        scope.spawn(|| told("taken", "b", true, &[]));
        scope.spawn(|| told("renewed", "b", false, &[renewed]));
        scope.spawn(|| {
            let short = [renewed, ("lock_timeout_seconds", "10")];
            told("short", "c", true, &short);
        });
    });
}

/// To ask for all keys costs one request every 5 s, and no Raft write.
#[test]
fn asking_for_all_keys_costs_no_raft_write() {
    let consul = Consul::start();
    let proxy = Proxy::start(consul.address(), |_: &Seen| Fault::Pass);
    let here = client(proxy.address(), &[]);
    let names: Vec<String> = (0..30).map(|number| format!("asked/{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lock = all(&here, &names, &[]);
    lock.acquire().unwrap();
    let begun = Instant::now();
    let questions = || {
        let seen = proxy.seen();
        seen.iter()
            .filter(|seen| seen.target.starts_with("/v1/txn?consistent"))
            .count()
    };
    // A large lock is proved once before it is told.
    let (asked, before) = (questions(), consul.raft_index());
    for more in 1..=3 {
        until("it asks for all keys", || questions() >= asked + more);
    }
    let most = begun.elapsed().as_secs() / 5 + 1;
    assert!((questions() - asked) as u64 <= most, "{}", questions());
    // A leader adds one of its own each minute.
    assert!(consul.raft_index() - before <= 1);
    lock.check().unwrap();
    lock.release().unwrap();
    drop(here);
    consul.has_nothing_left();
}

/// A check, a guarded write and a release ask for all keys.
#[test]
fn the_loss_of_one_key_is_the_loss_of_all() {
    for ask in [
        Lock::check as fn(&Lock) -> _,
        |lock| lock.put_if_held("data/lost-keys", b"v"),
        Lock::release,
    ] {
        let unwatched = ("monitor", "false");
        let lock = elsewhere(&["lose/a", "lose/b", "lose/c"], &[unwatched]);
        lock.acquire().unwrap();
        let heard = losses(&lock);
        delete("lose/b");
        let theirs = consul().other_holds(&full("lose/b"));
        assert_eq!(status(ask(&lock)), Status::Lost);
        let told = heard.recv_timeout(Duration::from_secs(5));
        assert_eq!(told, Ok(LostReason::TakenOver));
        assert!(!lock.is_held());
        assert_eq!(consul().row("data/lost-keys"), None);
        // The keys that were left go with the session, and the other program keeps its own.
        until("the rest is free", || {
            !is_taken(consul(), "lose/a") && !is_taken(consul(), "lose/c")
        });
        assert_eq!(consul().holder(&full("lose/b")), Some(theirs.clone()));
        consul().destroy(&theirs);
        drop(lock);
        nothing_of("lose");
    }

    let lock = elsewhere(&["lose/a", "lose/b"], &[]);
    lock.acquire().unwrap();
    let heard = losses(&lock);
    thread::sleep(Duration::from_millis(1_500));
    consul().destroy(&lock.session_id().unwrap());
    let told = heard.recv_timeout(Duration::from_secs(5));
    assert_eq!(told, Ok(LostReason::KeyGone));
    drop(lock);
    nothing_of("lose");
}
