//! The lock algorithm: pure, without I/O, clock, thread or global. The same seed and the same inputs give the
//! same actions, so the simulation can run it millions of times.
//!
//! Each client has one [`Core`], behind the client's mutex: a thread with an input locks, steps, unlocks and then
//! performs the actions.

mod acquire;
mod alarms;
mod census;
mod change;
mod claim;
mod context;
mod failures;
mod footing;
mod held;
mod inquiry;
mod interface;
mod lease;
mod life;
mod lock;
pub(crate) mod locked_at;
mod log;
pub mod messages;
mod monitor;
mod observer;
mod outbox;
mod pool;
mod recorder;
mod release;
mod rows;
#[cfg(test)]
pub(crate) mod sabotage;
mod splitmix;
mod upkeep;
mod waiters;
mod watch;

use std::collections::BTreeMap;

use crate::clock::{Now, Time};
use alarms::{Alarm, Owner};
use census::Census;
use context::Context;
use inquiry::Inquiry;
pub use interface::*;
use life::LockEvent;
use lock::Machine;
use messages::{Answer, Fault};
use observer::Observers;
pub(crate) use watch::Budget;
use watch::Watcher;

/// All locks and warm sessions of one client.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub struct Core {
    ctx: Context,
    locks: BTreeMap<LockId, Machine>,
    inquiries: BTreeMap<CallId, Inquiry>,
    censuses: BTreeMap<CallId, Census>,
    observers: Observers,
}

impl Core {
    /// A core without locks.
    pub fn new(config: Config) -> Core {
        Core {
            ctx: Context::new(config),
            locks: BTreeMap::new(),
            inquiries: BTreeMap::new(),
            censuses: BTreeMap::new(),
            observers: Observers::default(),
        }
    }

    /// Builds a defect in.
    #[cfg(test)]
    pub(crate) fn sabotage(&mut self, sabotage: sabotage::Sabotage) {
        self.ctx.out.sabotage = Some(sabotage);
    }

    /// From now on nothing is left to chance: each random number is 0.
    #[cfg(test)]
    pub(crate) fn be_steady(&mut self) {
        self.ctx.out.is_steady = true;
    }

    /// What the round trips so far still decide: the fastest of the last eight answers, now and after each answer
    /// that is slower than all of these.
    #[cfg(test)]
    pub(crate) fn fastest(&self) -> Vec<std::time::Duration> {
        self.ctx.out.fastest()
    }

    /// Takes in one input, and adds what to do to `actions`.
    pub fn step(&mut self, now: Now, input: Input, actions: &mut Vec<Action>) {
        self.ctx.out.now = now;
        // All parts write into the caller's list.
        std::mem::swap(&mut self.ctx.out.actions, actions);
        match input {
            Input::Call { lock, call, what } => self.with_lock(lock, LockEvent::Call(call, what)),
            Input::Who { call, key } => {
                let inquiry = Inquiry::begin(&mut self.ctx.out, call, key);
                self.inquiries.insert(call, inquiry);
            }
            Input::WhoAll { call, key } => {
                let census = Census::begin(&mut self.ctx.out, call, key);
                self.censuses.insert(call, census);
            }
            Input::Observe { observer, key } => {
                self.observers.begin(&mut self.ctx, observer, key);
            }
            Input::Unobserve(observer) => self.observers.end(&mut self.ctx, observer),
            Input::Reply {
                request,
                sent,
                answer,
            } => self.replied(request, sent, answer),
            Input::Drain => self.ctx.drain(),
            Input::Tick => {}
        }
        self.sound_alarms();
        std::mem::swap(&mut self.ctx.out.actions, actions);
    }

    /// When to feed [`Input::Tick`], at the latest.
    pub fn wake_at(&self) -> Option<Time> {
        self.ctx.out.alarms.next()
    }

    /// How often the core tried a request again after a pause, because Consul gave no usable answer or a
    /// lock-delay ran.
    pub fn retries(&self) -> u64 {
        self.ctx.out.retries
    }

    /// The core owes nothing to callers or to Consul, and keeps no session warm.
    pub fn is_idle(&self) -> bool {
        self.ctx.pool.is_idle()
            && self.inquiries.is_empty()
            && self.censuses.is_empty()
            && !self.locks.values().any(Machine::is_busy)
    }

    fn replied(&mut self, request: RequestId, sent: Option<Time>, answer: Result<Answer, Fault>) {
        let out = &mut self.ctx.out;
        let owner = out.owners.remove(&request);
        if let (Some(sent), Ok(_)) = (sent, &answer)
            && !matches!(owner, Some(Owner::Watch | Owner::Footing))
        {
            out.note_round_trip(out.time().since(sent));
        }
        // An aborted request has no owner any more.
        let Some(owner) = owner else { return };
        match owner {
            Owner::Lock(lock) | Owner::Upkeep(lock) => {
                let event = LockEvent::Reply {
                    request,
                    sent,
                    answer,
                };
                self.with_lock(lock, event);
            }
            Owner::Undoing(undoing) => self.ctx.pool.undoing_replied(out, undoing, answer),
            Owner::Warm => self.ctx.pool.warm_replied(out, request, sent, &answer),
            Owner::Watch => self.ctx.watches.replied(out, request, answer),
            Owner::Census(call) => {
                let Some(census) = self.censuses.get_mut(&call) else {
                    return;
                };
                let over = census.replied(out, request, answer);
                let again = census.wake_at().filter(|_| !over);
                out.alarms.set(Alarm::Census(call), again);
                if over {
                    self.censuses.remove(&call);
                }
            }
            Owner::Observers(key) => self.observers.replied(&mut self.ctx, key, answer),
            Owner::Footing => self.ctx.footing.replied(out, &self.ctx.holding, answer),
            Owner::Inquiry(call) => {
                let Some(inquiry) = self.inquiries.get_mut(&call) else {
                    return;
                };
                let over = inquiry.replied(out, request, answer);
                let again = inquiry.wake_at().filter(|_| !over);
                out.alarms.set(Alarm::Inquiry(call), again);
                if over {
                    self.inquiries.remove(&call);
                }
            }
        }
    }

    /// Does everything that is due, and what follows from it.
    fn sound_alarms(&mut self) {
        loop {
            for (lock, confirmed) in self.ctx.pool.take_undone() {
                if self.locks.contains_key(&lock) {
                    self.with_lock(lock, LockEvent::Undone(confirmed));
                }
            }
            let first = self.ctx.waiters.take_first();
            let seen = self.ctx.watches.take_observations();
            if !first.is_empty() || !seen.is_empty() {
                for lock in first {
                    self.with_lock(lock, LockEvent::First);
                }
                for (watcher, seen) in seen {
                    match watcher {
                        Watcher::Lock(lock) => self.with_lock(lock, LockEvent::Saw(seen)),
                        Watcher::Observers(key) => {
                            self.observers.observed(&mut self.ctx, key, seen);
                        }
                    }
                }
                continue;
            }
            let out = &mut self.ctx.out;
            let Some(alarm) = out.alarms.take_due(out.now.time) else {
                return;
            };
            match alarm {
                Alarm::Lock(lock) => self.with_lock(lock, LockEvent::Alarm),
                Alarm::Undoing(undoing) => self.ctx.pool.run_undoing(out, undoing),
                Alarm::Warm => self.ctx.pool.tend_warm(out),
                Alarm::Watches => self.ctx.watches.tend(out),
                Alarm::Footing => self.ctx.footing.look(out, &self.ctx.holding),
                Alarm::Census(call) => {
                    if let Some(census) = self.censuses.get_mut(&call) {
                        census.alarm(out);
                    }
                }
                Alarm::Observers(key) => self.observers.alarm(&mut self.ctx, key),
                Alarm::Inquiry(call) => {
                    if let Some(inquiry) = self.inquiries.get_mut(&call) {
                        inquiry.alarm(out);
                    }
                }
            }
        }
    }

    /// Lets one lock act, and forgets a lock that is over.
    fn with_lock(&mut self, lock: LockId, event: LockEvent) {
        let machine = self.locks.entry(lock).or_insert_with(|| Machine::new(lock));
        machine.take_in(&mut self.ctx, event);
        let out = &mut self.ctx.out;
        if machine.is_forgotten() {
            self.locks.remove(&lock);
            out.alarms.set(Alarm::Lock(lock), None);
            out.actions.push(Action::Forget(lock));
        } else if machine.is_untouched() {
            self.locks.remove(&lock);
        }
    }
}
