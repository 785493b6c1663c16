//! One thread that wakes the core when it asked for it, while it asks for anything.

use std::sync::Condvar;
use std::time::Duration;

use super::{Runtime, State};
use crate::clock::Time;
use crate::core::Input;
use crate::error::{Error, Status};
use crate::lockorder::Guard;
use crate::threads::LINGER;

/// A Condvar counts CLOCK_MONOTONIC, which stands still while the machine sleeps, and so oversleeps
/// a suspend: the thread looks at the real clock at least this often.
const SLICE: Duration = Duration::from_secs(1);

/// How often a caller looks whether there is still a thread that keeps the time.
const SAFETY_NET: Duration = Duration::from_secs(5);

/// Where the thread sleeps.
#[derive(Debug, Default)]
pub(super) struct Timer {
    sooner: Condvar,
}

/// What the thread is doing, guarded by the state's mutex.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// There is a thread; it looks at the clock again at this instant at the latest.
    until: Option<Time>,
}

impl Schedule {
    /// When the thread looks at the clock again; None: there is none.
    pub(super) fn until(&self) -> Option<Time> {
        self.until
    }
}

impl Runtime {
    /// Has the timer wake in time. In a hot loop the thread sleeps until an instant that is early
    /// enough already, and this costs nothing.
    pub(super) fn set_timer(&self, state: &mut Guard<'_, State>) {
        if let Some(at) = state.wake_at() {
            self.wake_timer(state, at);
        } else if state.timer.until.is_none() && self.wires.has_idle() {
            // It closes them. Without it they would stay for ever.
            self.wake_timer(state, Time::now() + LINGER);
            if state.timer.until.is_none() {
                self.wires.close_all_idle();
            }
        }
    }

    /// Has the timer look at the clock at `at`, at the latest.
    pub(super) fn wake_timer(&self, state: &mut Guard<'_, State>, at: Time) {
        match state.timer.until {
            Some(until) if until <= at => {}
            Some(_) => {
                state.timer.until = Some(at);
                self.timer.sooner.notify_one();
            }
            None => {
                // Without a thread for it (the next step tries again) the callers that wait keep
                // the time: see [`Runtime::time_left_alone`].
                if self.spawn(|runtime| runtime.keep_time()).is_ok() {
                    state.timer.until = Some(at);
                }
            }
        }
    }

    /// Makes sure that there is a thread that keeps the time, for calls that nobody waits for.
    pub(super) fn have_timer(&self, state: &mut Guard<'_, State>) -> Result<(), Error> {
        if state.timer.until.is_none() {
            self.spawn(|runtime| runtime.keep_time()).map_err(|error| {
                let why = format!("cannot start a thread (timer): {error}");
                Error::new(Status::NoResources, why)
            })?;
            state.timer.until = Some(Time::now() + SLICE);
        }
        Ok(())
    }

    /// How long a caller may sleep before it looks after the core itself: until the core wants to be
    /// woken if there is no timer thread, and else only as a safety net.
    pub(super) fn time_left_alone(&self) -> Duration {
        let state = self.state.lock();
        match (state.timer.until, state.wake_at()) {
            (None, Some(at)) => at.since(Time::now()).min(SLICE),
            _ => SAFETY_NET,
        }
    }

    /// Neither clients nor locks are left, and nothing is owed: no thread lingers.
    pub(super) fn end_threads(&self) {
        self.timer.sooner.notify_one();
        self.wake_workers();
    }

    fn keep_time(&self) {
        let mut idle_since = None;
        let mut state = self.state.lock();
        loop {
            let now = Time::now();
            if self.wires.has_aged(now) {
                drop(state);
                self.wires.close_aged(now);
                state = self.state.lock();
            }
            let queued = self.workers.are_behind();
            let wake_at = match state.wake_at() {
                Some(at) => {
                    idle_since = None;
                    at.min(now + SLICE)
                }
                None if queued => now + SLICE,
                None => {
                    let since = *idle_since.get_or_insert(now);
                    // Connections end as threads do, and so before it.
                    let lately =
                        !self.is_left() && (now.since(since) < LINGER || self.wires.has_idle());
                    let wanted = lately || state.called_back > 0 || state.owes();
                    if !wanted || state.broken {
                        state.timer.until = None;
                        return;
                    }
                    now + LINGER
                }
            };
            if wake_at <= now || queued {
                drop(state);
                let jobs = self.step(Input::Tick, None);
                self.hand_over(jobs);
                self.refuse_late(Time::now());
                state = self.state.lock();
                if state.wake_at().is_some_and(|at| at <= Time::now()) {
                    continue;
                }
            }
            let now = Time::now();
            let next = state
                .wake_at()
                .map_or(now + SLICE, |at| at.min(now + SLICE));
            state.timer.until = Some(next);
            let sleep = next.since(now);
            state = state.wait_timeout(&self.timer.sooner, sleep).0;
        }
    }
}
