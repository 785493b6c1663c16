//! One lock's life: new, acquiring, held, released or lost, over. What happens while it is held is
//! in `held.rs`, giving it back in `release.rs`.

use super::acquire::{Acquire, Leftover, Turn};
use super::alarms::Alarm;
use super::context::Context;
use super::held::{Held, Question};
use super::interface::{
    Action, Call, CallId, Done, Level, LockId, Outcome, Patience, Phase, RequestId, Spec, View,
};
use super::lease::Session;
use super::log::Often;
use super::messages::{Answer, Fault, Key};
use super::monitor::Monitor;
use super::recorder::{self, Recorder};
use super::release::Releasing;
use super::watch::News;
use crate::clock::Time;
use crate::error::{Error, LostReason, Status};
use std::time::Duration;

/// How long an answer that is known ("not acquired", "lost") waits for the undoing, so that a program
/// that ends right after it leaves no session behind. A healthy Consul needs milliseconds.
pub(super) const UNDO_GRACE: Duration = Duration::from_millis(500);

/// What happens to a lock.
#[derive(Debug)]
pub(super) enum Input {
    /// Somebody calls.
    Call(CallId, Call),
    /// The answer to a request.
    Reply {
        request: RequestId,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    },
    /// It is the first of its key's waiters here.
    Turn,
    /// What it watches has news.
    News(News),
    /// Time went by.
    Alarm,
    /// The undoing is over; confirmed by Consul, or given up.
    Undone(bool),
}

/// A lock.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) id: LockId,
    pub(super) key: Key,
    /// It asks who stands in line: it waited, or would have.
    pub(super) fair: bool,
    /// It was wanted right after another one was given back: its session is worth keeping, however
    /// long it waited and was held.
    pub(super) hot: bool,
    pub(super) state: State,
    view: View,
    /// What it left in Consul is being removed.
    undoing: bool,
    /// Calls that wait until that is done.
    waiting: Vec<Waiting>,
    /// Nobody has a handle on it any more.
    abandoned: bool,
    pub(super) recorder: Recorder,
}

#[derive(Debug)]
pub(super) enum State {
    New {
        cancelled: bool,
    },
    Acquiring(Box<Acquire>),
    Held(Held),
    Releasing(Releasing),
    /// `told`: a release has said so.
    Lost {
        why: LostReason,
        told: bool,
        /// Consul may still know the session. A holder that works on, unaware, has no other protection
        /// than that: so the session is ended when the holder says that it is done.
        session: Option<Session>,
    },
    Over,
}

/// A call whose outcome is decided, but not told before the undoing is over, or its time.
#[derive(Debug)]
struct Waiting {
    call: CallId,
    by: Time,
    when_undone: Outcome,
    when_late: Outcome,
}

impl Machine {
    pub(super) fn new(id: LockId) -> Machine {
        Machine {
            id,
            key: "".into(),
            fair: false,
            hot: false,
            state: State::New { cancelled: false },
            view: View::default(),
            undoing: false,
            waiting: Vec::new(),
            abandoned: false,
            recorder: Recorder::default(),
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

    /// Acts upon what happens, and records both. `ctx.out` holds nothing before.
    pub(super) fn take_in(&mut self, ctx: &mut Context, input: Input) {
        let now = ctx.out.time();
        self.recorder.happens(now, &input);
        match input {
            Input::Call(call, what) => self.call(ctx, call, what),
            Input::Reply {
                request,
                sent,
                answer,
            } => self.replied(ctx, request, sent, answer),
            Input::Turn => self.your_turn(ctx),
            Input::News(news) => self.news(ctx, news),
            Input::Alarm => self.alarm(ctx),
            Input::Undone(confirmed) => self.undone(ctx, confirmed),
        }
        self.recorder.does(now, &ctx.out.actions);
        if recorder::is_serious(&ctx.out.actions) {
            for line in self.recorder.lines(&self.key) {
                ctx.out.log(Level::Info, Often::Always, || line);
            }
        }
    }

    fn call(&mut self, ctx: &mut Context, call: CallId, what: Call) {
        self.expire(ctx);
        match what {
            Call::Acquire(spec) => self.acquire(ctx, call, spec),
            Call::Cancel => {
                self.cancel(ctx);
                ctx.out.tell(call, Ok(Done::Ok));
            }
            Call::Renew => self.ask(ctx, call, Question::Renew),
            Call::Check => self.ask(ctx, call, Question::Check),
            Call::Write { key, value } => self.ask(ctx, call, Question::Write { key, value }),
            Call::Release => self.release(ctx, call),
            // It was taken while its handle was being freed.
            Call::Free if matches!(self.state, State::Held(_)) => {
                self.abandoned = true;
                self.release(ctx, call);
            }
            Call::LetGo | Call::Abandon | Call::Free => {
                if let Call::Free = what {
                    self.end_lost_session(ctx);
                }
                self.abandoned |= !matches!(what, Call::LetGo);
                self.let_go(ctx);
                ctx.out.tell(call, Ok(Done::Ok));
            }
        }
        self.settle(ctx);
    }

    fn replied(
        &mut self,
        ctx: &mut Context,
        request: RequestId,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) {
        match &mut self.state {
            State::Acquiring(acquire) => {
                let turn = acquire.replied(ctx, request, sent, answer);
                self.turned(ctx, turn);
            }
            State::Held(_) => self.held_replied(ctx, request, sent, answer),
            State::Releasing(_) => self.release_replied(ctx, request, answer),
            State::New { .. } | State::Lost { .. } | State::Over => {}
        }
        self.expire(ctx);
        self.settle(ctx);
    }

    fn your_turn(&mut self, ctx: &mut Context) {
        if let State::Acquiring(acquire) = &mut self.state {
            let turn = acquire.your_turn(ctx);
            self.turned(ctx, turn);
        }
        self.settle(ctx);
    }

    fn news(&mut self, ctx: &mut Context, news: News) {
        if let State::Acquiring(acquire) = &mut self.state {
            let turn = acquire.news(ctx, news);
            self.turned(ctx, turn);
        } else {
            self.saw_key(ctx, news);
        }
        self.settle(ctx);
    }

    fn alarm(&mut self, ctx: &mut Context) {
        self.expire(ctx);
        let now = ctx.out.time();
        match &mut self.state {
            State::Acquiring(acquire) => {
                let turn = acquire.alarm(ctx);
                self.turned(ctx, turn);
            }
            State::Held(_) => {
                self.ask_again(ctx);
                self.keep_up(ctx);
                self.watch_over(ctx);
            }
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
            ctx.out.tell_late(call, when_late);
        }
        self.settle(ctx);
    }

    fn undone(&mut self, ctx: &mut Context, confirmed: bool) {
        self.undoing = false;
        for Waiting {
            call,
            when_undone,
            when_late,
            ..
        } in std::mem::take(&mut self.waiting)
        {
            if confirmed {
                ctx.out.tell(call, when_undone);
            } else {
                ctx.out.tell_late(call, when_late);
            }
        }
        self.settle(ctx);
    }

    /// Sets the alarm, and shows observers what changed.
    pub(super) fn settle(&mut self, ctx: &mut Context) {
        let own = match &self.state {
            State::Acquiring(acquire) => acquire.wake_at(),
            State::Held(held) => Some(held.wake_at()),
            State::Releasing(releasing) => releasing.again.into_iter().chain([releasing.by]).min(),
            State::New { .. } | State::Lost { .. } | State::Over => None,
        };
        let waiting = self.waiting.iter().map(|w| w.by).min();
        ctx.out
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
            self.view.lost = match self.state {
                State::Lost { why, .. } => Some(why),
                _ => None,
            };
            let view = self.view.clone();
            // Observers must see a state before anybody is told of it.
            let at = ctx
                .out
                .actions
                .iter()
                .position(|a| matches!(a, Action::Tell { .. } | Action::Lost { .. }));
            let publish = Action::Publish {
                lock: self.id,
                view,
            };
            ctx.out
                .actions
                .insert(at.unwrap_or(ctx.out.actions.len()), publish);
        }
    }

    // Acquiring.

    fn acquire(&mut self, ctx: &mut Context, call: CallId, spec: Spec) {
        match self.state {
            State::New { cancelled: false } => {
                self.key = spec.key.clone();
                self.fair = spec.fair && spec.patience != Patience::Once;
                self.hot = ctx.pool.is_hot(ctx.out.time());
                let (acquire, turn) = Acquire::begin(ctx, self.id, call, spec);
                self.state = State::Acquiring(Box::new(acquire));
                self.turned(ctx, turn);
            }
            State::New { cancelled: true } => {
                self.key = spec.key;
                self.state = State::Over;
                let error = self.cancelled(ctx);
                ctx.out.tell(call, Err(error));
            }
            _ => {
                let why = "a lock is single use, and this one was used before; make a new one";
                let error = ctx.out.error(
                    Status::AlreadyUsed,
                    "cannot acquire the lock",
                    &spec.key,
                    why,
                );
                ctx.out.tell(call, Err(error));
            }
        }
    }

    fn turned(&mut self, ctx: &mut Context, turn: Turn) {
        match turn {
            Turn::Stay => {}
            Turn::Won { session, token } => {
                let State::Acquiring(acquire) = std::mem::replace(&mut self.state, State::Over)
                else {
                    return;
                };
                let (call, upkeep) = (acquire.call, acquire.spec().upkeep);
                let monitor = acquire.spec().monitor.then(|| Monitor::begin(ctx, token));
                // Only a look for the holder's name, or a renewal, can still be on its way.
                let _ = acquire.end(ctx);
                ctx.holding.insert(session.id.clone());
                ctx.footing.note_taken(&mut ctx.out);
                self.view.token = Some(token);
                self.view.session = Some(session.id.clone());
                self.state = State::Held(Held::new(ctx, session, upkeep, monitor));
                ctx.out.tell(call, Ok(Done::Ok));
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
    fn end_acquire(&mut self, ctx: &mut Context) -> Option<CallId> {
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
                ctx.pool
                    .adopt(&mut ctx.out, request, name, ttl, Some(self.id));
            }
        }
        Some(call)
    }

    pub(super) fn retire(&mut self, ctx: &mut Context, session: Session) {
        self.undoing = true;
        ctx.holding.remove(&session.id);
        ctx.pool.retire(&mut ctx.out, session, Some(self.id));
    }

    pub(super) fn tell_when_undone(
        &mut self,
        ctx: &mut Context,
        call: CallId,
        within: Duration,
        when_undone: Outcome,
        when_late: Outcome,
    ) {
        if self.undoing {
            let by = ctx.out.time() + within;
            self.waiting.push(Waiting {
                call,
                by,
                when_undone,
                when_late,
            });
        } else {
            ctx.out.tell(call, when_undone);
        }
    }

    pub(super) fn cancel(&mut self, ctx: &mut Context) {
        match &mut self.state {
            State::New { cancelled } => *cancelled = true,
            State::Acquiring(_) => {
                if let Some(call) = self.end_acquire(ctx) {
                    let error = self.cancelled(ctx);
                    ctx.out.tell(call, Err(error));
                }
            }
            State::Held(_) | State::Releasing(_) | State::Lost { .. } | State::Over => {}
        }
    }

    fn cancelled(&self, ctx: &Context) -> Error {
        let why = "the acquire was cancelled";
        ctx.out.error(
            Status::Cancelled,
            "did not acquire the lock",
            &self.key,
            why,
        )
    }

    /// Ends what Consul may still know of a lost lock.
    pub(super) fn end_lost_session(&mut self, ctx: &mut Context) {
        if let State::Lost { session, .. } = &mut self.state
            && let Some(session) = session.take()
        {
            self.retire(ctx, session);
        }
    }

    fn let_go(&mut self, ctx: &mut Context) {
        match &mut self.state {
            State::Acquiring(_) => self.cancel(ctx),
            State::Held(held) => {
                ctx.holding.remove(&held.session.id);
                self.end_asked(ctx);
                self.state = State::Over;
            }
            State::Lost {
                session: Some(session),
                ..
            } => {
                ctx.holding.remove(&session.id);
            }
            State::New { .. } | State::Releasing(_) | State::Lost { .. } | State::Over => {}
        }
    }
}
