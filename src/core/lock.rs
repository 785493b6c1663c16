//! One lock's life: new, acquiring, held, released or lost, over.

use super::acquire::{Acquire, Leftover, Turn};
use super::context::{Alarm, Context, Owner};
use super::lease::{Lease, Session};
use super::log::Often;
use super::messages::{Answer, Fault, Key, Request};
use super::{Action, Call, CallId, Done, Level, LockId, Outcome, Phase, RequestId, Spec, View};
use crate::clock::Time;
use crate::error::{Error, Status};
use std::time::Duration;

/// How long the answer "not acquired" waits for its undoing, so that a program that ends right
/// after it leaves no session behind. A healthy Consul needs milliseconds.
const UNDO_GRACE: Duration = Duration::from_millis(500);

/// A lock.
#[derive(Debug)]
pub(super) struct Machine {
    id: LockId,
    key: Key,
    state: State,
    view: View,
    /// What it left in Consul is being removed.
    undoing: bool,
    /// Calls that wait until that is done.
    waiting: Vec<Waiting>,
    /// Nobody has a handle on it any more.
    abandoned: bool,
}

#[derive(Debug)]
enum State {
    New {
        cancelled: bool,
    },
    Acquiring(Box<Acquire>),
    Held(Held),
    Releasing(Releasing),
    /// `told`: a release has said so.
    Lost {
        why: Why,
        told: bool,
    },
    Over,
}

#[derive(Debug)]
struct Held {
    session: Session,
    asked: Vec<Asked>,
}

/// A renew or check under way.
#[derive(Debug)]
struct Asked {
    call: CallId,
    what: Question,
    by: Time,
    faults: u32,
    request: Option<RequestId>,
    /// When to ask again, after a failure.
    again: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Renew,
    Check,
}

#[derive(Debug)]
struct Releasing {
    call: CallId,
    session: Session,
    by: Time,
    faults: u32,
    request: Option<RequestId>,
    again: Option<Time>,
    /// The session is used again afterwards.
    keep: bool,
}

/// A call whose outcome is decided, but not told before the undoing is over, or its time.
#[derive(Debug)]
struct Waiting {
    call: CallId,
    by: Time,
    when_undone: Outcome,
    when_late: Outcome,
}

/// How a lock was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Expired,
    SessionGone,
    KeyGone,
    TakenOver,
    /// The check in a release failed, which does not tell the two apart.
    NotOurs,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Why::Expired => "its time ran out before it was released or renewed",
            Why::SessionGone => {
                "Consul ended its session (expired, or ended by an agent's leave or an operator)"
            }
            Why::KeyGone => "its key was deleted",
            Why::TakenOver => "another session holds its key",
            Why::NotOurs => "its key is gone, or another session holds it",
        }
    }
}

impl Machine {
    pub(super) fn new(id: LockId) -> Machine {
        Machine {
            id,
            key: "".into(),
            state: State::New { cancelled: false },
            view: View::default(),
            undoing: false,
            waiting: Vec::new(),
            abandoned: false,
        }
    }

    /// Nothing more will happen to it, and nobody can ask.
    pub(super) fn is_forgotten(&self) -> bool {
        self.abandoned
            && self.waiting.is_empty()
            && matches!(
                self.state,
                State::New { .. } | State::Lost { .. } | State::Over
            )
    }

    /// As good as not made: it was only asked about.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(self.state, State::New { cancelled: false })
    }

    /// Somebody waits for it.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || matches!(self.state, State::Acquiring(_) | State::Releasing(_))
    }

    pub(super) fn call(&mut self, ctx: &mut Context<'_>, call: CallId, what: Call) {
        self.expire(ctx);
        match what {
            Call::Acquire(spec) => self.acquire(ctx, call, spec),
            Call::Cancel => {
                self.cancel(ctx);
                ctx.tell(call, Ok(Done::Ok));
            }
            Call::Renew => self.ask(ctx, call, Question::Renew),
            Call::Check => self.ask(ctx, call, Question::Check),
            Call::Release => self.release(ctx, call),
            Call::Abandon => {
                self.abandon(ctx);
                ctx.tell(call, Ok(Done::Ok));
            }
        }
        self.settle(ctx);
    }

    pub(super) fn replied(
        &mut self,
        ctx: &mut Context<'_>,
        request: RequestId,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) {
        match &mut self.state {
            State::Acquiring(acquire) => {
                let turn = acquire.replied(ctx, request, sent, answer);
                self.turned(ctx, turn);
            }
            State::Held(_) => self.asked_replied(ctx, request, sent, answer),
            State::Releasing(_) => self.release_replied(ctx, request, answer),
            State::New { .. } | State::Lost { .. } | State::Over => {}
        }
        self.expire(ctx);
        self.settle(ctx);
    }

    pub(super) fn alarm(&mut self, ctx: &mut Context<'_>) {
        self.expire(ctx);
        let now = ctx.time();
        match &mut self.state {
            State::Acquiring(acquire) => {
                let turn = acquire.alarm(ctx);
                self.turned(ctx, turn);
            }
            State::Held(_) => self.ask_again(ctx),
            State::Releasing(releasing) => {
                if now >= releasing.by {
                    self.release_unconfirmed(ctx);
                } else if releasing.again.is_some_and(|at| now >= at) {
                    self.unlock(ctx);
                }
            }
            State::New { .. } | State::Lost { .. } | State::Over => {}
        }
        let (late, waiting) = self.waiting.drain(..).partition(|w| now >= w.by);
        self.waiting = waiting;
        for Waiting {
            call, when_late, ..
        } in late
        {
            ctx.tell_late(call, when_late);
        }
        self.settle(ctx);
    }

    /// The undoing is over; `confirmed` by Consul, or given up.
    pub(super) fn undone(&mut self, ctx: &mut Context<'_>, confirmed: bool) {
        self.undoing = false;
        for Waiting {
            call,
            when_undone,
            when_late,
            ..
        } in std::mem::take(&mut self.waiting)
        {
            if confirmed {
                ctx.tell(call, when_undone);
            } else {
                ctx.tell_late(call, when_late);
            }
        }
        self.settle(ctx);
    }

    /// Sets the alarm, and shows observers what changed.
    fn settle(&mut self, ctx: &mut Context<'_>) {
        let own = match &self.state {
            State::Acquiring(acquire) => acquire.wake_at(),
            State::Held(held) => {
                let again = held.asked.iter().filter_map(|asked| asked.again);
                again.chain([held.session.lease.end()]).min()
            }
            State::Releasing(releasing) => releasing.again.into_iter().chain([releasing.by]).min(),
            State::New { .. } | State::Lost { .. } | State::Over => None,
        };
        let waiting = self.waiting.iter().map(|w| w.by).min();
        ctx.shared
            .alarms
            .set(Alarm::Lock(self.id), own.into_iter().chain(waiting).min());

        let phase = match &self.state {
            State::New { .. } => Phase::New,
            State::Acquiring(_) => Phase::Acquiring,
            State::Held(_) => Phase::Held,
            State::Lost { .. } => Phase::Lost,
            State::Releasing(_) | State::Over => Phase::Over,
        };
        let lease_end = match &self.state {
            State::Held(held) => Some(held.session.lease.end()),
            _ => None,
        };
        if (self.view.phase, self.view.lease_end) != (phase, lease_end) {
            self.view.phase = phase;
            self.view.lease_end = lease_end;
            let view = self.view.clone();
            // Observers must see a state before the caller that waits for it returns.
            let at = ctx
                .out
                .iter()
                .position(|a| matches!(a, Action::Tell { .. }));
            let publish = Action::Publish {
                lock: self.id,
                view,
            };
            ctx.out.insert(at.unwrap_or(ctx.out.len()), publish);
        }
    }

    // Acquiring.

    fn acquire(&mut self, ctx: &mut Context<'_>, call: CallId, spec: Spec) {
        match self.state {
            State::New { cancelled: false } => {
                self.key = spec.key.clone();
                let (acquire, turn) = Acquire::begin(ctx, self.id, call, spec);
                self.state = State::Acquiring(Box::new(acquire));
                self.turned(ctx, turn);
            }
            State::New { cancelled: true } => {
                self.key = spec.key;
                self.state = State::Over;
                let error = self.cancelled(ctx);
                ctx.tell(call, Err(error));
            }
            _ => {
                let why = "a lock is single use, and this one was used before; make a new one";
                let error = ctx.error(
                    Status::AlreadyUsed,
                    "cannot acquire the lock",
                    &spec.key,
                    why,
                );
                ctx.tell(call, Err(error));
            }
        }
    }

    fn turned(&mut self, ctx: &mut Context<'_>, turn: Turn) {
        match turn {
            Turn::Stay => {}
            Turn::Won { session, token } => {
                let State::Acquiring(acquire) = std::mem::replace(&mut self.state, State::Over)
                else {
                    return;
                };
                let call = acquire.call;
                // Only a look for the holder's name can still be on its way.
                let _ = acquire.end(ctx);
                ctx.shared.holding.insert(session.id.clone());
                self.view.token = Some(token);
                self.view.session = Some(session.id.clone());
                self.state = State::Held(Held {
                    session,
                    asked: Vec::new(),
                });
                ctx.tell(call, Ok(Done::Ok));
            }
            Turn::Failed(error) => {
                let Some(call) = self.end_acquire(ctx) else {
                    return;
                };
                self.tell_when_undone(ctx, call, UNDO_GRACE, Err(error.clone()), Err(error));
            }
        }
    }

    /// Ends the acquire under way and undoes what it did. The caller is told by who calls this.
    fn end_acquire(&mut self, ctx: &mut Context<'_>) -> Option<CallId> {
        let State::Acquiring(acquire) = std::mem::replace(&mut self.state, State::Over) else {
            return None;
        };
        let call = acquire.call;
        let ttl = acquire.spec().ttl;
        match acquire.end(ctx) {
            Leftover::Nothing => {}
            Leftover::Session(session) => self.retire(ctx, session),
            Leftover::Create(request, name) => {
                self.undoing = true;
                ctx.adopt(request, name, ttl, Some(self.id));
            }
        }
        Some(call)
    }

    fn retire(&mut self, ctx: &mut Context<'_>, session: Session) {
        self.undoing = true;
        ctx.shared.holding.remove(&session.id);
        ctx.retire(session, Some(self.id));
    }

    fn tell_when_undone(
        &mut self,
        ctx: &mut Context<'_>,
        call: CallId,
        within: Duration,
        when_undone: Outcome,
        when_late: Outcome,
    ) {
        if self.undoing {
            let by = ctx.time() + within;
            self.waiting.push(Waiting {
                call,
                by,
                when_undone,
                when_late,
            });
        } else {
            ctx.tell(call, when_undone);
        }
    }

    fn cancel(&mut self, ctx: &mut Context<'_>) {
        match &mut self.state {
            State::New { cancelled } => *cancelled = true,
            State::Acquiring(_) => {
                if let Some(call) = self.end_acquire(ctx) {
                    let error = self.cancelled(ctx);
                    ctx.tell(call, Err(error));
                }
            }
            State::Held(_) | State::Releasing(_) | State::Lost { .. } | State::Over => {}
        }
    }

    fn cancelled(&self, ctx: &Context<'_>) -> Error {
        let why = "the acquire was cancelled";
        ctx.error(
            Status::Cancelled,
            "did not acquire the lock",
            &self.key,
            why,
        )
    }

    fn abandon(&mut self, ctx: &mut Context<'_>) {
        self.abandoned = true;
        match &mut self.state {
            State::Acquiring(_) => self.cancel(ctx),
            State::Held(held) => {
                ctx.shared.holding.remove(&held.session.id);
                self.end_asked(ctx);
                self.state = State::Over;
            }
            State::New { .. } | State::Releasing(_) | State::Lost { .. } | State::Over => {}
        }
    }

    // Held.

    /// The lease has ended: the lock is lost, whatever Consul may still say.
    fn expire(&mut self, ctx: &mut Context<'_>) {
        if matches!(&self.state, State::Held(held) if held.session.lease.is_over(ctx.time())) {
            self.lose(ctx, Why::Expired);
        }
    }

    fn lose(&mut self, ctx: &mut Context<'_>, why: Why) {
        let State::Held(held) =
            std::mem::replace(&mut self.state, State::Lost { why, told: false })
        else {
            return;
        };
        let error = self.lost(ctx, why);
        ctx.log(Level::Error, Often::Always, || error.message.clone());
        for asked in held.asked {
            if let Some(request) = asked.request {
                ctx.abort(request);
            }
            ctx.tell(asked.call, Err(error.clone()));
        }
        // The others need not wait for twice the TTL. Consul knows nothing of a session that is
        // gone.
        if why == Why::SessionGone {
            ctx.shared.holding.remove(&held.session.id);
        } else {
            self.retire(ctx, held.session);
        }
    }

    fn lost(&self, ctx: &Context<'_>, why: Why) -> Error {
        ctx.error(Status::Lost, "lost the lock", &self.key, why.text())
    }

    fn not_held(&self, ctx: &Context<'_>) -> Error {
        let why = match self.state {
            State::New { .. } | State::Acquiring(_) => "it has not been acquired",
            _ => "it was given back, or never acquired",
        };
        ctx.error(
            Status::NotHeld,
            "this process does not hold the lock",
            &self.key,
            why,
        )
    }

    fn ask(&mut self, ctx: &mut Context<'_>, call: CallId, what: Question) {
        match &mut self.state {
            State::Held(held) => {
                let by = ctx.time() + ctx.shared.config.request_timeout;
                let again = Some(ctx.time());
                held.asked.push(Asked {
                    call,
                    what,
                    by,
                    faults: 0,
                    request: None,
                    again,
                });
                self.ask_again(ctx);
            }
            State::Lost { why, .. } => {
                let error = ctx.error(Status::Lost, "lost the lock", &self.key, why.text());
                ctx.tell(call, Err(error));
            }
            _ => {
                let error = self.not_held(ctx);
                ctx.tell(call, Err(error));
            }
        }
    }

    /// Sends the questions that are due.
    fn ask_again(&mut self, ctx: &mut Context<'_>) {
        let State::Held(held) = &mut self.state else {
            return;
        };
        let now = ctx.time();
        for asked in &mut held.asked {
            if asked.again.is_some_and(|at| now >= at) {
                asked.again = None;
                let request = match asked.what {
                    Question::Renew => Request::RenewSession {
                        session: held.session.id.clone(),
                    },
                    Question::Check => Request::Read {
                        key: self.key.clone(),
                        consistent: true,
                    },
                };
                let by = asked.by.min(held.session.lease.end());
                asked.request = Some(ctx.send(Owner::Lock(self.id), request, by));
            }
        }
    }

    fn asked_replied(
        &mut self,
        ctx: &mut Context<'_>,
        request: RequestId,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) {
        let State::Held(held) = &mut self.state else {
            return;
        };
        let Some(at) = held.asked.iter().position(|a| a.request == Some(request)) else {
            return;
        };
        let mut asked = held.asked.swap_remove(at);
        let now = ctx.time();
        let outcome = match answer {
            Ok(Answer::Renewed) => {
                // Once lost, always lost: an answer after the end revives nothing.
                if let (Some(sent), false) = (sent, held.session.lease.is_over(now)) {
                    #[cfg(test)]
                    let sent = if ctx.sabotaged(super::sabotage::Sabotage::LeaseFromReply) {
                        now
                    } else {
                        sent
                    };
                    held.session.lease.extend(sent);
                }
                Ok(Done::Ok)
            }
            Ok(Answer::Row { row, .. }) => match row.map(|row| row.session) {
                Some(Some(holder)) if holder == held.session.id => Ok(Done::Ok),
                Some(Some(_)) => return self.lose_in(ctx, asked.call, Why::TakenOver),
                Some(None) | None => return self.lose_in(ctx, asked.call, Why::KeyGone),
            },
            Err(Fault::SessionGone(_)) => return self.lose_in(ctx, asked.call, Why::SessionGone),
            Err(Fault::NotApplied(cause) | Fault::Unknown(cause)) => {
                // A renewal that is late somewhere only lengthens the session's life, but a
                // session with such a request is not used again.
                held.session.doubtful = true;
                asked.faults += 1;
                asked.request = None;
                let error = ctx.error_from(&cause, question_failed(asked.what), &self.key);
                ctx.log_outage(asked.faults, &error);
                let at = now + ctx.shared.back_off(asked.faults);
                if at < asked.by.min(held.session.lease.end()) {
                    asked.again = Some(at);
                    held.asked.push(asked);
                    return;
                }
                Err(error)
            }
            Err(Fault::Final(cause)) => {
                Err(ctx.error_from(&cause, question_failed(asked.what), &self.key))
            }
            Ok(_) => {
                let why = "an answer that was not asked for";
                Err(ctx.error(
                    Status::Internal,
                    question_failed(asked.what),
                    &self.key,
                    why,
                ))
            }
        };
        // The lease may have ended while Consul answered.
        if held.session.lease.is_over(now) {
            return self.lose_in(ctx, asked.call, Why::Expired);
        }
        ctx.tell(asked.call, outcome);
    }

    fn lose_in(&mut self, ctx: &mut Context<'_>, call: CallId, why: Why) {
        let error = self.lost(ctx, why);
        ctx.tell(call, Err(error));
        self.lose(ctx, why);
    }

    /// Ends renewals and checks under way: the lock is not theirs to ask about any more.
    fn end_asked(&mut self, ctx: &mut Context<'_>) {
        let error = self.not_held(ctx);
        let State::Held(held) = &mut self.state else {
            return;
        };
        for asked in held.asked.drain(..) {
            if let Some(request) = asked.request {
                held.session.doubtful = true;
                ctx.abort(request);
            }
            ctx.tell(asked.call, Err(error.clone()));
        }
    }

    // Releasing.

    fn release(&mut self, ctx: &mut Context<'_>, call: CallId) {
        let within = ctx.shared.config.release_timeout;
        match &mut self.state {
            State::Acquiring(_) => {
                self.cancel(ctx);
                let error = self.not_held(ctx);
                self.tell_when_undone(ctx, call, within, Err(error.clone()), Err(error));
            }
            State::Held(_) => self.begin_release(ctx, call, within),
            State::Lost { why, told } => {
                let (why, told) = (*why, std::mem::replace(told, true));
                let error = if told {
                    self.not_held(ctx)
                } else {
                    self.lost(ctx, why)
                };
                self.tell_when_undone(ctx, call, within, Err(error.clone()), Err(error));
            }
            State::New { .. } | State::Releasing(_) => {
                let error = self.not_held(ctx);
                ctx.tell(call, Err(error));
            }
            State::Over => {
                let error = self.not_held(ctx);
                self.tell_when_undone(ctx, call, within, Err(error.clone()), Err(error));
            }
        }
    }

    /// Two ways, neither of which names the key alone. A session that will be used again gives the
    /// key back in one transaction that checks it is its own (1 Raft write, the session stays).
    /// Any other is destroyed, which removes its key (1 Raft write, nothing stays); whether it
    /// still held the key is read before, for nothing.
    fn begin_release(&mut self, ctx: &mut Context<'_>, call: CallId, within: Duration) {
        self.end_asked(ctx);
        let now = ctx.time();
        let hot = ctx.shared.pool.is_hot(now);
        let State::Held(held) = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        let session = held.session;
        ctx.shared.holding.remove(&session.id);
        let keep = hot && !session.doubtful;
        self.state = State::Releasing(Releasing {
            call,
            session,
            by: now + within,
            faults: 0,
            request: None,
            again: None,
            keep,
        });
        self.unlock(ctx);
    }

    fn unlock(&mut self, ctx: &mut Context<'_>) {
        let State::Releasing(releasing) = &mut self.state else {
            return;
        };
        releasing.again = None;
        let request = if releasing.keep {
            Request::Unlock {
                key: self.key.clone(),
                session: releasing.session.id.clone(),
            }
        } else {
            Request::Read {
                key: self.key.clone(),
                consistent: true,
            }
        };
        releasing.request = Some(ctx.send(Owner::Lock(self.id), request, releasing.by));
    }

    fn release_replied(
        &mut self,
        ctx: &mut Context<'_>,
        request: RequestId,
        answer: Result<Answer, Fault>,
    ) {
        let State::Releasing(releasing) = &mut self.state else {
            return;
        };
        if releasing.request != Some(request) {
            return;
        }
        releasing.request = None;
        match answer {
            Ok(Answer::Unlocked) => self.given_back(ctx),
            Ok(Answer::NotOurs) => self.found_lost(ctx, Why::NotOurs),
            Ok(Answer::Row { row, .. }) => match row.map(|row| row.session) {
                Some(Some(holder)) if holder == releasing.session.id => self.destroy(ctx, None),
                Some(Some(_)) => self.found_lost(ctx, Why::TakenOver),
                Some(None) | None => self.found_lost(ctx, Why::KeyGone),
            },
            Err(Fault::NotApplied(_)) if releasing.keep => {
                releasing.faults += 1;
                let faults = releasing.faults;
                releasing.again = Some(ctx.time() + ctx.shared.back_off(faults));
            }
            #[cfg(test)]
            Err(Fault::Unknown(_))
                if ctx.sabotaged(super::sabotage::Sabotage::PoolAfterDoubt) && releasing.keep =>
            {
                self.given_back(ctx);
            }
            // The answer was lost, or the question could not be asked: the session's end removes
            // the key, and makes a late copy of anything sent with it harmless.
            Err(_) | Ok(_) => self.destroy(ctx, None),
        }
    }

    /// Confirmed: the session is free for another lock.
    fn given_back(&mut self, ctx: &mut Context<'_>) {
        let State::Releasing(releasing) = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        ctx.remember_given_back(&self.key);
        ctx.note_use();
        ctx.keep_warm(releasing.session);
        ctx.tell(releasing.call, Ok(Done::Ok));
    }

    fn found_lost(&mut self, ctx: &mut Context<'_>, why: Why) {
        self.destroy(ctx, Some(why));
    }

    /// Ends the session, and with it whatever it holds; `lost`: it did not hold the key any more.
    fn destroy(&mut self, ctx: &mut Context<'_>, lost: Option<Why>) {
        let State::Releasing(releasing) = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        let Releasing {
            call, session, by, ..
        } = releasing;
        let lease = session.lease;
        self.retire(ctx, session);
        ctx.note_use();
        let (when_undone, when_late) = match lost {
            Some(why) => {
                self.state = State::Lost { why, told: true };
                let error = self.lost(ctx, why);
                ctx.log(Level::Error, Often::Always, || error.message.clone());
                (Err(error.clone()), Err(error))
            }
            None => {
                ctx.remember_given_back(&self.key);
                (Ok(Done::Ok), Err(self.unconfirmed(ctx, lease)))
            }
        };
        let within = by.since(ctx.time());
        self.tell_when_undone(ctx, call, within, when_undone, when_late);
    }

    fn release_unconfirmed(&mut self, ctx: &mut Context<'_>) {
        let State::Releasing(releasing) = &mut self.state else {
            return;
        };
        if let Some(request) = releasing.request.take() {
            ctx.abort(request);
        }
        // From here on the undoing goes on without the caller.
        self.destroy(ctx, None);
    }

    fn unconfirmed(&self, ctx: &Context<'_>, lease: Lease) -> Error {
        let left = lease.end().since(ctx.time()).as_secs();
        let why = format!(
            "Consul did not confirm the release in time; this library goes on trying, and the \
             session's TTL ends it otherwise ({left} s are left of it, Consul may take up to twice \
             the TTL)"
        );
        ctx.error(
            Status::Unconfirmed,
            "could not surely release the lock",
            &self.key,
            &why,
        )
    }
}

fn question_failed(what: Question) -> &'static str {
    match what {
        Question::Renew => "could not renew the lock",
        Question::Check => "could not check the lock",
    }
}

impl Context<'_> {
    /// Tells a caller whose undoing was not confirmed in time.
    fn tell_late(&mut self, call: CallId, outcome: Outcome) {
        if let Err(error) = &outcome
            && error.status == Status::Unconfirmed
        {
            self.log(Level::Warn, Often::Always, || error.message.clone());
        }
        self.tell(call, outcome);
    }

    fn note_use(&mut self) {
        let now = self.time();
        self.shared.pool.note_use(now);
    }
}
