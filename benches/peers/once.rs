//! Each program from its start to its first lock, and the most memory that it has had by then.

use crate::common::prelude::*;

/// Ours first among the programs.
pub(crate) fn measure(servers: &Servers, programs: &[Program]) -> Table {
    let mut table = Table::new(
        "peers: a program that takes one lock (dev agent)",
        &["program"],
        &[
            ("start to lock held", "ms"),
            ("ratio to ours", ""),
            ("peak memory", "MB"),
            ("memory, ratio to ours", ""),
        ],
    );
    let (times, memory) = measures::starts(servers, programs);
    for (number, program) in programs.iter().enumerate() {
        table.row(
            &[&program.name],
            vec![
                Cell::new(times[number], 1),
                Cell::new(times[number] / times[0], 1),
                Cell::new(memory[number], 1),
                Cell::new(memory[number] / memory[0], 1),
            ],
        );
    }
    table
}
