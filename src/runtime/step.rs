//! Takes an input to the core, and carries out the actions that the core answers with.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::calls::tell_all;
use super::losses::LossListener;
use super::observers::ObserverListener;
use super::requests::{Flight, RequestJob};
use super::stats::RequestKind;
use super::{Observed, Runtime, RuntimeState, defect};
use crate::clock::{Now, Time};
use crate::consul::interrupt::Interrupt;
use crate::core::{Action, Input, LockId, ObserverId, Phase, View};
use crate::log::{self, Level};

/// What a step leaves to do when the state is unlocked.
#[derive(Default)]
struct Afterwards {
    jobs: Vec<RequestJob>,
    aborted: Vec<Interrupt>,
    lines: Vec<(Level, String)>,
    /// To drop them may run code of the host.
    silenced: Vec<LossListener>,
    /// Observers with news.
    observers: Vec<(ObserverId, Arc<ObserverListener>)>,
    /// The listener of an observer that ends.
    unobserved: Option<Arc<ObserverListener>>,
    /// Locks whose keeper is gone, and whether they were just taken.
    orphans: Vec<(LockId, bool)>,
}

impl Runtime {
    /// Takes an input to the core, and hands all requests that the core asks for to the workers.
    pub(super) fn take(&self, input: Input) {
        let jobs = self.step(input);
        self.hand_over(jobs);
    }

    /// Takes an input to the core, and carries out everything but the requests that the core asks for.
    /// Then it ends the locks whose keeper is gone, one after the other: each end may bring the next one
    /// up, and there may be thousands.
    pub(super) fn step(&self, input: Input) -> Vec<RequestJob> {
        let (mut jobs, mut orphans) = self.step_once(input);
        while let Some((id, just_taken)) = orphans.pop() {
            let Some(end) = self.end_of_orphan(id, just_taken) else {
                continue;
            };
            let (more, further) = self.step_once(end);
            jobs.extend(more);
            orphans.extend(further);
        }
        jobs
    }

    /// Takes one input. Also returns the locks whose keeper is gone: the last one is to be ended first.
    fn step_once(&self, input: Input) -> (Vec<RequestJob>, Vec<(LockId, bool)>) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut after = Afterwards::default();
        state.take_in(input, &mut after);
        let prompt = state.calls.take_prompt();
        if state.broken {
            drop(guard);
            tell_all(prompt);
            for (_, listener) in after.observers {
                listener.tell();
            }
            return (Vec::new(), Vec::new());
        }
        let leave = self.is_left() && !state.owes();
        if leave || state.idle_watchers > 0 && state.core.is_idle() {
            self.idle.notify_all();
        }
        self.set_timer(&mut guard);
        drop(guard);
        if leave {
            self.end_threads();
        }
        tell_all(prompt);
        for interrupt in after.aborted {
            interrupt.end();
        }
        drop(after.silenced);
        drop(after.unobserved);
        for (observer, listener) in after.observers {
            if !listener.tell() {
                after.jobs.extend(self.step(Input::Unobserve(observer)));
            }
        }
        for (level, line) in after.lines {
            log::write(level, &line);
        }
        // The library releases a lock that was just taken, whatever else it was to do with the lock.
        let (just_taken, mut orphans): (Vec<_>, Vec<_>) = after
            .orphans
            .into_iter()
            .partition(|(_, just_taken)| *just_taken);
        orphans.extend(just_taken);
        (after.jobs, orphans)
    }
}

impl RuntimeState {
    fn take_in(&mut self, input: Input, after: &mut Afterwards) {
        if let Input::Reply {
            request, answer, ..
        } = &input
            && let Some(flight) = self.flights.remove(request)
        {
            self.stats.answered(flight.kind, answer);
        }
        if let Input::Unobserve(observer) = &input {
            after.unobserved = self.observers.remove(observer);
        }
        if self.broken {
            return;
        }
        let mut actions = std::mem::take(&mut self.actions);
        let now = Now::read();
        let step = AssertUnwindSafe(|| self.core.step(now, input, &mut actions));
        if catch_unwind(step).is_err() {
            self.break_down();
            for (observer, listener) in &self.observers {
                listener.note(Err(defect()));
                after.observers.push((*observer, listener.clone()));
            }
            return;
        }
        for action in actions.drain(..) {
            self.carry_out(action, now.time, after);
        }
        self.actions = actions;
    }

    fn carry_out(&mut self, action: Action, now: Time, after: &mut Afterwards) {
        match action {
            Action::Send {
                id,
                request,
                by,
                lane,
                lock,
            } => {
                let job = RequestJob {
                    id,
                    request,
                    by,
                    lane,
                    lock,
                    interrupt: Interrupt::default(),
                    ahead: None,
                };
                self.send(job, after);
            }
            Action::Abort(id) => {
                let flight = self.flights.get(&id);
                let interrupt = flight.map(|flight| flight.interrupt.clone());
                after.aborted.extend(interrupt);
            }
            Action::Tell { call, outcome } => self.calls.tell(call, outcome),
            Action::Publish { lock, view } => self.publish(lock, view, now, after),
            Action::Lost { lock, why } => {
                if let Some(listener) = self.listeners.remove(&lock) {
                    listener.tell(why);
                }
            }
            Action::Observed { observer, seen } => {
                if let Some(listener) = self.observers.get(&observer) {
                    listener.note(seen);
                    after.observers.push((observer, listener.clone()));
                }
            }
            Action::Forget(id) => {
                self.locks.remove(&id);
                after.silenced.extend(self.listeners.remove(&id));
            }
            Action::Log { level, line } => after.lines.push((level, line)),
        }
    }

    fn send(&mut self, job: RequestJob, after: &mut Afterwards) {
        let flight = Flight {
            interrupt: job.interrupt.clone(),
            kind: RequestKind::of(&job.request),
        };
        self.stats.asked(flight.kind);
        self.flights.insert(job.id, flight);
        let orphan = job.lock.filter(|id| self.is_orphan(*id));
        after.orphans.extend(orphan.map(|id| (id, false)));
        after.jobs.push(job);
    }

    fn publish(&mut self, id: LockId, view: View, now: Time, after: &mut Afterwards) {
        let Some(observed) = self.locks.get_mut(&id) else {
            return;
        };
        match (view.phase, &observed.promise) {
            (Phase::Held, None) => observed.promise = Some(self.promises.one()),
            (Phase::Lost | Phase::Over, Some(_)) => observed.promise = None,
            _ => {}
        }
        let Observed { shown, since, .. } = observed;
        let mut seen = shown.0.lock();
        *since = self.stats.moved(&seen, &view, *since, now);
        let (was, is) = (seen.phase, view.phase);
        *seen = view;
        drop(seen);
        if is == Phase::Held && self.is_orphan(id) {
            after.orphans.push((id, was != Phase::Held));
        }
    }
}
