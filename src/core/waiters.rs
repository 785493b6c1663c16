//! What this process knows of each key that it waits for: who of its own waits, in order; whether
//! others stood in line; what Consul last said.
//!
//! The waiters of one process stand in one queue, and only the first of them asks Consul. It stands
//! in the line between processes with the one ticket that the process has for the key
//! (`acquire/ticket.rs`).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::interface::LockId;
use super::lease::Session;
use super::messages::{Key, KeyRow, LineSlot, SessionId, SessionRow, Ticket};
use crate::clock::Time;
use crate::error::Error;

/// How long after a release the same key is tried without looking first.
const OPTIMISM: Duration = Duration::from_secs(1);

/// More keys than this are not remembered when nobody waits for them. A forgotten one is looked at
/// first; each may be overtaken once more (docs/protocol.md).
const REMEMBERED: usize = 1_024;

/// How long one look serves all who want to know the same at the end of their time.
const LOOK_SERVES: Duration = Duration::from_millis(100);

/// All keys that are waited for, or remembered.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    by_key: HashMap<Key, KeyWaiters>,
    /// Whose turn it became.
    first: Vec<LockId>,
    /// Counts waiters; the order of the local queues.
    arrivals: u64,
}

/// One key.
#[derive(Debug, Default)]
struct KeyWaiters {
    /// Who waits here, in the order of the calls, with the TTL of each.
    here: BTreeMap<u64, (LockId, Duration)>,
    /// Others stood in line when Consul last showed it.
    others_waited: bool,
    /// It is waited for without tickets: our token may not write them here, or the line cannot be
    /// read.
    no_tickets: bool,
    /// How many slots turned out to be somebody else's.
    collisions: u32,
    /// This process gave the key back then, and has not tried it since.
    given_back: Option<Time>,
    /// A place in the line, left by a waiter whose time was over to the next one here.
    left: Option<(Session, PlaceInLine)>,
    sight: Sight,
}

/// What Consul last said of a key to whoever asked here.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    /// That the key is not free, and who has it.
    pub(super) refused: Option<NotFree>,
    /// What went wrong since it last gave a usable answer.
    pub(super) fault: Option<Error>,
    /// The name of that session; None inside: Consul would not say.
    pub(super) name: Option<(SessionId, Option<SessionRow>)>,
    /// When somebody last asked on behalf of all.
    asked: Option<Time>,
    /// Since when, and when last, it said that we have no rights, although that may pass.
    denied: Option<(Time, Time)>,
}

/// What follows each other so closely is one thing that lasts.
const SAME: Duration = Duration::from_secs(30);

impl Sight {
    /// It does not say so any more.
    pub(super) fn rights_known(&mut self) {
        self.denied = None;
    }

    /// It says so now. How long has it?
    pub(super) fn denied(&mut self, now: Time) -> Duration {
        let lasting = self.denied.filter(|(_, last)| now.since(*last) < SAME);
        let since = lasting.map_or(now, |(since, _)| since);
        self.denied = Some((since, now));
        now.since(since)
    }
}

/// Consul said that the key is not free.
#[derive(Clone, Debug)]
pub(super) struct NotFree {
    pub(super) at: Time,
    pub(super) holder: Option<KeyRow>,
}

/// Our place in the line between processes.
#[derive(Clone, Debug)]
pub(super) struct PlaceInLine {
    pub(super) slot: LineSlot,
    /// Who stood before us when we last looked, in order.
    pub(super) ahead: Vec<Ticket>,
}

impl Waiters {
    fn of(&mut self, key: &Key) -> &mut KeyWaiters {
        if !self.by_key.contains_key(key) {
            self.make_room();
        }
        self.by_key.entry(key.clone()).or_default()
    }

    /// Forgets a key that nobody waits for, when there are too many.
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

    /// The locks whose turn it became.
    pub(super) fn take_first(&mut self) -> Vec<LockId> {
        std::mem::take(&mut self.first)
    }
}

impl Sight {
    /// The key is known not to be free, from then on.
    pub(super) fn is_refused_since(&self, from: Time) -> bool {
        self.refused.as_ref().is_some_and(|r| r.at >= from)
    }
}

impl Waiters {
    /// Stands at the end of this process's queue. The number is needed to leave it; true: it is the
    /// only one, and its turn.
    pub(super) fn arrive(&mut self, key: &Key, lock: LockId, ttl: Duration) -> (u64, bool) {
        self.arrivals += 1;
        let arrival = self.arrivals;
        let here = &mut self.of(key).here;
        here.insert(arrival, (lock, ttl));
        (arrival, here.len() == 1)
    }

    /// Leaves this process's queue. If it was its turn, it is the next one's. Answers the session of a
    /// place that nobody can inherit any more.
    #[must_use]
    pub(super) fn leave(&mut self, key: &Key, arrival: u64) -> Option<Session> {
        let waiters = self.by_key.get_mut(key)?;
        let was_first = waiters.here.first_key_value().map(|(n, _)| *n) == Some(arrival);
        waiters.here.remove(&arrival);
        match waiters.here.first_key_value() {
            Some((_, (next, _))) => {
                if was_first {
                    self.first.push(*next);
                }
            }
            // The description of a holder is not worth remembering.
            None => waiters.sight = Sight::default(),
        }
        let left = waiters.left.take_if(|_| waiters.here.is_empty());
        left.map(|(session, _)| session)
    }

    /// The next of this process's queue could use the place in the line of the first, and its
    /// session.
    pub(super) fn can_inherit(&self, key: &Key, arrival: u64, ttl: Duration) -> bool {
        let waiters = self.by_key.get(key);
        let next = waiters.and_then(|waiters| waiters.here.range(arrival + 1..).next());
        next.is_some_and(|(_, (_, its))| *its == ttl)
    }

    /// Leaves the place to the next. Answers the session of one that was left before.
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

    /// The place that the one before left, if it did.
    pub(super) fn inherit(&mut self, key: &Key) -> Option<(Session, PlaceInLine)> {
        self.by_key.get_mut(key)?.left.take()
    }

    /// Others stood in line when we last looked.
    pub(super) fn others_waited(&self, key: &Key) -> bool {
        let waiters = self.by_key.get(key);
        waiters.is_some_and(|waiters| waiters.others_waited)
    }

    /// Takes in a line that Consul showed: is anybody in it but us?
    pub(super) fn note_line(&mut self, key: &Key, line: &[Ticket], own: Option<&SessionId>) {
        let others = line.iter().any(|ticket| Some(&ticket.session) != own);
        if others || self.by_key.contains_key(key) {
            self.of(key).others_waited = others;
        }
    }

    /// There may be tickets, as far as we know.
    pub(super) fn may_have_ticket(&self, key: &Key) -> bool {
        let waiters = self.by_key.get(key);
        // Below a key that ends in a slash there would be an empty segment.
        !key.ends_with('/') && waiters.is_none_or(|waiters| !waiters.no_tickets)
    }

    /// There may not.
    pub(super) fn note_no_tickets(&mut self, key: &Key) {
        self.of(key).no_tickets = true;
    }

    /// The number of this process's ticket for the key: the same for each wait, unless it turned
    /// out to be somebody else's.
    pub(super) fn slot(&mut self, key: &Key, seed: u64) -> LineSlot {
        let collisions = self.of(key).collisions;
        LineSlot::new(mix(seed, key, collisions))
    }

    /// The slot is somebody else's: the next one is another.
    pub(super) fn note_collision(&mut self, key: &Key) {
        let collisions = &mut self.of(key).collisions;
        *collisions = collisions.wrapping_add(1);
    }

    /// This process gave the key back: if it wants it again soon, it is likely to be free.
    pub(super) fn note_given_back(&mut self, key: &Key, now: Time) {
        self.of(key).given_back = Some(now);
    }

    /// The key was given back by this process a moment ago. Answers once: an attempt that is
    /// refused is not repeated without a look.
    pub(super) fn was_just_given_back(&mut self, key: &Key, now: Time) -> bool {
        let waiters = self.by_key.get_mut(key);
        waiters
            .and_then(|waiters| waiters.given_back.take())
            .is_some_and(|at| now.since(at) < OPTIMISM)
    }

    /// What Consul last said of the key.
    pub(super) fn sight(&mut self, key: &Key) -> &mut Sight {
        &mut self.of(key).sight
    }

    /// Whether to ask Consul on behalf of everybody who waits for the key, or, when somebody has
    /// just done so, when to look for the answer.
    pub(super) fn may_ask_for_all(&mut self, key: &Key, now: Time) -> Result<(), Time> {
        let asked = &mut self.sight(key).asked;
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
    let start = seed ^ u64::from(collisions).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = key.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
