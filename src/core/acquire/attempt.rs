//! The attempt: from the transaction to the lock that is held, or to the certainty that it is not.

use super::*;

impl Acquire {
    /// The key is free, and it is for us to take it.
    pub(super) fn attempt(&mut self, ctx: &mut Context<'_>) {
        self.aim = Aim::Lock;
        self.ready_session(ctx);
    }

    /// One attempt, or the same one again: the value is made once per attempt.
    pub(super) fn try_lock(&mut self, ctx: &mut Context<'_>) {
        let Some(session) = &self.session else {
            return self.look(ctx);
        };
        let request = self.attempt.take().unwrap_or_else(|| {
            let value = self.spec.value.clone();
            let value = value.unwrap_or_else(|| value::locked_at(ctx.now.unix_ms));
            self.attempt_request(ctx, session.id.clone(), value)
        });
        self.attempt = Some(request.clone());
        self.step = Step::Try(ctx.send(Owner::Lock(self.lock), request, self.by()));
    }

    pub(super) fn tried(&mut self, ctx: &mut Context<'_>, answer: Result<Answer, Fault>) -> Turn {
        let attempt = match answer {
            Err(Fault::Unknown(_)) => None,
            _ => self.attempt.take(),
        };
        if !matches!(answer, Ok(Answer::Delayed)) {
            self.delays = 0;
        }
        match answer {
            Ok(Answer::Locked { index, line }) => {
                // A place is given up with the key taken.
                self.place = None;
                if matches!(attempt, Some(Request::Lock { line: true, .. })) {
                    ctx.note_line(&self.spec.key, &line, None);
                }
                self.locked(ctx, index)
            }
            Ok(Answer::Held) => {
                self.fault = None;
                self.stall = None;
                self.drop_doubtful(ctx);
                self.refuse(ctx, None);
                // In line, it is for us alone to look at once.
                if self.queues(ctx) {
                    if self.place.is_some() {
                        self.look(ctx);
                    } else {
                        self.queue_up(ctx);
                    }
                    return Turn::Stay;
                }
                let spread = ctx.shared.spread(RACE_SPREAD);
                // One attempt is over; who won is found by a look.
                self.pause(
                    ctx,
                    if self.once() { Duration::ZERO } else { spread },
                    Next::Look,
                );
                if self.once() {
                    self.look(ctx);
                }
                Turn::Stay
            }
            Ok(Answer::Delayed) => {
                self.fault = None;
                self.refuse(ctx, None);
                self.delays += 1;
                // Whoever is before us waits for its end, too.
                self.stall = None;
                if self.once() {
                    return Turn::Failed(self.not_acquired(ctx));
                }
                let error = self.not_acquired(ctx);
                let often = Often::OncePerKey("lock-delay", &self.spec.key);
                ctx.log(Level::Info, often, || error.message);
                let pause = ctx.shared.back_off(self.delays).min(DELAY_PAUSE);
                self.pause(ctx, pause, Next::Look);
                Turn::Stay
            }
            // It may have been applied, or may still be: the same transaction again tells.
            Err(Fault::Unknown(cause)) => {
                #[cfg(test)]
                if ctx.sabotaged(crate::core::sabotage::Sabotage::DoubtIsFailure) {
                    self.session = None;
                    return Turn::Failed(cause);
                }
                self.note_doubt(&Fault::Unknown(cause.clone()));
                self.stumble(ctx, &cause, Next::Try)
            }
            Err(Fault::SessionGone(cause)) => self.start_over(ctx, &cause),
            // Our ticket is gone: with an attempt whose answer was lost, or by somebody's hand.
            Ok(Answer::NoTicket) => {
                self.answered();
                self.place = None;
                self.look(ctx);
                Turn::Stay
            }
            Ok(Answer::Stale) => {
                self.answered();
                self.stall = None;
                self.read_line(ctx, false);
                Turn::Stay
            }
            Err(fault) => self.stumble(ctx, fault.error(), Next::Look),
            Ok(_) => Turn::Failed(self.unexpected(ctx)),
        }
    }

    pub(super) fn locked(&mut self, ctx: &mut Context<'_>, token: u64) -> Turn {
        let Some(session) = &self.session else {
            return Turn::Failed(self.unexpected(ctx));
        };
        let now = ctx.time();
        if session.lease.age(now) > FRESH {
            let request = Request::RenewSession {
                session: session.id.clone(),
            };
            let by = self.by().min(session.lease.end());
            self.step = Step::Refresh(ctx.send(Owner::Lock(self.lock), request, by), token);
            return Turn::Stay;
        }
        self.won(ctx, token)
    }

    pub(super) fn refreshed(
        &mut self,
        ctx: &mut Context<'_>,
        token: u64,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) -> Turn {
        match answer {
            Ok(Answer::Renewed) => self.confirm(ctx, sent),
            Err(Fault::SessionGone(_)) => {
                // Ended in between, and the lock with it.
                self.session = None;
                self.look(ctx);
                return Turn::Stay;
            }
            Err(fault) => self.note_doubt(&fault),
            Ok(_) => return Turn::Failed(self.unexpected(ctx)),
        }
        self.won(ctx, token)
    }

    /// Hands the lock out, if anything of its lease is left.
    pub(super) fn won(&mut self, ctx: &mut Context<'_>, token: u64) -> Turn {
        match self.session.take() {
            Some(session) if !session.lease.is_over(ctx.time()) => {
                self.step = Step::Name;
                Turn::Won { session, token }
            }
            Some(session) => {
                ctx.retire(session, None);
                let error =
                    Error::new(Status::Unavailable, "Consul answered after the lease ended");
                self.stumble(ctx, &error, Next::Look)
            }
            None => Turn::Failed(self.unexpected(ctx)),
        }
    }

    /// The lock is ours, only its renewal did not come back: what is left of the lease counts.
    pub(super) fn won_at_the_deadline(&mut self, ctx: &mut Context<'_>, token: u64) -> Turn {
        if let Step::Refresh(request, _) = self.step {
            ctx.abort(request);
        }
        if let Some(session) = &mut self.session {
            session.doubtful = true;
        }
        match self.won(ctx, token) {
            Turn::Stay => Turn::Failed(self.fault.take().unwrap_or_else(|| self.unexpected(ctx))),
            turn => turn,
        }
    }
}
