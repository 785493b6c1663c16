//! A model of Consul in virtual time, of 1.8.7 or a newer one ([`Edition`]), at the level of HTTP: the
//! very same requests can go to it and to a real Consul (see [`super::differential`], which compares
//! the two).
//!
//! The model has the endpoints that a lock needs. Any other request is a mistake in a test, and panics.

mod edition;
mod keys;
mod sessions;
mod store;
mod transactions;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

use self::sessions::not_found;
use self::store::{Behavior, Content, Draft, Row, Session, Store};
use self::wire::{Target, reply};
use super::plan::Random;
use crate::clock::Time;
use crate::consul::http::{HttpReply, HttpRequest, Method};

pub(super) use self::edition::Edition;
pub(super) use self::store::Flaw;
pub(super) use self::wire::NODE;

/// The longest lock-delay that Consul allows.
const MAX_LOCK_DELAY: Duration = Duration::from_secs(60);

/// The end of a request.
#[derive(Debug)]
pub(super) enum Served {
    Reply(HttpReply),
    /// A blocking query that waits.
    Parked(WatchId),
}

/// A blocking query that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WatchId(u64);

/// A place in a key's line.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) create_index: u64,
    pub(super) name: String,
    pub(super) session: String,
    pub(super) session_name: String,
    pub(super) flags: u64,
    pub(super) value: Arc<[u8]>,
}

/// The subject of a read.
enum Subject {
    Key(String),
    /// The names that begin with this prefix.
    Names(String),
}

struct Watch {
    subject: Subject,
    index: u64,
    /// What it answers if nothing wakes it.
    before: HttpReply,
    until: Time,
}

/// A model of Consul.
pub(super) struct Model {
    store: Store,
    /// The sessions that a leader which stands still remembers.
    old_leader: BTreeMap<Arc<str>, Session>,
    /// The nodes of the catalog.
    nodes: BTreeSet<String>,
    /// Raft's last index. Every write request takes one index, whatever its outcome.
    index: u64,
    writes: u64,
    /// A session ends at this many thousandths of its TTL.
    expiry: u64,
    timers: BTreeSet<(Time, Arc<str>)>,
    deadlines: BTreeMap<Arc<str>, Time>,
    /// Until when Consul locks a key for no session.
    delays: BTreeMap<Arc<str>, Time>,
    watches: BTreeMap<WatchId, Watch>,
    woken: Vec<(WatchId, HttpReply)>,
    last_watch: u64,
    random: Random,
}

impl Model {
    pub(super) fn new(seed: u64) -> Model {
        Model {
            store: Store::default(),
            old_leader: BTreeMap::new(),
            nodes: BTreeSet::from([NODE.to_owned()]),
            // What an agent writes about itself when it starts.
            index: 12,
            writes: 0,
            expiry: 2000,
            timers: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            delays: BTreeMap::new(),
            watches: BTreeMap::new(),
            woken: Vec::new(),
            last_watch: 0,
            random: Random::new(seed ^ 0xc0_5e1),
        }
    }

    /// Sets at how many thousandths of their TTL sessions end: 2,000 as measured.
    pub(super) fn set_expiry(&mut self, thousandths_of_ttl: u64) {
        self.expiry = thousandths_of_ttl;
    }

    /// Sets the version of Consul; without this it is 1.8.7.
    pub(super) fn set_edition(&mut self, edition: Edition) {
        self.store.edition = edition;
    }

    /// Builds a flaw in.
    pub(super) fn break_rule(&mut self, flaw: Flaw) {
        self.store.flaw = Some(flaw);
    }

    /// Serves a request at an instant. Instants never go back.
    pub(super) fn handle(&mut self, now: Time, request: &HttpRequest) -> Served {
        self.advance(now);
        let target = Target::new(&request.target);
        let body = request.body.as_deref().unwrap_or_default();
        let known = [
            "consistent",
            "keys",
            "index",
            "wait",
            "acquire",
            "release",
            "flags",
            "dc",
        ];
        for name in target.names() {
            assert!(known.contains(&name), "the model does not know ?{name}");
        }
        let path = target.path.strip_prefix("/v1/").unwrap_or_default();
        let (head, tail) = path.split_once('/').unwrap_or((path, ""));
        let (verb, id) = tail.split_once('/').unwrap_or((tail, ""));
        if head == "kv"
            && let Some(problem) = self.store.edition.problem_of(&wire::percent_decode(tail))
        {
            return Served::Reply(reply(500, problem));
        }
        Served::Reply(match (request.method, head, verb) {
            (Method::Get, "kv", _) => {
                let path = wire::percent_decode(tail);
                let subject = match target.parameter("keys") {
                    None => Subject::Key(path),
                    Some(_) => Subject::Names(path),
                };
                return self.read(now, subject, &target);
            }
            (Method::Put, "kv", _) => self.put(now, &wire::percent_decode(tail), &target, body),
            (Method::Delete, "kv", _) => {
                self.delete_key(now, &wire::percent_decode(tail));
                reply(200, "true")
            }
            (Method::Put, "txn", _) => self.txn(now, body),
            (Method::Put, "catalog", "register") => self.register(body),
            (Method::Put, "catalog", "deregister") => self.deregister(now, body),
            (Method::Get, "catalog", "node") => self.node(id),
            (Method::Get, "agent", "self") => agent(),
            (Method::Put, "session", "create") => self.create(now, body),
            (Method::Put, "session", "destroy") => self.destroy(now, id),
            (Method::Put, "session", "renew") => self.renew(now, id),
            (Method::Get, "session", "info") => self.info(id),
            (Method::Get, "session", "list") => self.list(),
            _ => panic!("the model does not know {request:?}"),
        })
    }

    /// Lets time pass: sessions and waits end.
    pub(super) fn advance(&mut self, now: Time) {
        while let Some(at) = self.next_event_at().filter(|at| *at <= now) {
            if let Some((due, id)) = self.timers.first().cloned()
                && due == at
            {
                self.kill_session(at, &id);
                continue;
            }
            let over: Vec<WatchId> = self
                .watches
                .iter()
                .filter(|(_, w)| w.until <= at)
                .map(|(id, _)| *id)
                .collect();
            for id in over {
                if let Some(watch) = self.watches.remove(&id) {
                    self.woken.push((id, watch.before));
                }
            }
        }
    }

    /// The next instant at which something happens by itself.
    pub(super) fn next_event_at(&self) -> Option<Time> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let wait = self.watches.values().map(|watch| watch.until).min();
        [timer, wait].into_iter().flatten().min()
    }

    /// The blocking queries that have their answer.
    pub(super) fn woken(&mut self) -> Vec<(WatchId, HttpReply)> {
        std::mem::take(&mut self.woken)
    }

    /// The client of a blocking query went away.
    pub(super) fn forget(&mut self, watch: WatchId) {
        self.watches.remove(&watch);
        self.woken.retain(|(id, _)| *id != watch);
    }

    /// A new leader knows no timers: all start again at their full length. Lock-delays live in the memory of a
    /// server; this leader has just started and has none.
    pub(super) fn leader_change(&mut self, now: Time) {
        self.delays.clear();
        let ids: Vec<Arc<str>> = self.store.sessions.keys().cloned().collect();
        for id in ids {
            self.start_timer(now, &id);
        }
    }

    /// The sessions: id and name.
    pub(super) fn sessions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.store
            .sessions
            .iter()
            .map(|(id, session)| (&**id, session.name.as_str()))
    }

    /// The locked keys: key and session.
    pub(super) fn held_keys(&self) -> Vec<(String, String)> {
        let held = |(key, row): (&Arc<str>, &Row)| {
            Some((key.to_string(), row.session.as_ref()?.to_string()))
        };
        self.store.rows.iter().filter_map(held).collect()
    }

    /// The tickets of a key's line that a session holds.
    pub(super) fn line(&self, key: &str) -> Vec<Ticket> {
        let ticket = |(name, row): (&str, &Row)| {
            let session = row.session.as_ref()?;
            Some(Ticket {
                create_index: row.create_index,
                name: name.to_owned(),
                session: session.to_string(),
                session_name: self.store.sessions.get(session)?.name.clone(),
                flags: row.flags,
                value: row.value.clone(),
            })
        };
        let line = format!("{key}/.fifo/");
        self.store.tree(&line).filter_map(ticket).collect()
    }

    /// The session that holds a key or another row.
    pub(super) fn holder(&self, row: &str) -> Option<&str> {
        self.store.rows.get(row)?.session.as_deref()
    }

    /// No session holds a key.
    pub(super) fn is_free(&self, key: &str) -> bool {
        self.store
            .rows
            .get(key)
            .is_none_or(|row| row.session.is_none())
    }

    /// The number of entries in the Raft log.
    pub(super) fn raft_writes(&self) -> u64 {
        self.writes
    }

    /// The leader stands still, and will remember the sessions of this instant.
    pub(super) fn freeze_leader(&mut self) {
        self.old_leader = self.store.sessions.clone();
    }

    /// How a leader that stood still answers a renewal when it wakes: from its own memory, before it finds that it
    /// leads no more. That answer renews nothing.
    pub(super) fn renew_at_old_leader(&self, id: &str) -> HttpReply {
        match self.old_leader.get(id) {
            None => not_found(id),
            Some(session) => {
                let mut rows = "[".to_owned();
                wire::session(&mut rows, id, session);
                rows.push(']');
                reply(200, rows)
            }
        }
    }

    /// The key does not exist.
    pub(super) fn is_absent(&self, key: &str) -> bool {
        !self.store.rows.contains_key(key)
    }

    /// The key holds data that is no lock.
    pub(super) fn is_data(&self, key: &str) -> bool {
        let row = self.store.rows.get(key);
        row.is_some_and(|row| row.session.is_none() && row.flags == 0 && &*row.value == b"data")
    }

    /// Ends a session, as its TTL or an operator does.
    pub(super) fn kill_session(&mut self, now: Time, id: &str) {
        let index = self.write();
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
        let delay = session.lock_delay.min(MAX_LOCK_DELAY);
        if !delay.is_zero() {
            self.delays
                .extend(held.into_iter().map(|key| (key, now + delay)));
        }
        self.commit(index, changes);
    }

    /// Takes a node out of the catalog, as autopilot or an operator does: all its sessions end.
    pub(super) fn remove_node(&mut self, now: Time, node: &str) {
        self.nodes.remove(node);
        for id in self.sessions_of(node) {
            self.kill_session(now, &id);
        }
    }

    /// Puts a node into the catalog, as an agent does with its own.
    pub(super) fn add_node(&mut self, node: &str) {
        self.write();
        self.nodes.insert(node.to_owned());
    }

    /// The ids of the sessions that are bound to a node.
    pub(super) fn sessions_of(&self, node: &str) -> Vec<String> {
        let sessions = self.store.sessions.iter();
        let of_node = sessions.filter(|(_, session)| session.node == node);
        of_node.map(|(id, _)| id.to_string()).collect()
    }

    /// Deletes a key, held or not.
    pub(super) fn delete_key(&mut self, _now: Time, key: &str) {
        let index = self.write();
        let mut draft = self.store.draft(index);
        draft.delete(key);
        let changes = draft.into_changes();
        self.commit(index, changes);
    }

    fn write(&mut self) -> u64 {
        self.writes += 1;
        self.index += 1;
        self.index
    }

    fn commit(&mut self, index: u64, changes: BTreeMap<Arc<str>, Option<Row>>) {
        for key in self.store.apply(index, changes) {
            self.wake(&key);
        }
    }

    fn register(&mut self, body: &[u8]) -> HttpReply {
        let json: Json = serde_json::from_slice(body).expect("a registration");
        self.add_node(json["Node"].as_str().expect("a node"));
        reply(200, "true")
    }

    fn deregister(&mut self, now: Time, body: &[u8]) -> HttpReply {
        let json: Json = serde_json::from_slice(body).expect("a node");
        self.remove_node(now, json["Node"].as_str().expect("a node"));
        reply(200, "true")
    }

    fn node(&self, node: &str) -> HttpReply {
        if !self.nodes.contains(node) {
            return reply(200, "null");
        }
        let external = node != NODE;
        let meta = external.then(|| serde_json::json!({"external-node": "true"}));
        let row = serde_json::json!({"Node": {"Node": node, "Meta": meta}, "Services": {}});
        reply(200, row.to_string())
    }
}

/// One server of three.
fn agent() -> HttpReply {
    let config = serde_json::json!({"NodeName": NODE, "Server": true});
    let stats = serde_json::json!({"raft": {"num_peers": "2"}});
    let agent = serde_json::json!({"Config": config, "Stats": stats});
    reply(200, agent.to_string())
}
