//! One schedule: processes with a core each, their users, the network and the model of Consul.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::defects::Defect;
use super::line::{LineBook, Standing};
use super::model::{Edition, Model, NODE, Served, WatchId};
use super::network::{Fate, Weather};
use super::properties::Ledger;
use crate::clock::{Now, Time};
use crate::consul::encode::{LOCK_FLAGS, Scope, encode};
use crate::consul::http::{Failure, HttpReply, HttpRequest, Method};
use crate::consul::secrets::Secrets;
use crate::consul::verdict::verdict;
use crate::core::messages::{Key, Request, Value};
use crate::core::{
    Action, Budget, Call, CallId, Config, Core, Done, Event, LockId, Outcome, Patience, Phase,
    RequestId, SessionNode, Spec, Upkeep,
};
use crate::error::{LostReason, Status};

/// A small seeded source of chance (xorshift64*).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            random.next();
        }
        random
    }
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    pub(super) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n.max(1)
    }
    /// In `per_mille` of 1,000 cases.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
    pub(super) fn duration(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.below(most.as_nanos() as u64))
    }
}

/// What a schedule is made of.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) processes: usize,
    pub(super) users: usize,
    pub(super) keys: u64,
    pub(super) rounds: u32,
    pub(super) weather: Weather,
    /// Sessions end at this many thousandths of their TTL: 2,000 as measured; 1,000 is all that
    /// Consul promises.
    pub(super) expiry: u64,
    pub(super) longest_hold: Duration,
    pub(super) request_timeout: Duration,
    /// Nobody gives up, but by a cancel.
    pub(super) patient: bool,
    pub(super) hot: bool,
    pub(super) stops: bool,
    pub(super) crashes: bool,
    pub(super) leader_changes: bool,
    /// The leader stands still for so long at least, while another one is elected, and then answers the
    /// renewals that waited for it.
    pub(super) leader_freezes: Option<Duration>,
    pub(super) operator: bool,
    /// Another program keeps its data under the keys of locks.
    pub(super) squatter: bool,
    /// Consul removes the node of the agent, and so ends its sessions.
    pub(super) removals: bool,
    /// Sessions are bound to a node that no agent owns.
    pub(super) session_node: bool,
    /// Some locks are renewed without anybody asking.
    pub(super) upkeep: bool,
    /// Keys are written under locks.
    pub(super) writes: bool,
    /// Only acquire and release.
    pub(super) plain: bool,
    /// Waiters stand in line.
    pub(super) fair: bool,
    /// Everybody waits for one key, and the line is looked at.
    pub(super) line: Option<Line>,
}

/// What happens to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing: nobody may be overtaken more than once by anybody.
    Undisturbed,
    /// Processes stop, are killed; a client that knows nothing of lines barges in; an operator
    /// removes tickets.
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
        }
    }

    /// Nothing goes wrong, so a lock that is renewed is not lost.
    fn is_kind(&self) -> bool {
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

    /// A leader stands still for longer than a TTL, while one process holds a lock that others want.
    /// What the old leader confirms, the new one does not know: here a session lives of what Consul
    /// adds to a TTL.
    pub(super) fn old_leader(random: &mut Random) -> Plan {
        Plan {
            processes: 3 + random.below(2) as usize,
            rounds: 3,
            weather: Weather {
                delay: Duration::from_millis(2),
                ..Weather::calm()
            },
            longest_hold: Duration::from_secs(20),
            // A renewal that waits for the old leader is seldom old when that wakes.
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
        }
    }
}

#[derive(Debug)]
enum Happening {
    Deliver {
        process: usize,
        request: RequestId,
    },
    Answer {
        process: usize,
        request: RequestId,
        result: Result<HttpReply, Failure>,
    },
    /// A copy of a request, and the lock that it was sent for if it gives one back.
    Late(HttpRequest, Option<(usize, LockId)>),
    Tick {
        process: usize,
    },
    User {
        process: usize,
        user: usize,
    },
    Ask {
        process: usize,
        lock: LockId,
        what: Call,
    },
    Stop {
        process: usize,
    },
    Continue {
        process: usize,
    },
    Crash {
        process: usize,
    },
    LeaderLost,
    LeaderBack,
    LeaderFreezes,
    /// The other program writes, or looks after its data.
    Squatter,
    Operator,
    /// Autopilot removes the server that is everybody's agent; it comes back later.
    Removal,
    NodeBack,
    /// The client that knows nothing of lines tries, or gives back.
    Foreigner,
    /// An operator removes all tickets.
    Sweep,
}

/// A request on its way.
struct Flight {
    request: Request,
    http: HttpRequest,
    sent: Option<Time>,
    fate: Fate,
    parked: Option<WatchId>,
    /// The lock that it gives back.
    gives_back: Option<(usize, LockId)>,
}

/// A process: a core, a clock, and the people in it.
pub(super) struct Process {
    core: Core,
    users: Vec<User>,
    flights: HashMap<RequestId, Flight>,
    /// Requests that the process gave up while they were on their way: they still arrive.
    given_up: HashMap<RequestId, Flight>,
    /// Blocking queries that the process aborted. Consul serves them until they have their answer.
    hung_up: BTreeSet<WatchId>,
    /// The boot clock's lead, and its drift in millionths.
    lead: u64,
    drift: i64,
    /// What a clock that stops in a suspend has missed.
    missed: Duration,
    stopped: Option<Time>,
    pub(super) stopped_for: Duration,
    backlog: Vec<Happening>,
    pub(super) crashed: bool,
    /// Its agent asks the leader that stands still.
    asks_old_leader: bool,
}

/// One thread of control in a process.
struct User {
    rounds: u32,
    doing: Doing,
    lock: LockId,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
    Thinking,
    Acquiring(CallId),
    Holding,
    Releasing(CallId),
    Done,
}

pub(super) struct World {
    pub(super) now: Time,
    pub(super) model: Model,
    pub(super) plan: Plan,
    pub(super) processes: Vec<Process>,
    pub(super) ledger: Ledger,
    pub(super) line: LineBook,
    /// The session of the client that knows nothing of lines, and whether it has the key.
    foreigner: Option<(String, bool)>,
    foreign_steps: u32,
    pub(super) history: Option<String>,
    random: Random,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    happenings: HashMap<u64, Happening>,
    serial: u64,
    calls: u64,
    locks: u64,
    writes: u64,
    leaderless: bool,
    /// Until when the old leader stands still.
    frozen: Option<Time>,
    /// The key that holds the other program's data.
    squatted: Option<String>,
    parked: HashMap<WatchId, (usize, RequestId)>,
    defect: Option<Defect>,
    /// The names of sessions that were looked for once.
    looked_for: HashSet<Arc<str>>,
    scope: Scope,
    /// How many each process may have.
    connections: usize,
    /// From then on so much junk stands below the tickets that no line can be read.
    junk_from: Option<Time>,
}

/// The `session_node` of those that have one.
const SESSION_NODE: &str = "locks";

/// The key of a contended plan.
const KEY: &str = "locks/0";

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);
/// `queue_grace_ms`.
pub(super) const GRACE: Duration = Duration::from_millis(300);

impl World {
    pub(super) fn new(seed: u64, plan: Plan, defect: Option<Defect>, trace: bool) -> World {
        let mut random = Random::new(seed);
        // In some schedules the sessions have a lock-delay.
        let delay = [500, 2_000][usize::from(seed & 16 != 0)];
        let lock_delay = Duration::from_millis(if seed % 8 == 5 { delay } else { 0 });
        let connections = if seed % 8 == 2 { 4 } else { 32 };
        // In some, somebody uses the place of the tickets for something else.
        let has_junk = seed % 8 == 6 && plan.line.is_none();
        let junk_from = has_junk.then(|| Time(1_000_000_000 + seed % 5 * 1_000_000_000));
        let mut model = Model::new(seed);
        model.set_expiry(plan.expiry);
        // Every second schedule of those that are alike is with a newer Consul.
        if seed & 32 != 0 {
            model.set_edition(Edition::V1_22);
        }
        let processes = (0..plan.processes)
            .map(|p| {
                let mut core = Core::new(Config {
                    address: "sim:8500".to_owned(),
                    identity: format!("consul_lock sim@host:{p} {seed:x}"),
                    request_timeout: plan.request_timeout,
                    release_timeout: RELEASE_TIMEOUT,
                    lock_delay: !lock_delay.is_zero(),
                    flags: LOCK_FLAGS,
                    session_node: plan.session_node.then(|| SessionNode {
                        name: SESSION_NODE.into(),
                        registration: "curl".to_owned(),
                    }),
                    connections,
                    seed: random.next(),
                });
                if let Some(Defect::Core(sabotage)) = defect {
                    core.sabotage(sabotage);
                }
                Process {
                    core,
                    users: (0..plan.users)
                        .map(|_| User {
                            rounds: plan.rounds,
                            doing: Doing::Thinking,
                            lock: LockId(0),
                        })
                        .collect(),
                    flights: HashMap::new(),
                    given_up: HashMap::new(),
                    hung_up: BTreeSet::new(),
                    lead: random.below(1 << 50),
                    drift: random.below(801) as i64 - 400,
                    missed: Duration::ZERO,
                    stopped: None,
                    stopped_for: Duration::ZERO,
                    backlog: Vec::new(),
                    crashed: false,
                    asks_old_leader: false,
                }
            })
            .collect();
        let mut world = World {
            now: Time(1_000_000_000),
            model,
            plan,
            processes,
            ledger: Ledger::default(),
            line: LineBook::default(),
            foreigner: None,
            foreign_steps: 0,
            history: trace.then(String::new),
            random,
            queue: BinaryHeap::new(),
            happenings: HashMap::new(),
            serial: 0,
            calls: 0,
            locks: 0,
            writes: 0,
            leaderless: false,
            frozen: None,
            squatted: None,
            parked: HashMap::new(),
            defect,
            looked_for: HashSet::new(),
            scope: Scope {
                lock_delay,
                ..Scope::default()
            },
            connections,
            junk_from,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        for process in 0..self.processes.len() {
            for user in 0..self.plan.users {
                let within = if self.plan.hot { 3 } else { 3_000 };
                let at = self.random.duration(Duration::from_millis(within));
                self.after(at, Happening::User { process, user });
            }
            if self.plan.stops {
                for _ in 0..2 {
                    let at = self.random.duration(Duration::from_secs(20));
                    self.after(at, Happening::Stop { process });
                }
            }
        }
        if let Some(line) = self.plan.line {
            self.disturb(line);
        }
        let somebody = self.random.below(self.processes.len() as u64) as usize;
        if self.plan.crashes {
            let at = self.random.duration(Duration::from_secs(15));
            self.after(at, Happening::Crash { process: somebody });
        }
        if self.plan.leader_changes {
            let at = self.random.duration(Duration::from_secs(20));
            self.after(at, Happening::LeaderLost);
        }
        if self.plan.leader_freezes.is_some() {
            let at = self.random.duration(Duration::from_secs(20));
            self.after(at, Happening::LeaderFreezes);
        }
        if self.plan.squatter {
            for _ in 0..3 {
                let at = self.random.duration(Duration::from_secs(5));
                self.after(at, Happening::Squatter);
            }
        }
        if self.plan.operator {
            let at = self.random.duration(Duration::from_secs(10));
            self.after(at, Happening::Operator);
        }
        if self.plan.removals {
            let at = self.random.duration(Duration::from_secs(15));
            self.after(at, Happening::Removal);
        }
    }

    fn disturb(&mut self, line: Line) {
        let Line::Disturbed { foreign, sweeps } = line else {
            return;
        };
        let soon = Duration::from_millis(400);
        for process in 0..self.processes.len() {
            if self.plan.stops && self.random.chance(500) {
                let at = self.random.duration(soon);
                self.after(at, Happening::Stop { process });
            }
            if self.plan.crashes && self.random.chance(300) {
                let at = self.random.duration(soon * 2);
                self.after(at, Happening::Crash { process });
            }
        }
        if foreign {
            self.after(Duration::ZERO, Happening::Foreigner);
        }
        if sweeps {
            let at = self.random.duration(soon);
            self.after(at, Happening::Sweep);
        }
    }

    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(history) = &mut self.history {
            let _ = writeln!(history, "{:>12.6} s  {}", self.now.0 as f64 / 1e9, text());
        }
    }

    fn after(&mut self, delay: Duration, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    fn at(&mut self, at: Time, happening: Happening) {
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial)));
        self.happenings.insert(self.serial, happening);
    }

    /// Runs until nothing happens any more or `until`.
    pub(super) fn run_until(&mut self, until: Time) -> Result<(), String> {
        loop {
            let queued = self.queue.peek().map(|Reverse((at, _))| *at);
            let next = [queued, self.model.next_event_at()]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = self.now.max(until);
                return Ok(());
            };
            self.now = self.now.max(next);
            self.look_at_line()?;
            self.model.advance(self.now);
            self.wake_watchers();
            if queued.is_some_and(|at| at <= self.now)
                && let Some(Reverse((_, serial))) = self.queue.pop()
                && let Some(happening) = self.happenings.remove(&serial)
            {
                self.happen(happening)?;
                self.wake_watchers();
            }
        }
    }

    fn look_at_line(&mut self) -> Result<(), String> {
        if self.plan.line.is_none() {
            return Ok(());
        }
        let free = self.model.is_free(KEY) && !self.model.is_delayed(self.now, KEY);
        if !free {
            return self.line.look(self.now, false, None, 0, Duration::ZERO);
        }
        let places = self.processes.len() * self.plan.users;
        let delay = self.plan.weather.delay;
        let first = self.model.tickets(KEY).into_iter().min();
        let first = first.map(|(index, name, _)| format!("{name} {index}"));
        // The end of a lock-delay wakes nobody: who waits for it looks four times a second.
        let pause = Duration::from_millis(if self.scope.lock_delay.is_zero() {
            0
        } else {
            5
        });
        let delay = delay + pause;
        self.line.look(self.now, free, first, places, delay)
    }

    /// Whether every user has finished.
    pub(super) fn is_over(&self) -> bool {
        self.processes
            .iter()
            .all(|p| p.crashed || p.users.iter().all(|user| user.doing == Doing::Done))
    }

    /// From now on the weather is good, and nobody does anything to anybody.
    pub(super) fn calm_down(&mut self) {
        self.plan.weather = Weather::calm();
        self.leaderless = false;
        self.plan.stops = false;
        self.plan.crashes = false;
        self.plan.leader_changes = false;
        self.plan.leader_freezes = None;
        self.frozen = None;
        self.plan.operator = false;
        self.plan.squatter = false;
        self.plan.removals = false;
        self.model.add_node(NODE);
        if let Some((session, _)) = self.foreigner.take() {
            self.model.kill_session(self.now, &session);
            self.wake_watchers();
        }
        self.plan.line = self.plan.line.map(|_| Line::Undisturbed);
        let processes: Vec<usize> = (0..self.processes.len()).collect();
        for process in processes {
            if self.processes[process].stopped.is_some() {
                self.after(Duration::ZERO, Happening::Continue { process });
            }
        }
    }

    fn wake_watchers(&mut self) {
        for (watch, reply) in self.model.woken() {
            if let Some((process, request)) = self.parked.remove(&watch) {
                let way = self.random.duration(self.plan.weather.delay * 2);
                self.after(
                    way,
                    Happening::Answer {
                        process,
                        request,
                        result: Ok(reply),
                    },
                );
            }
            for process in &mut self.processes {
                process.hung_up.remove(&watch);
            }
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        let process = match &happening {
            Happening::Answer { process, .. }
            | Happening::Tick { process }
            | Happening::User { process, .. }
            | Happening::Ask { process, .. } => Some(*process),
            _ => None,
        };
        if let Some(process) = process {
            let process = &mut self.processes[process];
            if process.crashed {
                return Ok(());
            }
            if process.stopped.is_some() {
                process.backlog.push(happening);
                return Ok(());
            }
        }
        match happening {
            Happening::Deliver { process, request } => return self.deliver(process, request),
            Happening::Answer {
                process,
                request,
                result,
            } => {
                return self.answer(process, request, result);
            }
            Happening::Late(http, gives_back) => {
                if let Some(watch) = self.late(&http, gives_back)? {
                    self.model.forget(watch);
                }
            }
            Happening::Tick { process } => return self.step(process, Event::Tick),
            Happening::User { process, user } => return self.user(process, user),
            Happening::Ask {
                process,
                lock,
                what,
            } => {
                self.note(|| format!("p{process}: {what:?} on lock {}", lock.0));
                self.call(process, lock, what)?;
            }
            Happening::Stop { process } if self.plan.stops => self.stop(process),
            Happening::Stop { .. } => {}
            Happening::Continue { process } => self.resume(process),
            Happening::Crash { process } if self.plan.crashes => self.crash(process),
            Happening::LeaderLost if self.plan.leader_changes => {
                self.note(|| "consul: the leader dies".to_owned());
                self.leaderless = true;
                let gap = self.random.duration(Duration::from_secs(4));
                self.after(gap, Happening::LeaderBack);
            }
            Happening::LeaderBack => {
                self.note(|| "consul: a new leader; every TTL starts again".to_owned());
                self.leaderless = false;
                self.model.leader_change(self.now);
            }
            Happening::LeaderFreezes => {
                let Some(least) = self.plan.leader_freezes else {
                    return Ok(());
                };
                self.note(|| "consul: the leader stands still".to_owned());
                self.leaderless = true;
                self.model.freeze_leader();
                let still = least + self.random.duration(Duration::from_secs(12));
                self.frozen = Some(self.now + still);
                for process in &mut self.processes {
                    process.asks_old_leader = self.random.chance(600);
                }
                let gap = self.random.duration(Duration::from_secs(4));
                self.after(gap, Happening::LeaderBack);
            }
            Happening::Squatter if self.plan.squatter => return self.squat(),
            Happening::Operator if self.plan.operator => self.operate(),
            Happening::Removal if self.plan.removals => {
                self.note(|| "consul: autopilot removes the server".to_owned());
                self.remove_node(NODE);
                let away = self.random.duration(Duration::from_secs(8));
                self.after(away, Happening::NodeBack);
            }
            Happening::NodeBack => {
                self.note(|| "consul: the server is back".to_owned());
                self.model.add_node(NODE);
            }
            Happening::Foreigner if self.plan.line != Some(Line::Undisturbed) => {
                return self.foreigner();
            }
            Happening::Sweep if self.plan.line != Some(Line::Undisturbed) => {
                self.note(|| "operator: removes all tickets".to_owned());
                for (_, name, _) in self.model.tickets(KEY) {
                    self.model.delete_key(self.now, &name);
                }
                self.wake_watchers();
            }
            // The time for it is over.
            Happening::Crash { .. }
            | Happening::LeaderLost
            | Happening::Squatter
            | Happening::Operator
            | Happening::Removal
            | Happening::Foreigner
            | Happening::Sweep => {}
        }
        Ok(())
    }

    // The network.

    /// Has the model serve a request, and notes what was written under a lock or given back.
    fn serve(
        &mut self,
        http: &HttpRequest,
        gives_back: Option<(usize, LockId)>,
    ) -> Result<Served, String> {
        let written = written_key(http);
        let held = written.is_some().then(|| self.model.held_keys());
        let served = self.model.handle(self.now, http);
        if let Some(session) = http.target.strip_prefix("/v1/session/destroy/") {
            self.ledger.ended(session)?;
        }
        if let Served::Reply(HttpReply { status: 200, .. }) = &served {
            if let Some(name) = created_name(http) {
                self.ledger.made(&name, self.now);
            }
            if let (Some(key), Some(held)) = (written, held) {
                self.ledger.applied(&key, &held)?;
            }
            if let Some((process, lock)) = gives_back {
                self.ledger.is_last_lock_of_its_session(process, lock)?;
            }
        }
        Ok(served)
    }

    /// A request arrives whose answer nobody hears.
    fn late(
        &mut self,
        http: &HttpRequest,
        gives_back: Option<(usize, LockId)>,
    ) -> Result<Option<WatchId>, String> {
        self.note(|| format!("consul: a late copy arrives: {}", words(http)));
        if self.leaderless {
            return Ok(None);
        }
        Ok(match self.serve(http, gives_back)? {
            Served::Parked(watch) => Some(watch),
            Served::Reply(_) => None,
        })
    }

    /// What Consul serves at a time for one process, wanted or not, is what the process may have.
    fn within_budget(&self, process: usize) -> Result<(), String> {
        let Process {
            flights, hung_up, ..
        } = &self.processes[process];
        let is_blocking = |flight: &&Flight| {
            let request = &flight.request;
            matches!(request, Request::Watch { .. } | Request::WatchNames { .. })
        };
        // A leader that stood still serves what is long over.
        if self.plan.leader_freezes.is_some() {
            return Ok(());
        }
        let served = flights.values().filter(is_blocking).count() + hung_up.len();
        let budget = Budget::of(self.connections);
        if served > budget.watches + budget.listings {
            return Err(format!(
                "Consul serves {served} blocking queries for p{process}, which may have {budget:?}"
            ));
        }
        Ok(())
    }

    fn deliver(&mut self, process: usize, request: RequestId) -> Result<(), String> {
        let Some(flight) = self.processes[process].flights.get(&request) else {
            let Some(flight) = self.processes[process].given_up.remove(&request) else {
                return Ok(());
            };
            let watch = self.late(&flight.http, flight.gives_back)?;
            self.processes[process].hung_up.extend(watch);
            return Ok(());
        };
        let (http, fate) = (flight.http.clone(), flight.fate.clone());
        let gives_back = flight.gives_back;
        let asked = flight.request.clone();
        if let Some(wakes) = self.frozen.filter(|wakes| self.now < *wakes)
            && self.processes[process].asks_old_leader
        {
            let happening = match &asked {
                Request::RenewSession { session } => Happening::Answer {
                    process,
                    request,
                    result: Ok(self.model.renew_at_old_leader(&session.0)),
                },
                // It finds that it leads no more before it does anything else.
                _ => Happening::Deliver { process, request },
            };
            self.at(wakes, happening);
            return Ok(());
        }
        if self.leaderless {
            let reply = text_reply(500, "No cluster leader");
            let held = self.random.duration(Duration::from_secs(7));
            self.after(
                held,
                Happening::Answer {
                    process,
                    request,
                    result: Ok(reply),
                },
            );
            return Ok(());
        }
        let standing = match asked {
            Request::Lock { .. } | Request::Take { .. } => self.standing(),
            _ => Vec::new(),
        };
        match self.serve(&http, gives_back)? {
            Served::Reply(reply) => {
                if reply.status == 200 {
                    self.granted(process, &asked, &standing)?;
                    if let Request::FindSession { name } = &asked {
                        self.ledger.looked_for(name, self.now);
                    }
                }
                self.note(|| {
                    format!(
                        "consul: {} -> {} {}",
                        words(&http),
                        reply.status,
                        body(&reply)
                    )
                });
                if let Fate::Answered { applied, answered } = fate {
                    let result = Ok(reply);
                    self.after(
                        answered - applied,
                        Happening::Answer {
                            process,
                            request,
                            result,
                        },
                    );
                }
            }
            Served::Parked(watch) => {
                self.parked.insert(watch, (process, request));
                if let Some(flight) = self.processes[process].flights.get_mut(&request) {
                    flight.parked = Some(watch);
                }
            }
        }
        Ok(())
    }

    /// Who stands in line, of our processes.
    fn standing(&self) -> Vec<Standing> {
        if self.plan.line.is_none() {
            return Vec::new();
        }
        let ours = |(index, name, session): (u64, String, String)| {
            let process = session.strip_prefix("consul_lock sim@host:")?;
            let process = process.split(' ').next()?.parse().ok()?;
            Some((index, name, process))
        };
        self.model
            .tickets(KEY)
            .into_iter()
            .filter_map(ours)
            .collect()
    }

    /// Consul gave a process the key: was it its turn?
    fn granted(
        &mut self,
        process: usize,
        request: &Request,
        standing: &[Standing],
    ) -> Result<(), String> {
        if self.plan.line != Some(Line::Undisturbed) {
            return Ok(());
        }
        match request {
            Request::Lock { .. } => self.line.passed(process, standing),
            // Nobody who lives lets the key be.
            Request::Take { ahead, .. } if ahead.is_empty() => self.line.served(process, standing),
            // The end of a lock-delay wakes nobody: who looks first has it.
            Request::Take { .. } if self.model.was_delayed(self.now, KEY) => Ok(()),
            Request::Take { .. }
                if self
                    .processes
                    .iter()
                    .all(|p| p.stopped_for.is_zero() && !p.crashed) =>
            {
                Err(format!("p{process} took the key past others who live"))
            }
            _ => Ok(()),
        }
    }

    /// Another program writes under a key that is free, or finds its data as it left them.
    fn squat(&mut self) -> Result<(), String> {
        let put = |key: &str, flags: u64| HttpRequest {
            method: Method::Put,
            target: format!("/v1/kv/{key}?flags={flags}"),
            body: Some(b"data".to_vec()),
        };
        if let Some(key) = self.squatted.take() {
            self.note(|| format!("squatter: looks after {key}"));
            if !self.model.is_data(&key) {
                return Err(format!("the data of another program in {key} are gone"));
            }
            self.model.delete_key(self.now, &key);
        } else {
            let key = format!("locks/{}", self.random.below(self.plan.keys));
            if !self.model.is_absent(&key) {
                return Ok(());
            }
            // As Go's client leaves a lock that it gave back, or something else.
            let flags = if self.random.chance(500) {
                LOCK_FLAGS
            } else {
                0
            };
            self.note(|| format!("squatter: writes {key} with flags {flags}"));
            self.model.handle(self.now, &put(&key, flags));
            if flags == 0 {
                self.squatted = Some(key);
                let stay = self.random.duration(Duration::from_secs(3));
                self.after(stay, Happening::Squatter);
            }
        }
        self.wake_watchers();
        Ok(())
    }

    /// The client that knows nothing of lines: `PUT ?acquire`, hold, destroy the session.
    fn foreigner(&mut self) -> Result<(), String> {
        let put = |target: String, body: &str| HttpRequest {
            method: Method::Put,
            target,
            body: Some(body.as_bytes().to_vec()),
        };
        match self.foreigner.take() {
            Some((session, true)) => {
                self.note(|| "foreigner: gives back".to_owned());
                self.model.kill_session(self.now, &session);
            }
            before => {
                let session = match before {
                    Some((session, _)) => session,
                    None => {
                        let body = "{\"TTL\":\"60s\",\"Behavior\":\"delete\",\"LockDelay\":\"0s\"}";
                        let create = put("/v1/session/create".to_owned(), body);
                        let Served::Reply(reply) = self.model.handle(self.now, &create) else {
                            return Ok(());
                        };
                        let text = String::from_utf8_lossy(&reply.body).into_owned();
                        text.split('"').nth(3).unwrap_or_default().to_owned()
                    }
                };
                let acquire = put(format!("/v1/kv/{KEY}?acquire={session}"), "");
                let got = match self.model.handle(self.now, &acquire) {
                    Served::Reply(reply) => reply.body == b"true",
                    Served::Parked(_) => false,
                };
                self.note(|| format!("foreigner: tries, {got}"));
                if got {
                    let now = self.now;
                    for (process, lease_end) in self.ledger.believers(KEY) {
                        if self.clock_at(process, now) < lease_end {
                            return Err(format!("p{process} and a foreigner hold one key"));
                        }
                    }
                }
                self.foreigner = Some((session, got));
            }
        }
        self.wake_watchers();
        self.foreign_steps += 1;
        if self.foreign_steps < 400 || matches!(self.foreigner, Some((_, true))) {
            let pause = self.random.duration(Duration::from_millis(8));
            self.after(pause, Happening::Foreigner);
        }
        Ok(())
    }

    fn answer(
        &mut self,
        process: usize,
        request: RequestId,
        result: Result<HttpReply, Failure>,
    ) -> Result<(), String> {
        let Some(flight) = self.processes[process].flights.remove(&request) else {
            return Ok(());
        };
        if let Some(watch) = flight.parked
            && self.parked.remove(&watch).is_some()
        {
            self.processes[process].hung_up.insert(watch);
        }
        let sent = if matches!(result, Err(Failure::NotSent(_))) {
            None
        } else {
            flight.sent
        };
        let result = match (self.defect, &flight.request, result) {
            // The broken release asked to delete the key by its name; "true" is its success.
            (Some(Defect::ReleaseByKey), Request::Unlock { .. }, Ok(reply))
                if reply.status == 200 =>
            {
                Ok(HttpReply {
                    body: br#"{"Results":[],"Errors":null}"#.to_vec(),
                    ..reply
                })
            }
            // The plain write's "true" is its success.
            (Some(Defect::WriteUnchecked), Request::Write { .. }, Ok(reply))
                if reply.status == 200 =>
            {
                Ok(HttpReply {
                    body: said_written(&flight.request),
                    ..reply
                })
            }
            (_, _, result) => result,
        };
        let result = match result {
            Ok(reply)
                if reply.status == 200
                    && shows_line(&flight.request)
                    && self.junk_from.is_some_and(|from| self.now >= from) =>
            {
                Err(Failure::TooLarge("junk in the line".to_owned()))
            }
            result => result,
        };
        let gave_up = matches!(result, Err(Failure::Unknown(_)));
        let answer = verdict(&flight.request, result);
        let answer = match self.defect {
            Some(defect) => defect.falsify(&flight.request, answer),
            None => answer,
        };
        let sent = match self.defect {
            Some(Defect::LeaseFromReply) => sent.map(|_| self.clock_at(process, self.now)),
            _ => sent,
        };
        if gave_up && matches!(flight.fate, Fate::Answered { .. }) {
            self.processes[process].given_up.insert(request, flight);
        }
        self.note(|| format!("p{process}: answer to {}: {answer:?}", request.0));
        self.step(
            process,
            Event::Reply {
                request,
                sent,
                answer,
            },
        )
    }

    /// A core asks something. A defect may alter it, or have it answered without being asked.
    fn ask(&mut self, process: usize, id: RequestId, mut request: Request, by: Time) {
        let invented = match (self.defect, &mut request) {
            (Some(Defect::AgentsNode), Request::CreateSession { node, .. }) => {
                *node = None;
                None
            }
            (Some(Defect::KeepLateLock), Request::DestroySession { session }) => self
                .ledger
                .last_lock_of(session)
                .is_none()
                .then_some("true"),
            (Some(Defect::LookOnce), Request::FindSession { name }) => {
                (!self.looked_for.insert(name.clone())).then_some("[]")
            }
            _ => None,
        };
        let Some(text) = invented else {
            return self.send(process, id, request, by);
        };
        let http = encode(&request, &self.scope).expect("memory");
        let flight = Flight {
            request,
            http,
            sent: None,
            fate: Fate::Refused,
            parked: None,
            gives_back: None,
        };
        self.processes[process].flights.insert(id, flight);
        let answer = Happening::Answer {
            process,
            request: id,
            result: Ok(text_reply(200, text)),
        };
        self.after(Duration::from_millis(1), answer);
    }

    fn send(&mut self, process: usize, id: RequestId, request: Request, by: Time) {
        let http = match (self.defect, &request) {
            (Some(Defect::ReleaseByKey), Request::Unlock { key, .. }) => HttpRequest {
                method: Method::Delete,
                target: format!("/v1/kv/{key}"),
                body: None,
            },
            (Some(Defect::WriteUnchecked), Request::Write { key, value, .. }) => HttpRequest {
                method: if value.is_some() {
                    Method::Put
                } else {
                    Method::Delete
                },
                target: format!("/v1/kv/{key}"),
                body: value.as_ref().map(|value| value.0.to_vec()),
            },
            _ => encode(&request, &self.scope).expect("memory"),
        };
        let gives_back = match (&request, self.defect) {
            (_, Some(Defect::ReleaseByKey)) => None,
            (Request::Unlock { session, .. }, _) => self.ledger.last_lock_of(session),
            _ => None,
        };
        let waited = self.random.duration(Duration::from_micros(300));
        let sent_at = self.now + waited;
        let sent = Some(self.clock_at(process, sent_at));
        let fate = match request {
            // A blocking query that is lost is only a time-out.
            Request::Watch { .. } if !self.random.chance(self.plan.weather.faults) => {
                let applied = self.random.duration(self.plan.weather.delay * 2);
                let answered = applied + self.random.duration(self.plan.weather.delay * 2);
                Fate::Answered { applied, answered }
            }
            _ => Fate::random(&mut self.random, &self.plan.weather),
        };
        self.note(|| format!("p{process}: asks {} {request:?} [{fate:?}]", id.0));
        let answer = |result| Happening::Answer {
            process,
            request: id,
            result,
        };
        match &fate {
            Fate::Refused => {
                let refused = Failure::NotSent("connection refused".to_owned());
                self.at(sent_at, answer(Err(refused)));
            }
            Fate::Declined {
                answered,
                status,
                text,
            } => {
                self.at(sent_at + *answered, answer(Ok(text_reply(*status, text))));
            }
            Fate::Answered { applied, .. } => {
                self.at(
                    sent_at + *applied,
                    Happening::Deliver {
                        process,
                        request: id,
                    },
                );
            }
            Fate::Lost {
                noticed,
                status,
                applied,
            } => {
                for applied in applied {
                    self.at(
                        sent_at + *applied,
                        Happening::Late(http.clone(), gives_back),
                    );
                }
                if let Some(noticed) = noticed {
                    let result = match status {
                        Some((status, text)) => Ok(text_reply(*status, text)),
                        None => Err(Failure::Unknown("connection reset".to_owned())),
                    };
                    self.at(sent_at + *noticed, answer(result));
                }
            }
        }
        let timeout = Failure::Unknown("no answer in time".to_owned());
        let by = self.global(process, by).max(self.now);
        let late = self.random.duration(Duration::from_millis(2));
        self.at(by + late, answer(Err(timeout)));
        self.processes[process].flights.insert(
            id,
            Flight {
                request,
                http,
                sent,
                fate,
                parked: None,
                gives_back,
            },
        );
    }

    // Processes.

    /// What the process's clock shows at an instant of ours.
    pub(super) fn clock_at(&self, process: usize, at: Time) -> Time {
        let process = &self.processes[process];
        let drift = (i128::from(at.0) * i128::from(process.drift) / 1_000_000) as i64;
        Time(process.lead + at.0.wrapping_add_signed(drift)) - process.missed
    }

    /// The first instant of ours at which the process's clock shows `at`.
    fn global(&self, process: usize, at: Time) -> Time {
        let process = &self.processes[process];
        let shown = i128::from((at + process.missed).0.saturating_sub(process.lead));
        let real = shown * 1_000_000 / (1_000_000 + i128::from(process.drift));
        Time(u64::try_from(real).unwrap_or(u64::MAX >> 1)) + Duration::from_nanos(2)
    }

    fn step(&mut self, process: usize, event: Event) -> Result<(), String> {
        // The wall clock jumps about: nothing may depend on it.
        let unix_ms = self.random.below(4_000_000_000_000) as i64;
        let now = Now {
            time: self.clock_at(process, self.now),
            unix_ms,
        };
        let mut actions = Vec::new();
        self.processes[process].core.step(now, event, &mut actions);
        for action in actions {
            match action {
                Action::Send {
                    id, request, by, ..
                } => self.ask(process, id, request, by),
                Action::Abort(request) => {
                    self.note(|| format!("p{process}: ends request {}", request.0));
                    let result = Err(Failure::Unknown("interrupted".to_owned()));
                    let soon = self.random.duration(Duration::from_millis(1));
                    self.after(
                        soon,
                        Happening::Answer {
                            process,
                            request,
                            result,
                        },
                    );
                }
                Action::Tell { call, outcome } => {
                    let outcome = match self.defect {
                        Some(defect) => defect.mistell(outcome),
                        None => outcome,
                    };
                    self.told(process, call, outcome)?;
                }
                Action::Publish { lock, view } => {
                    self.note(|| format!("p{process}: lock {} is {view:?}", lock.0));
                    let (now, clock) = (self.now, self.clock_at(process, self.now));
                    let stopped = self.processes[process].stopped_for;
                    self.ledger.shown(process, lock, &view, clock, stopped)?;
                    if view.phase == Phase::Over {
                        self.line.gives_up(process, lock);
                    }
                    if view.phase == Phase::Held && matches!(self.foreigner, Some((_, true))) {
                        return Err(format!("p{process} and a foreigner hold one key"));
                    }
                    for (other_process, other_lock, lease_end) in
                        self.ledger.publish(process, lock, &view)
                    {
                        if self.clock_at(other_process, now) < lease_end {
                            return Err(format!(
                                "two holders of one key: p{process} lock {} and p{other_process} lock {}",
                                lock.0, other_lock.0
                            ));
                        }
                    }
                }
                Action::Lost {
                    why: LostReason::Expired,
                    ..
                } if self.defect == Some(Defect::SilentLoss) => {}
                Action::Lost { lock, why } => {
                    self.note(|| {
                        format!("p{process}: is told that lock {} is lost: {why:?}", lock.0)
                    });
                    let clock = self.clock_at(process, self.now);
                    let stopped = self.processes[process].stopped_for;
                    if self.plan.is_kind() && self.ledger.is_kept_up(process, lock) {
                        return Err(format!("lock {} is lost in good weather", lock.0));
                    }
                    self.ledger.lost(process, lock, clock, stopped)?;
                }
                Action::Forget(_) | Action::Log { .. } => {}
            }
        }
        let clock = self.clock_at(process, self.now);
        self.ledger.stepped(process, clock)?;
        self.within_budget(process)?;
        if let Some(at) = self.processes[process].core.wake_at() {
            let late = self.random.duration(Duration::from_millis(1));
            let at = self.global(process, at).max(self.now) + late;
            self.at(at, Happening::Tick { process });
        }
        Ok(())
    }

    fn call(&mut self, process: usize, lock: LockId, what: Call) -> Result<CallId, String> {
        self.calls += 1;
        let call = CallId(self.calls);
        let limit = match &what {
            Call::Acquire(spec) => match spec.patience {
                Patience::Once => Some(REQUEST_TIMEOUT),
                Patience::For(budget) => Some(budget),
                Patience::Forever => None,
            },
            Call::Renew | Call::Check | Call::Write { .. } => Some(REQUEST_TIMEOUT),
            Call::Release => Some(RELEASE_TIMEOUT),
            Call::Cancel | Call::LetGo | Call::Abandon | Call::Free => Some(Duration::ZERO),
        };
        let stopped = self.processes[process].stopped_for;
        self.ledger.called(process, call, self.now, limit, stopped);
        if matches!(
            what,
            Call::Release | Call::LetGo | Call::Abandon | Call::Free
        ) {
            self.ledger.stops_believing(process, lock);
        }
        match &what {
            Call::LetGo | Call::Abandon => self.ledger.abandoned(process, lock, call),
            Call::Free => self.ledger.freed(process, lock),
            Call::Renew => self.ledger.asked_to_renew(process, lock),
            Call::Release => self.ledger.asked_to_release(process, lock, call),
            Call::Write { key, .. } => self.ledger.writes(process, lock, call, key),
            _ => {}
        }
        self.step(process, Event::Call { lock, call, what })?;
        Ok(call)
    }

    fn stop(&mut self, process: usize) {
        if self.processes[process].stopped.is_some() || self.processes[process].crashed {
            return;
        }
        self.note(|| format!("p{process}: stops"));
        self.processes[process].stopped = Some(self.now);
        self.line.stops(process);
        let most = [50, 2_000, 30_000][self.random.below(3) as usize];
        let length = self.random.duration(Duration::from_millis(most));
        self.after(length, Happening::Continue { process });
    }

    fn resume(&mut self, process: usize) {
        let Some(since) = self.processes[process].stopped.take() else {
            return;
        };
        self.note(|| format!("p{process}: continues"));
        let length = self.now.since(since);
        self.line.continues(process, self.now);
        self.processes[process].stopped_for += length;
        if self.defect == Some(Defect::ClockStopsInSuspend) {
            self.processes[process].missed += length;
        }
        for happening in std::mem::take(&mut self.processes[process].backlog) {
            self.after(Duration::ZERO, happening);
        }
    }

    fn crash(&mut self, process: usize) {
        self.note(|| format!("p{process}: is killed"));
        self.processes[process].crashed = true;
        self.line.dies(process);
        self.ledger.crashed(process);
    }

    /// A node is taken out of the catalog, and Consul ends what is bound to it: no holder of that can know.
    /// But with a `session_node` nothing may be bound to the agent's.
    fn remove_node(&mut self, node: &str) {
        let ended = self.model.sessions_of(node);
        let is_excused = node == SESSION_NODE || !self.plan.session_node;
        for (key, session) in self.model.held_keys() {
            if is_excused && ended.contains(&session) {
                self.ledger.tampered(&key);
            }
        }
        self.model.remove_node(self.now, node);
        self.wake_watchers();
    }

    /// An operator ends somebody's session, deletes a key, or deregisters a node: locks are advisory.
    fn operate(&mut self) {
        if self.plan.session_node && self.random.chance(300) {
            self.note(|| "operator: deregisters the node of the sessions".to_owned());
            return self.remove_node(SESSION_NODE);
        }
        let held = self.model.held_keys();
        let Some((key, session)) = held.into_iter().next() else {
            return;
        };
        self.ledger.tampered(&key);
        if self.random.chance(500) {
            self.note(|| format!("operator: destroys session {session} of {key}"));
            self.model.kill_session(self.now, &session);
        } else {
            self.note(|| format!("operator: deletes {key}"));
            self.model.delete_key(self.now, &key);
        }
        self.wake_watchers();
    }

    // Users.

    fn user(&mut self, process: usize, user: usize) -> Result<(), String> {
        let state = &self.processes[process].users[user];
        let (doing, lock, rounds) = (state.doing, state.lock, state.rounds);
        match doing {
            Doing::Thinking if rounds == 0 => {
                self.processes[process].users[user].doing = Doing::Done;
                Ok(())
            }
            Doing::Thinking => self.user_acquires(process, user),
            Doing::Holding => {
                if !self.plan.plain && self.random.chance(60) {
                    self.note(|| format!("p{process}: abandons lock {}", lock.0));
                    return self.user_forgets(process, user);
                }
                self.note(|| format!("p{process}: releases lock {}", lock.0));
                // The outcome may be told before the call returns.
                let call = CallId(self.calls + 1);
                self.processes[process].users[user].doing = Doing::Releasing(call);
                self.call(process, lock, Call::Release)?;
                Ok(())
            }
            Doing::Acquiring(_) | Doing::Releasing(_) | Doing::Done => Ok(()),
        }
    }

    fn user_acquires(&mut self, process: usize, user: usize) -> Result<(), String> {
        self.locks += 1;
        let lock = LockId(self.locks);
        let key: Key = format!("locks/{}", self.random.below(self.plan.keys)).into();
        let patience = match self.random.below(4) {
            _ if self.plan.plain => Patience::Once,
            _ if self.plan.patient => Patience::Forever,
            // Somebody who gives up, too: its place is for the next.
            0 if self.plan.line.is_some() => {
                Patience::For(self.random.duration(Duration::from_secs(1)))
            }
            _ if self.plan.line.is_some() => Patience::Forever,
            0 => Patience::Once,
            1 => Patience::For(self.random.duration(Duration::from_secs(1))),
            2 => Patience::For(self.random.duration(Duration::from_secs(40))),
            _ => Patience::Forever,
        };
        let ttl = Duration::from_secs(if self.plan.plain || self.plan.line.is_some() {
            10
        } else {
            10 + 5 * self.random.below(2)
        });
        let value = None;
        let upkeep = match self.random.below(4) {
            _ if !self.plan.upkeep => Upkeep::Off,
            0 => Upkeep::For(None),
            1 => Upkeep::For(Some(self.random.duration(Duration::from_secs(40)))),
            _ => Upkeep::Off,
        };
        let spec = Spec {
            key: key.clone(),
            value,
            ttl,
            patience,
            upkeep,
            fair: self.plan.fair,
            monitor: self.plan.fair || self.random.chance(500),
            grace: GRACE,
        };
        self.note(|| {
            format!(
                "p{process}: acquires {key} as lock {} for {ttl:?}, {patience:?}, renewed {upkeep:?}",
                lock.0
            )
        });
        let state = &mut self.processes[process].users[user];
        state.lock = lock;
        state.rounds -= 1;
        state.doing = Doing::Acquiring(CallId(self.calls + 1));
        self.ledger.wants(process, lock, key);
        self.ledger.kept_up(process, lock, ttl, upkeep);
        if patience != Patience::Once && self.plan.line.is_some() {
            self.line
                .waits(process, CallId(self.calls + 1), lock, self.now);
        }
        self.call(process, lock, Call::Acquire(spec))?;
        let end = match patience {
            Patience::Forever if self.plan.line.is_some() => None,
            Patience::Forever => Some(self.random.duration(Duration::from_secs(60))),
            _ if self.plan.plain => None,
            _ => self
                .random
                .chance(100)
                .then(|| self.random.duration(Duration::from_secs(5))),
        };
        if let Some(end) = end {
            let what = if self.random.chance(700) {
                Call::Cancel
            } else {
                Call::Release
            };
            self.after(
                end,
                Happening::Ask {
                    process,
                    lock,
                    what,
                },
            );
        }
        Ok(())
    }

    /// Writes under the lock, at the latest a little after it was given back.
    fn user_writes(&mut self, process: usize, lock: LockId, hold: Duration) {
        for _ in 0..[0, 0, 1, 3][self.random.below(4) as usize] {
            self.writes += 1;
            let value = self.random.chance(800);
            let what = Call::Write {
                key: format!("{WRITTEN}{}", self.writes).into(),
                value: value.then(|| Value(b"v".to_vec().into())),
            };
            let at = self.random.duration(hold + hold / 16);
            self.after(
                at,
                Happening::Ask {
                    process,
                    lock,
                    what,
                },
            );
        }
    }

    fn user_forgets(&mut self, process: usize, user: usize) -> Result<(), String> {
        let lock = self.processes[process].users[user].lock;
        self.processes[process].users[user].doing = Doing::Thinking;
        let think = if self.plan.hot { 1 } else { 4_000 };
        let think = self.random.duration(Duration::from_millis(think));
        self.after(think, Happening::User { process, user });
        // Half of the handles stay, and are freed when they were used once more.
        if lock.0.is_multiple_of(2) {
            self.call(process, lock, Call::LetGo)?;
            self.call(process, lock, Call::Check)?;
        }
        self.call(process, lock, Call::Abandon).map(drop)
    }

    fn told(&mut self, process: usize, call: CallId, outcome: Outcome) -> Result<(), String> {
        self.note(|| format!("p{process}: call {} is told {outcome:?}", call.0));
        let stopped = self.processes[process].stopped_for;
        self.ledger.told(call, self.now, stopped, &outcome)?;
        self.line.told(process, call, outcome.is_ok())?;
        let users = &self.processes[process].users;
        let Some(user) = users
            .iter()
            .position(|u| u.doing == Doing::Acquiring(call) || u.doing == Doing::Releasing(call))
        else {
            return Ok(());
        };
        let (doing, lock) = (users[user].doing, users[user].lock);
        match (doing, outcome) {
            (Doing::Acquiring(_), Ok(Done::Ok)) => {
                let clock = self.clock_at(process, self.now);
                self.ledger.acquired(process, lock, clock)?;
                self.processes[process].users[user].doing = Doing::Holding;
                let mut hold = self.random.duration(self.plan.longest_hold);
                if self.ledger.is_kept_up(process, lock) {
                    hold *= 2;
                }
                if self.plan.writes {
                    self.user_writes(process, lock, hold);
                }
                if !self.plan.plain && self.random.chance(300) {
                    let at = self.random.duration(hold);
                    let what = if self.random.chance(700) {
                        Call::Renew
                    } else {
                        Call::Check
                    };
                    self.after(
                        at,
                        Happening::Ask {
                            process,
                            lock,
                            what,
                        },
                    );
                }
                self.after(hold, Happening::User { process, user });
                Ok(())
            }
            (Doing::Acquiring(_), Err(error)) => {
                if self.plan.plain {
                    return Err(format!("a free lock was refused: {error}"));
                }
                if error.status == Status::Internal {
                    return Err(format!("internal error: {error}"));
                }
                self.user_forgets_soon(process, user);
                Ok(())
            }
            (Doing::Releasing(_), outcome) => {
                if self.plan.plain && outcome != Ok(Done::Ok) {
                    return Err(format!("a release failed: {outcome:?}"));
                }
                self.user_forgets_soon(process, user);
                Ok(())
            }
            (_, outcome) => Err(format!("an outcome that was not asked for: {outcome:?}")),
        }
    }

    /// The handle is freed, and the next round begins. Not inside the step that told the outcome.
    fn user_forgets_soon(&mut self, process: usize, user: usize) {
        let lock = self.processes[process].users[user].lock;
        self.processes[process].users[user].doing = Doing::Thinking;
        self.after(
            Duration::ZERO,
            Happening::Ask {
                process,
                lock,
                what: Call::Free,
            },
        );
        let think = Duration::from_millis(if self.plan.hot { 1 } else { 4_000 });
        let think = self.random.duration(think) + Duration::from_micros(1);
        self.after(think, Happening::User { process, user });
    }
}

/// What is written under locks lives here, each key once.
const WRITTEN: &str = "data/";

/// The name of the session that a request makes.
fn created_name(http: &HttpRequest) -> Option<String> {
    http.target.strip_prefix("/v1/session/create")?;
    let json: serde_json::Value = serde_json::from_slice(http.body.as_deref()?).ok()?;
    json["Name"].as_str().map(str::to_owned)
}

/// The key that a request writes under a lock.
fn written_key(http: &HttpRequest) -> Option<String> {
    if let Some(key) = http.target.strip_prefix("/v1/kv/") {
        let written = http.method != Method::Get && key.starts_with(WRITTEN);
        return written.then(|| key.to_owned());
    }
    let body = http.body.as_deref()?;
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let key = json.get(1)?["KV"]["Key"].as_str()?;
    key.starts_with(WRITTEN).then(|| key.to_owned())
}

/// What Consul would have answered.
fn said_written(request: &Request) -> Vec<u8> {
    let Request::Write {
        lock, session, key, ..
    } = request
    else {
        return Vec::new();
    };
    let row = serde_json::json!({"KV": {"Key": &**lock, "Session": &*session.0, "ModifyIndex": 1}});
    let written = serde_json::json!({"KV": {"Key": &**key}});
    serde_json::json!({"Results": [row, written], "Errors": null})
        .to_string()
        .into_bytes()
}

fn text_reply(status: u16, text: &str) -> HttpReply {
    HttpReply {
        status,
        index: None,
        body: text.as_bytes().to_vec(),
        secrets: Secrets::default(),
    }
}

fn words(http: &HttpRequest) -> String {
    let body = http
        .body
        .as_deref()
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    format!("{:?} {} {body}", http.method, http.target)
}

fn body(reply: &HttpReply) -> String {
    String::from_utf8_lossy(&reply.body)
        .chars()
        .take(200)
        .collect()
}

/// The keys and sessions of a finished world, for messages.
pub(super) fn leftovers(world: &World) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for (session, name) in world.model.sessions() {
        found
            .entry(format!("session {session} \"{name}\""))
            .or_insert_with(Vec::new);
    }
    for (key, session) in world.model.held_keys() {
        found
            .entry(format!("session {session}"))
            .or_insert_with(Vec::new)
            .push(key);
    }
    found
}

/// The answer shows who stands in line.
fn shows_line(request: &Request) -> bool {
    match request {
        Request::Survey { .. } | Request::ReadLine { .. } | Request::Join { .. } => true,
        Request::Lock { line, .. } | Request::Unlock { line, .. } => *line,
        _ => false,
    }
}
