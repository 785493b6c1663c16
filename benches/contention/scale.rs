//! Many waiters in one process, against a Consul with its default limits: what they cost, and whether
//! all are served.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use consul_lock::lock::Lock;

use crate::common::program::{connections, peak_memory, status};
use crate::common::report::{Cell, Report, Table};
use crate::contender;
use crate::support::consul::Consul;

const KEYS: usize = 1000;

/// How long it may take until all are served.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure(report: &mut Report) {
    let mut table = Table::new(
        "many waiters in one process, default Consul (dev agent)",
        &["waiters"],
        &[
            ("waiters", ""),
            ("connections", ""),
            ("threads beside the callers'", ""),
            ("peak memory", "MB"),
            ("served", ""),
            ("all served after", "s"),
        ],
    );
    keys(&mut table);
    report.table(table);
}

/// A waiter, a calling thread, for each of many keys.
fn keys(table: &mut Table) {
    let consul = Consul::start();
    let somebody = hold(&consul, KEYS);
    let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
        .args(["many-keys", consul.address(), &KEYS.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program");
    let mut stdin = child.stdin.take().expect("piped");
    let mut said = BufReader::new(child.stdout.take().expect("piped"));
    assert_eq!(line(&mut said), "waiting");
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
    let begun = Instant::now();
    consul.destroy(&somebody);
    stdin.write_all(b"count\n").expect("a child that listens");
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
    // The callers' own, and the one that reads what it is told.
    let threads = most.1 - KEYS as f64 - 1.0;
    table.row(
        &["one for each of 1,000 keys, blocking"],
        vec![
            Cell::new(KEYS as f64, 0),
            Cell::new(most.0 as f64, 0),
            Cell::new(threads, 0),
            Cell::new(memory, 1),
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

/// One session of somebody else's, that holds all keys.
fn hold(consul: &Consul, keys: usize) -> String {
    let session = consul.other_holds("locks/ephemeral/many/0");
    for number in 1..keys {
        let path = format!("/v1/kv/locks/ephemeral/many/{number}?acquire={session}");
        assert_eq!(consul.request("PUT", &path, "").body.trim(), "true");
    }
    session
}

/// The child: waits on each key, and says how many it was given.
pub(crate) fn run_many_keys(arguments: &[String]) {
    let [address, count] = arguments else {
        panic!("many-keys ADDRESS COUNT")
    };
    let mut options = contender::options(address, &[]);
    let patience = PATIENCE.as_millis() as i64;
    options
        .set_int("acquire_timeout_ms", patience)
        .expect("in range");
    let wait = |number: usize| {
        let options = options.clone();
        let work = move || -> Result<(), String> {
            let key = format!("many/{number}");
            let lock = Lock::new(&key, Some(&options)).map_err(|error| error.message)?;
            lock.acquire().map_err(|error| error.message)?;
            lock.release().map_err(|error| error.message)
        };
        let small = std::thread::Builder::new().stack_size(64 << 10);
        small.spawn(work).expect("a thread")
    };
    let waiters: Vec<_> = (0..count.parse().expect("a count")).map(wait).collect();
    println!("waiting");
    let mut failures: HashMap<String, usize> = HashMap::new();
    let mut served = 0;
    for waiter in waiters {
        match waiter.join().expect("a waiter") {
            Ok(()) => served += 1,
            Err(why) => *failures.entry(why.chars().take(400).collect()).or_default() += 1,
        }
    }
    if let Some((why, _)) = failures.iter().next() {
        eprintln!("{} kinds of failure, such as: {why}", failures.len());
    }
    println!("{served}");
    // Its end is told by the end of its input: until then it can be looked at.
    let _ = std::io::stdin().lock().lines().count();
}
