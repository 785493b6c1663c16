//! How a held lock changes from exclusive to a share, and back.

use std::time::Duration;

use super::*;
use crate::core::change::{Change, ChangeStep, Goal};
use crate::core::interface::Patience;
use crate::core::locked_at;
use crate::core::messages::{Found, KeyRow, Limit, LockTarget, Sharer, Slot};
use crate::core::watch::Need;
use crate::key::MAX_SHARED_VALUE;

/// The library asks again after so long whether others still share the key, whatever the watch says.
const LONGEST_QUIET: Duration = Duration::from_secs(10);

impl HeldLock {
    /// A caller wants to change the lock.
    pub(in crate::core) fn begin_change(&mut self, ctx: &mut Context, call: CallId, goal: Goal) {
        let refused = self.refusal(goal);
        if let Some(why) = refused {
            let error = ctx
                .out
                .error(Status::InvalidArgument, goal.failed(), &self.key, why);
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
        let token = self.token();
        let turn = match goal {
            Goal::Share => self.to_share(ctx, share, token),
            Goal::Exclusive(_) => self.to_exclusive(ctx, share, (found, token)),
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
            step: ChangeStep::Turning(Box::new(turn), false),
            request: None,
            again: None,
            failures: Failures::default(),
            token,
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

    fn to_share(&self, ctx: &Context, (limit, slot): (Limit, Slot), token: u64) -> Request {
        let given = self.spec.value.clone();
        let given = given.filter(|value| value.0.len() <= MAX_SHARED_VALUE);
        Request::Downgrade {
            key: self.claim.keys.get(0).clone(),
            token,
            session: self.session.id.clone(),
            limit,
            slot,
            value: given.unwrap_or_else(|| locked_at::stored(ctx.out.now.unix_ms)),
        }
    }

    fn to_exclusive(
        &self,
        ctx: &Context,
        (limit, slot): (Limit, Slot),
        (found, token): (Found, u64),
    ) -> Request {
        let key = self.claim.keys.get(0).clone();
        let value: Option<Value> = self.spec.value.clone();
        Request::Upgrade {
            target: LockTarget { key, found },
            token,
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
            ChangeStep::Turning(request, _) => (**request).clone(),
            ChangeStep::Confirming(turn) => Request::Read {
                key: row_to_take(turn).unwrap_or(key),
                consistent: true,
            },
            ChangeStep::Rereading(..) => Request::Read {
                key: self.claim.row(),
                consistent: true,
            },
            ChangeStep::Looking => Request::Read {
                key,
                consistent: true,
            },
            ChangeStep::Draining | ChangeStep::Proving => {
                return change.prove(ctx, &self.claim, &self.session, lock);
            }
        };
        change.request = Some(ctx.out.send(Owner::Lock(lock), request, by));
    }

    /// Time has passed.
    pub(in crate::core) fn change_goes_on(&mut self, ctx: &mut Context) -> Fate {
        let now = ctx.out.time();
        let Some(change) = &mut self.change else {
            return Fate::Stays;
        };
        let waits = matches!(change.step, ChangeStep::Draining | ChangeStep::Proving);
        if waits && change.deadline.is_some_and(|deadline| now >= deadline) {
            self.turn_back(ctx, None);
        } else if change.again.is_some_and(|at| now >= at) {
            self.turn(ctx);
        }
        Fate::Stays
    }

    /// A caller ends the wait of an upgrade.
    pub(in crate::core) fn cancel(&mut self, ctx: &mut Context) {
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
            change.step =
                ChangeStep::Turning(Box::new(self.to_share(ctx, share, change.token)), false);
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
    pub(in crate::core) fn change_replied(
        &mut self,
        ctx: &mut Context,
        answer: Result<Answer, Fault>,
    ) -> Fate {
        let Some(mut change) = self.change.take() else {
            return Fate::Stays;
        };
        change.request = None;
        let step = std::mem::replace(&mut change.step, ChangeStep::Draining);
        let answer = match answer {
            Ok(Answer::Locked { index, .. }) if index <= self.session.last_token => {
                let why = "the answer belongs to an earlier request";
                Err(Fault::Unknown(Error::new(Status::Unavailable, why)))
            }
            answer => answer,
        };
        match (step, answer) {
            (ChangeStep::Turning(turn, _), Ok(Answer::Locked { index, below })) => {
                change.failures.clear();
                let sharers = below.into_iter().flat_map(|below| below.sharers).collect();
                self.turned(ctx, change, &turn, index, Some(sharers))
            }
            // Consul may have applied an earlier copy: then the other row is the session's.
            (ChangeStep::Turning(turn, true), Ok(Answer::NotOurs { .. } | Answer::Held)) => {
                change.step = ChangeStep::Confirming(turn);
                self.go_on(ctx, change)
            }
            (ChangeStep::Turning(..), Ok(Answer::NotOurs { taken })) => {
                self.change = Some(change);
                Fate::Lost(Fate::not_ours(taken))
            }
            (ChangeStep::Turning(turn, _), Ok(Answer::Held)) => match *turn {
                Request::Downgrade { limit, slot, .. } => {
                    // A row that no session of a lock of this library holds; the next slot will do.
                    let next = Slot::new(u64::from((slot.get() + 1) % limit.get()));
                    change.share = Some((limit, next));
                    let turn = self.to_share(ctx, (limit, next), change.token);
                    change.step = ChangeStep::Turning(Box::new(turn), false);
                    let failures = change.failures.pause_after(&mut ctx.out, &slot_taken());
                    change.again = Some(ctx.out.time() + failures);
                    self.change = Some(change);
                    Fate::Stays
                }
                _ => self.refuse(ctx, change, &taken_by_another()),
            },
            (ChangeStep::Turning(..), Ok(Answer::Changed)) => {
                change.step = ChangeStep::Looking;
                self.go_on(ctx, change)
            }
            (ChangeStep::Turning(turn, doubt), Ok(Answer::Stale)) => {
                change.step = ChangeStep::Rereading(turn, doubt);
                self.go_on(ctx, change)
            }
            (ChangeStep::Rereading(turn, doubt), Ok(Answer::Row { row, .. })) => {
                self.reread(ctx, change, (turn, doubt), row)
            }
            (ChangeStep::Turning(turn, doubt), Ok(Answer::Delayed)) => {
                change.step = ChangeStep::Turning(turn, doubt);
                let delay = Error::new(Status::NotAcquired, "the lock-delay of the key runs");
                self.try_again(ctx, change, &delay)
            }
            (ChangeStep::Confirming(turn), Ok(Answer::Row { row, .. })) => {
                self.confirmed(ctx, change, turn, row)
            }
            (ChangeStep::Looking, Ok(Answer::Row { row, .. })) => {
                self.looked_at_key(ctx, change, row)
            }
            (ChangeStep::Proving, Ok(Answer::Proved { below, .. })) => {
                change.failures.clear();
                let token = self.session.last_token;
                let sharers = below.into_iter().flat_map(|below| below.sharers).collect();
                self.drain(ctx, change, token, sharers)
            }
            (ChangeStep::Proving, Ok(Answer::NotOurs { taken })) => {
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
                change.step = match step {
                    ChangeStep::Turning(turn, doubt) => ChangeStep::Turning(turn, doubt || unknown),
                    step => step,
                };
                self.try_again(ctx, change, fault.error())
            }
            (step, Err(Fault::Final(cause) | Fault::TooLarge(cause))) => {
                change.step = step;
                match change.step {
                    ChangeStep::Turning(_, false) | ChangeStep::Looking
                        if change.turned_back.is_none() =>
                    {
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
                    Request::Upgrade { .. } => ChangeStep::Looking,
                    turn => ChangeStep::Turning(Box::new(turn), false),
                };
                self.go_on(ctx, change)
            }
        }
    }

    /// The row that the lock is, which has another index than the library knew.
    fn reread(
        &mut self,
        ctx: &mut Context,
        mut change: Change,
        (mut turn, doubt): (Box<Request>, bool),
        row: Option<KeyRow>,
    ) -> Fate {
        match row {
            Some(row) if row.session.as_ref() == Some(&self.session.id) => {
                if let Request::Downgrade { token, .. } | Request::Upgrade { token, .. } =
                    &mut *turn
                {
                    *token = row.modify_index;
                }
                change.token = row.modify_index;
                change.step = ChangeStep::Turning(turn, doubt);
                let changed = Error::new(Status::Unavailable, "another program wrote the key");
                self.try_again(ctx, change, &changed)
            }
            _ if doubt => {
                change.step = ChangeStep::Confirming(turn);
                self.go_on(ctx, change)
            }
            row => {
                self.change = Some(change);
                Fate::of_row(row.as_ref(), &self.session.id)
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
                let turn = self.to_exclusive(ctx, share, (Found::Absent, change.token));
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
            let turn = self.to_exclusive(ctx, share, (change.found, change.token));
            change.step = ChangeStep::Turning(Box::new(turn), false);
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
        self.turns = self.turns.wrapping_add(1);
        self.session.last_token = index;
        change.token = index;
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
                        change.step = ChangeStep::Proving;
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
        change.step = ChangeStep::Draining;
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
        self.monitor = is_monitored.then(|| Monitor::begin(ctx.out.time(), token, &self.claim));
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

fn taken_by_another() -> Error {
    let why = "another session has the key, or waits with it for the end of all shares: to wait for \
               that session would be to wait for each other. Release this share, and acquire anew";
    Error::new(Status::NotAcquired, why)
}

fn slot_taken() -> Error {
    Error::new(Status::Unavailable, "the key changed meanwhile")
}
