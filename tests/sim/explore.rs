//! The explorer: all schedules of small worlds, up to a bound, with the shipped core and the model of Consul.
//!
//! `make explore` walks further than the tests do. `docs/correctness.md` says what the explorer shows, and ADR 0036 why
//! the explorer is built so.

mod defects;
mod search;
mod seen;
mod worlds;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use search::{Bound, explore};
use seen::{Entry, Print, Seen, Visit};
use worlds::{Small, WORLDS};

/// Walks a world to its end, and prints the counts.
fn walk(small: &Small, faults: u32, until: Option<Instant>) {
    let begun = Instant::now();
    let report = explore(
        small,
        None,
        Bound {
            until,
            ..Bound::of(faults)
        },
    );
    let seconds = begun.elapsed().as_secs_f64();
    println!("{}: {report}, {seconds:.1} s", small.title(faults));
    if let Some(violation) = report.violation {
        panic!("{}", violation.in_words(small, None, faults));
    }
    // The claim is of all schedules.
    assert_eq!(report.cut, 0, "{}", small.name);
}

/// `EXPLORE_WORLD=two` walks one world, `EXPLORE_FAULTS=2` with so many faults, and `EXPLORE_NIGHTLY=1` with as many as
/// `make nightly`. With `EXPLORE_SECONDS=1800` a walk that takes longer ends then, and says so.
#[test]
fn every_schedule_keeps_every_promise() {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    let only = std::env::var("EXPLORE_WORLD").ok();
    let is_nightly = number("EXPLORE_NIGHTLY").is_some();
    let faults = number("EXPLORE_FAULTS");
    let seconds = number("EXPLORE_SECONDS").map(u64::from);
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let chosen = WORLDS
        .iter()
        .filter(|small| only.as_ref().is_none_or(|only| only == small.name));
    let chosen: Vec<&Small> = chosen.collect();
    assert!(!chosen.is_empty(), "no world of that name");
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(small) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let [usual, nightly] = small.faults;
                    let own = if is_nightly { nightly } else { usual };
                    if let Some(faults) = faults.or(own) {
                        walk(small, faults, until);
                    }
                }
            });
        }
    });
}

/// States with the same picture are the same: without the merging a walk finds the same ends, and no violation either.
#[test]
fn merging_hides_nothing() {
    let small = Small::of("one");
    let bound = Bound {
        depth: 17,
        ..Bound::of(1)
    };
    let merged = explore(small, None, bound);
    let bound = Bound {
        merges: false,
        ..bound
    };
    let all = explore(small, None, bound);
    println!("merged: {merged}\nall: {all}");
    assert!(merged.violation.is_none() && all.violation.is_none());
    assert!(merged.states < all.states / 2);
    assert_eq!(merged.told, all.told, "what callers were told");
}

/// A part of a world that has not changed keeps its sketch: the picture is that of a world that is drawn anew.
#[test]
fn a_part_that_changes_is_drawn_again() {
    for name in ["two", "reader-and-writer", "strays-of-limits"] {
        let small = Small::of(name);
        for seed in 1..200_usize {
            let mut world = small.world(None, false);
            let mut left = 2;
            for step in 1..80_usize {
                let choices = world.choices(small.kinds, left);
                let Some(last) = choices.len().checked_sub(1) else {
                    break;
                };
                let pick = seed.wrapping_mul(step).wrapping_mul(0x9e37_79b9) >> 7;
                let choice = &choices[pick % (last + 1)];
                left -= choice.cost();
                world.choose(choice).expect("no violation");
                let anew = world.undrawn().picture();
                assert_eq!(world.picture(), anew, "{name}, {seed}, step {step}");
            }
        }
    }
}

/// Two states that differ in their faults to come, or in nothing, are walked once.
#[test]
fn a_state_is_walked_again_only_when_more_may_come() {
    let mut seen = Seen::default();
    let print = Print::of(7);
    let visit = |depth, left| Visit { depth, left };
    let known = |is_on_path| Entry::Known { is_on_path };
    assert_eq!(seen.enter(print, visit(5, 1), false), Entry::New);
    assert_eq!(seen.enter(print, visit(9, 1), false), known(true), "circle");
    assert_eq!(seen.enter(print, visit(9, 0), false), known(false));
    seen.leave(print);
    assert_eq!(seen.enter(print, visit(9, 1), true), known(false));
    assert_eq!(seen.enter(print, visit(4, 1), true), Entry::Again, "cut");
    seen.leave(print);
    assert_eq!(
        seen.enter(print, visit(9, 2), false),
        Entry::Again,
        "faults"
    );
    assert_eq!(seen.enter(print, visit(3, 1), false), known(false));
}
