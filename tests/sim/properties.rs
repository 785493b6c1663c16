//! What must hold in every schedule, and the book in which it is checked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Time;
use crate::core::messages::{Key, SessionId};
use crate::core::{CallId, LockId, Outcome, Phase, View};

/// An outcome may be this late: the undoing's grace, and the network of the simulation.
const SLACK: Duration = Duration::from_millis(700);

#[derive(Default)]
pub(super) struct Ledger {
    wants: BTreeMap<(usize, LockId), Key>,
    /// Who believes to hold what until when, by their own clock.
    beliefs: BTreeMap<(usize, LockId), Belief>,
    tokens: BTreeMap<Key, u64>,
    calls: HashMap<CallId, Waiting>,
    tampered: HashSet<Key>,
    lost_creates: HashSet<Arc<str>>,
    crashed: HashSet<usize>,
    held_with: BTreeMap<(usize, LockId), SessionId>,
    abandoned: HashSet<SessionId>,
    pub(super) acquisitions: u64,
}

struct Belief {
    key: Key,
    lease_end: Time,
    token: u64,
}

struct Waiting {
    process: usize,
    since: Time,
    limit: Option<Duration>,
    stopped: Duration,
}

impl Ledger {
    pub(super) fn wants(&mut self, process: usize, lock: LockId, key: Key) {
        self.wants.insert((process, lock), key);
    }

    /// A lock's view changed. Answers the others who believed to hold the same key.
    pub(super) fn publish(
        &mut self,
        process: usize,
        lock: LockId,
        view: &View,
    ) -> Vec<(usize, LockId, Time)> {
        let me = (process, lock);
        let held = if view.phase == Phase::Held {
            view.lease_end
        } else {
            None
        };
        let (Some(lease_end), Some(key)) = (held, self.wants.get(&me).cloned()) else {
            self.beliefs.remove(&me);
            self.held_with.remove(&me);
            return Vec::new();
        };
        let token = view.token.unwrap_or_default();
        self.held_with
            .extend(view.session.clone().map(|session| (me, session)));
        let others = if self.tampered.contains(&key) {
            Vec::new()
        } else {
            self.beliefs
                .iter()
                .filter(|(who, belief)| {
                    **who != me && belief.key == key && !self.crashed.contains(&who.0)
                })
                .map(|((process, lock), belief)| (*process, *lock, belief.lease_end))
                .collect()
        };
        self.beliefs.insert(
            me,
            Belief {
                key,
                lease_end,
                token,
            },
        );
        others
    }

    /// Who believes to hold a key, and until when by its own clock.
    pub(super) fn believers(&self, key: &str) -> Vec<(usize, Time)> {
        let of_key = |(who, belief): (&(usize, LockId), &Belief)| {
            let live = &*belief.key == key && !self.crashed.contains(&who.0);
            live.then_some((who.0, belief.lease_end))
        };
        self.beliefs.iter().filter_map(of_key).collect()
    }

    /// An acquire was told that it worked.
    pub(super) fn acquired(&mut self, process: usize, lock: LockId) -> Result<(), String> {
        let Some(belief) = self.beliefs.get(&(process, lock)) else {
            return Err(format!(
                "p{process} was told OK without a lease on lock {}",
                lock.0
            ));
        };
        self.acquisitions += 1;
        let last = self
            .tokens
            .insert(belief.key.clone(), belief.token)
            .unwrap_or(0);
        if belief.token <= last && !self.tampered.contains(&belief.key) {
            return Err(format!(
                "the fencing token of {} went from {last} to {}",
                belief.key, belief.token
            ));
        }
        Ok(())
    }

    pub(super) fn stops_believing(&mut self, process: usize, lock: LockId) {
        self.beliefs.remove(&(process, lock));
    }

    /// An abandoned lock may stay until its TTL.
    pub(super) fn abandoned(&mut self, process: usize, lock: LockId) {
        self.wants.remove(&(process, lock));
        self.abandoned
            .extend(self.held_with.remove(&(process, lock)));
    }

    pub(super) fn crashed(&mut self, process: usize) {
        self.crashed.insert(process);
        self.calls.retain(|_, call| call.process != process);
    }

    /// Somebody broke the lock of `key`: what its holders believe is not our fault.
    pub(super) fn tampered(&mut self, key: &str) {
        self.tampered.insert(key.into());
    }

    /// The answer to the create of this session was lost.
    pub(super) fn lost_create(&mut self, name: &Arc<str>) {
        self.lost_creates.insert(name.clone());
    }

    /// A session that may outlive its users until its TTL: a killed process's, one that was
    /// abandoned with its lock, and one whose create was applied after it was looked for, which
    /// holds nothing.
    pub(super) fn is_excused(&self, session: &str, name: &str, holds: bool) -> bool {
        let of_crashed = |process| name.starts_with(&format!("consul_lock sim@host:{process} "));
        self.crashed.iter().any(of_crashed)
            || self.abandoned.iter().any(|id| &*id.0 == session)
            || (!holds && self.lost_creates.contains(name))
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

    /// Every call is told once, in time.
    pub(super) fn told(
        &mut self,
        call: CallId,
        now: Time,
        stopped: Duration,
        outcome: &Outcome,
    ) -> Result<(), String> {
        let Some(waiting) = self.calls.remove(&call) else {
            return Err(format!(
                "call {} was told {outcome:?}, and nobody waits for it",
                call.0
            ));
        };
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
