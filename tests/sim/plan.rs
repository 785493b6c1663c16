//! The plan of a schedule, made by chance from a seed.

use std::sync::Arc;
use std::time::Duration;

pub(super) use consul_model::Random;

use super::network::Weather;
use crate::core::messages::Limit;
use crate::core::{Call, LockSpec};

/// How long one request may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The plan of a schedule.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) processes: usize,
    pub(super) users: usize,
    pub(super) keys: u64,
    pub(super) rounds: u32,
    pub(super) weather: Weather,
    /// Sessions end at this many thousandths of their TTL: 2,000 as measured; Consul promises 1,000.
    pub(super) expiry: u64,
    pub(super) longest_hold: Duration,
    pub(super) request_timeout: Duration,
    /// Acquires wait for ever, and only a cancel ends them.
    pub(super) patient: bool,
    pub(super) hot: bool,
    pub(super) stops: bool,
    pub(super) crashes: bool,
    pub(super) leader_changes: bool,
    /// The leader stands still for so long at least, while the servers elect another one, and then answers the
    /// renewals that waited for it.
    pub(super) leader_freezes: Option<Duration>,
    pub(super) operator: bool,
    /// Another program keeps its data under the keys of locks.
    pub(super) squatter: bool,
    /// Consul removes the node of the agent, which ends the sessions that are bound to it.
    pub(super) removals: bool,
    /// Sessions are bound to a node that no agent owns.
    pub(super) session_node: bool,
    /// The library renews some locks by itself.
    pub(super) upkeep: bool,
    /// Holders write keys under locks.
    pub(super) writes: bool,
    /// Users only acquire and release.
    pub(super) plain: bool,
    /// Waiters stand in line.
    pub(super) fair: bool,
    /// All users wait for one key, and the book of the line checks the order.
    pub(super) line: Option<Line>,
    /// Locks share keys, have several keys, and change; None: all are exclusive locks of one key.
    pub(super) mix: Option<Mix>,
    /// What the locks of each process are, one after the other. Nothing is left to chance: the explorer
    /// (`tests/sim/explore/`) chooses what happens, and when.
    pub(super) script: Option<Script>,
}

/// The locks of each process, one after the other.
pub(super) type Script = Arc<[Vec<Turn>]>;

/// A lock of a script.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) spec: LockSpec,
    /// What the holder asks of the lock as soon as it has the lock.
    pub(super) change: Option<Call>,
}

/// Which kinds of locks there are.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    /// The limit of those who share each key.
    pub(super) limits: Vec<Limit>,
    /// Some locks name another limit.
    pub(super) conflicts: bool,
    /// How many of 100 locks share their key.
    pub(super) shares: u64,
    /// How many of 100 locks have several keys.
    pub(super) several: u64,
    /// How many of 100 holders change their lock.
    pub(super) changes: u64,
    /// A waiter for several keys is killed and loses one of its tickets.
    pub(super) maims: bool,
}

impl Mix {
    /// Locks of one key, with that limit, that do not change by themselves.
    pub(super) fn scripted(limit: Limit) -> Mix {
        Mix {
            limits: vec![limit],
            conflicts: false,
            shares: 0,
            several: 0,
            changes: 0,
            maims: false,
        }
    }

    fn random(random: &mut Random, keys: u64, many: bool) -> Mix {
        let limits: [u64; 6] = if many {
            [8, 8, 8, 20, 20, 3]
        } else {
            [1024, 1024, 1, 2, 3, 8]
        };
        let limits = (0..keys).map(|_| {
            let limit = limits[random.below(6) as usize];
            Limit::new(limit).unwrap_or(Limit::READERS)
        });
        Mix {
            limits: limits.collect(),
            conflicts: random.chance(100),
            shares: if many {
                90
            } else {
                [20, 50, 80][random.below(3) as usize]
            },
            several: if keys > 1 {
                [0, 20, 50][random.below(3) as usize]
            } else {
                0
            },
            changes: if many {
                0
            } else {
                [0, 15, 40][random.below(3) as usize]
            },
            maims: false,
        }
    }
}

/// What happens to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing happens: no waiter may be overtaken more than once by another.
    Undisturbed,
    /// Processes stop or are killed; a client without tickets barges in; an operator removes tickets.
    Disturbed { foreign: bool, sweeps: bool },
}

impl Plan {
    /// One process, one user, good weather.
    pub(super) fn calm(rounds: u32) -> Plan {
        Plan {
            processes: 1,
            users: 1,
            keys: 1,
            rounds,
            weather: Weather::calm(),
            expiry: 2000,
            longest_hold: Duration::from_millis(2),
            request_timeout: REQUEST_TIMEOUT,
            patient: false,
            hot: true,
            stops: false,
            crashes: false,
            leader_changes: false,
            leader_freezes: None,
            operator: false,
            squatter: false,
            removals: false,
            session_node: false,
            upkeep: false,
            writes: false,
            plain: true,
            fair: true,
            line: None,
            mix: None,
            script: None,
        }
    }

    /// Nothing goes wrong, so a lock that is renewed is not lost.
    pub(super) fn is_kind(&self) -> bool {
        let quick = self.weather.delay <= Duration::from_millis(50);
        let leader = self.leader_changes || self.leader_freezes.is_some();
        let removed = self.removals && !self.session_node;
        let strange = self.stops || leader || self.operator || removed;
        self.weather.faults == 0 && quick && !strange
    }

    pub(super) fn random(random: &mut Random) -> Plan {
        // One lock after the other, with warm sessions.
        let busy = random.chance(350);
        let holds = if busy {
            [1, 5, 20, 50]
        } else {
            [5, 500, 5_000, 25_000]
        };
        let mut plan = Plan {
            processes: 1 + random.below(4) as usize,
            users: 1 + random.below(2) as usize,
            keys: 1 + random.below(2),
            rounds: if busy { 6 } else { 2 } + random.below(4) as u32,
            weather: Weather::random(random),
            expiry: [1000, 1000, 1500, 2000][random.below(4) as usize],
            longest_hold: Duration::from_millis(holds[random.below(4) as usize]),
            request_timeout: REQUEST_TIMEOUT,
            patient: false,
            hot: busy || random.chance(300),
            stops: random.chance(300),
            crashes: random.chance(200),
            leader_changes: random.chance(250),
            leader_freezes: None,
            operator: random.chance(100),
            squatter: false,
            upkeep: random.chance(400),
            writes: random.chance(400),
            plain: false,
            fair: random.chance(800),
            line: None,
            mix: None,
            script: None,
            removals: false,
            session_node: false,
        };
        let freezes = plan.expiry == 2000 && random.chance(400);
        plan.leader_freezes = freezes.then_some(Duration::from_secs(1));
        plan.squatter = random.chance(150);
        plan.removals = random.chance(150);
        plan.session_node = random.chance(300);
        plan
    }

    /// A leader stands still for longer than a TTL, while one process holds a lock that others want. The new leader
    /// does not know what the old one confirms: a session lives only by what Consul adds to a TTL.
    pub(super) fn old_leader(random: &mut Random) -> Plan {
        Plan {
            processes: 3 + random.below(2) as usize,
            rounds: 3,
            weather: Weather {
                delay: Duration::from_millis(2),
                ..Weather::calm()
            },
            longest_hold: Duration::from_secs(20),
            // A renewal that waits for the old leader is seldom old when the leader wakes.
            request_timeout: Duration::from_secs(2),
            patient: true,
            hot: false,
            leader_freezes: Some(Duration::from_secs(11)),
            upkeep: random.chance(300),
            plain: false,
            fair: random.chance(500),
            ..Plan::calm(3)
        }
    }

    /// Several processes that want one key again and again.
    pub(super) fn contended(random: &mut Random) -> Plan {
        let disturbed = random.chance(600);
        let delay = Duration::from_micros([200, 1_000, 4_000][random.below(3) as usize]);
        let hold = [1, 5, 300, 2_000][random.below(4) as usize];
        let line = if disturbed {
            Line::Disturbed {
                foreign: random.chance(300),
                sweeps: random.chance(200),
            }
        } else {
            Line::Undisturbed
        };
        Plan {
            processes: 2 + random.below(5) as usize,
            users: 1 + random.below(2) as usize,
            keys: 1,
            rounds: 3 + random.below(4) as u32,
            weather: Weather {
                delay,
                ..Weather::calm()
            },
            expiry: [1000, 2000][random.below(2) as usize],
            longest_hold: Duration::from_millis(hold),
            request_timeout: REQUEST_TIMEOUT,
            patient: false,
            hot: random.chance(700),
            stops: disturbed && random.chance(600),
            crashes: disturbed && random.chance(600),
            leader_changes: false,
            leader_freezes: None,
            operator: false,
            squatter: false,
            removals: false,
            session_node: random.chance(200),
            upkeep: disturbed && random.chance(300),
            writes: disturbed && random.chance(300),
            plain: false,
            fair: true,
            line: Some(line),
            mix: None,
            script: None,
        }
    }

    /// Anything, with locks of all kinds on up to five keys.
    pub(super) fn mixed(random: &mut Random) -> Plan {
        let keys = 1 + random.below(5);
        Plan {
            processes: 2 + random.below(4) as usize,
            users: 1 + random.below(3) as usize,
            keys,
            mix: Some(Mix::random(random, keys, false)),
            ..Plan::random(random)
        }
    }

    /// Several processes that want the same few keys again and again, in all ways.
    pub(super) fn crowd(random: &mut Random) -> Plan {
        // More than a limit of 8 or 20 lets in, so that the front of the line is wide.
        let many = random.chance(150);
        let keys = if many || random.chance(500) {
            1
        } else {
            2 + random.below(2)
        };
        let mut mix = Mix::random(random, keys, many);
        let contended = Plan::contended(random);
        mix.maims = contended.line != Some(Line::Undisturbed) && mix.several > 0;
        let (processes, users) = if many {
            (8, 2 + random.below(3) as usize)
        } else {
            (contended.processes, 1 + random.below(3) as usize)
        };
        Plan {
            processes,
            users,
            keys,
            mix: Some(mix),
            ..contended
        }
    }
}
