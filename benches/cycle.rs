//! The uncontended cycle through the C functions, beside the fewest requests that raw sockets can do
//! it with, against the same server in the same run. `make bench` runs it. With BESIDE=FILE another build of the library
//! takes turns with this one.
#![allow(missing_docs, unsafe_code)]
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

#[path = "cycle/floor.rs"]
mod floor;
#[path = "cycle/library.rs"]
mod library;
#[path = "cycle/throughput.rs"]
mod throughput;

use std::process::{Command, Stdio};

use common::prelude::*;
use floor::Floor;
use library::Library;

/// Cycles of each variant in a round; a round gives one ratio.
const PER_ROUND: usize = 25;

// Places among the variants.
const SAME_REQUESTS: usize = 1;
const OURS: usize = 3;
const BESIDE: usize = 4;

/// The tables in the making.
struct Tables {
    cycles: Table,
    figures: Table,
}

impl Tables {
    /// A figure of its own, and what it is meant to reach at most.
    fn figure(&mut self, what: &str, name: &str, value: Cell, reach: &str) {
        let reach = Cell::text(reach);
        self.figures.row(&[what, name], vec![value, reach]);
    }
}

fn main() {
    let library = support::library();
    let mut tables = Tables {
        cycles: Table::new(
            "one uncontended cycle",
            &["server", "variant"],
            &[
                ("median", "µs"),
                ("p99", "µs"),
                (
                    "ratio to the 2-write floor (10th to 90th percentile of the rounds)",
                    "",
                ),
                ("reach", ""),
                ("processor of the caller's thread, median", "µs"),
                ("Raft writes per cycle", ""),
            ],
        ),
        figures: Table::new(
            "around the cycle",
            &["what", "figure"],
            &[("value", ""), ("reach", "")],
        ),
    };

    let dev = Servers::dev();
    let version = dev.version();
    cycles(&mut tables, &dev, 60, 1.2);
    let throughput = throughput::measure(&dev);
    once(&mut tables, dev.consul(), &library);
    drop(dev);
    cycles(&mut tables, &Servers::three(), 16, 1.05);

    let size = std::fs::metadata(&library).expect("the library").len() as f64 / 1e6;
    tables.figure(
        "library",
        "stripped shared library",
        Cell::new(size, 2).in_unit("MB"),
        "2.5",
    );
    let mut report = Report::new("cycle");
    report.table(tables.cycles);
    report.table(throughput);
    report.table(tables.figures);
    report.write(&support::root(), &version);
}

/// How long this thread has had a processor. All of an uncontended cycle runs on the thread of its caller.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is one writable `timespec`.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The build that BESIDE names.
fn beside(address: &str) -> Option<Library> {
    let file = std::env::var_os("BESIDE")?;
    Some(Library::load(std::path::Path::new(&file), address))
}

/// One variant's name and one cycle of it.
type Variant<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// All variants in turn, against the same server.
fn cycles(tables: &mut Tables, servers: &Servers, rounds: usize, reach: f64) {
    let (consul, name) = (servers.consul(), servers.name());
    let library = Library::load(&support::library(), consul.address());
    let beside = beside(consul.address());
    let mut two = Floor::new(consul.address());
    let mut same = Floor::new(consul.address());
    let mut three = Floor::new(consul.address());
    let mut variants: Vec<Variant<'_>> = vec![
        ("raw sockets, 2 writes", Box::new(|| two.lock_and_delete())),
        (
            "raw sockets, the library's requests",
            Box::new(|| same.as_the_library()),
        ),
        (
            "raw sockets, 3 writes",
            Box::new(|| three.create_lock_destroy()),
        ),
        ("libconsul_lock", Box::new(|| library.cycle())),
    ];
    if let Some(beside) = &beside {
        variants.push((
            "libconsul_lock, the build beside",
            Box::new(|| beside.cycle()),
        ));
    }
    // Connections and warm sessions are made outside of the measurement.
    for (_, cycle) in &mut variants {
        (0..20).for_each(|_| cycle());
    }
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); variants.len()];
    let mut processor: Vec<Vec<f64>> = vec![Vec::new(); variants.len()];
    for cycle_number in 0..rounds * PER_ROUND {
        for turn in 0..variants.len() {
            // Another order each time.
            let variant = (turn + cycle_number) % variants.len();
            let used = processor_time();
            let begun = Instant::now();
            (variants[variant].1)();
            times[variant].push(begun.elapsed().as_secs_f64() * 1e6);
            processor[variant].push((processor_time() - used).as_secs_f64() * 1e6);
        }
    }
    let writes: Vec<f64> = variants
        .iter_mut()
        .map(|(_, cycle)| {
            // Consul writes now and then for itself: the least of three counts.
            let count = || {
                let before = consul.raft_index();
                (0..50).for_each(|_| cycle());
                (consul.raft_index() - before) as f64 / 50.0
            };
            std::iter::repeat_with(count)
                .take(3)
                .fold(f64::MAX, f64::min)
        })
        .collect();
    let floors: Vec<f64> = times[0].chunks(PER_ROUND).map(median).collect();
    for (variant, (of, _)) in variants.iter().enumerate() {
        let rounds = times[variant].chunks(PER_ROUND).map(median).zip(&floors);
        let mut ratios: Vec<f64> = rounds.map(|(time, floor)| time / floor).collect();
        ratios.sort_by(f64::total_cmp);
        let spread = (percentile(&ratios, 0.1), percentile(&ratios, 0.9));
        let reach = (variant == OURS).then_some(reach);
        tables.cycles.row(
            &[name, of],
            vec![
                Cell::new(median(&times[variant]), 0),
                Cell::new(percentile(&times[variant], 0.99), 0),
                Cell::spread(median(&ratios), spread.0, spread.1),
                Cell::text(&reach.map(|reach| reach.to_string()).unwrap_or_default()),
                Cell::new(median(&processor[variant]), 0),
                Cell::new(writes[variant], 2),
            ],
        );
    }
    drop(variants);
    let ratio = |to: &[f64]| {
        let rounds = times[OURS].chunks(PER_ROUND).map(median);
        let others = to.chunks(PER_ROUND).map(median);
        let ratios: Vec<f64> = rounds
            .zip(others)
            .map(|(time, other)| time / other)
            .collect();
        let spread = (percentile(&ratios, 0.1), percentile(&ratios, 0.9));
        Cell::spread(median(&ratios), spread.0, spread.1)
    };
    let same_requests = ratio(&times[SAME_REQUESTS]);
    let what = "ratio to raw sockets with the library's requests";
    tables.figure(name, what, same_requests, "");
    if let Some(others) = times.get(BESIDE) {
        tables.figure(name, "ratio to the build beside", ratio(others), "1.03");
    }
    same.end();
    two.end();
    until("no warm session is left", || consul.sessions().is_empty());
    let begun = Instant::now();
    (0..20).for_each(|_| library.cycle());
    std::thread::sleep(Duration::from_secs(5).saturating_sub(begun.elapsed()));
    let left = Cell::new(consul.sessions().len() as f64, 0);
    tables.figure(name, "sessions left 5 s after a hot loop", left, "0");
}

/// A program that takes one lock, from its start to its end.
fn once(tables: &mut Tables, consul: &Consul, library: &std::path::Path) {
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
    let started = Cell::new(median(&times), 2).in_unit("ms");
    tables.figure("one lock", "start to first lock held, median", started, "");
    let memory = Cell::new(median(&memory), 2).in_unit("MB");
    tables.figure("one lock", "peak memory, median", memory, "5");
    let writes = Cell::new(median(&writes), 0);
    tables.figure("one lock", "Raft writes, median", writes, "3");
    let left = Cell::new(0.0, 0);
    tables.figure("one lock", "sessions left at its end", left, "0");
}
