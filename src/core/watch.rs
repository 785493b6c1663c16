//! Blocking queries: one per key, however many want to know; and never more of them than we may
//! have connections.
//!
//! Beyond [`Budget::watches`] keys, those of a common folder share one blocking listing of names. It
//! tells that a key is gone, which is what a waiter waits for, and nothing else; between two
//! listings there is a pause, for each carries the names of the whole folder. Where our token may
//! not list, the keys take turns.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use super::context::{Alarm, Context, Owner};
use super::log::Often;
use super::messages::{Answer, Fault, Key, KeyRow, Request};
use super::{Level, LockId, RequestId};
use crate::clock::Time;
use crate::error::Error;

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
    /// Of 32: 20 watches and 4 listings, and the rest for requests that are answered at once.
    pub(crate) fn of(connections: usize) -> Budget {
        let listings = (connections / 8).clamp(1, 4);
        let short = (connections / 4).clamp(1, 8);
        let watches = connections.saturating_sub(listings + short).max(1);
        Budget {
            watches,
            courtesies: watches / 2,
            listings,
        }
    }
}

/// One blocking query. Consul allows 10 minutes; a shorter one finds a dead connection earlier.
const LONGEST_WATCH: Duration = Duration::from_secs(60);

/// While keys take turns, a turn is this long.
const TURN: Duration = Duration::from_millis(500);

/// Between two listings of a folder: costs 20 ms of notice, and a fifth of the traffic (measured).
const LISTING_PAUSE: Duration = Duration::from_millis(20);

/// An agent without a leader takes up to 7.3 s to say so (measured), and the server adds up to a
/// sixteenth to a wait: beyond that a blocking query is dead.
const WATCH_SLACK: Duration = Duration::from_secs(10);

/// What a watch tells whoever wants it.
#[derive(Clone, Debug)]
pub(super) enum News {
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

/// How much somebody wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// When to say that nothing is known, to those that have no query of their own.
    untils: BTreeSet<(Time, LockId)>,
    keys: BTreeMap<Key, Watch>,
    /// How many have a query of their own.
    running: usize,
    /// The others, whoever had a turn longest ago first.
    crowd: BTreeSet<(u64, Key)>,
    listings: BTreeMap<Key, Listing>,
    /// Folders that our token may not list.
    unlisted: BTreeSet<Key>,
    turns: u64,
    news: Vec<(LockId, News)>,
}

#[derive(Debug)]
struct Want {
    key: Key,
    until: Time,
}

/// A key that somebody wants to know about.
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
}

/// A folder whose names are watched.
#[derive(Debug, Default)]
struct Listing {
    /// How many of the crowd are in it.
    crowd: usize,
    request: Option<RequestId>,
    /// As of the last answer.
    index: u64,
    names: HashSet<String>,
    /// When to ask again.
    again: Option<Time>,
    faults: u32,
}

impl Watches {
    /// What became known, for whom.
    pub(super) fn take_news(&mut self) -> Vec<(LockId, News)> {
        std::mem::take(&mut self.news)
    }

    /// When something is due.
    fn wake_at(&self) -> Option<Time> {
        let until = self.untils.first().map(|(at, _)| *at);
        let listing = self.listings.values().filter_map(|l| l.again).min();
        until.into_iter().chain(listing).min()
    }

    /// Tells everybody who wants the key, who then wants it no more.
    fn tell(&mut self, key: &Key, news: &News) {
        let Some(watch) = self.keys.get(key) else {
            return;
        };
        for lock in watch.wanted_by.clone() {
            self.drop_want(lock);
            self.news.push((lock, news.clone()));
        }
    }

    /// Forgets what a lock wants. Answers the request that nobody waits for any more.
    fn drop_want(&mut self, lock: LockId) -> Option<RequestId> {
        let Want { key, until } = self.wants.remove(&lock)?;
        self.untils.remove(&(until, lock));
        let watch = self.keys.get_mut(&key)?;
        watch.wanted_by.remove(&lock);
        if !watch.wanted_by.is_empty() {
            return None;
        }
        self.leave_crowd(&key);
        let watch = self.keys.remove(&key)?;
        if watch.request.is_some() {
            self.running -= 1;
        }
        watch.request
    }

    fn join_crowd(&mut self, key: &Key) {
        let Some(watch) = self.keys.get(key) else {
            return;
        };
        self.crowd.insert((watch.turn, key.clone()));
        for lock in &watch.wanted_by {
            if let Some(want) = self.wants.get(lock) {
                self.untils.insert((want.until, *lock));
            }
        }
        if watch.need == Need::Waiting && !self.unlisted.contains(&watch.folder) {
            let listing = self.listings.entry(watch.folder.clone()).or_default();
            listing.crowd += 1;
            // It was known to be there when its watch began; was it gone by the last listing?
            if listing.index > watch.index && !listing.names.contains(&**key) {
                self.tell(key, &News::Gone);
            }
        }
    }

    fn leave_crowd(&mut self, key: &Key) -> bool {
        let Some(watch) = self.keys.get(key) else {
            return false;
        };
        if !self.crowd.remove(&(watch.turn, key.clone())) {
            return false;
        }
        for lock in &watch.wanted_by {
            if let Some(want) = self.wants.get(lock) {
                self.untils.remove(&(want.until, *lock));
            }
        }
        if watch.need == Need::Waiting
            && let Some(listing) = self.listings.get_mut(&watch.folder)
        {
            listing.crowd = listing.crowd.saturating_sub(1);
        }
        true
    }

    /// Whether the crowd is served by nothing but turns.
    fn takes_turns(&self) -> bool {
        self.crowd.iter().any(|(_, key)| {
            let watch = self.keys.get(key);
            watch.is_some_and(|w| w.need == Need::Waiting && self.unlisted.contains(&w.folder))
        })
    }
}

impl Context<'_> {
    /// Wants to know when `key` is not any more as it was at `index`, or that nothing is known at
    /// `until`. A lock wants one thing at a time; the answer is [`News`], and then it wants no more.
    pub(super) fn watch(&mut self, lock: LockId, key: Key, index: u64, until: Time, need: Need) {
        self.unwatch(lock);
        let watches = &mut self.shared.watches;
        watches.wants.insert(
            lock,
            Want {
                key: key.clone(),
                until,
            },
        );
        if watches.keys.contains_key(&key) {
            // In the crowd, those who wait come first.
            let in_crowd = watches.leave_crowd(&key);
            if let Some(watch) = watches.keys.get_mut(&key) {
                watch.wanted_by.insert(lock);
                if need == Need::Waiting {
                    watch.need = need;
                }
            }
            if in_crowd {
                watches.join_crowd(&key);
            }
        } else {
            let watch = Watch {
                folder: folder(&key).into(),
                wanted_by: BTreeSet::from([lock]),
                need,
                index,
                request: None,
                turn: watches.turns,
            };
            watches.turns += 1;
            watches.keys.insert(key.clone(), watch);
            watches.join_crowd(&key);
        }
        self.arrange();
    }

    /// Wants to know nothing any more.
    pub(super) fn unwatch(&mut self, lock: LockId) {
        if !self.shared.watches.wants.contains_key(&lock) {
            return;
        }
        if let Some(request) = self.shared.watches.drop_want(lock) {
            self.abort(request);
        }
        self.arrange();
    }

    fn budget(&self) -> Budget {
        Budget::of(self.shared.config.connections)
    }

    /// Gives those of the crowd a query who can have one, and the others a listing.
    fn arrange(&mut self) {
        let now = self.time();
        while let Some(key) = self.next_of_crowd() {
            let watches = &mut self.shared.watches;
            watches.leave_crowd(&key);
            let takes_turns = watches.takes_turns();
            watches.running += 1;
            watches.turns += 1;
            let turn = watches.turns;
            let Some(watch) = watches.keys.get_mut(&key) else {
                return;
            };
            watch.turn = turn;
            let index = watch.index;
            let until = watch
                .wanted_by
                .iter()
                .filter_map(|lock| watches.wants.get(lock));
            let until = until.map(|want| want.until).min().unwrap_or(now);
            let longest = if takes_turns { TURN } else { LONGEST_WATCH };
            let wait = until.since(now).min(longest).max(Duration::from_millis(1));
            let request = Request::Watch {
                key: key.clone(),
                index,
                wait,
            };
            let by = now + wait + wait / 16 + WATCH_SLACK;
            let request = self.send_long(Owner::Watch, request, by);
            if let Some(watch) = self.shared.watches.keys.get_mut(&key) {
                watch.request = Some(request);
            }
        }
        let most = self.budget().listings;
        let mut running = 0;
        let mut idle = Vec::new();
        for (folder, listing) in &self.shared.watches.listings {
            if listing.crowd == 0 {
                idle.push(folder.clone());
            } else if listing.request.is_some() || listing.again.is_some() {
                running += 1;
            }
        }
        for folder in idle {
            if let Some(Listing {
                request: Some(request),
                ..
            }) = self.shared.watches.listings.remove(&folder)
            {
                self.abort(request);
            }
        }
        while running < most {
            let waiting = self.shared.watches.listings.iter();
            let fullest = waiting
                .filter(|(_, l)| l.request.is_none() && l.again.is_none())
                .max_by_key(|(_, l)| l.crowd)
                .map(|(folder, _)| folder.clone());
            let Some(folder) = fullest else { break };
            self.list(folder);
            running += 1;
        }
        let at = self.shared.watches.wake_at();
        self.shared.alarms.set(Alarm::Watches, at);
    }

    /// Whose turn it is to have a query of its own, if there is one to have.
    fn next_of_crowd(&self) -> Option<Key> {
        let (watches, budget) = (&self.shared.watches, self.budget());
        let need = |key: &Key| watches.keys.get(key).map(|watch| watch.need);
        if watches.running >= budget.watches {
            return None;
        }
        let waiting = watches
            .crowd
            .iter()
            .find(|(_, key)| need(key) == Some(Need::Waiting));
        let courtesy = || {
            let room = watches.running < budget.courtesies;
            watches.crowd.first().filter(|_| room)
        };
        waiting.or_else(courtesy).map(|(_, key)| key.clone())
    }

    fn list(&mut self, folder: Key) {
        let Some(listing) = self.shared.watches.listings.get_mut(&folder) else {
            return;
        };
        listing.again = None;
        let wait = LONGEST_WATCH;
        let request = Request::WatchNames {
            folder: folder.clone(),
            index: listing.index,
            wait,
        };
        let by = self.time() + wait + wait / 16 + WATCH_SLACK;
        let request = self.send_long(Owner::Watch, request, by);
        if let Some(listing) = self.shared.watches.listings.get_mut(&folder) {
            listing.request = Some(request);
        }
    }

    /// Something is due.
    pub(super) fn tend_watches(&mut self) {
        let now = self.time();
        while let Some((_, lock)) = self
            .shared
            .watches
            .untils
            .first()
            .filter(|(at, _)| *at <= now)
        {
            let lock = *lock;
            self.shared.watches.drop_want(lock);
            self.shared.watches.news.push((lock, News::Nothing));
        }
        let due = self.shared.watches.listings.iter();
        let due = due.filter(|(_, l)| l.again.is_some_and(|at| at <= now));
        for folder in due.map(|(folder, _)| folder.clone()).collect::<Vec<_>>() {
            self.list(folder);
        }
        self.arrange();
    }

    /// Takes in the answer to a query.
    pub(super) fn watch_replied(&mut self, request: RequestId, answer: Result<Answer, Fault>) {
        let watches = &self.shared.watches;
        let single = watches
            .keys
            .iter()
            .find(|(_, w)| w.request == Some(request));
        let listing = || {
            watches
                .listings
                .iter()
                .find(|(_, l)| l.request == Some(request))
        };
        if let Some(key) = single.map(|(key, _)| key.clone()) {
            self.watched(&key, answer);
        } else if let Some(folder) = listing().map(|(folder, _)| folder.clone()) {
            self.listed(&folder, answer);
        }
        self.arrange();
    }

    fn watched(&mut self, key: &Key, answer: Result<Answer, Fault>) {
        let now = self.time();
        let watches = &mut self.shared.watches;
        let Some(watch) = watches.keys.get_mut(key) else {
            return;
        };
        watch.request = None;
        watches.running -= 1;
        let news = match answer {
            Ok(Answer::Row { row, index }) => {
                let wants = watch
                    .wanted_by
                    .iter()
                    .filter_map(|lock| watches.wants.get(lock));
                let goes_on = wants
                    .map(|want| want.until)
                    .min()
                    .is_some_and(|until| until > now);
                // Its turn is over, and nothing happened: to the end of the queue.
                if index == watch.index && goes_on && !watches.crowd.is_empty() {
                    watches.turns += 1;
                    watch.turn = watches.turns;
                    return watches.join_crowd(key);
                }
                News::Row { row, index }
            }
            Err(Fault::Final(error)) => News::Refused(error),
            Err(fault) => News::Failed(fault.error().clone()),
            Ok(_) => News::Nothing,
        };
        watches.tell(key, &news);
    }

    fn listed(&mut self, folder: &Key, answer: Result<Answer, Fault>) {
        let now = self.time();
        let Some(listing) = self.shared.watches.listings.get_mut(folder) else {
            return;
        };
        listing.request = None;
        match answer {
            Ok(Answer::Names { names, index }) => {
                listing.faults = 0;
                // After a restored snapshot an index means nothing any more.
                listing.index = if index < listing.index { 0 } else { index };
                listing.names = names.into_iter().collect();
                listing.again = Some(now + LISTING_PAUSE);
                let watches = &mut self.shared.watches;
                let Some(listing) = watches.listings.get(folder) else {
                    return;
                };
                let gone = watches.crowd.iter().map(|(_, key)| key).filter(|key| {
                    let here = watches.keys.get(*key).is_some_and(|w| w.folder == *folder);
                    here && !listing.names.contains(&***key)
                });
                for key in gone.cloned().collect::<Vec<_>>() {
                    watches.tell(&key, &News::Gone);
                }
            }
            Err(Fault::Final(error)) => {
                let watches = &mut self.shared.watches;
                watches.listings.remove(folder);
                watches.unlisted.insert(folder.clone());
                self.log(Level::Warn, Often::OncePerKey("no listing", folder), || {
                    format!(
                        "more keys wait in \"{folder}\" than there are connections for, and they \
                         cannot be listed ({error}): they take turns, and may be noticed late"
                    )
                });
            }
            Err(_) | Ok(_) => {
                listing.faults += 1;
                let faults = listing.faults;
                let at = now + self.shared.back_off(faults);
                if let Some(listing) = self.shared.watches.listings.get_mut(folder) {
                    listing.again = Some(at);
                }
            }
        }
    }
}

/// The folder of a key, with its slash; of a ticket, that of the key in whose line it stands.
fn folder(key: &str) -> &str {
    let key = key.find("/.fifo/").map_or(key, |at| &key[..at]);
    key.rfind('/').map_or("", |at| &key[..=at])
}
