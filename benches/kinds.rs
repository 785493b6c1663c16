//! What each kind of lock costs among 2, 10 and 50 processes in a hot loop: the plain lock, a semaphore, readers and
//! writers, several keys; beside the semaphore of Consul's Go client and a read/write lock written by hand. `make bench`
//! runs it.
//!
//! It is also the program of its own contenders: `kinds contender ADDRESS KEY KIND`.
#![allow(missing_docs)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing
)]

#[path = "../tests/support/mod.rs"]
mod support;

#[path = "common/mod.rs"]
mod common;

#[path = "kinds/by_hand.rs"]
mod by_hand;
#[path = "kinds/contender.rs"]
mod contender;

use common::prelude::*;
use contender::Kind;

const CONTENDERS: [usize; 3] = [2, 10, 50];

/// How long the bench measures each, from the first call on.
const TIME: Duration = Duration::from_secs(6);

/// More turns than a contender can have in that time.
const ALL_THE_TIME: usize = 1_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((part, rest)) if part == "contender" => contender::run(rest),
        // cargo bench says --bench.
        _ => measure(),
    }
}

fn measure() {
    let mut table = Table::new(
        "kinds: processes in a hot loop",
        &["server", "kind", "processes"],
        &[
            ("Raft writes per grant", ""),
            ("reach", ""),
            ("HTTP requests per grant", ""),
            ("grants", ""),
            ("fewest of a process", ""),
            ("most of a process", ""),
            ("mean wait", "ms"),
            ("longest wait", "ms"),
            ("most at once", ""),
        ],
    );
    let dev = Servers::dev();
    let version = dev.version();
    all(&mut table, &dev);
    drop(dev);
    all(&mut table, &Servers::three());
    let mut report = Report::new("kinds");
    report.table(table);
    report.write(&support::root(), &version);
}

fn all(table: &mut Table, servers: &Servers) {
    let go = report::folder(&support::root()).join("peers/go-api");
    let mut semaphore = Program::at("Go api.Semaphore, limit 3", &go, None);
    semaphore.more.push("semaphore=3".into());
    let programs = [
        (contender::program(Kind::Plain), true),
        (contender::program(Kind::Limit), true),
        (semaphore, false),
        (contender::program(Kind::ReadWrite), true),
        (contender::program(Kind::ByHand), false),
        (contender::program(Kind::Several), true),
    ];
    for (program, is_ours) in &programs {
        for count in CONTENDERS {
            one(table, servers, program, *is_ours, count);
        }
    }
}

fn one(table: &mut Table, servers: &Servers, program: &Program, is_ours: bool, count: usize) {
    // Of characters that stand in a URL as they are: not every program encodes its key.
    let name = program
        .name
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let key = format!("bench/kinds-{name}-{count}");
    let consul = servers.consul();
    let mut crowd = Crowd::gather(program, consul.address(), &key, count, 1);
    let before = consul.quiet_raft_index();
    let begun = clock();
    for contender in 0..count {
        crowd.turns(contender, HOLD_MS, ALL_THE_TIME);
    }
    let mut record = Record::default();
    let mut requests = vec![0; count];
    let deadline = Instant::now() + TIME;
    while let Some(said) = crowd.next(deadline) {
        match said {
            Said::Gone => panic!("a contender has ended"),
            Said::Requests { contender, count } => requests[contender] = count,
            said => record.note(&said),
        }
    }
    let (ended, writes) = (clock(), consul.raft_index() - before);
    drop(crowd);
    servers.sweep();
    // What a killed program has left: `sweep` ends sessions, and rows without one stay.
    consul.request("DELETE", &format!("/v1/kv/{key}?recurse"), "");
    if let Some(why) = record.failures.first() {
        eprintln!("{} failures, such as: {why}", record.failures.len());
    }
    record.sort();
    let grants = record.grants.len() as f64;
    let mut of_each = vec![0.0_f64; count];
    for grant in &record.grants {
        of_each[grant.contender] += 1.0;
    }
    let waits: Vec<f64> = record
        .grants
        .iter()
        .map(|grant| ms_between(grant.begun, grant.acquired))
        .collect();
    // Requests are counted up to a fifth of a second before the end.
    let asked: u64 = requests.iter().sum();
    let reach = match count {
        ..50 => "3.1",
        _ => "3.4",
    };
    eprintln!(
        "{}, {}, {count}: {:.2} R",
        servers.name(),
        program.name,
        writes as f64 / grants
    );
    table.row(
        &[servers.name(), &program.name, &count.to_string()],
        vec![
            Cell::new(writes as f64 / grants, 2),
            Cell::text(if is_ours { reach } else { "" }),
            Cell::new(asked as f64 / grants, 1),
            Cell::new(grants, 0),
            Cell::new(of_each.iter().copied().fold(f64::MAX, f64::min), 0),
            Cell::new(of_each.iter().copied().fold(0.0, f64::max), 0),
            Cell::new(waits.iter().sum::<f64>() / grants, 1),
            Cell::new(record.longest_wait(count, begun, ended), 0),
            Cell::new(record.most_at_once() as f64, 0),
        ],
    );
}
