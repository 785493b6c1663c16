//! The library from each language, beside the C functions and beside what people of that language lock
//! with today, in turn against the same servers in the same run. `make bench` builds and runs them.
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

#[path = "peers/programs.rs"]
#[allow(dead_code)] // those of the languages
mod peers;

use std::path::Path;

use common::prelude::*;

/// How long the handoffs of each are measured.
const TIME: Duration = Duration::from_secs(5);

/// C first, and each peer behind its language. Ruby has none that can be installed.
fn programs() -> Vec<Program> {
    let bindings = support::root().join("bindings");
    let built = report::folder(&support::root()).join("languages");
    let libraries = built.join("prefix/lib");
    let ours = |program: Program| {
        program
            .with("CONSUL_LOCK_LIBRARY", libraries.join("libconsul_lock.so"))
            .with("LD_LIBRARY_PATH", &libraries)
    };
    let ruby = bindings.join("ruby/bench/program.rb");
    let node = bindings.join("node/bench/locks.mjs");
    let python = bindings.join("python/bench");
    let of_python = |name: &str, script: &str| {
        ours(Program::at(
            name,
            Path::new("python3"),
            Some(&python.join(script)),
        ))
        .with("PYTHONPATH", built.join("python"))
    };
    let modules = std::fs::read_to_string(built.join("node-modules")).expect("scripts/languages");
    vec![
        peers::ours("C"),
        ours(Program::at("C++", &built.join("cpp"), None)),
        ours(Program::at("Go", &built.join("go"), None)),
        peers::go(),
        ours(Program::at("Ruby", Path::new("ruby"), Some(&ruby)))
            .with("RUBYLIB", bindings.join("ruby/lib")),
        ours(Program::at("Node", Path::new("node"), Some(&node))).with("NODE_PATH", modules.trim()),
        peers::node_by_hand(),
        of_python("Python", "program.py"),
        of_python("Python, asyncio", "looping.py"),
        peers::python_by_hand(),
        peers::python_as_before(),
    ]
}

/// What is left of a cycle without the library, or without the language: the rest of each is the other's.
fn parts(programs: &[Program]) -> Vec<Program> {
    let floors = support::root().join("benches/floors");
    let queue = support::compile(&floors.join("queue.c"), "queue", &["-O2"]);
    let raw = |name, program: &str, script| {
        Program::at(name, Path::new(program), Some(&floors.join(script)))
    };
    let of = |name: &str| {
        let mut same = programs.iter().filter(|program| program.name == name);
        same.next().expect("a program of that name").clone()
    };
    vec![
        of("C"),
        Program::at("C, calls that do not wait, a queue and poll", &queue, None),
        raw("Ruby, a socket with the same requests", "ruby", "raw.rb"),
        of("Ruby"),
        raw("Node, a socket with the same requests", "node", "raw.mjs"),
        of("Node"),
    ]
}

/// A second table: what a cycle of Ruby's and Node's is made of.
fn made_of(servers: &Servers, programs: &[Program]) -> Table {
    let mut table = Table::new(
        "languages: what a cycle is made of",
        &["program"],
        &[
            ("cycle on a dev agent, median", "µs"),
            ("ratio to C (10th to 90th percentile of the rounds)", ""),
            ("processor of the program in a cycle, all threads", "µs"),
            ("times that a thread of it waits in a cycle", ""),
        ],
    );
    let parts = parts(programs);
    let cycles = Cycles::of(servers, &parts, 40);
    for (number, program) in parts.iter().enumerate() {
        let (ratio, from, to) = cycles.ratio(number);
        let work = measures::work(servers, program, 1000);
        table.row(
            &[&program.name],
            vec![
                Cell::new(cycles.medians()[number], 0),
                Cell::spread(ratio, from, to),
                Cell::new(work.processor_us, 0),
                Cell::new(work.waits, 1),
            ],
        );
    }
    table
}

fn main() {
    let programs = programs();
    let mut report = Report::new("languages");
    let mut table = Table::new(
        "languages: the library from each, and what they have today",
        &["program"],
        &[
            ("cycle on a dev agent, median", "µs"),
            ("ratio to C (10th to 90th percentile of the rounds)", ""),
            ("the same on three servers", ""),
            ("handoff of two processes, median (dev agent)", "ms"),
            ("start to lock held, median", "ms"),
            ("peak memory", "MB"),
        ],
    );
    let dev = Servers::dev();
    let version = dev.version();
    let cycles = Cycles::of(&dev, &programs, 40);
    let handoffs: Vec<f64> = programs
        .iter()
        .map(|program| measures::handoffs(&dev, program, 2, TIME).median)
        .collect();
    let (times, memory) = measures::starts(&dev, &programs);
    let made_of = made_of(&dev, &programs);
    drop(dev);
    let three = Servers::three();
    let on_three = Cycles::of(&three, &programs, 12);
    drop(three);

    let medians = cycles.medians();
    for (number, program) in programs.iter().enumerate() {
        let (ratio, from, to) = cycles.ratio(number);
        let on_three = on_three.ratio(number);
        table.row(
            &[&program.name],
            vec![
                Cell::new(medians[number], 0),
                Cell::spread(ratio, from, to),
                Cell::spread(on_three.0, on_three.1, on_three.2),
                Cell::new(handoffs[number], 2),
                Cell::new(times[number], 1),
                Cell::new(memory[number], 1),
            ],
        );
    }
    report.table(table);
    report.table(made_of);
    report.write(&support::root(), &version);
}
