//! From the call of release to its outcome.

use super::*;
use crate::core::release::{Ending, unconfirmed};

impl Machine {
    pub(super) fn release(&mut self, ctx: &mut Context, call: CallId) {
        let mut within = ctx.out.config.release_timeout;
        let error = match &mut self.stage {
            Stage::Held(_) => return self.begin_release(ctx, call),
            Stage::New { .. } | Stage::Releasing(_) => {
                let error = self.not_held(ctx);
                return ctx.out.tell(call, Err(error));
            }
            Stage::Acquiring(_) => {
                self.cancel(ctx);
                self.not_held(ctx)
            }
            Stage::Lost { why, reported, .. } => {
                let (why, was_reported) = (*why, std::mem::replace(reported, true));
                within = UNDO_GRACE;
                self.end_lost_session(ctx);
                if was_reported {
                    self.not_held(ctx)
                } else {
                    ctx.out.lost(&self.key, why)
                }
            }
            Stage::Over => self.not_held(ctx),
        };
        self.fail_when_undone(ctx, call, within, error);
    }

    fn begin_release(&mut self, ctx: &mut Context, call: CallId) {
        let in_succession = self.in_succession || ctx.pool.is_in_succession(ctx.out.time());
        let Some((session, claim)) = self.end_held(ctx) else {
            return;
        };
        ctx.holding.remove(&session.id);
        let keep = in_succession && !session.doubtful;
        let of = (self.id, claim);
        let releasing = Releasing::begin(ctx, of, self.fair, keep, call, session);
        self.stage = Stage::Releasing(Box::new(releasing));
    }

    pub(super) fn end_release(&mut self, ctx: &mut Context, ending: Ending) {
        let lost = match ending {
            Ending::Stays => return,
            Ending::GivenBack => None,
            Ending::Destroy(lost) => lost,
        };
        let Stage::Releasing(releasing) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        let Releasing {
            call,
            session,
            by,
            claim,
            ..
        } = *releasing;
        let now = ctx.out.time();
        ctx.pool.note_use(now);
        if lost.is_none() {
            for key in claim.keys.all().iter() {
                ctx.waiters.note_given_back(key, now);
            }
        }
        if let Ending::GivenBack = ending {
            ctx.pool.keep_warm(&mut ctx.out, session);
            return ctx.out.tell(call, Ok(Done::Ok));
        }
        let lease = session.lease;
        self.retire(ctx, session);
        let Some(why) = lost else {
            let late = Err(unconfirmed(&ctx.out, &self.key, lease));
            let within = by.since(now);
            let done = Ok(Done::Ok);
            return self
                .pending
                .tell_when_undone(&mut ctx.out, call, within, done, late);
        };
        self.stage = Stage::Lost {
            why,
            reported: true,
            session: None,
        };
        let error = ctx.out.lost(&self.key, why);
        ctx.out.say_lost(self.id, why, &error);
        self.fail_when_undone(ctx, call, by.since(now), error);
    }
}
