//! The calls that wait for their outcome: a caller sleeps, or a completion gets it.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar};
use std::time::Duration;

use crate::callbacks::{Completion, Seat};
use crate::core::{CallId, Done, Outcome};
use crate::error::Error;
use crate::lockorder::{Mutex, Rank};

/// What gets the outcome of a call.
pub(super) enum Caller {
    /// A thread of the host's, which waits.
    Parked(Arc<OutcomeSlot>),
    /// A completion. With a seat it is the host's code, for the thread for callbacks.
    Completion(Option<Seat>, Completion<Done>),
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Caller::Parked(_) => "Parked",
            Caller::Completion(..) => "Completion",
        })
    }
}

/// The calls of a client that have no outcome yet.
#[derive(Debug, Default)]
pub(super) struct PendingCalls {
    waiting: BTreeMap<CallId, Caller>,
    completions: usize,
    /// Outcomes to tell when the state is unlocked.
    prompt: Vec<(Completion<Done>, Outcome)>,
    last: u64,
}

impl PendingCalls {
    /// The number of a new call.
    pub(super) fn new_call(&mut self) -> CallId {
        self.last += 1;
        CallId(self.last)
    }

    pub(super) fn add(&mut self, caller: Caller) -> CallId {
        let call = self.new_call();
        self.completions += usize::from(matches!(caller, Caller::Completion(..)));
        self.waiting.insert(call, caller);
        call
    }

    pub(super) fn tell(&mut self, call: CallId, outcome: Outcome) {
        match self.waiting.remove(&call) {
            Some(Caller::Parked(slot)) => slot.tell(outcome),
            Some(Caller::Completion(seat, done)) => {
                self.completions -= 1;
                match seat {
                    Some(seat) => seat.run(move || done.tell(outcome)),
                    None => self.prompt.push((done, outcome)),
                }
            }
            None => {}
        }
    }

    /// Ends all calls with an error.
    pub(super) fn fail_all(&mut self, error: &Error) {
        let calls: Vec<CallId> = self.waiting.keys().copied().collect();
        for call in calls {
            self.tell(call, Err(error.clone()));
        }
    }

    /// Completions wait: no thread of the host keeps the time for them.
    pub(super) fn has_completions(&self) -> bool {
        self.completions > 0
    }

    pub(super) fn take_prompt(&mut self) -> Vec<(Completion<Done>, Outcome)> {
        std::mem::take(&mut self.prompt)
    }
}

/// Tells the outcomes that [`PendingCalls::take_prompt`] gave.
pub(super) fn tell_all(outcomes: Vec<(Completion<Done>, Outcome)>) {
    for (completion, outcome) in outcomes {
        // A panic in a completion must not stop the rest of the step.
        let _ = catch_unwind(AssertUnwindSafe(|| completion.tell(outcome)));
    }
}

/// Where a caller waits for its outcome.
#[derive(Debug)]
pub(super) struct OutcomeSlot {
    state: Mutex<SlotState>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct SlotState {
    outcome: Option<Outcome>,
    /// The caller sleeps. To wake a caller that does not sleep would still be a system call.
    parked: bool,
}

impl OutcomeSlot {
    pub(super) fn new() -> OutcomeSlot {
        OutcomeSlot {
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

    pub(super) fn is_told(&self) -> bool {
        self.state.lock().outcome.is_some()
    }

    /// Waits for the outcome; None: there is none after `at_most`.
    pub(super) fn wait(&self, at_most: Duration) -> Option<Outcome> {
        let mut state = self.state.lock();
        if state.outcome.is_none() {
            state.parked = true;
            state = state.wait_timeout(&self.told, at_most).0;
            state.parked = false;
        }
        state.outcome.take()
    }
}
