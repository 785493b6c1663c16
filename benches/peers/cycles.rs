//! One uncontended cycle of each program.

use crate::common::prelude::*;

pub(crate) fn table() -> Table {
    Table::new(
        "peers: one uncontended cycle",
        &["server", "program"],
        &[
            ("median", "µs"),
            ("p99", "µs"),
            ("ratio to ours (10th to 90th percentile of the rounds)", ""),
            ("Raft writes per cycle", ""),
        ],
    )
}

/// Ours first among the programs.
pub(crate) fn measure(table: &mut Table, servers: &Servers, programs: &[Program], rounds: usize) {
    let writes: Vec<f64> = programs
        .iter()
        .map(|program| writes(servers, program))
        .collect();
    let cycles = Cycles::of(servers, programs, rounds);
    let medians = cycles.medians();
    for (number, program) in programs.iter().enumerate() {
        let (ratio, from, to) = cycles.ratio(number);
        table.row(
            &[servers.name(), &program.name],
            vec![
                Cell::new(medians[number], 0),
                Cell::new(percentile(cycles.of_program(number), 0.99), 0),
                Cell::spread(ratio, from, to),
                Cell::new(writes[number], 2),
            ],
        );
    }
}

/// The program is alone, and what it leaves behind is removed.
fn writes(servers: &Servers, program: &Program) -> f64 {
    let consul = servers.consul();
    let key = "bench/peers/writes";
    let mut crowd = Crowd::gather(program, consul.address(), key, 1, 1);
    crowd.cycles(0, 5);
    // Consul writes now and then for itself: the least of three counts. Some programs end their
    // sessions after they have said that they are done.
    let count = || {
        let before = consul.quiet_raft_index();
        crowd.cycles(0, 30);
        (consul.quiet_raft_index() - before) as f64 / 30.0
    };
    let counts = std::iter::repeat_with(count).take(3);
    let least = counts.fold(f64::MAX, f64::min);
    drop(crowd);
    servers.sweep();
    least
}
