//! The small worlds that the explorer walks, in one table.

use std::time::Duration;

use crate::core::LockSpec;
use crate::core::Patience;
use crate::core::messages::{Limit, Want};
use crate::sim::network::Weather;
use crate::sim::plan::{Line, Mix, Plan, Script};
use crate::sim::world::{Faults, World};

use crate::sim::defects::Defect;

/// A world, and how far the tests walk it.
pub(super) struct Small {
    pub(super) name: &'static str,
    /// The locks of each process, one after the other.
    locks: &'static [&'static [Lock]],
    /// How many locks with a limit share the key.
    limit: u64,
    /// The holders write a key under their lock.
    writes: bool,
    /// The book of the line checks the order, and how long a key is left alone.
    line: Option<Line>,
    pub(super) kinds: Faults,
    /// The most faults in a schedule of `make test`.
    pub(super) faults: u32,
}

/// A lock of a small world.
#[derive(Clone, Copy, Debug)]
enum Lock {
    /// One key, alone, and one attempt.
    Once,
    /// One key, alone, and a caller that waits.
    Alone,
    Reader,
    Limited,
}

const ALL: Faults = Faults {
    requests: true,
    answers: true,
    stops: true,
    deaths: true,
    leaders: true,
    cancels: true,
};

/// The worlds.
pub(super) const WORLDS: &[Small] = &[Small {
    name: "two",
    locks: &[&[Lock::Alone], &[Lock::Alone]],
    limit: 0,
    writes: false,
    line: None,
    kinds: ALL,
    faults: 1,
}];

impl Small {
    pub(super) fn title(&self, faults: u32) -> String {
        format!("{} ({:?}, up to {faults} faults)", self.name, self.locks)
    }

    pub(super) fn world(&self, defect: Option<Defect>, trace: bool) -> World {
        let limit = Limit::new(self.limit.max(1)).expect("a limit");
        let spec = |lock: &Lock| {
            let patience = match lock {
                Lock::Once => Patience::Once,
                Lock::Alone | Lock::Reader | Lock::Limited => Patience::Forever,
            };
            let want = match lock {
                Lock::Once | Lock::Alone => Want::Exclusive,
                Lock::Reader => Want::Share(Limit::READERS),
                Lock::Limited => Want::Share(limit),
            };
            LockSpec {
                want,
                limit: want.limit(),
                ..LockSpec::exclusive("locks/0", Duration::from_secs(10), patience)
            }
        };
        let locks = self
            .locks
            .iter()
            .map(|locks| locks.iter().map(spec).collect());
        let script: Script = locks.collect();
        let shares = self.locks.iter().flat_map(|locks| locks.iter());
        let shares = shares
            .clone()
            .any(|lock| matches!(lock, Lock::Reader | Lock::Limited));
        let plan = Plan {
            processes: self.locks.len(),
            stops: true,
            crashes: true,
            plain: false,
            writes: self.writes,
            line: self.line,
            mix: shares.then(|| Mix::scripted(limit)),
            script: Some(script),
            weather: Weather::calm(),
            ..Plan::calm(1)
        };
        // A newer Consul, whose blocking queries wake only for what they wait for.
        World::new(32, plan, defect, trace)
    }
}
