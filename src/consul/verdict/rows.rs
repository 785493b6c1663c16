//! The rows of a transaction that went through.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::id;
use super::json::{KvRow, TicketValue, Transaction, parse};
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
pub(super) fn read(request: &Request, answer: &Transaction<'_>) -> Option<Rows> {
    if answer.errors.is_some() {
        return None;
    }
    let rows = answer.results.as_ref()?.iter();
    let rows = rows.map(|result| result.row.as_ref());
    let rows = rows.collect::<Option<Vec<&KvRow<'_>>>>()?;
    let mut rows = rows.as_slice();
    let mut all = Rows::default();
    let mut operations = operations(request).into_iter().peekable();
    while let Some(Operation { key, verb }) = operations.next() {
        let session = match verb {
            Verb::CheckNotExists | Verb::Delete | Verb::DeleteCas(_) => continue,
            Verb::GetTree(number, tree) => {
                // Consul says nothing of where a tree ends. The next one has names that begin otherwise.
                let is_of_tree = |row: &&&KvRow<'_>| row.key.starts_with(&*key);
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
        let is_held_so = session.is_none_or(|session| row.session.as_deref() == session);
        if !is_held_so || *row.key != *key {
            return None;
        }
        let index = Some(row.modify_index).filter(|index| *index > 0)?;
        all.index = all.index.max(index);
    }
    rows.is_empty().then_some(all)
}

/// What the rows below a folder are called; None: some row is not below it.
fn below<'a>(folder: &str, rows: &[&'a KvRow<'a>]) -> Option<Vec<(&'a KvRow<'a>, &'a str)>> {
    let name = |row: &&'a KvRow<'a>| Some((*row, row.key.strip_prefix(folder)?));
    rows.iter().map(name).collect()
}

/// The rows below a folder, out of those whose names begin with `prefix`. What else stands there is not the library's.
fn in_folder<'a>(prefix: &str, folder: &str, rows: &[&'a KvRow<'a>]) -> Option<Vec<&'a KvRow<'a>>> {
    let mut found = Vec::new();
    for row in rows {
        let name = row.key.strip_prefix(prefix)?;
        found.extend(name.starts_with(folder).then_some(*row));
    }
    Some(found)
}

/// The session of a row, and its two indexes.
fn identity(row: &KvRow<'_>) -> Option<(SessionId, u64, u64)> {
    let session = id(row.session.as_deref()?)?;
    Some((session, row.create_index, row.modify_index))
}

/// The tickets among the rows of a line; None: some row is not below the line. What other programs put there
/// is no ticket, and orders no waiter.
fn tickets(line: &str, rows: &[&KvRow<'_>]) -> Option<Vec<Ticket>> {
    let ticket = |(row, name): (&KvRow<'_>, &str)| {
        let (session, create_index, modify_index) = identity(row)?;
        Some(Ticket {
            slot: Slot::parse(name)?,
            session,
            want: Want::of_flags(row.flags),
            several: (row.flags & SEVERAL != 0).then(|| several(row).unwrap_or_default().into()),
            create_index,
            modify_index,
        })
    };
    Some(below(line, rows)?.into_iter().filter_map(ticket).collect())
}

/// The keys that the ticket of a waiter for several keys lists.
fn several(row: &KvRow<'_>) -> Option<Vec<Key>> {
    let value = value_of(row)?;
    let value: TicketValue<'_> = parse(&value.0)?;
    let keys = value.keys?.into_iter();
    Some(keys.map(|key| Key::from(&*key)).collect())
}

/// Those who share a key, among the rows of their folder. A row without a session shares nothing.
fn sharers(folder: &str, rows: &[&KvRow<'_>]) -> Option<Vec<Sharer>> {
    let sharer = |(row, name): (&KvRow<'_>, &str)| {
        let (session, create_index, modify_index) = identity(row)?;
        Some(Sharer {
            limit: Limit::new(row.flags)?,
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
pub(super) fn value_of(row: &KvRow<'_>) -> Option<Value> {
    let base64 = row.value.as_deref().unwrap_or_default();
    Some(Value(BASE64.decode(base64).ok()?.into()))
}
