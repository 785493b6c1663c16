//! One thread that wakes the core when it asked for it, while it asks for anything.

use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Duration;

use super::{LINGER, Runtime, State, lock};
use crate::clock::Time;
use crate::core::Event;

/// A Condvar counts CLOCK_MONOTONIC, which stands still while the machine sleeps, and so oversleeps
/// a suspend: the thread looks at the real clock at least this often.
const SLICE: Duration = Duration::from_secs(1);

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

impl Runtime {
    /// Has the timer wake in time. In a hot loop the thread sleeps until an instant that is early
    /// enough already, and this costs nothing.
    pub(super) fn set_timer(&self, state: &mut MutexGuard<'_, State>) {
        let Some(at) = state.core.wake_at() else {
            return;
        };
        match state.timer.until {
            Some(until) if until <= at => {}
            Some(_) => {
                state.timer.until = Some(at);
                self.timer.sooner.notify_one();
            }
            None => {
                // Without a thread for it (the next step tries again) callers that are inside still
                // step the core, and their requests have time limits of their own.
                if self.spawn(|runtime| runtime.keep_time()).is_ok() {
                    state.timer.until = Some(at);
                }
            }
        }
    }

    fn keep_time(&self) {
        let mut idle_since = None;
        let mut state = lock(&self.state);
        loop {
            let now = Time::now();
            let queued = self.workers.are_behind();
            let wake_at = match state.core.wake_at() {
                Some(at) => {
                    idle_since = None;
                    at.min(now + SLICE)
                }
                None if queued => now + SLICE,
                None => {
                    let since = *idle_since.get_or_insert(now);
                    if now.since(since) >= LINGER || state.broken {
                        state.timer.until = None;
                        return;
                    }
                    now + LINGER
                }
            };
            if wake_at <= now || queued {
                drop(state);
                let jobs = self.step(Event::Tick, None);
                self.hand_over(jobs);
                self.refuse_late(Time::now());
                state = lock(&self.state);
                if state.core.wake_at().is_some_and(|at| at <= Time::now()) {
                    continue;
                }
            }
            let now = Time::now();
            let next = state
                .core
                .wake_at()
                .map_or(now + SLICE, |at| at.min(now + SLICE));
            state.timer.until = Some(next);
            let sleep = next.since(now);
            state = self
                .timer
                .sooner
                .wait_timeout(state, sleep)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}
