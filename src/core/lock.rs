//! One lock's life: new, acquiring, held, released or lost, over. What happens while it is held is
//! in `held.rs`, giving it back in `release.rs`.

use std::time::Duration;

use super::acquire::{Acquire, Leftover, Progress};
use super::alarms::Alarm;
use super::context::Context;
use super::held::{HeldLock, Question};
use super::interface::{
    Action, Call, CallId, Done, Level, LockId, LockSpec, Outcome, Patience, Phase, RequestId, View,
};
use super::lease::Session;
use super::life::{Fate, LockEvent};
use super::log::Often;
use super::messages::{Answer, Fault, Key};
use super::monitor::Monitor;
use super::recorder::{self, Recorder};
use super::release::{Ending, Releasing, unconfirmed};
use super::watch::Observation;
use crate::clock::Time;
use crate::error::{Error, LostReason, Status};

/// How long an answer that is known ("not acquired", "lost") waits for the undoing, so that a program
/// that ends right after it leaves no session behind. A healthy Consul needs milliseconds.
const UNDO_GRACE: Duration = Duration::from_millis(500);

/// A lock.
#[derive(Debug)]
pub(super) struct Machine {
    id: LockId,
    key: Key,
    /// It asks who stands in line: it waited, or would have.
    fair: bool,
    /// It was wanted right after another one was given back: its session is worth keeping, however
    /// long it waited and was held.
    in_succession: bool,
    stage: Stage,
    view: View,
    /// What it left in Consul is being removed.
    undoing: bool,
    /// Calls that wait until that is done.
    waiting: Vec<Waiting>,
    /// Nobody has a handle on it any more.
    abandoned: bool,
    /// It was held, and is left to its TTL.
    left_to_ttl: bool,
    recorder: Recorder,
}

#[derive(Debug)]
enum Stage {
    New {
        cancelled: bool,
    },
    Acquiring(Box<Acquire>),
    Held(HeldLock),
    Releasing(Releasing),
    /// `told`: a release has said so.
    Lost {
        why: LostReason,
        reported: bool,
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
            in_succession: false,
            stage: Stage::New { cancelled: false },
            view: View::default(),
            undoing: false,
            waiting: Vec::new(),
            abandoned: false,
            left_to_ttl: false,
            recorder: Recorder::default(),
        }
    }

    /// Nothing more will happen to it, and nobody can ask.
    pub(super) fn is_forgotten(&self) -> bool {
        self.abandoned
            && self.waiting.is_empty()
            && matches!(
                self.stage,
                Stage::New { .. } | Stage::Lost { .. } | Stage::Over
            )
    }

    /// As good as not made: it was only asked about.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(self.stage, Stage::New { cancelled: false })
    }

    /// An acquire succeeded.
    pub(super) fn was_held(&self) -> bool {
        self.view.token.is_some()
    }

    /// Somebody waits for it.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || matches!(self.stage, Stage::Acquiring(_) | Stage::Releasing(_))
    }

    /// Acts upon what happens, and records both. `ctx.out` holds nothing before.
    pub(super) fn take_in(&mut self, ctx: &mut Context, input: LockEvent) {
        let now = ctx.out.time();
        self.recorder.happens(now, &input);
        match input {
            LockEvent::Call(call, what) => self.call(ctx, call, what),
            LockEvent::Reply {
                request,
                sent,
                answer,
            } => self.replied(ctx, request, sent, answer),
            LockEvent::First => self.become_first(ctx),
            LockEvent::Saw(news) => self.news(ctx, news),
            LockEvent::Alarm => self.alarm(ctx),
            LockEvent::Undone(confirmed) => self.undone(ctx, confirmed),
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
            Call::Free if matches!(self.stage, Stage::Held(_)) => {
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
        match &mut self.stage {
            Stage::Acquiring(acquire) => {
                let progress = acquire.replied(ctx, request, sent, answer);
                self.advance(ctx, progress);
            }
            Stage::Held(held) => {
                let fate = held.replied(&mut ctx.out, request, sent, answer);
                if let Fate::Lost(why) = fate {
                    self.lose(ctx, why);
                }
            }
            Stage::Releasing(releasing) => {
                let ending = releasing.replied(ctx, request, answer);
                self.end_release(ctx, ending);
            }
            Stage::New { .. } | Stage::Lost { .. } | Stage::Over => {}
        }
        self.expire(ctx);
        self.settle(ctx);
    }

    fn become_first(&mut self, ctx: &mut Context) {
        if let Stage::Acquiring(acquire) = &mut self.stage {
            let progress = acquire.become_first(ctx);
            self.advance(ctx, progress);
        }
        self.settle(ctx);
    }

    fn news(&mut self, ctx: &mut Context, news: Observation) {
        match &mut self.stage {
            Stage::Acquiring(acquire) => {
                let progress = acquire.observed(ctx, news);
                self.advance(ctx, progress);
            }
            Stage::Held(held) => held.saw_key(ctx, news),
            Stage::New { .. } | Stage::Releasing(_) | Stage::Lost { .. } | Stage::Over => {}
        }
        self.settle(ctx);
    }

    fn alarm(&mut self, ctx: &mut Context) {
        self.expire(ctx);
        let now = ctx.out.time();
        match &mut self.stage {
            Stage::Acquiring(acquire) => {
                let progress = acquire.alarm(ctx);
                self.advance(ctx, progress);
            }
            Stage::Held(held) => held.alarm(ctx),
            Stage::Releasing(releasing) => {
                let ending = releasing.alarm(ctx);
                self.end_release(ctx, ending);
            }
            Stage::New { .. } | Stage::Lost { .. } | Stage::Over => {}
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
    fn settle(&mut self, ctx: &mut Context) {
        let own = match &self.stage {
            Stage::Acquiring(acquire) => acquire.wake_at(),
            Stage::Held(held) => Some(held.wake_at()),
            Stage::Releasing(releasing) => Some(releasing.wake_at()),
            Stage::New { .. } | Stage::Lost { .. } | Stage::Over => None,
        };
        let waiting = self.waiting.iter().map(|w| w.by).min();
        ctx.out
            .alarms
            .set(Alarm::Lock(self.id), own.into_iter().chain(waiting).min());

        let phase = match &self.stage {
            Stage::New { .. } => Phase::New,
            Stage::Acquiring(_) => Phase::Acquiring,
            Stage::Held(_) => Phase::Held,
            Stage::Lost { .. } => Phase::Lost,
            Stage::Releasing(_) | Stage::Over => Phase::Over,
        };
        let lease_end = match &self.stage {
            Stage::Held(held) => Some(held.session.lease.end()),
            _ => None,
        };
        if (self.view.phase, self.view.lease_end) != (phase, lease_end) {
            self.view.phase = phase;
            self.view.lease_end = lease_end;
            self.view.lost = match self.stage {
                Stage::Lost { why, .. } => Some(why),
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

    fn acquire(&mut self, ctx: &mut Context, call: CallId, spec: LockSpec) {
        match self.stage {
            Stage::New { cancelled: false } => {
                self.key = spec.key.clone();
                self.fair = spec.fair && spec.patience != Patience::Once;
                self.in_succession = ctx.pool.is_in_succession(ctx.out.time());
                let (acquire, progress) = Acquire::begin(ctx, self.id, call, spec);
                self.stage = Stage::Acquiring(Box::new(acquire));
                self.advance(ctx, progress);
            }
            Stage::New { cancelled: true } => {
                self.key = spec.key;
                self.stage = Stage::Over;
                let error = self.cancelled(ctx, None);
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

    fn advance(&mut self, ctx: &mut Context, progress: Progress) {
        match progress {
            Progress::GoesOn => {}
            Progress::Won { session, token } => {
                let Stage::Acquiring(acquire) = std::mem::replace(&mut self.stage, Stage::Over)
                else {
                    return;
                };
                let (call, upkeep) = (acquire.call, acquire.spec().upkeep);
                let monitor = acquire
                    .spec()
                    .monitor
                    .then(|| Monitor::begin(ctx.out.time(), token));
                // Only a look for the holder's name, or a renewal, can still be on its way.
                let _ = acquire.end(ctx);
                ctx.holding.insert(session.id.clone());
                ctx.footing.note_taken(&mut ctx.out);
                let of = (self.id, self.key.clone());
                self.view.token = Some(token);
                self.view.session = Some(session.id.clone());
                self.stage = Stage::Held(HeldLock::new(&mut ctx.out, of, session, upkeep, monitor));
                ctx.out.tell(call, Ok(Done::Ok));
            }
            Progress::Failed(error) => {
                let Some(call) = self.end_acquire(ctx) else {
                    return;
                };
                self.tell_when_undone(ctx, call, UNDO_GRACE, Err(error.clone()), Err(error));
            }
        }
    }

    /// Ends the acquire under way and undoes what it did. The caller of this tells it.
    fn end_acquire(&mut self, ctx: &mut Context) -> Option<CallId> {
        let Stage::Acquiring(acquire) = std::mem::replace(&mut self.stage, Stage::Over) else {
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

    fn retire(&mut self, ctx: &mut Context, session: Session) {
        self.undoing = true;
        ctx.holding.remove(&session.id);
        ctx.pool.retire(&mut ctx.out, session, Some(self.id));
    }

    fn tell_when_undone(
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

    fn cancel(&mut self, ctx: &mut Context) {
        match &mut self.stage {
            Stage::New { cancelled } => *cancelled = true,
            Stage::Acquiring(acquire) => {
                let holder = acquire.last_holder(ctx);
                if let Some(call) = self.end_acquire(ctx) {
                    let error = self.cancelled(ctx, holder);
                    ctx.out.tell(call, Err(error));
                }
            }
            Stage::Held(_) | Stage::Releasing(_) | Stage::Lost { .. } | Stage::Over => {}
        }
    }

    /// `holder`: what a waiter knew last.
    fn cancelled(&self, ctx: &Context, holder: Option<String>) -> Error {
        let last = holder.map(|holder| format!("; seen last: {holder}"));
        let why = format!(
            "the acquire was cancelled{}",
            last.as_deref().unwrap_or_default()
        );
        ctx.out.error(
            Status::Cancelled,
            "did not acquire the lock",
            &self.key,
            &why,
        )
    }

    /// Ends what Consul may still know of a lost lock.
    fn end_lost_session(&mut self, ctx: &mut Context) {
        if let Stage::Lost { session, .. } = &mut self.stage
            && let Some(session) = session.take()
        {
            self.retire(ctx, session);
        }
    }

    fn let_go(&mut self, ctx: &mut Context) {
        match &mut self.stage {
            Stage::Acquiring(_) => self.cancel(ctx),
            Stage::Held(_) => {
                self.left_to_ttl = true;
                if let Some(session) = self.end_held(ctx) {
                    ctx.holding.remove(&session.id);
                }
            }
            Stage::Lost {
                session: Some(session),
                ..
            } => {
                ctx.holding.remove(&session.id);
            }
            Stage::New { .. } | Stage::Releasing(_) | Stage::Lost { .. } | Stage::Over => {}
        }
    }

    // HeldLock.

    /// The lease has ended: the lock is lost, whatever Consul may still say.
    fn expire(&mut self, ctx: &mut Context) {
        if matches!(&self.stage, Stage::Held(held) if held.session.lease.is_over(ctx.out.time())) {
            self.lose(ctx, LostReason::Expired);
        }
    }

    /// Each caller that asked for something is told, and so is each that wanted to know of the loss.
    fn lose(&mut self, ctx: &mut Context, why: LostReason) {
        let lost = Stage::Lost {
            why,
            reported: false,
            session: None,
        };
        let Stage::Held(mut held) = std::mem::replace(&mut self.stage, lost) else {
            return;
        };
        let error = ctx.out.lost(&self.key, why);
        ctx.out.say_lost(self.id, why, &error);
        held.end_asked(&mut ctx.out, &error);
        held.end_upkeep(ctx);
        let protects = match why {
            // Consul may keep the key for up to a TTL more. A leader of old may have said that the
            // session is gone.
            LostReason::Expired | LostReason::SessionGone => true,
            // The key is not the session's any more.
            LostReason::TakenOver | LostReason::KeyGone => false,
        };
        #[cfg(test)]
        let protects = protects && !ctx.out.sabotaged(super::sabotage::Sabotage::HurriedEnd);
        match &mut self.stage {
            Stage::Lost { session, .. } if protects => *session = Some(held.session),
            _ => self.retire(ctx, held.session),
        }
    }

    fn ask(&mut self, ctx: &mut Context, call: CallId, what: Question) {
        let error = match &mut self.stage {
            Stage::Held(held) => return held.ask(&mut ctx.out, call, what),
            Stage::Lost { why, .. } => ctx.out.lost(&self.key, *why),
            _ => self.not_held(ctx),
        };
        ctx.out.tell(call, Err(error));
    }

    fn not_held(&self, ctx: &Context) -> Error {
        let why = match self.stage {
            Stage::New { .. } => "it has not been acquired".to_owned(),
            Stage::Acquiring(_) => "its acquire is still under way".to_owned(),
            _ if self.left_to_ttl => {
                "it was abandoned, or the reader of its queue is gone: its TTL ends it".to_owned()
            }
            Stage::Held(_) | Stage::Releasing(_) => "it is being released".to_owned(),
            Stage::Lost { why, .. } => format!("it was lost before: {}", why.text()),
            Stage::Over if self.was_held() => "it was released before".to_owned(),
            Stage::Over => "its acquire ended without it".to_owned(),
        };
        let what = "this process does not hold the lock";
        ctx.out.error(Status::NotHeld, what, &self.key, &why)
    }

    /// Ends what is asked, and the renewals: the lock is not the caller's any more.
    fn end_held(&mut self, ctx: &mut Context) -> Option<Session> {
        let error = self.not_held(ctx);
        let Stage::Held(mut held) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return None;
        };
        held.end_upkeep(ctx);
        held.end_asked(&mut ctx.out, &error);
        Some(held.session)
    }

    // Releasing.

    fn release(&mut self, ctx: &mut Context, call: CallId) {
        let within = ctx.out.config.release_timeout;
        match &mut self.stage {
            Stage::Acquiring(_) => {
                self.cancel(ctx);
                let error = self.not_held(ctx);
                self.tell_when_undone(ctx, call, within, Err(error.clone()), Err(error));
            }
            Stage::Held(_) => self.begin_release(ctx, call),
            Stage::Lost { why, reported, .. } => {
                let (why, reported) = (*why, std::mem::replace(reported, true));
                self.end_lost_session(ctx);
                let error = if reported {
                    self.not_held(ctx)
                } else {
                    ctx.out.lost(&self.key, why)
                };
                self.tell_when_undone(ctx, call, UNDO_GRACE, Err(error.clone()), Err(error));
            }
            Stage::New { .. } | Stage::Releasing(_) => {
                let error = self.not_held(ctx);
                ctx.out.tell(call, Err(error));
            }
            Stage::Over => {
                let error = self.not_held(ctx);
                self.tell_when_undone(ctx, call, within, Err(error.clone()), Err(error));
            }
        }
    }

    fn begin_release(&mut self, ctx: &mut Context, call: CallId) {
        let in_succession = self.in_succession || ctx.pool.is_in_succession(ctx.out.time());
        let Some(session) = self.end_held(ctx) else {
            return;
        };
        ctx.holding.remove(&session.id);
        let keep = in_succession && !session.doubtful;
        let of = (self.id, self.key.clone());
        let releasing = Releasing::begin(ctx, of, self.fair, keep, call, session);
        self.stage = Stage::Releasing(releasing);
    }

    fn end_release(&mut self, ctx: &mut Context, ending: Ending) {
        let lost = match ending {
            Ending::Stays => return,
            Ending::GivenBack => None,
            Ending::Destroy(lost) => lost,
        };
        let Stage::Releasing(releasing) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        let Releasing {
            call, session, by, ..
        } = releasing;
        let now = ctx.out.time();
        ctx.pool.note_use(now);
        if lost.is_none() {
            ctx.waiters.note_given_back(&self.key, now);
        }
        if let Ending::GivenBack = ending {
            ctx.pool.keep_warm(&mut ctx.out, session);
            return ctx.out.tell(call, Ok(Done::Ok));
        }
        let lease = session.lease;
        self.retire(ctx, session);
        let (when_undone, when_late) = match lost {
            Some(why) => {
                self.stage = Stage::Lost {
                    why,
                    reported: true,
                    session: None,
                };
                let error = ctx.out.lost(&self.key, why);
                ctx.out.say_lost(self.id, why, &error);
                (Err(error.clone()), Err(error))
            }
            None => (Ok(Done::Ok), Err(unconfirmed(&ctx.out, &self.key, lease))),
        };
        self.tell_when_undone(ctx, call, by.since(now), when_undone, when_late);
    }
}
