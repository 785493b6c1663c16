//! Other clients that people lock with on Consul, and ours, in turn against the same servers in the
//! same run. `make bench` installs and runs them; benches/peers/README.md says who they are and by what
//! contract they work.
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

use common::plot::{self, Dots};
use common::report::Report;
use common::servers::Servers;

fn main() {
    let programs = programs::all();
    let mut report = Report::new("peers");
    let (mut cycles, mut handoffs) = (cycles::table(), handoffs::table());
    let mut dots = Vec::new();

    let dev = Servers::dev();
    let version = dev.version();
    dots.push(cycles::measure(&mut cycles, &dev, &programs, 40));
    dots.extend(handoffs::measure(&mut handoffs, &dev, &programs));
    let once = once::measure(&dev, &programs, &mut dots);
    drop(dev);

    let three = Servers::three();
    dots.push(cycles::measure(&mut cycles, &three, &programs, 12));
    dots.extend(handoffs::measure(&mut handoffs, &three, &programs));
    drop(three);

    report.table(cycles);
    report.table(handoffs);
    report.table(once);
    let names: Vec<&str> = programs.iter().map(|program| &*program.name).collect();
    let note = "logarithmic; to the right: slower, or larger, than ours";
    let title = "Other clients, × what ours takes in the same run";
    report.plot("peers.svg", plot::dots(title, &names, &dots, note));
    report.write(&support::root(), &version);
}

/// What each takes in terms of the first, which is ours.
fn dots(name: String, values: &[f64]) -> Dots {
    let values = values.iter().map(|value| value / values[0]).collect();
    Dots { name, values }
}
