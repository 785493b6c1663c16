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

use std::time::Duration;

use super::alarms::Owner;
use super::claim::Claim;
use super::context::Context;
use super::failures::Failures;
use super::held::HeldLock;
use super::interface::{CallId, Done, LockId, Outcome, Patience, RequestId};
use super::lease::Session;
use super::life::Fate;
use super::locked_at;
use super::messages::{Answer, Fault, Found, KeyRow, Limit, Request, Sharer, Slot, Target, Value};
use super::monitor::Monitor;
use super::watch::Need;
use crate::clock::Time;
use crate::error::{Error, Status};
use crate::key::MAX_SHARED_VALUE;

/// The library asks again after so long whether others still share the key, whatever the watch says.
const LONGEST_QUIET: Duration = Duration::from_secs(10);

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
    fn failed(self) -> &'static str {
        match self {
            Goal::Share => "could not downgrade the lock",
            Goal::Exclusive(_) => "could not upgrade the lock",
        }
    }
}

/// A change under way.
#[derive(Debug)]
pub(super) struct Change {
    call: CallId,
    goal: Goal,
    /// When a request is given up that turns the lock.
    by: Time,
    /// When the wait for the others ends.
    deadline: Option<Time>,
    step: Step,
    request: Option<RequestId>,
    /// When to go on, after a failure.
    again: Option<Time>,
    failures: Failures,
    /// What the key was when the library last saw it.
    found: Found,
    /// The share before the upgrade.
    share: Option<(Limit, Slot)>,
    /// Why the upgrade turns back.
    turned_back: Option<Error>,
    /// A caller ended the wait before it began: Consul had not answered yet.
    cancelled: Option<Error>,
    /// The last that were seen to share the key.
    sharers: Vec<Sharer>,
}

#[derive(Debug)]
enum Step {
    /// The transaction that turns the lock, kept to be repeated byte for byte. True: an answer to it was lost.
    Turning(Box<Request>, bool),
    /// The row that a refused copy of that transaction was to take: Consul may have applied an earlier one.
    Confirming(Box<Request>),
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
            .filter(|_| matches!(self.step, Step::Draining | Step::Proving));
        self.again.into_iter().chain(deadline).min()
    }

    /// The request is this change's.
    pub(super) fn asked(&self, request: RequestId) -> bool {
        self.request == Some(request)
    }

    /// The library knows which rows the lock is.
    pub(super) fn rows_are_known(&self) -> bool {
        matches!(self.step, Step::Draining | Step::Proving)
    }

    /// No request of this change can have changed anything.
    fn is_untouched(&self) -> bool {
        matches!(self.step, Step::Turning(_, false) | Step::Looking) && self.turned_back.is_none()
    }

    /// The watch of one that shares the key found something.
    pub(super) fn saw(
        &mut self,
        ctx: &mut Context,
        claim: &Claim,
        session: &Session,
        lock: LockId,
    ) {
        if let Step::Draining = self.step {
            self.prove(ctx, claim, session, lock);
        }
    }

    fn prove(&mut self, ctx: &mut Context, claim: &Claim, session: &Session, lock: LockId) {
        self.step = Step::Proving;
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

impl HeldLock {
    /// A caller wants to change the lock.
    pub(super) fn begin_change(&mut self, ctx: &mut Context, call: CallId, goal: Goal) {
        let refused = self.refusal(goal);
        if let Some(why) = refused {
            let error = ctx
                .out
                .error(Status::InvalidArgument, goal.failed(), &self.key, why);
            return ctx.out.tell(call, Err(error));
        }
        // A late copy of that downgrade would give up the key once more.
        if self.downgrade_in_doubt && matches!(goal, Goal::Exclusive(_)) {
            let error = ctx
                .out
                .error_from(&copy_may_come(), goal.failed(), &self.key);
            return ctx.out.tell(call, Err(error));
        }
        let now = ctx.out.time();
        let share = match (self.claim.share, goal) {
            (Some(share), _) => share,
            (None, _) => {
                let limit = self.spec.limit.unwrap_or(Limit::READERS);
                let seed = ctx.out.config.seed;
                let slot = ctx.waiters.share_slot(self.claim.keys.get(0), seed);
                (limit, Slot::new(u64::from(slot.get() % limit.get())))
            }
        };
        if let Some(monitor) = self.monitor.take() {
            monitor.end(ctx, self.lock);
        }
        let found = Found::Absent;
        let turn = match goal {
            Goal::Share => self.to_share(ctx, share),
            Goal::Exclusive(_) => self.to_exclusive(ctx, share, found),
        };
        self.change = Some(Change {
            call,
            goal,
            by: now + ctx.out.config.request_timeout,
            deadline: match goal {
                Goal::Share | Goal::Exclusive(Patience::Forever) => None,
                Goal::Exclusive(Patience::Once) => Some(now),
                Goal::Exclusive(Patience::For(budget)) => Some(now + budget),
            },
            step: Step::Turning(Box::new(turn), false),
            request: None,
            again: None,
            failures: Failures::default(),
            found,
            share: Some(share),
            turned_back: None,
            cancelled: None,
            sharers: Vec::new(),
        });
        self.turn(ctx);
    }

    /// Why the lock cannot be changed so.
    fn refusal(&self, goal: Goal) -> Option<&'static str> {
        match (goal, self.claim.share) {
            _ if self.change.is_some() => {
                Some("another downgrade or upgrade of it is still under way")
            }
            _ if self.claim.keys.are_several() => Some("it has several keys"),
            (Goal::Share, Some(_)) => Some("it shares its key already"),
            (Goal::Exclusive(_), None) => Some("it is exclusive already"),
            (Goal::Share, None) | (Goal::Exclusive(_), Some(_)) => None,
        }
    }

    fn to_share(&self, ctx: &Context, (limit, slot): (Limit, Slot)) -> Request {
        let given = self.spec.value.clone();
        let given = given.filter(|value| value.0.len() <= MAX_SHARED_VALUE);
        Request::Downgrade {
            key: self.claim.keys.get(0).clone(),
            session: self.session.id.clone(),
            limit,
            slot,
            value: given.unwrap_or_else(|| locked_at::stored(ctx.out.now.unix_ms)),
        }
    }

    fn to_exclusive(&self, ctx: &Context, (limit, slot): (Limit, Slot), found: Found) -> Request {
        let key = self.claim.keys.get(0).clone();
        let value: Option<Value> = self.spec.value.clone();
        Request::Upgrade {
            target: Target { key, found },
            session: self.session.id.clone(),
            limit,
            slot,
            value: value.unwrap_or_else(|| locked_at::stored(ctx.out.now.unix_ms)),
        }
    }

    /// Sends the request of the step.
    fn turn(&mut self, ctx: &mut Context) {
        let (lock, by) = (self.lock, self.session.lease.end());
        let key = self.claim.keys.get(0).clone();
        let Some(change) = &mut self.change else {
            return;
        };
        change.again = None;
        let request = match &change.step {
            Step::Turning(request, _) => (**request).clone(),
            Step::Confirming(turn) => Request::Read {
                key: row_to_take(turn).unwrap_or(key),
                consistent: true,
            },
            Step::Looking => Request::Read {
                key,
                consistent: true,
            },
            Step::Draining | Step::Proving => {
                return change.prove(ctx, &self.claim, &self.session, lock);
            }
        };
        change.request = Some(ctx.out.send(Owner::Lock(lock), request, by));
    }

    /// Time has passed.
    pub(super) fn change_goes_on(&mut self, ctx: &mut Context) -> Fate {
        let now = ctx.out.time();
        let Some(change) = &mut self.change else {
            return Fate::Stays;
        };
        let waits = matches!(change.step, Step::Draining | Step::Proving);
        if waits && change.deadline.is_some_and(|deadline| now >= deadline) {
            self.turn_back(ctx, None);
        } else if change.again.is_some_and(|at| now >= at) {
            self.turn(ctx);
        }
        Fate::Stays
    }

    /// A caller ends the wait of an upgrade.
    pub(super) fn cancel(&mut self, ctx: &mut Context) {
        let Some(change) = &mut self.change else {
            return;
        };
        if matches!(change.goal, Goal::Share) || change.turned_back.is_some() {
            return;
        }
        let what = "did not upgrade the lock";
        let why = "the upgrade was cancelled; the lock is a share, as before";
        let error = ctx.out.error(Status::Cancelled, what, &self.key, why);
        if change.rows_are_known() {
            self.turn_back(ctx, Some(error));
        } else if change.is_untouched() && change.request.is_none() {
            let call = change.call;
            self.finish(ctx, call, Err(error));
        } else {
            change.cancelled = Some(error);
        }
    }

    /// The exclusive lock that waits for others becomes the share that it was.
    fn turn_back(&mut self, ctx: &mut Context, why: Option<Error>) {
        let why = why.unwrap_or_else(|| self.still_shared(ctx));
        let Some(mut change) = self.change.take() else {
            return;
        };
        if let Some(request) = change.request.take() {
            ctx.out.abort(request);
        }
        ctx.watches.unwatch(&mut ctx.out, self.lock);
        change.turned_back = Some(why);
        if let Some(share) = change.share {
            change.step = Step::Turning(Box::new(self.to_share(ctx, share)), false);
        }
        self.change = Some(change);
        self.turn(ctx);
    }

    fn still_shared(&self, ctx: &Context) -> Error {
        let sharers = self
            .change
            .as_ref()
            .map_or(&[][..], |change| &change.sharers);
        let first = sharers.iter().min_by_key(|sharer| sharer.create_index);
        let first = first.map_or_else(String::new, |one| format!(": session {}", one.session));
        let others = match sharers.len() {
            1 => "another session still shares it".to_owned(),
            count => format!("{count} others still share it"),
        };
        let why = format!("{others}{first}; the lock is a share, as before");
        let what = "could not upgrade the lock";
        ctx.out.error(Status::NotAcquired, what, &self.key, &why)
    }

    /// Takes in an answer to a request of the change.
    pub(super) fn change_replied(
        &mut self,
        ctx: &mut Context,
        answer: Result<Answer, Fault>,
    ) -> Fate {
        let Some(mut change) = self.change.take() else {
            return Fate::Stays;
        };
        change.request = None;
        let step = std::mem::replace(&mut change.step, Step::Draining);
        let answer = match answer {
            Ok(Answer::Locked { index, .. }) if index <= self.session.last_token => {
                let why = "the answer belongs to an earlier request";
                Err(Fault::Unknown(Error::new(Status::Unavailable, why)))
            }
            answer => answer,
        };
        match (step, answer) {
            (Step::Turning(turn, _), Ok(Answer::Locked { index, below })) => {
                change.failures.clear();
                let sharers = below.into_iter().flat_map(|below| below.sharers).collect();
                self.turned(ctx, change, &turn, index, Some(sharers))
            }
            // Consul may have applied an earlier copy: then the other row is the session's.
            (Step::Turning(turn, true), Ok(Answer::NotOurs { .. } | Answer::Held)) => {
                change.step = Step::Confirming(turn);
                self.go_on(ctx, change)
            }
            (Step::Turning(..), Ok(Answer::NotOurs { taken })) => {
                self.change = Some(change);
                Fate::Lost(Fate::not_ours(taken))
            }
            (Step::Turning(turn, _), Ok(Answer::Held)) => match *turn {
                Request::Downgrade { limit, slot, .. } => {
                    // A row that no session of a lock of this library holds; the next slot will do.
                    let next = Slot::new(u64::from((slot.get() + 1) % limit.get()));
                    change.share = Some((limit, next));
                    let turn = self.to_share(ctx, (limit, next));
                    change.step = Step::Turning(Box::new(turn), false);
                    let failures = change.failures.pause_after(&mut ctx.out, &slot_taken());
                    change.again = Some(ctx.out.time() + failures);
                    self.change = Some(change);
                    Fate::Stays
                }
                _ => self.refuse(ctx, change, &taken_by_another()),
            },
            (Step::Turning(..), Ok(Answer::Changed)) => {
                change.step = Step::Looking;
                self.go_on(ctx, change)
            }
            (Step::Turning(turn, doubt), Ok(Answer::Delayed)) => {
                change.step = Step::Turning(turn, doubt);
                let delay = Error::new(Status::NotAcquired, "the lock-delay of the key runs");
                self.try_again(ctx, change, &delay)
            }
            (Step::Confirming(turn), Ok(Answer::Row { row, .. })) => {
                self.confirmed(ctx, change, turn, row)
            }
            (Step::Looking, Ok(Answer::Row { row, .. })) => self.looked_at_key(ctx, change, row),
            (Step::Proving, Ok(Answer::Proved { below, .. })) => {
                change.failures.clear();
                let token = self.session.last_token;
                let sharers = below.into_iter().flat_map(|below| below.sharers).collect();
                self.drain(ctx, change, token, sharers)
            }
            (Step::Proving, Ok(Answer::NotOurs { taken })) => {
                self.change = Some(change);
                Fate::Lost(Fate::not_ours(taken))
            }
            (_, Err(Fault::SessionGone(_))) => {
                self.change = Some(change);
                Fate::Lost(crate::error::LostReason::SessionGone)
            }
            (step, Err(fault @ (Fault::NotApplied(_) | Fault::Unknown(_)))) => {
                let unknown = matches!(fault, Fault::Unknown(_));
                self.session.doubtful |= unknown;
                self.downgrade_in_doubt |= unknown && is_downgrade(&step);
                change.step = match step {
                    Step::Turning(turn, doubt) => Step::Turning(turn, doubt || unknown),
                    step => step,
                };
                self.try_again(ctx, change, fault.error())
            }
            (step, Err(Fault::Final(cause) | Fault::TooLarge(cause))) => {
                change.step = step;
                match change.step {
                    Step::Turning(_, false) | Step::Looking if change.turned_back.is_none() => {
                        self.refuse(ctx, change, &cause)
                    }
                    // The library does not know what the lock is without the answer.
                    _ => self.try_again(ctx, change, &cause),
                }
            }
            (step, Ok(_)) => {
                change.step = step;
                let cause = Error::new(Status::Internal, "unexpected reply from Consul");
                self.try_again(ctx, change, &cause)
            }
        }
    }

    /// Sends the request of the step that follows at once.
    fn go_on(&mut self, ctx: &mut Context, change: Change) -> Fate {
        self.change = Some(change);
        self.turn(ctx);
        Fate::Stays
    }

    /// Tries the step again after a pause. A change that has changed nothing ends when its time is up.
    fn try_again(&mut self, ctx: &mut Context, mut change: Change, cause: &Error) -> Fate {
        let error = ctx.out.error_from(cause, change.goal.failed(), &self.key);
        let at = ctx.out.time() + change.failures.pause_after(&mut ctx.out, &error);
        if change.is_untouched() && at >= change.by {
            return self.refuse(ctx, change, cause);
        }
        change.again = Some(at);
        self.change = Some(change);
        Fate::Stays
    }

    /// The lock stays as it is.
    fn refuse(&mut self, ctx: &mut Context, change: Change, cause: &Error) -> Fate {
        let error = ctx.out.error_from(cause, change.goal.failed(), &self.key);
        self.finish(ctx, change.call, Err(error));
        Fate::Stays
    }

    /// The row that a refused copy was to take.
    fn confirmed(
        &mut self,
        ctx: &mut Context,
        mut change: Change,
        turn: Box<Request>,
        row: Option<KeyRow>,
    ) -> Fate {
        match row {
            Some(row) if row.session.as_ref() == Some(&self.session.id) => {
                self.turned(ctx, change, &turn, row.modify_index, None)
            }
            _ => {
                // Consul did not apply any copy so far, or the lock is lost: a new copy tells which.
                change.step = match *turn {
                    Request::Upgrade { .. } => Step::Looking,
                    turn => Step::Turning(Box::new(turn), false),
                };
                self.go_on(ctx, change)
            }
        }
    }

    /// The key as it is, which the upgrade expected otherwise.
    fn looked_at_key(
        &mut self,
        ctx: &mut Context,
        mut change: Change,
        row: Option<KeyRow>,
    ) -> Fate {
        let flags = ctx.out.config.flags;
        change.found = match row {
            None => Found::Absent,
            Some(row) if row.session.as_ref() == Some(&self.session.id) => {
                let Some(share) = change.share else {
                    return self.refuse(ctx, change, &taken_by_another());
                };
                let turn = self.to_exclusive(ctx, share, Found::Absent);
                return self.turned(ctx, change, &turn, row.modify_index, None);
            }
            Some(row) if row.session.is_some() => {
                return self.refuse(ctx, change, &taken_by_another());
            }
            Some(row) if row.flags == flags || (row.flags == 0 && row.value.0.is_empty()) => {
                Found::Unlocked(row.modify_index)
            }
            Some(row) => {
                let why = format!(
                    "the key holds data that is no lock ({} bytes, flags {})",
                    row.value.0.len(),
                    row.flags
                );
                return self.refuse(ctx, change, &Error::new(Status::Rejected, why));
            }
        };
        if let Some(share) = change.share {
            let turn = self.to_exclusive(ctx, share, change.found);
            change.step = Step::Turning(Box::new(turn), false);
        }
        let again = change.failures.pause_after(&mut ctx.out, &slot_taken());
        change.again = Some(ctx.out.time() + again);
        self.change = Some(change);
        Fate::Stays
    }

    /// Consul applied the transaction: the lock is the other row now. `sharers`: who shared the key at that instant, if
    /// Consul said it.
    fn turned(
        &mut self,
        ctx: &mut Context,
        mut change: Change,
        turn: &Request,
        index: u64,
        sharers: Option<Vec<Sharer>>,
    ) -> Fate {
        self.claim.end(ctx);
        self.session.last_token = index;
        match turn {
            Request::Downgrade { limit, slot, .. } => {
                self.claim.share = Some((*limit, *slot));
                self.claim.begin(ctx);
                let outcome = change.turned_back.take().map_or(Ok(Done::Ok), Err);
                self.finish(ctx, change.call, outcome);
                Fate::Stays
            }
            _ => {
                self.claim.share = None;
                match sharers {
                    Some(sharers) => self.drain(ctx, change, index, sharers),
                    None => {
                        change.step = Step::Proving;
                        self.go_on(ctx, change)
                    }
                }
            }
        }
    }

    /// The key is the lock's. It is exclusive when no other session shares it.
    fn drain(
        &mut self,
        ctx: &mut Context,
        mut change: Change,
        token: u64,
        mut sharers: Vec<Sharer>,
    ) -> Fate {
        self.session.last_token = token;
        sharers.retain(|sharer| sharer.session != self.session.id);
        let chosen = ctx.out.choose(sharers.len());
        let Some(one) = sharers.get(chosen).cloned() else {
            self.finish(ctx, change.call, Ok(Done::Ok));
            return Fate::Stays;
        };
        let now = ctx.out.time();
        change.sharers = sharers;
        change.step = Step::Draining;
        let is_over = change.deadline.is_some_and(|deadline| now >= deadline);
        let cancelled = change.cancelled.take();
        self.change = Some(change);
        if is_over || cancelled.is_some() {
            self.turn_back(ctx, cancelled);
            return Fate::Stays;
        }
        let row = one.limit.row_of(self.claim.keys.get(0), one.slot);
        let until = now + LONGEST_QUIET;
        let (watches, out) = (&mut ctx.watches, &mut ctx.out);
        watches.watch(out, self.lock, row, one.modify_index, until, Need::Waiting);
        Fate::Stays
    }

    /// The change is over.
    fn finish(&mut self, ctx: &mut Context, call: CallId, outcome: Outcome) {
        self.change = None;
        ctx.watches.unwatch(&mut ctx.out, self.lock);
        let is_monitored = self.spec.monitor;
        let token = self.token();
        self.monitor = is_monitored.then(|| Monitor::begin(ctx.out.time(), token));
        ctx.out.tell(call, outcome);
    }
}

/// The row that the transaction takes.
fn row_to_take(turn: &Request) -> Option<crate::key::Key> {
    match turn {
        Request::Downgrade {
            key, limit, slot, ..
        } => Some(limit.row_of(key, *slot)),
        Request::Upgrade { target, .. } => Some(target.key.clone()),
        _ => None,
    }
}

/// The request is the one that gives the key up.
fn is_downgrade(step: &Step) -> bool {
    matches!(step, Step::Turning(turn, _) if matches!(**turn, Request::Downgrade { .. }))
}

fn copy_may_come() -> Error {
    let why = "Consul's answer to the downgrade before was lost, so a copy of it may still come, and would make the \
               lock a share again. Release this share, and acquire anew";
    Error::new(Status::NotAcquired, why)
}

fn taken_by_another() -> Error {
    let why = "another session has the key, or waits with it for the end of all shares: to wait for \
               that session would be to wait for each other. Release this share, and acquire anew";
    Error::new(Status::NotAcquired, why)
}

fn slot_taken() -> Error {
    Error::new(Status::Unavailable, "the key changed meanwhile")
}
