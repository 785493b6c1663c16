//! Each program from its start to its first lock, and the most memory that it has had by then.

use std::time::{Duration, Instant};

use crate::common::plot::Dots;
use crate::common::program::{Crowd, Program, Said};
use crate::common::report::{Cell, Table};
use crate::common::servers::Servers;
use crate::common::{clock, median, ms_between};

use super::dots;

const TIMES: usize = 25;

/// Ours first among the programs.
pub(crate) fn measure(servers: &Servers, programs: &[Program], lines: &mut Vec<Dots>) -> Table {
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
    let mut figures: Vec<Vec<(f64, f64)>> = vec![Vec::new(); programs.len()];
    for round in 0..TIMES {
        for turn in 0..programs.len() {
            // Another order each time.
            let program = (turn + round) % programs.len();
            figures[program].push(one(servers, program, &programs[program]));
        }
    }
    let median_of = |pick: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        let of_each = figures.iter();
        of_each
            .map(|all| median(&all.iter().map(pick).collect::<Vec<_>>()))
            .collect()
    };
    let (times, memory) = (median_of(|figure| figure.0), median_of(|figure| figure.1));
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
    lines.push(dots("start to first lock".to_owned(), &times));
    lines.push(dots("peak memory".to_owned(), &memory));
    table
}

/// Milliseconds and megabytes.
fn one(servers: &Servers, number: usize, program: &Program) -> (f64, f64) {
    let begun = clock();
    let key = format!("bench/peers/once-{number}");
    let mut crowd = Crowd::gather(program, servers.consul().address(), &key, 1, 1);
    crowd.turns(0, 0, 1);
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut time = f64::NAN;
    loop {
        match crowd.next(deadline).expect("a lock within 10 s") {
            Said::Acquired { at, .. } => time = ms_between(begun, at),
            Said::Released { .. } => break,
            other => panic!("{}: {other:?}", program.name),
        }
    }
    let memory = crowd.peak_memory(0);
    drop(crowd);
    servers.sweep();
    (time, memory)
}
