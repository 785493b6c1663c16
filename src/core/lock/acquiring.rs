//! From the call of acquire to its outcome.

use super::*;
use crate::core::acquire::{Acquire, Leftover, Progress};
use crate::core::claim::Claim;
use crate::core::interface::{LockSpec, Patience};
use crate::error::{Error, Status};

impl Machine {
    pub(super) fn acquire(&mut self, ctx: &mut Context, call: CallId, spec: LockSpec) {
        match self.stage {
            Stage::New { cancelled: false } => {
                self.key = spec.keys.label().clone();
                self.fair = spec.fair && spec.patience != Patience::Once;
                self.in_succession = ctx.pool.is_in_succession(ctx.out.time());
                let (acquire, progress) = Acquire::begin(ctx, self.id, call, spec);
                self.stage = Stage::Acquiring(Box::new(acquire));
                self.advance(ctx, progress);
            }
            Stage::New { cancelled: true } => {
                self.key = spec.keys.label().clone();
                self.stage = Stage::Over;
                let error = self.cancelled(ctx, None);
                ctx.out.tell(call, Err(error));
            }
            _ => {
                let what = "cannot acquire the lock";
                let why = "a lock is single use, and this one was used before; make a new one";
                let error = ctx
                    .out
                    .error(Status::AlreadyUsed, what, spec.keys.label(), why);
                ctx.out.tell(call, Err(error));
            }
        }
    }

    pub(super) fn advance(&mut self, ctx: &mut Context, progress: Progress) {
        match progress {
            Progress::GoesOn => {}
            Progress::Won {
                session,
                token,
                slot,
            } => {
                let Stage::Acquiring(acquire) = std::mem::replace(&mut self.stage, Stage::Over)
                else {
                    return;
                };
                let (call, spec) = (acquire.call, acquire.spec().clone());
                // Only a question for the holder's name, or a renewal, can still be on its way.
                let _ = acquire.end(ctx);
                ctx.holding.insert(session.id.clone());
                ctx.footing.note_taken(&mut ctx.out);
                self.view.session = Some(session.id.clone());
                let claim = Claim::of(&spec, slot);
                claim.begin(ctx);
                let held = HeldLock::new(&mut ctx.out, self.id, spec, claim, (session, token));
                self.stage = Stage::Held(Box::new(held));
                ctx.out.tell(call, Ok(Done::Ok));
            }
            Progress::Failed(error) => {
                if let Some(call) = self.end_acquire(ctx) {
                    self.fail_when_undone(ctx, call, UNDO_GRACE, error);
                }
            }
        }
    }

    /// Ends the acquire under way, and undoes what it did. Answers the call, which has no outcome yet.
    fn end_acquire(&mut self, ctx: &mut Context) -> Option<CallId> {
        let Stage::Acquiring(acquire) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return None;
        };
        let (call, ttl) = (acquire.call, acquire.spec().ttl);
        match acquire.end(ctx) {
            Leftover::Nothing => {}
            Leftover::Session(session, rows) => {
                self.pending.begin_undoing();
                ctx.holding.remove(&session.id);
                ctx.pool
                    .retire_rows(&mut ctx.out, session, rows, Some(self.id));
            }
            Leftover::Create(request, name) => {
                self.pending.begin_undoing();
                ctx.pool
                    .adopt(&mut ctx.out, request, name, ttl, Some(self.id));
            }
        }
        Some(call)
    }

    pub(super) fn cancel(&mut self, ctx: &mut Context) {
        match &mut self.stage {
            Stage::New { cancelled } => *cancelled = true,
            Stage::Acquiring(acquire) => {
                let holder = acquire.last_holder(ctx);
                if let Some(call) = self.end_acquire(ctx) {
                    let error = self.cancelled(ctx, holder);
                    ctx.out.tell(call, Err(error));
                }
            }
            Stage::Held(held) => held.cancel(ctx),
            Stage::Releasing(_) | Stage::Lost { .. } | Stage::Over => {}
        }
    }

    /// `holder`: the holder that the waiter saw last.
    fn cancelled(&self, ctx: &Context, holder: Option<String>) -> Error {
        let last = holder.map(|holder| format!("; seen last: {holder}"));
        let why = format!(
            "the acquire was cancelled{}",
            last.as_deref().unwrap_or_default()
        );
        let what = "did not acquire the lock";
        ctx.out.error(Status::Cancelled, what, &self.key, &why)
    }

    pub(super) fn retire(&mut self, ctx: &mut Context, session: Session) {
        self.pending.begin_undoing();
        ctx.holding.remove(&session.id);
        ctx.pool.retire(&mut ctx.out, session, Some(self.id));
    }

    pub(super) fn fail_when_undone(
        &mut self,
        ctx: &mut Context,
        call: CallId,
        within: Duration,
        error: Error,
    ) {
        let (when_undone, when_late) = (Err(error.clone()), Err(error));
        self.pending
            .tell_when_undone(&mut ctx.out, call, within, when_undone, when_late);
    }
}
