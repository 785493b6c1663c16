//! What is measured of any program that keeps the contract of benches/peers/README.md.

use super::prelude::*;

/// Cycles of each program in a round; a round gives one ratio.
const PER_ROUND: usize = 25;

/// How often each program is started to see how long its first lock takes.
const STARTS: usize = 25;

/// The times of uncontended cycles, in µs. The programs take turns.
pub(crate) struct Cycles(Vec<Vec<f64>>);

impl Cycles {
    pub(crate) fn of(servers: &Servers, programs: &[Program], rounds: usize) -> Cycles {
        let gather = |(number, program)| {
            let key = format!("bench/cycle-{number}");
            Crowd::gather(program, servers.consul().address(), &key, 1, 1)
        };
        let mut crowds: Vec<Crowd> = programs.iter().enumerate().map(gather).collect();
        // Connections are made, and code is compiled, outside of the measurement.
        for crowd in &mut crowds {
            for _ in 0..4 {
                crowd.cycles(0, PER_ROUND);
            }
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
        Cycles(times)
    }

    pub(crate) fn of_program(&self, number: usize) -> &[f64] {
        &self.0[number]
    }

    pub(crate) fn medians(&self) -> Vec<f64> {
        self.0.iter().map(|times| median(times)).collect()
    }

    /// The ratio to the first program: its median over the rounds, and the 10th and the 90th
    /// percentile.
    pub(crate) fn ratio(&self, number: usize) -> (f64, f64, f64) {
        let rounds = |number: usize| self.0[number].chunks(PER_ROUND).map(median);
        let ratios: Vec<f64> = rounds(number)
            .zip(rounds(0))
            .map(|(time, first)| time / first)
            .collect();
        (
            median(&ratios),
            percentile(&ratios, 0.1),
            percentile(&ratios, 0.9),
        )
    }
}

/// What the threads of a process do in a cycle.
#[allow(dead_code)] // of benches/languages.rs alone
pub(crate) struct Work {
    pub(crate) processor_us: f64,
    pub(crate) waits: f64,
}

/// So many cycles of one program, as the kernel counts its threads' work.
#[allow(dead_code)] // of benches/languages.rs alone
pub(crate) fn work(servers: &Servers, program: &Program, count: usize) -> Work {
    let mut crowd = Crowd::gather(program, servers.consul().address(), "bench/work", 1, 1);
    crowd.cycles(0, 100);
    let before = super::program::work(crowd.pid(0));
    crowd.cycles(0, count);
    let after = super::program::work(crowd.pid(0));
    drop(crowd);
    servers.sweep();
    Work {
        processor_us: (after.0 - before.0) / 1e3 / count as f64,
        waits: (after.1 - before.1) / count as f64,
    }
}

/// Handoffs among so many processes of one program.
pub(crate) fn handoffs(
    servers: &Servers,
    program: &Program,
    count: usize,
    time: Duration,
) -> Handoffs {
    let key = format!("bench/{}-{count}", program.name.replace([' ', ','], "-"));
    let mut crowd = Crowd::gather(program, servers.consul().address(), &key, count, 1);
    let figures = contest::handoffs(servers, &mut crowd, &key, time);
    drop(crowd);
    servers.sweep();
    eprintln!(
        "{}, {}, {count}: {:.2} ms",
        servers.name(),
        program.name,
        figures.median
    );
    figures
}

/// From the start of each program to its first lock, in ms, and the most memory that it has had by
/// then, in MB.
pub(crate) fn starts(servers: &Servers, programs: &[Program]) -> (Vec<f64>, Vec<f64>) {
    let mut figures: Vec<Vec<(f64, f64)>> = vec![Vec::new(); programs.len()];
    for round in 0..STARTS {
        for turn in 0..programs.len() {
            // Another order each time.
            let program = (turn + round) % programs.len();
            figures[program].push(start(servers, program, &programs[program]));
        }
    }
    let median_of = |pick: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        let of_each = figures.iter();
        of_each
            .map(|all| median(&all.iter().map(pick).collect::<Vec<_>>()))
            .collect()
    };
    (median_of(|figure| figure.0), median_of(|figure| figure.1))
}

fn start(servers: &Servers, number: usize, program: &Program) -> (f64, f64) {
    let begun = clock();
    let key = format!("bench/once-{number}");
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
