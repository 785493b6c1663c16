//! Steps the core and performs its actions; decides nothing.
//!
//! A thread that has an input (a caller, a worker with an answer, the timer) locks the core, steps it,
//! unlocks it, and then performs the actions of the core. A caller that waits performs short requests
//! of its own lock itself, on a connection that is open already: a hop to another thread and back costs
//! a third of an uncontended cycle (measured). A worker performs every request that can take long, while
//! the caller sleeps. A caller that does not wait sends such a request itself, and a worker receives the
//! answer.

mod ahead;
pub(crate) mod ask;
mod calls;
mod handle;
pub(crate) mod losses;
pub(crate) mod observers;
mod orphans;
mod promises;
mod requests;
mod stats;
mod step;
mod timer;
mod wires;
mod workers;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Weak};

use crate::callbacks::{Callbacks, Completion, Seat};
use crate::clock::Time;
use crate::consul::connect::Endpoint;
use crate::consul::encode::Scope;
use crate::core::messages::Key;
use crate::core::{
    Action, Call, CallId, Config, Core, Done, Input, Lane, LockId, ObserverId, Outcome, Phase,
    RequestId, Upkeep, View,
};
use crate::error::{Error, Status};
use crate::fork::Generation;
use crate::lockorder::{Guard, Mutex, Rank};
use crate::queue::Queue;
use crate::threads::thread;
use calls::{Caller, OutcomeSlot, PendingCalls};
pub(crate) use handle::Handle;
use losses::LossListener;
use observers::ObserverListener;
use promises::{Promise, Promises};
use requests::{Flight, RequestJob};
use stats::{Elsewhere, Stats};
use timer::Timer;
use wires::Wires;
use workers::Workers;

/// Everything that runs for one client in one process.
#[derive(Debug)]
pub(crate) struct Runtime {
    /// The process that the runtime belongs to.
    pub(crate) generation: Generation,
    me: Weak<Runtime>,
    scope: Scope,
    state: Mutex<RuntimeState>,
    idle: Condvar,
    timer: Timer,
    workers: Workers,
    wires: Arc<Wires>,
    callbacks: Callbacks,
    /// No client and no lock is left that could ask for more.
    left: AtomicBool,
}

/// What only one thread may touch at a time. No thread holds the mutex during I/O.
#[derive(Debug)]
struct RuntimeState {
    core: Core,
    /// The list for the actions of a step: empty between steps, kept for its memory.
    actions: Vec<Action>,
    calls: PendingCalls,
    locks: BTreeMap<LockId, Observed>,
    promises: Promises,
    /// The callbacks for the loss of a lock.
    listeners: BTreeMap<LockId, LossListener>,
    observers: BTreeMap<ObserverId, Arc<ObserverListener>>,
    last_observer: u64,
    flights: BTreeMap<RequestId, Flight>,
    stats: Stats,
    last_lock: u64,
    timer: timer::Schedule,
    /// How many threads wait for the core to be idle.
    idle_watchers: usize,
    /// The core panicked once: its state cannot be trusted.
    broken: bool,
}

/// A lock as its observers see it, with the start of its phase.
#[derive(Debug)]
struct Observed {
    shown: Arc<Shown>,
    since: Time,
    /// The queue that the lock is bound to: see [`orphans`].
    keeper: Option<Arc<Queue>>,
    /// The lock is held, or will be renewed once it is.
    promise: Option<Promise>,
}

/// The view of a lock, for its observers.
#[derive(Debug)]
pub(crate) struct Shown(Mutex<View>);

impl Shown {
    fn new() -> Shown {
        Shown(Mutex::new(Rank::Leaf, View::default()))
    }

    pub(crate) fn view(&self) -> View {
        self.0.lock().clone()
    }
}

fn defect() -> Error {
    Error::new(
        Status::Internal,
        "a defect of libconsul_lock: its core panicked; please report it",
    )
}

impl RuntimeState {
    /// When the core wants to be woken; never, if its state cannot be trusted any more.
    fn wake_at(&self) -> Option<Time> {
        self.core.wake_at().filter(|_| !self.broken)
    }

    /// There is a promise to keep or an observer to tell, or a request or a call has not ended yet.
    fn owes(&self) -> bool {
        !self.broken && (self.promises.any() || !self.observers.is_empty() || !self.core.is_idle())
    }

    /// Promises to renew the lock that a call asks for. False: the call asks for no new promise.
    fn promise(&mut self, lock: LockId, what: &Call) -> bool {
        let renews = matches!(what, Call::Acquire(spec) if spec.upkeep != Upkeep::Off);
        let observed = self.locks.get_mut(&lock).filter(|observed| {
            renews && observed.promise.is_none() && observed.shown.view().phase == Phase::New
        });
        let promise = observed.map(|observed| observed.promise = Some(self.promises.one()));
        promise.is_some()
    }

    /// The core panicked: the callers get an error, and the library does not ask the core again.
    fn break_down(&mut self) {
        self.broken = true;
        for observed in self.locks.values_mut() {
            observed.promise = None;
        }
        self.calls.fail_all(&defect());
    }

    fn add(&mut self, caller: Caller) -> Result<CallId, Error> {
        if self.broken {
            return Err(defect());
        }
        Ok(self.calls.add(caller))
    }
}

impl Runtime {
    /// A runtime without threads and connections: they come when they are needed.
    pub(crate) fn new(endpoint: Endpoint, scope: Scope, config: Config) -> Arc<Runtime> {
        let connections = config.connections;
        let promises = Promises::default();
        Arc::new_cyclic(|me| Runtime {
            generation: Generation::current(),
            me: me.clone(),
            scope,
            state: Mutex::new(
                Rank::Runtime,
                RuntimeState {
                    core: Core::new(config),
                    actions: Vec::new(),
                    calls: PendingCalls::default(),
                    locks: BTreeMap::new(),
                    promises: promises.clone(),
                    listeners: BTreeMap::new(),
                    observers: BTreeMap::new(),
                    last_observer: 0,
                    flights: BTreeMap::new(),
                    stats: Stats::default(),
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

    /// Forgets a lock that the core never knew: its handle is gone.
    pub(crate) fn drop_lock(&self, id: LockId) {
        let mut state = self.state.lock();
        state.locks.remove(&id);
        // Dropped when the state is unlocked: that may run code of the host.
        let listener = state.listeners.remove(&id);
        drop(state);
        drop(listener);
    }

    /// Asks the core for something, and waits for the outcome.
    pub(crate) fn call(&self, lock: LockId, what: Call) -> Outcome {
        let mut state = self.state.lock();
        self.prepare(&mut state, lock, &what)?;
        self.wait_for(state, Some(lock), |call| Input::Call { lock, call, what })
    }

    /// The same, without waiting: `done` gets the outcome, exactly once. On failure nothing was begun, and
    /// `done` gets nothing.
    pub(crate) fn start(
        &self,
        lock: LockId,
        what: Call,
        done: Completion<Done>,
    ) -> Result<(), Error> {
        let seat = self.seat_for(&done)?;
        let mut state = self.state.lock();
        self.prepare(&mut state, lock, &what)?;
        self.begin(state, seat, done, |call| Input::Call { lock, call, what })
    }

    /// Makes the threads that a promise needs, because the host may give no more threads later.
    /// NO_RESOURCES: the host gives none now, and nothing was begun.
    fn prepare(
        &self,
        state: &mut Guard<'_, RuntimeState>,
        lock: LockId,
        what: &Call,
    ) -> Result<(), Error> {
        if !state.promise(lock, what) {
            return Ok(());
        }
        let had = self.have_timer(state).and_then(|()| self.have_keeper());
        had.inspect_err(|_| {
            if let Some(observed) = state.locks.get_mut(&lock) {
                observed.promise = None;
            }
        })
    }

    fn seat_for(&self, done: &Completion<Done>) -> Result<Option<Seat>, Error> {
        let needs_a_seat = done.needs_a_seat();
        needs_a_seat.then(|| self.callbacks.seat()).transpose()
    }

    fn begin(
        &self,
        mut state: Guard<'_, RuntimeState>,
        seat: Option<Seat>,
        done: Completion<Done>,
        input: impl FnOnce(CallId) -> Input,
    ) -> Result<(), Error> {
        self.have_timer(&mut state)?;
        let call = state.add(Caller::Completion(seat, done))?;
        drop(state);
        let jobs = self.step(input(call));
        self.set_out(jobs);
        Ok(())
    }

    /// Asks Consul for the holder of a key.
    pub(crate) fn who(&self, key: Key) -> Outcome {
        self.wait_for(self.state.lock(), None, |call| Input::Who { call, key })
    }

    /// The same, without waiting.
    pub(crate) fn who_start(&self, key: Key, done: Completion<Done>) -> Result<(), Error> {
        let seat = self.seat_for(&done)?;
        let state = self.state.lock();
        self.begin(state, seat, done, |call| Input::Who { call, key })
    }

    /// Asks Consul for all that hold a key or wait for it.
    pub(crate) fn who_all(&self, key: Key) -> Outcome {
        self.wait_for(self.state.lock(), None, |call| Input::WhoAll { call, key })
    }

    /// The same, without waiting.
    pub(crate) fn who_all_start(&self, key: Key, done: Completion<Done>) -> Result<(), Error> {
        let seat = self.seat_for(&done)?;
        let state = self.state.lock();
        self.begin(state, seat, done, |call| Input::WhoAll { call, key })
    }

    /// The statistics of the client, as JSON.
    pub(crate) fn stats(&self) -> String {
        let threads = self.workers.threads() + usize::from(self.callbacks.is_running());
        let state = self.state.lock();
        state.stats.json(&Elsewhere {
            retries: state.core.retries(),
            observers: state.observers.len(),
            threads: threads + usize::from(state.timer.until().is_some()),
            connections: self.wires.connections(),
        })
    }

    /// No client and no lock is left that could ask for anything: the threads end as soon as nothing is under way.
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Release);
        self.drain();
    }

    fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// The library keeps no session for reuse from now on.
    pub(crate) fn drain(&self) {
        self.take(Input::Drain);
    }

    /// Waits until nothing is under way and no session is kept. False: that was not so by the deadline.
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
        mut state: Guard<'_, RuntimeState>,
        id: Option<LockId>,
        input: impl FnOnce(CallId) -> Input,
    ) -> Outcome {
        let slot = Arc::new(OutcomeSlot::new());
        let call = state.add(Caller::Parked(slot.clone()))?;
        drop(state);
        let mut jobs = self.step(input(call));
        while !jobs.is_empty() {
            // The requests of other locks must not wait for that of this one, which may take its time.
            let mine = |job: &RequestJob| id.is_some() && job.lock == id && job.lane != Lane::Long;
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
            // No timer keeps the time: the system gave no thread for it.
            self.take(Input::Tick);
        }
    }

    /// Makes a thread of the library.
    fn spawn(&self, run: impl FnOnce(Arc<Runtime>) + Send + 'static) -> Result<(), std::io::Error> {
        /// Enough for an exchange: HTTP, TLS and the JSON parser stay far below it.
        const STACK: usize = 512 << 10;
        let Some(me) = self.me.upgrade() else {
            return Err(std::io::ErrorKind::NotFound.into());
        };
        thread(STACK, move || run(me))
    }
}

#[cfg(test)]
mod tests;
