//! A thousand waiters on a thousand keys in one process: with few connections and threads, all of
//! them are served. Alone in its process, as it counts its threads.

use crate::support::prelude::{self, *};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use crate::support::agent::version;
use crate::support::contender::{Contender, Plan, Role, has_contended};
use crate::support::rows::{is_taken, shares};

const MANY: usize = 1_000;

fn client(address: &str, token: &str) -> Client {
    // A thousand at once take their time.
    prelude::client(
        address,
        &[("token", token), ("release_timeout_ms", "60000")],
    )
}

fn lock(client: &Client, key: &str) -> Lock {
    lock_within(client, key, -1)
}

fn connections(client: &Client) -> u64 {
    number(client, "connections_peak")
}

/// Holds all keys with sessions of another program, in transactions of 50.
fn hold_all(consul: &Consul, folder: &str) -> Vec<String> {
    let mut sessions = Vec::new();
    for first in (0..MANY).step_by(50) {
        let body = r#"{"TTL":"300s","Behavior":"delete","LockDelay":"0s","NodeChecks":[]}"#;
        let reply = consul.request("PUT", "/v1/session/create", body);
        let session: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        let session = session["ID"].as_str().unwrap().to_owned();
        let lock = |number| {
            let key = format!("locks/ephemeral/{folder}/{number}");
            serde_json::json!({"KV": {"Verb": "lock", "Key": key, "Value": "", "Session": session}})
        };
        let body = serde_json::Value::from_iter((first..first + 50).map(lock)).to_string();
        assert_eq!(consul.request("PUT", "/v1/txn", &body).status, 200);
        sessions.push(session);
    }
    sessions
}

/// Everybody waits, and is served when the sessions of the holders end, one after the other.
fn all_are_served(consul: &Consul, token: &str, folder: &str) {
    let sessions = hold_all(consul, folder);
    let client = client(consul.address(), token);
    let served = Arc::new(AtomicUsize::new(0));
    let (told, heard) = channel();
    let locks: Vec<Arc<Lock>> = (0..MANY)
        .map(|number| Arc::new(lock(&client, &format!("{folder}/{number}"))))
        .collect();
    for lock in &locks {
        let (served, mine, told) = (served.clone(), lock.clone(), told.clone());
        lock.acquire_start(Completion::new(move |outcome| {
            outcome.expect("served");
            served.fetch_add(1, Ordering::SeqCst);
            // A panic in here would stay in here.
            let tell = move |outcome: Result<(), Error>| told.send(outcome).unwrap();
            mine.release_start(Completion::new(tell)).unwrap();
        }))
        .unwrap();
    }
    thread::sleep(Duration::from_secs(5));
    let most = threads();
    assert_eq!(served.load(Ordering::SeqCst), 0);
    let begun = Instant::now();
    for (number, session) in sessions.iter().enumerate() {
        consul.destroy(session);
        if number < 4 {
            until("these are served", || {
                served.load(Ordering::SeqCst) >= (number + 1) * 50
            });
        }
    }
    until("all are served", || served.load(Ordering::SeqCst) == MANY);
    for _ in 0..MANY {
        let released = heard.recv_timeout(Duration::from_secs(60));
        released.expect("it is told").expect("released");
    }
    println!(
        "{folder}: all served {:?} after the first end; {most} threads, {} connections at most",
        begun.elapsed(),
        connections(&client)
    );
    assert!(most.max(threads()) <= 32);
    assert!(connections(&client) <= 32);
}

/// Connections that Consul keeps on its side, whether or not there is a client at the other end.
fn kept_by(consul: &Consul) -> usize {
    /// Established, and closed by the client only.
    const KEPT: [&str; 2] = ["01", "08"];
    let port = consul.address().rsplit(':').next().unwrap();
    let port = format!(":{:04X}", port.parse::<u16>().unwrap());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).filter(|row| {
        let mut columns = row.split_whitespace().skip(1);
        let (local, _, state) = (columns.next(), columns.next(), columns.next());
        local.is_some_and(|local| local.ends_with(&port))
            && state.is_some_and(|state| KEPT.contains(&state))
    });
    rows.count()
}

/// Consul keeps the connection of a blocking query that was aborted, and closes the 201st of an
/// address: so locks that are watched are given back without using them up.
#[test]
fn two_thousand_held_locks_are_given_back_and_others_are_served() {
    if ran_alone(two_thousand_held_locks_are_given_back_and_others_are_served) {
        return;
    }
    const LOCKS: usize = 2_000;
    let consul = Consul::start();
    let here = client(consul.address(), "");
    let elsewhere = client(consul.address(), "");
    let (told, heard) = channel();
    let locks: Vec<Arc<Lock>> = (0..LOCKS)
        .map(|number| Arc::new(lock(&here, &format!("held/{number}"))))
        .collect();
    for lock in &locks {
        let told = told.clone();
        let tell = move |outcome: Result<(), Error>| told.send(outcome).unwrap();
        lock.acquire_start(Completion::new(tell)).unwrap();
    }
    for _ in 0..LOCKS {
        let taken = heard.recv_timeout(Duration::from_secs(120));
        taken.expect("it is told").expect("acquired");
    }
    // Held for long enough to be watched.
    thread::sleep(Duration::from_millis(2_500));
    for lock in &locks {
        let told = told.clone();
        let tell = move |outcome: Result<(), Error>| told.send(outcome).unwrap();
        lock.release_start(Completion::new(tell)).unwrap();
    }
    let (mut released, mut most) = (0, 0);
    while released < LOCKS {
        // Another program.
        let other = lock(&elsewhere, "held/other");
        other.acquire().expect("Consul serves others");
        other.release().expect("Consul serves others");
        most = most.max(kept_by(&consul));
        let next = heard.recv_timeout(Duration::from_secs(120));
        for outcome in next.into_iter().chain(heard.try_iter()) {
            outcome.expect("released");
            released += 1;
        }
    }
    println!("{most} connections to Consul at most");
    // Those of two clients, and a few of this test's own.
    assert!(most <= 40, "{most}");
    drop((locks, here, elsewhere));
    consul.has_nothing_left();
    until("its threads are gone", || threads() == 0);
}

#[test]
fn a_thousand_waiters_on_a_thousand_keys() {
    if ran_alone(a_thousand_waiters_on_a_thousand_keys) {
        return;
    }
    // By default Consul closes the 201st connection of an address.
    let master = if version() >= (1, 11) {
        "initial_management"
    } else {
        "master"
    };
    let consul = Consul::start_with(&format!(
        "acl {{ enabled = true\n default_policy = \"deny\"\n enable_key_list_policy = true\n \
         tokens {{ {master} = \"root\" }} }}"
    ));
    all_are_served(&consul, "root", "listed");
    consul.has_nothing_left();

    // Without the right to list keys they take turns.
    let rules = "session_prefix \"\" { policy = \"write\" } key_prefix \"locks/ephemeral/turns/\" { policy = \"write\" } key_prefix \"locks/ephemeral/\" { policy = \"read\" }";
    let policy = serde_json::json!({"Name": "no-list", "Rules": rules}).to_string();
    assert_eq!(consul.request("PUT", "/v1/acl/policy", &policy).status, 200);
    let token = serde_json::json!({"Policies": [{"Name": "no-list"}]}).to_string();
    let reply = consul.request("PUT", "/v1/acl/token", &token);
    let token: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    all_are_served(&consul, token["SecretID"].as_str().unwrap(), "turns");
    consul.has_nothing_left();
}

/// The sum of all requests of a client.
fn requests(client: &Client) -> u64 {
    let stats = stats(client);
    let kinds = stats["requests"].as_object().expect("an object");
    kinds.values().map(|n| n.as_u64().expect("a number")).sum()
}

/// A thousand of one process share a key. A writer waits until the last has left, and asks as many times as the
/// logarithm of their number: it watches one by chance, and when that one has left about half of the others have, too.
#[test]
fn a_writer_waits_for_a_thousand_readers() {
    if ran_alone(a_writer_waits_for_a_thousand_readers) {
        return;
    }
    let consul = Consul::start();
    let readers = client(consul.address(), "");
    let (told, heard) = channel();
    let share = |client| {
        let more = [("acquire_timeout_ms", "-1"), ("mode", "share")];
        prelude::lock(client, "many", &more)
    };
    let mut locks: Vec<Arc<Lock>> = (0..MANY).map(|_| Arc::new(share(&readers))).collect();
    let begun = Instant::now();
    for lock in &locks {
        let told = told.clone();
        let tell = move |outcome: Result<(), Error>| told.send(outcome).unwrap();
        lock.acquire_start(Completion::new(tell)).unwrap();
    }
    for _ in 0..MANY {
        let taken = heard.recv_timeout(Duration::from_secs(120));
        taken.expect("it is told").expect("acquired");
    }
    let (took, asked) = (begun.elapsed(), requests(&readers));
    println!("all are in after {took:?}, with {asked} requests");
    assert_eq!(shares(&consul, "many").len(), MANY);
    assert_eq!(number(&readers, "held"), MANY as u64);

    let here = client(consul.address(), "");
    let writer = lock(&here, "many");
    thread::scope(|scope| {
        let writes = scope.spawn(|| writer.acquire());
        until("it has the gate", || is_taken(&consul, "many"));
        // In no order: shuffled by a linear congruence.
        let mut order: u64 = 1;
        let begun = Instant::now();
        while locks.len() > 1 {
            order = order
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let chosen = usize::try_from(order >> 33).unwrap() % locks.len();
            locks.swap_remove(chosen).release().unwrap();
        }
        println!("all but one have left after {:?}", begun.elapsed());
        thread::sleep(Duration::from_millis(300));
        assert!(!writer.is_held() && !writes.is_finished());
        locks.remove(0).release().unwrap();
        writes.join().unwrap().unwrap();
    });
    let asked = requests(&here);
    println!(
        "the writer sent {asked} requests: {}",
        stats(&here)["requests"]
    );
    // With one request for each there would be a thousand.
    assert!(asked < 100, "{asked}");
    writer.release().unwrap();
    drop((writer, here, readers));
    consul.has_nothing_left();
}

/// The same from four processes, which know nothing of each other's slots.
#[test]
fn a_thousand_readers_of_four_processes() {
    if has_contended() {
        return;
    }
    let consul = Consul::start();
    let plan = Plan {
        address: consul.address().to_owned(),
        key: "crowd".to_owned(),
        role: Role::Crowd(MANY / 4),
        hold: Duration::ZERO,
        ttl_seconds: 300,
        witness: None,
    };
    let begun = Instant::now();
    let mut crowds: Vec<Contender> = (0..4)
        .map(|_| Contender::start(a_thousand_readers_of_four_processes, plan.clone()))
        .collect();
    until("all are in", || {
        crowds.iter().all(|crowd| crowd.has_said("has all"))
    });
    println!("all are in after {:?}", begun.elapsed());
    assert_eq!(shares(&consul, "crowd").len(), MANY);
    let here = client(consul.address(), "");
    let writer = lock(&here, "crowd");
    thread::scope(|scope| {
        let writes = scope.spawn(|| writer.acquire());
        until("it has the gate", || is_taken(&consul, "crowd"));
        for crowd in &mut crowds {
            assert!(!writer.is_held() && !writes.is_finished());
            crowd.end_input();
            until("it has left", || crowd.has_ended());
            assert!(!crowd.has_said("failed"));
        }
        writes.join().unwrap().unwrap();
    });
    let asked = requests(&here);
    println!("the writer sent {asked} requests");
    assert!(asked < 100, "{asked}");
    writer.release().unwrap();
    drop((writer, here));
    consul.has_nothing_left();
}
