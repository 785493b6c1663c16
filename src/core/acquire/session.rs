//! The session of an acquire: made or taken warm, kept alive while it waits, replaced when it ended.

use super::*;

impl Acquire {
    /// While we stand in line, the session must not end.
    pub(super) fn renewal_due(&self) -> Option<Time> {
        let waits = matches!(self.step, Step::Watch { .. } | Step::Pause(..));
        let session = self
            .session
            .as_ref()
            .filter(|_| waits && self.renewal.is_none())?;
        let third = session.lease.confirmed() + session.lease.ttl() / 3;
        Some(self.renew_at.map_or(third, |at| at.max(third)))
    }

    pub(super) fn kept(
        &mut self,
        ctx: &mut Context<'_>,
        sent: Option<Time>,
        answer: &Result<Answer, Fault>,
    ) -> Turn {
        match answer {
            Ok(Answer::Renewed) => {
                self.confirm(ctx, sent);
                self.renew_at = None;
            }
            Err(Fault::SessionGone(_)) if matches!(self.step, Step::Watch { .. }) => {
                ctx.unwatch(self.lock);
                self.session = None;
                self.place = None;
                if self.queues(ctx) {
                    self.queue_up(ctx);
                } else {
                    self.look(ctx);
                }
            }
            // Whatever goes on finds out by itself.
            Err(Fault::SessionGone(_)) => {}
            Err(_) | Ok(_) => {
                let pause = ctx.shared.back_off(6);
                self.renew_at = Some(ctx.time() + pause);
            }
        }
        Turn::Stay
    }

    /// Goes on with a session that has its whole life ahead.
    pub(super) fn ready_session(&mut self, ctx: &mut Context<'_>) {
        let session = self.session.take().or_else(|| ctx.take_warm(self.spec.ttl));
        let Some(session) = session else {
            return self.open(ctx);
        };
        let old = session.lease.age(ctx.time()) > FRESH;
        let id = session.id.clone();
        self.session = Some(session);
        if old {
            let request = Request::RenewSession { session: id };
            self.step = Step::Renew(ctx.send(Owner::Lock(self.lock), request, self.by()));
        } else {
            self.session_is_ready(ctx);
        }
    }

    pub(super) fn session_is_ready(&mut self, ctx: &mut Context<'_>) {
        match self.aim {
            Aim::Lock => self.try_lock(ctx),
            Aim::Ticket => self.join(ctx),
        }
    }

    /// The session is gone, and with it the ticket: a new one will do. A session that was kept warm
    /// may have been ended by somebody, also before a single attempt; twice in a row is more.
    pub(super) fn start_over(&mut self, ctx: &mut Context<'_>, cause: &Error) -> Turn {
        self.session = None;
        self.faults += 1;
        if self.once() && self.faults > 1 {
            return Turn::Failed(ctx.error_from(cause, WHAT, &self.spec.key));
        }
        if self.place.take().is_some() {
            self.aim = Aim::Ticket;
        }
        if self.faults > 2 {
            return self.stumble(ctx, cause, Next::Look);
        }
        self.open(ctx);
        Turn::Stay
    }

    pub(super) fn open(&mut self, ctx: &mut Context<'_>) {
        let name = ctx.session_name();
        let request = Request::CreateSession {
            name: name.clone(),
            ttl: self.spec.ttl,
        };
        let id = ctx.send(Owner::Lock(self.lock), request, self.by());
        self.step = Step::Open(id, name);
    }

    pub(super) fn opened(
        &mut self,
        ctx: &mut Context<'_>,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) -> Turn {
        match answer {
            Ok(Answer::Created(id)) => {
                let lease = self.lease(ctx, sent);
                self.session = Some(Session {
                    id,
                    lease,
                    doubtful: false,
                });
                self.faults = 0;
                self.session_is_ready(ctx);
                Turn::Stay
            }
            Err(fault) => {
                if let (Fault::Unknown(_), Step::Open(_, name)) = (&fault, &self.step) {
                    ctx.retire_by_name(name.clone(), self.spec.ttl, None);
                }
                self.stumble(ctx, fault.error(), Next::Look)
            }
            Ok(_) => Turn::Failed(self.unexpected(ctx)),
        }
    }

    /// The lease that an answer confirms. Without the instant of sending there is none.
    pub(super) fn lease(&self, ctx: &Context<'_>, sent: Option<Time>) -> Lease {
        #[cfg(test)]
        if ctx.sabotaged(crate::core::sabotage::Sabotage::LeaseFromReply) {
            return Lease::new(ctx.time(), self.spec.ttl);
        }
        let _ = ctx;
        Lease::new(sent.unwrap_or_default(), self.spec.ttl)
    }

    pub(super) fn renewed(
        &mut self,
        ctx: &mut Context<'_>,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) -> Turn {
        match answer {
            Ok(Answer::Renewed) => {
                self.confirm(ctx, sent);
                self.session_is_ready(ctx);
                Turn::Stay
            }
            // It expired while we waited, or an operator ended it.
            Err(Fault::SessionGone(cause)) => self.start_over(ctx, &cause),
            Err(fault) => {
                self.note_doubt(&fault);
                self.stumble(ctx, fault.error(), Next::Look)
            }
            Ok(_) => Turn::Failed(self.unexpected(ctx)),
        }
    }

    pub(super) fn confirm(&mut self, ctx: &Context<'_>, sent: Option<Time>) {
        let confirmed = self.lease(ctx, sent).confirmed();
        if let Some(session) = &mut self.session {
            session.lease.extend(confirmed);
        }
    }

    pub(super) fn note_doubt(&mut self, fault: &Fault) {
        if let (Fault::Unknown(_), Some(session)) = (fault, &mut self.session) {
            session.doubtful = true;
        }
    }

    /// A session with a request of unknown fate is not used for another attempt.
    pub(super) fn drop_doubtful(&mut self, ctx: &mut Context<'_>) {
        if let Some(session) = self.session.take_if(|session| session.doubtful) {
            self.place = None;
            ctx.retire(session, None);
        }
    }
}
