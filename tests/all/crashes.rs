//! Processes that are killed at whatever moment: their locks come free by themselves, in time, with
//! a larger fencing token for the next holder, and nothing of them stays in Consul.
//!
//! CRASHES=200 kills more of them.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::consul::{Consul, until};
use crate::support::{compile, root};
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
