//! One uncontended cycle of each program.

use crate::common::plot::Dots;
use crate::common::program::{Crowd, Program};
use crate::common::report::{Cell, Table};
use crate::common::servers::Servers;
use crate::common::{median, percentile};

use super::dots;

/// Cycles of each program in a round; a round gives one ratio.
const PER_ROUND: usize = 25;

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
pub(crate) fn measure(
    table: &mut Table,
    servers: &Servers,
    programs: &[Program],
    rounds: usize,
) -> Dots {
    let writes: Vec<f64> = programs
        .iter()
        .map(|program| writes(servers, program))
        .collect();
    let gather = |(number, program)| {
        let key = format!("bench/peers/cycle-{number}");
        Crowd::gather(program, servers.consul().address(), &key, 1, 1)
    };
    let mut crowds: Vec<Crowd> = programs.iter().enumerate().map(gather).collect();
    // Connections are made, and code is compiled, outside of the measurement.
    for crowd in &mut crowds {
        crowd.cycles(0, PER_ROUND);
    }
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); programs.len()];
    for round in 0..rounds {
        for turn in 0..programs.len() {
            // Another order each time.
            let program = (turn + round) % programs.len();
            times[program].extend(crowds[program].cycles(0, PER_ROUND));
        }
    }
    drop(crowds);
    servers.sweep();
    let ours: Vec<f64> = times[0].chunks(PER_ROUND).map(median).collect();
    for (number, program) in programs.iter().enumerate() {
        let rounds = times[number].chunks(PER_ROUND).map(median).zip(&ours);
        let ratios: Vec<f64> = rounds.map(|(time, ours)| time / ours).collect();
        let spread = (percentile(&ratios, 0.1), percentile(&ratios, 0.9));
        table.row(
            &[servers.name(), &program.name],
            vec![
                Cell::new(median(&times[number]), 0),
                Cell::new(percentile(&times[number], 0.99), 0),
                Cell::spread(median(&ratios), spread.0, spread.1),
                Cell::new(writes[number], 2),
            ],
        );
    }
    let medians: Vec<f64> = times.iter().map(|times| median(times)).collect();
    dots(format!("cycle, {}", servers.name()), &medians)
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
