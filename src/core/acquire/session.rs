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
        ctx: &mut Context,
        sent: Option<Time>,
        answer: &Result<Answer, Fault>,
    ) -> Progress {
        match answer {
            Ok(Answer::Renewed) if self.confirm(ctx, sent) => self.renew_at = None,
            // The answer came too late, or the session is gone, and its ticket with it.
            Ok(Answer::Renewed) | Err(Fault::SessionGone(_)) => {
                match self.step {
                    Step::Watch { .. } => ctx.watches.unwatch(&mut ctx.out, self.lock),
                    Step::Pause(..) => {}
                    // The answer to what is under way with the session tells.
                    _ => return Progress::GoesOn,
                }
                self.retire_session(ctx);
                if let Step::Watch { .. } = self.step {
                    if self.wants_ticket(ctx) {
                        self.get_ticket(ctx);
                    } else {
                        self.look(ctx);
                    }
                }
            }
            Err(_) | Ok(_) => {
                let pause = ctx.out.back_off(6);
                self.renew_at = Some(ctx.out.time() + pause);
            }
        }
        Progress::GoesOn
    }

    /// Gives the session up, and the ticket that goes with it. Consul may know the session, whatever an
    /// answer said: a server that lags behind, or a leader of old, says what was.
    pub(super) fn retire_session(&mut self, ctx: &mut Context) {
        self.attempt = None;
        if self.place.take().is_some() {
            self.purpose = Purpose::Ticket;
        }
        if let Some(session) = self.session.take() {
            ctx.pool.retire(&mut ctx.out, session, None);
        }
    }

    /// A session whose lease is over may end at any moment: nothing new is begun with it.
    pub(super) fn retire_what_is_over(&mut self, ctx: &mut Context) {
        let now = ctx.out.time();
        if self.session.as_ref().is_some_and(|s| s.lease.is_over(now)) {
            self.retire_session(ctx);
        }
    }

    /// Goes on with a session that has its whole life ahead.
    pub(super) fn ready_session(&mut self, ctx: &mut Context) {
        self.retire_what_is_over(ctx);
        let session = self
            .session
            .take()
            .or_else(|| ctx.pool.take_warm(&mut ctx.out, self.spec.ttl));
        let Some(session) = session else {
            return self.open(ctx);
        };
        let old = session.lease.age(ctx.out.time()) > FRESH;
        let id = session.id.clone();
        self.session = Some(session);
        if old {
            let request = Request::RenewSession { session: id };
            self.step = Step::Renew(ctx.out.send(Owner::Lock(self.lock), request, self.by()));
        } else {
            self.session_is_ready(ctx);
        }
    }

    pub(super) fn session_is_ready(&mut self, ctx: &mut Context) {
        match self.purpose {
            Purpose::Lock => self.try_lock(ctx),
            Purpose::Ticket => self.join(ctx),
        }
    }

    /// The session is gone, and with it the ticket: a new one will do. A session that was kept warm
    /// may have been ended by somebody, also before a single attempt; twice in a row is more.
    pub(super) fn start_over(&mut self, ctx: &mut Context, cause: &Error) -> Progress {
        self.retire_session(ctx);
        if self.writes.count() > 1 || (self.once() && self.writes.count() > 0) {
            return self.retry_later(ctx, Access::Write, cause, Next::Look);
        }
        self.writes.add(ctx.out.time());
        self.open(ctx);
        Progress::GoesOn
    }

    pub(super) fn open(&mut self, ctx: &mut Context) {
        let name = ctx.out.session_name();
        let node = ctx.out.config.session_node.as_ref();
        let request = Request::CreateSession {
            name: name.clone(),
            ttl: self.spec.ttl,
            node: node.map(|node| node.name.clone()),
        };
        let id = ctx.out.send(Owner::Lock(self.lock), request, self.by());
        self.step = Step::Open(id, name);
    }

    pub(super) fn opened(
        &mut self,
        ctx: &mut Context,
        name: Arc<str>,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        match answer {
            Ok(Answer::Created(id)) => {
                self.session = Some(Session::new(id, sent, self.spec.ttl));
                self.registered = false;
                self.session_is_ready(ctx);
                Progress::GoesOn
            }
            Ok(Answer::NoNode) => self.find_no_node(ctx),
            Err(fault) => {
                if let Fault::Unknown(_) = fault {
                    ctx.pool
                        .retire_by_name(&mut ctx.out, name, self.spec.ttl, None);
                }
                self.retry_later(ctx, Access::Write, fault.error(), Next::Look)
            }
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
        }
    }

    /// The catalog does not have the node that the session is to be bound to: not yet, or an operator has
    /// removed it.
    fn find_no_node(&mut self, ctx: &mut Context) -> Progress {
        let node = ctx.out.config.session_node.as_ref();
        let node = node.map(|node| node.name.clone()).unwrap_or_default();
        if std::mem::take(&mut self.registered) {
            let why =
                format!("the node \"{node}\" was registered, and the catalog does not have it");
            return self.retry_later(
                ctx,
                Access::Write,
                &Error::new(Status::Unavailable, why),
                Next::Look,
            );
        }
        let request = Request::RegisterNode { node };
        self.step = Step::Register(ctx.out.send(Owner::Lock(self.lock), request, self.by()));
        Progress::GoesOn
    }

    pub(super) fn registered(
        &mut self,
        ctx: &mut Context,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        match answer {
            Ok(Answer::Registered) => {
                self.registered = true;
                self.open(ctx);
                Progress::GoesOn
            }
            Err(fault) => self.retry_later(ctx, Access::Write, fault.error(), Next::Look),
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
        }
    }

    pub(super) fn renewed(
        &mut self,
        ctx: &mut Context,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        match answer {
            Ok(Answer::Renewed) if self.confirm(ctx, sent) => {
                self.session_is_ready(ctx);
                Progress::GoesOn
            }
            Ok(Answer::Renewed) => self.start_over(ctx, &too_late()),
            // It expired while we waited, or an operator ended it.
            Err(Fault::SessionGone(cause)) => self.start_over(ctx, &cause),
            Err(fault) => {
                self.note_doubt(&fault);
                self.retry_later(ctx, Access::Write, fault.error(), Next::Look)
            }
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
        }
    }

    /// True: the session lives, at least as long as it did.
    pub(super) fn confirm(&mut self, ctx: &Context, sent: Option<Time>) -> bool {
        let session = self.session.as_mut();
        session.is_some_and(|session| session.confirm(&ctx.out, sent))
    }

    pub(super) fn note_doubt(&mut self, fault: &Fault) {
        if let (Fault::Unknown(_), Some(session)) = (fault, &mut self.session) {
            session.doubtful = true;
        }
    }

    /// A session with a request of unknown fate is not used for another attempt.
    pub(super) fn drop_doubtful(&mut self, ctx: &mut Context) {
        if self.session.as_ref().is_some_and(|s| s.doubtful) {
            self.retire_session(ctx);
        }
    }
}

/// What a renewal says that was answered after the end of the lease.
pub(super) fn too_late() -> Error {
    let why = "Consul answered after the lease had ended";
    Error::new(Status::Unavailable, why)
}
