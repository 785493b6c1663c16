//! What a client's options make of its sessions and keys, and how it lives with the limits of a
//! server, on a real Consul.

use crate::support::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::ports;
use crate::support::program::{Running, says};
use crate::support::proxy::{Fault, Proxy, Seen};
use crate::support::scripted::{Answer, Scripted};

fn row_of(consul: &Consul, session: &Lock) -> Json {
    let id = session.session_id().unwrap();
    let sessions = consul.sessions();
    let row = sessions.into_iter().find(|row| row["ID"] == id.as_str());
    row.expect("the session")
}

#[test]
fn name_flags_and_checks() {
    let consul = Consul::start();
    // The defaults: the caller sets no option.
    let plain = lock_within(&client(consul.address(), &[]), "plain", 0);
    plain.acquire().unwrap();
    let row = row_of(&consul, &plain);
    assert!(
        row["Name"].as_str().unwrap().starts_with("consul_lock "),
        "{row}"
    );
    assert_eq!(
        (&row["LockDelay"], &row["NodeChecks"]),
        (&json!(0), &json!([])),
        "{row}"
    );
    let full = consul.row("locks/ephemeral/plain").unwrap();
    assert_eq!(full["Flags"], 3_304_740_253_564_472_344_u64);
    plain.release().unwrap();

    let options = [
        ("session_name", "billing \"é\""),
        ("session_checks", "serfHealth"),
        ("flags", "7"),
        ("lock_delay_ms", "1500"),
    ];
    let client = client(consul.address(), &options);
    let mine = lock_within(&client, "k", 0);
    mine.acquire().unwrap();
    let row = row_of(&consul, &mine);
    assert!(
        row["Name"].as_str().unwrap().starts_with("billing \"é\" "),
        "{row}"
    );
    assert_eq!(row["NodeChecks"], json!(["serfHealth"]), "{row}");
    assert_eq!(row["LockDelay"], 1_500_000_000_u64, "{row}");
    assert_eq!(consul.row("locks/ephemeral/k").unwrap()["Flags"], 7);
    // Another client of this process knows its own process under any name.
    let other = self::client(consul.address(), &[("session_name", "reports")]);
    let error = lock_within(&other, "k", 0).acquire().expect_err("held");
    assert!(
        error.message.contains("this very process holds it"),
        "{error}"
    );
    mine.release().unwrap();
    // In another process, the session's name tells which program holds the lock.
    let address = format!("address={}", consul.address());
    let running = Running::until("taken", &["hold", &address, "session_name=billing"], &[]);
    let error = lock_within(&other, "connect", 0)
        .acquire()
        .expect_err("held");
    assert!(
        error.message.contains("held by session") && error.message.contains("\"billing "),
        "{error}"
    );
    assert!(running.finish().contains("released"));
    consul.has_nothing_left();
}

/// A name that Consul, a policy or a shell could take for something else, or that cannot be kept.
#[test]
fn a_session_node_that_cannot_be() {
    let refused = |options: &[(&str, &str)]| {
        let mut all = Options::new();
        for (name, value) in options {
            let _ = all.set(name, value);
        }
        let error = Client::new(Some(&all)).expect_err("refused");
        assert_eq!(error.status, Status::InvalidOption, "{error}");
        error.message
    };
    let long = "n".repeat(129);
    for name in ["", "a b", "a/b", "a'b", "\u{e9}", "..\n", &long] {
        let said = refused(&[("session_node", name)]);
        assert!(said.starts_with("option session_node: "), "{said}");
    }
    let said = refused(&[("session_node", "locks"), ("session_checks", "serfHealth")]);
    assert!(
        said.contains("session_node") && said.contains("session_checks"),
        "{said}"
    );
    for name in ["locks", "Locks-1.dc1_x", &long[1..]] {
        client(
            "127.0.0.1:1",
            &[("session_node", name), ("session_checks", "")],
        );
    }
}

/// A check that is critical ends the session; without checks nothing but the TTL does.
#[test]
fn a_session_with_a_check_ends_with_it() {
    let consul = Consul::start();
    let register = json!({"ID": "mine", "Name": "mine", "TTL": "600s", "Status": "passing"});
    let body = register.to_string();
    let reply = consul.request("PUT", "/v1/agent/check/register", &body);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let with = client(consul.address(), &[("session_checks", "serfHealth, mine")]);
    let without = client(consul.address(), &[("session_checks", "")]);
    // The agent tells the servers of its checks in its own time.
    let bound = lock_within(&with, "bound", 0);
    until("the check is known", || {
        let checks = consul.request("GET", "/v1/health/node/node", "").body;
        checks.contains("\"mine\"")
    });
    let unbound = lock_within(&without, "unbound", 0);
    bound.acquire().unwrap();
    unbound.acquire().unwrap();
    consul.request("PUT", "/v1/agent/check/fail/mine", "");
    until("it is lost", || {
        bound
            .check()
            .is_err_and(|error| error.status == Status::Lost)
    });
    unbound.check().unwrap();
    let error = lock_within(&with, "more", 0)
        .acquire()
        .expect_err("a critical check");
    assert!(
        error.message.contains("mine") && error.message.contains("critical"),
        "{error}"
    );
    unbound.release().unwrap();
    let unknown = client(consul.address(), &[("session_checks", "nothing")]);
    let error = lock_within(&unknown, "k", 0)
        .acquire()
        .expect_err("no such check");
    assert_eq!(error.status, Status::Unavailable, "{error}");
    assert!(error.message.contains("Missing check 'nothing'"), "{error}");
    consul.has_nothing_left();
}

/// An application that starts with its agent, or with its check, waits for them.
#[test]
fn a_check_that_is_not_known_yet_is_waited_for() {
    let consul = Consul::start();
    let client = client(consul.address(), &[("session_checks", "late")]);
    let error = lock_within(&client, "k", 300)
        .acquire()
        .expect_err("no check yet");
    assert_eq!(error.status, Status::Unavailable, "{error}");
    assert!(error.retryable && error.message.contains("session_checks"));
    let waits = lock_within(&client, "k", 60_000);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| waits.acquire());
        thread::sleep(Duration::from_millis(300));
        // A check begins critical.
        let register = json!({"ID": "late", "Name": "late", "TTL": "600s"});
        let body = register.to_string();
        let reply = consul.request("PUT", "/v1/agent/check/register", &body);
        assert_eq!(reply.status, 200, "{}", reply.body);
        until("the check is known", || {
            let checks = consul.request("GET", "/v1/health/node/node", "").body;
            checks.contains("\"late\"")
        });
        thread::sleep(Duration::from_millis(300));
        consul.request("PUT", "/v1/agent/check/pass/late", "");
        waiting.join().unwrap().unwrap();
    });
    waits.release().unwrap();
    consul.has_nothing_left();
}

/// A session is made for a node of the datacenter in which it lives, and the agent's own node is in
/// the agent's. Without one of the other datacenter Consul makes none; with one all that a lock
/// does goes there, through the agent.
#[test]
fn a_lock_in_another_datacenter() {
    let [wan] = ports::free();
    let start = |name: &str, wan: u16| {
        let [http, server, lan] = ports::free();
        let arguments = [
            "-dev".to_owned(),
            "-bind=127.0.0.1".to_owned(),
            format!("-datacenter={name}"),
            format!("-server-port={server}"),
            format!("-serf-lan-port={lan}"),
            format!("-serf-wan-port={wan}"),
        ];
        let consul = Consul::run(&format!("node-{name}"), http, &arguments, "");
        consul.ready().unwrap_or_else(|said| panic!("{said}"));
        consul
    };
    let far = start("far", wan);
    let [own] = ports::free();
    let near = start("near", own);
    let join = format!("/v1/agent/join/127.0.0.1:{wan}?wan=1");
    assert_eq!(near.request("PUT", &join, "").status, 200);
    until("it reaches the other one", || {
        near.request("GET", "/v1/kv/x?dc=far", "").status == 404
    });

    let options = [("datacenter", "far")];
    let plain = client(near.address(), &options);
    let error = lock_within(&plain, "k", 0).acquire().expect_err("no node");
    assert_eq!(error.status, Status::Unavailable, "{error}");
    assert!(
        error.message.contains("needs a node of that datacenter"),
        "{error}"
    );

    // As an option for the node would do it.
    let proxy = Proxy::start(near.address(), |seen: &Seen| match seen.kind() {
        "other" if seen.target.starts_with("/v1/session/create?") => {
            Fault::Body(seen.body.replacen('{', "{\"Node\":\"node-far\",", 1))
        }
        _ => Fault::Pass,
    });
    let client = client(proxy.address(), &options);
    let mine = lock_within(&client, "k", 0);
    mine.acquire().unwrap();
    assert!(near.row("locks/ephemeral/k").is_none());
    let row = far.row("locks/ephemeral/k").expect("held there");
    assert_eq!(row["Session"].as_str(), mine.session_id().as_deref());
    mine.renew().unwrap();
    mine.check().unwrap();
    mine.put_if_held("data/k", b"v").unwrap();
    assert!(far.row("data/k").is_some());
    mine.delete_if_held("data/k").unwrap();
    let holder = client.holder("k").unwrap().expect("held");
    assert_eq!(holder.node.as_deref(), Some("node-far"));
    let next = lock_within(&client, "k", 30_000);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| next.acquire());
        // The watch of the holder begins after a second.
        thread::sleep(Duration::from_millis(1_500));
        mine.release().unwrap();
        waiting.join().unwrap().unwrap();
    });
    assert!(next.fencing_token() > mine.fencing_token());
    next.release().unwrap();
    drop((mine, next, client, plain));
    far.has_nothing_left();
    near.has_nothing_left();
}

/// What was lost is blocked for a while; what was given back is free at once, warm session or not.
#[test]
fn a_lock_delay_blocks_what_was_lost_and_not_what_was_given_back() {
    let consul = Consul::start();
    // So long that it still runs when a slow machine has seen the loss.
    let client = client(consul.address(), &[("lock_delay_ms", "10000")]);
    let other = self::client(consul.address(), &[]);
    for _ in 0..5 {
        for client in [&client, &other, &client, &client] {
            let mine = lock_within(client, "k", 0);
            mine.acquire().unwrap();
            mine.release().unwrap();
        }
        // The session that was kept warm is gone by then.
        consul.has_nothing_left();
    }
    // A wait that is given up leaves no blocked key either.
    let held = lock_within(&other, "k", 0);
    held.acquire().unwrap();
    assert!(lock_within(&client, "k", 300).acquire().is_err());
    held.release().unwrap();
    let mine = lock_within(&client, "k", 0);
    mine.acquire().unwrap();
    let session = mine.session_id().unwrap();
    let lost = Instant::now();
    consul.destroy(&session);
    until("it is lost", || !mine.is_held());
    let error = lock_within(&other, "k", 0)
        .acquire()
        .expect_err("the delay");
    assert_eq!(error.status, Status::NotAcquired, "{error}");
    assert!(error.message.contains("its lock-delay runs"), "{error}");
    let waits = lock_within(&other, "k", 60_000);
    waits.acquire().unwrap();
    let took = lost.elapsed();
    assert!(
        took >= Duration::from_millis(9_900) && took < Duration::from_secs(40),
        "{took:?}"
    );
    waits.release().unwrap();
    assert_eq!(mine.release().expect_err("lost").status, Status::Lost);
    consul.has_nothing_left();
}

fn connections(client: &Client) -> u64 {
    number(client, "connections_peak")
}

/// Thirty waiters on thirty keys, all of them served.
fn serves_thirty(consul: &Consul, client: &Client) {
    let sessions: Vec<String> = (0..30)
        .map(|number| consul.other_holds(&format!("locks/ephemeral/{number}")))
        .collect();
    let served = Arc::new(AtomicUsize::new(0));
    let locks: Vec<Arc<Lock>> = (0..30)
        .map(|number| Arc::new(lock_within(client, &number.to_string(), -1)))
        .collect();
    for lock in &locks {
        let (served, mine) = (served.clone(), lock.clone());
        lock.acquire_start(Completion::new(move |outcome: Result<(), Error>| {
            outcome.expect("acquired");
            assert!(mine.is_held());
            served.fetch_add(1, Ordering::SeqCst);
        }))
        .unwrap();
    }
    thread::sleep(Duration::from_millis(500));
    for session in sessions {
        consul.destroy(&session);
    }
    until("all are served", || served.load(Ordering::SeqCst) == 30);
    for lock in locks {
        lock.release().unwrap();
    }
}

#[test]
fn a_client_keeps_to_its_connections() {
    // The tests' own requests take one, too.
    let consul = Consul::start_with("limits { http_max_conns_per_client = 16 }");
    for most in ["4", "8"] {
        let client = client(consul.address(), &[("max_connections", most)]);
        serves_thirty(&consul, &client);
        let peak = connections(&client);
        assert!(peak <= most.parse().unwrap(), "{peak} of {most}");
    }
    consul.has_nothing_left();
}

/// The agent closes what is too much, without a word; that is survived, if it takes time.
#[test]
fn an_agent_that_closes_connections_is_lived_with() {
    let consul = Consul::start_with("limits { http_max_conns_per_client = 20 }");
    let client = client(consul.address(), &[("release_timeout_ms", "20000")]);
    // Another program on this machine has most of the connections that Consul allows.
    let others: Vec<std::net::TcpStream> = (0..12)
        .map(|_| std::net::TcpStream::connect(consul.address()).unwrap())
        .collect();
    let sessions: Vec<Lock> = (0..30)
        .map(|n| lock_within(&client, &n.to_string(), 30_000))
        .collect();
    thread::scope(|scope| {
        for lock in &sessions {
            scope.spawn(move || {
                lock.acquire().unwrap();
                lock.release().unwrap();
            });
        }
    });
    drop(others);
    consul.has_nothing_left();
}

/// 429 and 503 were not applied: tried again with pauses, inside the budget.
#[test]
fn a_server_that_limits_is_tried_again_inside_the_budget() {
    let limits = [
        (
            429,
            "Your IP is issuing too many concurrent connections, please rate limit your calls",
        ),
        (
            429,
            "rate limit exceeded, try again later or against a different server",
        ),
        (
            503,
            "rate limit exceeded for operation that can only be performed by the leader",
        ),
    ];
    for (status, text) in limits {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let server = Scripted::start(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Answer::reply(status, text)
        });
        let client = client(server.address(), &[]);
        let begun = Instant::now();
        let error = lock_within(&client, "k", 1_500)
            .acquire()
            .expect_err("limited");
        assert_eq!(error.status, Status::Unavailable, "{error}");
        assert!(
            error.retryable && error.http_status == Some(status),
            "{error:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(10));
        // 20 ms, doubled each time, less up to a half: no hot loop, and not just once.
        let asked = asked.load(Ordering::SeqCst);
        assert!((3..20).contains(&asked), "{asked}");
        let single = lock_within(&client, "k", 0).acquire().expect_err("limited");
        assert_eq!(single.status, Status::Unavailable, "{single}");
    }
}

/// The library acquires, waits for and watches a key of the greatest length, and names its holder.
#[test]
fn keys_up_to_their_longest() {
    let consul = Consul::start();
    let client = client(consul.address(), &[]);
    let room = 60_000 - "locks/ephemeral/".len();
    let taken = |outcome: Result<(), Error>| {
        // A message with such a key is too long to read.
        assert!(
            outcome.is_ok(),
            "{:?}",
            outcome.map_err(|error| error.status)
        );
    };
    for key in ["k".repeat(room), "ü/".repeat(room / 7)] {
        let held = lock_within(&client, &key, 0);
        taken(held.acquire());
        let other = self::client(consul.address(), &[]);
        let waits = lock_within(&other, &key, 60_000);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| waits.acquire());
            thread::sleep(Duration::from_millis(300));
            let seen = other.holder(&key).unwrap().expect("a holder");
            assert_eq!(Some(seen.session.to_string()), held.session_id());
            taken(held.release());
            taken(waiting.join().unwrap());
        });
        taken(waits.release());
    }
    // With so long a key there is less room for a value.
    let mut options = Options::new();
    options.set_bytes("value", &[0; 390_000]).unwrap();
    let large = Lock::new("large", Some(&options), Some(&client)).unwrap();
    large.acquire().unwrap();
    large.release().unwrap();
    let long = Lock::new(&"k".repeat(room), Some(&options), Some(&client));
    let error = long.expect_err("too large");
    assert_eq!(error.status, Status::InvalidArgument, "{error}");
    assert!(error.message.contains("512 KiB"), "{error}");
    consul.has_nothing_left();
}

#[test]
fn a_key_that_some_servers_refuse_is_warned_of_once() {
    let consul = Consul::start();
    let at = ("CONSUL_HTTP_ADDR", consul.address());
    for (key, warned) in [("a b", 1), ("ü", 1), ("a..b", 1), ("a/b_c.d-e?f&g=h,1", 0)] {
        let said = says(&["who", "log=2", &format!("key={key}")], &[at]);
        assert!(said.contains("released"), "{said}");
        assert_eq!(
            said.matches("some versions of Consul").count(),
            warned,
            "{said}"
        );
    }
    consul.has_nothing_left();
}
