//! The operations of each transaction. `encode.rs` writes them, and `verdict/rows.rs` knows by them the rows with
//! which Consul answers.

use std::borrow::Cow;

use crate::core::messages::{Found, Request, SessionId, Ticket, line_of};

/// One operation of a transaction.
pub(super) struct Operation<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) verb: Verb<'a>,
}

/// What an operation does with its key.
pub(super) enum Verb<'a> {
    /// `lock`, which stores the value.
    Lock(&'a [u8], &'a SessionId),
    /// `lock` of a ticket.
    Join(&'a SessionId),
    /// `set`.
    Set(&'a [u8]),
    /// `check-session`.
    CheckSession(&'a SessionId),
    /// `check-index`.
    CheckIndex(u64),
    /// `check-not-exists`.
    CheckNotExists,
    /// `delete`.
    Delete,
    /// `delete-cas`.
    DeleteCas(u64),
    /// `get-tree`, always the last one.
    GetTree,
}

/// The operations of a transaction; none for a request of another kind.
pub(super) fn operations(request: &Request) -> Vec<Operation<'_>> {
    match request {
        Request::Lock {
            key,
            found,
            value,
            session,
            line,
        } => {
            let lock = on(&**key, Verb::Lock(&value.0, session));
            let mut all = vec![check(key, *found, session), lock];
            all.extend(line.then(|| tree(key)));
            all
        }
        Request::Unlock { key, session, line } => {
            let check = on(&**key, Verb::CheckSession(session));
            let mut all = vec![check, on(&**key, Verb::Delete)];
            all.extend(line.then(|| tree(key)));
            all
        }
        Request::Survey { key } => vec![on(&**key, Verb::CheckNotExists), tree(key)],
        Request::ReadLine { key } => vec![tree(key)],
        Request::Join { key, slot, session } => {
            vec![on(slot.ticket_of(key), Verb::Join(session)), tree(key)]
        }
        Request::Take {
            key,
            found,
            slot,
            value,
            session,
            ahead,
        } => {
            let own = slot.ticket_of(key);
            let mut all = clear(key, ahead);
            all.extend([
                on(own.clone(), Verb::CheckSession(session)),
                on(own, Verb::Delete),
                check(key, *found, session),
                on(&**key, Verb::Lock(&value.0, session)),
            ]);
            all
        }
        Request::Clear { key, ahead } => clear(key, ahead),
        Request::Write {
            lock,
            session,
            key,
            value,
        } => {
            let set = value.as_ref().map(|value| Verb::Set(&value.0));
            vec![
                on(&**lock, Verb::CheckSession(session)),
                on(&**key, set.unwrap_or(Verb::Delete)),
            ]
        }
        _ => Vec::new(),
    }
}

fn on<'a>(key: impl Into<Cow<'a, str>>, verb: Verb<'a>) -> Operation<'a> {
    let key = key.into();
    Operation { key, verb }
}

/// The check that a key is as it was found.
fn check<'a>(key: &'a str, found: Found, session: &'a SessionId) -> Operation<'a> {
    let verb = match found {
        Found::Absent => Verb::CheckNotExists,
        Found::Unlocked(index) => Verb::CheckIndex(index),
        Found::Ours => Verb::CheckSession(session),
    };
    on(key, verb)
}

fn tree(key: &str) -> Operation<'_> {
    on(line_of(key), Verb::GetTree)
}

fn clear<'a>(key: &str, tickets: &[Ticket]) -> Vec<Operation<'a>> {
    let one = |ticket: &Ticket| {
        let verb = Verb::DeleteCas(ticket.modify_index);
        on(ticket.slot.ticket_of(key), verb)
    };
    tickets.iter().map(one).collect()
}
