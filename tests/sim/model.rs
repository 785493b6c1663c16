//! A model of Consul in virtual time, of 1.8.7 or a newer one ([`Edition`]), at the level of HTTP: the
//! very same requests can go to it and to a real Consul (see [`super::differential`], which compares
//! the two).
//!
//! The model has the endpoints that a lock needs. Any other request is a mistake in a test, and panics.

mod edition;
mod store;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

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

    /// The tickets of a key's line: CreateIndex, name, and the name of the session.
    pub(super) fn tickets(&self, key: &str) -> Vec<(u64, String, String)> {
        let line = format!("{key}/.fifo/");
        let ticket = |(name, row): (&Arc<str>, &Row)| {
            let session = self.store.sessions.get(row.session.as_ref()?)?;
            name.starts_with(&line)
                .then(|| (row.create_index, name.to_string(), session.name.clone()))
        };
        self.store.rows.iter().filter_map(ticket).collect()
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

    // Keys.

    fn read(&mut self, now: Time, subject: Subject, target: &Target<'_>) -> Served {
        let index = match target.parameter("index").map(str::parse::<u64>) {
            None => 0,
            Some(Ok(index)) => index,
            Some(Err(_)) => return Served::Reply(reply(400, "Invalid index")),
        };
        let Some(wait) = wire::wait(target.parameter("wait")) else {
            return Served::Reply(reply(400, "Invalid wait time"));
        };
        let current = self.show(&subject);
        if index == 0 || current.index > Some(index) {
            return Served::Reply(current);
        }
        self.last_watch += 1;
        let id = WatchId(self.last_watch);
        // Consul lets a wait last up to a sixteenth longer, so that they don't end together.
        let until = now + wait + self.random.duration(wait / 16);
        self.watches.insert(
            id,
            Watch {
                subject,
                index,
                before: current,
                until,
            },
        );
        Served::Parked(id)
    }

    /// The answer to a read.
    fn show(&self, subject: &Subject) -> HttpReply {
        let (index, answer) = match subject {
            Subject::Key(key) => match self.store.rows.get(key.as_str()) {
                None => (self.store.kv_index, reply(404, "")),
                Some(row) => {
                    let mut body = "[".to_owned();
                    wire::row(&mut body, key, row, true);
                    body.push(']');
                    (row.modify_index, reply(200, body))
                }
            },
            Subject::Names(prefix) => {
                let names = wire::names(self.store.tree(prefix).map(|(key, _)| key));
                let empty = names == "[]" && !prefix.is_empty();
                let answer = if empty {
                    reply(404, "")
                } else {
                    reply(200, names)
                };
                (self.store.tree_index(prefix), answer)
            }
        };
        HttpReply {
            index: Some(index.max(1)),
            ..answer
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
                Subject::Key(own) if self.store.rows.contains_key(own.as_str()) => own == key,
                Subject::Key(own) => key.starts_with(own) || self.random.chance(500),
                Subject::Names(prefix) => key.starts_with(prefix) || self.random.chance(500),
            };
            if looks && self.show(&watch.subject).index > Some(watch.index) {
                awake.push(*id);
            }
        }
        for id in awake {
            let Some(mut watch) = self.watches.remove(&id) else {
                continue;
            };
            let answer = self.show(&watch.subject);
            let is_still_missing = answer.status == 404 && watch.before.status == 404;
            let own = matches!(watch.subject, Subject::Key(_));
            if own && is_still_missing && self.store.edition.waits_for_the_key() {
                watch.index = answer.index.unwrap_or_default();
                watch.before = answer;
                self.watches.insert(id, watch);
            } else {
                self.woken.push((id, answer));
            }
        }
    }

    fn put(&mut self, now: Time, key: &str, target: &Target<'_>, body: &[u8]) -> HttpReply {
        if key.is_empty() {
            return reply(400, "Missing key name");
        }
        let flags = target
            .parameter("flags")
            .map_or(0, |text| text.parse().expect("flags"));
        let content = Content {
            value: body.into(),
            flags,
        };
        let (acquire, release) = (target.parameter("acquire"), target.parameter("release"));
        // The leader refuses before Raft.
        if acquire.is_some() && self.is_delayed(now, key) {
            return reply(200, "false");
        }
        let index = self.write();
        let mut draft = self.store.draft(index);
        let done = match (acquire, release) {
            (Some(session), _) => draft.lock(key, &content, session),
            (_, Some(session)) => draft.unlock(key, &content, session),
            _ => Ok(Some(draft.set(key, &content))),
        };
        let changes = draft.into_changes();
        self.commit(index, changes);
        match done {
            Ok(row) => reply(200, row.is_some().to_string()),
            Err(what) => reply(500, self.store.edition.apply_prefix().to_owned() + &what),
        }
    }

    /// The lock-delay of the key runs, or ended a moment ago.
    pub(super) fn was_delayed(&self, now: Time, key: &str) -> bool {
        let lately = |until: &Time| now < *until + Duration::from_secs(2);
        self.delays.get(key).is_some_and(lately)
    }

    pub(super) fn is_delayed(&self, now: Time, key: &str) -> bool {
        self.delays.get(key).is_some_and(|until| *until > now)
    }

    // Transactions.

    fn txn(&mut self, now: Time, body: &[u8]) -> HttpReply {
        let json: Json = match serde_json::from_slice(body) {
            Ok(json) => json,
            Err(error) => return reply(400, format!("Failed to parse body: {error}")),
        };
        let ops: Vec<Op<'_>> = json.as_array().into_iter().flatten().map(Op::new).collect();
        let refused: Vec<(usize, String)> = ops
            .iter()
            .enumerate()
            .filter_map(|(i, op)| Some((i, self.refuse(now, op)?)))
            .collect();
        let writes = ops.iter().any(Op::writes);
        let tail = if writes {
            "}".to_owned()
        } else {
            self.store.edition.read_tail(!refused.is_empty())
        };
        let tail = tail.as_str();
        if !refused.is_empty() {
            return failed(&refused, tail);
        }
        let index = if writes { self.write() } else { self.index };
        let mut draft = self.store.draft(index);
        let mut results = "{\"Results\":[".to_owned();
        let mut errors = Vec::new();
        for (i, op) in ops.iter().enumerate() {
            if let Err(what) = op.run(&mut draft, &mut results) {
                errors.push((i, what));
            }
        }
        let changes = draft.into_changes();
        if errors.is_empty() || self.store.flaw == Some(Flaw::NoRollback) {
            self.commit(index, changes);
        }
        if !errors.is_empty() {
            return failed(&errors, tail);
        }
        if results.ends_with(',') {
            results.pop();
        }
        results.push_str("],\"Errors\":null");
        results.push_str(tail);
        reply(200, results)
    }

    /// The refusals of the leader before Raft.
    fn refuse(&self, now: Time, op: &Op<'_>) -> Option<String> {
        if op.key.is_empty() {
            return Some("Must provide key".to_owned());
        }
        if self.store.edition.knows_verbs_before() && !op.is_known() {
            return Some(format!("unknown KV operation: {}", op.verb));
        }
        let delayed = op.verb == "lock" && self.is_delayed(now, op.key);
        delayed.then(|| format!("failed to lock key {:?} due to lock delay", op.key))
    }

    // The catalog.

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

    // Sessions.

    fn create(&mut self, now: Time, body: &[u8]) -> HttpReply {
        let json: Json = match serde_json::from_slice(body) {
            _ if body.is_empty() => Json::Null,
            Ok(json) => json,
            Err(error) => return reply(400, format!("Request decode failed: {error}")),
        };
        let text = |name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default();
        let behavior = match text("Behavior") {
            "" | "release" => Behavior::Release,
            "delete" => Behavior::Delete,
            other => return reply(500, format!("Invalid Behavior setting '{other}'")),
        };
        let ttl_text = text("TTL").to_owned();
        let ttl = if ttl_text.is_empty() {
            Some(0)
        } else {
            wire::duration(&ttl_text)
        };
        let Some(ttl) = ttl else {
            return reply(500, format!("Session TTL '{ttl_text}' invalid"));
        };
        let allowed = 10_000_000_000..=86_400_000_000_000;
        if ttl != 0 && !allowed.contains(&ttl) {
            return reply(
                500,
                format!("Invalid Session TTL '{ttl}', must be between [10s=24h0m0s]"),
            );
        }
        let lock_delay = match json.get("LockDelay") {
            None => 15_000_000_000,
            Some(Json::String(text)) => wire::duration(text).expect("a lock-delay"),
            // Small numbers are seconds.
            Some(number) => match number.as_u64().expect("a lock-delay") {
                seconds @ 0..1000 => seconds * 1_000_000_000,
                nanos => nanos,
            },
        };
        let node_checks = match json.get("NodeChecks").or(json.get("Checks")) {
            None => Some(vec!["serfHealth".to_owned()]),
            Some(Json::Array(checks)) => Some(
                checks
                    .iter()
                    .filter_map(Json::as_str)
                    .map(str::to_owned)
                    .collect(),
            ),
            Some(_) => None,
        };
        let node = json.get("Node").and_then(Json::as_str).unwrap_or(NODE);
        let index = self.write();
        if !self.nodes.contains(node) {
            return reply(500, "Missing node registration");
        }
        let id = self.new_id();
        let session = Session {
            name: text("Name").to_owned(),
            node: node.to_owned(),
            ttl_text,
            ttl: Duration::from_nanos(ttl),
            behavior,
            lock_delay: Duration::from_nanos(lock_delay),
            node_checks,
            create_index: index,
        };
        self.store.session_index = index;
        let answer = reply(200, format!("{{\"ID\":\"{id}\"}}"));
        self.store.sessions.insert(id.clone(), session);
        self.start_timer(now, &id);
        answer
    }

    fn new_id(&mut self) -> Arc<str> {
        let (a, b) = (self.random.next(), self.random.next());
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xffff,
            b >> 48,
            b & 0xffff_ffff_ffff
        )
        .into()
    }

    /// A session without a TTL has no timer.
    fn start_timer(&mut self, now: Time, id: &Arc<str>) {
        let ttl = self
            .store
            .sessions
            .get(id)
            .map_or(Duration::ZERO, |session| session.ttl);
        if ttl.is_zero() {
            return;
        }
        let nanos = ttl.as_nanos() * u128::from(self.expiry) / 1000;
        let due = now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        if let Some(before) = self.deadlines.insert(id.clone(), due) {
            self.timers.remove(&(before, id.clone()));
        }
        self.timers.insert((due, id.clone()));
    }

    fn destroy(&mut self, now: Time, id: &str) -> HttpReply {
        if let Err(what) = self.store.valid_id(id) {
            return reply(500, what);
        }
        self.kill_session(now, id);
        reply(200, "true")
    }

    fn renew(&mut self, now: Time, id: &str) -> HttpReply {
        if let Err(what) = self.store.valid_id(id) {
            return reply(500, what);
        }
        if !self.store.sessions.contains_key(id) {
            return not_found(id);
        }
        self.start_timer(now, &id.into());
        let rows = self.session_rows(std::iter::once(id));
        reply(200, rows)
    }

    fn info(&self, id: &str) -> HttpReply {
        if let Err(what) = self.store.valid_id(id) {
            return HttpReply {
                index: Some(1),
                ..reply(500, what)
            };
        }
        let index = Some(self.store.session_index.max(1));
        HttpReply {
            index,
            ..reply(200, self.session_rows(std::iter::once(id)))
        }
    }

    fn list(&self) -> HttpReply {
        let index = Some(self.store.session_index.max(1));
        let ids = self.store.sessions.keys().map(|id| &**id);
        HttpReply {
            index,
            ..reply(200, self.session_rows(ids))
        }
    }

    fn session_rows<'a>(&self, ids: impl Iterator<Item = &'a str>) -> String {
        let mut rows = "[".to_owned();
        for id in ids {
            if let Some(session) = self.store.sessions.get(id) {
                rows.push_str(if rows.len() > 1 { "," } else { "" });
                wire::session(&mut rows, id, session);
            }
        }
        rows.push(']');
        rows
    }
}

fn not_found(id: &str) -> HttpReply {
    reply(404, format!("Session id '{id}' not found"))
}

/// One server of three.
fn agent() -> HttpReply {
    let config = serde_json::json!({"NodeName": NODE, "Server": true});
    let stats = serde_json::json!({"raft": {"num_peers": "2"}});
    let agent = serde_json::json!({"Config": config, "Stats": stats});
    reply(200, agent.to_string())
}

fn failed(errors: &[(usize, String)], tail: &str) -> HttpReply {
    let mut body = String::new();
    wire::errors(&mut body, errors);
    body.push_str(tail);
    reply(409, body)
}

/// One operation of a transaction.
struct Op<'a> {
    verb: &'a str,
    key: &'a str,
    session: &'a str,
    index: u64,
    content: Content,
}

impl<'a> Op<'a> {
    fn new(json: &'a Json) -> Op<'a> {
        let kv = &json["KV"];
        let text = |name: &str| kv[name].as_str().unwrap_or_default();
        Op {
            verb: text("Verb"),
            key: text("Key"),
            session: text("Session"),
            index: kv["Index"].as_u64().unwrap_or(0),
            content: Content {
                value: BASE64
                    .decode(text("Value"))
                    .expect("a value in base64")
                    .into(),
                flags: kv["Flags"].as_u64().unwrap_or(0),
            },
        }
    }

    /// The operation goes through Raft. A verb that Consul does not know counts as a read.
    fn writes(&self) -> bool {
        ["lock", "unlock", "set", "cas", "delete", "delete-cas"].contains(&self.verb)
    }

    fn is_known(&self) -> bool {
        let reads = ["get", "get-tree", "check-not-exists", "check-session"];
        self.writes() || reads.contains(&self.verb)
    }

    /// Performs the operation, and adds its result. Consul performs the operations after an error, too.
    fn run(&self, draft: &mut Draft<'_>, results: &mut String) -> Result<(), String> {
        let (key, content) = (self.key, &self.content);
        let stale = |what: &str| format!("failed to {what} key {key:?}, index is stale");
        let row = match self.verb {
            "set" => draft.set(key, content),
            "cas" => draft
                .set_if(key, content, self.index)
                .ok_or_else(|| stale("set"))?,
            "lock" => draft
                .lock(key, content, self.session)?
                .ok_or_else(|| format!("failed to lock key {key:?}, lock is already held"))?,
            "unlock" => draft.unlock(key, content, self.session)?.ok_or_else(|| {
                format!(
                    "failed to unlock key {key:?}, lock isn't held, or is held by another session"
                )
            })?,
            "delete" => {
                draft.delete(key);
                return Ok(());
            }
            "delete-cas" if draft.delete_if(key, self.index) => return Ok(()),
            "delete-cas" => return Err(stale("delete")),
            "get" => {
                let row = draft
                    .get(key)
                    .ok_or_else(|| format!("key {key:?} doesn't exist"))?;
                show(results, key, row, true);
                return Ok(());
            }
            "get-tree" => {
                for (key, row) in draft.tree(key) {
                    show(results, key, row, true);
                }
                return Ok(());
            }
            "check-not-exists" if draft.get(key).is_none() => return Ok(()),
            "check-not-exists" => return Err(format!("key {key:?} exists")),
            "check-index" => {
                let row = draft
                    .get(key)
                    .ok_or_else(|| format!("failed to check index, key {key:?} doesn't exist"))?;
                if row.modify_index != self.index {
                    return Err(format!(
                        "failed index check for key {key:?}, current modify index {} != {}",
                        row.modify_index, self.index
                    ));
                }
                row.clone()
            }
            "check-session" => {
                let row = draft
                    .get(key)
                    .ok_or_else(|| format!("failed to check session, key {key:?} doesn't exist"))?;
                let current = row.session.as_deref().unwrap_or_default();
                if current != self.session {
                    return Err(format!(
                        "failed session check for key {key:?}, current session {current:?} != {:?}",
                        self.session
                    ));
                }
                row.clone()
            }
            verb => return Err(format!("unknown KV verb {verb:?}")),
        };
        show(results, key, &row, false);
        Ok(())
    }
}

fn show(results: &mut String, key: &str, row: &Row, with_value: bool) {
    results.push_str("{\"KV\":");
    wire::row(results, key, row, with_value);
    results.push_str("},");
}
