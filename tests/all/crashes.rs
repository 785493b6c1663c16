//! Processes that are killed at whatever moment: their locks come free by themselves, in time, with
//! a larger fencing token for the next holder, and nothing of them stays in Consul.
//!
//! CRASHES=200 kills more of them.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::consul::{Consul, comes_true, until};
use crate::support::contender::{self, Contender, Plan, Role, has_contended};
use crate::support::prelude;
use crate::support::rows::{is_taken, shares, tickets};
use crate::support::{compile, root, scratch};
use consul_lock::client::Client;
use consul_lock::lock::Lock;
use consul_lock::options::Options;

/// How many live at the same time.
const WAVE: u64 = 40;

/// The shortest TTL there is, in seconds; Consul takes up to twice that, and we a moment.
const TTL: &str = "10";
const FREE_WITHIN: Duration = Duration::from_secs(25);

/// What a crash left behind.
struct Remains {
    key: String,
    /// Was it the signal that ended it, and not its own end?
    killed: bool,
    /// Its fencing token, if it died as a holder.
    token: Option<u64>,
}

fn start(worker: &Path, consul: &Consul, key: &str, work_ms: &str) -> Child {
    Command::new(worker)
        .args([key, key, work_ms, "0", TTL])
        .env("CONSUL_HTTP_ADDR", consul.address())
        .env_remove("CONSUL_HTTP_TOKEN")
        .stdout(Stdio::null())
        .spawn()
        .expect("the worker")
}

/// Kills a worker on a key of its own; which one it is decides how far it got.
fn crash(worker: &Path, consul: &Consul, number: u64) -> Remains {
    let key = format!("crash-{number}");
    // One half would hold on for ever, the other is about to release.
    let work_ms = if number.is_multiple_of(2) {
        "600000"
    } else {
        "5"
    };
    let mut child = start(worker, consul, &key, work_ms);
    if number.is_multiple_of(8) {
        // Surely as a holder, however slow the machine.
        until("it holds the lock", || {
            consul.holder(&format!("locks/ephemeral/{key}")).is_some()
        });
    } else {
        // From before the first request to after the last.
        thread::sleep(Duration::from_millis(number * 37 % 101));
    }
    child.kill().expect("ended, or not yet waited for");
    let killed = child.wait().expect("waited for").signal() == Some(libc::SIGKILL);
    let row = consul.row(&format!("locks/ephemeral/{key}"));
    let token = row.filter(|row| row["Session"].is_string());
    Remains {
        token: token.and_then(|row| row["ModifyIndex"].as_u64()),
        killed,
        key,
    }
}

/// The next one gets the lock, however the last one died.
fn take_over(client: &Client, remains: &Remains) {
    let mut options = Options::new();
    options.set("acquire_timeout_ms", "60000").unwrap();
    let lock = Lock::new(&remains.key, Some(&options), Some(client)).unwrap();
    let begun = Instant::now();
    lock.acquire().unwrap();
    assert!(begun.elapsed() < FREE_WITHIN, "{:?}", begun.elapsed());
    assert!(lock.fencing_token() > remains.token);
    lock.release().unwrap();
}

#[test]
fn killed_processes_leave_nothing_for_long() {
    let crashes = std::env::var("CRASHES").ok();
    let crashes: u64 = crashes.map_or(WAVE, |text| text.parse().expect("a number"));
    let source = root().join("examples/worker.c");
    let worker = compile(&source, "crashing-worker", &["-std=c99"]);
    let consul = Consul::start();
    let mut options = Options::new();
    options.set("address", consul.address()).unwrap();
    let client = Client::new(Some(&options)).unwrap();
    let (mut killed, mut holders) = (0, 0);
    for first in (0..crashes).step_by(WAVE as usize) {
        thread::scope(|scope| {
            let wave: Vec<_> = (first..crashes.min(first + WAVE))
                .map(|number| {
                    let (worker, consul, client) = (&worker, &consul, &client);
                    scope.spawn(move || {
                        let remains = crash(worker, consul, number);
                        take_over(client, &remains);
                        remains
                    })
                })
                .collect();
            for crash in wave {
                let remains = crash.join().expect("no assertion failed");
                killed += usize::from(remains.killed);
                holders += usize::from(remains.token.is_some());
            }
        });
    }
    println!("{crashes} started, {killed} killed, {holders} of them as holders");
    // A run that killed no holder would prove nothing.
    assert!(killed > 0 && holders > 0, "{killed} killed, {holders} held");
    consul.has_nothing_left();
}

/// A group of contenders for one key, or for the keys below it.
struct Group {
    name: &'static str,
    contenders: Vec<Contender>,
}

/// The contenders of all kinds, on keys of their own.
const GROUPS: [(&str, &[Role]); 3] = [
    (
        "readers-and-writers",
        &[
            Role::Exclusive,
            Role::Reader,
            Role::Reader,
            Role::Exclusive,
            Role::Reader,
            Role::Changer,
        ],
    ),
    (
        "permits",
        &[
            Role::Permit,
            Role::Permit,
            Role::Exclusive,
            Role::Permit,
            Role::Permit,
        ],
    ),
    (
        "several",
        &[Role::Several, Role::Several, Role::Several, Role::Several],
    ),
];

fn plan(consul: &Consul, group: &str, role: Role) -> Plan {
    let witness = scratch(&format!("witness-{}-{group}", std::process::id()));
    Plan {
        address: consul.address().to_owned(),
        key: group.to_owned(),
        role,
        hold: Duration::from_millis(25),
        ttl_seconds: TTL.parse().expect("a number"),
        witness: Some(witness),
    }
}

/// In each round one that has the lock is killed, one that waits, and one at random. All others go on within twice the
/// TTL, the kernel sees no two at once, and nothing stays in Consul.
#[test]
fn contenders_that_are_killed_stop_no_other_for_long() {
    if has_contended() {
        return;
    }
    let start = |plan| Contender::start(contenders_that_are_killed_stop_no_other_for_long, plan);
    let consul = Consul::start();
    let mut groups: Vec<Group> = GROUPS
        .iter()
        .map(|(name, roles)| Group {
            name,
            contenders: roles
                .iter()
                .map(|role| start(plan(&consul, name, *role)))
                .collect(),
        })
        .collect();
    thread::scope(|scope| {
        for group in &mut groups {
            let start = &start;
            scope.spawn(move || {
                let name = group.name;
                until("all have had the lock", || {
                    group.contenders.iter().all(|one| one.has_said("has"))
                });
                let mut killed_inside = 0;
                for round in 0..2 {
                    // A contender that has waited for the dead of the round before would wait for two rounds.
                    let begun = Instant::now();
                    until("all take turns", || {
                        let served = |one: &Contender| one.grants_since(begun) > 0;
                        group.contenders.iter().all(served)
                    });
                    let inside = |group: &Group| group.contenders.iter().position(Contender::is_in);
                    let mut victim = None;
                    until("one has the lock", || {
                        victim = inside(group);
                        victim.is_some()
                    });
                    let first = victim.expect("one that has the lock");
                    let others = [first, first + 1 + round, first + 3];
                    for victim in others.map(|number| number % group.contenders.len()) {
                        let one = &mut group.contenders[victim];
                        one.kill();
                        killed_inside += usize::from(one.is_in());
                        one.overlaps_nobody();
                        let plan = one.plan.clone();
                        *one = start(plan);
                    }
                    let killed = Instant::now();
                    let all_go_on = comes_true(|| {
                        let served = |one: &Contender| one.grants_since(killed) > 0;
                        group.contenders.iter().all(served)
                    });
                    let took = killed.elapsed();
                    println!("{name}: all go on {took:?} after the deaths of round {round}");
                    let said: Vec<_> = group.contenders.iter().map(Contender::lines).collect();
                    assert!(all_go_on && took < FREE_WITHIN, "{name}: {took:?} {said:?}");
                }
                assert!(killed_inside > 0, "{name}: none was killed with the lock");
                for one in &mut group.contenders {
                    one.end_input();
                }
                for one in &mut group.contenders {
                    until("it ends well", || one.has_ended());
                    one.overlaps_nobody();
                    assert!(!one.has_said("failed"), "{name}: {:?}", one.lines());
                    assert!(one.longest_wait() < FREE_WITHIN, "{name}");
                }
            });
        }
    });
    drop(groups);
    consul.has_nothing_left();
}

/// One that has the lock stands still for longer than its lease: the next is served within twice the TTL, and the one
/// that stood still learns of its loss when it goes on.
#[test]
fn holders_that_stand_still_keep_no_other_out_for_long() {
    if has_contended() {
        return;
    }
    let consul = Consul::start();
    thread::scope(|scope| {
        for (key, role, more) in [
            ("still-writer", Role::Exclusive, &[("mode", "share")][..]),
            ("still-reader", Role::Reader, &[]),
            ("still-permit", Role::Permit, &[]),
            ("still-several", Role::Several, &[]),
        ] {
            let consul = &consul;
            scope.spawn(move || {
                let start = |plan| {
                    let test = holders_that_stand_still_keep_no_other_out_for_long;
                    Contender::start(test, plan)
                };
                let mut holder = start(Plan {
                    hold: Duration::from_secs(600),
                    witness: None,
                    ..plan(consul, key, role)
                });
                until("it has the lock", || holder.has_said("has"));
                holder.signal(libc::SIGSTOP);
                let keys: Vec<String> = match role {
                    Role::Several => (0..4).map(|place| format!("{key}/{place}")).collect(),
                    _ => vec![key.to_owned()],
                };
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                let mut options = Options::new();
                options.set("acquire_timeout_ms", "60000").unwrap();
                for (name, value) in more {
                    options.set(name, value).unwrap();
                }
                let client = prelude::client(consul.address(), &[]);
                let next = Lock::new_all(&keys, Some(&options), Some(&client)).unwrap();
                let begun = Instant::now();
                next.acquire().unwrap();
                let took = begun.elapsed();
                println!("{key}: the next has it after {took:?}");
                assert!(took < FREE_WITHIN, "{key}: {took:?}");
                holder.signal(libc::SIGCONT);
                until("it is told", || holder.has_said("lost"));
                next.check().unwrap();
                next.release().unwrap();
                holder.end_input();
                until("it says that it has it no more", || {
                    holder.has_said("failed release Lost")
                });
            });
        }
    });
    consul.has_nothing_left();
}

/// One that waits at the head of the line stands still, with a long TTL: those behind are served within seconds, and
/// it loses nothing but its place.
#[test]
fn waiters_that_stand_still_stop_no_other() {
    if has_contended() {
        return;
    }
    let consul = Consul::start();
    const SHARE: (&str, &str) = ("mode", "share");
    const LIMIT: (&str, &str) = ("limit", contender::LIMIT);
    thread::scope(|scope| {
        for (key, role, behind) in [
            ("head-writer", Role::Exclusive, &[SHARE][..]),
            ("head-reader", Role::Reader, &[]),
            ("head-permit", Role::Permit, &[SHARE, LIMIT]),
            ("head-several", Role::Several, &[]),
        ] {
            let consul = &consul;
            scope.spawn(move || {
                let client = prelude::client(consul.address(), &[]);
                let lock = |more: &[(&str, &str)]| {
                    let wait = [("acquire_timeout_ms", "60000")];
                    let more = [&wait, more].concat();
                    match role {
                        Role::Several => {
                            let keys: Vec<String> =
                                (0..4).map(|place| format!("{key}/{place}")).collect();
                            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                            let mut options = Options::new();
                            for (name, value) in &more {
                                options.set(name, value).unwrap();
                            }
                            Lock::new_all(&keys, Some(&options), Some(&client)).unwrap()
                        }
                        _ => prelude::lock(&client, key, &more),
                    }
                };
                let holder = lock(&[]);
                holder.acquire().unwrap();
                let mut head = Contender::start(
                    waiters_that_stand_still_stop_no_other,
                    Plan {
                        ttl_seconds: 180,
                        hold: Duration::from_secs(6),
                        witness: None,
                        ..plan(consul, key, role)
                    },
                );
                let places = |key: &str| match role {
                    Role::Several => (0..4).map(|n| tickets(consul, &format!("{key}/{n}"))).sum(),
                    _ => tickets(consul, key),
                };
                until("it stands in line", || places(key) > 0);
                // Its last request has come back.
                thread::sleep(Duration::from_millis(300));
                head.signal(libc::SIGSTOP);
                let next = lock(behind);
                thread::scope(|scope| {
                    let waiting = scope.spawn(|| next.acquire());
                    thread::sleep(Duration::from_millis(300));
                    let released = Instant::now();
                    holder.release().unwrap();
                    waiting.join().unwrap().unwrap();
                    let took = released.elapsed();
                    println!("{key}: the next has it after {took:?}");
                    assert!(took < Duration::from_secs(8), "{key}: {took:?}");
                });
                assert!(!head.has_said("has"));
                head.signal(libc::SIGCONT);
                next.release().unwrap();
                until("it is served after all", || head.has_said("has"));
                head.end_input();
                until("it ends well", || head.has_ended());
                assert!(head.has_said("gone"), "{:?}", head.lines());
                assert!(!is_taken(consul, key));
                assert_eq!(shares(consul, key), [""; 0]);
            });
        }
    });
    consul.has_nothing_left();
}
