//! The rows of a transaction that went through.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

use super::{id, member};
use crate::consul::operations::{Operation, Tree, Verb, operations};
use crate::core::messages::{
    Below, Key, Limit, Request, SEVERAL, SessionId, Sharer, Slot, Ticket, Value, Want,
};

/// What a transaction answered.
#[derive(Default)]
pub(super) struct Rows {
    /// The largest ModifyIndex of a row that is the session's.
    pub(super) index: u64,
    /// What stands below each key that the transaction asked for.
    pub(super) below: Vec<Below>,
}

/// Reads the answer to a transaction: exactly the rows that its operations answer with, in their order. The
/// answer to another request does not pass for this one.
pub(super) fn read(request: &Request, json: &Json) -> Option<Rows> {
    if json.get("Errors").is_some_and(|errors| !errors.is_null()) {
        return None;
    }
    let rows = json.get("Results")?.as_array()?;
    let rows = rows.iter().map(|result| result.get("KV"));
    let rows = rows.collect::<Option<Vec<&Json>>>()?;
    let mut rows = rows.as_slice();
    let mut all = Rows::default();
    let mut operations = operations(request).into_iter().peekable();
    while let Some(Operation { key, verb }) = operations.next() {
        let session = match verb {
            Verb::CheckNotExists | Verb::Delete | Verb::DeleteCas(_) => continue,
            Verb::GetTree(number, tree) => {
                // Consul says nothing of where a tree ends. The next one has names that begin otherwise.
                let is_of_tree =
                    |row: &&&Json| member(row, "Key").is_some_and(|name| name.starts_with(&*key));
                let count = match operations.peek() {
                    Some(_) => rows.iter().take_while(is_of_tree).count(),
                    None => rows.len(),
                };
                let (mine, rest) = rows.split_at_checked(count)?;
                rows = rest;
                if all.below.len() <= number {
                    all.below.resize_with(number + 1, Below::default);
                }
                let below = all.below.get_mut(number)?;
                match tree {
                    Tree::Line => below.line = tickets(&key, mine)?,
                    Tree::Sharers => below.sharers = sharers(&key, mine)?,
                    Tree::Both => {
                        let of = |folder: &str| in_folder(&key, folder, mine);
                        below.line = tickets(&format!("{key}fifo/"), &of("fifo/")?)?;
                        below.sharers = sharers(&format!("{key}share/"), &of("share/")?)?;
                    }
                }
                continue;
            }
            Verb::Lock(_, session)
            | Verb::Share(_, _, session)
            | Verb::Join(_, _, session)
            | Verb::CheckSession(session) => Some(Some(&*session.0)),
            Verb::CheckIndex(_) => Some(None),
            Verb::Set(_) => None,
        };
        let (row, rest) = rows.split_first()?;
        rows = rest;
        let is_held_so = session.is_none_or(|session| member(row, "Session") == session);
        if !is_held_so || member(row, "Key") != Some(&*key) {
            return None;
        }
        let index = row.get("ModifyIndex")?.as_u64()?;
        all.index = all.index.max(Some(index).filter(|index| *index > 0)?);
    }
    rows.is_empty().then_some(all)
}

/// What the rows below a folder are called; None: some row is not below it.
fn below<'a>(folder: &str, rows: &'a [&'a Json]) -> Option<Vec<(&'a Json, &'a str)>> {
    let name = |row: &&'a Json| Some((*row, member(row, "Key")?.strip_prefix(folder)?));
    rows.iter().map(name).collect()
}

/// The rows below a folder, out of those whose names begin with `prefix`. What else stands there is not the library's.
fn in_folder<'a>(prefix: &str, folder: &str, rows: &[&'a Json]) -> Option<Vec<&'a Json>> {
    let mut found = Vec::new();
    for row in rows {
        let name = member(row, "Key")?.strip_prefix(prefix)?;
        found.extend(name.starts_with(folder).then_some(*row));
    }
    Some(found)
}

/// The session of a row, and its two indexes.
fn identity(row: &Json) -> Option<(SessionId, u64, u64)> {
    let session = id(member(row, "Session")?)?;
    let index = |name: &str| row.get(name)?.as_u64();
    Some((session, index("CreateIndex")?, index("ModifyIndex")?))
}

/// The tickets among the rows of a line; None: some row is not below the line. What other programs put there
/// is no ticket, and orders no waiter.
fn tickets(line: &str, rows: &[&Json]) -> Option<Vec<Ticket>> {
    let ticket = |(row, name): (&Json, &str)| {
        let (session, create_index, modify_index) = identity(row)?;
        let flags = row.get("Flags").and_then(Json::as_u64).unwrap_or(0);
        Some(Ticket {
            slot: Slot::parse(name)?,
            session,
            want: Want::of_flags(flags),
            several: (flags & SEVERAL != 0).then(|| several(row).unwrap_or_default().into()),
            create_index,
            modify_index,
        })
    };
    Some(below(line, rows)?.into_iter().filter_map(ticket).collect())
}

/// The keys that the ticket of a waiter for several keys lists.
fn several(row: &Json) -> Option<Vec<Key>> {
    let value: Json = serde_json::from_slice(&value_of(row)?.0).ok()?;
    let keys = value.get("keys")?.as_array()?.iter();
    keys.map(|key| key.as_str().map(Key::from)).collect()
}

/// Those who share a key, among the rows of their folder. A row without a session shares nothing.
fn sharers(folder: &str, rows: &[&Json]) -> Option<Vec<Sharer>> {
    let sharer = |(row, name): (&Json, &str)| {
        let (session, create_index, modify_index) = identity(row)?;
        Some(Sharer {
            limit: Limit::new(row.get("Flags").and_then(Json::as_u64)?)?,
            slot: Slot::parse(name.strip_prefix("slot/").unwrap_or(name))?,
            session,
            create_index,
            modify_index,
            value: value_of(row)?,
        })
    };
    let all = below(folder, rows)?.into_iter().filter_map(sharer);
    Some(all.collect())
}

/// The value of a row.
pub(super) fn value_of(row: &Json) -> Option<Value> {
    let value = match row.get("Value")? {
        Json::Null => Vec::new(),
        Json::String(base64) => BASE64.decode(base64).ok()?,
        _ => return None,
    };
    Some(Value(value.into()))
}
