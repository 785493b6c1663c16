//! From an exclusive lock to a share of its key, and back, without a gap.
//!
//! ```text
//!   downgrade:  Turning ──▶ a share
//!   upgrade:    Turning ──▶ Draining ⇄ Proving ──▶ exclusive
//!                  │            └─ the time is up: Turning back ──▶ a share
//!                  └─ another session has the key: still a share
//! ```
//!
//! One transaction gives up the one row and takes the other, so that no other session comes between. Where the answer
//! is lost, the library sends the same transaction again; where Consul refuses the copy, the row that it was to take
//! says whether Consul had applied the first.

use super::alarms::Owner;
use super::claim::Claim;
use super::context::Context;
use super::failures::Failures;
use super::interface::{CallId, LockId, Patience, RequestId};
use super::lease::Session;
use super::messages::{Found, Limit, Request, Sharer, Slot};
use crate::clock::Time;
use crate::error::Error;

/// What a caller wants of a held lock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// To share the key.
    Share,
    /// To hold it alone, after a wait for the others that share it.
    Exclusive(Patience),
}

impl Goal {
    /// The beginning of the error text.
    pub(super) fn failed(self) -> &'static str {
        match self {
            Goal::Share => "could not downgrade the lock",
            Goal::Exclusive(_) => "could not upgrade the lock",
        }
    }
}

/// A change under way.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct Change {
    pub(super) call: CallId,
    pub(super) goal: Goal,
    /// When a request is given up that turns the lock.
    pub(super) by: Time,
    /// When the wait for the others ends.
    pub(super) deadline: Option<Time>,
    pub(super) step: ChangeStep,
    pub(super) request: Option<RequestId>,
    /// When to go on, after a failure.
    pub(super) again: Option<Time>,
    pub(super) failures: Failures,
    /// The ModifyIndex of the row that the lock is: a late copy of a transaction turns only that very row.
    pub(super) token: u64,
    /// What the key was when the library last saw it.
    pub(super) found: Found,
    /// The share before the upgrade.
    pub(super) share: Option<(Limit, Slot)>,
    /// Why the upgrade turns back.
    pub(super) turned_back: Option<Error>,
    /// A caller ended the wait before it began: Consul had not answered yet.
    pub(super) cancelled: Option<Error>,
    /// The last that were seen to share the key.
    pub(super) sharers: Vec<Sharer>,
}

#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) enum ChangeStep {
    /// The transaction that turns the lock, kept to be repeated byte for byte. True: an answer to it was lost.
    Turning(Box<Request>, bool),
    /// The row that a refused copy of that transaction was to take: Consul may have applied an earlier one.
    Confirming(Box<Request>),
    /// The row that the lock is: another program has written it, so it has another index.
    Rereading(Box<Request>, bool),
    /// The key, which is not as the transaction expected it.
    Looking,
    /// The key is the lock's, and others still share it.
    Draining,
    /// Is it still the lock's, and do others still share it?
    Proving,
}

impl Change {
    /// When to go on, at the latest.
    pub(super) fn next(&self) -> Option<Time> {
        let deadline = self
            .deadline
            .filter(|_| matches!(self.step, ChangeStep::Draining | ChangeStep::Proving));
        self.again.into_iter().chain(deadline).min()
    }

    /// The request is this change's.
    pub(super) fn asked(&self, request: RequestId) -> bool {
        self.request == Some(request)
    }

    /// The library knows which rows the lock is.
    pub(super) fn rows_are_known(&self) -> bool {
        matches!(self.step, ChangeStep::Draining | ChangeStep::Proving)
    }

    /// No request of this change can have changed anything.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(
            self.step,
            ChangeStep::Turning(_, false) | ChangeStep::Looking
        ) && self.turned_back.is_none()
    }

    /// The watch of one that shares the key found something.
    pub(super) fn saw(
        &mut self,
        ctx: &mut Context,
        claim: &Claim,
        session: &Session,
        lock: LockId,
    ) {
        if let ChangeStep::Draining = self.step {
            self.prove(ctx, claim, session, lock);
        }
    }

    pub(super) fn prove(
        &mut self,
        ctx: &mut Context,
        claim: &Claim,
        session: &Session,
        lock: LockId,
    ) {
        self.step = ChangeStep::Proving;
        let request = Request::Prove {
            rows: claim.rows(),
            session: session.id.clone(),
            gates: claim.rows(),
        };
        let by = session.lease.end();
        self.request = Some(ctx.out.send(Owner::Lock(lock), request, by));
    }

    /// Ends the change. Answers whether a request of it may still be on its way.
    pub(super) fn end(self, ctx: &mut Context, lock: LockId, error: &Error) -> bool {
        ctx.watches.unwatch(&mut ctx.out, lock);
        if let Some(request) = self.request {
            ctx.out.abort(request);
        }
        ctx.out.tell_late(self.call, Err(error.clone()));
        !self.rows_are_known()
    }
}
