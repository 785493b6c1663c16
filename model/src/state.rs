//! What the simulation sees of the model's state, and what befalls a Consul in it.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::Node;
use crate::model::{Model, Reply, Ticket};
use crate::sessions::not_found;
use crate::store::Row;
use crate::time::Time;
use crate::wire::{self, reply};

impl Model {
    /// A new leader knows no timers: all start again at their full length. Lock-delays live in the memory of a
    /// server; this leader has just started and has none.
    pub fn leader_change(&mut self, now: Time) {
        self.delays.clear();
        let ids: Vec<Arc<str>> = self.store.sessions.keys().cloned().collect();
        for id in ids {
            self.start_timer(now, &id);
        }
    }

    /// The leader stands still, and will remember the sessions of this instant.
    pub fn freeze_leader(&mut self) {
        self.old_leader = self.store.sessions.clone();
    }

    /// How a leader that stood still answers a renewal when it wakes: from its own memory, before it finds that it
    /// leads no more. That answer renews nothing.
    pub fn renew_at_old_leader(&self, id: &str) -> Reply {
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

    /// Takes a node out of the catalog, as autopilot or an operator does: all its sessions end.
    pub fn remove_node(&mut self, now: Time, node: &str) {
        let index = self.write();
        self.nodes_index = index;
        self.nodes.remove(node);
        for id in self.sessions_of(node) {
            self.end_session(now, &id, index);
        }
    }

    /// Puts a node into the catalog, as an agent does with its own.
    pub fn add_node(&mut self, node: &str) {
        let index = self.write();
        self.nodes.insert(node.to_owned(), Node::of_agent(index));
    }

    /// Deletes a key, held or not.
    pub fn delete_key(&mut self, key: &str) {
        let index = self.write();
        let mut draft = self.store.draft(index);
        draft.delete(key);
        let changes = draft.into_changes();
        self.commit(index, changes);
    }

    /// The sessions: id and name.
    pub fn sessions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.store
            .sessions
            .iter()
            .map(|(id, session)| (&**id, session.name.as_str()))
    }

    /// The ids of the sessions that are bound to a node.
    pub fn sessions_of(&self, node: &str) -> Vec<String> {
        let sessions = self.store.sessions.iter();
        let of_node = sessions.filter(|(_, session)| session.node == node);
        of_node.map(|(id, _)| id.to_string()).collect()
    }

    /// The sessions that have a TTL: id, the instant from which on Consul may end it, and that at which it does.
    pub fn deadlines(&self) -> impl Iterator<Item = (&str, Time, Time)> {
        self.deadlines.iter().filter_map(|(id, due)| {
            let ttl = self.store.sessions.get(id)?.ttl;
            let lasts = u128::from(self.expiry) * ttl.as_nanos() / 1000;
            let lasts = u64::try_from(lasts).unwrap_or(u64::MAX);
            let begun = due.0.saturating_sub(lasts);
            Some((&**id, Time(begun) + ttl, *due))
        })
    }

    /// The locked keys: key and session.
    pub fn held_keys(&self) -> Vec<(String, String)> {
        let held = |(key, row): (&Arc<str>, &Row)| {
            Some((key.to_string(), row.session.as_ref()?.to_string()))
        };
        self.store.rows.iter().filter_map(held).collect()
    }

    /// The tickets of a key's line that a session holds.
    pub fn line(&self, key: &str) -> Vec<Ticket> {
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
    pub fn holder(&self, row: &str) -> Option<&str> {
        self.store.rows.get(row)?.session.as_deref()
    }

    /// No session holds a key.
    pub fn is_free(&self, key: &str) -> bool {
        self.store
            .rows
            .get(key)
            .is_none_or(|row| row.session.is_none())
    }

    /// The key does not exist.
    pub fn is_absent(&self, key: &str) -> bool {
        !self.store.rows.contains_key(key)
    }

    /// The value of a key that is no lock: no session holds the key, and the key has no flags.
    pub fn plain_value(&self, key: &str) -> Option<&[u8]> {
        let row = self.store.rows.get(key)?;
        (row.session.is_none() && row.flags == 0).then_some(&row.value)
    }

    /// The lock-delay of the key runs.
    pub fn is_delayed(&self, now: Time, key: &str) -> bool {
        self.delays.get(key).is_some_and(|until| *until > now)
    }

    /// The lock-delay of the key runs, or ended a moment ago.
    pub fn was_delayed(&self, now: Time, key: &str) -> bool {
        let lately = |until: &Time| now < *until + Duration::from_secs(2);
        self.delays.get(key).is_some_and(lately)
    }

    /// The same for a row below the key: a shared row, or a ticket.
    pub fn was_delayed_below(&self, now: Time, key: &str) -> bool {
        let below = format!("{key}/");
        let mut rows = self.delays.keys().filter(|row| row.starts_with(&below));
        rows.any(|row| self.was_delayed(now, row))
    }

    /// How many slots of those who share a key with a limit are taken, or blocked by a lock-delay.
    pub fn permits(&self, now: Time, key: &str) -> usize {
        let folder = format!("{key}/.share/slot/");
        let rows = &self.store.rows;
        let delayed = |row: &&Arc<str>| {
            row.starts_with(&folder) && !rows.contains_key(*row) && self.is_delayed(now, row)
        };
        self.store.tree(&folder).count() + self.delays.keys().filter(delayed).count()
    }

    /// The number of entries in the Raft log.
    pub fn raft_writes(&self) -> u64 {
        self.writes
    }
}
