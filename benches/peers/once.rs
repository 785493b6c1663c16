//! Each program from its start to its first lock, and the most memory that it has had by then.

use std::time::{Duration, Instant};

use crate::common::plot::Dots;
use crate::common::program::{Crowd, Program, Said};
use crate::common::report::{Cell, Table};
use crate::common::servers::Servers;
use crate::common::{clock, median, ms_between};

use super::dots;

const TIMES: usize = 15;

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
    let figures: Vec<(f64, f64)> = programs.iter().map(|it| one(servers, it)).collect();
    let (times, memory): (Vec<f64>, Vec<f64>) = figures.into_iter().unzip();
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

/// Medians.
fn one(servers: &Servers, program: &Program) -> (f64, f64) {
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let begun = clock();
        let key = "bench/peers/once";
        let mut crowd = Crowd::gather(program, servers.consul().address(), key, 1, 1);
        crowd.turns(0, 0, 1);
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match crowd.next(deadline).expect("a lock within 10 s") {
                Said::Acquired { at, .. } => times.push(ms_between(begun, at)),
                Said::Released { .. } => break,
                other => panic!("{}: {other:?}", program.name),
            }
        }
        memory.push(crowd.peak_memory(0));
        drop(crowd);
        servers.sweep();
    }
    (median(&times), median(&memory))
}
