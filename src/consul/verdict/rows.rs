//! The rows of a transaction that went through.

use serde_json::Value as Json;

use super::{id, member};
use crate::consul::operations::{Operation, Verb, operations};
use crate::core::messages::{LineSlot, Request, Ticket};

/// What a transaction answered.
pub(super) struct Rows {
    /// The ModifyIndex of the last row that is not of a line.
    pub(super) index: u64,
    /// The tickets of the line, where the transaction asked for the line.
    pub(super) line: Vec<Ticket>,
}

/// Reads the answer to a transaction: exactly the rows that its operations answer with, in their order. The
/// answer to another request does not pass for this one.
pub(super) fn read(request: &Request, json: &Json) -> Option<Rows> {
    if json.get("Errors").is_some_and(|errors| !errors.is_null()) {
        return None;
    }
    let rows = json.get("Results")?.as_array()?;
    let rows = rows.iter().map(|result| result.get("KV"));
    let mut rows = rows.collect::<Option<Vec<&Json>>>()?.into_iter();
    let (mut index, mut line) = (0, Vec::new());
    for Operation { key, verb } in operations(request) {
        let session = match verb {
            Verb::CheckNotExists | Verb::Delete | Verb::DeleteCas(_) => continue,
            Verb::GetTree => {
                line = tickets(&key, rows.by_ref().collect())?;
                continue;
            }
            Verb::Lock(_, session) | Verb::Join(session) | Verb::CheckSession(session) => {
                Some(Some(&*session.0))
            }
            Verb::CheckIndex(_) => Some(None),
            Verb::Set(_) => None,
        };
        let row = rows.next()?;
        let is_held_so = session.is_none_or(|session| member(row, "Session") == session);
        if !is_held_so || member(row, "Key") != Some(&*key) {
            return None;
        }
        index = row
            .get("ModifyIndex")?
            .as_u64()
            .filter(|index| *index > 0)?;
    }
    rows.next().is_none().then_some(Rows { index, line })
}

/// The tickets among the rows of a line; None: some row is not below the line. What other programs put there
/// is no ticket, and orders no waiter.
fn tickets(line: &str, rows: Vec<&Json>) -> Option<Vec<Ticket>> {
    let below = rows
        .iter()
        .map(|row| member(row, "Key")?.strip_prefix(line));
    let below = below.collect::<Option<Vec<&str>>>()?;
    let ticket = |(row, name): (&&Json, &str)| {
        Some(Ticket {
            slot: LineSlot::parse(name)?,
            session: id(member(row, "Session")?)?,
            create_index: row.get("CreateIndex")?.as_u64()?,
            modify_index: row.get("ModifyIndex")?.as_u64()?,
        })
    };
    Some(rows.iter().zip(below).filter_map(ticket).collect())
}
