//! The tables of Consul and the rules of its KV operations, without HTTP and without time.
//!
//! A request works on a [`Draft`]: its changes lie beside the tables until the request succeeds, so a refused
//! transaction leaves nothing behind.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use crate::edition::Edition;

/// A row of the KV table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) value: Arc<[u8]>,
    pub(crate) flags: u64,
    pub(crate) session: Option<Arc<str>>,
    pub(crate) lock_index: u64,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
}

/// What becomes of the keys of a session that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behavior {
    Release,
    Delete,
}

/// A row of the session table.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) node: String,
    /// The TTL as the client wrote it, for the replies.
    pub(crate) ttl_text: String,
    pub(crate) ttl: Duration,
    pub(crate) behavior: Behavior,
    /// The lock-delay as the client gave it, in nanoseconds; below zero: none.
    pub(crate) lock_delay: i64,
    /// The checks; None: `null`.
    pub(crate) node_checks: Option<Vec<String>>,
    pub(crate) create_index: u64,
}

impl Session {
    /// How long Consul locks the keys of the session for no other session after its end.
    pub(crate) fn lock_delay(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.lock_delay).unwrap_or_default())
    }
}

/// Flaws that a test builds in, to show that the comparison with a real Consul finds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A plain PUT keeps LockIndex; Consul sets it to 0.
    PutKeepsLockIndex,
    /// An identical lock by the holder is a change; in Consul it is none.
    RelockIsAChange,
    /// Release behaviour deletes the key.
    ReleaseDeletes,
    /// The changes of a refused transaction before its error stay.
    NoRollback,
}

/// With so many tombstones the model forgets the older half.
const MANY_TOMBSTONES: usize = 65_536;

/// The tables of one Consul.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) rows: BTreeMap<Arc<str>, Row>,
    pub(crate) sessions: BTreeMap<Arc<str>, Session>,
    /// The highest index of the KV table with its tombstones.
    pub(crate) kv_index: u64,
    /// The index at which each name was last deleted. Consul forgets the index after some 15 minutes; the model keeps
    /// the last [`MANY_TOMBSTONES`], because only the index of a listing depends on them.
    tombstones: BTreeMap<Arc<str>, u64>,
    pub(crate) session_index: u64,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) edition: Edition,
}

/// The part of a row that a request writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) value: Arc<[u8]>,
    pub(crate) flags: u64,
}

/// The changes of one request.
pub(crate) struct Draft<'a> {
    store: &'a Store,
    index: u64,
    /// None: the row is deleted.
    changes: BTreeMap<Arc<str>, Option<Row>>,
}

impl Store {
    pub(crate) fn draft(&self, index: u64) -> Draft<'_> {
        Draft {
            store: self,
            index,
            changes: BTreeMap::new(),
        }
    }

    /// The rows whose keys begin with `prefix`, in the order of the keys.
    pub(crate) fn tree(&self, prefix: &str) -> impl Iterator<Item = (&str, &Row)> {
        under(&self.rows, prefix)
    }

    /// The index of a listing: that of the last change below `prefix`, or of the whole table if
    /// there was none.
    pub(crate) fn tree_index(&self, prefix: &str) -> u64 {
        let written = self.tree(prefix).map(|(_, row)| row.modify_index);
        let deleted = under(&self.tombstones, prefix).map(|(_, index)| *index);
        let last = written.chain(deleted).max();
        last.filter(|_| !prefix.is_empty()).unwrap_or(self.kv_index)
    }

    /// The text can be the id of a session.
    pub(crate) fn valid_id(&self, id: &str) -> Result<(), String> {
        if id.len() == 36 || self.edition.takes_any_id() {
            return Ok(());
        }
        Err("failed session lookup: index error: UUID must be 36 characters".to_owned())
    }

    /// Makes changes real, and answers the keys that changed.
    pub(crate) fn apply(
        &mut self,
        index: u64,
        changes: BTreeMap<Arc<str>, Option<Row>>,
    ) -> Vec<Arc<str>> {
        let mut changed = Vec::with_capacity(changes.len());
        for (key, row) in changes {
            match row {
                Some(row) => drop(self.rows.insert(key.clone(), row)),
                None => {
                    self.rows.remove(&key);
                    self.tombstones.insert(key.clone(), index);
                }
            }
            self.kv_index = index;
            changed.push(key);
        }
        if self.tombstones.len() > MANY_TOMBSTONES {
            self.forget_tombstones();
        }
        changed
    }

    fn forget_tombstones(&mut self) {
        let mut indexes: Vec<u64> = self.tombstones.values().copied().collect();
        let middle = indexes.len() / 2;
        let (_, middle, _) = indexes.select_nth_unstable(middle);
        let middle = *middle;
        self.tombstones.retain(|_, index| *index > middle);
    }
}

impl Draft<'_> {
    pub(crate) fn into_changes(self) -> BTreeMap<Arc<str>, Option<Row>> {
        self.changes
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Row> {
        match self.changes.get(key) {
            Some(change) => change.as_ref(),
            None => self.store.rows.get(key),
        }
    }

    /// The rows whose keys begin with `prefix`, in the order of the keys.
    pub(crate) fn tree(&self, prefix: &str) -> BTreeMap<&str, &Row> {
        let mut rows: BTreeMap<&str, &Row> = self.store.tree(prefix).collect();
        for (key, change) in under(&self.changes, prefix) {
            match change {
                Some(row) => drop(rows.insert(key, row)),
                None => drop(rows.remove(key)),
            }
        }
        rows
    }

    /// Writes a row. A write that changes nothing keeps ModifyIndex and wakes no query.
    fn put(
        &mut self,
        key: &str,
        content: &Content,
        session: Option<Arc<str>>,
        lock_index: u64,
    ) -> Row {
        let existing = self.get(key);
        let mut row = Row {
            value: content.value.clone(),
            flags: content.flags,
            session,
            lock_index,
            create_index: existing.map_or(self.index, |row| row.create_index),
            modify_index: self.index,
        };
        let relock_counts = self.store.flaw == Some(Flaw::RelockIsAChange);
        if let Some(existing) = existing.filter(|_| !relock_counts) {
            row.modify_index = existing.modify_index;
            if row == *existing {
                return row;
            }
            row.modify_index = self.index;
        }
        self.changes.insert(key.into(), Some(row.clone()));
        row
    }

    /// A plain write. Locks are advisory, so the session stays; LockIndex does not.
    pub(crate) fn set(&mut self, key: &str, content: &Content) -> Row {
        let existing = self.get(key);
        let lock_index = match (self.store.flaw, existing) {
            (Some(Flaw::PutKeepsLockIndex), Some(row)) => row.lock_index,
            _ => 0,
        };
        let session = existing.and_then(|row| row.session.clone());
        self.put(key, content, session, lock_index)
    }

    /// Writes like `set` if the row still has that ModifyIndex; 0: if there is no row.
    pub(crate) fn set_if(&mut self, key: &str, content: &Content, index: u64) -> Option<Row> {
        let now = self.get(key).map_or(0, |row| row.modify_index);
        (now == index).then(|| self.set(key, content))
    }

    /// Locks a row. None: another session holds it. An error has the text of Consul.
    pub(crate) fn lock(
        &mut self,
        key: &str,
        content: &Content,
        session: &str,
    ) -> Result<Option<Row>, String> {
        if session.is_empty() {
            return Err("missing session".to_owned());
        }
        self.store.valid_id(session)?;
        let Some((session, _)) = self.store.sessions.get_key_value(session) else {
            return Err(format!("invalid session {session:?}"));
        };
        let session = session.clone();
        let lock_index = match self.get(key) {
            None => 1,
            Some(row) => match &row.session {
                None => row.lock_index + 1,
                Some(holder) if *holder == session => row.lock_index,
                Some(_) => return Ok(None),
            },
        };
        Ok(Some(self.put(key, content, Some(session), lock_index)))
    }

    /// Unlocks a row. None: the session does not hold it.
    pub(crate) fn unlock(
        &mut self,
        key: &str,
        content: &Content,
        session: &str,
    ) -> Result<Option<Row>, String> {
        if session.is_empty() {
            return Err("missing session".to_owned());
        }
        match self.get(key) {
            Some(row) if row.session.as_deref() == Some(session) => {
                let lock_index = row.lock_index;
                Ok(Some(self.put(key, content, None, lock_index)))
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn delete(&mut self, key: &str) {
        if self.get(key).is_some() {
            self.changes.insert(key.into(), None);
        }
    }

    /// Deletes the rows whose keys begin with `prefix`.
    pub(crate) fn delete_tree(&mut self, prefix: &str) {
        let keys: Vec<Arc<str>> = self.tree(prefix).into_keys().map(Arc::from).collect();
        self.changes.extend(keys.into_iter().map(|key| (key, None)));
    }

    /// Deletes the row if it still has that ModifyIndex. A row that is gone is no error.
    pub(crate) fn delete_if(&mut self, key: &str, index: u64) -> bool {
        let fits = self.get(key).is_none_or(|row| row.modify_index == index);
        if fits {
            self.delete(key);
        }
        fits
    }

    /// Ends a session: what that does to its keys, and which keys those are.
    pub(crate) fn end(&mut self, id: &str, behavior: Behavior) -> Vec<Arc<str>> {
        let held = |row: &Row| row.session.as_deref() == Some(id);
        let keys: Vec<Arc<str>> = self
            .store
            .rows
            .iter()
            .filter(|(_, row)| held(row))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &keys {
            let row = self.get(key).cloned();
            match (behavior, row) {
                (Behavior::Release, Some(row)) if self.store.flaw != Some(Flaw::ReleaseDeletes) => {
                    let content = Content {
                        value: row.value,
                        flags: row.flags,
                    };
                    self.put(key, &content, None, row.lock_index);
                }
                _ => self.delete(key),
            }
        }
        keys
    }
}

fn under<'a, T>(
    map: &'a BTreeMap<Arc<str>, T>,
    prefix: &str,
) -> impl Iterator<Item = (&'a str, &'a T)> {
    map.range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (&**key, value))
}
