//! Locks that many contenders want: what a handoff takes and writes, how grants are shared out, what deaths and many
//! waiters cost, how fast a cancel is. `make bench` runs it.
//!
//! It is also the program of its own contenders: `contention contender ADDRESS KEY ...`.
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

#[path = "contention/cancel.rs"]
mod cancel;
#[path = "contention/contender.rs"]
mod contender;
#[path = "contention/deaths.rs"]
mod deaths;
#[path = "contention/fairness.rs"]
mod fairness;
#[path = "contention/handoff.rs"]
mod handoff;
#[path = "contention/scale.rs"]
mod scale;

use common::prelude::*;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((part, rest)) if part == "contender" => contender::run(rest),
        Some((part, rest)) if part == "many-keys" => scale::run_many_keys(rest),
        Some((part, rest)) if part == "many-starts" => scale::run_many_starts(rest),
        // cargo bench says --bench.
        _ => measure(),
    }
}

fn measure() {
    let mut report = Report::new("contention");
    let (mut handoffs, mut cancels) = (handoff::Measured::new(), cancel::table());

    // One after the other: even at rest, the other takes its share of two cores.
    let dev = Servers::dev();
    let version = dev.version();
    handoffs.measure(&dev);
    cancel::measure(&mut cancels, &dev);
    drop(dev);

    let three = Servers::three();
    handoffs.measure(&three);
    cancel::measure(&mut cancels, &three);
    handoffs.tell(&mut report);
    fairness::measure(&mut report, &three);
    deaths::measure(&mut report, &three);
    drop(three);

    report.table(cancels);
    scale::measure(&mut report);
    report.write(&support::root(), &version);
}
