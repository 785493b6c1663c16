//! The session of an acquire: made or taken warm, renewed while the acquire waits, replaced when it ended.

use super::*;
use crate::core::lease::Lease;

/// The session of one acquire, and how the library keeps it alive.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct OwnSession {
    pub(super) live: Option<Session>,
    /// The renewal on its way while the acquire waits, and the session that it renews.
    pub(super) renewal: Option<(RequestId, SessionId)>,
    /// When to try the next renewal, after a failure.
    renew_at: Option<Time>,
    /// The library registered the node, and has made no session since.
    registered: bool,
}

impl OwnSession {
    pub(super) fn id(&self) -> Option<SessionId> {
        self.live.as_ref().map(|session| session.id.clone())
    }

    pub(super) fn lease(&self) -> Option<Lease> {
        self.live.as_ref().map(|session| session.lease)
    }

    /// A request with it may still be on its way.
    pub(super) fn note_doubt(&mut self) {
        if let Some(session) = &mut self.live {
            session.doubtful = true;
        }
    }

    fn renewal_due(&self) -> Option<Time> {
        let lease = self.lease().filter(|_| self.renewal.is_none())?;
        let third = lease.confirmed() + lease.ttl() / 3;
        Some(self.renew_at.map_or(third, |at| at.max(third)))
    }
}

impl Acquire {
    /// When to renew the session of a waiter, which must not end.
    pub(super) fn renewal_due(&self) -> Option<Time> {
        let waits = matches!(self.step, Step::Watch { .. } | Step::Pause(..));
        self.session.renewal_due().filter(|_| waits)
    }

    pub(super) fn renew_in_line(&mut self, ctx: &mut Context) {
        let Some(session) = self.session.id() else {
            return;
        };
        let request = Request::RenewSession {
            session: session.clone(),
        };
        // The limit leaves time for another renewal if this one is not answered. It is later than that of a
        // held lock, so that the connection serves first what ends first.
        let until = ctx.out.time() + self.spec.ttl / 4;
        self.session.renewal = Some((self.ask_until(ctx, request, until), session));
    }

    pub(super) fn renewed_in_line(
        &mut self,
        ctx: &mut Context,
        sent: Option<Time>,
        answer: &Result<Answer, Fault>,
    ) {
        match answer {
            Ok(Answer::Renewed) if self.confirm(ctx, sent) => self.session.renew_at = None,
            // The answer came too late, or the session is gone, and its ticket with it.
            Ok(Answer::Renewed) | Err(Fault::SessionGone(_)) => match self.step {
                Step::Watch { .. } => {
                    ctx.watches.unwatch(&mut ctx.out, self.lock);
                    self.retire_session(ctx);
                    if self.wants_ticket(ctx) {
                        self.get_ticket(ctx);
                    } else {
                        self.look(ctx);
                    }
                }
                Step::Pause(..) => self.retire_session(ctx),
                // The answer to the request that is on its way with the session tells.
                _ => {}
            },
            Err(_) | Ok(_) => {
                let pause = ctx.out.back_off(6);
                self.session.renew_at = Some(ctx.out.time() + pause);
            }
        }
    }

    /// Gives the session up, and the ticket that goes with it. Consul may still know the session, whatever an
    /// answer said: a server that lags behind, or a deposed leader, says what was.
    pub(super) fn retire_session(&mut self, ctx: &mut Context) {
        self.attempt.request = None;
        self.attempt.gate = None;
        if self.standing.place.take().is_some() {
            self.purpose = Purpose::Ticket;
        }
        if let Some(session) = self.session.live.take() {
            ctx.pool.retire(&mut ctx.out, session, None);
        }
    }

    /// A session whose lease is over may end at any moment: the library begins nothing new with it.
    pub(super) fn retire_what_is_over(&mut self, ctx: &mut Context) {
        let now = ctx.out.time();
        if self.session.lease().is_some_and(|lease| lease.is_over(now)) {
            self.retire_session(ctx);
        }
    }

    /// Goes on with a session that has its whole life ahead.
    pub(super) fn ready_session(&mut self, ctx: &mut Context) {
        self.retire_what_is_over(ctx);
        let live = self.session.live.take();
        let session = live.or_else(|| ctx.pool.take_warm(&mut ctx.out, self.spec.ttl));
        let Some(session) = session else {
            return self.open(ctx);
        };
        let is_old = session.lease.age(ctx.out.time()) > FRESH;
        let id = session.id.clone();
        self.session.live = Some(session);
        if is_old {
            let request = Request::RenewSession { session: id };
            self.step = Step::Renew(self.ask(ctx, request));
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

    /// The session is gone, and with it the ticket: the acquire goes on with a new one. Another program may
    /// end a session that was kept warm, also before a single attempt; twice in a row is a failure.
    pub(super) fn start_over(&mut self, ctx: &mut Context, cause: &Error) -> Progress {
        self.retire_session(ctx);
        let failed = self.setbacks.writes.count();
        if failed > 1 || (self.is_single() && failed > 0) {
            return self.retry_later(ctx, Access::Write, cause, Next::Look);
        }
        self.setbacks.writes.add(ctx.out.time());
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
        self.step = Step::Open(self.ask(ctx, request), name);
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
                self.session.live = Some(Session::new(id, sent, self.spec.ttl));
                self.session.registered = false;
                self.session_is_ready(ctx);
                Progress::GoesOn
            }
            Ok(Answer::NoNode) => self.find_no_node(ctx),
            answer => {
                if let Err(Fault::Unknown(_)) = answer {
                    ctx.pool
                        .retire_by_name(&mut ctx.out, name, self.spec.ttl, None);
                }
                self.failed(ctx, answer, Access::Write, Next::Look)
            }
        }
    }

    /// The catalog does not have the node that the session is to be bound to: not yet, or an operator has
    /// removed it.
    fn find_no_node(&mut self, ctx: &mut Context) -> Progress {
        let node = ctx.out.config.session_node.as_ref();
        let node = node.map(|node| node.name.clone()).unwrap_or_default();
        if std::mem::take(&mut self.session.registered) {
            let why =
                format!("the node \"{node}\" was registered, and the catalog does not have it");
            let cause = Error::new(Status::Unavailable, why);
            return self.retry_later(ctx, Access::Write, &cause, Next::Look);
        }
        self.step = Step::Register(self.ask(ctx, Request::RegisterNode { node }));
        Progress::GoesOn
    }

    pub(super) fn registered(
        &mut self,
        ctx: &mut Context,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        match answer {
            Ok(Answer::Registered) => {
                self.session.registered = true;
                self.open(ctx);
                Progress::GoesOn
            }
            answer => self.failed(ctx, answer, Access::Write, Next::Look),
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
            // The session expired while the caller waited, or an operator ended it.
            Err(Fault::SessionGone(cause)) => self.start_over(ctx, &cause),
            answer => {
                self.note_unknown(&answer);
                self.failed(ctx, answer, Access::Write, Next::Look)
            }
        }
    }

    /// True: the session lives, at least as long as it did.
    pub(super) fn confirm(&mut self, ctx: &Context, sent: Option<Time>) -> bool {
        let session = self.session.live.as_mut();
        session.is_some_and(|session| session.confirm(&ctx.out, sent))
    }

    pub(super) fn note_unknown(&mut self, answer: &Result<Answer, Fault>) {
        if let Err(Fault::Unknown(_)) = answer {
            self.session.note_doubt();
        }
    }

    /// The library uses no session for another attempt while the outcome of a request with it is unknown.
    pub(super) fn drop_doubtful(&mut self, ctx: &mut Context) {
        if self.session.live.as_ref().is_some_and(|s| s.doubtful) {
            self.retire_session(ctx);
        }
    }
}

/// The failure of a renewal that was answered after the end of the lease.
pub(super) fn too_late() -> Error {
    let why = "Consul answered after the lease had ended";
    Error::new(Status::Unavailable, why)
}
