//! All that hold a key or wait for it, on a real Consul.

use crate::support::prelude::*;

use consul_lock::client::{Holders, Role};

fn parsed(holders: &Holders) -> Json {
    serde_json::from_str(&holders.json()).expect("JSON")
}

fn session(lock: &Lock) -> String {
    lock.session_id().expect("held").to_string()
}

/// Waits until so many stand in the line of a key.
fn waiting(consul: &Consul, key: &str, count: usize) {
    let line = format!("{}/.fifo/", full(key));
    until("they stand in line", || {
        let keys = consul.keys();
        keys.iter().filter(|key| key.starts_with(&line)).count() == count
    });
}

#[test]
fn a_free_key_has_no_holders() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let holders = client.holders("nobody").expect("an answer");
    assert!(holders.all.is_empty());
    assert_eq!(
        parsed(&holders),
        json!({"key": full("nobody"), "exclusive": null, "sharers": [], "line": []})
    );
}

#[test]
fn the_exclusive_holder_and_the_line_in_its_order() {
    let consul = Consul::start();
    let asking = client(consul.address(), &[]);
    let clients: Vec<Client> = (0..4).map(|_| client(consul.address(), &[])).collect();
    let holder = lock(&clients[0], "line", &[]);
    holder.acquire().expect("free");
    let patient = ("acquire_timeout_ms", "30000");
    let waiters = [
        lock(&clients[1], "line", &[patient]),
        lock(
            &clients[2],
            "line",
            &[patient, ("mode", "share"), ("limit", "3")],
        ),
        lock(&clients[3], "line", &[patient]),
    ];
    thread::scope(|scope| {
        for (number, waiter) in waiters.iter().enumerate() {
            scope.spawn(move || {
                waiter.acquire().expect("its turn");
                waiter.release().expect("held");
            });
            waiting(&consul, "line", number + 1);
        }
        let holders = asking.holders("line").expect("an answer");
        let roles: Vec<Role> = holders.all.iter().map(|party| party.role).collect();
        assert_eq!(
            roles,
            [Role::Exclusive, Role::Waiter, Role::Waiter, Role::Waiter]
        );
        let first = &holders.all[0].holder;
        assert_eq!(&*first.session.0, session(&holder));
        assert_eq!(Some(first.fencing_token), holder.fencing_token());
        assert!(first.since.is_some());
        for party in &holders.all {
            let name = party.holder.name.as_deref().expect("a name");
            assert!(name.starts_with("consul_lock "), "{name}");
            assert!(party.holder.node.is_some() && party.holder.ttl.is_some());
        }
        let json = parsed(&holders);
        let modes: Vec<&str> = json["line"]
            .as_array()
            .unwrap()
            .iter()
            .map(|waiter| waiter["mode"].as_str().unwrap())
            .collect();
        assert_eq!(modes, ["exclusive", "share", "exclusive"]);
        assert_eq!(json["line"][1]["limit"], 3);
        assert_eq!(json["exclusive"]["session"], session(&holder));
        holder.release().expect("held");
    });
    until("all are gone", || {
        asking.holders("line").expect("an answer").all.is_empty()
    });
}

#[test]
fn those_that_share_have_slots_where_there_is_a_limit() {
    let consul = Consul::start();
    let asking = client(consul.address(), &[]);
    let clients: Vec<Client> = (0..3).map(|_| client(consul.address(), &[])).collect();
    for (key, limit, settings) in [
        ("permits", Some(3), &[("mode", "share"), ("limit", "3")][..]),
        ("readers", None, &[("mode", "share")][..]),
    ] {
        let locks: Vec<Lock> = clients.iter().map(|c| lock(c, key, settings)).collect();
        for lock in &locks {
            lock.acquire().expect("room");
        }
        let holders = asking.holders(key).expect("an answer");
        assert_eq!(holders.all.len(), 3);
        for (party, lock) in holders.all.iter().zip(&locks) {
            assert_eq!(party.role, Role::Sharer);
            assert_eq!(party.limit(), limit);
            assert_eq!(&*party.holder.session.0, session(lock));
            assert_eq!(Some(party.holder.fencing_token), lock.fencing_token());
            assert_eq!(party.slot(), lock.slot());
            assert_eq!(party.slot().is_some(), limit.is_some());
            assert!(party.holder.since.is_some() && party.holder.name.is_some());
        }
        assert_eq!(parsed(&holders)["sharers"][0]["limit"], json!(limit));
        // An exclusive acquire that waits for them holds the key already.
        let writer = lock_within(&asking, key, 30_000);
        thread::scope(|scope| {
            let writes = scope.spawn(|| writer.acquire());
            until("it has the gate", || {
                let holders = asking.holders(key).expect("an answer");
                let count = |role| holders.all.iter().filter(|p| p.role == role).count();
                count(Role::Exclusive) == 1 && count(Role::Sharer) == 3
            });
            for lock in &locks {
                lock.release().expect("held");
            }
            writes.join().unwrap().expect("its turn");
        });
        let holders = asking.holders(key).expect("an answer");
        assert_eq!(holders.all.len(), 1);
        writer.release().expect("held");
    }
}

#[test]
fn a_waiter_for_several_keys_says_which() {
    let consul = Consul::start();
    let (asking, other) = (client(consul.address(), &[]), client(consul.address(), &[]));
    let holder = lock(&asking, "several/b", &[]);
    holder.acquire().expect("free");
    let mut options = Options::new();
    options.set("acquire_timeout_ms", "30000").unwrap();
    let both = Lock::new_all(&["several/b", "several/a"], Some(&options), Some(&other)).unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| both.acquire());
        waiting(&consul, "several/b", 1);
        let holders = asking.holders("several/a").expect("an answer");
        assert_eq!(holders.all.len(), 1, "the free key has a waiter");
        let party = &holders.all[0];
        assert_eq!(party.role, Role::Waiter);
        let keys: Vec<&str> = party.keys.iter().map(|key| &**key).collect();
        assert_eq!(keys, [full("several/a"), full("several/b")]);
        holder.release().expect("held");
        waits.join().unwrap().expect("its turn");
    });
    both.release().expect("held");
}

#[test]
fn at_most_64_sessions_are_asked_for_their_names() {
    let consul = Consul::start();
    let clients: Vec<Client> = (0..80).map(|_| client(consul.address(), &[])).collect();
    let locks: Vec<Lock> = clients
        .iter()
        .map(|c| lock(c, "crowd", &[("mode", "share")]))
        .collect();
    for lock in &locks {
        lock.acquire().expect("room");
    }
    let asking = client(consul.address(), &[]);
    let holders = asking.holders("crowd").expect("an answer");
    assert_eq!(holders.all.len(), 80);
    let named = holders.all.iter().filter(|p| p.holder.name.is_some());
    assert_eq!(named.count(), 64);
    assert_eq!(stats(&asking)["requests"]["describe_session"], 64);
    assert_eq!(stats(&asking)["raft_writes"], 0);
}

#[test]
fn the_form_that_does_not_wait_and_a_consul_that_is_gone() {
    let consul = Consul::start();
    let asking = client(consul.address(), &[("request_timeout_ms", "500")]);
    let (told, heard) = std::sync::mpsc::channel();
    let tells = told.clone();
    let done = Completion::new(move |outcome| tells.send(outcome).unwrap());
    asking.holders_start("async", done).expect("it begins");
    let within = Duration::from_secs(20);
    let holders = heard.recv_timeout(within).unwrap().expect("an answer");
    assert!(holders.all.is_empty());
    consul.pause();
    assert_eq!(status(asking.holders("async")), Status::Unavailable);
    consul.resume();
    assert_eq!(
        status(asking.holders("not/a//key/.fifo/x")),
        Status::InvalidArgument
    );
}
