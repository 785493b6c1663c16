//! Blocking queries: one per key, however many locks want to know of it, and never more than the client may have
//! connections.
//!
//! Beyond [`Budget::watches`] keys, the keys of a common folder share one blocking listing of names (`listing.rs`).
//! A listing tells only that a key is gone, which is what a waiter waits for. There is a pause between two
//! listings, because each carries the names of the whole folder. Where the token may not list, the keys take turns.
//!
//! The library does not abort a query that is not wanted any more: Consul would not notice the abort, and keep
//! the connection until the key changes or the wait is over. So the query counts until its answer comes, its
//! connection is used again, and locks that want the same key meanwhile share the query. Each query is short,
//! because a process that ends leaves its queries behind.

mod listing;
mod pace;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::alarms::ObservedKeyId;
use super::alarms::{Alarm, Owner};
use super::interface::{LockId, RequestId};
use super::messages::{Answer, Fault, Key, KeyRow, Request};
use super::outbox::Outbox;
#[cfg(test)]
use super::sabotage::Sabotage;
use crate::clock::Time;
use crate::error::Error;
use listing::Listing;
use pace::Pace;

/// How many connections of a client may have a blocking query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Keys watched one by one at the same time. Each query takes a connection and a thread.
    pub(crate) watches: usize,
    /// How many of those may serve observers, and held locks, which need no watch.
    courtesies: usize,
    /// Folders watched by a listing at the same time.
    pub(crate) listings: usize,
}

impl Budget {
    /// Of 32 connections, 20 are for watches, 4 for listings, and the rest for requests that Consul answers at once.
    pub(crate) fn of(connections: usize) -> Budget {
        let listings = (connections / 8).clamp(1, 4);
        let short = (connections / 4).clamp(2, 8);
        let watches = connections.saturating_sub(listings + short).max(1);
        Budget {
            watches,
            courtesies: watches / 2,
            listings,
        }
    }
}

/// The length of one blocking query. So long Consul keeps the connection of a process that was killed, and so long
/// a cancelled wait keeps its connection.
const LONGEST_QUERY: Duration = Duration::from_secs(5);

/// A lock looks again after this time in which nothing happened, however many queries that takes.
pub(super) const LONGEST_WATCH: Duration = Duration::from_secs(60);

/// Observers read their key after this time without a query.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The length of a query while keys take turns.
const TURN: Duration = Duration::from_millis(500);

/// How long after the release of a watched lock the next query of a held lock may begin: programs often give
/// locks back by the hundred, and each query that began meanwhile would be for nothing.
const CALM: Duration = Duration::from_secs(1);

/// How long after its wait and a sixteenth of it, which the server adds, a blocking query is dead. An agent
/// without a leader takes up to 7.3 s to say so (measured).
const WATCH_SLACK: Duration = Duration::from_secs(10);

/// What a watch found.
#[derive(Clone, Debug)]
pub(super) enum Observation {
    /// The key as it is now, changed or not, and the index to watch from.
    Row { row: Option<KeyRow>, index: u64 },
    /// So many names stand in the folder, and the index to watch from.
    Names { count: usize, index: u64 },
    /// The key does not exist any more.
    Gone,
    /// The watch saw no change until the time that the lock asked for.
    Nothing,
    /// Consul, or the connection to it, failed.
    Failed(Error),
    /// Consul refuses the query, and will refuse the next.
    Refused(Error),
}

/// How urgent a watch is; the first is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// A waiter needs to know.
    Waiting,
    /// Observers of the key want to know, but must not take the connections of waiters. Without a query they read the
    /// key now and then.
    Observing,
    /// A held lock likes to know, but not if the connection is needed elsewhere.
    Courtesy,
}

/// What wants to know of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Watcher {
    /// A lock, which waits for the key or holds it.
    Lock(LockId),
    /// The observers of the key.
    Observers(ObservedKeyId),
}

impl From<LockId> for Watcher {
    fn from(lock: LockId) -> Watcher {
        Watcher::Lock(lock)
    }
}

impl From<ObservedKeyId> for Watcher {
    fn from(key: ObservedKeyId) -> Watcher {
        Watcher::Observers(key)
    }
}

/// All watches of a core.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Watches {
    wants: BTreeMap<Watcher, Want>,
    /// How often each lock asked lately, from its first want to its last.
    paces: BTreeMap<Watcher, Pace>,
    /// When to answer [`Observation::Nothing`] to the locks whose query does not end by itself then.
    untils: BTreeSet<(Time, Watcher)>,
    keys: BTreeMap<Key, Watch>,
    /// How many keys have a query of their own, wanted or not.
    running: usize,
    /// The keys without a query: those of waiters first, and of these the one whose turn was longest ago.
    crowd: BTreeSet<(Need, u64, Key)>,
    /// The keys that were asked for too often, each until its time.
    resting: BTreeSet<(Time, Key)>,
    /// When held locks may have a query again.
    calm_at: Time,
    listings: BTreeMap<Key, Listing>,
    /// Folders that the token may not list.
    unlisted: BTreeSet<Key>,
    turns: u64,
    seen: Vec<(Watcher, Observation)>,
}

#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
struct Want {
    key: Key,
    until: Time,
}

/// A key that a lock wants to know about, or wanted to when the query began.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
struct Watch {
    folder: Key,
    wanted_by: BTreeSet<Watcher>,
    need: Need,
    /// The index after which a change counts.
    index: u64,
    /// The key is a folder with so many names, and the locks want to know when there are fewer; 0: it is no folder.
    full: usize,
    request: Option<RequestId>,
    /// The turn that the key had last.
    turn: u64,
    /// The key gets no query until then.
    rests_until: Option<Time>,
}

impl Watches {
    /// What the watches found, each with the lock that wants it.
    pub(super) fn take_observations(&mut self) -> Vec<(Watcher, Observation)> {
        std::mem::take(&mut self.seen)
    }

    /// When the next thing is due. Everything that was due is done.
    fn wake_at(&self, now: Time) -> Option<Time> {
        let until = self.untils.first().map(|(at, _)| *at);
        let rested = self.resting.first().map(|(at, _)| *at);
        let listing = self.listings.values().filter_map(|l| l.again).min();
        let last = self.crowd.last().map(|(need, _, _)| *need);
        let calm = Some(self.calm_at).filter(|at| *at > now && last == Some(Need::Courtesy));
        [until, rested, listing, calm].into_iter().flatten().min()
    }

    /// Gives every lock that wants the key what was found. The locks want nothing then.
    fn found(&mut self, key: &Key, seen: &Observation) {
        let Some(watch) = self.keys.get(key) else {
            return;
        };
        for lock in watch.wanted_by.clone() {
            self.drop_want(lock);
            self.seen.push((lock, seen.clone()));
        }
    }

    /// Forgets what a lock wants. Answers the key if its query goes on although no lock wants it.
    fn drop_want(&mut self, lock: Watcher) -> Option<Key> {
        let Want { key, until } = self.wants.remove(&lock)?;
        self.untils.remove(&(until, lock));
        let watch = self.keys.get_mut(&key)?;
        watch.wanted_by.remove(&lock);
        if !watch.wanted_by.is_empty() {
            return None;
        }
        if watch.request.is_some() {
            return Some(key);
        }
        self.step_out(&key);
        self.keys.remove(&key);
        None
    }

    /// Has a key wait for a query of its own, from then on.
    fn line_up(&mut self, key: &Key, from: Time, now: Time) {
        let Some(watch) = self.keys.get_mut(key) else {
            return;
        };
        for lock in &watch.wanted_by {
            if let Some(want) = self.wants.get_mut(lock) {
                // What shared the query that ended has a time already.
                self.untils.remove(&(want.until, *lock));
                if let Watcher::Observers(_) = lock {
                    want.until = now + LOOK_AGAIN;
                }
                self.untils.insert((want.until, *lock));
            }
        }
        if from > now {
            watch.rests_until = Some(from);
            self.resting.insert((from, key.clone()));
        } else {
            self.join_crowd(key);
        }
    }

    fn join_crowd(&mut self, key: &Key) {
        let Some(watch) = self.keys.get(key) else {
            return;
        };
        self.crowd.insert((watch.need, watch.turn, key.clone()));
        if watch.need == Need::Waiting && !self.unlisted.contains(&watch.folder) {
            let listing = self.listings.entry(watch.folder.clone()).or_default();
            listing.crowd += 1;
            // The key existed when its watch began; the last listing may show that it is gone.
            if listing.index > watch.index && listing.is_missing(key, watch.full) {
                self.found(key, &Observation::Gone);
            }
        }
    }

    /// Takes a key out of those that wait for a query. Answers until when it was to rest.
    fn step_out(&mut self, key: &Key) -> Option<Time> {
        let watch = self.keys.get_mut(key).filter(|w| w.request.is_none())?;
        for lock in &watch.wanted_by {
            if let Some(want) = self.wants.get(lock) {
                self.untils.remove(&(want.until, *lock));
            }
        }
        if let Some(until) = watch.rests_until.take() {
            self.resting.remove(&(until, key.clone()));
            return Some(until);
        }
        let was_there = self.crowd.remove(&(watch.need, watch.turn, key.clone()));
        if was_there
            && watch.need == Need::Waiting
            && let Some(listing) = self.listings.get_mut(&watch.folder)
        {
            listing.crowd = listing.crowd.saturating_sub(1);
        }
        None
    }

    /// A key of the crowd can only be served by turns.
    fn takes_turns(&self) -> bool {
        let waiting = self.crowd.iter();
        let mut waiting = waiting.take_while(|(need, _, _)| *need == Need::Waiting);
        waiting.any(|(_, _, key)| {
            let watch = self.keys.get(key);
            watch.is_some_and(|w| self.unlisted.contains(&w.folder))
        })
    }

    /// The next key to get a query of its own, if there is a query to have.
    fn next_of_crowd(&self, budget: Budget, now: Time) -> Option<Key> {
        let (need, _, key) = self.crowd.first()?;
        let may = match need {
            Need::Waiting => self.running < budget.watches,
            Need::Observing => self.running < budget.courtesies,
            Need::Courtesy => self.running < budget.courtesies && now >= self.calm_at,
        };
        may.then(|| key.clone())
    }

    /// After a query that saw no change: the key gets another one, after all other keys that wait for a query.
    /// False: the time of a lock that wants the key is over.
    fn goes_on(&mut self, key: &Key, now: Time) -> bool {
        let Some(watch) = self.keys.get_mut(key) else {
            return false;
        };
        let wanted_by: Vec<_> = watch.wanted_by.iter().copied().collect();
        let mut wants = wanted_by.iter().filter_map(|lock| self.wants.get(lock));
        if wants.any(|want| want.until <= now) {
            return false;
        }
        self.turns += 1;
        watch.turn = self.turns;
        let from = wanted_by.iter().map(|lock| self.pace(*lock).next(now));
        let from = from.max().unwrap_or(now);
        self.line_up(key, from, now);
        true
    }

    fn pace(&mut self, lock: Watcher) -> &mut Pace {
        self.paces.entry(lock).or_default()
    }
}

impl Watches {
    /// A lock wants to know when `key` is not any more as it was at `index`, until `until`. It wants one thing at a
    /// time, gets one [`Observation`], and wants nothing then. [`Watches::unwatch`] says that it will not watch again.
    pub(super) fn watch(
        &mut self,
        out: &mut Outbox,
        lock: impl Into<Watcher>,
        key: Key,
        index: u64,
        until: Time,
        need: Need,
    ) {
        self.watch_what(out, lock.into(), (key, 0), index, until, need);
    }

    /// The same for a folder with `full` names: a waiter wants to know when there are fewer.
    pub(super) fn watch_folder(
        &mut self,
        out: &mut Outbox,
        lock: impl Into<Watcher>,
        (folder, full): (Key, usize),
        index: u64,
        until: Time,
    ) {
        let full = full.max(1);
        self.watch_what(
            out,
            lock.into(),
            (folder, full),
            index,
            until,
            Need::Waiting,
        );
    }

    fn watch_what(
        &mut self,
        out: &mut Outbox,
        lock: Watcher,
        (key, full): (Key, usize),
        index: u64,
        until: Time,
        need: Need,
    ) {
        self.give_up_want(out, lock);
        let now = out.time();
        let from = self.pace(lock).next(now);
        let want = Want {
            key: key.clone(),
            until,
        };
        self.wants.insert(lock, want);
        let rested = self.step_out(&key);
        match self.keys.get_mut(&key) {
            Some(watch) => {
                watch.wanted_by.insert(lock);
                watch.need = watch.need.min(need);
                let observes = matches!(lock, Watcher::Observers(_));
                if observes && watch.request.is_none() {
                    watch.index = watch.index.min(index);
                }
                if observes && watch.index > index {
                    // The query on its way does not tell what happened before its index.
                    self.drop_want(lock);
                    self.seen.push((lock, Observation::Nothing));
                } else if watch.request.is_some() {
                    self.untils.insert((until, lock));
                } else {
                    self.line_up(&key, rested.map_or(from, |at| at.min(from)), now);
                }
            }
            None => {
                let watch = Watch {
                    folder: folder(&key).into(),
                    wanted_by: BTreeSet::from([lock]),
                    need,
                    index,
                    full,
                    request: None,
                    turn: self.turns,
                    rests_until: None,
                };
                self.turns += 1;
                self.keys.insert(key.clone(), watch);
                self.line_up(&key, from, now);
            }
        }
        self.arrange(out);
    }

    /// A query for the key is on its way.
    pub(super) fn has_query(&self, key: &Key) -> bool {
        self.keys
            .get(key)
            .is_some_and(|watch| watch.request.is_some())
    }

    /// A lock wants to know nothing any more.
    pub(super) fn unwatch(&mut self, out: &mut Outbox, lock: impl Into<Watcher>) {
        let lock = lock.into();
        self.paces.remove(&lock);
        if self.wants.contains_key(&lock) {
            self.give_up_want(out, lock);
            self.arrange(out);
        }
    }

    fn give_up_want(&mut self, out: &mut Outbox, lock: Watcher) {
        let now = out.time();
        let Some(key) = self.drop_want(lock) else {
            return;
        };
        let Some(watch) = self.keys.get_mut(&key) else {
            return;
        };
        if watch.need == Need::Courtesy {
            self.calm_at = now + CALM;
        }
        // The next lock that shares the query says how urgent it is.
        watch.need = Need::Courtesy;
        #[cfg(test)]
        if out.sabotaged(Sabotage::HangUp) {
            self.hang_up(out);
        }
    }

    /// Aborts the queries that no lock wants any more, so that no thread waits for them.
    pub(super) fn hang_up(&mut self, out: &mut Outbox) {
        let mut unwanted = Vec::new();
        self.keys.retain(|_, watch| {
            let is_wanted = !watch.wanted_by.is_empty();
            unwanted.extend(watch.request.filter(|_| !is_wanted));
            is_wanted
        });
        self.running -= unwanted.len();
        self.listings.retain(|_, listing| {
            let is_wanted = listing.crowd > 0;
            unwanted.extend(listing.request.filter(|_| !is_wanted));
            is_wanted
        });
        for request in unwanted {
            out.abort(request);
        }
        self.arrange(out);
    }

    fn budget(&self, out: &Outbox) -> Budget {
        Budget::of(out.config.connections)
    }

    /// Gives a query to the keys of the crowd that can have one, and to the others a listing.
    fn arrange(&mut self, out: &mut Outbox) {
        let (now, budget) = (out.time(), self.budget(out));
        while let Some(key) = self.next_of_crowd(budget, now) {
            self.query(out, key);
        }
        self.arrange_listings(out);
        let at = self.wake_at(now);
        out.alarms.set(Alarm::Watches, at);
    }

    /// Begins a query for one key.
    fn query(&mut self, out: &mut Outbox, key: Key) {
        let now = out.time();
        self.step_out(&key);
        let takes_turns = self.takes_turns();
        self.running += 1;
        self.turns += 1;
        let turn = self.turns;
        let Some(watch) = self.keys.get_mut(&key) else {
            return;
        };
        watch.turn = turn;
        for lock in &watch.wanted_by {
            if let (Watcher::Observers(_), Some(want)) = (lock, self.wants.get_mut(lock)) {
                want.until = now + LONGEST_WATCH;
            }
        }
        let (index, is_folder) = (watch.index, watch.full > 0);
        let until = watch
            .wanted_by
            .iter()
            .filter_map(|lock| self.wants.get(lock));
        let until = until.map(|want| want.until).min().unwrap_or(now);
        let longest = if takes_turns { TURN } else { LONGEST_QUERY };
        let wait = until.since(now).min(longest).max(Duration::from_millis(1));
        let request = match is_folder {
            true => Request::WatchNames {
                folder: key.clone(),
                index,
                wait,
            },
            false => Request::Watch {
                key: key.clone(),
                index,
                wait,
            },
        };
        let by = now + wait + wait / 16 + WATCH_SLACK;
        let request = out.send_long(Owner::Watch, request, by);
        if let Some(watch) = self.keys.get_mut(&key) {
            watch.request = Some(request);
        }
    }

    /// Does what is due.
    pub(super) fn tend(&mut self, out: &mut Outbox) {
        let now = out.time();
        while let Some(due) = self.untils.first().filter(|(at, _)| *at <= now) {
            let due @ (_, lock) = *due;
            // Each time is due once, whatever became of the want.
            self.untils.remove(&due);
            self.give_up_want(out, lock);
            self.seen.push((lock, Observation::Nothing));
        }
        while let Some((_, key)) = self.resting.first().filter(|(at, _)| *at <= now) {
            let key = key.clone();
            self.step_out(&key);
            self.line_up(&key, now, now);
        }
        let due = self.listings.iter();
        let due = due.filter(|(_, l)| l.again.is_some_and(|at| at <= now));
        for folder in due.map(|(folder, _)| folder.clone()).collect::<Vec<_>>() {
            self.list(out, folder);
        }
        self.arrange(out);
    }

    /// Takes in the answer to a query.
    pub(super) fn replied(
        &mut self,
        out: &mut Outbox,
        request: RequestId,
        answer: Result<Answer, Fault>,
    ) {
        let is_it = |of: Option<RequestId>| of == Some(request);
        let single = self.keys.iter().find(|(_, w)| is_it(w.request));
        let mut listings = self.listings.iter();
        if let Some(key) = single.map(|(key, _)| key.clone()) {
            self.watched(out, &key, answer);
        } else if let Some((folder, _)) = listings.find(|(_, l)| is_it(l.request)) {
            let folder = folder.clone();
            self.listed(out, &folder, answer);
        }
        self.arrange(out);
    }

    fn watched(&mut self, out: &mut Outbox, key: &Key, answer: Result<Answer, Fault>) {
        let now = out.time();
        let Some(watch) = self.keys.get_mut(key) else {
            return;
        };
        watch.request = None;
        self.running -= 1;
        if watch.wanted_by.is_empty() {
            self.keys.remove(key);
            return;
        }
        let seen = match answer {
            Ok(Answer::Row { row, index }) => {
                let is_held = row.as_ref().is_some_and(|row| row.session.is_some());
                if is_held && index == watch.index && self.goes_on(key, now) {
                    return;
                }
                Observation::Row { row, index }
            }
            Ok(Answer::Names { names, index }) => {
                if index == watch.index && !names.is_empty() && self.goes_on(key, now) {
                    return;
                }
                let count = names.len();
                Observation::Names { count, index }
            }
            Err(Fault::Final(error) | Fault::TooLarge(error)) => Observation::Refused(error),
            Err(fault) => Observation::Failed(fault.error().clone()),
            Ok(_) => Observation::Nothing,
        };
        self.found(key, &seen);
    }
}

/// The folder of a key, with its slash. What stands below the key of a lock has the folder of that key.
fn folder(key: &str) -> &str {
    let below = ["/.fifo/", "/.share/"];
    let key = below
        .iter()
        .find_map(|name| key.find(name))
        .map_or(key, |at| &key[..at]);
    key.rfind('/').map_or("", |at| &key[..=at])
}
