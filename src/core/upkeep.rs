//! Renewing a held lock without anybody asking: every third of its TTL, until it is given back or
//! lost, or its longest life is over.

use std::time::Duration;

use super::alarms::Owner;
use super::context::Context;
use super::failures::Failures;
use super::held::Held;
use super::interface::{Level, RequestId, Upkeep};
use super::lease::Lease;
use super::lock::{Machine, State};
use super::log::Often;
use super::messages::{Answer, Fault, Request};
use crate::clock::Time;
use crate::error::LostReason;

const WHAT: &str = "could not renew the lock";

/// The renewals of one held lock.
#[derive(Debug)]
pub(super) struct Renewals {
    /// The end of its longest life: from then on the lease is left to end.
    until: Option<Time>,
    /// How much earlier than a third of the TTL the next one is, so that locks that were taken
    /// together are not renewed together for ever.
    early: Duration,
    request: Option<RequestId>,
    /// When to try again, after a failure.
    again: Option<Time>,
    failures: Failures,
}

impl Renewals {
    pub(super) fn begin(ctx: &mut Context, upkeep: Upkeep, ttl: Duration) -> Option<Renewals> {
        let Upkeep::For(longest) = upkeep else {
            return None;
        };
        Some(Renewals {
            until: longest.map(|longest| ctx.out.time() + longest),
            early: ctx.out.spread(ttl / 30),
            request: None,
            again: None,
            failures: Failures::default(),
        })
    }

    /// When the next one is due, or the longest life is over.
    pub(super) fn next(&self, lease: &Lease) -> Option<Time> {
        if self.request.is_some() {
            return None;
        }
        let regular = lease.confirmed() + (lease.ttl() / 3 - self.early);
        let at = self.again.unwrap_or(regular);
        Some(self.until.map_or(at, |until| at.min(until)))
    }
}

impl Held {
    /// It is not renewed any more.
    pub(super) fn end_renewals(&mut self, ctx: &mut Context) {
        if let Some(request) = self.renewals.take().and_then(|renewals| renewals.request) {
            self.session.doubtful = true;
            ctx.out.abort(request);
        }
    }
}

impl Machine {
    /// Sends the renewal that is due.
    pub(super) fn keep_up(&mut self, ctx: &mut Context) {
        let State::Held(held) = &mut self.state else {
            return;
        };
        let (lease, now) = (held.session.lease, ctx.out.time());
        let Some(renewals) = &mut held.renewals else {
            return;
        };
        if renewals.until.is_some_and(|until| now >= until) {
            held.end_renewals(ctx);
            let left = lease.end().since(now).as_secs();
            let key = &self.key;
            ctx.out.log(Level::Info, Often::Always, || {
                format!(
                    "the lock \"{key}\" is not renewed any more: its max_lifetime_seconds are over; \
                     it ends in {left} s"
                )
            });
        } else if renewals.next(&lease).is_some_and(|at| now >= at) {
            renewals.again = None;
            let session = held.session.id.clone();
            // Short enough to leave time for another if this one is not answered.
            let by = lease.end().min(now + lease.ttl() / 6);
            let request = Request::RenewSession { session };
            renewals.request = Some(ctx.out.send(Owner::Upkeep(self.id), request, by));
        }
    }

    pub(super) fn upkeep_replied(
        &mut self,
        ctx: &mut Context,
        request: RequestId,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) {
        let State::Held(held) = &mut self.state else {
            return;
        };
        let ttl = held.session.lease.ttl();
        let Some(renewals) = &mut held.renewals else {
            return;
        };
        if renewals.request != Some(request) {
            return;
        }
        renewals.request = None;
        match answer {
            Ok(Answer::Renewed) => {
                renewals.failures.clear();
                renewals.early = ctx.out.spread(ttl / 30);
                held.renewed(ctx, sent);
            }
            Err(Fault::SessionGone(_)) => self.lose(ctx, LostReason::SessionGone),
            Err(Fault::NotApplied(cause) | Fault::Unknown(cause)) => {
                let error = ctx.out.error_from(&cause, WHAT, &self.key);
                renewals.again =
                    Some(ctx.out.time() + renewals.failures.pause_after(&mut ctx.out, &error));
                held.session.doubtful = true;
            }
            // A refusal does not go away within a second.
            Err(Fault::Final(cause) | Fault::TooLarge(cause)) => {
                renewals.again = Some(ctx.out.time() + ttl / 12);
                let error = ctx.out.error_from(&cause, WHAT, &self.key);
                ctx.out
                    .log(Level::Warn, Often::Every("renewals", ttl), || error.message);
            }
            Ok(_) => renewals.again = Some(ctx.out.time() + ttl / 12),
        }
    }
}
