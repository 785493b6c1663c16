//! How many grants each contender gets when all of them come back at once.

use crate::common::prelude::*;
use crate::contender;

use super::handoff::knows_fair;

const CONTENDERS: usize = 10;
const TIME: Duration = Duration::from_secs(20);

/// More turns than a contender can have in that time.
pub(crate) const ALL_THE_TIME: usize = 1_000_000;

pub(crate) fn measure(report: &mut Report, servers: &Servers) {
    let mut table = Table::new(
        "fairness: 10 processes in a hot loop for 20 s",
        &["server", "waiting"],
        &[
            ("grants", ""),
            ("fewest of a contender", ""),
            ("most of a contender", ""),
            ("never served", ""),
            ("mean wait", "ms"),
            ("longest wait", "ms"),
            ("longest / mean", ""),
            ("Raft writes per grant", ""),
        ],
    );
    one(&mut table, servers, "default", &[]);
    if knows_fair() {
        one(&mut table, servers, "fair=false", &["fair=false"]);
    }
    report.table(table);
}

fn one(table: &mut Table, servers: &Servers, name: &str, options: &[&str]) {
    let (key, consul) = (
        format!("bench/fairness-{}", options.len()),
        servers.consul(),
    );
    let program = contender::program(name, 1, options);
    let mut crowd = Crowd::gather(&program, consul.address(), &key, CONTENDERS, 1);
    let (begun, index) = (clock(), consul.raft_index());
    for contender in 0..CONTENDERS {
        crowd.turns(contender, HOLD_MS, ALL_THE_TIME);
    }
    let mut record = Record::default();
    let deadline = Instant::now() + TIME;
    while let Some(said) = crowd.next(deadline) {
        record.note(&said);
    }
    let (ended, writes) = (clock(), (consul.raft_index() - index) as f64);
    drop(crowd);
    servers.sweep();
    record.sort();
    assert_eq!(record.overlaps(), 0, "two had the lock at a time");
    for why in &record.failures {
        eprintln!("failed: {why}");
    }

    let mut of_each = [0.0_f64; CONTENDERS];
    // A contender that still waits at the end has waited since its last release.
    let mut waits_since = [begun; CONTENDERS];
    let mut waits = Vec::new();
    for grant in &record.grants {
        of_each[grant.contender] += 1.0;
        waits_since[grant.contender] = grant.released.unwrap_or(ended);
        waits.push(ms_between(grant.begun, grant.acquired));
    }
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    let unserved = waits_since.map(|since| ms_between(since, ended));
    let longest = waits.iter().chain(&unserved).copied().fold(0.0, f64::max);
    let never = of_each.iter().filter(|&&grants| grants == 0.0).count();
    table.row(
        &[servers.name(), name],
        vec![
            Cell::new(waits.len() as f64, 0),
            Cell::new(of_each.iter().copied().fold(f64::MAX, f64::min), 0),
            Cell::new(of_each.iter().copied().fold(0.0, f64::max), 0),
            Cell::new(never as f64, 0),
            Cell::new(mean, 1),
            Cell::new(longest, 0),
            Cell::new(longest / mean, 1),
            Cell::new(writes / waits.len() as f64, 2),
        ],
    );
}
