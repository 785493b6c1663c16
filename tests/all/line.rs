//! Waiting in line, on a real Consul: the order, its cost, and that a dead waiter, a waiter that
//! stands still and a program that knows nothing of lines stop no other waiter.

use crate::support::prelude::{self, *};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::agent::version;
use crate::support::log::Log;
use crate::support::proxy::{Fault, Proxy, Seen};
use crate::support::stopped::stands_still;
use crate::support::{compile, root};

fn lock(client: &Client, key: &str, settings: &[(&str, &str)]) -> Lock {
    prelude::lock(
        client,
        key,
        &[&[("acquire_timeout_ms", "60000")], settings].concat(),
    )
}

/// How many of a client's locks wait.
fn waiting(client: &Client) -> u64 {
    number(client, "waiting")
}

fn tickets(consul: &Consul, key: &str) -> usize {
    let line = format!("locks/ephemeral/{key}/.fifo/");
    let keys = consul.keys();
    keys.iter().filter(|key| key.starts_with(&line)).count()
}

/// A client is as good as a process: it has a queue, sessions and a slot of its own.
#[test]
fn clients_are_served_in_the_order_in_which_they_came() {
    let consul = Consul::start();
    let holder = client(consul.address(), &[]);
    let first = lock(&holder, "order", &[]);
    first.acquire().unwrap();
    assert_eq!(tickets(&consul, "order"), 0, "a free lock costs no ticket");
    let served = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..6 {
            let (consul, served) = (&consul, &served);
            scope.spawn(move || {
                let client = client(consul.address(), &[]);
                let lock = lock(&client, "order", &[]);
                lock.acquire().unwrap();
                served.lock().unwrap().push(number);
                lock.release().unwrap();
            });
            until("it stands in line", || {
                tickets(consul, "order") == number + 1
            });
        }
        first.release().unwrap();
    });
    assert_eq!(*served.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
    // What is kept warm ends by itself.
    consul.has_nothing_left();
}

#[test]
fn waiters_of_one_process_are_served_in_order_and_share_one_ticket_and_one_watch() {
    let consul = Consul::start();
    let proxy = Proxy::start(consul.address(), |_: &Seen| Fault::Pass);
    let here = client(proxy.address(), &[]);
    let holder = lock(&client(consul.address(), &[]), "local", &[]);
    holder.acquire().unwrap();
    let served = Mutex::new(Vec::new());
    let begun = Instant::now();
    thread::scope(|scope| {
        for number in 0..12_u64 {
            let (here, served) = (&here, &served);
            scope.spawn(move || {
                let lock = lock(here, "local", &[]);
                lock.acquire().unwrap();
                served.lock().unwrap().push(number);
                lock.release().unwrap();
            });
            // The order of the calls is what counts.
            until("it waits", || waiting(here) == number + 1);
        }
        until("it stands in line", || tickets(&consul, "local") > 0);
        assert_eq!(tickets(&consul, "local"), 1);
        assert_eq!(proxy.count("join"), 1);
        // One at a time, for 5 s each.
        let most = 2 + begun.elapsed().as_secs() / 5;
        assert!(proxy.count("watch") as u64 <= most, "{:?}", proxy.kinds());
        holder.release().unwrap();
    });
    assert_eq!(*served.lock().unwrap(), (0..12).collect::<Vec<_>>());
    consul.has_nothing_left();
}

/// Three Raft writes for each lock that is handed over, however many wait.
#[test]
fn a_handoff_costs_three_writes_with_few_and_with_many() {
    let consul = Consul::start();
    for contenders in [2, 16_u64] {
        let key = format!("cost-{contenders}");
        let rounds = 6;
        let before = consul.quiet_raft_index();
        thread::scope(|scope| {
            for _ in 0..contenders {
                let (consul, key) = (&consul, &key);
                scope.spawn(move || {
                    let client = client(consul.address(), &[]);
                    for _ in 0..rounds {
                        // A long grace keeps a slow waiter's place: a new place would cost writes.
                        let lock = lock(&client, key, &[("queue_grace_ms", "10000")]);
                        lock.acquire().unwrap();
                        thread::sleep(Duration::from_millis(2));
                        lock.release().unwrap();
                    }
                });
            }
        });
        // And each contender makes and ends two sessions, and may try once before it knows of the
        // line: at most 5 more each.
        let writes = consul.quiet_raft_index() - before;
        let locks = contenders * rounds;
        assert!(
            writes <= 3 * locks + 5 * contenders + 4,
            "{writes} for {locks}"
        );
    }
    consul.has_nothing_left();
}

struct Worker {
    child: Child,
    said: Arc<Mutex<Vec<(String, Instant)>>>,
}

impl Worker {
    fn start(
        program: &std::path::Path,
        consul: &Consul,
        key: &str,
        name: &str,
        work_ms: &str,
    ) -> Worker {
        let mut child = Command::new(program)
            .args([name, key, work_ms, "-1", "180"])
            .env("CONSUL_HTTP_ADDR", consul.address())
            .env_remove("CONSUL_HTTP_TOKEN")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the worker");
        let said = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let heard = said.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().unwrap().push((line, Instant::now()));
            }
        });
        Worker { child, said }
    }

    /// Stopped, it stands still when this returns: it must not take the lock on its way.
    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: a child of ours that was not waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        if signal == libc::SIGSTOP {
            stands_still(self.child.id());
        }
    }

    fn heard(&self, word: &str) -> Option<Instant> {
        let said = self.said.lock().unwrap();
        said.iter()
            .find(|(line, _)| line.contains(word))
            .map(|(_, at)| *at)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ten processes, TTL 180 s, and the first in line is stopped: the next is served within seconds,
/// and the stopped one, when it goes on, waits again and gets the lock after the others.
#[test]
fn a_head_that_stands_still_is_passed_and_loses_nothing_but_its_place() {
    let consul = Consul::start();
    let program = compile(
        &root().join("examples/worker.c"),
        "line-worker",
        &["-std=c99"],
    );
    let holder = lock(&client(consul.address(), &[]), "stopped", &[]);
    holder.acquire().unwrap();
    let mut workers = Vec::new();
    for number in 0..9 {
        workers.push(Worker::start(
            &program,
            &consul,
            "stopped",
            &number.to_string(),
            "20",
        ));
        until("it stands in line", || {
            tickets(&consul, "stopped") == number + 1
        });
    }
    workers[0].signal(libc::SIGSTOP);
    let released = Instant::now();
    holder.release().unwrap();
    until("the others are served", || {
        workers[1..]
            .iter()
            .all(|worker| worker.heard("has the lock").is_some())
    });
    let stall = workers[1]
        .heard("has the lock")
        .unwrap()
        .duration_since(released);
    println!("the next after a stopped head: {stall:?}");
    assert!(stall < Duration::from_secs(5), "{stall:?}");
    assert!(workers[0].heard("has the lock").is_none());
    workers[0].signal(libc::SIGCONT);
    until("the stopped one is served after all", || {
        workers[0].heard("has the lock").is_some()
    });
    for worker in &mut workers {
        assert!(worker.child.wait().expect("it ends").success());
    }
    consul.has_nothing_left();
}

/// Dead at every place of the line: one kill -9 each, and the one behind is served all the same.
#[test]
fn dead_waiters_stop_nobody() {
    let consul = Consul::start();
    let program = compile(
        &root().join("examples/worker.c"),
        "line-dying",
        &["-std=c99"],
    );
    let holder = lock(&client(consul.address(), &[]), "dead", &[]);
    holder.acquire().unwrap();
    let mut workers = Vec::new();
    for number in 0..8 {
        workers.push(Worker::start(
            &program,
            &consul,
            "dead",
            &number.to_string(),
            "5",
        ));
        until("it stands in line", || {
            tickets(&consul, "dead") == number + 1
        });
    }
    // Two at the head, one in the middle, the last.
    for dead in [0, 1, 4, 7] {
        workers[dead].signal(libc::SIGKILL);
        workers[dead].child.wait().expect("it ends");
    }
    holder.release().unwrap();
    for live in [2, 3, 5, 6] {
        assert!(workers[live].child.wait().expect("it ends").success());
    }
    // The last worker's ticket may stand until its TTL; no waiter stands behind it.
    assert!(consul.holder("locks/ephemeral/dead").is_none());
    for session in consul.sessions() {
        consul.destroy(session["ID"].as_str().expect("an id"));
    }
    consul.has_nothing_left();
}

/// A client that knows nothing of lines and ours exclude each other, and neither is shut out.
#[test]
fn a_foreign_client_beside_a_line() {
    let consul = Consul::start();
    let inside = Mutex::new(0_u32);
    let enter = || {
        let mut inside = inside.lock().unwrap();
        *inside += 1;
        assert_eq!(*inside, 1, "two at once");
        drop(inside);
        thread::sleep(Duration::from_millis(3));
    };
    let leave = || *inside.lock().unwrap() -= 1;
    let (ours, theirs) = (AtomicU32::new(0), AtomicU32::new(0));
    let begun = Instant::now();
    // For 3 s, and on a slow machine until both have had their share.
    let goes_on = || match begun.elapsed().as_secs() {
        0..3 => true,
        3..30 => ours.load(Ordering::SeqCst) <= 10 || theirs.load(Ordering::SeqCst) <= 2,
        _ => false,
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = client(consul.address(), &[]);
                while goes_on() {
                    let lock = lock(&client, "mixed", &[]);
                    lock.acquire().unwrap();
                    enter();
                    leave();
                    lock.release().unwrap();
                    ours.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let body = r#"{"TTL":"60s","Behavior":"delete","LockDelay":"0s","NodeChecks":[]}"#;
        let reply = consul.request("PUT", "/v1/session/create", body);
        let session: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        let session = session["ID"].as_str().unwrap().to_owned();
        let path = "/v1/kv/locks/ephemeral/mixed";
        while goes_on() {
            let taken = consul.request("PUT", &format!("{path}?acquire={session}"), "");
            if taken.body.trim() == "true" {
                enter();
                leave();
                theirs.fetch_add(1, Ordering::SeqCst);
                consul.request("PUT", &format!("{path}?release={session}"), "");
            }
            thread::sleep(Duration::from_millis(2));
        }
        consul.destroy(&session);
    });
    let (ours, theirs) = (ours.into_inner(), theirs.into_inner());
    println!("ours {ours}, theirs {theirs}");
    assert!(ours > 10 && theirs > 2, "ours {ours}, theirs {theirs}");
    // A foreign release leaves the key.
    consul.request("DELETE", "/v1/kv/locks/ephemeral/mixed", "");
    consul.has_nothing_left();
}

/// Where the token may write the key but no ticket, waiting works all the same.
#[test]
fn without_the_right_to_stand_in_line() {
    let settings =
        "acl { enabled = true\n default_policy = \"deny\"\n tokens { master = \"root\" } }";
    if version() >= (1, 11) {
        return with_rights(&settings.replace("master", "initial_management"));
    }
    with_rights(settings);
}

fn with_rights(settings: &str) {
    let consul = Consul::start_with(settings);
    let rules = "session_prefix \"\" { policy = \"write\" } key \"locks/ephemeral/rights\" { policy = \"write\" }";
    let policy = serde_json::json!({"Name": "only-the-key", "Rules": rules}).to_string();
    assert_eq!(consul.request("PUT", "/v1/acl/policy", &policy).status, 200);
    let token = serde_json::json!({"Policies": [{"Name": "only-the-key"}]}).to_string();
    let reply = consul.request("PUT", "/v1/acl/token", &token);
    let token: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let token = token["SecretID"].as_str().unwrap();
    let log = Log::listen();
    let held = client(consul.address(), &[("token", token)]);
    let holder = lock(&held, "rights", &[]);
    holder.acquire().unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let client = client(consul.address(), &[("token", token)]);
            let lock = lock(&client, "rights", &[]);
            lock.acquire().unwrap();
            lock.release().unwrap();
        });
        until("it waits", || consul.sessions().len() >= 2);
        thread::sleep(Duration::from_millis(200));
        assert_eq!(tickets(&consul, "rights"), 0);
        holder.release().unwrap();
        waiter.join().unwrap();
    });
    // The library warns once for all waits; the other tests here have the right.
    let again = lock(&held, "rights", &[]);
    again.acquire().unwrap();
    again.release().unwrap();
    let said = || log.said(&["may not write tickets", "ephemeral/rights"]);
    until("the log says so", || !said().is_empty());
    let about = said();
    assert_eq!(about.len(), 1, "{about:?}");
    assert!(about[0].contains("locks/ephemeral/rights") && !about[0].contains(token));
    consul.has_nothing_left();
}

#[test]
fn unfair_waiters_stand_in_no_line() {
    let consul = Consul::start();
    let holder = lock(&client(consul.address(), &[]), "unfair", &[]);
    holder.acquire().unwrap();
    let proxy = Proxy::start(consul.address(), |_: &Seen| Fault::Pass);
    let here = client(proxy.address(), &[]);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let lock = lock(&here, "unfair", &[("fair", "false")]);
            lock.acquire().unwrap();
            lock.release().unwrap();
        });
        until("it waits", || proxy.count("watch") > 0);
        holder.release().unwrap();
        waiter.join().unwrap();
    });
    assert_eq!((proxy.count("join"), proxy.count("survey")), (0, 0));
    consul.has_nothing_left();
}

/// A waiter that gives up leaves its process's place to the next one here.
#[test]
fn the_place_in_line_is_the_processs() {
    let consul = Consul::start();
    let holder = lock(&client(consul.address(), &[]), "place", &[]);
    holder.acquire().unwrap();
    let here = client(consul.address(), &[]);
    // Long enough for the others to come meanwhile.
    let impatient = lock(&here, "place", &[("acquire_timeout_ms", "5000")]);
    let patient = lock(&here, "place", &[]);
    let other = lock(&client(consul.address(), &[]), "place", &[]);
    let served = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let first = scope.spawn(|| impatient.acquire().unwrap_err().status);
        until("it stands in line", || tickets(&consul, "place") == 1);
        let served = &served;
        scope.spawn(move || {
            patient.acquire().unwrap();
            served.lock().unwrap().push("patient");
            patient.release().unwrap();
        });
        until("it waits behind it", || waiting(&here) == 2);
        scope.spawn(move || {
            other.acquire().unwrap();
            served.lock().unwrap().push("other");
            other.release().unwrap();
        });
        until("both stand in line", || tickets(&consul, "place") == 2);
        // Whether or not Consul answered its last look in time.
        let ended = first.join().unwrap();
        assert!(
            matches!(ended, Status::NotAcquired | Status::Unavailable),
            "{ended:?}"
        );
        holder.release().unwrap();
    });
    assert_eq!(*served.lock().unwrap(), ["patient", "other"]);
    consul.has_nothing_left();
}
