//! The explorer: all schedules of small worlds, up to a bound, with the shipped core and the model of Consul.
//!
//! `make explore` walks further than the tests do. See `docs/correctness.md` for what the explorer shows, and
//! ADR 0036 for why it is built so.

mod search;
mod worlds;

use std::time::Instant;

use search::{Bound, explore};
use worlds::{Small, WORLDS};

/// Walks a world to its end, and prints the counts.
fn walk(small: &Small, faults: u32) {
    let begun = Instant::now();
    let report = explore(small, None, Bound::of(faults));
    println!(
        "{}: {report}, {:.1} s",
        small.title(faults),
        begun.elapsed().as_secs_f64()
    );
    for (k,v) in &report.hist { println!("{k}: {v}"); }
    if let Some(violation) = report.violation {
        panic!("{}", violation.in_words(small, None, faults));
    }
    assert_eq!(
        report.cut, 0,
        "{}: the claim is of all schedules",
        small.name
    );
}

#[test]
fn every_schedule_keeps_every_promise() {
    let only = std::env::var("EXPLORE_WORLD").ok();
    let faults = std::env::var("EXPLORE_FAULTS").ok();
    let faults: Option<u32> = faults.and_then(|faults| faults.parse().ok());
    for small in WORLDS {
        if only.as_ref().is_none_or(|only| only == small.name) {
            walk(small, faults.unwrap_or(small.faults));
        }
    }
}
