//! One schedule: processes with a core each, their users, the network and the model of Consul.

mod choices;
mod meddlers;
mod order;
mod pen;
mod picture;
mod rows;
mod shared;
mod traffic;
mod users;
mod wishes;

pub(super) use choices::{Choice, Faults};
use shared::Shared;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::defects::Defect;
use super::holders::Clash;
use super::line::{LineBook, Standing, Wait};
use super::model::{Edition, Model, NODE, Served, WatchId};
use super::network::{Fate, Weather};
use super::notices::{Blow, Notices};
use super::plan::{Line, Plan, REQUEST_TIMEOUT, Random, Turn};
use super::properties::Ledger;
use crate::clock::{Now, Time};
use crate::consul::encode::{Scope, encode};
use crate::consul::http::{Failure, HttpReply, HttpRequest, Method};
use crate::consul::secrets::Secrets;
use crate::consul::verdict::verdict;
use crate::core::messages::{Hold, Key, Request, SessionId, Value, Want};
use crate::core::{
    Action, Budget, Call, CallId, Config, Core, Done, Input, LockId, LockSpec, Outcome, Patience,
    Phase, RequestId, SessionNode, Upkeep,
};
use crate::error::{LostReason, Status};
use crate::key::LOCK_FLAGS;

#[derive(Clone, Debug)]
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
    Late(Box<Request>, HttpRequest, Option<(usize, LockId)>),
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
    /// Autopilot removes the server that is the agent of all processes; the server comes back later.
    Removal,
    NodeBack,
    /// The client without tickets tries, or gives back.
    Foreigner,
    /// An operator removes all tickets of a key.
    Sweep,
    /// A waiter for several keys dies and loses one of its tickets.
    Maim,
}

/// A request on its way.
#[derive(Clone, Debug)]
struct Flight {
    request: Request,
    http: HttpRequest,
    sent: Option<Time>,
    fate: Fate,
    parked: Option<WatchId>,
    /// The lock that the request gives back.
    gives_back: Option<(usize, LockId)>,
}

/// A process: a core, a clock and users.
#[derive(Clone)]
pub(super) struct Process {
    core: Core,
    users: Vec<User>,
    flights: BTreeMap<RequestId, Flight>,
    /// Requests that the process gave up while they were on their way: they still arrive.
    given_up: BTreeMap<RequestId, Flight>,
    /// Blocking queries that the process aborted. Consul serves them until they have their answer.
    hung_up: BTreeSet<WatchId>,
    /// The boot clock's lead, and its drift in millionths.
    lead: u64,
    drift: i64,
    /// The time that a clock which stops in a suspend has missed.
    missed: Duration,
    stopped: Option<Time>,
    pub(super) stopped_for: Duration,
    backlog: Vec<Happening>,
    pub(super) crashed: bool,
    /// The agent of the process asks the leader that stands still.
    asks_old_leader: bool,
}

/// One thread of control in a process.
#[derive(Clone, Debug)]
struct User {
    rounds: u32,
    doing: Doing,
    lock: LockId,
    /// When the user got the lock.
    since: Time,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
    Thinking,
    Acquiring(CallId),
    Holding,
    Releasing(CallId),
    Done,
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) now: Time,
    pub(super) model: Shared<Model>,
    pub(super) plan: Shared<Plan>,
    pub(super) processes: Vec<Shared<Process>>,
    pub(super) ledger: Shared<Ledger>,
    pub(super) line: Shared<LineBook>,
    pub(super) notices: Notices,
    /// The session of the client without tickets, and whether it has the key.
    foreigner: Option<(String, bool)>,
    foreign_steps: u32,
    /// How many waiters for several keys died and lost one of their tickets.
    pub(super) maimed: u32,
    pub(super) history: Option<String>,
    /// The last outcome that a caller got, for the explorer.
    pub(super) outcome: Option<String>,
    random: Random,
    /// Each caller comes when no message is due, for the explorer.
    pub(super) in_turn: bool,
    /// The explorer chooses what happens next, and `queue` is empty.
    is_explored: bool,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    happenings: BTreeMap<u64, (Time, Happening)>,
    serial: u64,
    calls: u64,
    locks: u64,
    writes: u64,
    leaderless: bool,
    /// Until when the old leader stands still.
    frozen: Option<Time>,
    /// The key that holds the other program's data.
    squatted: Option<String>,
    parked: BTreeMap<WatchId, (usize, RequestId)>,
    defect: Option<Defect>,
    /// The names of sessions that a core has looked for once.
    looked_for: BTreeSet<Arc<str>>,
    /// The keys that each session took with one transaction, the last time it took any.
    taken: BTreeMap<SessionId, Vec<Key>>,
    scope: Scope,
    /// How many connections each process may have.
    connections: usize,
    /// From when on so much junk stands below the tickets that no line can be read.
    junk_from: Option<Time>,
}

/// The `session_node` of the processes that have one.
const SESSION_NODE: &str = "locks";

/// The key of a contended plan.
const KEY: &str = "locks/0";

/// How many locks each user of a process takes.
fn rounds_of(plan: &Plan, process: usize) -> u32 {
    let locks = plan.script.as_ref().and_then(|script| script.get(process));
    locks.map_or(plan.rounds, |locks| locks.len() as u32)
}

/// The key of that number.
fn key_number(number: u64) -> Key {
    format!("locks/{number}").into()
}

const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);
/// `queue_grace_ms`.
pub(super) const GRACE: Duration = Duration::from_millis(300);

impl World {
    pub(super) fn new(seed: u64, plan: Plan, defect: Option<Defect>, trace: bool) -> World {
        let is_explored = plan.script.is_some();
        let mut random = if is_explored {
            Random::none()
        } else {
            Random::new(seed)
        };
        // In some schedules the sessions have a lock-delay.
        let delay = [500, 2_000][usize::from(seed & 16 != 0)];
        let lock_delay = Duration::from_millis(if seed % 8 == 5 { delay } else { 0 });
        let connections = if seed % 8 == 2 { 4 } else { 32 };
        // In some schedules another program uses the place of the tickets for its data.
        let has_junk = seed % 8 == 6 && plan.line.is_none();
        let junk_from = has_junk.then(|| Time(1_000_000_000 + seed % 5 * 1_000_000_000));
        let mut model = Model::new(seed);
        model.set_expiry(plan.expiry);
        if is_explored {
            model.leave_nothing_to_chance();
        }
        // Every second schedule of the same theme has a newer Consul.
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
                    seed: if is_explored {
                        p as u64 + 1
                    } else {
                        random.next()
                    },
                });
                if is_explored {
                    core.be_steady();
                }
                if let Some(Defect::Core(sabotage)) = defect {
                    core.sabotage(sabotage);
                }
                Shared::new(Process {
                    core,
                    users: (0..plan.users)
                        .map(|_| User {
                            rounds: rounds_of(&plan, p),
                            doing: Doing::Thinking,
                            lock: LockId(0),
                            since: Time(0),
                        })
                        .collect(),
                    flights: BTreeMap::new(),
                    given_up: BTreeMap::new(),
                    hung_up: BTreeSet::new(),
                    lead: random.below(1 << 50),
                    drift: if is_explored {
                        0
                    } else {
                        random.below(801) as i64 - 400
                    },
                    missed: Duration::ZERO,
                    stopped: None,
                    stopped_for: Duration::ZERO,
                    backlog: Vec::new(),
                    crashed: false,
                    asks_old_leader: false,
                })
            })
            .collect();
        let mut world = World {
            now: Time(1_000_000_000),
            model: Shared::new(model),
            plan: Shared::new(plan),
            processes,
            ledger: Shared::default(),
            line: Shared::default(),
            notices: Notices::default(),
            foreigner: None,
            foreign_steps: 0,
            maimed: 0,
            history: trace.then(String::new),
            outcome: None,
            random,
            in_turn: false,
            is_explored,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            serial: 0,
            calls: 0,
            locks: 0,
            writes: 0,
            leaderless: false,
            frozen: None,
            squatted: None,
            parked: BTreeMap::new(),
            defect,
            looked_for: BTreeSet::new(),
            taken: BTreeMap::new(),
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
            if self.plan.stops && self.plan.script.is_none() {
                for _ in 0..2 {
                    let at = self.random.duration(Duration::from_secs(20));
                    self.after(at, Happening::Stop { process });
                }
            }
        }
        if self.plan.script.is_some() {
            return;
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
        if !self.is_explored {
            self.queue.push(Reverse((at, self.serial)));
        }
        self.happenings.insert(self.serial, (at, happening));
    }

    /// Runs until `until`, or until nothing happens any more.
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
            self.notices.in_time(self.now)?;
            self.look_at_line()?;
            self.model.advance(self.now);
            self.wake_watchers();
            if queued.is_some_and(|at| at <= self.now)
                && let Some(Reverse((_, serial))) = self.queue.pop()
                && let Some((_, happening)) = self.happenings.remove(&serial)
            {
                self.happen(happening)?;
                self.wake_watchers();
            }
        }
    }

    /// Every user has finished.
    pub(super) fn is_over(&self) -> bool {
        self.processes
            .iter()
            .all(|p| p.crashed || p.users.iter().all(|user| user.doing == Doing::Done))
    }

    /// From now on the weather is good, and no meddler acts.
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
        if !self.model.has_woken() {
            return;
        }
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
                if process.hung_up.contains(&watch) {
                    process.hung_up.remove(&watch);
                }
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
            Happening::Late(request, http, gives_back) => {
                if let Some(watch) = self.late(&request, &http, gives_back)? {
                    self.model.forget(watch);
                }
            }
            Happening::Tick { process } => return self.step(process, Input::Tick),
            Happening::User { process, user } => return self.user(process, user),
            Happening::Ask {
                process,
                lock,
                what,
            } => {
                if !self.may_ask(process, lock, &what) {
                    return Ok(());
                }
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
                let key = key_number(self.random_key());
                self.note(|| format!("operator: removes all tickets of {key}"));
                for ticket in self.model.line(&key) {
                    self.model.delete_key(&ticket.name);
                }
                self.wake_watchers();
            }
            Happening::Maim if self.plan.line != Some(Line::Undisturbed) => self.maim(),
            // The time for it is over.
            Happening::Crash { .. }
            | Happening::LeaderLost
            | Happening::Squatter
            | Happening::Operator
            | Happening::Removal
            | Happening::Foreigner
            | Happening::Sweep
            | Happening::Maim => {}
        }
        Ok(())
    }

    // Processes.

    /// The time by the process's clock at an instant of the world.
    pub(super) fn clock_at(&self, process: usize, at: Time) -> Time {
        let process = &self.processes[process];
        let drift = (i128::from(at.0) * i128::from(process.drift) / 1_000_000) as i64;
        Time(process.lead + at.0.wrapping_add_signed(drift)) - process.missed
    }

    /// The first instant of the world at which the process's clock shows `at`.
    fn global(&self, process: usize, at: Time) -> Time {
        let process = &self.processes[process];
        if process.drift == 0 {
            return (at + process.missed) - Duration::from_nanos(process.lead);
        }
        let shown = i128::from((at + process.missed).0.saturating_sub(process.lead));
        let real = shown * 1_000_000 / (1_000_000 + i128::from(process.drift));
        Time(u64::try_from(real).unwrap_or(u64::MAX >> 1)) + Duration::from_nanos(2)
    }

    fn step(&mut self, process: usize, event: Input) -> Result<(), String> {
        // The wall clock jumps, because nothing may depend on it.
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
                    let clashes = self.ledger.publish(process, lock, &view, now)?;
                    let foreign = matches!(self.foreigner, Some((_, true)));
                    if foreign && self.is_alone_on_its_key(process, lock) {
                        return Err(format!("p{process} and a foreigner hold one key"));
                    }
                    self.no_clash(process, lock, clashes)?;
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
                    self.notices.told((process, lock));
                }
                Action::Forget(_) | Action::Log { .. } | Action::Observed { .. } => {}
            }
        }
        let clock = self.clock_at(process, self.now);
        self.ledger.stepped(process, clock)?;
        self.within_budget(process)?;
        if !self.is_explored
            && let Some(at) = self.processes[process].core.wake_at()
        {
            let late = self.random.duration(Duration::from_millis(1));
            let at = self.global(process, at).max(self.now) + late;
            self.at(at, Happening::Tick { process });
        }
        Ok(())
    }

    /// Beliefs that do not go together are an error, unless the time of the other one is over.
    fn no_clash(&self, process: usize, lock: LockId, clashes: Vec<Clash>) -> Result<(), String> {
        let lives = |clash: &Clash| self.clock_at(clash.process, self.now) < clash.lease_end;
        match clashes.into_iter().find(lives) {
            Some(clash) => Err(format!(
                "{}: p{process} lock {} and p{} lock {}",
                clash.what, lock.0, clash.process, clash.lock.0
            )),
            None => Ok(()),
        }
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
            Call::Downgrade | Call::Upgrade(_) => self.limit_of_change(&what),
            Call::Release => Some(RELEASE_TIMEOUT),
            Call::Cancel | Call::LetGo | Call::Abandon | Call::Free => Some(Duration::ZERO),
        };
        let stopped = self.processes[process].stopped_for;
        self.ledger.called(process, call, self.now, limit, stopped);
        // A renewal asks for the session alone.
        if !matches!(what, Call::Renew | Call::Cancel) {
            self.notices.forgets((process, lock));
        }
        if matches!(
            what,
            Call::Release | Call::LetGo | Call::Abandon | Call::Free
        ) {
            self.ledger.stops_believing(process, lock, self.now);
        }
        match &what {
            Call::LetGo | Call::Abandon => self.ledger.abandoned(process, lock, call),
            Call::Free => self.ledger.freed(process, lock),
            Call::Renew => self.ledger.asked_to_renew(process, lock),
            Call::Release => self.ledger.asked_to_release(process, lock, call),
            Call::Write { key, .. } => self.ledger.writes(process, lock, call, key),
            Call::Downgrade | Call::Upgrade(_) => {
                let up = matches!(what, Call::Upgrade(_));
                let holders = &mut self.ledger.holders;
                holders.begins_change((process, lock), call, up, self.now);
            }
            _ => {}
        }
        self.step(process, Input::Call { lock, call, what })?;
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
        self.notices.crashed(process);
        self.ledger.crashed(process);
    }
}

/// The folder of the keys that users write under locks, each key once.
const WRITTEN: &str = "data/";

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
