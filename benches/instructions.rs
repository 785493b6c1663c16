//! How many instructions one uncontended cycle through the C functions takes, and whose they are: a figure that no
//! neighbour on the machine disturbs. valgrind's callgrind counts them. `make bench` runs it, and `scripts/bench
//! instructions` builds the library with symbols for it. With BESIDE=FILE the table has another build, too.
//!
//! It is also the program that callgrind runs: `instructions cycles LIBRARY ADDRESS COUNT`.
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

#[path = "instructions/callgrind.rs"]
mod callgrind;
#[path = "cycle/library.rs"]
mod library;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::prelude::*;
use library::Library;

/// Cycles before all others: they make the connection and the session, and fill the allocator's caches.
const WARM: usize = 50;

/// Cycles of the two runs. Their difference leaves out the start, the end, and the warm cycles.
const FEW: usize = 100;
const MANY: usize = 600;

/// A cycle takes no more than that many instructions.
const REACH: f64 = 75_000.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["cycles", library, address, count] => {
            let library = Library::load(Path::new(library), address);
            let count: usize = count.parse().expect("a number");
            (0..WARM + count).for_each(|_| library.cycle());
        }
        // cargo bench says --bench.
        _ => measure(),
    }
}

fn measure() {
    let dev = Servers::dev();
    let version = dev.version();
    let mut table = Table::new(
        "instructions of one uncontended cycle",
        &["whose"],
        &[("instructions", ""), ("share", "%"), ("reach", "")],
    );
    let shares = per_cycle(&support::library(), dev.consul().address());
    let all: f64 = shares.values().sum();
    table.row(
        &["all"],
        vec![Cell::new(all, 0), Cell::new(100.0, 0), Cell::new(REACH, 0)],
    );
    let mut shares: Vec<_> = shares.into_iter().collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let none = || Cell::text("");
    for (whose, count) in shares {
        let share = Cell::new(100.0 * count / all, 1);
        table.row(&[&whose], vec![Cell::new(count, 0), share, none()]);
    }
    if let Some(beside) = std::env::var_os("BESIDE") {
        let others: f64 = per_cycle(Path::new(&beside), dev.consul().address())
            .values()
            .sum();
        let share = Cell::new(100.0 * others / all, 0);
        table.row(
            &["all, the build beside"],
            vec![Cell::new(others, 0), share, none()],
        );
    }
    let mut report = Report::new("instructions");
    report.table(table);
    report.write(&support::root(), &version);
}

/// The instructions of one cycle, by whose they are.
fn per_cycle(library: &Path, address: &str) -> BTreeMap<String, f64> {
    let [few, many] = [FEW, MANY].map(|count| counted(library, address, count));
    let difference = |(whose, many): (String, u64)| {
        let few = few.get(&whose).copied().unwrap_or(0);
        let each = (many as f64 - few as f64) / (MANY - FEW) as f64;
        (whose, each)
    };
    let each = many.into_iter().map(difference);
    each.filter(|(_, count)| *count >= 0.5).collect()
}

/// The instructions of a whole run with that many cycles.
fn counted(library: &Path, address: &str, count: usize) -> BTreeMap<String, u64> {
    let output = support::scratch("callgrind").join(format!("{}.out", std::process::id()));
    let said = Command::new("valgrind")
        .args(["--tool=callgrind", "--error-exitcode=1"])
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(std::env::current_exe().expect("this program"))
        .arg("cycles")
        .arg(library)
        .arg(address)
        .arg(count.to_string())
        .output()
        .expect("valgrind");
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{text}");
    let profile = std::fs::read_to_string(&output).expect("the profile");
    let _ = std::fs::remove_file(&output);
    callgrind::by_owner(&profile, &support::root())
}
