//! Outcomes that wait until what the lock left in Consul is undone.

use std::time::Duration;

use crate::clock::Time;
use crate::core::interface::{CallId, Outcome};
use crate::core::outbox::Outbox;

/// The calls of one lock whose outcome is decided.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The pool removes what the lock left in Consul.
    undoing: bool,
    waiting: Vec<Waiting>,
}

#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
struct Waiting {
    call: CallId,
    by: Time,
    when_undone: Outcome,
    when_late: Outcome,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn wake_at(&self) -> Option<Time> {
        self.waiting.iter().map(|waiting| waiting.by).min()
    }

    pub(super) fn begin_undoing(&mut self) {
        self.undoing = true;
    }

    /// Tells the outcome when the undoing is over, or `within` that time.
    pub(super) fn tell_when_undone(
        &mut self,
        out: &mut Outbox,
        call: CallId,
        within: Duration,
        when_undone: Outcome,
        when_late: Outcome,
    ) {
        if !self.undoing {
            return out.tell(call, when_undone);
        }
        self.waiting.push(Waiting {
            call,
            by: out.time() + within,
            when_undone,
            when_late,
        });
    }

    /// The undoing is over.
    pub(super) fn undone(&mut self, out: &mut Outbox, confirmed: bool) {
        self.undoing = false;
        for waiting in std::mem::take(&mut self.waiting) {
            if confirmed {
                out.tell(waiting.call, waiting.when_undone);
            } else {
                out.tell_late(waiting.call, waiting.when_late);
            }
        }
    }

    /// Tells the outcomes whose time is up.
    pub(super) fn tell_late(&mut self, out: &mut Outbox) {
        let now = out.time();
        for late in self.waiting.extract_if(.., |waiting| now >= waiting.by) {
            out.tell_late(late.call, late.when_late);
        }
    }
}
