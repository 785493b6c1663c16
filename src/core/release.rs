//! Giving a lock back.

use super::alarms::Owner;
use super::context::Context;
use super::failures::Failures;
use super::interface::{CallId, Done, RequestId};
use super::lease::{Lease, Session};
use super::lock::{Machine, State, UNDO_GRACE};
use super::messages::{Answer, Fault, Request};
use crate::clock::Time;
use crate::error::{Error, LostReason, Status};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Releasing {
    pub(super) call: CallId,
    pub(super) session: Session,
    pub(super) by: Time,
    pub(super) failures: Failures,
    pub(super) request: Option<RequestId>,
    pub(super) again: Option<Time>,
    /// The session is used again afterwards.
    pub(super) keep: bool,
    /// The key is given back in a transaction, before anything happens to the session.
    pub(super) by_transaction: bool,
    /// An answer to that was lost.
    pub(super) doubt: bool,
}

impl Machine {
    pub(super) fn release(&mut self, ctx: &mut Context, call: CallId) {
        let within = ctx.out.config.release_timeout;
        match &mut self.state {
            State::Acquiring(_) => {
                self.cancel(ctx);
                let error = self.not_held(ctx);
                self.tell_when_undone(ctx, call, within, Err(error.clone()), Err(error));
            }
            State::Held(_) => self.begin_release(ctx, call, within),
            State::Lost { why, told, .. } => {
                let (why, told) = (*why, std::mem::replace(told, true));
                self.end_lost_session(ctx);
                let error = if told {
                    self.not_held(ctx)
                } else {
                    self.lost(ctx, why)
                };
                self.tell_when_undone(ctx, call, UNDO_GRACE, Err(error.clone()), Err(error));
            }
            State::New { .. } | State::Releasing(_) => {
                let error = self.not_held(ctx);
                ctx.out.tell(call, Err(error));
            }
            State::Over => {
                let error = self.not_held(ctx);
                self.tell_when_undone(ctx, call, within, Err(error.clone()), Err(error));
            }
        }
    }

    /// Two ways, neither of which names the key alone. A session that will be used again gives the
    /// key back in one transaction that checks it is its own (1 Raft write, the session stays).
    /// Any other is destroyed, which removes its key (1 Raft write, nothing stays); whether it
    /// still held the key is read before, for nothing. But the end of a session with a lock-delay
    /// would block the key that it still holds: there the transaction comes first.
    pub(super) fn begin_release(&mut self, ctx: &mut Context, call: CallId, within: Duration) {
        self.end_asked(ctx);
        let now = ctx.out.time();
        let hot = self.hot || ctx.pool.is_hot(now);
        let State::Held(held) = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        let session = held.session;
        ctx.holding.remove(&session.id);
        let keep = hot && !session.doubtful;
        self.state = State::Releasing(Releasing {
            call,
            session,
            by: now + within,
            failures: Failures::default(),
            request: None,
            again: None,
            keep,
            by_transaction: keep || ctx.out.config.lock_delay,
            doubt: false,
        });
        self.unlock(ctx);
    }

    pub(super) fn unlock(&mut self, ctx: &mut Context) {
        let State::Releasing(releasing) = &mut self.state else {
            return;
        };
        releasing.again = None;
        let request = if releasing.by_transaction {
            // Whoever has not seen a line looks for one: it costs nothing here.
            let line = self.fair && !ctx.lines.hint(&self.key) && ctx.lines.may_queue(&self.key);
            Request::Unlock {
                key: self.key.clone(),
                session: releasing.session.id.clone(),
                line,
            }
        } else {
            Request::Read {
                key: self.key.clone(),
                consistent: true,
            }
        };
        releasing.request = Some(ctx.out.send(Owner::Lock(self.id), request, releasing.by));
    }

    pub(super) fn release_replied(
        &mut self,
        ctx: &mut Context,
        request: RequestId,
        answer: Result<Answer, Fault>,
    ) {
        let State::Releasing(releasing) = &mut self.state else {
            return;
        };
        if releasing.request != Some(request) {
            return;
        }
        releasing.request = None;
        match answer {
            Ok(Answer::Unlocked { line }) => {
                if !line.is_empty() {
                    ctx.lines.note_line(&self.key, &line, None);
                }
                self.given_back(ctx);
            }
            // The transaction whose answer was lost may have given it back.
            Ok(Answer::NotOurs { .. }) if releasing.doubt => self.destroy(ctx, None),
            Ok(Answer::NotOurs { taken: true }) => self.found_lost(ctx, LostReason::TakenOver),
            Ok(Answer::NotOurs { taken: false }) => self.found_lost(ctx, LostReason::KeyGone),
            Ok(Answer::Row { row, .. }) => match row.map(|row| row.session) {
                Some(Some(holder)) if holder == releasing.session.id => self.destroy(ctx, None),
                Some(Some(_)) => self.found_lost(ctx, LostReason::TakenOver),
                Some(None) | None => self.found_lost(ctx, LostReason::KeyGone),
            },
            Err(Fault::NotApplied(cause)) if releasing.by_transaction => {
                self.unlock_later(ctx, &cause);
            }
            // It may have been done: the session's end makes sure, without a look at the line.
            Err(Fault::TooLarge(cause)) => {
                ctx.lines.note_no_tickets(&self.key);
                releasing.keep = false;
                releasing.doubt = true;
                if releasing.by_transaction && ctx.out.config.lock_delay {
                    self.unlock_later(ctx, &cause);
                } else {
                    self.destroy(ctx, None);
                }
            }
            // No lock comes after this one with the session: a late copy does no harm.
            Err(Fault::Unknown(cause)) if releasing.by_transaction && ctx.out.config.lock_delay => {
                releasing.keep = false;
                releasing.doubt = true;
                self.unlock_later(ctx, &cause);
            }
            // The answer was lost, or the question could not be asked: the session's end removes
            // the key, and makes a late copy of anything sent with it harmless.
            Err(_) | Ok(_) => self.destroy(ctx, None),
        }
    }

    fn unlock_later(&mut self, ctx: &mut Context, cause: &Error) {
        let error = ctx
            .out
            .error_from(cause, "could not release the lock", &self.key);
        if let State::Releasing(releasing) = &mut self.state {
            releasing.again =
                Some(ctx.out.time() + releasing.failures.pause_after(&mut ctx.out, &error));
        }
    }

    /// Confirmed: the session is free for another lock, or for its end.
    pub(super) fn given_back(&mut self, ctx: &mut Context) {
        if matches!(&self.state, State::Releasing(releasing) if !releasing.keep) {
            return self.destroy(ctx, None);
        }
        let State::Releasing(releasing) = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        ctx.lines.note_given_back(&self.key, ctx.out.time());
        ctx.pool.note_use(ctx.out.time());
        ctx.pool.keep_warm(&mut ctx.out, releasing.session);
        ctx.out.tell(releasing.call, Ok(Done::Ok));
    }

    pub(super) fn found_lost(&mut self, ctx: &mut Context, why: LostReason) {
        self.destroy(ctx, Some(why));
    }

    /// Ends the session, and with it whatever it holds; `lost`: it did not hold the key any more.
    pub(super) fn destroy(&mut self, ctx: &mut Context, lost: Option<LostReason>) {
        let State::Releasing(releasing) = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        let Releasing {
            call, session, by, ..
        } = releasing;
        let lease = session.lease;
        self.retire(ctx, session);
        ctx.pool.note_use(ctx.out.time());
        let (when_undone, when_late) = match lost {
            Some(why) => {
                self.state = State::Lost {
                    why,
                    told: true,
                    session: None,
                };
                let error = self.lost(ctx, why);
                ctx.out.say_lost(self.id, why, &error);
                (Err(error.clone()), Err(error))
            }
            None => {
                ctx.lines.note_given_back(&self.key, ctx.out.time());
                (Ok(Done::Ok), Err(self.unconfirmed(ctx, lease)))
            }
        };
        let within = by.since(ctx.out.time());
        self.tell_when_undone(ctx, call, within, when_undone, when_late);
    }

    pub(super) fn release_unconfirmed(&mut self, ctx: &mut Context) {
        let State::Releasing(releasing) = &mut self.state else {
            return;
        };
        if let Some(request) = releasing.request.take() {
            ctx.out.abort(request);
        }
        // From here on the undoing goes on without the caller.
        self.destroy(ctx, None);
    }

    pub(super) fn unconfirmed(&self, ctx: &Context, lease: Lease) -> Error {
        let left = lease.end().since(ctx.out.time()).as_secs();
        let why = format!(
            "Consul did not confirm the release in time; this library goes on trying, and the \
             session's TTL ends it otherwise ({left} s are left of it, Consul may take up to twice \
             the TTL); before the process ends, consul_lock_shutdown() waits for it"
        );
        ctx.out.error(
            Status::Unconfirmed,
            "could not confirm the release of the lock",
            &self.key,
            &why,
        )
    }
}
