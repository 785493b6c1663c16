//! The walk: depth first, each state once.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Instant;

use super::seen::{Entry, Print, Seen, Visit};
use super::worlds::Small;
use crate::sim::defects::Defect;
use crate::sim::schedules::judge;
use crate::sim::world::{Choice, World};

/// How far a walk goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) faults: u32,
    /// The most choices in a row.
    pub(super) depth: usize,
    /// States with the same picture are one state.
    pub(super) merges: bool,
    /// The walk ends after so many states.
    pub(super) states: u64,
    /// The walk ends then.
    pub(super) until: Option<Instant>,
}

impl Bound {
    pub(super) fn of(faults: u32) -> Bound {
        Bound {
            faults,
            depth: 2_000,
            merges: true,
            states: u64::MAX,
            until: None,
        }
    }
}

/// What a walk has found.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) states: u64,
    pub(super) steps: u64,
    /// The states from which nothing more can happen.
    pub(super) ends: u64,
    /// How often a schedule came back to a state that it had been in before.
    pub(super) circles: u64,
    pub(super) deepest: usize,
    /// The states at which the depth was over.
    pub(super) cut: u64,
    /// The walk ended before it had seen all.
    pub(super) is_partial: bool,
    pub(super) violation: Option<Violation>,
    /// Which outcomes callers got, in words.
    pub(super) told: BTreeSet<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            states,
            steps,
            ends,
            circles,
            deepest,
            cut,
            ..
        } = self;
        write!(
            f,
            "{states} states, {steps} steps, {ends} ends, {circles} circles, at most {deepest} steps deep, {cut} cut"
        )?;
        f.write_str(if self.is_partial {
            ", NOT TO THE END"
        } else {
            ""
        })
    }
}

/// A schedule that breaks a promise.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    /// Which of the choices came, at each step.
    pub(super) path: Vec<usize>,
    pub(super) error: String,
}

impl Violation {
    /// The schedule, told again.
    pub(super) fn in_words(&self, small: &Small, defect: Option<Defect>, faults: u32) -> String {
        let (world, error) = replay(small, defect, faults, &self.path);
        let history = world.history.unwrap_or_default();
        format!(
            "{}, broken in {} steps:\n{history}\n{}",
            small.title(faults),
            self.path.len(),
            error.err().unwrap_or_else(|| self.error.clone()),
        )
    }
}

/// Runs one schedule again, with its history.
pub(super) fn replay(
    small: &Small,
    defect: Option<Defect>,
    faults: u32,
    path: &[usize],
) -> (World, Result<(), String>) {
    let mut world = small.world(defect, true);
    let mut left = faults;
    for pick in path {
        let choices = world.choices(small.kinds, left);
        let choice = &choices[*pick];
        left -= choice.cost();
        if let Err(error) = world.choose(choice) {
            return (world, Err(error));
        }
    }
    let mut calmed = world.calmed();
    let result = judge(&mut calmed);
    (calmed, result)
}

struct Frame {
    /// None: the last choice took it.
    world: Option<World>,
    left: u32,
    choices: Vec<Choice>,
    next: usize,
    print: Print,
}

/// Walks all schedules of a world, up to a bound, or to the first that breaks a promise.
pub(super) fn explore(small: &Small, defect: Option<Defect>, bound: Bound) -> Report {
    let mut report = Report::default();
    let mut seen = Seen::default();
    let world = small.world(defect, false);
    let mut stack = vec![Frame {
        choices: world.choices(small.kinds, bound.faults),
        world: Some(world),
        left: bound.faults,
        next: 0,
        print: Print::default(),
    }];
    let path = |stack: &[Frame]| stack.iter().map(|frame| frame.next - 1).collect();
    while let Some(frame) = stack.last_mut() {
        let Some(choice) = frame.choices.get(frame.next).cloned() else {
            seen.leave(frame.print);
            stack.pop();
            continue;
        };
        frame.next += 1;
        let left = frame.left - choice.cost();
        let is_last = frame.next == frame.choices.len();
        let taken = if is_last {
            frame.world.take()
        } else {
            frame.world.clone()
        };
        let Some(mut world) = taken else { continue };
        report.steps += 1;
        let result = world.choose(&choice);
        if let Some(outcome) = world.outcome.take() {
            report.told.insert(outcome);
        }
        if let Err(error) = result {
            let path = path(&stack);
            report.violation = Some(Violation { path, error });
            return report;
        }
        let depth = stack.len();
        report.deepest = report.deepest.max(depth);
        let mut print = Print::default();
        if bound.merges {
            print = Print::of(world.picture());
            // A state that was cut is walked again from a place that is nearer.
            let is_cut = report.cut > 0;
            match seen.enter(print, Visit { depth, left }, is_cut) {
                Entry::New => report.states += 1,
                Entry::Again => {}
                Entry::Known { is_on_path } => {
                    // A schedule that goes round in circles for ever would never come to its end.
                    if is_on_path {
                        report.circles += 1;
                        if let Err(error) = judge(&mut world.calmed()) {
                            let path = path(&stack);
                            report.violation = Some(Violation { path, error });
                            return report;
                        }
                    }
                    continue;
                }
            }
        } else {
            report.states += 1;
        }
        let is_late = || bound.until.is_some_and(|until| Instant::now() > until);
        if report.states > bound.states || (report.steps % 1_024 == 0 && is_late()) {
            report.is_partial = true;
            return report;
        }
        let choices = world.choices(small.kinds, left);
        let is_at_rest = world.is_at_rest();
        if is_at_rest || choices.is_empty() {
            let result = judge(&mut world.calmed());
            if let Err(error) = result {
                let path = path(&stack);
                report.violation = Some(Violation { path, error });
                return report;
            }
        }
        if is_at_rest {
            report.ends += 1;
            seen.leave(print);
            continue;
        }
        if depth >= bound.depth {
            report.cut += 1;
            seen.leave(print);
            continue;
        }
        stack.push(Frame {
            world: Some(world),
            left,
            choices,
            next: 0,
            print,
        });
    }
    report
}

/// How many states the walks for a shorter schedule may see.
const PATIENCE: u64 = 15_000;

/// A schedule that breaks a promise, with so many faults at most. The schedule is a shortest one, as far as walks that go
/// deeper and deeper come before the patience is over.
pub(super) fn shortest(small: &Small, defect: Option<Defect>, faults: u32) -> Option<Violation> {
    let bound = Bound::of(faults);
    let mut found = explore(small, defect, bound).violation?;
    let mut patience = PATIENCE;
    let mut walk = |depth| {
        let states = patience;
        let bound = Bound {
            depth,
            states,
            ..bound
        };
        let report = explore(small, defect, bound);
        patience = patience.saturating_sub(report.states);
        (report.violation, report.is_partial)
    };
    let mut depth = 8;
    while depth < found.path.len() {
        match walk(depth) {
            (Some(shorter), _) => {
                found = shorter;
                break;
            }
            (None, true) => return Some(found),
            (None, false) => depth += 4,
        }
    }
    // The walk before was four steps less deep.
    while let (Some(shorter), _) = walk(found.path.len() - 1) {
        found = shorter;
    }
    Some(found)
}
