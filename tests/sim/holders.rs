//! The book of holders: which locks believe to hold their keys, by what their cores tell, and whether the beliefs go
//! together.
//!
//! A belief begins when a core shows the lock as held. A belief ends when the lease ends by the clock of the process,
//! or when the caller asks for the release.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Time;
use crate::core::messages::{Key, Limit, Want};
use crate::core::{CallId, Keys, LockId, LockSpec, Phase, View};

/// A lock of a process.
pub(super) type Who = (usize, LockId);

/// What a lock wants, and since when.
#[derive(Clone, Debug)]
struct Wish {
    keys: Keys,
    want: Want,
    /// The limit of the share that a downgrade makes of the lock.
    limit: Limit,
    called: Time,
}

#[derive(Clone, Debug)]
struct Belief {
    keys: Keys,
    /// What the caller may rely on. Between the call of a downgrade and its outcome, that is a share.
    want: Want,
    slot: Option<u16>,
    lease_end: Time,
    token: u64,
    /// The downgrade (false) or the upgrade (true) under way, and what the lock was before it.
    change: Option<(CallId, bool, Want)>,
    /// When the caller asked for what the lock is now.
    called: Time,
}

/// Two beliefs that do not go together, if the other process still has its belief.
pub(super) struct Clash {
    pub(super) process: usize,
    pub(super) lock: LockId,
    pub(super) lease_end: Time,
    pub(super) what: &'static str,
}

/// The fencing tokens that callers got for a key.
#[derive(Clone, Debug, Default)]
struct Tokens {
    /// The largest of an exclusive holder.
    alone: u64,
    largest: u64,
    /// Of those who shared the key: when they ended, and their tokens.
    ended: Vec<(Time, u64)>,
}

/// How many holds of each kind callers got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) exclusive: u64,
    pub(super) all_permits: u64,
    pub(super) readers: u64,
    pub(super) limited: u64,
    pub(super) several: u64,
    pub(super) downgrades: u64,
    pub(super) upgrades: u64,
    /// The upgrades that ended as a share.
    pub(super) turned_back: u64,
    pub(super) conflicts: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Counts) {
        self.exclusive += other.exclusive;
        self.all_permits += other.all_permits;
        self.readers += other.readers;
        self.limited += other.limited;
        self.several += other.several;
        self.downgrades += other.downgrades;
        self.upgrades += other.upgrades;
        self.turned_back += other.turned_back;
        self.conflicts += other.conflicts;
    }

    fn count(&mut self, wish: &Wish, limit: Option<Limit>) {
        let counter = match (wish.want, limit) {
            _ if wish.keys.are_several() => &mut self.several,
            (Want::Exclusive, None) => &mut self.exclusive,
            (Want::Exclusive, Some(_)) => &mut self.all_permits,
            (Want::Share(Limit::READERS), _) => &mut self.readers,
            (Want::Share(_), _) => &mut self.limited,
        };
        *counter += 1;
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Holders {
    wishes: BTreeMap<Who, Wish>,
    beliefs: BTreeMap<Who, Belief>,
    tokens: BTreeMap<Key, Tokens>,
    tampered: BTreeSet<Key>,
    crashed: BTreeSet<usize>,
    pub(super) counts: Counts,
}

/// The key that a row in Consul belongs to, but for a ticket.
pub(super) fn key_of_row(row: &str) -> &str {
    row.split_once("/.share/").map_or(row, |(key, _)| key)
}

impl Holders {
    /// A caller wants a lock.
    pub(super) fn wants(&mut self, who: Who, spec: &LockSpec, now: Time) {
        let wish = Wish {
            keys: spec.keys.clone(),
            want: spec.want,
            limit: spec.limit.unwrap_or(Limit::READERS),
            called: now,
        };
        self.wishes.insert(who, wish);
    }

    /// The handle is given away or freed: whatever its core still shows is no caller's belief.
    pub(super) fn forgets(&mut self, who: Who) {
        self.wishes.remove(&who);
    }

    /// A lock's view changed. Answers the beliefs of others that do not go with it.
    pub(super) fn publish(
        &mut self,
        who: Who,
        view: &View,
        now: Time,
    ) -> Result<Vec<Clash>, String> {
        let held = view.lease_end.filter(|_| view.phase == Phase::Held);
        let (Some(lease_end), Some(wish)) = (held, self.wishes.get(&who)) else {
            self.ends(who, now);
            return Ok(Vec::new());
        };
        let belief = self.beliefs.entry(who).or_insert_with(|| Belief {
            keys: wish.keys.clone(),
            want: wish.want,
            slot: None,
            lease_end,
            token: 0,
            change: None,
            called: wish.called,
        });
        belief.lease_end = lease_end;
        belief.token = view.token.unwrap_or_default();
        // Where a change is under way, the lock may be another row for a moment.
        belief.slot = view
            .slot
            .or(belief.slot.filter(|_| belief.change.is_some()));
        if belief.change.is_none() {
            check_slot(who, belief)?;
        }
        Ok(self.clashes(who))
    }

    /// The beliefs of others that do not go with that of a lock.
    fn clashes(&self, who: Who) -> Vec<Clash> {
        let Some(mine) = self.beliefs.get(&who) else {
            return Vec::new();
        };
        let clash = |(other, theirs): (&Who, &Belief)| {
            let (process, lock) = *other;
            let meet = |key: &&Key| theirs.keys.all().contains(*key) && !self.is_tampered(key);
            mine.keys.all().iter().find(meet)?;
            if *other == who || self.crashed.contains(&process) {
                return None;
            }
            let what = match (mine.want, theirs.want) {
                (Want::Exclusive, Want::Exclusive) => "two holders of one key",
                (Want::Exclusive, _) | (_, Want::Exclusive) => "an exclusive holder beside a share",
                (Want::Share(mine), Want::Share(theirs)) if mine != theirs => {
                    "two limits of one key"
                }
                _ if mine.slot.is_some() && mine.slot == theirs.slot => "one slot for two",
                _ => return None,
            };
            let lease_end = theirs.lease_end;
            Some(Clash {
                process,
                lock,
                lease_end,
                what,
            })
        };
        self.beliefs.iter().filter_map(clash).collect()
    }

    /// The exclusive locks that believe to hold a key, and until when by the clock of their process.
    pub(super) fn alone_on(&self, key: &str) -> Vec<(usize, Time)> {
        let of_key = |(who, belief): (&Who, &Belief)| {
            let mut keys = belief.keys.all().iter();
            let is_of_key = keys.any(|its| &**its == key) && belief.want == Want::Exclusive;
            let live = is_of_key && !self.crashed.contains(&who.0);
            live.then_some((who.0, belief.lease_end))
        };
        self.beliefs.iter().filter_map(of_key).collect()
    }

    /// The lock believes to hold its keys alone.
    pub(super) fn is_alone(&self, who: Who) -> bool {
        let belief = self.beliefs.get(&who);
        belief.is_some_and(|belief| belief.want == Want::Exclusive)
    }

    pub(super) fn keys_of(&self, who: Who) -> Option<&Keys> {
        self.beliefs.get(&who).map(|belief| &belief.keys)
    }

    /// The lock is held, and its caller has not asked for a change.
    pub(super) fn is_settled(&self, who: Who) -> bool {
        let belief = self.beliefs.get(&who);
        belief.is_some_and(|belief| belief.change.is_none())
    }

    pub(super) fn lease_end(&self, who: Who) -> Option<Time> {
        self.beliefs.get(&who).map(|belief| belief.lease_end)
    }

    /// The lock of a process whose lease has ended, and which is shown all the same.
    pub(super) fn shown_after_its_end(&self, process: usize, clock: Time) -> Option<LockId> {
        let mut of_process = self
            .beliefs
            .range((process, LockId(0))..(process + 1, LockId(0)));
        let over = of_process.find(|(_, belief)| clock >= belief.lease_end);
        over.map(|((_, lock), _)| *lock)
    }

    /// An acquire got the outcome OK.
    pub(super) fn acquired(&mut self, who: Who, limit: Option<Limit>) -> Result<(), String> {
        if let Some(wish) = self.wishes.get(&who) {
            self.counts.count(wish, limit);
        }
        self.granted(who)
    }

    /// The lock is what it is now by a grant that its caller has just got: the fencing token is larger than those of
    /// all that came before.
    fn granted(&mut self, who: Who) -> Result<(), String> {
        let Some(belief) = self.beliefs.get(&who) else {
            return Ok(());
        };
        let token = belief.token;
        for key in belief.keys.all().iter() {
            let tokens = self.tokens.entry(key.clone()).or_default();
            let last = match belief.want {
                Want::Exclusive => tokens.largest,
                // Those who shared the key until this caller asked for it.
                Want::Share(_) => {
                    let before = tokens.ended.iter().filter(|(at, _)| *at < belief.called);
                    let before = before.map(|(_, token)| *token).max();
                    tokens.alone.max(before.unwrap_or(0))
                }
            };
            if token <= last && !self.tampered.contains(key) {
                return Err(format!(
                    "the fencing token of {key} went from {last} to {token}"
                ));
            }
            tokens.largest = tokens.largest.max(token);
            if belief.want == Want::Exclusive {
                tokens.alone = tokens.alone.max(token);
            }
        }
        Ok(())
    }

    /// The caller may ask for a downgrade, or for an upgrade.
    pub(super) fn may_change(&self, who: Who, up: bool) -> bool {
        let belief = self.beliefs.get(&who);
        belief.is_some_and(|belief| {
            let is_alone = belief.want == Want::Exclusive;
            belief.change.is_none() && !belief.keys.are_several() && is_alone != up
        })
    }

    /// The caller asks for a downgrade, or for an upgrade.
    pub(super) fn begins_change(&mut self, who: Who, call: CallId, up: bool, now: Time) {
        let limit = self.wishes.get(&who).map(|wish| wish.limit);
        if let (Some(belief), Some(limit)) = (self.beliefs.get_mut(&who), limit) {
            belief.change = Some((call, up, belief.want));
            belief.called = now;
            if !up {
                belief.want = Want::Share(limit);
            }
        }
    }

    /// A downgrade or an upgrade has its outcome. Answers the lock, and the beliefs of others that do not go with its
    /// own.
    pub(super) fn changed(
        &mut self,
        call: CallId,
        done: bool,
    ) -> Result<Option<(Who, Vec<Clash>)>, String> {
        let is_its = |belief: &Belief| belief.change.is_some_and(|(its, _, _)| its == call);
        let mut beliefs = self.beliefs.iter_mut();
        let Some((who, belief)) = beliefs.find(|(_, belief)| is_its(belief)) else {
            return Ok(None);
        };
        let who = *who;
        let Some((_, up, before)) = belief.change.take() else {
            return Ok(None);
        };
        match (up, done) {
            (true, true) => {
                (belief.want, belief.slot) = (Want::Exclusive, None);
                self.counts.upgrades += 1;
            }
            (false, true) => self.counts.downgrades += 1,
            (true, false) => self.counts.turned_back += 1,
            (false, false) => (belief.want, belief.slot) = (before, None),
        }
        check_slot(who, belief)?;
        if done {
            self.granted(who)?;
        }
        Ok(Some((who, self.clashes(who))))
    }

    /// The caller gives the lock up, or the core does not show it any more.
    pub(super) fn ends(&mut self, who: Who, now: Time) {
        let Some(belief) = self.beliefs.remove(&who) else {
            return;
        };
        if let Want::Share(_) = belief.want {
            for key in belief.keys.all().iter() {
                let tokens = self.tokens.entry(key.clone()).or_default();
                tokens.ended.push((now, belief.token));
            }
        }
    }

    pub(super) fn crashed(&mut self, process: usize) {
        self.crashed.insert(process);
    }

    /// Another program broke the lock of a row: what its holders believe is not the library's fault.
    pub(super) fn tampered(&mut self, row: &str) {
        self.tampered.insert(key_of_row(row).into());
    }

    pub(super) fn is_tampered(&self, key: &Key) -> bool {
        self.tampered.contains(key)
    }
}

/// The slot of a lock that shares its key with a limit is below the limit.
fn check_slot(who: Who, belief: &Belief) -> Result<(), String> {
    let (process, lock) = (who.0, who.1.0);
    match (belief.want, belief.slot) {
        (Want::Exclusive | Want::Share(Limit::READERS), None) => Ok(()),
        (Want::Share(limit), Some(slot)) if limit != Limit::READERS && slot < limit.get() => Ok(()),
        (want, slot) => Err(format!(
            "p{process} lock {lock} is {want:?} with slot {slot:?}"
        )),
    }
}
