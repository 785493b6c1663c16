//! The attempt: from the transaction to the lock that is held, or to the certainty that it is not.

use super::session::too_late;
use super::*;
use crate::core::lease::Lease;
#[cfg(test)]
use crate::core::sabotage::Sabotage;

impl Acquire {
    /// The key is free, and it is for us to take it.
    pub(super) fn attempt(&mut self, ctx: &mut Context) {
        self.purpose = Purpose::Lock;
        self.ready_session(ctx);
    }

    /// One attempt, or the same one again: the value is made once per attempt.
    pub(super) fn try_lock(&mut self, ctx: &mut Context) {
        self.retire_what_is_over(ctx);
        let Some(session) = &self.session else {
            return self.look(ctx);
        };
        let session = session.id.clone();
        let request = self.attempt.take().unwrap_or_else(|| {
            let stored = self.stored.take().filter(|_| self.found == Found::Ours);
            let value = stored.or_else(|| self.spec.value.clone());
            let value = value.unwrap_or_else(|| locked_at::stored(ctx.out.now.unix_ms));
            self.stored = Some(value.clone());
            Box::new(self.attempt_request(ctx, session, value))
        });
        let sent = (*request).clone();
        self.attempt = Some(request);
        self.step = Step::Try(ctx.out.send(Owner::Lock(self.lock), sent, self.by()));
    }

    pub(super) fn tried(&mut self, ctx: &mut Context, answer: Result<Answer, Fault>) -> Progress {
        let answer = self.provable(answer);
        let attempt = match answer {
            Err(Fault::Unknown(_)) => None,
            _ => self.attempt.take(),
        };
        if !matches!(answer, Ok(Answer::Delayed)) {
            self.delays = 0;
        }
        if answer.is_ok() {
            self.wrote();
        }
        match answer {
            Ok(Answer::Locked { index, line }) => {
                // A place is given up with the key taken.
                self.place = None;
                if matches!(attempt.as_deref(), Some(Request::Lock { line: true, .. })) {
                    ctx.waiters.note_line(&self.spec.key, &line, None);
                }
                self.hand_out(ctx, index)
            }
            Ok(Answer::Held) => {
                self.fault = None;
                self.stall = None;
                self.drop_doubtful(ctx);
                self.refuse(ctx, None);
                // In line, it is for us alone to look at once.
                if self.wants_ticket(ctx) {
                    if self.place.is_some() {
                        self.look_after_contradiction(ctx);
                    } else {
                        self.get_ticket(ctx);
                    }
                    return Progress::GoesOn;
                }
                let spread = ctx.out.spread(RACE_SPREAD);
                // One attempt is over; who won is found by a look.
                self.pause(
                    ctx,
                    if self.once() { Duration::ZERO } else { spread },
                    Next::Look,
                );
                if self.once() {
                    self.look(ctx);
                }
                Progress::GoesOn
            }
            Ok(Answer::Delayed) => {
                self.fault = None;
                self.refuse(ctx, None);
                self.delays += 1;
                // Whoever is before us waits for its end, too.
                self.stall = None;
                if self.once() {
                    return Progress::Failed(self.not_acquired(ctx));
                }
                let error = self.not_acquired(ctx);
                let often = Often::OncePerKey("lock-delay", &self.spec.key);
                ctx.out.log(Level::Info, often, || error.message);
                let pause = ctx.out.back_off(self.delays).min(DELAY_PAUSE);
                self.pause(ctx, pause, Next::Look);
                Progress::GoesOn
            }
            // The key changed since it was looked at, perhaps by an attempt whose answer was lost.
            Ok(Answer::Changed) => {
                self.stall = None;
                self.look_after_contradiction(ctx);
                Progress::GoesOn
            }
            // It may have been applied, or may still be: the same transaction again tells.
            Err(Fault::Unknown(cause)) => {
                #[cfg(test)]
                if ctx.out.sabotaged(Sabotage::DoubtIsFailure) {
                    self.session = None;
                    return Progress::Failed(cause);
                }
                self.note_doubt(&Fault::Unknown(cause.clone()));
                self.retry_later(ctx, Access::Write, &cause, Next::Try)
            }
            Err(Fault::SessionGone(cause)) => self.start_over(ctx, &cause),
            // Our ticket is gone: with an attempt whose answer was lost, or by somebody's hand.
            Ok(Answer::NoTicket) => {
                self.place = None;
                self.look_after_contradiction(ctx);
                Progress::GoesOn
            }
            Ok(Answer::Stale) => {
                self.stall = None;
                self.read_line(ctx, false);
                Progress::GoesOn
            }
            Err(fault) => self.retry_later(ctx, Access::Write, fault.error(), Next::Look),
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
        }
    }

    /// The key is not as the last look showed it: looks again, at once while that may be a race.
    fn look_after_contradiction(&mut self, ctx: &mut Context) {
        self.contradictions += 1;
        match self.contradictions.saturating_sub(FASTER_OTHERS) {
            0 => self.look(ctx),
            more => {
                let pause = ctx.out.back_off(more).min(CONTRADICTION_PAUSE);
                self.pause(ctx, pause, Next::Look);
            }
        }
    }

    /// An answer that names the lock before this one answers an earlier request (a middlebox doubled
    /// it): what became of this one is unknown.
    fn provable(&self, answer: Result<Answer, Fault>) -> Result<Answer, Fault> {
        let last = self
            .session
            .as_ref()
            .map_or(0, |session| session.last_token);
        match answer {
            Ok(Answer::Locked { index, .. }) if index <= last => {
                let why = "the answer belongs to an earlier request";
                Err(Fault::Unknown(Error::new(Status::Unavailable, why)))
            }
            answer => answer,
        }
    }

    /// The lock is ours. Hands it out if its whole life is ahead, and renews it first if that is not
    /// so: from here on it is the caller's, or is given back.
    pub(super) fn hand_out(&mut self, ctx: &mut Context, token: u64) -> Progress {
        let now = ctx.out.time();
        let Some(session) = &self.session else {
            // It ended in between, and the lock with it.
            self.look(ctx);
            return Progress::GoesOn;
        };
        let lease = session.lease;
        if lease.is_over(now) {
            return self.came_too_late(ctx);
        }
        #[cfg(test)]
        if ctx.out.sabotaged(Sabotage::HalfALife) {
            return self.won(ctx, token);
        }
        if lease.age(now) <= FRESH {
            return self.won(ctx, token);
        }
        let request = Request::RenewSession {
            session: session.id.clone(),
        };
        let by = self
            .by()
            .min(lease.end())
            .min(now + longest_closing(&lease));
        self.step = Step::Refresh(ctx.out.send(Owner::Lock(self.lock), request, by), token);
        Progress::GoesOn
    }

    pub(super) fn refreshed(
        &mut self,
        ctx: &mut Context,
        token: u64,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        match answer {
            Ok(Answer::Renewed) if self.confirm(ctx, sent) => {
                let lease = self.session.as_ref().map(|session| session.lease);
                match lease {
                    Some(lease) if lease.age(ctx.out.time()) <= longest_closing(&lease) => {
                        self.won(ctx, token)
                    }
                    _ => self.hand_out(ctx, token),
                }
            }
            Ok(Answer::Renewed) => self.came_too_late(ctx),
            Err(Fault::SessionGone(_)) => {
                self.retire_session(ctx);
                self.look(ctx);
                Progress::GoesOn
            }
            Err(fault) => {
                self.note_doubt(&fault);
                self.retry_later(ctx, Access::Write, fault.error(), Next::HandOut(token))
            }
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
        }
    }

    /// The lock is ours, and its lease is over: it is given back. A single attempt ends with that, and its
    /// caller is told when it is done.
    fn came_too_late(&mut self, ctx: &mut Context) -> Progress {
        if !self.once() {
            self.retire_session(ctx);
        }
        self.retry_later(ctx, Access::Write, &too_late(), Next::Look)
    }

    fn won(&mut self, ctx: &mut Context, token: u64) -> Progress {
        let Some(mut session) = self.session.take() else {
            return Progress::Failed(self.unexpected(ctx));
        };
        session.last_token = token;
        Progress::Won { session, token }
    }
}

/// The closing renewal is repeated if it takes longer: a lock is handed out with three quarters of its
/// life at the least.
fn longest_closing(lease: &Lease) -> Duration {
    lease.ttl() / 4
}
