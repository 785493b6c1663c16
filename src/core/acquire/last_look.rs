//! The last part of a wait: the waiter makes sure of its answer. It looks once more, and asks for the
//! name of the holder.

use super::*;

/// How long before the deadline that begins.
const LAST_PART: Duration = Duration::from_millis(500);

/// How long the question for the holder's name may take. The outcome does not depend on it.
const NAME_LIMIT: Duration = Duration::from_secs(1);

/// The extra look in the last part of a wait.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct LastLook {
    /// When the last part begins.
    pub(super) from: Option<Time>,
    /// When to look; None: the waiter has looked, or will not.
    pub(super) at: Option<Time>,
    pub(super) request: Option<RequestId>,
}

impl LastLook {
    pub(super) fn of(now: Time, patience: Patience) -> LastLook {
        let from = match patience {
            Patience::For(budget) => Some(now + budget - LAST_PART.min(budget)),
            Patience::Once | Patience::Forever => None,
        };
        LastLook {
            from,
            at: from,
            request: None,
        }
    }

    pub(super) fn has_begun(&self, now: Time) -> bool {
        self.from.is_some_and(|from| now >= from)
    }

    pub(super) fn end(&mut self, ctx: &mut Context) {
        if let Some(request) = self.request.take() {
            ctx.out.abort(request);
        }
    }
}

impl Acquire {
    pub(super) fn may_look_last(&self) -> bool {
        matches!(self.step, Step::Watch { .. } | Step::Parked)
    }

    pub(super) fn look_last(&mut self, ctx: &mut Context) {
        self.last_look.at = None;
        if self.attempt.gate.is_some() {
            // The key is this waiter's own: what counts is who shares it.
            ctx.watches.unwatch(&mut ctx.out, self.lock);
            return self.prove(ctx);
        }
        if self.is_parked() {
            let from = self.last_look.from.unwrap_or_default();
            if self.known_of_others(ctx).is_not_free_since(Some(from)) {
                return;
            }
            let (key, now) = (self.key(), ctx.out.time());
            if let Err(again) = ctx.waiters.may_ask_for_all(key, now) {
                self.last_look.at = Some(again);
                return;
            }
        }
        self.last_look.request = Some(self.ask(ctx, self.read_request()));
    }

    pub(super) fn last_looked(
        &mut self,
        ctx: &mut Context,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        match answer {
            Ok(Answer::Row { row: Some(row), .. }) if row.session.is_some() => {
                let holder = row.session.clone();
                self.note_not_free(ctx, Blocker::Holder(row));
                self.ask_name(ctx, holder)
            }
            Ok(Answer::Row { row, index }) => {
                if self.is_behind() || self.is_parked() {
                    // The key is free, but other waiters come first.
                    self.note_not_free(ctx, Blocker::Unknown);
                } else if let Step::Watch { .. } = self.step {
                    // The watch will find the same, or will never find anything.
                    ctx.watches.unwatch(&mut ctx.out, self.lock);
                    return self.saw(ctx, row, index, true);
                }
                Progress::GoesOn
            }
            Err(fault) => {
                let error = ctx
                    .out
                    .error_from(fault.error(), WHAT, self.spec.keys.label());
                self.known.fault = Some(error);
                Progress::GoesOn
            }
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
        }
    }

    /// The outcome is decided: asks for the name of the session that the message tells, and ends the acquire.
    pub(super) fn end_with_name(&mut self, ctx: &mut Context, session: SessionId) -> Progress {
        let _ = self.ask_name(ctx, Some(session));
        if self.name_request.is_none() {
            return Progress::Failed(self.not_acquired(ctx));
        }
        self.step = Step::Name;
        Progress::GoesOn
    }

    /// Asks for the name of the holder, for the message. A single attempt ends with the answer.
    pub(super) fn ask_name(&mut self, ctx: &mut Context, holder: Option<SessionId>) -> Progress {
        let known = self.known.name.as_deref().map(|(id, _)| id);
        match holder {
            Some(session)
                if session.is_readable()
                    && known != Some(&session)
                    && self.name_request.is_none() =>
            {
                let request = Request::DescribeSession {
                    session: session.clone(),
                };
                let until = ctx.out.time() + NAME_LIMIT;
                let id = self.ask_until(ctx, request, until);
                self.name_request = Some((id, session));
                if self.is_single() {
                    self.step = Step::Name;
                }
                Progress::GoesOn
            }
            _ if self.is_single() => Progress::Failed(self.not_acquired(ctx)),
            _ => Progress::GoesOn,
        }
    }

    pub(super) fn named(
        &mut self,
        ctx: &mut Context,
        session: SessionId,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        if let Ok(Answer::Described(row)) = answer {
            let name = Some(Box::new((session, row)));
            if self.arrival.is_some() {
                ctx.waiters.known(self.key()).name = name.clone();
            }
            self.known.name = name;
        }
        match self.step {
            Step::Name => Progress::Failed(self.not_acquired(ctx)),
            _ => Progress::GoesOn,
        }
    }
}
