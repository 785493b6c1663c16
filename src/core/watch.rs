//! Blocking queries: one per key, however many want to know; and never more of them than we may
//! have connections.
//!
//! Beyond [`Budget::watches`] keys, those of a common folder share one blocking listing of names
//! (`listing.rs`). It tells that a key is gone, which is what a waiter waits for, and nothing else;
//! between two listings there is a pause, for each carries the names of the whole folder. Where our
//! token may not list, the keys take turns.
//!
//! A query that is not wanted any more is left alone: Consul would not notice an abort, and keep the
//! connection until the key changes or the wait is over. So the query counts until its answer comes,
//! its connection is used again, and whoever wants the same key meanwhile shares it. And each query
//! is short, for a process that ends leaves its own behind.

mod listing;
mod pace;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

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

/// What the connections of a client are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Keys watched one by one at the same time. Each takes a connection and a thread.
    pub(crate) watches: usize,
    /// As many of those at most for who only likes to know.
    courtesies: usize,
    /// Folders watched by a listing at the same time.
    pub(crate) listings: usize,
}

impl Budget {
    /// Of 32: 20 watches and 4 listings, and the rest for requests that are answered at once: of these
    /// some keep promises, and some make new ones.
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

/// One blocking query. So long Consul keeps the connection of a process that was killed, and so long
/// a cancelled wait keeps its place here.
const LONGEST_QUERY: Duration = Duration::from_secs(5);

/// While nothing happens, a lock looks again after this time, however many queries that takes.
pub(super) const LONGEST_WATCH: Duration = Duration::from_secs(60);

/// While keys take turns, a turn is this long.
const TURN: Duration = Duration::from_millis(500);

/// When the query of somebody who only liked to know is not wanted any more, the next one comes so much
/// later: locks are often given back by the hundred, and each query begun meanwhile would be for
/// nothing.
const CALM: Duration = Duration::from_secs(1);

/// An agent without a leader takes up to 7.3 s to say so (measured), and the server adds up to a
/// sixteenth to a wait: beyond that a blocking query is dead.
const WATCH_SLACK: Duration = Duration::from_secs(10);

/// What a watch tells whoever wants it.
#[derive(Clone, Debug)]
pub(super) enum Observation {
    /// The key as it is now, changed or not, and the index to watch from.
    Row { row: Option<KeyRow>, index: u64 },
    /// The key does not exist any more.
    Gone,
    /// Nothing is known to have happened until the time that was asked for.
    Nothing,
    /// Consul, or the way to it, failed.
    Failed(Error),
    /// It will always fail.
    Refused(Error),
}

/// How much somebody wants to know; what comes first is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// It waits for it.
    Waiting,
    /// It is good to know; not if the connection is needed elsewhere.
    Courtesy,
}

/// All watches of a core.
#[derive(Debug, Default)]
pub(super) struct Watches {
    wants: BTreeMap<LockId, Want>,
    /// How often each lock asked lately, from its first wish to its last.
    paces: BTreeMap<LockId, Pace>,
    /// When to say that nothing is known, to those whose query does not end by itself then.
    untils: BTreeSet<(Time, LockId)>,
    keys: BTreeMap<Key, Watch>,
    /// How many have a query of their own, wanted or not.
    running: usize,
    /// The others, whoever waits and had a turn longest ago first.
    crowd: BTreeSet<(Need, u64, Key)>,
    /// Those that were asked for too often, until then.
    resting: BTreeSet<(Time, Key)>,
    /// From when on those who only like to know may have a query.
    calm_at: Time,
    listings: BTreeMap<Key, Listing>,
    /// Folders that our token may not list.
    unlisted: BTreeSet<Key>,
    turns: u64,
    news: Vec<(LockId, Observation)>,
}

#[derive(Debug)]
struct Want {
    key: Key,
    until: Time,
}

/// A key that somebody wants to know about, or wanted to when its query began.
#[derive(Debug)]
struct Watch {
    folder: Key,
    wanted_by: BTreeSet<LockId>,
    need: Need,
    /// From which index on.
    index: u64,
    request: Option<RequestId>,
    /// When it last had a turn.
    turn: u64,
    /// It rests until then.
    rests_until: Option<Time>,
}

impl Watches {
    /// What became known, for whom.
    pub(super) fn take_observations(&mut self) -> Vec<(LockId, Observation)> {
        std::mem::take(&mut self.news)
    }

    /// When something is due. Called when all that was due is done.
    fn wake_at(&self, now: Time) -> Option<Time> {
        let until = self.untils.first().map(|(at, _)| *at);
        let rested = self.resting.first().map(|(at, _)| *at);
        let listing = self.listings.values().filter_map(|l| l.again).min();
        let last = self.crowd.last().map(|(need, _, _)| *need);
        let calm = Some(self.calm_at).filter(|at| *at > now && last == Some(Need::Courtesy));
        [until, rested, listing, calm].into_iter().flatten().min()
    }

    /// Tells everybody who wants the key, who then wants it no more.
    fn tell(&mut self, key: &Key, news: &Observation) {
        let Some(watch) = self.keys.get(key) else {
            return;
        };
        for lock in watch.wanted_by.clone() {
            self.drop_want(lock);
            self.news.push((lock, news.clone()));
        }
    }

    /// Forgets what a lock wants. Answers the key whose query goes on although nobody wants it now.
    fn drop_want(&mut self, lock: LockId) -> Option<Key> {
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

    /// Who has no query of its own waits for one, from then on.
    fn line_up(&mut self, key: &Key, from: Time, now: Time) {
        let Some(watch) = self.keys.get_mut(key) else {
            return;
        };
        for lock in &watch.wanted_by {
            if let Some(want) = self.wants.get(lock) {
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
            // It was known to be there when its watch began; was it gone by the last listing?
            if listing.index > watch.index && !listing.names.contains(&**key) {
                self.tell(key, &Observation::Gone);
            }
        }
    }

    /// Waits for a query no more. Answers until when the key was to rest.
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

    /// Whether the crowd is served by nothing but turns.
    fn takes_turns(&self) -> bool {
        let waiting = self.crowd.iter();
        let mut waiting = waiting.take_while(|(need, _, _)| *need == Need::Waiting);
        waiting.any(|(_, _, key)| {
            let watch = self.keys.get(key);
            watch.is_some_and(|w| self.unlisted.contains(&w.folder))
        })
    }

    /// Whose turn it is to have a query of its own, if there is one to have.
    fn next_of_crowd(&self, budget: Budget, now: Time) -> Option<Key> {
        let (need, _, key) = self.crowd.first()?;
        let may = match need {
            Need::Waiting => self.running < budget.watches,
            Need::Courtesy => self.running < budget.courtesies && now >= self.calm_at,
        };
        may.then(|| key.clone())
    }

    /// Nothing happened, and those who want the key still do: it gets another query, after all
    /// others that wait for one. False: the time of one of them is over.
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

    fn pace(&mut self, lock: LockId) -> &mut Pace {
        self.paces.entry(lock).or_default()
    }
}

impl Watches {
    /// Wants to know when `key` is not any more as it was at `index`, or that nothing is known at
    /// `until`. A lock wants one thing at a time; the answer is [`Observation`], and then it wants no more.
    /// [`Watches::unwatch`] tells that it will want nothing again.
    pub(super) fn watch(
        &mut self,
        out: &mut Outbox,
        lock: LockId,
        key: Key,
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
                if watch.request.is_some() {
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

    /// Wants to know nothing any more.
    pub(super) fn unwatch(&mut self, out: &mut Outbox, lock: LockId) {
        self.paces.remove(&lock);
        if self.wants.contains_key(&lock) {
            self.give_up_want(out, lock);
            self.arrange(out);
        }
    }

    fn give_up_want(&mut self, out: &mut Outbox, lock: LockId) {
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
        // Whoever shares it from now on says how much it wants to know.
        watch.need = Need::Courtesy;
        #[cfg(test)]
        if out.sabotaged(Sabotage::HangUp) {
            self.hang_up(out);
        }
    }

    /// Aborts the queries that nobody wants any more: so that no thread waits for them.
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

    /// Gives those of the crowd a query who can have one, and the others a listing.
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
        let index = watch.index;
        let until = watch
            .wanted_by
            .iter()
            .filter_map(|lock| self.wants.get(lock));
        let until = until.map(|want| want.until).min().unwrap_or(now);
        let longest = if takes_turns { TURN } else { LONGEST_QUERY };
        let wait = until.since(now).min(longest).max(Duration::from_millis(1));
        let request = Request::Watch {
            key: key.clone(),
            index,
            wait,
        };
        let by = now + wait + wait / 16 + WATCH_SLACK;
        let request = out.send_long(Owner::Watch, request, by);
        if let Some(watch) = self.keys.get_mut(&key) {
            watch.request = Some(request);
        }
    }

    /// Something is due.
    pub(super) fn tend(&mut self, out: &mut Outbox) {
        let now = out.time();
        while let Some((_, lock)) = self.untils.first().filter(|(at, _)| *at <= now) {
            let lock = *lock;
            self.give_up_want(out, lock);
            self.news.push((lock, Observation::Nothing));
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
        let news = match answer {
            Ok(Answer::Row { row, index }) => {
                let is_held = row.as_ref().is_some_and(|row| row.session.is_some());
                if is_held && index == watch.index && self.goes_on(key, now) {
                    return;
                }
                Observation::Row { row, index }
            }
            Err(Fault::Final(error) | Fault::TooLarge(error)) => Observation::Refused(error),
            Err(fault) => Observation::Failed(fault.error().clone()),
            Ok(_) => Observation::Nothing,
        };
        self.tell(key, &news);
    }
}

/// The folder of a key, with its slash; of a ticket, that of the key in whose line it stands.
fn folder(key: &str) -> &str {
    let key = key.find("/.fifo/").map_or(key, |at| &key[..at]);
    key.rfind('/').map_or("", |at| &key[..=at])
}
