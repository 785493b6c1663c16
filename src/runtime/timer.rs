//! The timer: one thread that wakes the core at the instants that the core asks for.

use std::sync::Condvar;
use std::time::Duration;

use super::{Runtime, RuntimeState};
use crate::clock::Time;
use crate::core::Input;
use crate::error::{Error, Status};
use crate::lockorder::Guard;
use crate::threads::LINGER;

/// A Condvar counts CLOCK_MONOTONIC, which stands still while the machine sleeps, and so oversleeps
/// a suspend: the thread looks at the real clock at least this often.
const SLICE: Duration = Duration::from_secs(1);

/// How often a caller looks whether the timer still runs.
const SAFETY_NET: Duration = Duration::from_secs(5);

/// Where the timer sleeps.
#[derive(Debug, Default)]
pub(super) struct Timer {
    sooner: Condvar,
}

/// What the timer is doing, guarded by the state's mutex.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// When the timer looks at the clock again, at the latest; None: there is no thread.
    until: Option<Time>,
}

impl Schedule {
    /// The same, for others.
    pub(super) fn until(&self) -> Option<Time> {
        self.until
    }
}

impl Runtime {
    /// Has the timer wake in time. In a hot loop the timer already sleeps until an instant that is early
    /// enough, and this costs nothing.
    pub(super) fn set_timer(&self, state: &mut Guard<'_, RuntimeState>) {
        if let Some(at) = state.wake_at() {
            self.wake_timer(state, at);
        } else if state.timer.until.is_none() && self.wires.has_idle() {
            // The timer closes idle connections. Without it they would stay for ever.
            self.wake_timer(state, Time::now() + LINGER);
            if state.timer.until.is_none() {
                self.wires.close_all_idle();
            }
        }
    }

    /// Has the timer look at the clock at `at`, at the latest.
    pub(super) fn wake_timer(&self, state: &mut Guard<'_, RuntimeState>, at: Time) {
        match state.timer.until {
            Some(until) if until <= at => {}
            Some(_) => {
                state.timer.until = Some(at);
                self.timer.sooner.notify_one();
            }
            None => {
                // Where the system gives no thread, the next step tries again, and the callers that wait
                // keep the time: see [`Runtime::time_left_alone`].
                if self.spawn(|runtime| runtime.keep_time()).is_ok() {
                    state.timer.until = Some(at);
                }
            }
        }
    }

    /// Makes sure that the timer runs, for calls without a caller that waits.
    pub(super) fn have_timer(&self, state: &mut Guard<'_, RuntimeState>) -> Result<(), Error> {
        if state.timer.until.is_none() {
            self.spawn(|runtime| runtime.keep_time()).map_err(|error| {
                let why = format!("cannot start a thread (timer): {error}");
                Error::new(Status::NoResources, why)
            })?;
            state.timer.until = Some(Time::now() + SLICE);
        }
        Ok(())
    }

    /// How long a caller may sleep before it looks after the core itself: without a timer until the core
    /// wants to be woken, and else only as a safety net.
    pub(super) fn time_left_alone(&self) -> Duration {
        let state = self.state.lock();
        match (state.timer.until, state.wake_at()) {
            (None, Some(at)) => at.since(Time::now()).min(SLICE),
            _ => SAFETY_NET,
        }
    }

    /// Has the threads end at once: no client and no lock is left, and nothing is under way.
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
                    // The timer closes the idle connections, and so outlives them.
                    let lately =
                        !self.is_left() && (now.since(since) < LINGER || self.wires.has_idle());
                    let wanted = lately || state.calls.has_completions() || state.owes();
                    if !wanted || state.broken {
                        state.timer.until = None;
                        return;
                    }
                    now + LINGER
                }
            };
            if wake_at <= now || queued {
                drop(state);
                self.take(Input::Tick);
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
            // An instant that a step asked for stands, also when the step after it asked for a later one. In a
            // hot loop each release asks for such an instant, and each acquire takes that back: a timer that
            // slept for longer after the acquire would be woken by the next release.
            let asked = state.timer.until.filter(|asked| *asked > now);
            let next = asked.map_or(next, |asked| asked.min(next));
            state.timer.until = Some(next);
            let sleep = next.since(now);
            state = state.wait_timeout(&self.timer.sooner, sleep).0;
        }
    }
}
