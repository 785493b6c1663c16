//! What this process knows of each key that it waits for: its own waiters, in order; whether others stood
//! in line; what Consul last said.
//!
//! Only the first waiter of a process asks Consul. That one stands in the line between processes with the
//! one ticket that the process has for the key (`acquire/ticket.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::interface::{Keys, LockId};
use super::lease::Session;
use super::messages::{Key, KeyRow, Limit, SessionId, SessionRow, Sharer, Slot, Ticket, Want};
use super::splitmix;
use crate::clock::Time;
use crate::error::Error;

/// How long after a release the library tries the same key without a look.
const OPTIMISM: Duration = Duration::from_secs(1);

/// The library forgets keys without waiters when there are more than this. It looks at a forgotten key first;
/// each line may be overtaken once more (docs/protocol.md).
const REMEMBERED: usize = 1_024;

/// How long one look serves all waiters that want to know the same at the end of their time.
const LOOK_SERVES: Duration = Duration::from_millis(100);

/// Refusals that follow each other so closely are one that lasts.
const LASTING: Duration = Duration::from_secs(30);

/// All keys that have waiters, or are remembered.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct LocalWaiters {
    by_key: BTreeMap<Key, KeyWaiters>,
    /// The locks that have become the first waiter of their key.
    first: Vec<LockId>,
    /// How many waiters have come; the order in which they are served.
    arrivals: u64,
}

/// The waiters of one key.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
struct KeyWaiters {
    /// The waiters of this process in the order of their calls.
    here: BTreeMap<u64, Waiter>,
    /// Others stood in line when Consul last showed it.
    others_waited: bool,
    /// The waiters have no tickets: the token may not write them here, or the line cannot be read.
    no_tickets: bool,
    /// How many slots turned out to belong to others.
    collisions: u32,
    /// When this process gave the key back, unless it has tried the key since.
    given_back: Option<Time>,
    /// The slot with which this process shared the key last.
    last_share: Option<Slot>,
    /// The slots with which this process shares the key now.
    shares: BTreeSet<Slot>,
    /// A place in the line, left to the next waiter here by one whose time was over.
    left: Option<(Session, PlaceInLine)>,
    known: Known,
    /// When a waiter last asked Consul on behalf of all.
    asked: Option<Time>,
    /// Since when, and when last, Consul said that the token has no rights, although that may pass.
    denied: Option<(Time, Time)>,
}

/// One waiter of this process.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
struct Waiter {
    lock: LockId,
    keys: Keys,
    stake: Stake,
}

/// What a place in the line is good for: only a waiter that wants the same can use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stake {
    pub(super) ttl: Duration,
    pub(super) want: Want,
    /// The waiter waits for one key.
    pub(super) is_single: bool,
}

/// What Consul last said of a key.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) not_free: Option<NotFree>,
    /// What has failed since Consul last gave a usable answer.
    pub(super) fault: Option<Error>,
    /// The limit that the caller named, the one with which the key is shared, and the session that shares it so.
    pub(super) conflict: Option<Box<((Limit, Limit), SessionId)>>,
    /// What Consul said of the session that holds the key; None inside: Consul did not say it.
    pub(super) name: Option<Box<(SessionId, Option<SessionRow>)>>,
}

impl Known {
    pub(super) fn holder(&self) -> Option<&KeyRow> {
        match &self.not_free.as_ref()?.by {
            Blocker::Holder(row) => Some(row),
            Blocker::Sharers(_) | Blocker::Unknown => None,
        }
    }

    /// Consul has said since then that the key is not free; None: at any time.
    pub(super) fn is_not_free_since(&self, from: Option<Time>) -> bool {
        let not_free = self.not_free.as_ref();
        not_free.is_some_and(|not_free| from.is_none_or(|from| not_free.at >= from))
    }
}

/// Consul said that the key is not free.
#[derive(Clone, Debug)]
pub(super) struct NotFree {
    pub(super) at: Time,
    pub(super) by: Blocker,
}

/// What keeps a waiter from the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Blocker {
    /// Waiters before it, a lock-delay, or a client that was faster.
    Unknown,
    /// The session that holds the key.
    Holder(KeyRow),
    /// Those who share the key.
    Sharers(Vec<Sharer>),
}

/// A place in the lines between processes: one of each key that the waiter waits for.
#[derive(Clone, Debug)]
pub(super) struct PlaceInLine {
    /// The slots of the own tickets.
    pub(super) slots: Vec<Slot>,
    /// The tickets before each own one, in order, as the line was last read.
    pub(super) ahead: Vec<Vec<Ticket>>,
}

impl LocalWaiters {
    fn of(&mut self, key: &Key) -> &mut KeyWaiters {
        if !self.by_key.contains_key(key) {
            self.make_room();
        }
        self.by_key.entry(key.clone()).or_default()
    }

    /// Forgets keys without waiters, when there are too many.
    fn make_room(&mut self) {
        if self.by_key.len() < REMEMBERED {
            return;
        }
        self.by_key
            .retain(|_, waiters| !waiters.here.is_empty() || waiters.others_waited);
        let idle = |waiters: &&KeyWaiters| waiters.here.is_empty();
        if self.by_key.values().filter(idle).count() >= REMEMBERED {
            self.by_key.retain(|_, waiters| !waiters.here.is_empty());
        }
    }

    /// The locks that have become the first waiter of their key.
    pub(super) fn take_first(&mut self) -> Vec<LockId> {
        std::mem::take(&mut self.first)
    }

    /// Puts a waiter behind those of this process, for all of its keys. Answers the number to leave with, and
    /// whether the waiter is the first.
    pub(super) fn arrive(&mut self, keys: &Keys, lock: LockId, stake: Stake) -> (u64, bool) {
        self.arrivals += 1;
        let arrival = self.arrivals;
        for key in keys.all().iter() {
            let keys = keys.clone();
            let waiter = Waiter { lock, keys, stake };
            self.of(key).here.insert(arrival, waiter);
        }
        (arrival, self.is_first(keys, arrival))
    }

    /// The waiter is the first for each of its keys. All lines of a process have the same order, so that the oldest
    /// waiter is always the first.
    fn is_first(&self, keys: &Keys, arrival: u64) -> bool {
        let first = |key: &Key| {
            let first = self.by_key.get(key)?.here.first_key_value();
            first.map(|(number, _)| *number)
        };
        keys.all().iter().all(|key| first(key) == Some(arrival))
    }

    /// Takes a waiter out; the next becomes the first, if it is so for all of its keys. Answers the session of a place
    /// that no waiter is left to inherit.
    #[must_use]
    pub(super) fn leave(&mut self, keys: &Keys, arrival: u64) -> Option<Session> {
        let mut left = None;
        let mut next = BTreeSet::new();
        for key in keys.all().iter() {
            let Some(waiters) = self.by_key.get_mut(key) else {
                continue;
            };
            let was_first = waiters.here.first_key_value().map(|(n, _)| *n) == Some(arrival);
            waiters.here.remove(&arrival);
            if let Some((arrival, _)) = waiters.here.first_key_value() {
                if was_first {
                    next.insert((*arrival, key.clone()));
                }
                continue;
            }
            // The description of a holder is not worth remembering.
            waiters.known = Known::default();
            waiters.asked = None;
            waiters.denied = None;
            left = left.or(waiters.left.take().map(|(session, _)| session));
        }
        let mut told = BTreeSet::new();
        for (arrival, key) in next {
            let waiter = self.by_key.get(&key);
            let waiter = waiter.and_then(|waiters| waiters.here.get(&arrival));
            if let Some(waiter) = waiter
                && self.is_first(&waiter.keys, arrival)
                && told.insert(arrival)
            {
                self.first.push(waiter.lock);
            }
        }
        left
    }

    /// The waiter behind this one could use its place in the line, and its session.
    pub(super) fn can_inherit(&self, key: &Key, arrival: u64, stake: Stake) -> bool {
        let waiters = self.by_key.get(key);
        let next = waiters.and_then(|waiters| waiters.here.range(arrival + 1..).next());
        stake.is_single && next.is_some_and(|(_, waiter)| waiter.stake == stake)
    }

    /// Leaves a place to the next waiter. Answers the session of a place that was left before.
    #[must_use]
    pub(super) fn leave_place(
        &mut self,
        key: &Key,
        session: Session,
        place: PlaceInLine,
    ) -> Option<Session> {
        let before = self.of(key).left.replace((session, place));
        before.map(|(session, _)| session)
    }

    /// The place that the waiter before left, if it did.
    pub(super) fn inherit(&mut self, key: &Key) -> Option<(Session, PlaceInLine)> {
        self.by_key.get_mut(key)?.left.take()
    }

    /// Others stood in line when Consul last showed it.
    pub(super) fn others_waited(&self, key: &Key) -> bool {
        let waiters = self.by_key.get(key);
        waiters.is_some_and(|waiters| waiters.others_waited)
    }

    /// Takes in a line that Consul showed: do sessions other than `own` stand in it?
    pub(super) fn note_line(&mut self, key: &Key, line: &[Ticket], own: Option<&SessionId>) {
        let others = line.iter().any(|ticket| Some(&ticket.session) != own);
        if others || self.by_key.contains_key(key) {
            self.of(key).others_waited = others;
        }
    }

    /// The library may write tickets for this key, as far as it knows.
    pub(super) fn may_have_ticket(&self, key: &Key) -> bool {
        let waiters = self.by_key.get(key);
        // Below a key that ends in a slash there would be an empty segment.
        !key.ends_with('/') && waiters.is_none_or(|waiters| !waiters.no_tickets)
    }

    /// The waiters of this key have no tickets from now on.
    pub(super) fn note_no_tickets(&mut self, key: &Key) {
        self.of(key).no_tickets = true;
    }

    /// The slot for one more share of this process without a limit: always the same ones, in the same order.
    pub(super) fn share_slot(&mut self, key: &Key, seed: u64) -> Slot {
        let waiters = self.of(key);
        let first = mix(seed, key, waiters.collisions);
        let slots = (0..u64::from(Slot::COUNT)).map(|step| Slot::new(first.wrapping_add(step)));
        let mut free = slots.filter(|slot| !waiters.shares.contains(slot));
        free.next().unwrap_or(Slot::new(first))
    }

    /// The slot with which this process shared the key last.
    pub(super) fn last_share(&mut self, key: &Key) -> Option<Slot> {
        self.of(key).last_share
    }

    /// This process shares the key with that slot.
    pub(super) fn note_share(&mut self, key: &Key, slot: Slot) {
        let waiters = self.of(key);
        waiters.last_share = Some(slot);
        waiters.shares.insert(slot);
    }

    /// A share of this process has ended.
    pub(super) fn end_share(&mut self, key: &Key, slot: Slot) {
        if let Some(waiters) = self.by_key.get_mut(key) {
            waiters.shares.remove(&slot);
        }
    }

    /// The slot of this process's ticket for the key: the same for each wait, unless the slot turned out to
    /// belong to others.
    pub(super) fn slot(&mut self, key: &Key, seed: u64) -> Slot {
        let collisions = self.of(key).collisions;
        Slot::new(mix(seed, key, collisions))
    }

    /// The slot belongs to others: [`LocalWaiters::slot`] answers another one from now on.
    pub(super) fn note_collision(&mut self, key: &Key) {
        let collisions = &mut self.of(key).collisions;
        *collisions = collisions.wrapping_add(1);
    }

    /// This process gave the key back: an acquire that follows soon is likely to find it free.
    pub(super) fn note_given_back(&mut self, key: &Key, now: Time) {
        self.of(key).given_back = Some(now);
    }

    /// This process gave the key back a moment ago. Answers so once: an attempt that Consul refused is not
    /// repeated without a look.
    pub(super) fn was_just_given_back(&mut self, key: &Key, now: Time) -> bool {
        let waiters = self.by_key.get_mut(key);
        waiters
            .and_then(|waiters| waiters.given_back.take())
            .is_some_and(|at| now.since(at) < OPTIMISM)
    }

    /// What Consul last said of the key to a waiter of this process.
    pub(super) fn known(&mut self, key: &Key) -> &mut Known {
        &mut self.of(key).known
    }

    /// The token has the rights that it needs.
    pub(super) fn note_rights(&mut self, key: &Key) {
        self.of(key).denied = None;
    }

    /// Consul said that the token has no rights. Answers for how long Consul has said so.
    pub(super) fn note_denied(&mut self, key: &Key, now: Time) -> Duration {
        let denied = &mut self.of(key).denied;
        let lasting = denied.filter(|(_, last)| now.since(*last) < LASTING);
        let since = lasting.map_or(now, |(since, _)| since);
        *denied = Some((since, now));
        now.since(since)
    }

    /// Whether to ask Consul on behalf of all waiters of the key, or, where one has just done so, when to look
    /// for the answer.
    pub(super) fn may_ask_for_all(&mut self, key: &Key, now: Time) -> Result<(), Time> {
        let asked = &mut self.of(key).asked;
        match *asked {
            Some(at) if now.since(at) < LOOK_SERVES => Err(at + LOOK_SERVES),
            _ => {
                *asked = Some(now);
                Ok(())
            }
        }
    }
}

/// Spreads the processes over the slots (FNV-1a over the key, started from the seed and stirred by
/// the finalizer of splitmix64).
fn mix(seed: u64, key: &str, collisions: u32) -> u64 {
    let start = seed ^ u64::from(collisions).wrapping_mul(splitmix::STEP);
    let hash = key.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    splitmix::stir(hash)
}
