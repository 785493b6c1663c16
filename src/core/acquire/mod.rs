//! From the call of acquire to a lock that is held, or to the certainty that it is not.
//!
//! ```text
//!            free                         locked, lease fresh
//!   Look ───────────▶ Open/Renew ──▶ Try ───────────────────▶ won
//!    ▲  │ held                        │ │ locked, lease old ──▶ Refresh, until answered ──▶ won
//!    │  └──▶ in line ──(our turn)─────┘ │ answer lost: Pause, the same transaction again
//!    └──────────── Pause ◀──────────────┘ held, no leader, lock-delay
//! ```
//!
//! Who waits first stands in this process's own queue (`core/waiters.rs`), and asks Consul nothing
//! until it is at its head; then in the line between processes (`ticket.rs`), or, where that is
//! not wanted or not allowed, watches the key with everybody else.

mod attempt;
mod errors;
mod look;
mod session;
mod ticket;

use std::sync::Arc;
use std::time::Duration;

use super::alarms::Owner;
use super::context::Context;
use super::failures::Failures;
use super::interface::{CallId, Level, LockId, LockSpec, Patience, RequestId};
use super::lease::Session;
use super::locked_at;
use super::log::Often;
use super::messages::{
    Answer, Fault, Found, Key, KeyRow, Request, SessionId, SessionRow, Ticket, Value,
};
use super::waiters::{NotFree, PlaceInLine};
use super::watch::{LONGEST_WATCH, Need, Observation};
use crate::clock::Time;
use crate::error::{Error, Status};
use errors::how_to_register;
use ticket::Stall;

/// A session confirmed longer ago than this is renewed before it is used, and a lock that took
/// longer than this to arrive is renewed before it is handed out: its whole life is the caller's.
const FRESH: Duration = Duration::from_secs(1);

/// A waiter makes sure of its answer in the last part of its time: it looks once more, and asks
/// who has the lock.
const LAST_PART: Duration = Duration::from_millis(500);

/// How long the name of a holder may take. The answer does not depend on it.
const NAME_LIMIT: Duration = Duration::from_secs(1);

/// While a lock-delay runs an attempt costs no Raft write, and its end wakes nobody: try this
/// often at most.
const DELAY_PAUSE: Duration = Duration::from_millis(250);

/// So many looks in a row may be contradicted by the attempt that follows: others were faster. More of
/// them are not the truth (something on the way answers with what it has seen long ago), and there is a
/// pause after each.
const FASTER_OTHERS: u32 = 3;

/// The longest such pause.
const CONTRADICTION_PAUSE: Duration = Duration::from_millis(250);

/// Losers of a race look again spread over this time.
const RACE_SPREAD: Duration = Duration::from_millis(5);

/// A token that Consul does not know may become known to it: one that was just made reaches a server
/// later than others, and an agent remembers for half a minute that there was none. So long a waiter
/// tries again.
const TOKEN_SETTLES: Duration = Duration::from_secs(60);

const WHAT: &str = "could not acquire the lock";

/// One acquire under way.
#[derive(Debug)]
pub(super) struct Acquire {
    pub(super) call: CallId,
    lock: LockId,
    spec: LockSpec,
    deadline: Option<Time>,
    /// When the last part of a wait begins.
    last_part: Option<Time>,
    /// The number in this process's queue; None: it makes one attempt only, and waits for nobody.
    arrival: Option<u64>,
    session: Option<Session>,
    /// Our ticket, while we stand in the line between processes.
    place: Option<PlaceInLine>,
    stall: Option<Stall>,
    collisions: u32,
    /// It waits without a ticket although it should have one.
    without_ticket: bool,
    step: Step,
    purpose: Purpose,
    /// What the key was when we last looked: it is taken only if it still is.
    found: Found,
    /// The node was registered, and no session was made since.
    registered: bool,
    /// The transaction under way: kept, so that it can be repeated byte for byte. Boxed: of thousands
    /// that wait, few try.
    attempt: Option<Box<Request>>,
    /// What the last attempt stored: one that was applied stays as it is.
    stored: Option<Value>,
    reads: Failures,
    /// Also of what a session cannot be used for: only its use shows that it lives.
    writes: Failures,
    /// Refusals by lock-delay in a row.
    delays: u32,
    /// How often in a row the key looked as if it could be taken, and the attempt was told otherwise.
    contradictions: u32,
    /// What Consul last said, when that was "not free".
    refused: Option<NotFree>,
    /// What went wrong since Consul last gave a usable answer.
    fault: Option<Error>,
    /// The extra look in the last part of a wait.
    last_look: Option<RequestId>,
    /// When to ask for it; None: it was asked for.
    last_look_at: Option<Time>,
    name_request: Option<(RequestId, SessionId)>,
    holder_name: Option<(SessionId, Option<SessionRow>)>,
    /// The renewal of the session while we stand in line.
    renewal: Option<(RequestId, SessionId)>,
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
    /// The node that the session is to be bound to is made.
    Register(RequestId),
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
    },
    Pause(Time, Next),
    /// It is over but for the holder's name.
    Name,
    /// The last answer is taken in: nothing is on its way.
    Answered,
}

impl Step {
    /// The request whose answer it waits for.
    fn request(&self) -> Option<RequestId> {
        match self {
            Step::Survey(id)
            | Step::Look(id)
            | Step::Open(id, _)
            | Step::Register(id)
            | Step::Renew(id)
            | Step::Join(id)
            | Step::ReadLine(id, _)
            | Step::Clear(id)
            | Step::Try(id)
            | Step::Refresh(id, _) => Some(*id),
            Step::Parked | Step::Watch { .. } | Step::Pause(..) | Step::Name | Step::Answered => {
                None
            }
        }
    }
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
enum Purpose {
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
    /// The lock is ours; its life is made whole.
    HandOut(u64),
}

/// What failed. Reads may work where writes do not: they are counted apart.
#[derive(Clone, Copy, Debug)]
enum Access {
    Read,
    Write,
}

/// What became of it.
pub(super) enum Progress {
    /// It goes on.
    GoesOn,
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

/// Consul 1.21.5, and what it was taken over into, refuses keys outside of
/// `^[a-zA-Z0-9,_./\-?&=]+$` and with `..`; before and after that it takes them.
fn warn_of_key(ctx: &mut Context, key: &Key) {
    let strict = |b: u8| b.is_ascii_alphanumeric() || b",_./-?&=".contains(&b);
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
        warn_of_key(ctx, &spec.key);
        let budget = match spec.patience {
            Patience::Once => Some(ctx.out.config.request_timeout),
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
            without_ticket: false,
            step: Step::Parked,
            purpose: Purpose::Lock,
            found: Found::Absent,
            registered: false,
            attempt: None,
            stored: None,
            reads: Failures::default(),
            writes: Failures::default(),
            delays: 0,
            contradictions: 0,
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
            let (arrival, first) = ctx.waiters.arrive(&acquire.spec.key, lock, ttl);
            acquire.arrival = Some(arrival);
            if first {
                acquire.start(ctx);
            }
        }
        (acquire, Progress::GoesOn)
    }

    /// The first step towards Consul. A refused attempt costs a Raft write, a look costs none: only
    /// a process that has a session at hand and gave this very key back a moment ago tries without
    /// looking; and not past a line that it has seen.
    fn start(&mut self, ctx: &mut Context) {
        let queues = self.wants_ticket(ctx);
        if queues && ctx.waiters.others_waited(&self.spec.key) {
            self.get_ticket(ctx);
        } else if ctx.pool.has(ctx.out.time(), self.spec.ttl)
            && ctx
                .waiters
                .was_just_given_back(&self.spec.key, ctx.out.time())
        {
            self.attempt(ctx);
        } else if queues {
            self.survey(ctx);
        } else {
            self.look(ctx);
        }
    }

    /// Those of this process that came before are gone: they have the lock, or gave up.
    pub(super) fn became_first(&mut self, ctx: &mut Context) -> Progress {
        if !self.is_parked() {
            return Progress::GoesOn;
        }
        if let Some(look) = self.last_look.take() {
            ctx.out.abort(look);
        }
        if let Some((session, place)) = ctx.waiters.inherit(&self.spec.key) {
            self.session = Some(session);
            self.place = Some(place);
            self.look(ctx);
        } else if self.wants_ticket(ctx) {
            self.get_ticket(ctx);
        } else {
            self.look(ctx);
        }
        Progress::GoesOn
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
    pub(super) fn alarm(&mut self, ctx: &mut Context) -> Progress {
        let now = ctx.out.time();
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return self.time_is_up(ctx);
        }
        if self.renewal_due().is_some_and(|at| now >= at)
            && let Some(session) = &self.session
        {
            let session = session.id.clone();
            let request = Request::RenewSession {
                session: session.clone(),
            };
            // Short enough to leave time for another if this one is not answered, and later than that of a
            // held lock: what ends first is asked first.
            let by = self.by().min(now + self.spec.ttl / 4);
            let id = ctx.out.send(Owner::Lock(self.lock), request, by);
            self.renewal = Some((id, session));
        }
        match self.step {
            Step::Pause(until, next) if now >= until => match next {
                Next::Survey => self.survey(ctx),
                Next::Look => self.look(ctx),
                Next::Join => self.join(ctx),
                Next::ReadLine => self.read_line(ctx, false),
                Next::Try => self.try_lock(ctx),
                Next::HandOut(token) => return self.hand_out(ctx, token),
            },
            _ if self.may_look_last() && self.last_look_at.is_some_and(|at| now >= at) => {
                self.look_last(ctx);
            }
            _ => {}
        }
        Progress::GoesOn
    }

    /// Ends it: nothing of it is waited for any more.
    pub(super) fn end(mut self, ctx: &mut Context) -> Leftover {
        ctx.watches.unwatch(&mut ctx.out, self.lock);
        for request in self
            .last_look
            .into_iter()
            .chain(self.name_request.take().map(|(id, _)| id))
            .chain(self.renewal.take().map(|(id, _)| id))
        {
            ctx.out.abort(request);
        }
        let mut leftover = Leftover::Nothing;
        let mut writing = false;
        match self.step {
            Step::Open(request, name) => {
                leftover = Leftover::Create(request, name);
            }
            // To make the node once more changes nothing.
            Step::Register(request)
            | Step::Survey(request)
            | Step::Look(request)
            | Step::Renew(request)
            | Step::ReadLine(request, _) => ctx.out.abort(request),
            Step::Join(request)
            | Step::Clear(request)
            | Step::Try(request)
            | Step::Refresh(request, _) => {
                ctx.out.abort(request);
                writing = true;
            }
            Step::Watch { .. } | Step::Pause(..) | Step::Name | Step::Parked | Step::Answered => {}
        }
        let key = &self.spec.key;
        if let Some(session) = self.session {
            let settled = !writing && self.attempt.is_none() && !session.doubtful;
            match (self.place, self.arrival) {
                // The next one here need not go to the end of the line.
                (Some(place), Some(arrival))
                    if settled && ctx.waiters.can_inherit(key, arrival, self.spec.ttl) =>
                {
                    if let Some(session) = ctx.waiters.leave_place(key, session, place) {
                        ctx.pool.retire(&mut ctx.out, session, None);
                    }
                }
                _ => leftover = Leftover::Session(session),
            }
        }
        if let Some(arrival) = self.arrival
            && let Some(session) = ctx.waiters.leave(key, arrival)
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
        if self.last_look == Some(request) {
            self.last_look = None;
            return self.last_looked(ctx, answer);
        }
        if let Some((_, session)) = self.renewal.take_if(|(id, _)| *id == request) {
            // The session may have been replaced meanwhile: then it says nothing about ours.
            if self.session.as_ref().is_some_and(|s| s.id == session) {
                return self.kept(ctx, sent, &answer);
            }
            return Progress::GoesOn;
        }
        if let Some((_, session)) = self.name_request.take_if(|(id, _)| *id == request) {
            return self.named(ctx, session, answer);
        }
        if self.step.request() != Some(request) {
            return Progress::GoesOn;
        }
        // What is answered is not on its way any more, whatever becomes of it.
        let step = std::mem::replace(&mut self.step, Step::Answered);
        let answer = match answer {
            Err(Fault::Final(cause)) => {
                if cause.status == Status::Denied && self.is_about_tickets(&step) {
                    self.without_rights(ctx);
                    return Progress::GoesOn;
                }
                return self.refused_for_good(ctx, &step, &cause);
            }
            Err(Fault::TooLarge(cause)) => {
                if self.is_about_tickets(&step) {
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
            Step::Try(_) => self.tried(ctx, answer),
            Step::Refresh(_, token) => self.refreshed(ctx, token, sent, answer),
            Step::Parked | Step::Watch { .. } | Step::Pause(..) | Step::Name | Step::Answered => {
                Progress::GoesOn
            }
        }
    }

    /// Takes in what the watch of the key, or of the ticket before ours, found.
    pub(super) fn news(&mut self, ctx: &mut Context, news: Observation) -> Progress {
        let Step::Watch { subject, .. } = &self.step else {
            return Progress::GoesOn;
        };
        match (subject.clone(), news) {
            (Subject::Ticket(before), news) => self.followed(ctx, &before, news),
            (Subject::Key, Observation::Row { row, index }) => self.saw(ctx, row, index, true),
            (Subject::Key, Observation::Gone) => {
                self.found = Found::Absent;
                self.found_free(ctx, true)
            }
            (Subject::Key, Observation::Nothing) => {
                self.look(ctx);
                Progress::GoesOn
            }
            (Subject::Key, Observation::Failed(error)) => {
                self.retry_later(ctx, Access::Read, &error, Next::Look)
            }
            (Subject::Key, Observation::Refused(error)) => {
                self.refused_for_good(ctx, &self.step, &error)
            }
        }
    }

    fn refused_for_good(&self, ctx: &Context, step: &Step, cause: &Error) -> Progress {
        let mut error = ctx.out.error_from(cause, WHAT, &self.spec.key);
        if let (Step::Register(_), Some(node)) = (step, &ctx.out.config.session_node) {
            error.message.push_str(&how_to_register(node));
        }
        Progress::Failed(error)
    }

    /// The request of this step is only sent for the sake of the line.
    fn is_about_tickets(&self, step: &Step) -> bool {
        match step {
            Step::Survey(_) | Step::Join(_) | Step::ReadLine(..) | Step::Clear(_) => true,
            Step::Try(_) => match self.attempt.as_deref() {
                Some(Request::Lock { line, .. }) => *line,
                Some(Request::Take { .. }) => true,
                _ => false,
            },
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

    /// Consul gave a usable answer to a question. Whether it would do what it is told is another one.
    fn answered(&mut self) {
        self.reads.clear();
        if self.writes.count() == 0 {
            self.fault = None;
        }
    }

    /// Consul did what it was told, or said why not.
    fn wrote(&mut self) {
        self.writes.clear();
        self.answered();
    }

    /// Consul said that the key is not free. Whoever of this process waits behind us may say so, too.
    fn refuse(&mut self, ctx: &mut Context, holder: Option<KeyRow>) {
        let refusal = NotFree {
            at: ctx.out.time(),
            holder,
        };
        if self.arrival.is_some() {
            let sight = ctx.waiters.sight(&self.spec.key);
            sight.refused = Some(refusal.clone());
            sight.fault = None;
            if self.writes.count() == 0 {
                sight.rights_known();
            }
        }
        self.refused = Some(refusal);
    }

    fn pause(&mut self, ctx: &Context, pause: Duration, next: Next) {
        self.step = Step::Pause(ctx.out.time() + pause, next);
    }

    /// Something failed that may work a moment later.
    fn retry_later(
        &mut self,
        ctx: &mut Context,
        kind: Access,
        cause: &Error,
        next: Next,
    ) -> Progress {
        let error = ctx.out.error_from(cause, WHAT, &self.spec.key);
        // What may be ours already is not left to chance, also by a single attempt.
        let repeating = match next {
            Next::Try => self.attempt.is_some(),
            Next::HandOut(_) => true,
            _ => false,
        };
        if self.once() && !repeating {
            return Progress::Failed(error);
        }
        let failures = match kind {
            Access::Read => &mut self.reads,
            Access::Write => &mut self.writes,
        };
        let pause = failures.pause_after(&mut ctx.out, &error);
        if self.arrival.is_some() {
            let now = ctx.out.time();
            let sight = ctx.waiters.sight(&self.spec.key);
            sight.fault = Some(error.clone());
            // All who wait here have the same token.
            if error.status == Status::Denied && sight.denied(now) >= TOKEN_SETTLES {
                return Progress::Failed(error);
            }
        }
        self.fault = Some(error);
        self.pause(ctx, pause, next);
        Progress::GoesOn
    }

    /// The deadline. NOT_ACQUIRED only if Consul said so lately; silence is UNAVAILABLE.
    fn time_is_up(&mut self, ctx: &mut Context) -> Progress {
        if let Step::Refresh(..) | Step::Pause(_, Next::HandOut(_)) = self.step {
            return Progress::Failed(self.not_whole(ctx));
        }
        if self.is_parked() {
            let sight = ctx.waiters.sight(&self.spec.key).clone();
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
            return Progress::Failed(self.not_acquired(ctx));
        }
        let error = self.fault.take().unwrap_or_else(|| {
            let why = "Consul did not answer in time; is it running, and can it reach its leader?";
            ctx.out
                .error(Status::Unavailable, WHAT, &self.spec.key, why)
        });
        Progress::Failed(error)
    }
}
