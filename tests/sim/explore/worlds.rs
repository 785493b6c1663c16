//! The small worlds that the explorer walks, in one table.

use std::time::Duration;

use crate::core::messages::{Limit, Want};
use crate::core::{Call, Keys, LockSpec, Patience, Upkeep};
use crate::sim::defects::Defect;
use crate::sim::network::Weather;
use crate::sim::plan::{Line, Mix, Plan, Script, Turn};
use crate::sim::world::{Faults, World};
use Lock::{Alone, Both, Brief, Downgraded, Limited, Once, Other, Reader, Renewed, Upgraded};

/// A world, and how far the tests walk it.
pub(super) struct Small {
    pub(super) name: &'static str,
    /// The locks of each process, one after the other.
    locks: &'static [&'static [Lock]],
    /// How many locks with a limit share the key.
    limit: u64,
    /// The holders write a key under their lock.
    writes: bool,
    /// Sessions are bound to a node that no agent owns.
    session_node: bool,
    /// Each caller comes when the one before waits, or has its lock.
    in_turn: bool,
    /// What the Consul and the processes of the world are like: see `World::new`.
    seed: u64,
    /// The book of the line checks the order, and how long a key is left alone.
    line: Option<Line>,
    pub(super) kinds: Faults,
    /// The most faults in a schedule of `make test`, and of `make nightly`; None: only the other walks the world.
    pub(super) faults: [Option<u32>; 2],
}

/// A lock of a small world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    /// One key, exclusive, and a single attempt.
    Once,
    /// One key, exclusive, and a caller that waits.
    Alone,
    /// One key, exclusive, and a caller that waits for a second.
    Brief,
    /// One key, exclusive, and a caller that waits. The library renews the lock for 8 s, so that the lock lives for nearly
    /// twice its TTL.
    Renewed,
    /// One key, shared without a limit.
    Reader,
    /// One key, shared with the limit of the world.
    Limited,
    /// Another key, exclusive.
    Other,
    /// Both keys, exclusive.
    Both,
    /// One key, exclusive, then shared without a limit.
    Downgraded,
    /// One key, shared without a limit, then exclusive.
    Upgraded,
}

/// The seed of a newer Consul, whose blocking queries wake only for what they wait for.
const NEWER: u64 = 32;

/// The same, with few connections for each process.
const FEW: u64 = NEWER + 2;

/// The same, with a lock-delay.
const DELAYED: u64 = NEWER + 5;

pub(super) const NONE: Faults = Faults {
    requests: false,
    answers: false,
    stops: false,
    deaths: false,
    leaders: false,
    cancels: false,
    removals: false,
    data: false,
    maims: false,
    operators: false,
    freezes: false,
};

/// What may befall every message and process.
const ALL: Faults = Faults {
    requests: true,
    answers: true,
    stops: true,
    deaths: true,
    leaders: true,
    cancels: true,
    ..NONE
};

/// What leaves the messages of live processes alone, so that the book of the line can tell how long is too long.
const STRAYS: Faults = Faults {
    stops: true,
    deaths: true,
    ..NONE
};

// One kind of faults each.
pub(super) const REQUESTS: Faults = Faults {
    requests: true,
    ..NONE
};
pub(super) const ANSWERS: Faults = Faults {
    answers: true,
    ..NONE
};
pub(super) const STOPS: Faults = Faults {
    stops: true,
    ..NONE
};
pub(super) const DEATHS: Faults = Faults {
    deaths: true,
    ..NONE
};
pub(super) const CANCELS: Faults = Faults {
    cancels: true,
    ..NONE
};
pub(super) const REMOVALS: Faults = Faults {
    removals: true,
    ..NONE
};
pub(super) const DATA: Faults = Faults { data: true, ..NONE };
pub(super) const MAIMS: Faults = Faults {
    maims: true,
    ..NONE
};

pub(super) const OPERATORS: Faults = Faults {
    operators: true,
    ..NONE
};
pub(super) const FREEZES: Faults = Faults {
    freezes: true,
    ..NONE
};

/// What befalls neither a message nor a process.
const CHANGES: Faults = Faults {
    leaders: true,
    cancels: true,
    ..NONE
};

const DISTURBED: Option<Line> = Some(Line::Disturbed {
    foreign: false,
    sweeps: false,
});

const BASE: Small = Small {
    name: "",
    locks: &[],
    limit: 1,
    writes: false,
    session_node: false,
    in_turn: false,
    seed: NEWER,
    line: None,
    kinds: ALL,
    faults: [Some(0), Some(1)],
};

/// The worlds.
pub(super) const WORLDS: &[Small] = &[
    Small {
        name: "one",
        locks: &[&[Alone]],
        faults: [Some(2), Some(2)],
        ..BASE
    },
    Small {
        name: "one-writes",
        locks: &[&[Alone]],
        writes: true,
        faults: [Some(1), Some(2)],
        ..BASE
    },
    Small {
        name: "one-again",
        locks: &[&[Alone, Alone, Alone]],
        faults: [Some(1), Some(1)],
        ..BASE
    },
    Small {
        name: "one-again-writes",
        locks: &[&[Alone, Alone, Alone]],
        writes: true,
        faults: [Some(0), Some(1)],
        ..BASE
    },
    Small {
        name: "two",
        locks: &[&[Alone], &[Alone]],
        faults: [Some(0), Some(1)],
        ..BASE
    },
    Small {
        name: "two-once",
        locks: &[&[Once], &[Once]],
        faults: [Some(1), Some(2)],
        ..BASE
    },
    Small {
        name: "two-with-crashes",
        locks: &[&[Alone], &[Alone]],
        kinds: STRAYS,
        faults: [None, Some(2)],
        ..BASE
    },
    Small {
        name: "two-with-answers",
        locks: &[&[Alone], &[Alone]],
        kinds: ANSWERS,
        faults: [None, Some(2)],
        ..BASE
    },
    Small {
        name: "two-with-requests",
        locks: &[&[Alone], &[Alone]],
        kinds: REQUESTS,
        faults: [None, Some(2)],
        ..BASE
    },
    Small {
        name: "two-with-changes",
        locks: &[&[Alone], &[Alone]],
        kinds: CHANGES,
        faults: [None, Some(2)],
        ..BASE
    },
    Small {
        name: "two-with-a-delay",
        locks: &[&[Alone], &[Alone]],
        seed: DELAYED,
        ..BASE
    },
    Small {
        name: "two-renewed",
        locks: &[&[Renewed], &[Renewed]],
        ..BASE
    },
    Small {
        name: "two-with-a-deadline",
        locks: &[&[Alone], &[Brief]],
        ..BASE
    },
    Small {
        name: "few-connections",
        locks: &[&[Alone], &[Alone, Alone, Alone]],
        seed: FEW,
        kinds: CANCELS,
        faults: [None, Some(1)],
        ..BASE
    },
    Small {
        name: "two-again",
        locks: &[&[Alone, Alone], &[Alone, Alone]],
        faults: [None, Some(0)],
        ..BASE
    },
    Small {
        name: "two-one-again",
        locks: &[&[Alone, Alone, Alone], &[Alone]],
        faults: [None, Some(0)],
        ..BASE
    },
    Small {
        name: "reader-and-writer",
        locks: &[&[Reader], &[Alone]],
        ..BASE
    },
    Small {
        name: "limit-of-one",
        locks: &[&[Limited], &[Limited]],
        ..BASE
    },
    Small {
        name: "two-keys",
        locks: &[&[Both], &[Both]],
        ..BASE
    },
    Small {
        name: "two-keys-and-one",
        locks: &[&[Both], &[Alone]],
        ..BASE
    },
    Small {
        name: "three",
        locks: &[&[Alone], &[Alone], &[Alone]],
        in_turn: true,
        ..BASE
    },
    Small {
        name: "three-share",
        locks: &[&[Reader], &[Reader], &[Alone]],
        in_turn: true,
        ..BASE
    },
    Small {
        name: "limit-of-two",
        locks: &[&[Limited], &[Limited], &[Limited]],
        in_turn: true,
        limit: 2,
        ..BASE
    },
    Small {
        name: "line",
        locks: &[&[Alone], &[Alone], &[Alone]],
        in_turn: true,
        line: Some(Line::Undisturbed),
        kinds: NONE,
        faults: [Some(0), Some(0)],
        ..BASE
    },
    Small {
        name: "line-again",
        locks: &[&[Alone, Alone, Alone], &[Alone]],
        line: Some(Line::Undisturbed),
        kinds: NONE,
        faults: [Some(0), Some(0)],
        ..BASE
    },
    Small {
        name: "line-of-limits",
        locks: &[&[Limited], &[Limited]],
        line: Some(Line::Undisturbed),
        kinds: NONE,
        faults: [Some(0), Some(0)],
        ..BASE
    },
    Small {
        name: "strays",
        locks: &[&[Alone], &[Alone], &[Alone]],
        in_turn: true,
        line: DISTURBED,
        kinds: STRAYS,
        faults: [Some(0), Some(1)],
        ..BASE
    },
    Small {
        name: "strays-of-limits",
        locks: &[&[Limited], &[Limited], &[Limited]],
        in_turn: true,
        line: DISTURBED,
        kinds: STRAYS,
        faults: [Some(0), Some(1)],
        ..BASE
    },
    Small {
        name: "maimed",
        locks: &[&[Alone], &[Both], &[Other]],
        in_turn: true,
        line: DISTURBED,
        kinds: MAIMS,
        faults: [Some(1), Some(1)],
        ..BASE
    },
    Small {
        name: "downgrade",
        locks: &[&[Downgraded], &[Reader]],
        ..BASE
    },
    Small {
        name: "upgrade",
        locks: &[&[Upgraded], &[Reader]],
        ..BASE
    },
    Small {
        name: "two-upgrades",
        locks: &[&[Upgraded], &[Upgraded]],
        ..BASE
    },
    Small {
        name: "operator",
        locks: &[&[Both], &[Alone]],
        kinds: OPERATORS,
        faults: [Some(1), Some(2)],
        ..BASE
    },
    Small {
        name: "old-leader",
        locks: &[&[Renewed, Alone], &[Alone]],
        kinds: FREEZES,
        ..BASE
    },
    Small {
        name: "node",
        locks: &[&[Alone], &[Alone]],
        session_node: true,
        kinds: REMOVALS,
        faults: [Some(1), Some(2)],
        ..BASE
    },
    Small {
        name: "data",
        locks: &[&[Alone], &[Alone]],
        kinds: DATA,
        faults: [Some(1), Some(2)],
        ..BASE
    },
];

impl Small {
    /// The world of that name.
    pub(super) fn of(name: &str) -> &'static Small {
        let mut worlds = WORLDS.iter();
        let found = worlds.find(|small| small.name == name);
        found.unwrap_or_else(|| panic!("no world {name}"))
    }

    pub(super) fn title(&self, faults: u32) -> String {
        format!("{} {:?}, {faults} faults at most", self.name, self.locks)
    }

    /// The same world with some of its faults.
    pub(super) fn with(&self, kinds: Faults) -> Small {
        Small { kinds, ..*self }
    }

    fn spec(&self, lock: Lock) -> LockSpec {
        let limit = Limit::new(self.limit).expect("a limit");
        let want = match lock {
            Once | Alone | Brief | Renewed | Other | Both | Downgraded => Want::Exclusive,
            Reader | Upgraded => Want::Share(Limit::READERS),
            Limited => Want::Share(limit),
        };
        let patience = match lock {
            Once => Patience::Once,
            Brief => Patience::For(Duration::from_secs(1)),
            _ => Patience::Forever,
        };
        let mut spec = LockSpec {
            want,
            limit: want.limit(),
            ..LockSpec::exclusive("locks/0", Duration::from_secs(10), patience)
        };
        if lock == Renewed {
            spec.upkeep = Upkeep::For(Some(Duration::from_secs(8)));
        }
        if lock == Other {
            spec.keys = Keys::One("locks/1".into());
        }
        if lock == Both {
            let keys = vec!["locks/0".into(), "locks/1".into()];
            spec.keys = Keys::of(keys).expect("keys");
        }
        spec
    }

    /// The world before anything has happened.
    pub(super) fn world(&self, defect: Option<Defect>, trace: bool) -> World {
        let turn = |lock: &Lock| Turn {
            spec: self.spec(*lock),
            change: match lock {
                Downgraded => Some(Call::Downgrade),
                Upgraded => Some(Call::Upgrade(Patience::Forever)),
                _ => None,
            },
        };
        let of_process = |locks: &&[Lock]| locks.iter().map(turn).collect();
        let script: Script = self.locks.iter().map(of_process).collect();
        let mut all = self.locks.iter().flat_map(|locks| locks.iter());
        let is_mixed =
            all.any(|lock| matches!(lock, Reader | Limited | Both | Downgraded | Upgraded));
        let limit = Limit::new(self.limit).expect("a limit");
        let plan = Plan {
            processes: self.locks.len(),
            keys: if is_mixed { 2 } else { 1 },
            // With these a schedule does not count as one in which nothing goes wrong.
            stops: !self.kinds.operators,
            crashes: true,
            operator: self.kinds.operators,
            leader_freezes: self.kinds.freezes.then_some(Duration::ZERO),
            squatter: self.kinds.data,
            removals: self.kinds.removals,
            session_node: self.session_node,
            plain: false,
            writes: self.writes,
            line: self.line,
            mix: is_mixed.then(|| Mix::scripted(limit)),
            script: Some(script),
            weather: Weather::calm(),
            ..Plan::calm(1)
        };
        let mut world = World::new(self.seed, plan, defect, trace);
        world.in_turn = self.in_turn;
        world
    }
}
