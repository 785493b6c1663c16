//! The uncontended cycle through the C functions, beside the fewest requests that raw sockets can do
//! it with, against the same server in the same run. `make bench` runs it.
#![allow(missing_docs, unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing
)]

#[path = "../tests/support/mod.rs"]
mod support;

#[path = "cycle/floor.rs"]
mod floor;
#[path = "cycle/library.rs"]
mod library;
#[path = "cycle/report.rs"]
mod report;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use floor::Floor;
use library::Library;
use report::{Report, Row};
use support::cluster::Cluster;
use support::consul::Consul;

/// Cycles of each variant in a round; a round gives one ratio.
const PER_ROUND: usize = 25;

fn main() {
    let library = support::library();
    let mut report = Report::default();

    let consul = Consul::start();
    cycles(&mut report, "dev agent", &consul, &consul, 60, 1.2);
    once(&mut report, &consul, &library);
    drop(consul);

    let cluster = Cluster::start();
    let leader = &cluster.servers[cluster.leader()];
    cycles(&mut report, "three servers", leader, leader, 16, 1.05);
    drop(cluster);

    let size = std::fs::metadata(&library).expect("the library").len() as f64 / 1e6;
    report.figure("library", "stripped shared library", size, "MB", "2.5");
    report.write(&support::root());
}

/// One variant's name and one cycle of it.
type Variant<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// All variants in turn, against the server at `consul`.
fn cycles(
    report: &mut Report,
    table: &str,
    consul: &Consul,
    index: &Consul,
    rounds: usize,
    reach: f64,
) {
    let library = Library::load(&support::library(), consul.address());
    let mut two = Floor::new(consul.address());
    let mut three = Floor::new(consul.address());
    let mut variants: Vec<Variant<'_>> = vec![
        ("raw sockets, 2 writes", Box::new(|| two.lock_and_delete())),
        (
            "raw sockets, 3 writes",
            Box::new(|| three.create_lock_destroy()),
        ),
        ("libconsul_lock", Box::new(|| library.cycle())),
    ];
    // Connections and warm sessions are made outside of the measurement.
    for (_, cycle) in &mut variants {
        (0..20).for_each(|_| cycle());
    }
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); variants.len()];
    for cycle_number in 0..rounds * PER_ROUND {
        for turn in 0..variants.len() {
            // Another order each time.
            let variant = (turn + cycle_number) % variants.len();
            let begun = Instant::now();
            (variants[variant].1)();
            times[variant].push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    let writes: Vec<f64> = variants
        .iter_mut()
        .map(|(_, cycle)| {
            // Consul writes now and then for itself: the least of three counts.
            let count = || {
                let before = index.raft_index();
                (0..50).for_each(|_| cycle());
                (index.raft_index() - before) as f64 / 50.0
            };
            std::iter::repeat_with(count)
                .take(3)
                .fold(f64::MAX, f64::min)
        })
        .collect();
    let floors: Vec<f64> = times[0].chunks(PER_ROUND).map(median).collect();
    for (variant, (name, _)) in variants.iter().enumerate() {
        let rounds = times[variant].chunks(PER_ROUND).map(median).zip(&floors);
        let mut ratios: Vec<f64> = rounds.map(|(time, floor)| time / floor).collect();
        ratios.sort_by(f64::total_cmp);
        report.rows.push(Row {
            table: table.to_owned(),
            name: (*name).to_owned(),
            median: median(&times[variant]),
            p99: percentile(&times[variant], 0.99),
            ratio: median(&ratios),
            spread: (percentile(&ratios, 0.1), percentile(&ratios, 0.9)),
            writes: writes[variant],
            reach: (variant == 2).then_some(reach),
        });
    }
    drop(variants);
    two.end();
    support::consul::until("no warm session is left", || consul.sessions().is_empty());
    let begun = Instant::now();
    (0..20).for_each(|_| library.cycle());
    std::thread::sleep(Duration::from_secs(5).saturating_sub(begun.elapsed()));
    let left = consul.sessions().len() as f64;
    report.figure(table, "sessions left 5 s after a hot loop", left, "", "0");
}

/// A program that takes one lock, from its start to its end.
fn once(report: &mut Report, consul: &Consul, library: &std::path::Path) {
    let program = support::compile(&support::root().join("benches/once.c"), "once", &["-O2"]);
    let (mut times, mut memory, mut writes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..30 {
        let before = consul.raft_index();
        let begun = Instant::now();
        let mut child = Command::new(&program)
            .env("CONSUL_HTTP_ADDR", consul.address())
            .env("LD_LIBRARY_PATH", library.parent().expect("a folder"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut line = String::new();
        let mut output = std::io::BufReader::new(child.stdout.take().expect("its output"));
        std::io::BufRead::read_line(&mut output, &mut line).expect("a line");
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        assert_eq!(line, "held\n");
        line.clear();
        std::io::BufRead::read_line(&mut output, &mut line).expect("a line");
        let kilobytes: f64 = line
            .split_whitespace()
            .nth(1)
            .expect("VmHWM")
            .parse()
            .expect("kB");
        memory.push(kilobytes / 1024.0);
        assert!(child.wait().expect("an end").success());
        writes.push((consul.raft_index() - before) as f64);
        assert!(
            consul.sessions().is_empty(),
            "a program that took one lock left a session"
        );
    }
    report.figure(
        "one lock",
        "start to first lock held, median",
        median(&times),
        "ms",
        "",
    );
    report.figure(
        "one lock",
        "peak memory, median",
        median(&memory),
        "MB",
        "5",
    );
    report.figure("one lock", "Raft writes, median", median(&writes), "", "3");
    report.figure("one lock", "sessions left at its end", 0.0, "", "0");
}

fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (part * (sorted.len() - 1) as f64).round() as usize;
    sorted[at]
}
