//! Steps the core and performs its actions; decides nothing.
//!
//! Whoever has an event (a caller, a worker with an answer, the timer) locks the core, steps it,
//! unlocks it, and then performs what it said. A caller that waits performs short requests of its
//! own lock itself, on a connection that is open already: a hop to another thread and back costs a
//! third of an uncontended cycle (measured). Everything that can take long is a worker's, and the
//! caller parks.

mod handle;
pub(crate) mod losses;
mod orphans;
mod promises;
mod stats;
mod timer;
mod wires;
mod workers;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Weak};
use std::time::Duration;

use crate::callbacks::{Callbacks, Completion, Seat};
use crate::clock::{Now, Time};
use crate::consul::connect::Endpoint;
use crate::consul::encode::{Scope, encode};
use crate::consul::http::{Exchange, HttpRequest};
use crate::consul::interrupt::Interrupt;
use crate::consul::transport::Wire;
use crate::consul::verdict::verdict;
use crate::core::messages::{Answer, Fault, Key, Request};
use crate::core::{
    Action, Call, CallId, Config, Core, Done, Input, Lane, LockId, LockSpec, Outcome, Phase,
    RequestId, Upkeep, View,
};
use crate::error::{Error, Status};
use crate::fork::Generation;
use crate::lockorder::{Guard, Mutex, Rank};
use crate::log;
use crate::queue::Queue;
use crate::threads::thread;
pub(crate) use handle::Handle;
use losses::Listener;
use promises::{Promise, Promises};
use stats::{Elsewhere, Kind, Stats};
use timer::Timer;
use wires::{Lent, Wires};
use workers::Workers;

/// Everything that runs for one client in one process.
#[derive(Debug)]
pub(crate) struct Runtime {
    /// The process that it belongs to.
    pub(crate) generation: Generation,
    me: Weak<Runtime>,
    scope: Scope,
    state: Mutex<State>,
    idle: Condvar,
    timer: Timer,
    workers: Workers,
    wires: Wires,
    callbacks: Callbacks,
    /// Neither a client nor a lock is there that could ask for more.
    left: AtomicBool,
}

/// What only one thread may touch at a time. Never held during I/O.
#[derive(Debug)]
struct State {
    core: Core,
    /// Who waits for which call.
    waiters: HashMap<CallId, Waiter>,
    /// How many of them are completions: nobody of the host's keeps the time for those.
    called_back: usize,
    /// Outcomes to tell when the state is unlocked.
    prompt: Vec<(Completion<Done>, Outcome)>,
    locks: HashMap<LockId, Observed>,
    promises: Promises,
    /// Who is told that a lock is lost.
    listeners: HashMap<LockId, Listener>,
    flights: HashMap<RequestId, Flight>,
    stats: Stats,
    last_call: u64,
    last_lock: u64,
    timer: timer::Schedule,
    /// How many wait for the core to be idle.
    idle_watchers: usize,
    /// The core panicked once: what it knows cannot be trusted.
    broken: bool,
}

/// A lock, as its observers see it, and since when it is in its phase.
#[derive(Debug)]
struct Observed {
    shown: Arc<Shown>,
    since: Time,
    /// Whose lock it is: see [`orphans`].
    keeper: Option<Arc<Queue>>,
    /// It is held, or will be renewed once it is.
    promise: Option<Promise>,
}

/// A request on its way.
#[derive(Debug)]
struct Flight {
    interrupt: Interrupt,
    kind: Kind,
}

/// Who is told the outcome of a call.
enum Waiter {
    /// A thread of the host's, which waits.
    Parked(Arc<Slot>),
    /// Nobody waits. With a seat it is the host's code, for the thread for callbacks.
    Completion(Option<Seat>, Completion<Done>),
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Waiter::Parked(_) => "Parked",
            Waiter::Completion(..) => "Completion",
        })
    }
}

/// Where a caller waits for its outcome.
#[derive(Debug)]
struct Slot {
    state: Mutex<SlotState>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct SlotState {
    outcome: Option<Outcome>,
    /// The caller sleeps. Waking nobody would still be a system call.
    parked: bool,
}

/// A lock's view, for its observers.
#[derive(Debug)]
pub(crate) struct Shown(Mutex<View>);

/// A request to perform.
#[derive(Debug)]
struct Job {
    id: RequestId,
    request: Request,
    by: Time,
    lane: Lane,
    lock: Option<LockId>,
    interrupt: Interrupt,
}

impl Shown {
    fn new() -> Shown {
        Shown(Mutex::new(Rank::Leaf, View::default()))
    }

    pub(crate) fn view(&self) -> View {
        self.0.lock().clone()
    }
}

impl Slot {
    fn new() -> Slot {
        Slot {
            state: Mutex::new(Rank::Leaf, SlotState::default()),
            told: Condvar::new(),
        }
    }

    fn tell(&self, outcome: Outcome) {
        let mut state = self.state.lock();
        state.outcome = Some(outcome);
        if state.parked {
            self.told.notify_one();
        }
    }

    fn is_told(&self) -> bool {
        self.state.lock().outcome.is_some()
    }

    /// Waits until the caller is told, or, None, about that long.
    fn wait(&self, at_most: Duration) -> Option<Outcome> {
        let mut state = self.state.lock();
        if state.outcome.is_none() {
            state.parked = true;
            state = state.wait_timeout(&self.told, at_most).0;
            state.parked = false;
        }
        state.outcome.take()
    }
}

fn defect() -> Error {
    Error::new(
        Status::Internal,
        "a defect of libconsul_lock: its core panicked; please report it",
    )
}

impl State {
    /// When the core wants to be woken; never, if it cannot be trusted any more.
    fn wake_at(&self) -> Option<Time> {
        self.core.wake_at().filter(|_| !self.broken)
    }

    /// Something is promised, or Consul or a caller is owed something.
    fn owes(&self) -> bool {
        !self.broken && (self.promises.any() || !self.core.is_idle())
    }

    /// Promises what is asked for: a lock that is to be renewed. False: nothing that was not promised before.
    fn promise(&mut self, lock: LockId, what: &Call) -> bool {
        let upkeep = match what {
            Call::Acquire(LockSpec { upkeep, .. }) => *upkeep,
            _ => Upkeep::Off,
        };
        let observed = self.locks.get_mut(&lock);
        let new = observed.filter(|it| {
            it.promise.is_none() && upkeep != Upkeep::Off && it.shown.view().phase == Phase::New
        });
        let promise = new.map(|it| it.promise = Some(self.promises.one()));
        promise.is_some()
    }

    /// The core panicked: whoever waits is told, and it is not asked again.
    fn break_down(&mut self) {
        self.broken = true;
        for observed in self.locks.values_mut() {
            observed.promise = None;
        }
        let calls: Vec<CallId> = self.waiters.keys().copied().collect();
        for call in calls {
            self.tell(call, Err(defect()));
        }
    }

    fn add(&mut self, waiter: Waiter) -> Result<CallId, Error> {
        if self.broken {
            return Err(defect());
        }
        self.last_call += 1;
        let call = CallId(self.last_call);
        self.called_back += usize::from(matches!(waiter, Waiter::Completion(..)));
        self.waiters.insert(call, waiter);
        Ok(call)
    }

    fn tell(&mut self, call: CallId, outcome: Outcome) {
        match self.waiters.remove(&call) {
            Some(Waiter::Parked(slot)) => slot.tell(outcome),
            Some(Waiter::Completion(seat, done)) => {
                self.called_back -= 1;
                match seat {
                    Some(seat) => seat.run(move || done.tell(outcome)),
                    None => self.prompt.push((done, outcome)),
                }
            }
            None => {}
        }
    }
}

impl Runtime {
    /// Makes no thread and no connection yet.
    pub(crate) fn new(endpoint: Endpoint, scope: Scope, config: Config) -> Arc<Runtime> {
        let connections = config.connections;
        let promises = Promises::default();
        Arc::new_cyclic(|me| Runtime {
            generation: Generation::current(),
            me: me.clone(),
            scope,
            state: Mutex::new(
                Rank::Runtime,
                State {
                    core: Core::new(config),
                    waiters: HashMap::new(),
                    called_back: 0,
                    prompt: Vec::new(),
                    locks: HashMap::new(),
                    promises: promises.clone(),
                    listeners: HashMap::new(),
                    flights: HashMap::new(),
                    stats: Stats::default(),
                    last_call: 0,
                    last_lock: 0,
                    timer: timer::Schedule::default(),
                    idle_watchers: 0,
                    broken: false,
                },
            ),
            idle: Condvar::new(),
            timer: Timer::default(),
            workers: Workers::new(connections, &promises),
            wires: Wires::new(endpoint, connections, &promises),
            callbacks: Callbacks::default(),
            left: AtomicBool::new(false),
        })
    }

    /// A lock that the core does not know yet.
    pub(crate) fn new_lock(&self) -> (LockId, Arc<Shown>) {
        let mut state = self.state.lock();
        state.last_lock += 1;
        let id = LockId(state.last_lock);
        let shown = Arc::new(Shown::new());
        let observed = Observed {
            shown: shown.clone(),
            since: Time::default(),
            keeper: None,
            promise: None,
        };
        state.locks.insert(id, observed);
        (id, shown)
    }

    /// The lock's handle is gone, and the core never heard of it.
    pub(crate) fn drop_lock(&self, id: LockId) {
        let mut state = self.state.lock();
        state.locks.remove(&id);
        // Dropped outside: dropping what a listener owns is the host's code.
        let listener = state.listeners.remove(&id);
        drop(state);
        drop(listener);
    }

    /// Asks the core for something, and waits for the outcome.
    pub(crate) fn call(&self, id: LockId, what: Call) -> Outcome {
        let mut state = self.state.lock();
        self.prepare(&mut state, id, &what)?;
        self.wait_for(state, Some(id), |call| Input::Call {
            lock: id,
            call,
            what,
        })
    }

    /// What is promised must be possible, also on a host that gives no more threads from now on. NO_RESOURCES:
    /// it is not, and nothing was begun.
    fn prepare(&self, state: &mut Guard<'_, State>, id: LockId, what: &Call) -> Result<(), Error> {
        if state.promise(id, what) {
            let had = self.have_timer(state).and_then(|()| self.have_keeper());
            if had.is_err()
                && let Some(observed) = state.locks.get_mut(&id)
            {
                observed.promise = None;
            }
            return had;
        }
        Ok(())
    }

    /// Asks the core for something, and has `done` told the outcome, exactly once. On failure nothing
    /// was begun, and `done` is not told.
    pub(crate) fn start(
        &self,
        id: LockId,
        what: Call,
        done: Completion<Done>,
    ) -> Result<(), Error> {
        let seat = self.seat_for(&done)?;
        let mut state = self.state.lock();
        self.prepare(&mut state, id, &what)?;
        self.begin(state, seat, done, |call| Input::Call {
            lock: id,
            call,
            what,
        })
    }

    fn seat_for(&self, done: &Completion<Done>) -> Result<Option<Seat>, Error> {
        let needs_a_seat = done.needs_a_seat();
        needs_a_seat.then(|| self.callbacks.seat()).transpose()
    }

    fn begin(
        &self,
        mut state: Guard<'_, State>,
        seat: Option<Seat>,
        done: Completion<Done>,
        event: impl FnOnce(CallId) -> Input,
    ) -> Result<(), Error> {
        self.have_timer(&mut state)?;
        let call = state.add(Waiter::Completion(seat, done))?;
        drop(state);
        let jobs = self.step(event(call), None);
        self.hand_over(jobs);
        Ok(())
    }

    /// Who holds a key.
    pub(crate) fn who(&self, key: Key) -> Outcome {
        self.wait_for(self.state.lock(), None, |call| Input::Who { call, key })
    }

    /// The same, without waiting.
    pub(crate) fn who_start(&self, key: Key, done: Completion<Done>) -> Result<(), Error> {
        let seat = self.seat_for(&done)?;
        self.begin(self.state.lock(), seat, done, |call| Input::Who {
            call,
            key,
        })
    }

    /// What it did until now, as JSON.
    pub(crate) fn stats(&self) -> String {
        let threads = self.workers.threads() + usize::from(self.callbacks.is_running());
        let state = self.state.lock();
        state.stats.json(&Elsewhere {
            retries: state.core.retries(),
            threads: threads + usize::from(state.timer.until().is_some()),
            connections: self.wires.connections(),
        })
    }

    /// No client and no lock is left that could ask for anything: what is under way ends, and nothing lingers.
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Release);
        self.drain();
    }

    fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// No session is kept warm from now on.
    pub(crate) fn drain(&self) {
        let jobs = self.step(Input::Drain, None);
        self.hand_over(jobs);
    }

    /// Waits until nothing is under way and nothing is kept. False: not by the deadline.
    pub(crate) fn wait_until_idle(&self, deadline: Time) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.core.is_idle() || state.broken {
                return state.core.is_idle();
            }
            let left = deadline.since(Time::now());
            if left.is_zero() {
                return false;
            }
            state.idle_watchers += 1;
            state = state.wait_timeout(&self.idle, left).0;
            state.idle_watchers -= 1;
        }
    }

    fn wait_for(
        &self,
        mut state: Guard<'_, State>,
        id: Option<LockId>,
        event: impl FnOnce(CallId) -> Input,
    ) -> Outcome {
        let slot = Arc::new(Slot::new());
        let call = state.add(Waiter::Parked(slot.clone()))?;
        drop(state);
        let mut jobs = self.step(event(call), None);
        while !jobs.is_empty() {
            // A request of ours may take its time: the others' must not wait for it.
            let mine = |job: &Job| id.is_some() && job.lock == id && job.lane != Lane::Long;
            let mine = jobs.iter().position(mine).filter(|_| !slot.is_told());
            let mine = mine.and_then(|at| {
                let wire = self.wires.take_open(jobs.get(at)?.lane)?;
                Some((wire, jobs.swap_remove(at)))
            });
            self.hand_over(jobs);
            jobs = match mine {
                Some((wire, job)) => self.perform(job, Some(wire)),
                None => Vec::new(),
            };
        }
        loop {
            if let Some(outcome) = slot.wait(self.time_left_alone()) {
                return outcome;
            }
            // Nobody else keeps the time: the system gave no thread for it.
            let jobs = self.step(Input::Tick, None);
            self.hand_over(jobs);
        }
    }

    /// Takes an event to the core, and performs everything but the requests it asks for. Then it ends the
    /// locks whose keeper is gone, one after the other: each end may bring the next one up, and there may
    /// be thousands.
    fn step(&self, event: Input, done: Option<RequestId>) -> Vec<Job> {
        let (mut jobs, mut orphans) = self.step_once(event, done);
        while let Some((id, just_taken)) = orphans.pop() {
            let Some(end) = self.end_of_orphan(id, just_taken) else {
                continue;
            };
            let (more, further) = self.step_once(end, None);
            jobs.extend(more);
            orphans.extend(further);
        }
        jobs
    }

    /// One event, with the locks that turned out to have no keeper: the last one is to be ended first.
    fn step_once(&self, event: Input, done: Option<RequestId>) -> (Vec<Job>, Vec<(LockId, bool)>) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let flight = done.and_then(|done| state.flights.remove(&done));
        if let (Some(flight), Input::Reply { answer, .. }) = (flight, &event) {
            state.stats.answered(flight.kind, answer);
        }
        if state.broken {
            return (Vec::new(), Vec::new());
        }
        let mut actions = Vec::new();
        let now = Now::read();
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            state.core.step(now, event, &mut actions);
        }));
        if stepped.is_err() {
            state.break_down();
            let prompt = std::mem::take(&mut state.prompt);
            drop(guard);
            tell_all(prompt);
            return (Vec::new(), Vec::new());
        }
        let mut jobs = Vec::new();
        let mut ended = Vec::new();
        let mut lines = Vec::new();
        let mut silenced = Vec::new();
        let mut orphans = Vec::new();
        for action in actions {
            match action {
                Action::Send {
                    id,
                    request,
                    by,
                    lane,
                    lock,
                } => {
                    let interrupt = Interrupt::default();
                    let flight = Flight {
                        interrupt: interrupt.clone(),
                        kind: Kind::of(&request),
                    };
                    state.stats.asked(flight.kind);
                    state.flights.insert(id, flight);
                    orphans.extend(lock.filter(|id| state.is_orphan(*id)).map(|id| (id, false)));
                    jobs.push(Job {
                        id,
                        request,
                        by,
                        lane,
                        lock,
                        interrupt,
                    });
                }
                Action::Abort(id) => {
                    let flight = state.flights.get(&id);
                    ended.extend(flight.map(|flight| flight.interrupt.clone()));
                }
                Action::Tell { call, outcome } => state.tell(call, outcome),
                Action::Publish { lock: id, view } => {
                    if let Some(observed) = state.locks.get_mut(&id) {
                        match (view.phase, &observed.promise) {
                            (Phase::Held, None) => observed.promise = Some(state.promises.one()),
                            (Phase::Lost | Phase::Over, Some(_)) => observed.promise = None,
                            _ => {}
                        }
                        let Observed { shown, since, .. } = observed;
                        let mut seen = shown.0.lock();
                        *since = state.stats.moved(&seen, &view, *since, now.time);
                        let (is_held, was_held) =
                            (view.phase == Phase::Held, seen.phase == Phase::Held);
                        *seen = view;
                        drop(seen);
                        if is_held && state.is_orphan(id) {
                            orphans.push((id, !was_held));
                        }
                    }
                }
                Action::Lost { lock: id, why } => {
                    if let Some(listener) = state.listeners.remove(&id) {
                        listener.tell(why);
                    }
                }
                Action::Forget(id) => {
                    state.locks.remove(&id);
                    silenced.extend(state.listeners.remove(&id));
                }
                Action::Log { level, line } => lines.push((level, line)),
            }
        }
        let leave = self.is_left() && !state.owes();
        if leave || state.idle_watchers > 0 && state.core.is_idle() {
            self.idle.notify_all();
        }
        let prompt = std::mem::take(&mut state.prompt);
        self.set_timer(&mut guard);
        drop(guard);
        if leave {
            self.end_threads();
        }
        tell_all(prompt);
        for interrupt in ended {
            interrupt.end();
        }
        drop(silenced);
        for (level, line) in lines {
            log::write(level, &line);
        }
        // What was just taken is given back, whatever else was asked for it: so it comes first.
        orphans.sort_by_key(|(_, just_taken)| *just_taken);
        (jobs, orphans)
    }

    /// Asks Consul, and takes the answer to the core. Answers what is to be asked next.
    fn perform(&self, job: Job, wire: Option<Lent<'_>>) -> Vec<Job> {
        let Job {
            id,
            request,
            by,
            lane,
            interrupt,
            ..
        } = job;
        let performed = catch_unwind(AssertUnwindSafe(|| {
            let Some(http) = encode(&request, &self.scope) else {
                let why = "the system gives no memory for the request";
                let error = Error::new(Status::NoResources, why);
                return (None, Err(Fault::NotApplied(error)));
            };
            let mut old = wire;
            loop {
                let mut lent = old.take().or_else(|| self.wires.open(lane, by));
                let Some(wire) = lent.as_mut().and_then(Lent::wire) else {
                    let why = "no connection was free in time: too many requests at once";
                    let error = Error::new(Status::Unavailable, why);
                    return (None, Err(Fault::NotApplied(error)));
                };
                let (complete, sent, answer) = self.exchange(wire, &request, &http, by, &interrupt);
                let again = match &answer {
                    _ if interrupt.is_ended() => false,
                    // That agent said that it cannot serve. Another one may, and is asked at once: some
                    // calls have no second attempt.
                    Err(Fault::NotApplied(why)) if why.http_status.is_some() => {
                        self.wires.has_better(wire)
                    }
                    Err(Fault::NotApplied(why)) if why.status == Status::NoResources => {
                        old = lent.take_if(Lent::falls_back);
                        old.is_some()
                    }
                    _ => false,
                };
                if let (true, Some(lent)) = (complete, lent) {
                    lent.put();
                }
                if !again {
                    return (sent, answer);
                }
            }
        }));
        let (sent, answer) = performed.unwrap_or_else(|_| (None, Err(Fault::Unknown(defect()))));
        self.step(
            Input::Reply {
                request: id,
                sent,
                answer,
            },
            Some(id),
        )
    }

    /// Sends it; twice, where the token was refused and there is another one by now. Says first
    /// whether the connection can be used again.
    fn exchange(
        &self,
        wire: &mut Wire,
        request: &Request,
        http: &HttpRequest,
        by: Time,
        interrupt: &Interrupt,
    ) -> (bool, Option<Time>, Result<Answer, Fault>) {
        let mut again = false;
        loop {
            let Exchange { sent, result } = wire.perform(http, by, interrupt);
            let complete = result.is_ok();
            let answer = verdict(request, result);
            match &answer {
                Err(Fault::Final(error) | Fault::NotApplied(error))
                    if error.status == Status::Denied && !again =>
                {
                    again = wire.has_newer_token(by, interrupt);
                    if again {
                        continue;
                    }
                }
                Err(Fault::NotApplied(_) | Fault::Unknown(_)) if !interrupt.is_ended() => {
                    self.wires.note_failure(wire);
                }
                _ => {}
            }
            return (complete, sent, answer);
        }
    }

    /// Answers a request that nobody could send: it was surely not applied.
    fn refuse(&self, job: Job, why: Error) -> Vec<Job> {
        let event = Input::Reply {
            request: job.id,
            sent: None,
            answer: Err(Fault::NotApplied(why)),
        };
        self.step(event, Some(job.id))
    }

    /// Has the workers perform them.
    fn hand_over(&self, jobs: impl IntoIterator<Item = Job>) {
        let mut jobs: VecDeque<Job> = jobs.into_iter().collect();
        while let Some(job) = jobs.pop_front() {
            if let Some((job, why)) = self.submit(job) {
                jobs.extend(self.refuse(job, why));
            }
        }
    }

    /// A thread of the library's. None: the system gives none.
    fn spawn(&self, run: impl FnOnce(Arc<Runtime>) + Send + 'static) -> Result<(), std::io::Error> {
        /// Deep enough for an exchange: ureq and the JSON parser stay far below it.
        const STACK: usize = 512 << 10;
        let Some(me) = self.me.upgrade() else {
            return Err(std::io::ErrorKind::NotFound.into());
        };
        thread(STACK, move || run(me))
    }
}

fn tell_all(outcomes: Vec<(Completion<Done>, Outcome)>) {
    for (completion, outcome) in outcomes {
        // A panic of ours must not stop what the step has still to do.
        let _ = catch_unwind(AssertUnwindSafe(|| completion.tell(outcome)));
    }
}

#[cfg(test)]
mod tests;
