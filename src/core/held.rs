//! While a lock is held: renewals and checks, and how it is lost.

use super::context::{Context, Owner};
use super::lease::Session;
use super::lock::{Machine, State};
use super::log::Often;
use super::messages::{Answer, Fault, Request};
use super::{CallId, Done, Level, RequestId};
use crate::clock::Time;
use crate::error::{Error, Status};

#[derive(Debug)]
pub(super) struct Held {
    pub(super) session: Session,
    pub(super) asked: Vec<Asked>,
}

/// A renew or check under way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) call: CallId,
    pub(super) what: Question,
    pub(super) by: Time,
    pub(super) faults: u32,
    pub(super) request: Option<RequestId>,
    /// When to ask again, after a failure.
    pub(super) again: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Renew,
    Check,
}

/// How a lock was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Expired,
    SessionGone,
    KeyGone,
    TakenOver,
    /// The check in a release failed, which does not tell the two apart.
    NotOurs,
}

impl Why {
    pub(super) fn text(self) -> &'static str {
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
    /// The lease has ended: the lock is lost, whatever Consul may still say.
    pub(super) fn expire(&mut self, ctx: &mut Context<'_>) {
        if matches!(&self.state, State::Held(held) if held.session.lease.is_over(ctx.time())) {
            self.lose(ctx, Why::Expired);
        }
    }

    pub(super) fn lose(&mut self, ctx: &mut Context<'_>, why: Why) {
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

    pub(super) fn lost(&self, ctx: &Context<'_>, why: Why) -> Error {
        ctx.error(Status::Lost, "lost the lock", &self.key, why.text())
    }

    pub(super) fn not_held(&self, ctx: &Context<'_>) -> Error {
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

    pub(super) fn ask(&mut self, ctx: &mut Context<'_>, call: CallId, what: Question) {
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
    pub(super) fn ask_again(&mut self, ctx: &mut Context<'_>) {
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

    pub(super) fn asked_replied(
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

    pub(super) fn lose_in(&mut self, ctx: &mut Context<'_>, call: CallId, why: Why) {
        let error = self.lost(ctx, why);
        ctx.tell(call, Err(error));
        self.lose(ctx, why);
    }

    /// Ends renewals and checks under way: the lock is not theirs to ask about any more.
    pub(super) fn end_asked(&mut self, ctx: &mut Context<'_>) {
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
}

fn question_failed(what: Question) -> &'static str {
    match what {
        Question::Renew => "could not renew the lock",
        Question::Check => "could not check the lock",
    }
}
