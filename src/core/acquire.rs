//! From the call of acquire to a lock that is held, or to the certainty that it is not.
//!
//! ```text
//!            free                         locked, lease fresh
//!   Look ───────────▶ Open/Renew ──▶ Try ───────────────────▶ won
//!    ▲  │ held                        │ │ locked, lease old ──▶ Refresh ──▶ won
//!    │  └─────▶ Watch ──(free)────────┘ │ answer lost: Pause, the same transaction again
//!    └──────────── Pause ◀──────────────┘ held, no leader, lock-delay
//! ```

use std::sync::Arc;
use std::time::Duration;

use super::context::{Context, Owner};
use super::lease::{Lease, Session};
use super::log::Often;
use super::messages::{Answer, Fault, KeyRow, Request, SessionId, SessionRow, Value};
use super::value;
use super::{CallId, Level, LockId, Patience, RequestId, Spec};
use crate::clock::Time;
use crate::error::{Error, Status};

/// A session confirmed longer ago than this is renewed before it is used, and a lock that took
/// longer than this to arrive is renewed before it is handed out: its whole life is the caller's.
const FRESH: Duration = Duration::from_secs(1);

/// A waiter makes sure of its answer in the last part of its time: it looks once more, and asks
/// who has the lock.
const LAST_PART: Duration = Duration::from_millis(500);

/// How long the name of a holder may take. The answer does not depend on it.
const NAME_LIMIT: Duration = Duration::from_secs(1);

/// One blocking query. Consul allows 10 minutes; a shorter one finds a dead connection earlier.
const LONGEST_WATCH: Duration = Duration::from_secs(60);

/// An agent without a leader takes up to 7.3 s to say so (measured), and the server adds up to a
/// sixteenth to a wait: beyond that a blocking query is dead.
const WATCH_SLACK: Duration = Duration::from_secs(10);

/// While a lock-delay runs an attempt costs no Raft write, and its end wakes nobody: try this
/// often at most.
const DELAY_PAUSE: Duration = Duration::from_millis(250);

/// Losers of a race look again spread over this time.
const RACE_SPREAD: Duration = Duration::from_millis(5);

const WHAT: &str = "could not acquire the lock";

/// One acquire under way.
#[derive(Debug)]
pub(super) struct Acquire {
    pub(super) call: CallId,
    lock: LockId,
    spec: Spec,
    deadline: Option<Time>,
    /// When the last part of a wait begins.
    last_part: Option<Time>,
    session: Option<Session>,
    step: Step,
    /// What the attempt under way stores: kept, so that it can be repeated byte for byte.
    value: Option<Value>,
    /// Failures in a row.
    faults: u32,
    /// Refusals by lock-delay in a row.
    delays: u32,
    /// What Consul last said, when that was "not free".
    refused: Option<Refusal>,
    /// What went wrong since Consul last gave a usable answer.
    fault: Option<Error>,
    /// The extra look in the last part of a wait.
    last_look: Option<RequestId>,
    last_look_done: bool,
    name_request: Option<(RequestId, SessionId)>,
    holder_name: Option<(SessionId, Option<SessionRow>)>,
}

/// Consul said that the lock is not free.
#[derive(Clone, Debug)]
struct Refusal {
    at: Time,
    holder: Option<KeyRow>,
}

#[derive(Debug)]
enum Step {
    Look(RequestId),
    Open(RequestId, Arc<str>),
    Renew(RequestId),
    Try(RequestId),
    /// The lock is ours; its lease is made whole.
    Refresh(RequestId, u64),
    Watch {
        request: RequestId,
        index: u64,
        begun: Time,
    },
    Pause(Time, Next),
    /// It is over but for the holder's name.
    Name,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Look,
    Try,
}

/// What became of it.
pub(super) enum Turn {
    /// It goes on.
    Stay,
    /// The lock is held.
    Won { session: Session, token: u64 },
    /// It is not, and will not be.
    Failed(Error),
}

/// What is left behind by an acquire that ended without the lock.
pub(super) enum Leftover {
    Nothing,
    Session(Session),
    /// A create is on its way.
    Create(RequestId, Arc<str>),
}

impl Acquire {
    pub(super) fn begin(
        ctx: &mut Context<'_>,
        lock: LockId,
        call: CallId,
        spec: Spec,
    ) -> (Acquire, Turn) {
        let now = ctx.time();
        let budget = match spec.patience {
            Patience::Once => Some(ctx.shared.config.request_timeout),
            Patience::For(budget) => Some(budget),
            Patience::Forever => None,
        };
        let deadline = budget.map(|budget| now + budget);
        let last_part = match (deadline, spec.patience) {
            (Some(deadline), Patience::For(budget)) => Some(deadline - LAST_PART.min(budget)),
            _ => None,
        };
        let mut acquire = Acquire {
            call,
            lock,
            spec,
            deadline,
            last_part,
            session: None,
            step: Step::Name,
            value: None,
            faults: 0,
            delays: 0,
            refused: None,
            fault: None,
            last_look: None,
            last_look_done: false,
            name_request: None,
            holder_name: None,
        };
        // A refused attempt costs a Raft write, a look costs none. Only a process that has a
        // session at hand and gave this very key back a moment ago tries without looking.
        let ttl = acquire.spec.ttl;
        if ctx.shared.pool.has(ttl) && ctx.was_just_given_back(&acquire.spec.key) {
            acquire.attempt(ctx);
        } else {
            acquire.look(ctx);
        }
        (acquire, Turn::Stay)
    }

    /// When to call [`Acquire::alarm`], at the latest.
    pub(super) fn wake_at(&self) -> Option<Time> {
        let pause = match self.step {
            Step::Pause(until, _) => Some(until),
            _ => None,
        };
        let last_part = self.last_part.filter(|_| self.wants_last_look());
        [self.deadline, pause, last_part]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time went by.
    pub(super) fn alarm(&mut self, ctx: &mut Context<'_>) -> Turn {
        let now = ctx.time();
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return self.time_is_up(ctx);
        }
        match self.step {
            Step::Pause(until, next) if now >= until => match next {
                Next::Look => self.look(ctx),
                Next::Try => self.try_lock(ctx),
            },
            _ if self.wants_last_look() && self.in_last_part(now) => {
                self.last_look_done = true;
                let request = self.read_request();
                self.last_look = Some(ctx.send(Owner::Lock(self.lock), request, self.by()));
            }
            _ => {}
        }
        Turn::Stay
    }

    /// Ends it: nothing of it is waited for any more.
    pub(super) fn end(self, ctx: &mut Context<'_>) -> Leftover {
        for request in self
            .last_look
            .into_iter()
            .chain(self.name_request.map(|(id, _)| id))
        {
            ctx.abort(request);
        }
        match self.step {
            Step::Open(request, name) => {
                ctx.abort(request);
                return Leftover::Create(request, name);
            }
            Step::Look(request)
            | Step::Renew(request)
            | Step::Try(request)
            | Step::Refresh(request, _)
            | Step::Watch { request, .. } => ctx.abort(request),
            Step::Pause(..) | Step::Name => {}
        }
        self.session.map_or(Leftover::Nothing, Leftover::Session)
    }

    pub(super) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Takes in an answer.
    pub(super) fn replied(
        &mut self,
        ctx: &mut Context<'_>,
        request: RequestId,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) -> Turn {
        if self.last_look == Some(request) {
            self.last_look = None;
            return self.last_looked(ctx, answer);
        }
        if let Some((_, session)) = self.name_request.take_if(|(id, _)| *id == request) {
            return self.named(ctx, session, answer);
        }
        let answer = match answer {
            Err(Fault::Final(cause)) => {
                return Turn::Failed(ctx.error_from(&cause, WHAT, &self.spec.key));
            }
            answer => answer,
        };
        match self.step {
            Step::Look(id) | Step::Watch { request: id, .. } if id == request => {
                self.looked(ctx, answer)
            }
            Step::Open(id, _) if id == request => self.opened(ctx, sent, answer),
            Step::Renew(id) if id == request => self.renewed(ctx, sent, answer),
            Step::Try(id) if id == request => self.tried(ctx, answer),
            Step::Refresh(id, token) if id == request => self.refreshed(ctx, token, sent, answer),
            _ => Turn::Stay,
        }
    }

    /// The latest end of a request.
    fn by(&self) -> Time {
        self.deadline.unwrap_or(Time(u64::MAX))
    }

    fn once(&self) -> bool {
        self.spec.patience == Patience::Once
    }

    fn in_last_part(&self, now: Time) -> bool {
        self.last_part.is_some_and(|from| now >= from)
    }

    fn wants_last_look(&self) -> bool {
        !self.last_look_done && matches!(self.step, Step::Watch { .. })
    }

    fn read_request(&self) -> Request {
        Request::Read {
            key: self.spec.key.clone(),
            consistent: false,
        }
    }

    fn look(&mut self, ctx: &mut Context<'_>) {
        let request = ctx.send(Owner::Lock(self.lock), self.read_request(), self.by());
        self.step = Step::Look(request);
    }

    fn watch(&mut self, ctx: &mut Context<'_>, index: u64) {
        let now = ctx.time();
        let left = self.by().since(now);
        let wait = left.min(LONGEST_WATCH).max(Duration::from_millis(1));
        let request = Request::Watch {
            key: self.spec.key.clone(),
            index,
            wait,
        };
        // Our own deadline ends it, by an abort: a time-out of the request would be a fault.
        let by = now + wait + wait / 16 + WATCH_SLACK;
        let request = ctx.send_long(Owner::Lock(self.lock), request, by);
        self.step = Step::Watch {
            request,
            index,
            begun: now,
        };
    }

    fn pause(&mut self, ctx: &Context<'_>, pause: Duration, next: Next) {
        self.step = Step::Pause(ctx.time() + pause, next);
    }

    /// Something failed that may work a moment later.
    fn stumble(&mut self, ctx: &mut Context<'_>, cause: &Error, next: Next) -> Turn {
        self.faults += 1;
        let error = ctx.error_from(cause, WHAT, &self.spec.key);
        let repeating = matches!(next, Next::Try) && self.value.is_some();
        if self.once() && !repeating {
            return Turn::Failed(error);
        }
        ctx.log_outage(self.faults, &error);
        self.fault = Some(error);
        let pause = ctx.shared.back_off(self.faults);
        self.pause(ctx, pause, next);
        Turn::Stay
    }

    fn looked(&mut self, ctx: &mut Context<'_>, answer: Result<Answer, Fault>) -> Turn {
        match answer {
            Ok(Answer::Row { row, index }) => {
                self.faults = 0;
                self.fault = None;
                match row {
                    Some(row) if row.session.is_some() => self.found_held(ctx, row, index),
                    // Its one attempt was refused; that the key is free again is too late.
                    _ if self.once() && self.refused.is_some() => {
                        Turn::Failed(self.not_acquired(ctx))
                    }
                    _ => {
                        self.attempt(ctx);
                        Turn::Stay
                    }
                }
            }
            Err(fault) => self.stumble(ctx, fault.error(), Next::Look),
            Ok(_) => Turn::Failed(self.unexpected(ctx)),
        }
    }

    fn found_held(&mut self, ctx: &mut Context<'_>, row: KeyRow, index: u64) -> Turn {
        let now = ctx.time();
        if self.session.as_ref().map(|s| &s.id) == row.session.as_ref() {
            // Our own: an attempt that we took for refused was applied. The next one says so.
            self.attempt(ctx);
            return Turn::Stay;
        }
        let unchanged = self.refused.as_ref().and_then(|r| r.holder.as_ref()) == Some(&row);
        let holder = row.session.clone();
        self.refused = Some(Refusal {
            at: now,
            holder: Some(row),
        });
        if self.once() {
            return self.ask_name(ctx, holder);
        }
        if self.in_last_part(now) {
            let _ = self.ask_name(ctx, holder);
        }
        let spinning = matches!(self.step, Step::Watch { begun, .. }
            if unchanged && now.since(begun) < Duration::from_millis(2));
        match self.step {
            // A server (or a proxy) that answers blocking queries at once must not be hammered.
            Step::Watch { .. } if spinning => {
                self.faults += 1;
                let pause = ctx.shared.back_off(self.faults);
                self.pause(ctx, pause, Next::Look);
            }
            // The index went backwards (a restored snapshot): it means nothing any more.
            Step::Watch { index: before, .. } if index < before => self.look(ctx),
            _ => self.watch(ctx, index),
        }
        Turn::Stay
    }

    /// The look in the last part of a wait: it only makes sure.
    fn last_looked(&mut self, ctx: &mut Context<'_>, answer: Result<Answer, Fault>) -> Turn {
        match answer {
            Ok(Answer::Row { row: Some(row), .. }) if row.session.is_some() => {
                let holder = row.session.clone();
                self.refused = Some(Refusal {
                    at: ctx.time(),
                    holder: Some(row),
                });
                self.ask_name(ctx, holder)
            }
            // Free: the watch says so, too, or will never say anything.
            Ok(Answer::Row { .. }) => {
                if let Step::Watch { request, .. } = self.step {
                    ctx.abort(request);
                    self.attempt(ctx);
                }
                Turn::Stay
            }
            Err(fault) => {
                self.fault = Some(ctx.error_from(fault.error(), WHAT, &self.spec.key));
                Turn::Stay
            }
            Ok(_) => Turn::Failed(self.unexpected(ctx)),
        }
    }

    /// Asks for the name of the holder, for the message. One attempt ends with the answer.
    fn ask_name(&mut self, ctx: &mut Context<'_>, holder: Option<SessionId>) -> Turn {
        let known = self.holder_name.as_ref().map(|(id, _)| id);
        match holder {
            Some(session) if known != Some(&session) && self.name_request.is_none() => {
                let request = Request::DescribeSession {
                    session: session.clone(),
                };
                let by = self.by().min(ctx.time() + NAME_LIMIT);
                let id = ctx.send(Owner::Lock(self.lock), request, by);
                self.name_request = Some((id, session));
                if self.once() {
                    self.step = Step::Name;
                }
                Turn::Stay
            }
            _ if self.once() => Turn::Failed(self.not_acquired(ctx)),
            _ => Turn::Stay,
        }
    }

    fn named(
        &mut self,
        ctx: &mut Context<'_>,
        session: SessionId,
        answer: Result<Answer, Fault>,
    ) -> Turn {
        if let Ok(Answer::Described(row)) = answer {
            self.holder_name = Some((session, row));
        }
        match self.step {
            Step::Name => Turn::Failed(self.not_acquired(ctx)),
            _ => Turn::Stay,
        }
    }

    /// The key is free: take it, with a session that has its whole life ahead.
    fn attempt(&mut self, ctx: &mut Context<'_>) {
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
            self.try_lock(ctx);
        }
    }

    fn open(&mut self, ctx: &mut Context<'_>) {
        let name = ctx.session_name();
        let request = Request::CreateSession {
            name: name.clone(),
            ttl: self.spec.ttl,
        };
        let id = ctx.send(Owner::Lock(self.lock), request, self.by());
        self.step = Step::Open(id, name);
    }

    fn opened(
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
                self.try_lock(ctx);
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
    fn lease(&self, ctx: &Context<'_>, sent: Option<Time>) -> Lease {
        #[cfg(test)]
        if ctx.sabotaged(super::sabotage::Sabotage::LeaseFromReply) {
            return Lease::new(ctx.time(), self.spec.ttl);
        }
        let _ = ctx;
        Lease::new(sent.unwrap_or_default(), self.spec.ttl)
    }

    fn renewed(
        &mut self,
        ctx: &mut Context<'_>,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) -> Turn {
        match answer {
            Ok(Answer::Renewed) => {
                self.confirm(ctx, sent);
                self.try_lock(ctx);
                Turn::Stay
            }
            // It expired while we waited, or an operator ended it: a new one will do.
            Err(Fault::SessionGone(_)) => {
                self.session = None;
                self.open(ctx);
                Turn::Stay
            }
            Err(fault) => {
                self.note_doubt(&fault);
                self.stumble(ctx, fault.error(), Next::Look)
            }
            Ok(_) => Turn::Failed(self.unexpected(ctx)),
        }
    }

    fn confirm(&mut self, ctx: &Context<'_>, sent: Option<Time>) {
        let confirmed = self.lease(ctx, sent).confirmed();
        if let Some(session) = &mut self.session {
            session.lease.extend(confirmed);
        }
    }

    fn note_doubt(&mut self, fault: &Fault) {
        if let (Fault::Unknown(_), Some(session)) = (fault, &mut self.session) {
            session.doubtful = true;
        }
    }

    /// One attempt, or the same one again: the value is made once per attempt.
    fn try_lock(&mut self, ctx: &mut Context<'_>) {
        let Some(session) = &self.session else {
            return self.look(ctx);
        };
        let value = self
            .value
            .take()
            .or_else(|| self.spec.value.clone())
            .unwrap_or_else(|| value::locked_at(ctx.now.unix_ms));
        let request = Request::Lock {
            key: self.spec.key.clone(),
            value: value.clone(),
            session: session.id.clone(),
            line: false,
        };
        self.value = Some(value);
        self.step = Step::Try(ctx.send(Owner::Lock(self.lock), request, self.by()));
    }

    fn tried(&mut self, ctx: &mut Context<'_>, answer: Result<Answer, Fault>) -> Turn {
        let now = ctx.time();
        if !matches!(answer, Err(Fault::Unknown(_))) {
            self.value = None;
        }
        if !matches!(answer, Ok(Answer::Delayed)) {
            self.delays = 0;
        }
        match answer {
            Ok(Answer::Locked { index, .. }) => self.locked(ctx, index),
            Ok(Answer::Held) => {
                self.fault = None;
                self.drop_doubtful(ctx);
                self.refused = Some(Refusal {
                    at: now,
                    holder: None,
                });
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
                self.refused = Some(Refusal {
                    at: now,
                    holder: None,
                });
                if self.once() {
                    return Turn::Failed(self.not_acquired(ctx));
                }
                self.delays += 1;
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
                if ctx.sabotaged(super::sabotage::Sabotage::DoubtIsFailure) {
                    self.session = None;
                    return Turn::Failed(cause);
                }
                self.note_doubt(&Fault::Unknown(cause.clone()));
                self.stumble(ctx, &cause, Next::Try)
            }
            Err(Fault::SessionGone(cause)) => {
                self.session = None;
                // A session that was kept warm may have been ended by somebody; a new one will do,
                // also for a single attempt. Twice in a row is more than that.
                self.faults += 1;
                if self.once() && self.faults > 1 {
                    return Turn::Failed(ctx.error_from(&cause, WHAT, &self.spec.key));
                }
                self.open(ctx);
                Turn::Stay
            }
            Err(fault) => self.stumble(ctx, fault.error(), Next::Look),
            Ok(_) => Turn::Failed(self.unexpected(ctx)),
        }
    }

    /// A session with a request of unknown fate is not used for another attempt.
    fn drop_doubtful(&mut self, ctx: &mut Context<'_>) {
        if let Some(session) = self.session.take_if(|session| session.doubtful) {
            ctx.retire(session, None);
        }
    }

    fn locked(&mut self, ctx: &mut Context<'_>, token: u64) -> Turn {
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

    fn refreshed(
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
    fn won(&mut self, ctx: &mut Context<'_>, token: u64) -> Turn {
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

    /// The deadline. NOT_ACQUIRED only if Consul said so lately; silence is UNAVAILABLE.
    fn time_is_up(&mut self, ctx: &mut Context<'_>) -> Turn {
        if let Step::Refresh(_, token) = self.step {
            return self.won_at_the_deadline(ctx, token);
        }
        #[cfg(test)]
        if ctx.sabotaged(super::sabotage::Sabotage::KeepLateLock) {
            self.session = None;
        }
        let said = match (&self.refused, self.last_part) {
            (Some(refusal), Some(from)) => refusal.at >= from,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if said && self.fault.is_none() {
            return Turn::Failed(self.not_acquired(ctx));
        }
        let error = self.fault.take().unwrap_or_else(|| {
            let why = "Consul did not answer in time; is it running, and can it reach its leader?";
            ctx.error(Status::Unavailable, WHAT, &self.spec.key, why)
        });
        Turn::Failed(error)
    }

    /// The lock is ours, only its renewal did not come back: what is left of the lease counts.
    fn won_at_the_deadline(&mut self, ctx: &mut Context<'_>, token: u64) -> Turn {
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

    fn unexpected(&self, ctx: &Context<'_>) -> Error {
        ctx.error(
            Status::Internal,
            WHAT,
            &self.spec.key,
            "an answer that was not asked for",
        )
    }

    /// The lock is not free, and who has it, as far as Consul says.
    fn not_acquired(&self, ctx: &Context<'_>) -> Error {
        let refusal = self.refused.as_ref();
        let why = match refusal.and_then(|r| r.holder.as_ref()) {
            Some(row) => self.describe_holder(ctx, row),
            None if self.delays > 0 => "nobody holds it, but its lock-delay runs".to_owned(),
            None => "somebody else was faster".to_owned(),
        };
        ctx.error(Status::NotAcquired, WHAT, &self.spec.key, &why)
    }

    fn describe_holder(&self, ctx: &Context<'_>, row: &KeyRow) -> String {
        let Some(session) = &row.session else {
            return "somebody else was faster".to_owned();
        };
        let named = self.holder_name.as_ref().filter(|(id, _)| id == session);
        let described = named.and_then(|(_, row)| row.as_ref());
        let identity = &ctx.shared.config.identity;
        let ours = ctx.shared.holding.contains(session)
            || described.is_some_and(|row| row.name.starts_with(identity.as_str()));
        let mut text = if ours {
            "this very process holds it (a lock is not re-entrant): ".to_owned()
        } else {
            "held by ".to_owned()
        };
        match described {
            Some(row) => {
                text.push_str(&format!(
                    "session {session} \"{}\" on node {}",
                    printable(&row.name),
                    printable(&row.node)
                ));
            }
            None => text.push_str(&format!("session {session}")),
        }
        if let Some((since, age)) = value::claimed(&row.value, ctx.now.unix_ms) {
            text.push_str(&format!(", since {since} by its own clock ({age} s ago)"));
        }
        text
    }
}

/// One line, whatever somebody put into a name.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(200)
        .collect()
}
