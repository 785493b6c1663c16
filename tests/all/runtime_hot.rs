//! What an uncontended cycle costs. Alone in its program: it counts the threads of the process.

use std::collections::BTreeMap;
use std::fs;

use crate::support::alone::ran_alone;
use crate::support::consul::Consul;
use consul_lock::client::{Client, shutdown};
use consul_lock::lock::Lock;
use consul_lock::options::Options;
use std::time::{Duration, Instant};

/// How often each of the library's threads has gone to sleep.
fn sleeps() -> BTreeMap<String, u64> {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let mut sleeps = BTreeMap::new();
    for task in tasks {
        let task = task.expect("an entry").path();
        // A thread may have ended since.
        let read = |file: &str| fs::read_to_string(task.join(file)).unwrap_or_default();
        if read("comm").trim() != "consul_lock" {
            continue;
        }
        let status = read("status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        if let Some(count) = line {
            let id = task.display().to_string();
            sleeps.insert(id, count.trim().parse().expect("a number"));
        }
    }
    sleeps
}

#[test]
fn a_hot_cycle_is_two_writes_and_wakes_nobody() {
    if ran_alone(a_hot_cycle_is_two_writes_and_wakes_nobody) {
        return;
    }
    const CYCLES: u64 = 300;
    let consul = Consul::start();
    let mut options = Options::new();
    options.set("address", consul.address()).expect("an option");
    let client = Client::new(Some(&options)).expect("a client");
    let cycle = || {
        let lock = Lock::new("hot", None, Some(&client)).expect("a lock");
        lock.acquire().expect("free");
        lock.release().expect("held");
    };
    // The first makes the connection, the next the session that stays warm.
    for _ in 0..5 {
        cycle();
    }

    let threads = sleeps();
    let begun = Instant::now();
    let index = consul.raft_index();
    for _ in 0..CYCLES {
        cycle();
    }
    let writes = consul.raft_index() - index;
    let after = sleeps();
    // A second that has begun counts, as the timer may have woken in it.
    let seconds = begun.elapsed().as_secs() + 1;

    // The agent itself writes now and then.
    assert!(
        (2 * CYCLES..=2 * CYCLES + 15).contains(&writes),
        "{writes} Raft writes in {CYCLES} cycles"
    );
    // On a busy machine a cycle may stand still for long enough that the session is renewed, by a thread that may
    // have been missing until then.
    assert!(
        after.len() <= threads.len() + 1,
        "a hot loop made threads: {threads:?} {after:?}"
    );
    let woken: u64 = after
        .iter()
        .map(|(id, count)| count - threads.get(id).unwrap_or(&0))
        .sum();
    // The timer looks at the clock each second, a warm session is renewed as often, and a session that was just
    // released is left alone for 100 ms. On a busy machine the timer is woken for the end of each such time, and
    // once more behind it. All of that depends on the time, not on the cycles.
    assert!(
        woken < CYCLES / 10 + 25 * seconds,
        "threads of the library were woken {woken} times in {CYCLES} cycles and {seconds} s"
    );

    shutdown(Duration::from_secs(10)).expect("an orderly end");
    assert!(consul.sessions().is_empty(), "right after an orderly end");
    consul.has_nothing_left();
}
