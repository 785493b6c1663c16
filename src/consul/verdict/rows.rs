//! The rows of a transaction that went through.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::{is_id, member};
use crate::core::messages::{Found, LineSlot, Request, SessionId, Ticket, line_of};

/// What a transaction answered.
pub(super) struct Rows {
    /// The ModifyIndex of the last row that is not of a line.
    pub(super) index: u64,
    /// Who waits, where that was asked for.
    pub(super) line: Vec<Ticket>,
}

/// One row that must be there.
enum Row<'a> {
    /// Of `lock` and `check-session`: the key, held by the session.
    Held(Cow<'a, str>, &'a SessionId),
    /// Of `check-index`: the key, held by no session.
    Unlocked(&'a str),
    /// Of `set`.
    Written(&'a str),
}

impl Row<'_> {
    /// The ModifyIndex of a row that is this one.
    fn index(&self, row: &Json) -> Option<u64> {
        let (key, fits) = match self {
            Row::Held(key, session) => (&**key, member(row, "Session") == Some(&session.0)),
            Row::Unlocked(key) => (*key, member(row, "Session").is_none()),
            Row::Written(key) => (*key, true),
        };
        let index = row.get("ModifyIndex")?.as_u64()?;
        (fits && member(row, "Key") == Some(key) && index > 0).then_some(index)
    }
}

/// Reads the answer to `request`, if it is one: exactly the rows that its operations answer with, in
/// their order. What answers another request, or nothing of Consul's, does not pass for it.
pub(super) fn read(request: &Request, json: &Json) -> Option<Rows> {
    if json.get("Errors").is_some_and(|errors| !errors.is_null()) {
        return None;
    }
    let rows = json.get("Results")?.as_array()?;
    let rows = rows.iter().map(|result| result.get("KV"));
    let rows = rows.collect::<Option<Vec<&Json>>>()?;
    let (must, line_of_key) = expected(request)?;
    let (first, rest) = rows.split_at_checked(must.len())?;
    let mut index = 0;
    for (must, row) in must.iter().zip(first) {
        index = must.index(row)?;
    }
    let line = match line_of_key {
        Some(key) => tickets(key, rest)?,
        None if rest.is_empty() => Vec::new(),
        None => return None,
    };
    Some(Rows { index, line })
}

/// The rows with which the operations of a transaction answer, in the order of `encode.rs`: `lock`,
/// `set`, `check-session` and `check-index` with one each, `delete`, `delete-cas` and
/// `check-not-exists` with none;
/// and the key whose line follows, where `get-tree` asks for it. None: it is no transaction.
fn expected(request: &Request) -> Option<(Vec<Row<'_>>, Option<&str>)> {
    let ticket = |key: &str, slot: &LineSlot| Cow::from(slot.ticket_of(key));
    Some(match request {
        Request::Lock {
            key,
            found,
            session,
            line,
            ..
        } => {
            let mut rows = Vec::from_iter(checked(key, *found, session));
            rows.push(held(key, session));
            (rows, line.then_some(&**key))
        }
        Request::Unlock { key, session, line } => {
            (vec![held(key, session)], line.then_some(&**key))
        }
        Request::Take {
            key,
            found,
            slot,
            session,
            ..
        } => {
            let mut rows = vec![Row::Held(ticket(key, slot), session)];
            rows.extend(checked(key, *found, session));
            rows.push(held(key, session));
            (rows, None)
        }
        Request::Join { key, slot, session } => {
            (vec![Row::Held(ticket(key, slot), session)], Some(key))
        }
        Request::Survey { key } | Request::ReadLine { key } => (Vec::new(), Some(key)),
        Request::Clear { .. } => (Vec::new(), None),
        Request::Write {
            lock,
            session,
            key,
            value,
        } => {
            let mut rows = vec![held(lock, session)];
            rows.extend(value.as_ref().map(|_| Row::Written(key)));
            (rows, None)
        }
        Request::CreateSession { .. }
        | Request::FindSession { .. }
        | Request::RenewSession { .. }
        | Request::DestroySession { .. }
        | Request::DescribeSession { .. }
        | Request::RegisterNode { .. }
        | Request::DescribeNode { .. }
        | Request::DescribeAgent
        | Request::Read { .. }
        | Request::Watch { .. }
        | Request::WatchNames { .. } => return None,
    })
}

/// The row of the check that a key is as it was found.
fn checked<'a>(key: &'a str, found: Found, session: &'a SessionId) -> Option<Row<'a>> {
    match found {
        Found::Absent => None,
        Found::Unlocked(_) => Some(Row::Unlocked(key)),
        Found::Ours => Some(held(key, session)),
    }
}

fn held<'a>(key: &'a str, session: &'a SessionId) -> Row<'a> {
    Row::Held(key.into(), session)
}

/// The tickets among the rows of a line; None: not all of them are below it. What others put there
/// is no ticket: it orders nobody.
fn tickets(key: &str, rows: &[&Json]) -> Option<Vec<Ticket>> {
    let line = line_of(key);
    let below = rows
        .iter()
        .map(|row| member(row, "Key")?.strip_prefix(&line));
    let below = below.collect::<Option<Vec<&str>>>()?;
    let ticket = |(row, name): (&&Json, &str)| {
        let session = member(row, "Session").filter(|id| is_id(id))?;
        Some(Ticket {
            slot: LineSlot::parse(name)?,
            session: SessionId(session.into()),
            create_index: row.get("CreateIndex")?.as_u64()?,
            modify_index: row.get("ModifyIndex")?.as_u64()?,
        })
    };
    Some(rows.iter().zip(below).filter_map(ticket).collect())
}
