//! From the call of acquire to a lock that is held, or to the certainty that it is not.
//!
//! ```text
//!            free                         locked, lease fresh
//!   Look ───────────▶ Open/Renew ──▶ Try ───────────────────▶ won
//!    ▲  │ held                        │ │ locked, lease old ──▶ Refresh ──▶ won
//!    │  └──▶ in line ──(our turn)─────┘ │ answer lost: Pause, the same transaction again
//!    └──────────── Pause ◀──────────────┘ held, no leader, lock-delay
//! ```
//!
//! Who waits first stands in this process's own queue (`core/line.rs`), and asks Consul nothing
//! until it is at its head; then in the line between processes (`ticket.rs`), or, where that is
//! not wanted or not allowed, watches the key with everybody else.

mod ticket;
mod words;

use std::sync::Arc;
use std::time::Duration;

use super::context::{Context, Owner};
use super::lease::{Lease, Session};
use super::line::{Place, Refusal};
use super::log::Often;
use super::messages::{Answer, Fault, Key, KeyRow, Request, SessionId, SessionRow, Ticket};
use super::value;
use super::watch::{Need, News};
use super::{CallId, Level, LockId, Patience, RequestId, Spec};
use crate::clock::Time;
use crate::error::{Error, Status};
use ticket::Stall;

/// A session confirmed longer ago than this is renewed before it is used, and a lock that took
/// longer than this to arrive is renewed before it is handed out: its whole life is the caller's.
const FRESH: Duration = Duration::from_secs(1);

/// A waiter makes sure of its answer in the last part of its time: it looks once more, and asks
/// who has the lock.
const LAST_PART: Duration = Duration::from_millis(500);

/// How long the name of a holder may take. The answer does not depend on it.
const NAME_LIMIT: Duration = Duration::from_secs(1);

/// While nothing happens, look again after this time.
const LONGEST_WATCH: Duration = Duration::from_secs(60);

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
    /// The number in this process's queue; None: it makes one attempt only, and waits for nobody.
    arrival: Option<u64>,
    session: Option<Session>,
    /// Our ticket, while we stand in the line between processes.
    place: Option<Place>,
    stall: Option<Stall>,
    collisions: u32,
    /// It waits without a ticket although it should have one.
    plain: bool,
    step: Step,
    aim: Aim,
    /// The transaction under way: kept, so that it can be repeated byte for byte.
    attempt: Option<Request>,
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
    /// When to ask for it; None: it was asked for.
    last_look_at: Option<Time>,
    name_request: Option<(RequestId, SessionId)>,
    holder_name: Option<(SessionId, Option<SessionRow>)>,
    /// The renewal of the session while we stand in line.
    renewal: Option<RequestId>,
    /// When to try the next one, after a failure.
    renew_at: Option<Time>,
}

#[derive(Debug)]
enum Step {
    /// Others of this process are first.
    Parked,
    Survey(RequestId),
    Look(RequestId),
    Open(RequestId, Arc<str>),
    Renew(RequestId),
    Join(RequestId),
    /// The key was free, or we did not look.
    ReadLine(RequestId, bool),
    Clear(RequestId),
    Try(RequestId),
    /// The lock is ours; its lease is made whole.
    Refresh(RequestId, u64),
    Watch {
        subject: Subject,
        index: u64,
        begun: Time,
    },
    Pause(Time, Next),
    /// It is over but for the holder's name.
    Name,
}

/// What is watched.
#[derive(Clone, Debug)]
enum Subject {
    Key,
    /// The ticket before ours.
    Ticket(Ticket),
}

/// What the session is for.
#[derive(Clone, Copy, Debug)]
enum Aim {
    Lock,
    Ticket,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Survey,
    Look,
    Join,
    ReadLine,
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
            arrival: None,
            session: None,
            place: None,
            stall: None,
            collisions: 0,
            plain: false,
            step: Step::Parked,
            aim: Aim::Lock,
            attempt: None,
            faults: 0,
            delays: 0,
            refused: None,
            fault: None,
            last_look: None,
            last_look_at: last_part,
            name_request: None,
            holder_name: None,
            renewal: None,
            renew_at: None,
        };
        if acquire.once() {
            acquire.start(ctx);
        } else {
            let ttl = acquire.spec.ttl;
            let (arrival, first) = ctx.enqueue(&acquire.spec.key, lock, ttl);
            acquire.arrival = Some(arrival);
            if first {
                acquire.start(ctx);
            }
        }
        (acquire, Turn::Stay)
    }

    /// The first step towards Consul. A refused attempt costs a Raft write, a look costs none: only
    /// a process that has a session at hand and gave this very key back a moment ago tries without
    /// looking; and not past a line that it has seen.
    fn start(&mut self, ctx: &mut Context<'_>) {
        let queues = self.queues(ctx);
        if queues && ctx.hint(&self.spec.key) {
            self.queue_up(ctx);
        } else if ctx.shared.pool.has(self.spec.ttl) && ctx.was_just_given_back(&self.spec.key) {
            self.attempt(ctx);
        } else if queues {
            self.survey(ctx);
        } else {
            self.look(ctx);
        }
    }

    /// Those of this process that came before are gone: they have the lock, or gave up.
    pub(super) fn your_turn(&mut self, ctx: &mut Context<'_>) -> Turn {
        if !self.is_parked() {
            return Turn::Stay;
        }
        if let Some(look) = self.last_look.take() {
            ctx.abort(look);
        }
        if let Some((session, place)) = ctx.inherit(&self.spec.key) {
            self.session = Some(session);
            self.place = Some(place);
            self.look(ctx);
        } else if self.queues(ctx) {
            self.queue_up(ctx);
        } else {
            self.look(ctx);
        }
        Turn::Stay
    }

    /// When to call [`Acquire::alarm`], at the latest.
    pub(super) fn wake_at(&self) -> Option<Time> {
        let pause = match self.step {
            Step::Pause(until, _) => Some(until),
            _ => None,
        };
        let last_look = self.last_look_at.filter(|_| self.may_look_last());
        let renewal = self.renewal_due();
        [self.deadline, pause, last_look, renewal]
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
        if self.renewal_due().is_some_and(|at| now >= at)
            && let Some(session) = &self.session
        {
            let session = session.id.clone();
            let request = Request::RenewSession { session };
            self.renewal = Some(ctx.send(Owner::Lock(self.lock), request, self.by()));
        }
        match self.step {
            Step::Pause(until, next) if now >= until => match next {
                Next::Survey => self.survey(ctx),
                Next::Look => self.look(ctx),
                Next::Join => self.join(ctx),
                Next::ReadLine => self.read_line(ctx, false),
                Next::Try => self.try_lock(ctx),
            },
            _ if self.may_look_last() && self.last_look_at.is_some_and(|at| now >= at) => {
                self.look_last(ctx);
            }
            _ => {}
        }
        Turn::Stay
    }

    /// Ends it: nothing of it is waited for any more.
    pub(super) fn end(mut self, ctx: &mut Context<'_>) -> Leftover {
        ctx.unwatch(self.lock);
        for request in self
            .last_look
            .into_iter()
            .chain(self.name_request.take().map(|(id, _)| id))
            .chain(self.renewal)
        {
            ctx.abort(request);
        }
        let mut leftover = Leftover::Nothing;
        let mut writing = false;
        match self.step {
            Step::Open(request, name) => {
                ctx.abort(request);
                leftover = Leftover::Create(request, name);
            }
            Step::Survey(request)
            | Step::Look(request)
            | Step::Renew(request)
            | Step::ReadLine(request, _) => ctx.abort(request),
            Step::Join(request)
            | Step::Clear(request)
            | Step::Try(request)
            | Step::Refresh(request, _) => {
                ctx.abort(request);
                writing = true;
            }
            Step::Watch { .. } | Step::Pause(..) | Step::Name | Step::Parked => {}
        }
        let key = &self.spec.key;
        if let Some(session) = self.session {
            let settled = !writing && self.attempt.is_none() && !session.doubtful;
            match (self.place, self.arrival) {
                // The next one here need not go to the end of the line.
                (Some(place), Some(arrival))
                    if settled && ctx.can_inherit(key, arrival, self.spec.ttl) =>
                {
                    ctx.leave_place(key, session, place);
                }
                _ => leftover = Leftover::Session(session),
            }
        }
        if let Some(arrival) = self.arrival {
            ctx.dequeue(key, arrival);
        }
        leftover
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
        if self.renewal == Some(request) {
            self.renewal = None;
            return self.kept(ctx, sent, &answer);
        }
        if let Some((_, session)) = self.name_request.take_if(|(id, _)| *id == request) {
            return self.named(ctx, session, answer);
        }
        let answer = match answer {
            Err(Fault::Final(cause)) => {
                if cause.status == Status::Denied && self.is_about_tickets(request) {
                    self.without_tickets(ctx);
                    return Turn::Stay;
                }
                return self.refused_for_good(ctx, &cause);
            }
            answer => answer,
        };
        match self.step {
            Step::Survey(id) if id == request => self.surveyed(ctx, answer),
            Step::Look(id) if id == request => self.looked(ctx, answer),
            Step::Open(id, _) if id == request => self.opened(ctx, sent, answer),
            Step::Renew(id) if id == request => self.renewed(ctx, sent, answer),
            Step::Join(id) if id == request => self.joined(ctx, answer),
            Step::ReadLine(id, free) if id == request => self.line_read(ctx, answer, free),
            Step::Clear(id) if id == request => self.cleared(ctx, answer),
            Step::Try(id) if id == request => self.tried(ctx, answer),
            Step::Refresh(id, token) if id == request => self.refreshed(ctx, token, sent, answer),
            _ => Turn::Stay,
        }
    }

    /// Takes in what the watch of the key, or of the ticket before ours, found.
    pub(super) fn news(&mut self, ctx: &mut Context<'_>, news: News) -> Turn {
        let Step::Watch { subject, .. } = &self.step else {
            return Turn::Stay;
        };
        match (subject.clone(), news) {
            (Subject::Ticket(before), news) => self.followed(ctx, &before, news),
            (Subject::Key, News::Row { row, index }) => self.saw(ctx, row, index, true),
            (Subject::Key, News::Gone) => self.found_free(ctx, true),
            (Subject::Key, News::Nothing) => {
                self.look(ctx);
                Turn::Stay
            }
            (Subject::Key, News::Failed(error)) => self.stumble(ctx, &error, Next::Look),
            (Subject::Key, News::Refused(error)) => self.refused_for_good(ctx, &error),
        }
    }

    fn refused_for_good(&self, ctx: &Context<'_>, cause: &Error) -> Turn {
        Turn::Failed(ctx.error_from(cause, WHAT, &self.spec.key))
    }

    /// A request that is only sent for the sake of the line.
    fn is_about_tickets(&self, request: RequestId) -> bool {
        match self.step {
            Step::Survey(id) | Step::Join(id) | Step::ReadLine(id, _) | Step::Clear(id) => {
                id == request
            }
            Step::Try(id) => {
                let line = match &self.attempt {
                    Some(Request::Lock { line, .. }) => *line,
                    Some(Request::Take { .. }) => true,
                    _ => false,
                };
                id == request && line
            }
            _ => false,
        }
    }

    /// The latest end of a request.
    fn by(&self) -> Time {
        self.deadline.unwrap_or(Time(u64::MAX))
    }

    fn once(&self) -> bool {
        self.spec.patience == Patience::Once
    }

    pub(super) fn is_parked(&self) -> bool {
        matches!(self.step, Step::Parked)
    }

    fn in_last_part(&self, now: Time) -> bool {
        self.last_part.is_some_and(|from| now >= from)
    }

    fn may_look_last(&self) -> bool {
        matches!(self.step, Step::Watch { .. } | Step::Parked)
    }

    /// Consul gave a usable answer.
    fn answered(&mut self) {
        self.faults = 0;
        self.fault = None;
    }

    /// Consul said that the key is not free. Whoever of this process waits behind us may say so, too.
    fn refuse(&mut self, ctx: &mut Context<'_>, holder: Option<KeyRow>) {
        let refusal = Refusal {
            at: ctx.time(),
            holder,
        };
        if self.arrival.is_some() {
            let sight = ctx.sight(&self.spec.key);
            sight.refused = Some(refusal.clone());
            sight.fault = None;
        }
        self.refused = Some(refusal);
    }

    /// While we stand in line, the session must not end.
    fn renewal_due(&self) -> Option<Time> {
        let waits = matches!(self.step, Step::Watch { .. } | Step::Pause(..));
        let session = self
            .session
            .as_ref()
            .filter(|_| waits && self.renewal.is_none())?;
        let third = session.lease.confirmed() + session.lease.ttl() / 3;
        Some(self.renew_at.map_or(third, |at| at.max(third)))
    }

    fn kept(
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

    fn watch_key(&mut self, ctx: &mut Context<'_>, index: u64) {
        let until = ctx.time() + LONGEST_WATCH;
        let key = self.spec.key.clone();
        self.watch(ctx, Subject::Key, key, index, until);
    }

    fn watch(
        &mut self,
        ctx: &mut Context<'_>,
        subject: Subject,
        key: Key,
        index: u64,
        until: Time,
    ) {
        let begun = ctx.time();
        self.step = Step::Watch {
            subject,
            index,
            begun,
        };
        // Our own deadline ends it, by an abort: a time-out of the request would be a fault.
        ctx.watch(self.lock, key, index, until, Need::Waiting);
    }

    /// A server (or a proxy) that answers blocking queries at once must not be hammered.
    fn spins(&self, ctx: &Context<'_>) -> bool {
        let now = ctx.time();
        matches!(self.step, Step::Watch { begun, .. } if now.since(begun) < Duration::from_millis(2))
    }

    fn pause(&mut self, ctx: &Context<'_>, pause: Duration, next: Next) {
        self.step = Step::Pause(ctx.time() + pause, next);
    }

    /// Something failed that may work a moment later.
    fn stumble(&mut self, ctx: &mut Context<'_>, cause: &Error, next: Next) -> Turn {
        self.faults += 1;
        let error = ctx.error_from(cause, WHAT, &self.spec.key);
        let repeating = matches!(next, Next::Try) && self.attempt.is_some();
        if self.once() && !repeating {
            return Turn::Failed(error);
        }
        ctx.log_outage(self.faults, &error);
        if self.arrival.is_some() {
            ctx.sight(&self.spec.key).fault = Some(error.clone());
        }
        self.fault = Some(error);
        let pause = ctx.shared.back_off(self.faults);
        self.pause(ctx, pause, next);
        Turn::Stay
    }

    fn looked(&mut self, ctx: &mut Context<'_>, answer: Result<Answer, Fault>) -> Turn {
        match answer {
            Ok(Answer::Row { row, index }) => self.saw(ctx, row, index, false),
            Err(fault) => self.stumble(ctx, fault.error(), Next::Look),
            Ok(_) => Turn::Failed(self.unexpected(ctx)),
        }
    }

    /// The key as it is now. `woken`: it was held before.
    fn saw(&mut self, ctx: &mut Context<'_>, row: Option<KeyRow>, index: u64, woken: bool) -> Turn {
        match row {
            Some(row) if row.session.is_some() => self.found_held(ctx, row, index),
            _ => {
                self.answered();
                self.found_free(ctx, woken)
            }
        }
    }

    fn found_free(&mut self, ctx: &mut Context<'_>, woken: bool) -> Turn {
        // Its one attempt was refused; that the key is free again is too late.
        if self.once() && self.refused.is_some() {
            return Turn::Failed(self.not_acquired(ctx));
        }
        match &self.place {
            Some(place) if !place.ahead.is_empty() => self.free_behind(ctx, woken),
            None if self.queues(ctx) && ctx.hint(&self.spec.key) => self.queue_up(ctx),
            _ => self.attempt(ctx),
        }
        Turn::Stay
    }

    fn found_held(&mut self, ctx: &mut Context<'_>, row: KeyRow, index: u64) -> Turn {
        let now = ctx.time();
        if self.session.as_ref().map(|s| &s.id) == row.session.as_ref() {
            // Our own: an attempt that we took for refused was applied. The next one says so.
            self.answered();
            self.place = None;
            self.attempt(ctx);
            return Turn::Stay;
        }
        let unchanged = self.refused.as_ref().and_then(|r| r.holder.as_ref()) == Some(&row);
        let spinning = unchanged && self.spins(ctx);
        self.fault = None;
        if !spinning {
            self.faults = 0;
        }
        let holder = row.session.clone();
        self.refuse(ctx, Some(row));
        if self.once() {
            return self.ask_name(ctx, holder);
        }
        if self.in_last_part(now) {
            let _ = self.ask_name(ctx, holder);
        }
        if spinning {
            self.faults += 1;
            let pause = ctx.shared.back_off(self.faults);
            self.pause(ctx, pause, Next::Look);
            return Turn::Stay;
        }
        // The index went backwards (a restored snapshot): it means nothing any more.
        if matches!(&self.step, Step::Watch { subject: Subject::Key, index: before, .. }
            if index < *before)
        {
            self.look(ctx);
            return Turn::Stay;
        }
        match &self.place {
            Some(place) if !place.ahead.is_empty() => {
                let was_static = matches!(
                    &self.step,
                    Step::Watch {
                        subject: Subject::Key,
                        ..
                    }
                );
                if was_static && !unchanged {
                    self.follow(ctx);
                } else if was_static {
                    self.read_line(ctx, false);
                } else {
                    self.wait_behind(ctx, index);
                }
            }
            None if self.queues(ctx) => self.queue_up(ctx),
            _ => self.watch_key(ctx, index),
        }
        Turn::Stay
    }

    /// Makes sure of the answer in the last part of the time.
    fn look_last(&mut self, ctx: &mut Context<'_>) {
        if self.is_parked() {
            let from = self.last_part.unwrap_or_default();
            if ctx.sight(&self.spec.key).is_refused_since(from) {
                self.last_look_at = None;
                return;
            }
            if let Err(again) = ctx.may_ask_for_all(&self.spec.key) {
                self.last_look_at = Some(again);
                return;
            }
        }
        self.last_look_at = None;
        let request = self.read_request();
        self.last_look = Some(ctx.send(Owner::Lock(self.lock), request, self.by()));
    }

    /// The look in the last part of a wait: it only makes sure.
    fn last_looked(&mut self, ctx: &mut Context<'_>, answer: Result<Answer, Fault>) -> Turn {
        match answer {
            Ok(Answer::Row { row: Some(row), .. }) if row.session.is_some() => {
                let holder = row.session.clone();
                self.refuse(ctx, Some(row));
                self.ask_name(ctx, holder)
            }
            Ok(Answer::Row { .. }) => {
                let behind = self
                    .place
                    .as_ref()
                    .is_some_and(|place| !place.ahead.is_empty());
                if behind || self.is_parked() {
                    // Free, but others come first.
                    self.refuse(ctx, None);
                } else if let Step::Watch { .. } = self.step {
                    // The watch says so, too, or will never say anything.
                    ctx.unwatch(self.lock);
                    return self.found_free(ctx, true);
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
            if self.arrival.is_some() {
                ctx.sight(&self.spec.key).name = Some((session.clone(), row.clone()));
            }
            self.holder_name = Some((session, row));
        }
        match self.step {
            Step::Name => Turn::Failed(self.not_acquired(ctx)),
            _ => Turn::Stay,
        }
    }

    /// The key is free, and it is for us to take it.
    fn attempt(&mut self, ctx: &mut Context<'_>) {
        self.aim = Aim::Lock;
        self.ready_session(ctx);
    }

    /// Goes on with a session that has its whole life ahead.
    fn ready_session(&mut self, ctx: &mut Context<'_>) {
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

    fn session_is_ready(&mut self, ctx: &mut Context<'_>) {
        match self.aim {
            Aim::Lock => self.try_lock(ctx),
            Aim::Ticket => self.join(ctx),
        }
    }

    /// The session is gone, and with it the ticket: a new one will do. A session that was kept warm
    /// may have been ended by somebody, also before a single attempt; twice in a row is more.
    fn start_over(&mut self, ctx: &mut Context<'_>, cause: &Error) -> Turn {
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
        let request = self.attempt.take().unwrap_or_else(|| {
            let value = self.spec.value.clone();
            let value = value.unwrap_or_else(|| value::locked_at(ctx.now.unix_ms));
            self.attempt_request(ctx, session.id.clone(), value)
        });
        self.attempt = Some(request.clone());
        self.step = Step::Try(ctx.send(Owner::Lock(self.lock), request, self.by()));
    }

    fn tried(&mut self, ctx: &mut Context<'_>, answer: Result<Answer, Fault>) -> Turn {
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

    /// A session with a request of unknown fate is not used for another attempt.
    fn drop_doubtful(&mut self, ctx: &mut Context<'_>) {
        if let Some(session) = self.session.take_if(|session| session.doubtful) {
            self.place = None;
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
        if self.is_parked() {
            let sight = ctx.sight(&self.spec.key).clone();
            self.refused = sight.refused;
            self.fault = sight.fault;
            self.holder_name = sight.name;
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
}
