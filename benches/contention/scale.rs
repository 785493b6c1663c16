//! Many waiters in one process, against a Consul with its default limits: what they cost, and whether
//! all are served.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;

use crate::common::prelude::*;

use crate::common::program::{connections, peak_memory, status};
use crate::contender;

const KEYS: usize = 1000;
const STARTED: usize = 10_000;

/// How long it may take until all are served.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure(report: &mut Report) {
    let mut table = Table::new(
        "many waiters in one process, default Consul (dev agent)",
        &["how"],
        &[
            ("waiters", ""),
            ("connections", ""),
            ("threads beside the callers'", ""),
            ("peak memory", "MB"),
            ("memory for each", "KB"),
            ("served", ""),
            ("all served after", "s"),
        ],
    );
    let consul = Consul::start();
    let other = hold(&consul, KEYS);
    let name = "one for each of 1,000 keys, blocking";
    one(&mut table, name, &consul, &other, "many-keys", KEYS, KEYS);
    drop(consul);
    let consul = Consul::start();
    let other = hold(&consul, 1);
    let name = "10,000 on one key, asynchronous";
    one(&mut table, name, &consul, &other, "many-starts", STARTED, 0);
    report.table(table);
}

/// Measures the waiters of a process that runs `part`. `callers` of its threads are the callers' own.
fn one(
    table: &mut Table,
    name: &str,
    consul: &Consul,
    other: &str,
    part: &str,
    count: usize,
    callers: usize,
) {
    let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
        .args([part, consul.address(), &count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program");
    let stdin = child.stdin.take().expect("piped");
    let mut said = BufReader::new(child.stdout.take().expect("piped"));
    let before = line(&mut said);
    let before: f64 = before
        .strip_prefix("waiting ")
        .expect("a word")
        .parse()
        .expect("kB");
    let pid = child.id();
    let mut most = (0, 0.0_f64);
    let mut look = || {
        most.0 = most.0.max(connections(pid, consul.address()));
        most.1 = most.1.max(status(pid, "Threads:"));
    };
    // Long enough for every waiter to have looked more than once.
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        look();
        std::thread::sleep(Duration::from_millis(50));
    }
    let each = (status(pid, "VmRSS:") - before) / count as f64;
    let begun = Instant::now();
    consul.destroy(other);
    let (tell, told) = channel();
    std::thread::spawn(move || tell.send(line(&mut said)));
    let served = loop {
        look();
        if let Ok(said) = told.recv_timeout(Duration::from_millis(50)) {
            break said;
        }
    };
    let took = begun.elapsed().as_secs_f64();
    let memory = peak_memory(pid);
    drop(stdin);
    child.wait().expect("its end");
    table.row(
        &[name],
        vec![
            Cell::new(count as f64, 0),
            Cell::new(most.0 as f64, 0),
            // Without the main thread.
            Cell::new(most.1 - callers as f64 - 1.0, 0),
            Cell::new(memory, 1),
            Cell::new(each, 1),
            Cell::new(served.parse().expect("a number"), 0),
            Cell::new(took, 2),
        ],
    );
}

fn line(from: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

/// The session of another program, which holds all keys.
fn hold(consul: &Consul, keys: usize) -> String {
    let session = consul.other_holds("locks/ephemeral/many/0");
    for number in 1..keys {
        let path = format!("/v1/kv/locks/ephemeral/many/{number}?acquire={session}");
        assert_eq!(consul.request("PUT", &path, "").body.trim(), "true");
    }
    session
}

/// The arguments of a child: the options of its locks, and the number of its waiters.
fn told(arguments: &[String]) -> (Options, usize) {
    let [address, count] = arguments else {
        panic!("ADDRESS COUNT")
    };
    let mut options = contender::options(address, &[]);
    let patience = PATIENCE.as_millis() as i64;
    options
        .set_int("acquire_timeout_ms", patience)
        .expect("in range");
    (options, count.parse().expect("a count"))
}

fn memory_now() -> f64 {
    status(std::process::id(), "VmRSS:")
}

/// Prints how many waiters of this child got their lock. The child then stays until the bench has looked at it,
/// which the end of its input says.
fn say(served: usize, failures: &HashMap<String, usize>) {
    if let Some((why, _)) = failures.iter().next() {
        eprintln!("{} kinds of failure, such as: {why}", failures.len());
    }
    println!("{served}");
    let _ = std::io::stdin().lock().lines().count();
}

/// The child that waits for one key with many asynchronous calls. Each call that gets the lock gives it back.
pub(crate) fn run_many_starts(arguments: &[String]) {
    let (options, count) = told(arguments);
    let before = memory_now();
    let (tell, outcomes) = channel();
    for _ in 0..count {
        let lock = Arc::new(Lock::new("many/0", Some(&options), None).expect("a lock"));
        let (tell, held) = (tell.clone(), Arc::clone(&lock));
        let done = move |outcome: Result<(), Error>| {
            let outcome = outcome.and_then(|()| {
                let kept = Arc::clone(&held);
                held.release_start(Completion::new(move |_| drop(kept)))
            });
            let _ = tell.send(outcome);
        };
        lock.acquire_start(Completion::new(done))
            .expect("a beginning");
    }
    println!("waiting {before}");
    let mut failures: HashMap<String, usize> = HashMap::new();
    for outcome in outcomes.iter().take(count) {
        if let Err(error) = outcome {
            *failures.entry(error.message).or_default() += 1;
        }
    }
    say(count - failures.values().sum::<usize>(), &failures);
}

/// The child that waits for many keys, each with a thread of its own.
pub(crate) fn run_many_keys(arguments: &[String]) {
    let (options, count) = told(arguments);
    let before = memory_now();
    let wait = |number: usize| {
        let options = options.clone();
        let work = move || -> Result<(), String> {
            let key = format!("many/{number}");
            let lock = Lock::new(&key, Some(&options), None).map_err(|error| error.message)?;
            lock.acquire().map_err(|error| error.message)?;
            lock.release().map_err(|error| error.message)
        };
        let small = std::thread::Builder::new().stack_size(64 << 10);
        small.spawn(work).expect("a thread")
    };
    let waiters: Vec<_> = (0..count).map(wait).collect();
    println!("waiting {before}");
    let mut failures: HashMap<String, usize> = HashMap::new();
    let mut served = 0;
    for waiter in waiters {
        match waiter.join().expect("a waiter") {
            Ok(()) => served += 1,
            Err(why) => *failures.entry(why.chars().take(400).collect()).or_default() += 1,
        }
    }
    say(served, &failures);
}
