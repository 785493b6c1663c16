//! A held lock: what callers ask of it, what they write under it, and how it is lost.

mod changing;

use super::alarms::Owner;
use super::change::Change;
use super::claim::Claim;
use super::context::Context;
use super::failures::Failures;
use super::interface::{CallId, Done, Level, LockId, LockSpec, Outcome, RequestId};
use super::lease::Session;
use super::life::Fate;
use super::log::Often;
use super::messages::{Answer, Fault, Key, Request, Value};
use super::monitor::Monitor;
use super::outbox::Outbox;
#[cfg(test)]
use super::sabotage::Sabotage;
use super::upkeep::Renewals;
use super::watch::Observation;
use crate::clock::Time;
use crate::error::{Error, LostReason, Status};

/// A held lock.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct HeldLock {
    pub(super) lock: LockId,
    /// The keys as messages have them.
    pub(super) key: Key,
    pub(super) spec: LockSpec,
    pub(super) claim: Claim,
    pub(super) session: Session,
    /// From a share to exclusive, or back.
    pub(super) change: Option<Change>,
    /// How often the lock has become another row.
    turns: u32,
    asked: Vec<Asked>,
    renewals: Option<Renewals>,
    pub(super) monitor: Option<Monitor>,
}

/// A question of a caller. The library repeats it unchanged until Consul answers or its time is up.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
struct Asked {
    call: CallId,
    what: Question,
    by: Time,
    failures: Failures,
    request: Option<RequestId>,
    /// How often the lock had become another row when the request was sent.
    turns: u32,
    /// When to ask again, after a failure.
    again: Option<Time>,
    /// An answer was lost: Consul may have done what the caller asked, or may still do it.
    in_doubt: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Question {
    Renew,
    Check,
    /// A write; without a value, a delete.
    Write {
        key: Key,
        value: Option<Value>,
    },
}

impl Question {
    /// The beginning of the error text.
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
    /// The question is a write that Consul may have done, or may still do.
    fn may_be_written(&self) -> bool {
        let in_doubt = self.in_doubt || self.request.is_some();
        in_doubt && matches!(self.what, Question::Write { .. })
    }
}

impl HeldLock {
    pub(super) fn new(
        out: &mut Outbox,
        lock: LockId,
        spec: LockSpec,
        claim: Claim,
        (session, token): (Session, u64),
    ) -> HeldLock {
        let renewals = Renewals::begin(out, spec.upkeep, session.lease.ttl());
        let monitor = spec
            .monitor
            .then(|| Monitor::begin(out.time(), token, &claim));
        let session = Session {
            last_token: token,
            ..session
        };
        HeldLock {
            lock,
            key: claim.keys.label().clone(),
            spec,
            claim,
            session,
            change: None,
            turns: 0,
            asked: Vec::new(),
            renewals,
            monitor,
        }
    }

    /// The fencing token.
    pub(super) fn token(&self) -> u64 {
        self.session.last_token
    }

    /// When to call [`HeldLock::alarm`], at the latest.
    pub(super) fn wake_at(&self) -> Time {
        let rows_are_known = self.change.as_ref().is_none_or(Change::rows_are_known);
        let may_ask = |asked: &&Asked| rows_are_known || matches!(asked.what, Question::Renew);
        let again = self.asked.iter().filter(may_ask);
        let again = again.filter_map(|asked| asked.again);
        let renewal = self
            .renewals
            .as_ref()
            .and_then(|r| r.next(&self.session.lease));
        let monitor = self.monitor.as_ref().and_then(Monitor::next);
        let change = self.change.as_ref().and_then(Change::next);
        let end = self.session.lease.end();
        let all = again.chain(renewal).chain(monitor).chain(change);
        all.fold(end, Time::min)
    }

    /// Time has passed: sends what is due.
    pub(super) fn alarm(&mut self, ctx: &mut Context) -> Fate {
        self.ask_again(&mut ctx.out);
        self.keep_up(&mut ctx.out);
        if self.change.is_none()
            && let Some(monitor) = &mut self.monitor
        {
            monitor.tend(ctx, self.lock, &self.claim, &self.session.id);
        }
        self.change_goes_on(ctx)
    }

    fn keep_up(&mut self, out: &mut Outbox) {
        let now = out.time();
        if let Some(renewals) = self.renewals.take_if(|renewals| renewals.are_over(now)) {
            renewals.end(out, &mut self.session);
            let left = self.session.lease.end().since(now).as_secs();
            let key = &self.key;
            out.log(Level::Info, Often::Always, || {
                format!(
                    "the lock \"{key}\" is not renewed any more: its max_lifetime_seconds are over; \
                     it ends in {left} s"
                )
            });
        } else if let Some(renewals) = &mut self.renewals {
            renewals.tend(out, self.lock, &self.session);
        }
    }

    /// The watch of the row, or of one that shares the key, found something, or nothing.
    pub(super) fn saw_key(&mut self, ctx: &mut Context, news: Observation) {
        if let Some(change) = &mut self.change {
            return change.saw(ctx, &self.claim, &self.session, self.lock);
        }
        let Some(mut monitor) = self.monitor.take() else {
            return;
        };
        let (lock, session, row) = (self.lock, &self.session.id, self.claim.row());
        if monitor.saw(&mut ctx.out, lock, &row, session, news) {
            monitor.tend(ctx, lock, &self.claim, session);
            self.monitor = Some(monitor);
        } else {
            monitor.end(ctx, lock);
        }
    }

    /// A caller asks something.
    pub(super) fn ask(&mut self, out: &mut Outbox, call: CallId, what: Question) {
        self.asked.push(Asked {
            call,
            what,
            by: out.time() + out.config.request_timeout,
            failures: Failures::default(),
            request: None,
            turns: self.turns,
            again: Some(out.time()),
            in_doubt: false,
        });
        self.ask_again(out);
    }

    /// Sends the questions that are due.
    fn ask_again(&mut self, out: &mut Outbox) {
        let now = out.time();
        // While the rows change, the library does not know which ones to ask about.
        let rows_are_known = self.change.as_ref().is_none_or(Change::rows_are_known);
        for asked in &mut self.asked {
            if !rows_are_known && !matches!(asked.what, Question::Renew) {
                continue;
            }
            if asked.again.take_if(|at| now >= *at).is_some() {
                let session = self.session.id.clone();
                let request = match &asked.what {
                    Question::Renew => Request::RenewSession { session },
                    Question::Check => self.claim.proof_of(&self.session.id),
                    Question::Write { key, value } => Request::Write {
                        rows: self.claim.rows(),
                        session,
                        key: key.clone(),
                        value: value.clone(),
                    },
                };
                let by = asked.by.min(self.session.lease.end());
                asked.turns = self.turns;
                asked.request = Some(out.send(Owner::Lock(self.lock), request, by));
            }
        }
    }

    /// Takes in an answer, and gives the caller the outcome.
    pub(super) fn replied(
        &mut self,
        ctx: &mut Context,
        request: RequestId,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) -> Fate {
        if self
            .change
            .as_ref()
            .is_some_and(|change| change.asked(request))
        {
            return self.change_replied(ctx, answer);
        }
        let out = &mut ctx.out;
        let Some(at) = self.asked.iter().position(|a| a.request == Some(request)) else {
            return self.not_asked_by_a_call(out, request, sent, answer);
        };
        let mut asked = self.asked.swap_remove(at);
        asked.request = None;
        // The lock has become another row while the request was on its way, or is becoming one: asks about that row.
        if self.is_of_other_rows(&asked) && self.says_not_ours(&answer) {
            asked.again = Some(out.time());
            self.asked.push(asked);
            self.ask_again(out);
            return Fate::Stays;
        }
        let outcome: Outcome = match answer {
            // The transaction itself proves that this session held the lock, whatever the time is now.
            Ok(Answer::Written) => {
                out.tell(asked.call, Ok(Done::Ok));
                return Fate::Stays;
            }
            Ok(Answer::Renewed) => {
                // A confirmation that came too late shows below, by the end of the lease.
                let _ = self.session.confirm(out, sent);
                Ok(Done::Ok)
            }
            Ok(Answer::Row { row, .. }) => match Fate::of_row(row.as_ref(), &self.session.id) {
                Fate::Stays => Ok(Done::Ok),
                Fate::Lost(why) => return self.lost(out, asked, why),
            },
            Ok(Answer::Proved { .. }) => Ok(Done::Ok),
            Ok(Answer::NotOurs { taken }) => return self.lost(out, asked, Fate::not_ours(taken)),
            Err(Fault::SessionGone(_)) => return self.lost(out, asked, LostReason::SessionGone),
            Err(Fault::Final(cause) | Fault::TooLarge(cause)) => {
                Err(out.error_from(&cause, &asked.what.failed(), &self.key))
            }
            Err(fault @ (Fault::NotApplied(_) | Fault::Unknown(_))) => {
                asked.in_doubt |= matches!(fault, Fault::Unknown(_));
                // The library does not use a session again while a request with it may be on its way.
                self.session.doubtful = true;
                #[cfg(test)]
                if out.sabotaged(Sabotage::PoolAfterWriteInDoubt) {
                    self.session.doubtful = false;
                }
                let error = out.error_from(fault.error(), &asked.what.failed(), &self.key);
                let at = out.time() + asked.failures.pause_after(out, &error);
                if at < asked.by.min(self.session.lease.end()) {
                    asked.again = Some(at);
                    self.asked.push(asked);
                    return Fate::Stays;
                }
                Err(error)
            }
            Ok(_) => {
                let why = "unexpected reply from Consul";
                Err(out.error(Status::Internal, &asked.what.failed(), &self.key, why))
            }
        };
        // The lease may have ended while Consul answered.
        if self.session.lease.is_over(out.time()) {
            return self.lost(out, asked, LostReason::Expired);
        }
        match outcome {
            Err(error) => self.tell_unanswered(out, asked, &error),
            outcome => out.tell(asked.call, outcome),
        }
        Fate::Stays
    }

    fn is_of_other_rows(&self, asked: &Asked) -> bool {
        let rows_are_known = self.change.as_ref().is_none_or(Change::rows_are_known);
        asked.turns != self.turns || !rows_are_known
    }

    fn says_not_ours(&self, answer: &Result<Answer, Fault>) -> bool {
        match answer {
            Ok(Answer::NotOurs { .. }) => true,
            Ok(Answer::Row { row, .. }) => {
                !matches!(Fate::of_row(row.as_ref(), &self.session.id), Fate::Stays)
            }
            _ => false,
        }
    }

    /// Takes in an answer to a check of what the watch saw, or to a renewal by the library itself.
    fn not_asked_by_a_call(
        &mut self,
        out: &mut Outbox,
        request: RequestId,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) -> Fate {
        let (now, session) = (out.time(), &mut self.session);
        let monitor = self.monitor.as_mut();
        let checked = monitor.and_then(|m| m.checked(now, &session.id, request, &answer));
        match (checked, &mut self.renewals) {
            (Some(fate), _) => fate,
            (None, Some(renewals)) => {
                renewals.replied(out, &self.key, session, (request, sent), answer)
            }
            (None, None) => Fate::Stays,
        }
    }

    fn lost(&self, out: &mut Outbox, asked: Asked, why: LostReason) -> Fate {
        let error = out.lost(&self.key, why);
        self.tell_unanswered(out, asked, &error);
        Fate::Lost(why)
    }

    /// A caller waits for an answer.
    pub(super) fn is_asked(&self) -> bool {
        self.change.is_some() || !self.asked.is_empty()
    }

    /// Ends the renewals and the watch.
    pub(super) fn end_upkeep(&mut self, ctx: &mut Context) {
        self.claim.end(ctx);
        if let Some(renewals) = self.renewals.take() {
            renewals.end(&mut ctx.out, &mut self.session);
        }
        if let Some(monitor) = self.monitor.take() {
            monitor.end(ctx, self.lock);
        }
    }

    /// Ends what callers have asked, and what one has begun to change.
    pub(super) fn end_asked(&mut self, ctx: &mut Context, error: &Error) {
        if let Some(change) = self.change.take() {
            self.claim.is_uncertain = change.end(ctx, self.lock, error);
            self.session.doubtful |= self.claim.is_uncertain;
        }
        let asked = std::mem::take(&mut self.asked);
        if asked.iter().any(|asked| asked.request.is_some()) {
            self.session.doubtful = true;
        }
        for asked in asked {
            self.tell_unanswered(&mut ctx.out, asked, error);
        }
    }

    /// Ends a question without an answer to it. The outcome is `error`, but for a write that Consul may have done.
    fn tell_unanswered(&self, out: &mut Outbox, asked: Asked, error: &Error) {
        let in_doubt = asked.may_be_written();
        if let Some(request) = asked.request {
            out.abort(request);
        }
        let error = if in_doubt {
            let what = asked.what.failed();
            let why = format!(
                "Consul's answer was lost, so it may have been done, or may still be, as long as \
                 the lock is in Consul ({error})"
            );
            out.error(Status::Unconfirmed, &what, &self.key, &why)
        } else {
            error.clone()
        };
        out.tell_late(asked.call, Err(error));
    }
}
