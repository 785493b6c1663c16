//! Renewing a held lock by the library itself: every third of its TTL, until the lock is given back or lost, or
//! its longest life is over.

use std::time::Duration;

use super::alarms::Owner;
use super::failures::Failures;
use super::interface::{Level, LockId, RequestId, Upkeep};
use super::lease::{Lease, Session};
use super::life::Fate;
use super::log::Often;
use super::messages::{Answer, Fault, Key, Request};
use super::outbox::Outbox;
use crate::clock::Time;
use crate::error::LostReason;

const WHAT: &str = "could not renew the lock";

/// The renewals of one held lock.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct Renewals {
    /// The end of the longest life. Then the renewals stop, and the lease ends.
    until: Option<Time>,
    /// How much earlier than a third of the TTL the next renewal is: locks that were taken together are not renewed
    /// together for ever.
    early: Duration,
    request: Option<RequestId>,
    /// When to try again, after a failure.
    again: Option<Time>,
    failures: Failures,
}

impl Renewals {
    pub(super) fn begin(out: &mut Outbox, upkeep: Upkeep, ttl: Duration) -> Option<Renewals> {
        let Upkeep::For(longest) = upkeep else {
            return None;
        };
        Some(Renewals {
            until: longest.map(|longest| out.time() + longest),
            early: out.spread(ttl / 30),
            request: None,
            again: None,
            failures: Failures::default(),
        })
    }

    /// When the next renewal is due, or the longest life is over.
    pub(super) fn next(&self, lease: &Lease) -> Option<Time> {
        if self.request.is_some() {
            return None;
        }
        let regular = lease.confirmed() + (lease.ttl() / 3 - self.early);
        let at = self.again.unwrap_or(regular);
        Some(self.until.map_or(at, |until| at.min(until)))
    }

    /// Ends the renewals. The library does not use the session again while a renewal is on its way.
    pub(super) fn end(self, out: &mut Outbox, session: &mut Session) {
        if let Some(request) = self.request {
            session.doubtful = true;
            out.abort(request);
        }
    }

    /// The longest life is over.
    pub(super) fn are_over(&self, now: Time) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// Sends the renewal that is due.
    pub(super) fn tend(&mut self, out: &mut Outbox, lock: LockId, session: &Session) {
        let (lease, now) = (session.lease, out.time());
        if self.next(&lease).is_some_and(|at| now >= at) {
            self.again = None;
            let session = session.id.clone();
            // The limit leaves time for another renewal if this one is not answered.
            let by = lease.end().min(now + lease.ttl() / 6);
            let request = Request::RenewSession { session };
            self.request = Some(out.send(Owner::Upkeep(lock), request, by));
        }
    }

    /// Takes in an answer, if it belongs to a renewal.
    pub(super) fn replied(
        &mut self,
        out: &mut Outbox,
        key: &Key,
        session: &mut Session,
        (request, sent): (RequestId, Option<Time>),
        answer: Result<Answer, Fault>,
    ) -> Fate {
        if self.request != Some(request) {
            return Fate::Stays;
        }
        self.request = None;
        let ttl = session.lease.ttl();
        match answer {
            Ok(Answer::Renewed) => {
                self.failures.clear();
                self.early = out.spread(ttl / 30);
                // A confirmation that came too late shows in the same step, by the end of the lease.
                let _ = session.confirm(out, sent);
            }
            Err(Fault::SessionGone(_)) => return Fate::Lost(LostReason::SessionGone),
            Err(Fault::NotApplied(cause) | Fault::Unknown(cause)) => {
                let error = out.error_from(&cause, WHAT, key);
                self.again = Some(out.time() + self.failures.pause_after(out, &error));
                session.doubtful = true;
            }
            // A refusal does not pass within a second.
            Err(Fault::Final(cause) | Fault::TooLarge(cause)) => {
                self.again = Some(out.time() + ttl / 12);
                let error = out.error_from(&cause, WHAT, key);
                out.log(Level::Warn, Often::Every("renewals", ttl), || error.message);
            }
            Ok(_) => self.again = Some(out.time() + ttl / 12),
        }
        Fate::Stays
    }
}
