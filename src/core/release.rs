//! Giving a lock back.

use super::alarms::Owner;
use super::claim::Claim;
use super::context::Context;
use super::failures::Failures;
use super::interface::{CallId, LockId, RequestId};
use super::lease::{Lease, Session};
use super::life::Fate;
use super::messages::{Answer, Fault, Key, Request};
use super::outbox::Outbox;
use crate::clock::Time;
use crate::error::{Error, LostReason, Status};

/// A release under way.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct Releasing {
    lock: LockId,
    pub(super) claim: Claim,
    /// The release asks for the line as well.
    fair: bool,
    pub(super) call: CallId,
    pub(super) session: Session,
    pub(super) by: Time,
    failures: Failures,
    request: Option<RequestId>,
    again: Option<Time>,
    /// The library uses the session again afterwards.
    keep: bool,
    /// A transaction gives the key back before anything happens to the session.
    by_transaction: bool,
    /// An answer to that transaction was lost.
    doubt: bool,
}

/// What becomes of a release.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(super) enum Ending {
    /// The release goes on.
    Stays,
    /// Consul confirmed the release, and the session is free for another lock.
    GivenBack,
    /// The session must go, and with it the keys that it holds. The reason: why it did not hold the key any more.
    Destroy(Option<LostReason>),
}

impl Releasing {
    /// There are two ways, and neither names the key alone. A session that will be used again gives the key back
    /// in one transaction that checks that the session holds the key (1 Raft write, the session stays). Any other
    /// session is destroyed, which removes its key (1 Raft write, nothing stays); a read before, which costs no
    /// write, shows whether the session still held the key. But the end of a session with a lock-delay blocks the
    /// key that it still holds: there the transaction comes first.
    pub(super) fn begin(
        ctx: &mut Context,
        (lock, claim): (LockId, Claim),
        fair: bool,
        keep: bool,
        call: CallId,
        session: Session,
    ) -> Releasing {
        let config = &ctx.out.config;
        let is_uncertain = claim.is_uncertain;
        let mut releasing = Releasing {
            lock,
            claim,
            fair,
            call,
            session,
            by: ctx.out.time() + config.release_timeout,
            failures: Failures::default(),
            request: None,
            again: None,
            keep,
            by_transaction: (keep || config.lock_delay) && !is_uncertain,
            doubt: false,
        };
        releasing.unlock(ctx);
        releasing
    }

    /// When to call [`Releasing::alarm`], at the latest.
    pub(super) fn wake_at(&self) -> Time {
        self.again.map_or(self.by, |at| at.min(self.by))
    }

    /// Time has passed. When the time of the release is up, the undoing goes on without the caller.
    pub(super) fn alarm(&mut self, ctx: &mut Context) -> Ending {
        let now = ctx.out.time();
        if now >= self.by {
            if let Some(request) = self.request.take() {
                ctx.out.abort(request);
            }
            return Ending::Destroy(None);
        }
        if self.again.is_some_and(|at| now >= at) {
            self.unlock(ctx);
        }
        Ending::Stays
    }

    fn unlock(&mut self, ctx: &mut Context) {
        self.again = None;
        let request = if self.by_transaction {
            // A process that has seen no line looks for one here, where that costs no write. Of several keys it does
            // not: there is no room in the transaction for thirty.
            let key = self.claim.keys.get(0);
            let looks = self.fair
                && !self.claim.keys.are_several()
                && !ctx.waiters.others_waited(key)
                && ctx.waiters.may_have_ticket(key);
            Request::Unlock {
                rows: self.claim.rows(),
                session: self.session.id.clone(),
                lines: looks.then(|| key.clone()).into_iter().collect(),
            }
        } else if self.claim.is_uncertain {
            // The end of the session removes the row, whichever it is.
            Request::RenewSession {
                session: self.session.id.clone(),
            }
        } else {
            self.claim.proof_of(&self.session.id)
        };
        self.request = Some(ctx.out.send(Owner::Lock(self.lock), request, self.by));
    }

    pub(super) fn replied(
        &mut self,
        ctx: &mut Context,
        request: RequestId,
        answer: Result<Answer, Fault>,
    ) -> Ending {
        if self.request != Some(request) {
            return Ending::Stays;
        }
        self.request = None;
        match answer {
            Ok(Answer::Unlocked { below }) => {
                if let Some(below) = below.first().filter(|below| !below.line.is_empty()) {
                    ctx.waiters
                        .note_line(self.claim.keys.get(0), &below.line, None);
                }
                if self.keep {
                    Ending::GivenBack
                } else {
                    Ending::Destroy(None)
                }
            }
            Ok(Answer::Proved { .. }) => Ending::Destroy(None),
            // The transaction whose answer was lost may have given it back.
            Ok(Answer::NotOurs { .. }) if self.doubt => Ending::Destroy(None),
            Ok(Answer::NotOurs { taken }) => Ending::Destroy(Some(Fate::not_ours(taken))),
            Ok(Answer::Row { row, .. }) => match Fate::of_row(row.as_ref(), &self.session.id) {
                Fate::Stays => Ending::Destroy(None),
                Fate::Lost(why) => Ending::Destroy(Some(why)),
            },
            Err(Fault::NotApplied(cause)) if self.by_transaction => {
                self.unlock_later(&mut ctx.out, &cause)
            }
            // Consul may have released the key: the end of the session makes sure, without a look at the line.
            Err(Fault::TooLarge(cause)) => {
                ctx.waiters.note_no_tickets(self.claim.keys.get(0));
                self.in_doubt(&mut ctx.out, &cause)
            }
            Err(Fault::SessionGone(_)) if self.claim.is_uncertain => {
                Ending::Destroy(Some(LostReason::SessionGone))
            }
            // No lock comes after this one with the session: a late copy does no harm.
            Err(Fault::Unknown(cause)) => self.in_doubt(&mut ctx.out, &cause),
            // The question could not be asked: the session's end removes the key, and makes a late copy of
            // anything sent with it harmless.
            Err(_) | Ok(_) => Ending::Destroy(None),
        }
    }

    /// Consul may have released the key, or may still do so. The end of the session removes the key; where that
    /// would block the key, the library repeats the transaction first.
    fn in_doubt(&mut self, out: &mut Outbox, cause: &Error) -> Ending {
        self.keep = false;
        self.doubt = true;
        if self.by_transaction && out.config.lock_delay {
            self.unlock_later(out, cause)
        } else {
            Ending::Destroy(None)
        }
    }

    fn unlock_later(&mut self, out: &mut Outbox, cause: &Error) -> Ending {
        let error = out.error_from(cause, "could not release the lock", self.claim.keys.label());
        self.again = Some(out.time() + self.failures.pause_after(out, &error));
        Ending::Stays
    }
}

/// The error of a release that Consul did not confirm.
pub(super) fn unconfirmed(out: &Outbox, key: &Key, lease: Lease) -> Error {
    let left = lease.end().since(out.time()).as_secs();
    let why = format!(
        "Consul did not confirm the release in time; this library goes on trying, and the \
         session's TTL ends it otherwise ({left} s are left of it, Consul may take up to twice \
         the TTL); before the process ends, consul_lock_shutdown() waits for it"
    );
    out.error(
        Status::Unconfirmed,
        "could not confirm the release of the lock",
        key,
        &why,
    )
}
