//! Many callers at once, each on a key of its own, beside as many raw sockets with the same two writes: the processor is
//! then what all wait for.

use std::ffi::CString;
use std::sync::{Barrier, Mutex};

use super::common::prelude::*;
use super::floor::Floor;
use super::library::Library;
use super::{beside, support};

/// How many callers there are, and keys.
const CALLERS: usize = 32;

/// Cycles of each caller in a round; a round gives one ratio.
const PER_ROUND: usize = 100;

const ROUNDS: usize = 24;

/// The least ratio that is wanted.
const REACH: f64 = 0.85;

/// A variant: its name, and one cycle of the caller with that number.
type Variant<'a> = (&'static str, Box<dyn Fn(usize) + Sync + 'a>);

pub(crate) fn measure(servers: &Servers) -> Table {
    let address = servers.consul().address();
    let library = Library::load(&support::library(), address);
    let beside = beside(address);
    let keys: Vec<CString> = (0..CALLERS)
        .map(|caller| CString::new(format!("throughput/{caller}")).expect("a key"))
        .collect();
    // Each caller has its own socket; the mutex is never waited for.
    let floors: Vec<Mutex<Floor>> = (0..CALLERS)
        .map(|_| Mutex::new(Floor::new(address)))
        .collect();
    let mut variants: Vec<Variant<'_>> = vec![
        (
            "raw sockets, 2 writes",
            Box::new(|caller| floors[caller].lock().expect("a floor").lock_and_delete()),
        ),
        (
            "libconsul_lock",
            Box::new(|caller| library.cycle_on(&keys[caller])),
        ),
    ];
    if let Some(beside) = &beside {
        variants.push((
            "libconsul_lock, the build beside",
            Box::new(|caller| beside.cycle_on(&keys[caller])),
        ));
    }
    // Connections and sessions are made outside of the measurement.
    for (_, cycle) in &variants {
        round(cycle);
    }
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); variants.len()];
    for number in 0..ROUNDS {
        for turn in 0..variants.len() {
            // Another order each time.
            let variant = (turn + number) % variants.len();
            rates[variant].push(round(&variants[variant].1));
        }
    }
    let mut table = Table::new(
        "32 callers on 32 keys",
        &["server", "variant"],
        &[
            ("cycles per second, median", ""),
            (
                "ratio to the 2-write floor (10th to 90th percentile of the rounds)",
                "",
            ),
            ("reach", ""),
        ],
    );
    for ((name, _), own) in variants.iter().zip(&rates) {
        let mut ratios: Vec<f64> = own
            .iter()
            .zip(&rates[0])
            .map(|(rate, floor)| rate / floor)
            .collect();
        ratios.sort_by(f64::total_cmp);
        let spread = (percentile(&ratios, 0.1), percentile(&ratios, 0.9));
        let reach = if *name == "libconsul_lock" {
            REACH.to_string()
        } else {
            String::new()
        };
        table.row(
            &[servers.name(), name],
            vec![
                Cell::new(median(own), 0),
                Cell::spread(median(&ratios), spread.0, spread.1),
                Cell::text(&reach),
            ],
        );
    }
    drop(variants);
    for floor in floors {
        floor.into_inner().expect("a floor").end();
    }
    until("no warm session is left", || {
        servers.consul().sessions().is_empty()
    });
    table
}

/// All callers at once; their cycles per second.
fn round(cycle: &(dyn Fn(usize) + Sync)) -> f64 {
    let start = Barrier::new(CALLERS + 1);
    let mut begun = Instant::now();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                (0..PER_ROUND).for_each(|_| cycle(caller));
            });
        }
        start.wait();
        begun = Instant::now();
    });
    (CALLERS * PER_ROUND) as f64 / begun.elapsed().as_secs_f64()
}
