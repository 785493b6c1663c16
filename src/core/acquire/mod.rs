//! From the call of acquire to a lock that is held, or to the certainty that it is not.
//!
//! ```text
//!            free                         locked, lease fresh
//!   Look ───────────▶ Open/Renew ──▶ Try ───────────────────▶ won
//!    ▲  │ held                        │ │ locked, lease old ──▶ Refresh, until answered ──▶ won
//!    │  └──▶ in line ──(first)────────┘ │ answer lost: Pause, the same transaction again
//!    └──────────── Pause ◀──────────────┘ held, no leader, lock-delay
//! ```
//!
//! The waiters of one process come first come, first served (`core/waiters.rs`), and only the first of
//! them asks Consul. That one stands in the line between processes (`ticket.rs`). Where the caller does
//! not want the line, or Consul does not allow it, the first waiter watches the key.
//!
//! A lock that shares its key takes a row below it while no session holds the key (`share.rs`). An exclusive lock takes
//! the key first, which keeps others from sharing, and then waits for those who share it (`gate.rs`). A lock of
//! several keys takes all of them in one transaction, and stands in the line of each.

mod attempt;
mod errors;
mod gate;
mod judge;
mod last_look;
mod look;
mod session;
mod setbacks;
mod share;
mod stall;
mod step;
mod ticket;

use std::sync::Arc;
use std::time::Duration;

use super::alarms::Owner;
use super::context::Context;
use super::interface::{CallId, Level, LockId, LockSpec, Patience, RequestId};
use super::lease::Session;
use super::locked_at;
use super::log::Often;
use super::messages::{
    Answer, Below, Fault, Found, Hold, Key, KeyRow, Limit, LockTarget, Request, See, SessionId,
    Sharer, Sharers, Slot, Stalled, Ticket, Value, Want, line_of,
};
use super::waiters::{Blocker, Known, NotFree, PlaceInLine, Stake};
use super::watch::{LONGEST_WATCH, Need, Observation};
use crate::clock::Time;
use crate::error::{Error, Status};
use attempt::Attempt;
use errors::how_to_register;
use last_look::LastLook;
use session::OwnSession;
use setbacks::{Access, Setbacks};
use step::{Next, Purpose, Step, Subject};
use ticket::Standing;

/// A session confirmed longer ago than this is renewed before its use. A lock that took longer than this
/// to arrive is renewed before the caller gets it. So the whole life of the lock is the caller's.
const FRESH: Duration = Duration::from_secs(1);

const WHAT: &str = "could not acquire the lock";

/// One acquire under way.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct Acquire {
    pub(super) call: CallId,
    lock: LockId,
    spec: LockSpec,
    deadline: Option<Time>,
    last_look: LastLook,
    /// The number among the waiters of this process; None: the caller wants one attempt and no wait.
    arrival: Option<u64>,
    session: OwnSession,
    purpose: Purpose,
    /// The number of the key that the waiter looks at: it stands behind others there, or the key is not free.
    at: usize,
    standing: Standing,
    attempt: Attempt,
    setbacks: Setbacks,
    step: Step,
    known: Known,
    /// The question for the name of this session, which holds the key.
    name_request: Option<(RequestId, SessionId)>,
}

/// How far an acquire has come.
pub(super) enum Progress {
    /// The acquire goes on.
    GoesOn,
    /// The lock is held, with that slot where it shares its key.
    Won {
        session: Session,
        token: u64,
        slot: Option<Slot>,
    },
    /// The acquire ended without the lock.
    Failed(Error),
}

/// What an acquire that ended without the lock leaves behind.
pub(super) enum Leftover {
    Nothing,
    /// The session, and the rows that Consul gave it, which the caller does not get.
    Session(Session, Vec<Key>),
    /// The request to create a session of this name is on its way.
    Create(RequestId, Arc<str>),
}

/// Consul 1.21.5, and what it was taken over into, refuses keys outside of
/// `^[a-zA-Z0-9,_./\-?&=]+$` and with `..`; before and after that it takes them.
fn warn_of_key(ctx: &mut Context, key: &Key) {
    let strict = |b: u8| {
        b.is_ascii_alphanumeric()
            || matches!(b, b',' | b'_' | b'.' | b'/' | b'-' | b'?' | b'&' | b'=')
    };
    if !key.bytes().all(strict) || key.contains("..") {
        ctx.out.log(Level::Warn, Often::OncePerKey("strict key", key), || {
            format!(
                "the key \"{key}\" has more than letters, digits and ,_./-?&= (or two dots in a \
                 row): some versions of Consul (1.21.5 and its kin) refuse it"
            )
        });
    }
}

impl Acquire {
    pub(super) fn begin(
        ctx: &mut Context,
        lock: LockId,
        call: CallId,
        spec: LockSpec,
    ) -> (Acquire, Progress) {
        let now = ctx.out.time();
        for key in spec.keys.all().iter() {
            warn_of_key(ctx, key);
        }
        let budget = match spec.patience {
            Patience::Once => Some(ctx.out.config.request_timeout),
            Patience::For(budget) => Some(budget),
            Patience::Forever => None,
        };
        let mut acquire = Acquire {
            call,
            lock,
            deadline: budget.map(|budget| now + budget),
            last_look: LastLook::of(now, spec.patience),
            attempt: Attempt::default(),
            spec,
            arrival: None,
            at: 0,
            session: OwnSession::default(),
            purpose: Purpose::Lock,
            standing: Standing::default(),
            setbacks: Setbacks::default(),
            step: Step::Parked,
            known: Known::default(),
            name_request: None,
        };
        let mut is_first = true;
        if !acquire.is_single() {
            let spec = &acquire.spec;
            let (arrival, first) = ctx.waiters.arrive(&spec.keys, lock, acquire.stake());
            acquire.arrival = Some(arrival);
            is_first = first;
        }
        if is_first {
            acquire.start(ctx);
        }
        (acquire, Progress::GoesOn)
    }

    /// The first step towards Consul. A refused attempt costs a Raft write, a look costs none. So a process
    /// tries without a look only if it has a session at hand, gave this very key back a moment ago, and has
    /// seen no line.
    fn start(&mut self, ctx: &mut Context) {
        self.attempt.look_at(self.spec.keys.count());
        let now = ctx.out.time();
        let wants_ticket = self.wants_ticket(ctx);
        if wants_ticket && self.others_waited(ctx) {
            self.get_ticket(ctx);
        } else if ctx.pool.has(now, self.spec.ttl) && self.was_just_given_back(ctx) {
            self.choose_slot_blindly(ctx);
            self.attempt(ctx);
        } else if wants_ticket || self.is_single() {
            // A single attempt must not close a key that others share: it sees them first.
            self.survey(ctx);
        } else {
            self.look(ctx);
        }
    }

    /// The waiters of this process that came before have the lock, or gave up.
    pub(super) fn become_first(&mut self, ctx: &mut Context) -> Progress {
        if !self.is_parked() {
            return Progress::GoesOn;
        }
        self.last_look.end(ctx);
        self.attempt.look_at(self.spec.keys.count());
        if !self.spec.keys.are_several()
            && let Some((session, place)) = ctx.waiters.inherit(self.key())
        {
            self.session.live = Some(session);
            self.standing.place = Some(Box::new(place));
            self.look(ctx);
        } else if self.wants_ticket(ctx) && (!self.shares() || self.others_waited(ctx)) {
            // Locks that share the key do not wait for the one before, so there need be no line.
            self.get_ticket(ctx);
        } else {
            self.look(ctx);
        }
        Progress::GoesOn
    }

    /// What a place of this waiter is good for.
    fn stake(&self) -> Stake {
        Stake {
            ttl: self.spec.ttl,
            want: self.spec.want,
            is_single: !self.spec.keys.are_several(),
        }
    }

    /// The key that the waiter looks at.
    fn key(&self) -> &Key {
        self.spec.keys.get(self.at)
    }

    /// The lock is one of several that share the key.
    fn shares(&self) -> bool {
        self.spec.want != Want::Exclusive
    }

    /// Others stood in a line of this waiter when Consul last showed it.
    fn others_waited(&self, ctx: &Context) -> bool {
        let mut keys = self.spec.keys.all().iter();
        keys.any(|key| ctx.waiters.others_waited(key))
    }

    fn was_just_given_back(&self, ctx: &mut Context) -> bool {
        let now = ctx.out.time();
        let keys = self.spec.keys.all().iter();
        // Each key forgets that it was given back.
        let given_back = keys.filter(|key| ctx.waiters.was_just_given_back(key, now));
        given_back.count() == self.spec.keys.count()
    }

    /// When to call [`Acquire::alarm`], at the latest.
    pub(super) fn wake_at(&self) -> Option<Time> {
        let pause = match self.step {
            Step::Pause(until, _) => Some(until),
            _ => None,
        };
        let last_look = self.last_look.at.filter(|_| self.may_look_last());
        [self.deadline, pause, last_look, self.renewal_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time has passed.
    pub(super) fn alarm(&mut self, ctx: &mut Context) -> Progress {
        let now = ctx.out.time();
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return self.time_is_up(ctx);
        }
        if self.renewal_due().is_some_and(|at| now >= at) {
            self.renew_in_line(ctx);
        }
        match self.step {
            Step::Pause(until, next) if now >= until => match next {
                Next::Survey => self.survey(ctx),
                Next::Look => self.look(ctx),
                Next::LookAtKey => self.look_at_key(ctx),
                Next::Join => self.join(ctx),
                Next::ReadLine => self.read_line(ctx, false),
                Next::Try => self.try_lock(ctx),
                Next::Prove => self.prove(ctx),
                Next::HandOut(token) => return self.hand_out(ctx, token),
            },
            _ if self.may_look_last() && self.last_look.at.is_some_and(|at| now >= at) => {
                self.look_last(ctx);
            }
            _ => {}
        }
        Progress::GoesOn
    }

    /// Ends the acquire: from now on it waits for no answer.
    pub(super) fn end(mut self, ctx: &mut Context) -> Leftover {
        ctx.watches.unwatch(&mut ctx.out, self.lock);
        self.last_look.end(ctx);
        let named = self.name_request.take().map(|(id, _)| id);
        let renewal = self.session.renewal.take().map(|(id, _)| id);
        let mut leftover = Leftover::Nothing;
        let is_settled = !self.step.may_be_applied()
            && self.attempt.request.is_none()
            && self.attempt.gate.is_none();
        let stake = self.stake();
        let rows = match (self.attempt.gate, self.spec.want) {
            (None, _) => Vec::new(),
            (Some(_), Want::Exclusive) => self.spec.keys.all().to_vec(),
            (Some(_), Want::Share(limit)) => {
                vec![limit.row_of(self.spec.keys.get(0), self.attempt.slot)]
            }
        };
        let asked = match self.step {
            Step::Open(request, name) => {
                leftover = Leftover::Create(request, name);
                None
            }
            // A node that is registered once more stays as it is.
            step => step.request(),
        };
        for request in [named, renewal, asked].into_iter().flatten() {
            ctx.out.abort(request);
        }
        let (key, keys) = (self.spec.keys.get(0), &self.spec.keys);
        if let Some(session) = self.session.live {
            match (self.standing.place, self.arrival) {
                // The next waiter of this process need not go to the end of the line.
                (Some(place), Some(arrival))
                    if is_settled
                        && !session.doubtful
                        && ctx.waiters.can_inherit(key, arrival, stake) =>
                {
                    if let Some(session) = ctx.waiters.leave_place(key, session, *place) {
                        ctx.pool.retire(&mut ctx.out, session, None);
                    }
                }
                _ => leftover = Leftover::Session(session, rows),
            }
        }
        if let Some(arrival) = self.arrival
            && let Some(session) = ctx.waiters.leave(keys, arrival)
        {
            ctx.pool.retire(&mut ctx.out, session, None);
        }
        leftover
    }

    pub(super) fn spec(&self) -> &LockSpec {
        &self.spec
    }

    /// Takes in an answer.
    pub(super) fn replied(
        &mut self,
        ctx: &mut Context,
        request: RequestId,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        if self.last_look.request == Some(request) {
            self.last_look.request = None;
            return self.last_looked(ctx, answer);
        }
        if let Some((_, session)) = self.session.renewal.take_if(|(id, _)| *id == request) {
            // A session that has been replaced meanwhile says nothing about the one in use.
            if self.session.id().as_ref() == Some(&session) {
                self.renewed_in_line(ctx, sent, &answer);
            }
            return Progress::GoesOn;
        }
        if let Some((_, session)) = self.name_request.take_if(|(id, _)| *id == request) {
            return self.named(ctx, session, answer);
        }
        if self.step.request() != Some(request) {
            return Progress::GoesOn;
        }
        // An answered request is not on its way any more, whatever the answer leads to.
        let step = std::mem::replace(&mut self.step, Step::Answered);
        let answer = match answer {
            // A head whose other keys this waiter may not look at counts as able.
            answer if matches!(step, Step::Judge(_)) => answer,
            Err(Fault::Final(cause)) => {
                // Of several keys the survey needs no right that the attempt does not need.
                let is_survey_of_several =
                    matches!(step, Step::Survey(_)) && self.spec.keys.are_several();
                if cause.status == Status::Denied
                    && self.is_about_tickets(ctx, &step)
                    && !is_survey_of_several
                {
                    self.without_rights(ctx);
                    return Progress::GoesOn;
                }
                return self.refused_for_good(ctx, &step, &cause);
            }
            Err(Fault::TooLarge(cause)) => {
                if self.is_about_tickets(ctx, &step) {
                    self.without_line(ctx, &step, &cause);
                    return Progress::GoesOn;
                }
                return self.refused_for_good(ctx, &step, &cause);
            }
            answer => answer,
        };
        match step {
            Step::Survey(_) => self.surveyed(ctx, answer),
            Step::Look(_) => self.looked(ctx, answer),
            Step::Open(_, name) => self.opened(ctx, name, sent, answer),
            Step::Register(_) => self.registered(ctx, answer),
            Step::Renew(_) => self.renewed(ctx, sent, answer),
            Step::Join(_) => self.joined(ctx, answer),
            Step::ReadLine(_, free) => self.line_read(ctx, answer, free),
            Step::Clear(_) => self.cleared(ctx, answer),
            Step::Judge(_) => self.judged(ctx, answer),
            Step::Prove(_) => self.proved(ctx, answer),
            Step::Try(_) => self.tried(ctx, answer),
            Step::Refresh(_, token) => self.refreshed(ctx, token, sent, answer),
            Step::Parked | Step::Watch { .. } | Step::Pause(..) | Step::Name | Step::Answered => {
                Progress::GoesOn
            }
        }
    }

    /// Takes in what the watch of the key, or of the ticket before the own one, found.
    pub(super) fn observed(&mut self, ctx: &mut Context, seen: Observation) -> Progress {
        let Step::Watch { subject, .. } = &self.step else {
            return Progress::GoesOn;
        };
        match (subject.clone(), seen) {
            (Subject::Ticket(before), seen) => self.followed(ctx, &before, seen),
            (_, Observation::Failed(error)) => {
                self.retry_later(ctx, Access::Read, &error, self.after_watch())
            }
            (_, Observation::Refused(error)) => self.refused_for_good(ctx, &self.step, &error),
            (Subject::Permits, Observation::Names { count, index }) => {
                self.saw_permits(ctx, count, index)
            }
            (Subject::Sharer, _) => {
                self.prove(ctx);
                Progress::GoesOn
            }
            (Subject::Key, Observation::Row { row, index }) => self.saw(ctx, row, index, true),
            (Subject::Key, Observation::Gone) => {
                self.attempt.set_found(self.at, Found::Absent);
                self.found_free(ctx, true)
            }
            (Subject::Key | Subject::Permits, _) => {
                self.look(ctx);
                Progress::GoesOn
            }
        }
    }

    /// What follows a watch that failed.
    fn after_watch(&self) -> Next {
        match self.attempt.gate {
            Some(_) => Next::Prove,
            None => Next::Look,
        }
    }

    fn refused_for_good(&self, ctx: &Context, step: &Step, cause: &Error) -> Progress {
        let mut error = ctx.out.error_from(cause, WHAT, self.spec.keys.label());
        if let (Step::Register(_), Some(node)) = (step, &ctx.out.config.session_node) {
            error.message.push_str(&how_to_register(node));
        }
        Progress::Failed(error)
    }

    /// The library sends the request of this step only for the sake of the line. A lock that shares its key needs the
    /// rights of the line for itself, and one of several keys surveys them without the line as well.
    fn is_about_tickets(&self, ctx: &Context, step: &Step) -> bool {
        match step {
            Step::Survey(_) if self.spec.keys.are_several() => self.wants_ticket(ctx),
            Step::Survey(_) | Step::Join(_) | Step::ReadLine(..) | Step::Clear(_)
                if !self.shares() =>
            {
                true
            }
            Step::Try(_) if !self.shares() => match self.attempt.request.as_deref() {
                Some(Request::Lock { see, .. }) => see.line,
                Some(Request::Take { .. }) => true,
                _ => false,
            },
            _ => false,
        }
    }

    /// Asks Consul for this lock, until the deadline at the latest.
    fn ask(&self, ctx: &mut Context, request: Request) -> RequestId {
        self.ask_until(ctx, request, Time(u64::MAX))
    }

    fn ask_until(&self, ctx: &mut Context, request: Request, until: Time) -> RequestId {
        let by = self.by().min(until);
        ctx.out.send(Owner::Lock(self.lock), request, by)
    }

    /// The latest end of a request.
    fn by(&self) -> Time {
        self.deadline.unwrap_or(Time(u64::MAX))
    }

    /// The caller wants one attempt, and no wait.
    fn is_single(&self) -> bool {
        self.spec.patience == Patience::Once
    }

    pub(super) fn is_parked(&self) -> bool {
        matches!(self.step, Step::Parked)
    }

    /// Consul said that the key is not free. The other waiters of this process may say so, too.
    fn note_not_free(&mut self, ctx: &mut Context, by: Blocker) {
        let not_free = NotFree {
            at: ctx.out.time(),
            by,
        };
        if self.arrival.is_some() {
            let key = self.spec.keys.get(self.at);
            let known = ctx.waiters.known(key);
            known.not_free = Some(not_free.clone());
            known.fault = None;
            if self.setbacks.writes_work() {
                ctx.waiters.note_rights(key);
            }
        }
        self.known.not_free = Some(not_free);
    }

    /// What the first waiters of this process know of the keys.
    fn known_of_others(&self, ctx: &mut Context) -> Known {
        let keys = self.spec.keys.all().iter();
        let known = keys.map(|key| ctx.waiters.known(key).clone());
        let known = known.max_by_key(|known| known.not_free.as_ref().map(|not_free| not_free.at));
        known.unwrap_or_default()
    }

    fn pause(&mut self, ctx: &Context, pause: Duration, next: Next) {
        self.step = Step::Pause(ctx.out.time() + pause, next);
    }

    /// The deadline has come. The answer is NOT_ACQUIRED only if Consul said lately that the key is not free;
    /// without such a word the answer is UNAVAILABLE.
    fn time_is_up(&mut self, ctx: &mut Context) -> Progress {
        if let Step::Refresh(..) | Step::Pause(_, Next::HandOut(_)) = self.step {
            return Progress::Failed(self.not_whole(ctx));
        }
        if self.is_parked() {
            self.known = self.known_of_others(ctx);
        }
        let was_said = self.known.is_not_free_since(self.last_look.from);
        if self.known.conflict.is_some() || (was_said && self.known.fault.is_none()) {
            return Progress::Failed(self.not_acquired(ctx));
        }
        let error = self.known.fault.take().unwrap_or_else(|| {
            let why = "Consul did not answer in time; is it running, and can it reach its leader?";
            ctx.out
                .error(Status::Unavailable, WHAT, self.spec.keys.label(), why)
        });
        Progress::Failed(error)
    }
}
