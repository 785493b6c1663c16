//! Other clients with locks on Consul, and ours, in turn against the same servers in the same run. `make bench`
//! installs and runs them; benches/peers/README.md names them and has the contract by which they work.
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

#[path = "peers/cycles.rs"]
mod cycles;
#[path = "peers/handoffs.rs"]
mod handoffs;
#[path = "peers/once.rs"]
mod once;
#[path = "peers/programs.rs"]
mod programs;

use common::prelude::*;

fn main() {
    let programs = programs::all();
    let mut report = Report::new("peers");
    let (mut cycles, mut handoffs) = (cycles::table(), handoffs::table());

    let dev = Servers::dev();
    let version = dev.version();
    cycles::measure(&mut cycles, &dev, &programs, 40);
    handoffs::measure(&mut handoffs, &dev, &programs);
    let once = once::measure(&dev, &programs);
    drop(dev);

    let three = Servers::three();
    cycles::measure(&mut cycles, &three, &programs, 12);
    handoffs::measure(&mut handoffs, &three, &programs);
    drop(three);

    report.table(cycles);
    report.table(handoffs);
    report.table(once);
    report.write(&support::root(), &version);
}
