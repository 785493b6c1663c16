//! What callers ask of a held lock, and how a lock ends without a release.

use super::*;
use crate::core::claim::Claim;
use crate::error::{Error, Status};

impl Machine {
    pub(super) fn ask(&mut self, ctx: &mut Context, call: CallId, what: Question) {
        let error = match &mut self.stage {
            Stage::Held(held) => return held.ask(&mut ctx.out, call, what),
            Stage::Lost { why, .. } => ctx.out.lost(&self.key, *why),
            _ => self.not_held(ctx),
        };
        ctx.out.tell(call, Err(error));
    }

    /// From a share to exclusive, or back.
    pub(super) fn change(&mut self, ctx: &mut Context, call: CallId, goal: Goal) {
        let error = match &mut self.stage {
            Stage::Held(held) => return held.begin_change(ctx, call, goal),
            Stage::Lost { why, .. } => ctx.out.lost(&self.key, *why),
            _ => self.not_held(ctx),
        };
        ctx.out.tell(call, Err(error));
    }

    pub(super) fn not_held(&self, ctx: &Context) -> Error {
        let why = match self.stage {
            Stage::New { .. } => "it has not been acquired".to_owned(),
            Stage::Acquiring(_) => "its acquire is still under way".to_owned(),
            _ if self.left_to_ttl => {
                "it was abandoned, or the reader of its queue is gone: its TTL ends it".to_owned()
            }
            Stage::Held(_) | Stage::Releasing(_) => "it is being released".to_owned(),
            Stage::Lost { why, .. } => format!("it was lost before: {}", why.text()),
            Stage::Over if self.view.token.is_some() => "it was released before".to_owned(),
            Stage::Over => "its acquire ended without it".to_owned(),
        };
        let what = "this process does not hold the lock";
        ctx.out.error(Status::NotHeld, what, &self.key, &why)
    }

    /// The lease has ended: the lock is lost, whatever Consul may still say.
    pub(super) fn expire(&mut self, ctx: &mut Context) {
        if matches!(&self.stage, Stage::Held(held) if held.session.lease.is_over(ctx.out.time())) {
            self.lose(ctx, LostReason::Expired);
        }
    }

    /// Tells the loss to each caller that asked something, and to observers.
    pub(super) fn lose(&mut self, ctx: &mut Context, why: LostReason) {
        let lost = Stage::Lost {
            why,
            reported: false,
            session: None,
        };
        let Stage::Held(mut held) = std::mem::replace(&mut self.stage, lost) else {
            return;
        };
        let error = ctx.out.lost(&self.key, why);
        ctx.out.say_lost(self.id, why, &error);
        held.end_asked(ctx, &error);
        held.end_upkeep(ctx);
        let protects = match why {
            // Consul may keep the key for up to a TTL more; and a deposed leader may have said that the
            // session is gone.
            LostReason::Expired | LostReason::SessionGone => true,
            // The key is not the session's any more.
            LostReason::TakenOver | LostReason::KeyGone => false,
        };
        #[cfg(test)]
        let protects = protects
            && !ctx
                .out
                .sabotaged(crate::core::sabotage::Sabotage::HurriedEnd);
        match &mut self.stage {
            Stage::Lost { session, .. } if protects => *session = Some(held.session),
            _ => self.retire(ctx, held.session),
        }
    }

    /// Ends what Consul may still know of a lost lock.
    pub(super) fn end_lost_session(&mut self, ctx: &mut Context) {
        if let Stage::Lost { session, .. } = &mut self.stage
            && let Some(session) = session.take()
        {
            self.retire(ctx, session);
        }
    }

    /// Leaves the lock to its TTL.
    pub(super) fn let_go(&mut self, ctx: &mut Context) {
        let session = match &mut self.stage {
            Stage::Acquiring(_) => return self.cancel(ctx),
            Stage::Held(_) => {
                self.left_to_ttl = true;
                self.end_held(ctx).map(|(session, _)| session.id)
            }
            Stage::Lost { session, .. } => session.as_ref().map(|session| session.id.clone()),
            Stage::New { .. } | Stage::Releasing(_) | Stage::Over => None,
        };
        if let Some(session) = session {
            ctx.holding.remove(&session);
        }
    }

    /// Ends the questions and the renewals: the lock is not the caller's any more.
    pub(super) fn end_held(&mut self, ctx: &mut Context) -> Option<(Session, Claim)> {
        let is_asked = matches!(&self.stage, Stage::Held(held) if held.is_asked());
        // Few locks have a caller that needs the text.
        let error = is_asked.then(|| self.not_held(ctx));
        let Stage::Held(mut held) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return None;
        };
        if let Some(error) = error {
            held.end_asked(ctx, &error);
        }
        held.end_upkeep(ctx);
        Some((held.session, held.claim))
    }
}
