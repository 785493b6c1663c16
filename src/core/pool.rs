//! Sessions beyond the life of a lock: kept warm for the next lock, or destroyed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::alarms::{Alarm, Owner, UndoingId};
use super::failures::Failures;
use super::interface::{Action, Level, LockId, RequestId};
use super::lease::Session;
use super::log::Often;
use super::messages::{Answer, Fault, Key, Request, SessionId};
use super::outbox::Outbox;
use crate::clock::Time;
use crate::error::Error;

/// How long the library keeps a session for a next lock that does not come. With the time to destroy it, the
/// session is gone within 5 s of the last release.
const KEEP_WARM: Duration = Duration::from_secs(3);

/// The library renews a warm session when its last confirmation is older than this, so that a lock gets its whole
/// life, less at most a second.
const RENEW_WARM: Duration = Duration::from_millis(700);

/// In a tight loop the next lock comes at once; an earlier renewal would only be in its way.
const SETTLE: Duration = Duration::from_millis(100);

/// How long the library waits for the answer to a create whose session is not wanted any more, before it cuts the
/// connection. The answer is the sure way to learn of the session: Consul may make a session after a look by
/// name did not find it. A caller that cancelled a blocking acquire may have to wait that long.
const LATE_CREATE: Duration = Duration::from_millis(100);

/// How long after a look that found no session of that name the last look follows.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Sessions kept warm at most, for locks that are taken side by side.
const MOST_WARM: usize = 16;

/// The sessions of a core that no lock uses.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Pool {
    warm: Vec<Warm>,
    undoings: BTreeMap<UndoingId, Undoing>,
    last_undoing: u64,
    last_use: Option<Time>,
    draining: bool,
    undone: Vec<(LockId, bool)>,
}

/// A session kept for the next lock.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
struct Warm {
    session: Session,
    since: Time,
    renewal: Option<RequestId>,
}

/// A session that must go, in the way of [`UndoStep`].
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
struct Undoing {
    step: UndoStep,
    /// By then the TTL has ended the session.
    until: Time,
    request: Option<RequestId>,
    failures: Failures,
    /// The lock that waits for the end of the undoing.
    waiter: Option<LockId>,
}

#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
enum UndoStep {
    /// The create is on its way, and its session is not wanted any more.
    Adopt(Arc<str>),
    /// The answer to the create was lost, so the library looks for a session of that name. Consul may make the
    /// session after the first look, so there are two.
    Find(Arc<str>, Look),
    /// The session must go. But the rows that it holds go first: with a lock-delay, the end of a session blocks them.
    Unlock(SessionId, Vec<Key>),
    /// The session must go.
    Destroy(SessionId),
}

/// The looks for a session by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    First,
    Last,
}

impl UndoStep {
    /// The beginning of the error text.
    fn not_undone(&self) -> String {
        match self {
            UndoStep::Adopt(name) | UndoStep::Find(name, _) => {
                format!("could not find out whether the session \"{name}\" was made")
            }
            UndoStep::Unlock(session, _) | UndoStep::Destroy(session) => {
                format!("could not destroy the session {session}")
            }
        }
    }
}

impl Pool {
    /// Locks follow each other so closely that a session is worth keeping.
    pub(super) fn is_in_succession(&self, now: Time) -> bool {
        !self.draining
            && self
                .last_use
                .is_some_and(|at| now.since(at) <= Duration::from_secs(1))
    }

    /// A lock was taken or given back.
    pub(super) fn note_use(&mut self, now: Time) {
        self.last_use = Some(now);
    }

    /// There is no warm session, and nothing to undo.
    pub(super) fn is_idle(&self) -> bool {
        self.warm.is_empty() && self.undoings.is_empty()
    }

    /// Takes the warm session of that TTL that was renewed last.
    pub(super) fn take_warm(&mut self, out: &mut Outbox, ttl: Duration) -> Option<Session> {
        let now = out.time();
        let (index, _) = self
            .warm
            .iter()
            .enumerate()
            .filter(|(_, warm)| warm.suits(now, ttl))
            .max_by_key(|(_, warm)| warm.session.lease.confirmed())?;
        let session = self.warm.swap_remove(index).session;
        self.set_warm_alarm(out);
        Some(session)
    }

    /// There is a warm session of that TTL.
    pub(super) fn has(&self, now: Time, ttl: Duration) -> bool {
        self.warm.iter().any(|warm| warm.suits(now, ttl))
    }

    /// The locks that waited for an undoing that is over, and whether Consul confirmed it.
    pub(super) fn take_undone(&mut self) -> Vec<(LockId, bool)> {
        std::mem::take(&mut self.undone)
    }
}

impl Warm {
    /// The session can be used for a lock of that TTL. A process that was stopped may find a session that is over.
    fn suits(&self, now: Time, ttl: Duration) -> bool {
        let lease = &self.session.lease;
        lease.ttl() == ttl && self.renewal.is_none() && !lease.is_over(now)
    }

    /// When to renew the session or give it up.
    fn next_change(&self) -> Time {
        let end = self.since + KEEP_WARM;
        if self.renewal.is_some() {
            return end;
        }
        let renew = (self.session.lease.confirmed() + RENEW_WARM).max(self.since + SETTLE);
        renew.min(end)
    }
}

impl Pool {
    /// Keeps a session for the next lock. Consul has confirmed the release of its last lock, and has answered every
    /// request with it.
    pub(super) fn keep_warm(&mut self, out: &mut Outbox, session: Session) {
        if self.draining || self.warm.len() >= MOST_WARM {
            return self.retire(out, session, None);
        }
        let since = out.time();
        self.warm.push(Warm {
            session,
            since,
            renewal: None,
        });
        self.set_warm_alarm(out);
    }

    /// Destroys a session, whatever locks it holds and whatever requests for it still arrive.
    pub(super) fn retire(&mut self, out: &mut Outbox, session: Session, waiter: Option<LockId>) {
        let Session { id, lease, .. } = session;
        self.undo(out, UndoStep::Destroy(id), lease.ttl(), waiter);
    }

    /// Destroys a session after it has given these rows back, which no caller has had.
    pub(super) fn retire_rows(
        &mut self,
        out: &mut Outbox,
        session: Session,
        rows: Vec<Key>,
        waiter: Option<LockId>,
    ) {
        if rows.is_empty() || !out.config.lock_delay {
            return self.retire(out, session, waiter);
        }
        let Session { id, lease, .. } = session;
        self.undo(out, UndoStep::Unlock(id, rows), lease.ttl(), waiter);
    }

    /// Finds out whether a create whose answer was lost made a session, and destroys it.
    pub(super) fn retire_by_name(
        &mut self,
        out: &mut Outbox,
        name: Arc<str>,
        ttl: Duration,
        waiter: Option<LockId>,
    ) {
        self.undo(out, UndoStep::Find(name, Look::First), ttl, waiter);
    }

    /// Takes over a create on its way whose session is not wanted any more.
    pub(super) fn adopt(
        &mut self,
        out: &mut Outbox,
        request: RequestId,
        name: Arc<str>,
        ttl: Duration,
        waiter: Option<LockId>,
    ) {
        let id = self.new_undoing(out, UndoStep::Adopt(name), ttl, waiter);
        if let Some(undoing) = self.undoings.get_mut(&id) {
            undoing.request = Some(request);
        }
        out.owners.insert(request, Owner::Undoing(id));
        let at = out.time() + LATE_CREATE;
        out.alarms.set(Alarm::Undoing(id), Some(at));
    }

    /// Ends all warm sessions, and keeps none from now on.
    pub(super) fn drain(&mut self, out: &mut Outbox) {
        self.draining = true;
        for warm in std::mem::take(&mut self.warm) {
            self.give_up(out, warm);
        }
        self.set_warm_alarm(out);
    }

    fn new_undoing(
        &mut self,
        out: &mut Outbox,
        step: UndoStep,
        ttl: Duration,
        waiter: Option<LockId>,
    ) -> UndoingId {
        // Consul may have applied a renewal a moment ago whose answer was lost. It ends a session at twice the TTL
        // after the last renewal, counted anew after a change of leader. After that there is nothing to undo.
        let until = out.time() + ttl * 4;
        self.last_undoing += 1;
        let id = UndoingId(self.last_undoing);
        self.undoings.insert(
            id,
            Undoing {
                step,
                until,
                request: None,
                failures: Failures::default(),
                waiter,
            },
        );
        id
    }

    fn undo(&mut self, out: &mut Outbox, step: UndoStep, ttl: Duration, waiter: Option<LockId>) {
        let id = self.new_undoing(out, step, ttl, waiter);
        self.run_undoing(out, id);
    }

    /// Sends the request of an undoing, or cuts off a create that takes too long.
    pub(super) fn run_undoing(&mut self, out: &mut Outbox, id: UndoingId) {
        let Some(undoing) = self.undoings.get(&id) else {
            return;
        };
        let request = match &undoing.step {
            // The answer still comes, and continues the undoing.
            UndoStep::Adopt(_) => return out.actions.extend(undoing.request.map(Action::Abort)),
            UndoStep::Find(name, _) => Request::FindSession { name: name.clone() },
            UndoStep::Unlock(session, rows) => Request::Unlock {
                rows: rows.clone(),
                session: session.clone(),
                lines: Vec::new(),
            },
            UndoStep::Destroy(session) => Request::DestroySession {
                session: session.clone(),
            },
        };
        let until = undoing.until;
        if out.time() >= until {
            self.log_given_up(out, id, "Consul could not be asked until its TTL ended it");
            return self.end_undoing(out, id, false);
        }
        let request = out.send(Owner::Undoing(id), request, until);
        if let Some(undoing) = self.undoings.get_mut(&id) {
            undoing.request = Some(request);
        }
    }

    /// Takes in the answer to the request of an undoing.
    pub(super) fn undoing_replied(
        &mut self,
        out: &mut Outbox,
        id: UndoingId,
        answer: Result<Answer, Fault>,
    ) {
        let Some(undoing) = self.undoings.get_mut(&id) else {
            return;
        };
        undoing.request = None;
        out.alarms.set(Alarm::Undoing(id), None);
        match (&undoing.step, answer) {
            (_, Ok(Answer::Created(session) | Answer::Found(Some(session)))) => {
                undoing.step = UndoStep::Destroy(session);
                undoing.failures.clear();
                self.run_undoing(out, id);
            }
            (UndoStep::Adopt(name), Err(Fault::Unknown(_))) => {
                undoing.step = UndoStep::Find(name.clone(), Look::First);
                self.run_undoing(out, id);
            }
            (UndoStep::Find(name, Look::First), Ok(Answer::Found(None))) => {
                undoing.step = UndoStep::Find(name.clone(), Look::Last);
                let at = out.time() + SECOND_LOOK;
                out.alarms.set(Alarm::Undoing(id), Some(at));
            }
            (UndoStep::Unlock(session, _), Ok(_) | Err(Fault::Final(_) | Fault::TooLarge(_))) => {
                undoing.step = UndoStep::Destroy(session.clone());
                undoing.failures.clear();
                self.run_undoing(out, id);
            }
            // A create that was refused, or was not applied, made nothing.
            (UndoStep::Adopt(_), _) => self.end_undoing(out, id, true),
            (_, Ok(Answer::Destroyed | Answer::Found(None)) | Err(Fault::SessionGone(_))) => {
                self.end_undoing(out, id, true);
            }
            (step, Err(Fault::NotApplied(cause) | Fault::Unknown(cause))) => {
                let what = step.not_undone();
                let mut failures = undoing.failures;
                let address = &out.config.address;
                let message = format!("{what} at {address}: {}", cause.message);
                let pause = failures.pause_after(out, &Error::new(cause.status, message));
                // After a long outage Consul does not get everything at once that is left to undo.
                let slower = if failures.count() > 10 { 10 } else { 1 };
                let at = out.time() + pause * slower;
                out.alarms.set(Alarm::Undoing(id), Some(at));
                if let Some(undoing) = self.undoings.get_mut(&id) {
                    undoing.failures = failures;
                }
            }
            // The token has no right to do it, or the answer is unknown: the TTL ends the session.
            (_, Err(Fault::Final(cause) | Fault::TooLarge(cause))) => {
                self.log_given_up(out, id, &cause.message);
                self.end_undoing(out, id, false);
            }
            (_, Ok(_)) => {
                self.log_given_up(out, id, "unexpected reply from Consul");
                self.end_undoing(out, id, false);
            }
        }
    }

    /// Logs that a session stays in Consul until its TTL.
    fn log_given_up(&mut self, out: &mut Outbox, id: UndoingId, why: &str) {
        let Some(undoing) = self.undoings.get(&id) else {
            return;
        };
        let what = undoing.step.not_undone();
        let address = out.config.address.clone();
        out.log(Level::Warn, Often::Always, || {
            format!("{what} at {address}: {why}; its TTL ends it, and the lock that it may hold")
        });
    }

    fn end_undoing(&mut self, out: &mut Outbox, id: UndoingId, confirmed: bool) {
        out.alarms.set(Alarm::Undoing(id), None);
        if let Some(Undoing {
            waiter: Some(lock), ..
        }) = self.undoings.remove(&id)
        {
            self.undone.push((lock, confirmed));
        }
    }

    /// Renews and ends warm sessions that are due.
    pub(super) fn tend_warm(&mut self, out: &mut Outbox) {
        let now = out.time();
        let mut kept = Vec::new();
        for mut warm in std::mem::take(&mut self.warm) {
            if now >= warm.since + KEEP_WARM {
                self.give_up(out, warm);
                continue;
            }
            if warm.renewal.is_none() && now >= warm.next_change() {
                let request = Request::RenewSession {
                    session: warm.session.id.clone(),
                };
                warm.renewal = Some(out.send(Owner::Warm, request, warm.since + KEEP_WARM));
            }
            kept.push(warm);
        }
        self.warm = kept;
        self.set_warm_alarm(out);
    }

    /// Takes in the answer to the renewal of a warm session.
    pub(super) fn warm_replied(
        &mut self,
        out: &mut Outbox,
        request: RequestId,
        sent: Option<Time>,
        answer: &Result<Answer, Fault>,
    ) {
        let Some(index) = self.warm.iter().position(|w| w.renewal == Some(request)) else {
            return;
        };
        let mut warm = self.warm.swap_remove(index);
        warm.renewal = None;
        match answer {
            Ok(Answer::Renewed) if warm.session.confirm(out, sent) => {
                self.warm.push(warm);
            }
            Err(fault) => {
                let line = format!(
                    "gave up the session {}, which was kept for the next lock: {}",
                    warm.session.id,
                    fault.error().message
                );
                out.log(Level::Info, Often::Always, || line);
                self.give_up(out, warm);
            }
            _ => self.give_up(out, warm),
        }
        self.set_warm_alarm(out);
    }

    fn give_up(&mut self, out: &mut Outbox, warm: Warm) {
        if let Some(renewal) = warm.renewal {
            out.abort(renewal);
        }
        self.retire(out, warm.session, None);
    }

    fn set_warm_alarm(&mut self, out: &mut Outbox) {
        let at = self.warm.iter().map(Warm::next_change).min();
        out.alarms.set(Alarm::Warm, at);
    }
}
