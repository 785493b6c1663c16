//! One lock's life: new, acquiring, held, released or lost, over. Here is what happens to a lock at each stage,
//! and what observers see of it; how one stage follows another is in `lock/`.

mod acquiring;
mod holding;
mod pending;
mod releasing;

use std::time::Duration;

use super::acquire::Acquire;
use super::alarms::Alarm;
use super::change::Goal;
use super::context::Context;
use super::held::{HeldLock, Question};
use super::interface::{Action, Call, CallId, Done, Level, LockId, Phase, RequestId, View};
use super::lease::Session;
use super::life::{Fate, LockEvent};
use super::log::Often;
use super::messages::{Answer, Fault, Key};
use super::recorder::{self, Recorder};
use super::release::Releasing;
use super::watch::Observation;
use crate::clock::Time;
use crate::error::LostReason;
use pending::Pending;

/// How long an outcome that is decided ("not acquired", "lost") waits for the undoing, so that a program that
/// ends right after it leaves no session behind. A healthy Consul needs milliseconds.
const UNDO_GRACE: Duration = Duration::from_millis(500);

/// A lock.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct Machine {
    id: LockId,
    /// The keys as messages have them.
    key: Key,
    /// The release asks for the line: the acquire waited, or would have.
    fair: bool,
    /// The acquire came right after another lock was given back. So the session is worth keeping, however
    /// long the lock waited and was held.
    in_succession: bool,
    stage: Stage,
    view: View,
    pending: Pending,
    /// The lock has no handle any more.
    abandoned: bool,
    /// The lock was held, and its TTL ends it.
    left_to_ttl: bool,
    recorder: Recorder,
}

#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
enum Stage {
    New {
        cancelled: bool,
    },
    // Boxed: of the thousands of locks that a process may have, most wait.
    Acquiring(Box<Acquire>),
    Held(Box<HeldLock>),
    Releasing(Box<Releasing>),
    Lost {
        why: LostReason,
        /// A release has answered LOST.
        reported: bool,
        /// Consul may still know the session. A holder that works on, unaware of the loss, has no other
        /// protection: so the library ends the session when the holder says that it is done.
        session: Option<Session>,
    },
    Over,
}

impl Machine {
    pub(super) fn new(id: LockId) -> Machine {
        Machine {
            id,
            key: Key::default(),
            fair: false,
            in_succession: false,
            stage: Stage::New { cancelled: false },
            view: View::default(),
            pending: Pending::default(),
            abandoned: false,
            left_to_ttl: false,
            recorder: Recorder::default(),
        }
    }

    /// Nothing more will happen to the lock, and no caller can ask for it.
    pub(super) fn is_forgotten(&self) -> bool {
        self.abandoned
            && self.pending.is_empty()
            && matches!(
                self.stage,
                Stage::New { .. } | Stage::Lost { .. } | Stage::Over
            )
    }

    /// A caller has asked about the lock, and done nothing else with it.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(self.stage, Stage::New { cancelled: false })
    }

    /// A caller waits for the lock.
    pub(super) fn is_busy(&self) -> bool {
        !self.pending.is_empty() || matches!(self.stage, Stage::Acquiring(_) | Stage::Releasing(_))
    }

    /// Acts upon an event, and records both.
    pub(super) fn take_in(&mut self, ctx: &mut Context, event: LockEvent) {
        let (now, begin) = (ctx.out.time(), ctx.out.actions.len());
        self.recorder.happens(now, &event);
        match event {
            LockEvent::Call(call, what) => self.call(ctx, call, what),
            LockEvent::Reply {
                request,
                sent,
                answer,
            } => self.replied(ctx, request, sent, answer),
            LockEvent::First => self.become_first(ctx),
            LockEvent::Saw(seen) => self.observed(ctx, seen),
            LockEvent::Alarm => self.alarm(ctx),
            LockEvent::Undone(confirmed) => self.pending.undone(&mut ctx.out, confirmed),
        }
        self.settle(ctx, begin);
        let actions = ctx.out.actions.get(begin..).unwrap_or_default();
        self.recorder.does(now, actions);
        if recorder::is_serious(actions) {
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
            Call::Downgrade => self.change(ctx, call, Goal::Share),
            Call::Upgrade(patience) => self.change(ctx, call, Goal::Exclusive(patience)),
            Call::Release => self.release(ctx, call),
            // The acquire succeeded while the caller freed the handle.
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
                let fate = held.replied(ctx, request, sent, answer);
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
    }

    fn become_first(&mut self, ctx: &mut Context) {
        if let Stage::Acquiring(acquire) = &mut self.stage {
            let progress = acquire.become_first(ctx);
            self.advance(ctx, progress);
        }
    }

    fn observed(&mut self, ctx: &mut Context, seen: Observation) {
        match &mut self.stage {
            Stage::Acquiring(acquire) => {
                let progress = acquire.observed(ctx, seen);
                self.advance(ctx, progress);
            }
            Stage::Held(held) => held.saw_key(ctx, seen),
            Stage::New { .. } | Stage::Releasing(_) | Stage::Lost { .. } | Stage::Over => {}
        }
    }

    fn alarm(&mut self, ctx: &mut Context) {
        self.expire(ctx);
        match &mut self.stage {
            Stage::Acquiring(acquire) => {
                let progress = acquire.alarm(ctx);
                self.advance(ctx, progress);
            }
            Stage::Held(held) => {
                let fate = held.alarm(ctx);
                if let Fate::Lost(why) = fate {
                    self.lose(ctx, why);
                }
            }
            Stage::Releasing(releasing) => {
                let ending = releasing.alarm(ctx);
                self.end_release(ctx, ending);
            }
            Stage::New { .. } | Stage::Lost { .. } | Stage::Over => {}
        }
        self.pending.tell_late(&mut ctx.out);
    }

    /// Sets the alarm, and shows observers what changed. The actions of the lock begin at number `begin`.
    fn settle(&mut self, ctx: &mut Context, begin: usize) {
        let (phase, wake_at) = match &self.stage {
            Stage::New { .. } => (Phase::New, None),
            Stage::Acquiring(acquire) => (Phase::Acquiring, acquire.wake_at()),
            Stage::Held(held) => (Phase::Held, Some(held.wake_at())),
            Stage::Releasing(releasing) => (Phase::Over, Some(releasing.wake_at())),
            Stage::Lost { .. } => (Phase::Lost, None),
            Stage::Over => (Phase::Over, None),
        };
        let wake_at = wake_at.into_iter().chain(self.pending.wake_at()).min();
        ctx.out.alarms.set(Alarm::Lock(self.id), wake_at);

        let before = (
            self.view.phase,
            self.view.lease_end,
            self.view.token,
            self.view.slot,
        );
        self.view.phase = phase;
        self.view.lease_end = None;
        if let Stage::Held(held) = &self.stage {
            self.view.lease_end = Some(held.session.lease.end());
            self.view.token = Some(held.token());
            self.view.slot = held.claim.slot_in_limit();
        }
        if before != (phase, self.view.lease_end, self.view.token, self.view.slot) {
            self.view.lost = match self.stage {
                Stage::Lost { why, .. } => Some(why),
                _ => None,
            };
            let publish = Action::Publish {
                lock: self.id,
                view: self.view.clone(),
            };
            // Observers see a state before a caller learns of it.
            let is_news = |a: &Action| matches!(a, Action::Tell { .. } | Action::Lost { .. });
            let actions = &mut ctx.out.actions;
            let before_news = actions.iter().skip(begin).take_while(|a| !is_news(a));
            let at = begin + before_news.count();
            actions.insert(at, publish);
        }
    }
}
