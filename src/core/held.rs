//! While a lock is held: what is asked of it, what is written under it, and how it is lost.

use super::alarms::Owner;
use super::context::Context;
use super::failures::Failures;
use super::interface::{CallId, Done, Outcome, RequestId, Upkeep};
use super::lease::Session;
use super::lock::{Machine, State};
use super::messages::{Answer, Fault, Key, Request, Value};
use super::monitor::Monitor;
use super::outbox::Outbox;
#[cfg(test)]
use super::sabotage::Sabotage;
use super::upkeep::Renewals;
use crate::clock::Time;
use crate::error::{Error, LostReason, Status};

/// A held lock.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) session: Session,
    asked: Vec<Asked>,
    pub(super) renewals: Option<Renewals>,
    pub(super) monitor: Option<Monitor>,
}

/// Something asked by a call: repeated, the same each time, until Consul answers or its time is up.
#[derive(Debug)]
struct Asked {
    call: CallId,
    what: Question,
    by: Time,
    failures: Failures,
    request: Option<RequestId>,
    /// When to ask again, after a failure.
    again: Option<Time>,
    /// An answer was lost: what was asked may have been done, or may still be.
    in_doubt: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Question {
    Renew,
    Check,
    /// None: delete.
    Write {
        key: Key,
        value: Option<Value>,
    },
}

impl Question {
    /// The beginning of the sentence that says that it failed.
    fn failed(&self) -> String {
        match self {
            Question::Renew => "could not renew the lock".to_owned(),
            Question::Check => "could not check the lock".to_owned(),
            Question::Write { key, value } => {
                let verb = if value.is_some() { "write" } else { "delete" };
                format!("could not {verb} \"{key}\" under the lock")
            }
        }
    }
}

impl Asked {
    /// It is a write that may have been done, or may still be.
    fn may_be_written(&self) -> bool {
        let in_doubt = self.in_doubt || self.request.is_some();
        in_doubt && matches!(self.what, Question::Write { .. })
    }
}

impl Held {
    pub(super) fn new(
        ctx: &mut Context,
        session: Session,
        upkeep: Upkeep,
        monitor: Option<Monitor>,
    ) -> Held {
        let renewals = Renewals::begin(ctx, upkeep, session.lease.ttl());
        Held {
            session,
            asked: Vec::new(),
            renewals,
            monitor,
        }
    }

    /// When to call [`Machine::alarm`], at the latest.
    pub(super) fn wake_at(&self) -> Time {
        let again = self.asked.iter().filter_map(|asked| asked.again);
        let renewal = self
            .renewals
            .as_ref()
            .and_then(|r| r.next(&self.session.lease));
        let monitor = self.monitor.as_ref().and_then(Monitor::next);
        let end = self.session.lease.end();
        again.chain(renewal).chain(monitor).fold(end, Time::min)
    }

    /// Consul confirmed a renewal that was about to be sent at `sent`.
    pub(super) fn renewed(&mut self, ctx: &Context, sent: Option<Time>) {
        // Too late: the end of the lease is noticed in the same step.
        let _ = self.session.confirm(&ctx.out, sent);
    }
}

impl Machine {
    /// The lease has ended: the lock is lost, whatever Consul may still say.
    pub(super) fn expire(&mut self, ctx: &mut Context) {
        if matches!(&self.state, State::Held(held) if held.session.lease.is_over(ctx.out.time())) {
            self.lose(ctx, LostReason::Expired);
        }
    }

    /// Whoever asked for something is told, and so is who wanted to know of the loss.
    pub(super) fn lose(&mut self, ctx: &mut Context, why: LostReason) {
        let lost = State::Lost {
            why,
            told: false,
            session: None,
        };
        let State::Held(mut held) = std::mem::replace(&mut self.state, lost) else {
            return;
        };
        let error = self.lost(ctx, why);
        ctx.out.say_lost(self.id, why, &error);
        for asked in held.asked.drain(..) {
            self.tell_unanswered(ctx, asked, &error);
        }
        held.end_renewals(ctx);
        held.end_monitor(ctx, self.id);
        let protects = match why {
            // Consul may keep the key for up to a TTL more. A leader of old may have said that the
            // session is gone.
            LostReason::Expired | LostReason::SessionGone => true,
            // The key is not the session's any more.
            LostReason::TakenOver | LostReason::KeyGone => false,
        };
        #[cfg(test)]
        let protects = protects && !ctx.out.sabotaged(Sabotage::HurriedEnd);
        match &mut self.state {
            State::Lost { session, .. } if protects => *session = Some(held.session),
            _ => self.retire(ctx, held.session),
        }
    }

    pub(super) fn lost(&self, ctx: &Context, why: LostReason) -> Error {
        lost(&ctx.out, &self.key, why)
    }

    pub(super) fn not_held(&self, ctx: &Context) -> Error {
        let why = match self.state {
            State::New { .. } | State::Acquiring(_) => "it has not been acquired",
            _ => "it was given back, or never acquired",
        };
        ctx.out.error(
            Status::NotHeld,
            "this process does not hold the lock",
            &self.key,
            why,
        )
    }

    pub(super) fn ask(&mut self, ctx: &mut Context, call: CallId, what: Question) {
        match &mut self.state {
            State::Held(held) => {
                let by = ctx.out.time() + ctx.out.config.request_timeout;
                let again = Some(ctx.out.time());
                held.asked.push(Asked {
                    call,
                    what,
                    by,
                    failures: Failures::default(),
                    request: None,
                    again,
                    in_doubt: false,
                });
                self.ask_again(ctx);
            }
            State::Lost { why, .. } => {
                let error = lost(&ctx.out, &self.key, *why);
                ctx.out.tell(call, Err(error));
            }
            _ => {
                let error = self.not_held(ctx);
                ctx.out.tell(call, Err(error));
            }
        }
    }

    /// Sends the questions that are due.
    pub(super) fn ask_again(&mut self, ctx: &mut Context) {
        let State::Held(held) = &mut self.state else {
            return;
        };
        let now = ctx.out.time();
        for asked in &mut held.asked {
            if asked.again.is_some_and(|at| now >= at) {
                asked.again = None;
                let session = held.session.id.clone();
                let request = match &asked.what {
                    Question::Renew => Request::RenewSession { session },
                    Question::Check => Request::Read {
                        key: self.key.clone(),
                        consistent: true,
                    },
                    Question::Write { key, value } => Request::Write {
                        lock: self.key.clone(),
                        session,
                        key: key.clone(),
                        value: value.clone(),
                    },
                };
                let by = asked.by.min(held.session.lease.end());
                asked.request = Some(ctx.out.send(Owner::Lock(self.id), request, by));
            }
        }
    }

    pub(super) fn held_replied(
        &mut self,
        ctx: &mut Context,
        request: RequestId,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) {
        let State::Held(held) = &mut self.state else {
            return;
        };
        let Some(at) = held.asked.iter().position(|a| a.request == Some(request)) else {
            if !self.key_checked(ctx, request, &answer) {
                self.upkeep_replied(ctx, request, sent, answer);
            }
            return;
        };
        let mut asked = held.asked.swap_remove(at);
        asked.request = None;
        let outcome: Outcome = match answer {
            // The transaction itself says that the lock was ours, whatever the time is now.
            Ok(Answer::Written) => return ctx.out.tell(asked.call, Ok(Done::Ok)),
            Ok(Answer::Renewed) => {
                held.renewed(ctx, sent);
                Ok(Done::Ok)
            }
            Ok(Answer::Row { row, .. }) => match row.map(|row| row.session) {
                Some(Some(holder)) if holder == held.session.id => Ok(Done::Ok),
                Some(Some(_)) => return self.lose_in(ctx, asked, LostReason::TakenOver),
                Some(None) | None => return self.lose_in(ctx, asked, LostReason::KeyGone),
            },
            Ok(Answer::NotOurs { taken: true }) => {
                return self.lose_in(ctx, asked, LostReason::TakenOver);
            }
            Ok(Answer::NotOurs { taken: false }) => {
                return self.lose_in(ctx, asked, LostReason::KeyGone);
            }
            Err(Fault::SessionGone(_)) => {
                return self.lose_in(ctx, asked, LostReason::SessionGone);
            }
            Err(Fault::Final(cause) | Fault::TooLarge(cause)) => {
                Err(ctx.out.error_from(&cause, &asked.what.failed(), &self.key))
            }
            Err(fault @ (Fault::NotApplied(_) | Fault::Unknown(_))) => {
                asked.in_doubt |= matches!(fault, Fault::Unknown(_));
                // A session with a request that may still be on its way is not used again.
                held.session.doubtful = true;
                #[cfg(test)]
                if ctx.out.sabotaged(Sabotage::PoolAfterWriteInDoubt) {
                    held.session.doubtful = false;
                }
                let error = ctx
                    .out
                    .error_from(fault.error(), &asked.what.failed(), &self.key);
                let at = ctx.out.time() + asked.failures.pause_after(&mut ctx.out, &error);
                if at < asked.by.min(held.session.lease.end()) {
                    asked.again = Some(at);
                    held.asked.push(asked);
                    return;
                }
                Err(error)
            }
            Ok(_) => {
                let why = "unexpected reply from Consul";
                let what = asked.what.failed();
                Err(ctx.out.error(Status::Internal, &what, &self.key, why))
            }
        };
        // The lease may have ended while Consul answered.
        if held.session.lease.is_over(ctx.out.time()) {
            return self.lose_in(ctx, asked, LostReason::Expired);
        }
        match outcome {
            Err(error) => self.tell_unanswered(ctx, asked, &error),
            outcome => ctx.out.tell(asked.call, outcome),
        }
    }

    fn lose_in(&mut self, ctx: &mut Context, asked: Asked, why: LostReason) {
        let error = self.lost(ctx, why);
        self.tell_unanswered(ctx, asked, &error);
        self.lose(ctx, why);
    }

    /// Ends what is asked, and the renewals: the lock is not theirs any more.
    pub(super) fn end_asked(&mut self, ctx: &mut Context) {
        let error = self.not_held(ctx);
        let State::Held(held) = &mut self.state else {
            return;
        };
        held.end_renewals(ctx);
        held.end_monitor(ctx, self.id);
        let asked = std::mem::take(&mut held.asked);
        if asked.iter().any(|asked| asked.request.is_some()) {
            held.session.doubtful = true;
        }
        for asked in asked {
            self.tell_unanswered(ctx, asked, &error);
        }
    }

    /// Ends a question without an answer to it. `error` is the whole truth but for a write whose
    /// answer was lost.
    fn tell_unanswered(&self, ctx: &mut Context, asked: Asked, error: &Error) {
        let in_doubt = asked.may_be_written();
        if let Some(request) = asked.request {
            ctx.out.abort(request);
        }
        let error = if in_doubt {
            let what = asked.what.failed();
            let why = format!(
                "Consul's answer was lost, so it may have been done, or may still be, as long as \
                 the lock is in Consul ({error})"
            );
            ctx.out.error(Status::Unconfirmed, &what, &self.key, &why)
        } else {
            error.clone()
        };
        ctx.out.tell_late(asked.call, Err(error));
    }
}

/// The error of a call for a lock that is lost.
fn lost(out: &Outbox, key: &Key, why: LostReason) -> Error {
    let error = out.error(Status::Lost, "lost the lock", key, why.text());
    error.with_loss(why)
}
