//! The model itself: its state, and how time passes in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::Node;
use crate::edition::Edition;
use crate::random::Random;
use crate::store::{Flaw, Row, Session, Store};
use crate::time::Time;

/// The node of the only agent, without [`Model::set_node`].
pub const NODE: &str = "consul-lock-dev";

/// The longest lock-delay that Consul allows.
const MAX_LOCK_DELAY: Duration = Duration::from_secs(60);

/// With so many lock-delays the model forgets those that are over.
const MANY_DELAYS: usize = 1024;

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, such as `PUT`.
    pub method: &'a str,
    /// Path and query, percent-encoded, such as `/v1/kv/a%20b?consistent=`.
    pub target: &'a str,
    /// The body; empty: none.
    pub body: &'a [u8],
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// `X-Consul-Index`. A reply with an index also has Consul's other headers of a read.
    pub index: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
    /// Further headers, names and values.
    pub headers: Vec<(&'static str, String)>,
}

/// The end of a request.
#[derive(Debug)]
pub enum Served {
    /// The model has answered.
    Reply(Reply),
    /// The request is a blocking query, which waits. [`Model::woken`] has its reply later.
    Parked(WatchId),
}

/// A blocking query that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub(crate) u64);

/// A place in a key's line of waiters, as the library writes it.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The index at which the ticket was made.
    pub create_index: u64,
    /// The key of the ticket's row.
    pub name: String,
    /// The session that holds the ticket.
    pub session: String,
    /// The name of that session.
    pub session_name: String,
    /// The flags of the row.
    pub flags: u64,
    /// The value of the row.
    pub value: Arc<[u8]>,
}

/// The subject of a read.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// One key; `raw`: only its value.
    Key { key: String, raw: bool },
    /// The rows that begin with this prefix.
    Rows(String),
    /// The names that begin with this prefix, up to the separator.
    Names { prefix: String, separator: String },
}

#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) subject: Subject,
    pub(crate) index: u64,
    /// What it answers if nothing wakes it.
    pub(crate) before: Reply,
    pub(crate) until: Time,
}

/// A model of Consul, of 1.8.7 or a newer one ([`Edition`]), in virtual time.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) store: Store,
    /// The sessions that a leader which stands still remembers.
    pub(crate) old_leader: BTreeMap<Arc<str>, Session>,
    /// The name of the agent's node.
    pub(crate) node: String,
    /// The nodes of the catalog.
    pub(crate) nodes: BTreeMap<String, Node>,
    /// The index of the last change of the catalog.
    pub(crate) nodes_index: u64,
    /// The number of servers beside this one.
    pub(crate) peers: u32,
    /// Raft's last index. Every write request takes one index, whatever its outcome.
    pub(crate) index: u64,
    pub(crate) writes: u64,
    /// A session ends at this many thousandths of its TTL.
    pub(crate) expiry: u64,
    pub(crate) timers: BTreeSet<(Time, Arc<str>)>,
    pub(crate) deadlines: BTreeMap<Arc<str>, Time>,
    /// Until when Consul locks a key for no session.
    pub(crate) delays: BTreeMap<Arc<str>, Time>,
    watches: BTreeMap<WatchId, Watch>,
    /// The ends of the watches.
    ends: BTreeSet<(Time, WatchId)>,
    woken: Vec<(WatchId, Reply)>,
    last_watch: u64,
    pub(crate) random: Random,
}

impl Model {
    /// A Consul that has just started. The seed decides the ids of sessions, and what Consul leaves to chance.
    pub fn new(seed: u64) -> Model {
        Model {
            store: Store::default(),
            old_leader: BTreeMap::new(),
            node: NODE.to_owned(),
            nodes: BTreeMap::from([(NODE.to_owned(), Node::of_agent(10))]),
            nodes_index: 11,
            peers: 2,
            // What an agent writes about itself when it starts.
            index: 12,
            writes: 0,
            expiry: 2000,
            timers: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            delays: BTreeMap::new(),
            watches: BTreeMap::new(),
            ends: BTreeSet::new(),
            woken: Vec::new(),
            last_watch: 0,
            random: Random::new(seed ^ 0xc0_5e1),
        }
    }

    /// Sets at how many thousandths of their TTL sessions end: 2,000 as measured.
    pub fn set_expiry(&mut self, thousandths_of_ttl: u64) {
        self.expiry = thousandths_of_ttl;
    }

    /// Sets the version of Consul; without this it is 1.8.7.
    pub fn set_edition(&mut self, edition: Edition) {
        self.store.edition = edition;
    }

    /// Leaves nothing to chance: no query wakes that need not, and the ids of sessions grow.
    pub fn leave_nothing_to_chance(&mut self) {
        self.random = Random::none();
    }

    /// Names the node of the only agent.
    pub fn set_node(&mut self, name: &str) {
        name.clone_into(&mut self.node);
        self.nodes = BTreeMap::from([(self.node.clone(), Node::of_agent(10))]);
    }

    /// Sets how many servers the cluster has beside this one; without this it has two.
    pub fn set_peers(&mut self, peers: u32) {
        self.peers = peers;
    }

    /// Builds a flaw in, so that a test can show that it would be found.
    pub fn break_rule(&mut self, flaw: Flaw) {
        self.store.flaw = Some(flaw);
    }

    /// Lets time pass: sessions and waits end. Instants never go back.
    pub fn advance(&mut self, now: Time) {
        while let Some(at) = self.next_event_at().filter(|at| *at <= now) {
            if let Some((due, id)) = self.timers.first().cloned()
                && due == at
            {
                self.kill_session(at, &id);
                continue;
            }
            while let Some((end, id)) = self.ends.first().copied()
                && end <= at
            {
                if let Some(watch) = self.end_watch(id) {
                    self.woken.push((id, watch.before));
                }
            }
        }
    }

    /// The next instant at which something happens by itself.
    pub fn next_event_at(&self) -> Option<Time> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let wait = self.ends.first().map(|(at, _)| *at);
        [timer, wait].into_iter().flatten().min()
    }

    /// A blocking query has its reply.
    pub fn has_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// The blocking queries that have their reply.
    pub fn woken(&mut self) -> Vec<(WatchId, Reply)> {
        std::mem::take(&mut self.woken)
    }

    /// The client of a blocking query went away.
    pub fn forget(&mut self, watch: WatchId) {
        self.end_watch(watch);
        self.woken.retain(|(id, _)| *id != watch);
    }

    /// How many blocking queries wait.
    pub fn parked(&self) -> usize {
        self.watches.len()
    }

    /// Ends a session, as its TTL or an operator does.
    pub fn kill_session(&mut self, now: Time, id: &str) {
        let index = self.write();
        self.end_session(now, id, index);
    }

    /// The same at an index that the request already has.
    pub(crate) fn end_session(&mut self, now: Time, id: &str, index: u64) {
        if let Some(due) = self.deadlines.remove(id) {
            self.timers.remove(&(due, id.into()));
        }
        let Some(session) = self.store.sessions.remove(id) else {
            return;
        };
        self.store.session_index = index;
        let mut draft = self.store.draft(index);
        let held = draft.end(id, session.behavior);
        let changes = draft.into_changes();
        let delay = session.lock_delay().min(MAX_LOCK_DELAY);
        if !delay.is_zero() {
            if self.delays.len() > MANY_DELAYS {
                self.delays
                    .retain(|_, until| *until + Duration::from_secs(2) > now);
            }
            self.delays
                .extend(held.into_iter().map(|key| (key, now + delay)));
        }
        self.commit(index, changes);
    }

    /// Has a blocking query wait.
    pub(crate) fn park(&mut self, watch: Watch) -> WatchId {
        self.last_watch += 1;
        let id = WatchId(self.last_watch);
        self.ends.insert((watch.until, id));
        self.watches.insert(id, watch);
        id
    }

    fn end_watch(&mut self, id: WatchId) -> Option<Watch> {
        let watch = self.watches.remove(&id)?;
        self.ends.remove(&(watch.until, id));
        Some(watch)
    }

    /// Takes an index of the Raft log.
    pub(crate) fn write(&mut self) -> u64 {
        self.writes += 1;
        self.index += 1;
        self.index
    }

    /// Makes changes real, and wakes the queries that wait for them.
    pub(crate) fn commit(&mut self, index: u64, changes: BTreeMap<Arc<str>, Option<Row>>) {
        for key in self.store.apply(index, changes) {
            self.wake(&key);
        }
    }

    /// A write to a row wakes the queries that wait for it. Where there is no such row, Consul watches a node of its
    /// tree above all rows that may come, and answers with the index of the whole table: any write below the
    /// missing name wakes the query, and some other writes do, depending on the shape of the tree. A newer Consul
    /// looks again then, and goes on waiting for a key that is still missing, from that index on.
    fn wake(&mut self, key: &str) {
        let mut awake = Vec::new();
        for (id, watch) in &self.watches {
            let looks = match &watch.subject {
                Subject::Key { key: own, .. } if self.store.rows.contains_key(own.as_str()) => {
                    own == key
                }
                Subject::Key { key: own, .. } => key.starts_with(own) || self.random.chance(500),
                Subject::Rows(prefix) | Subject::Names { prefix, .. } => {
                    key.starts_with(prefix) || self.random.chance(500)
                }
            };
            if looks && self.store.index_of(&watch.subject) > watch.index {
                awake.push(*id);
            }
        }
        for id in awake {
            let Some(watch) = self.watches.get_mut(&id) else {
                continue;
            };
            let answer = self.store.show(&watch.subject);
            let is_still_missing = answer.status == 404 && watch.before.status == 404;
            let own = matches!(watch.subject, Subject::Key { .. });
            if own && is_still_missing && self.store.edition.waits_for_the_key() {
                watch.index = answer.index.unwrap_or_default();
                watch.before = answer;
            } else {
                self.end_watch(id);
                self.woken.push((id, answer));
            }
        }
    }
}
