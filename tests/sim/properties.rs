//! The properties that hold in every schedule, and the book that checks them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::holders::{Clash, Holders};
use crate::clock::Time;
use crate::core::messages::{Key, Limit, SessionId};
use crate::core::{CallId, LockId, LockSpec, Outcome, Phase, Upkeep, View};
use crate::error::{LostReason, Status};

/// How late an outcome may be: the grace of the undoing, and the network of the simulation.
const SLACK: Duration = Duration::from_millis(700);

#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) holders: Holders,
    calls: BTreeMap<CallId, Waiting>,
    creates: BTreeMap<Arc<str>, Create>,
    crashed: BTreeSet<usize>,
    held_with: BTreeMap<(usize, LockId), SessionId>,
    abandoned: BTreeSet<SessionId>,
    held: BTreeMap<(usize, LockId), Life>,
    /// The lock that was taken last with a session.
    last_lock: BTreeMap<SessionId, (usize, LockId)>,
    written: BTreeMap<Key, Written>,
    pub(super) acquisitions: u64,
}

/// The life of a lock from its acquire on, as the core shows and tells it.
#[derive(Clone, Debug)]
struct Life {
    ttl: Duration,
    limit: Option<Limit>,
    upkeep: Upkeep,
    monitor: bool,
    session: Option<SessionId>,
    /// When the core first showed the lock as held, the end of the lease, and how long the process had been stopped
    /// by then, all by the clock of the process.
    taken: Option<Time>,
    lease_end: Time,
    stopped: Duration,
    asked_to_renew: bool,
    release: Option<CallId>,
    abandon: Option<CallId>,
    given_back: bool,
    shown_lost: bool,
    told_lost: bool,
    /// Lost by the end of its time, or of its session: Consul may still know the session.
    over: bool,
    freed: bool,
}

/// The create of a session with a name that no other has.
#[derive(Clone, Debug, Default)]
struct Create {
    /// How often Consul applied the create, and when last.
    times: u32,
    applied: Time,
    /// When Consul first served a look for the session.
    looked_for: Option<Time>,
}

/// A look that finds no session is followed by another one after a second, by a clock that drifts.
const LOOKS: Duration = Duration::from_millis(990);

impl Create {
    /// The core cannot find the session: Consul applied a copy as well, or applied the create after the last look.
    fn is_hidden(&self) -> bool {
        let too_late = |first: Time| self.applied > first + LOOKS;
        self.times > 1 || self.looked_for.is_some_and(too_late)
    }
}

/// A write under a lock.
#[derive(Clone, Debug)]
struct Written {
    by: (usize, LockId),
    call: CallId,
    applied: bool,
    told: Option<Result<(), Status>>,
}

impl Written {
    /// Consul applied a write with the outcome OK, and did not apply a write that failed, but for UNCONFIRMED.
    fn judge(&self, key: &str) -> Result<(), String> {
        let right = match self.told {
            None | Some(Err(Status::Unconfirmed)) => true,
            Some(Ok(())) => self.applied,
            Some(Err(_)) => !self.applied,
        };
        if right {
            return Ok(());
        }
        let applied = if self.applied {
            "applied"
        } else {
            "not applied"
        };
        Err(format!(
            "the write of {key} was told {:?}, and {applied}",
            self.told
        ))
    }
}

#[derive(Clone, Debug)]
struct Waiting {
    process: usize,
    since: Time,
    limit: Option<Duration>,
    stopped: Duration,
}

impl Ledger {
    /// A caller wants a lock.
    pub(super) fn wants(&mut self, process: usize, lock: LockId, spec: &LockSpec, now: Time) {
        self.holders.wants((process, lock), spec, now);
        self.held.insert(
            (process, lock),
            Life {
                ttl: spec.ttl,
                limit: spec.limit,
                upkeep: spec.upkeep,
                monitor: spec.monitor,
                session: None,
                taken: None,
                lease_end: Time(0),
                stopped: Duration::ZERO,
                asked_to_renew: false,
                release: None,
                abandon: None,
                given_back: false,
                shown_lost: false,
                told_lost: false,
                over: false,
                freed: false,
            },
        );
    }

    /// The session of a lock, once the core has shown it.
    pub(super) fn session_of(&self, process: usize, lock: LockId) -> Option<&SessionId> {
        self.held.get(&(process, lock))?.session.as_ref()
    }

    /// The library renews the lock without end.
    pub(super) fn is_kept_up(&self, process: usize, lock: LockId) -> bool {
        let life = self.held.get(&(process, lock));
        life.is_some_and(|life| life.upkeep == Upkeep::For(None))
    }

    /// The library watches the lock.
    pub(super) fn is_monitored(&self, who: (usize, LockId)) -> bool {
        self.held.get(&who).is_some_and(|life| life.monitor)
    }

    /// The lock was held, and is lost.
    pub(super) fn is_lost(&self, process: usize, lock: LockId) -> bool {
        let life = self.held.get(&(process, lock));
        life.is_some_and(|life| life.shown_lost)
    }

    pub(super) fn asked_to_renew(&mut self, process: usize, lock: LockId) {
        if let Some(life) = self.held.get_mut(&(process, lock)) {
            life.asked_to_renew = true;
        }
    }

    pub(super) fn asked_to_release(&mut self, process: usize, lock: LockId, call: CallId) {
        if let Some(life) = self.held.get_mut(&(process, lock)) {
            life.release = Some(call);
        }
    }

    /// A view of a lock. The lease only becomes longer where a caller or the library renews it.
    pub(super) fn shown(
        &mut self,
        process: usize,
        lock: LockId,
        view: &View,
        clock: Time,
        stopped: Duration,
    ) -> Result<(), String> {
        let me = (process, lock);
        let Some(life) = self.held.get_mut(&me) else {
            return Ok(());
        };
        life.shown_lost |= view.phase == Phase::Lost;
        let over = [LostReason::Expired, LostReason::SessionGone].map(Some);
        life.over |= over.contains(&view.lost);
        let Some(lease_end) = view.lease_end else {
            return Ok(());
        };
        let longest = match (life.taken, life.upkeep) {
            _ if life.asked_to_renew => None,
            (None, _) | (_, Upkeep::For(None)) => None,
            (Some(_), Upkeep::Off) => Some(life.lease_end),
            (Some(taken), Upkeep::For(Some(longest))) => Some(taken + longest + life.ttl),
        };
        if longest.is_some_and(|longest| lease_end > longest) {
            return Err(format!(
                "lock {} was renewed by itself beyond its life",
                lock.0
            ));
        }
        life.taken.get_or_insert(clock);
        (life.lease_end, life.stopped) = (lease_end, stopped);
        life.session = view.session.clone();
        if let Some(session) = &view.session {
            self.last_lock.insert(session.clone(), me);
        }
        Ok(())
    }

    /// The notice of a loss comes once for each lock that was held, at the end of its lease at the latest.
    pub(super) fn lost(
        &mut self,
        process: usize,
        lock: LockId,
        clock: Time,
        stopped: Duration,
    ) -> Result<(), String> {
        let Some(life) = self.held.get_mut(&(process, lock)) else {
            return Err(format!("lock {} is lost, and was never wanted", lock.0));
        };
        if life.taken.is_none() || life.told_lost || life.given_back {
            return Err(format!(
                "lock {} is lost: never held, told before, or given back",
                lock.0
            ));
        }
        life.told_lost = true;
        let late = clock.since(life.lease_end);
        let late = late.saturating_sub(stopped - life.stopped);
        // A release finds out later that there was nothing to give back.
        if late > Duration::from_millis(50) && life.release.is_none() {
            return Err(format!("the loss of lock {} is told {late:?} late", lock.0));
        }
        Ok(())
    }

    /// After each step of a process: the core has reported each lock that it shows as lost, and shows no lease that
    /// has ended.
    pub(super) fn stepped(&self, process: usize, clock: Time) -> Result<(), String> {
        for ((_, lock), life) in self
            .held
            .range((process, LockId(0))..(process + 1, LockId(0)))
        {
            if life.shown_lost && !life.told_lost {
                return Err(format!("no observer is told that lock {} is lost", lock.0));
            }
        }
        match self.holders.shown_after_its_end(process, clock) {
            Some(lock) => Err(format!("lock {} is shown after its lease's end", lock.0)),
            None => Ok(()),
        }
    }

    pub(super) fn last_lock_of(&self, session: &SessionId) -> Option<(usize, LockId)> {
        self.last_lock.get(session).copied()
    }

    /// Consul applied a request that gives a lock back, which must not have removed the next lock.
    pub(super) fn is_last_lock_of_its_session(
        &self,
        process: usize,
        lock: LockId,
    ) -> Result<(), String> {
        let session = self
            .held
            .get(&(process, lock))
            .and_then(|life| life.session.as_ref());
        match session.and_then(|session| self.last_lock_of(session)) {
            Some(last) if last != (process, lock) => Err(format!(
                "the release of lock {} took lock {} away",
                lock.0, last.1.0
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn writes(&mut self, process: usize, lock: LockId, call: CallId, key: &Key) {
        let written = Written {
            by: (process, lock),
            call,
            applied: false,
            told: None,
        };
        self.written.insert(key.clone(), written);
    }

    /// Consul applied a write while `held` was held. That must be the lock under which the caller wrote.
    pub(super) fn applied(&mut self, key: &str, held: &[(String, String)]) -> Result<(), String> {
        let Some(written) = self.written.get_mut(key) else {
            return Err(format!("{key} was written, and no caller wrote it"));
        };
        written.applied = true;
        let session = self
            .held
            .get(&written.by)
            .and_then(|life| life.session.as_ref());
        let is_held = session.is_some_and(|session| {
            let with = held.iter().any(|(_, holder)| **holder == *session.0);
            with && self.last_lock.get(session) == Some(&written.by)
        });
        if !is_held {
            return Err(format!("{key} was written without its lock"));
        }
        written.judge(key)
    }

    /// A lock's view changed. Answers the beliefs of others that do not go with it.
    pub(super) fn publish(
        &mut self,
        process: usize,
        lock: LockId,
        view: &View,
        now: Time,
    ) -> Result<Vec<Clash>, String> {
        let me = (process, lock);
        let clashes = self.holders.publish(me, view, now)?;
        if self.holders.lease_end(me).is_some() {
            let session = view.session.clone();
            self.held_with.extend(session.map(|session| (me, session)));
        } else {
            self.held_with.remove(&me);
        }
        Ok(clashes)
    }

    /// An acquire got the outcome OK.
    pub(super) fn acquired(
        &mut self,
        process: usize,
        lock: LockId,
        clock: Time,
    ) -> Result<(), String> {
        let Some(lease_end) = self.holders.lease_end((process, lock)) else {
            return Err(format!(
                "p{process} was told OK without a lease on lock {}",
                lock.0
            ));
        };
        let left = lease_end.since(clock);
        if let Some(life) = self.held.get(&(process, lock)) {
            // A second for the age of the session, or the round trip of the closing renewal.
            let least = life.ttl - life.ttl / 1000 - (life.ttl / 4).max(Duration::from_secs(1));
            if left < least {
                return Err(format!(
                    "lock {} is handed out with {left:?} to live",
                    lock.0
                ));
            }
        }
        self.acquisitions += 1;
        let limit = self.held.get(&(process, lock)).and_then(|life| life.limit);
        self.holders.acquired((process, lock), limit)
    }

    pub(super) fn stops_believing(&mut self, process: usize, lock: LockId, now: Time) {
        self.holders.ends((process, lock), now);
    }

    /// An abandoned lock may stay until its TTL.
    pub(super) fn abandoned(&mut self, process: usize, lock: LockId, call: CallId) {
        if let Some(life) = self.held.get_mut(&(process, lock)) {
            life.abandon = Some(call);
        }
        self.holders.forgets((process, lock));
        let lost = self.held.get(&(process, lock));
        let lost = lost.filter(|life| life.over && life.release.is_none());
        let session = lost.and_then(|life| life.session.clone());
        self.abandoned
            .extend(self.held_with.remove(&(process, lock)).or(session));
    }

    /// The handle is gone, and the library may end what Consul still knows.
    pub(super) fn freed(&mut self, process: usize, lock: LockId) {
        if let Some(life) = self.held.get_mut(&(process, lock)) {
            life.freed = true;
        }
        self.holders.forgets((process, lock));
    }

    /// The library ends a session, but not under a holder that does not know that its time is over.
    pub(super) fn ended(&self, session: &str) -> Result<(), String> {
        let under = |life: &Life| {
            let its = life.session.as_ref().is_some_and(|id| &*id.0 == session);
            its && life.over && life.release.is_none() && !life.freed
        };
        match self.held.iter().find(|(_, life)| under(life)) {
            Some(((_, lock), _)) => Err(format!(
                "the session of lock {} is ended before its holder is done",
                lock.0
            )),
            None => Ok(()),
        }
    }

    pub(super) fn crashed(&mut self, process: usize) {
        self.crashed.insert(process);
        self.holders.crashed(process);
        self.calls.retain(|_, call| call.process != process);
    }

    /// Consul made a session of that name.
    pub(super) fn made(&mut self, name: &str, now: Time) {
        let create = self.creates.entry(name.into()).or_default();
        create.times += 1;
        create.applied = now;
    }

    /// Consul said whether there is a session of that name.
    pub(super) fn looked_for(&mut self, name: &Arc<str>, now: Time) {
        let create = self.creates.entry(name.clone()).or_default();
        create.looked_for.get_or_insert(now);
    }

    /// A session that may outlive its users until its TTL: that of a killed process, that of an abandoned lock, and
    /// one, without a lock, whose create Consul applied after the last look for it.
    pub(super) fn is_excused(&self, session: &str, name: &str, holds: bool) -> bool {
        let of_crashed = |process| name.starts_with(&format!("consul_lock sim@host:{process} "));
        self.crashed.iter().any(of_crashed)
            || self.abandoned.iter().any(|id| &*id.0 == session)
            || (!holds && self.creates.get(name).is_some_and(Create::is_hidden))
    }

    pub(super) fn called(
        &mut self,
        process: usize,
        call: CallId,
        since: Time,
        limit: Option<Duration>,
        stopped: Duration,
    ) {
        self.calls.insert(
            call,
            Waiting {
                process,
                since,
                limit,
                stopped,
            },
        );
    }

    /// Every call gets one outcome, in time.
    pub(super) fn told(
        &mut self,
        call: CallId,
        now: Time,
        stopped: Duration,
        outcome: &Outcome,
    ) -> Result<(), String> {
        let Some(waiting) = self.calls.remove(&call) else {
            return Err(format!(
                "call {} was told {outcome:?}, and no caller waits for it",
                call.0
            ));
        };
        for (key, written) in self.written.iter_mut().filter(|(_, w)| w.call == call) {
            written.told = Some(outcome.as_ref().map(drop).map_err(|error| error.status));
            written.judge(key)?;
        }
        for life in self.held.values_mut() {
            // A release under way goes on, and may still find that the lock was lost.
            life.given_back |= life.abandon == Some(call) && life.release.is_none();
            if life.release != Some(call) {
                continue;
            }
            let kept = !matches!(outcome, Err(error) if error.status != Status::Unconfirmed);
            if kept && life.told_lost {
                return Err(format!("given back after it was lost: {outcome:?}"));
            }
            life.given_back |= kept;
        }
        let Some(limit) = waiting.limit else {
            return Ok(());
        };
        let took = now
            .since(waiting.since)
            .saturating_sub(stopped - waiting.stopped);
        // The clocks drift.
        if took > limit + limit / 1000 + SLACK {
            return Err(format!(
                "call {} took {took:?}, its limit is {limit:?}: {outcome:?}",
                call.0
            ));
        }
        Ok(())
    }

    pub(super) fn still_waiting(&self) -> Vec<u64> {
        self.calls.keys().map(|call| call.0).collect()
    }
}
