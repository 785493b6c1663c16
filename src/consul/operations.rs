//! The operations of each transaction. `encode.rs` writes them, and `verdict/rows.rs` knows by them the rows with
//! which Consul answers.

use std::borrow::Cow;

use crate::core::messages::{
    Found, Hold, Key, Limit, LockTarget, Request, See, SessionId, Sharers, Slot, Stalled, Value,
    Want, all_below, line_of, permits_of, shares_of,
};

/// One operation of a transaction.
pub(super) struct Operation<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) verb: Verb<'a>,
}

/// What an operation does with its key.
pub(super) enum Verb<'a> {
    /// `lock` of an exclusive key, which stores the value.
    Lock(&'a [u8], &'a SessionId),
    /// `lock` of a shared row, which stores the value.
    Share(Limit, &'a [u8], &'a SessionId),
    /// `lock` of a ticket. The keys: those of a waiter for several, which the ticket lists.
    Join(Want, &'a [Key], &'a SessionId),
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
    /// `get-tree` of something that stands below the key of this number, behind all other operations.
    GetTree(usize, Tree),
}

impl Verb<'_> {
    /// The name in Consul's API.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Verb::Lock(..) | Verb::Share(..) | Verb::Join(..) => "lock",
            Verb::Set(_) => "set",
            Verb::CheckSession(_) => "check-session",
            Verb::CheckIndex(_) => "check-index",
            Verb::CheckNotExists => "check-not-exists",
            Verb::Delete => "delete",
            Verb::DeleteCas(_) => "delete-cas",
            Verb::GetTree(..) => "get-tree",
        }
    }
}

/// What a `get-tree` reads.
#[derive(Clone, Copy)]
pub(super) enum Tree {
    Line,
    Sharers,
    /// Both, in one operation: a second one costs the transaction 3.5 % more time (measured).
    Both,
}

/// The operations of a transaction; none for a request of another kind.
pub(super) fn operations(request: &Request) -> Vec<Operation<'_>> {
    match request {
        Request::Lock {
            targets,
            hold,
            session,
            see,
        } => {
            let mut all = take(targets, hold, session);
            all.extend(trees(targets.iter().map(|target| &target.key), *see));
            all
        }
        Request::Take {
            targets,
            hold,
            slots,
            session,
            ahead,
            see,
        } => {
            let tickets = targets.iter().zip(slots);
            let tickets = tickets.map(|(target, slot)| slot.ticket_of(&target.key));
            let mut all = clear(ahead);
            for (number, ticket) in tickets.enumerate() {
                // All tickets of a waiter came with one transaction, and go with their session.
                if number == 0 {
                    all.push(on(ticket.clone(), Verb::CheckSession(session)));
                }
                all.push(on(ticket, Verb::Delete));
            }
            all.extend(take(targets, hold, session));
            all.extend(trees(targets.iter().map(|target| &target.key), *see));
            all
        }
        Request::Unlock {
            rows,
            session,
            lines,
        } => {
            let mut all = held(rows, session);
            all.extend(rows.iter().map(|row| on(&**row, Verb::Delete)));
            let see = See {
                line: true,
                sharers: Sharers::None,
            };
            all.extend(trees(lines, see));
            all
        }
        Request::Prove {
            rows,
            session,
            gates,
        } => {
            let mut all = held(rows, session);
            let see = See {
                line: false,
                sharers: Sharers::All,
            };
            all.extend(trees(gates, see));
            all
        }
        Request::Survey { targets, see } => {
            let check = |target: &'_ LockTarget| match target.found {
                Found::Unlocked(index) => Verb::CheckIndex(index),
                Found::Absent | Found::Ours | Found::Unchecked => Verb::CheckNotExists,
            };
            let checks = targets.iter().map(|target| on(&*target.key, check(target)));
            let mut all: Vec<_> = checks.collect();
            all.extend(trees(targets.iter().map(|target| &target.key), *see));
            all
        }
        Request::ReadLine { keys, see } => trees(keys, *see).collect(),
        Request::Join {
            keys,
            slots,
            want,
            session,
            see,
        } => {
            let several = if keys.len() > 1 { &**keys } else { &[] };
            let tickets = keys.iter().zip(slots);
            let tickets = tickets
                .map(|(key, slot)| on(slot.ticket_of(key), Verb::Join(*want, several, session)));
            let mut all: Vec<_> = tickets.collect();
            all.extend(trees(&**keys, *see));
            all
        }
        Request::Clear { ahead } => clear(ahead),
        Request::Downgrade {
            key,
            token,
            session,
            limit,
            slot,
            value,
        } => vec![
            on(&**key, Verb::CheckSession(session)),
            on(&**key, Verb::DeleteCas(*token)),
            share(key, (*limit, *slot), value, session),
        ],
        Request::Upgrade {
            target,
            token,
            session,
            limit,
            slot,
            value,
        } => {
            let row = limit.row_of(&target.key, *slot).to_string();
            let see = See {
                line: false,
                sharers: Sharers::All,
            };
            let mut all = vec![
                on(row.clone(), Verb::CheckSession(session)),
                on(row, Verb::DeleteCas(*token)),
            ];
            all.extend(check(target, session));
            all.push(on(&*target.key, Verb::Lock(&value.0, session)));
            all.extend(trees([&target.key], see));
            all
        }
        Request::Write {
            rows,
            session,
            key,
            value,
        } => {
            let set = value.as_ref().map(|value| Verb::Set(&value.0));
            let mut all = held(rows, session);
            all.push(on(&**key, set.unwrap_or(Verb::Delete)));
            all
        }
        _ => Vec::new(),
    }
}

fn on<'a>(key: impl Into<Cow<'a, str>>, verb: Verb<'a>) -> Operation<'a> {
    let key = key.into();
    Operation { key, verb }
}

/// The checks and locks of a hold.
fn take<'a>(
    targets: &'a [LockTarget],
    hold: &'a Hold,
    session: &'a SessionId,
) -> Vec<Operation<'a>> {
    let mut all = Vec::new();
    for target in targets {
        match hold {
            Hold::Exclusive { value } => {
                all.extend(check(target, session));
                all.push(on(&*target.key, Verb::Lock(&value.0, session)));
            }
            Hold::Share {
                limit,
                slot,
                value,
                probe,
            } => {
                let row = limit.row_of(&target.key, *slot).to_string();
                match target.found {
                    Found::Ours => all.push(on(row, Verb::CheckSession(session))),
                    _ => all.extend(check(target, session)),
                }
                if *probe && target.found != Found::Ours {
                    all.extend([
                        on(&*target.key, Verb::Lock(&[], session)),
                        on(&*target.key, Verb::Delete),
                    ]);
                }
                all.push(share(&target.key, (*limit, *slot), value, session));
            }
        }
    }
    all
}

fn share<'a>(
    key: &str,
    (limit, slot): (Limit, Slot),
    value: &'a Value,
    session: &'a SessionId,
) -> Operation<'a> {
    let row = limit.row_of(key, slot).to_string();
    on(row, Verb::Share(limit, &value.0, session))
}

/// The check that a key is as it was found.
fn check<'a>(target: &'a LockTarget, session: &'a SessionId) -> Option<Operation<'a>> {
    let verb = match target.found {
        Found::Unchecked => return None,
        Found::Absent => Verb::CheckNotExists,
        Found::Unlocked(index) => Verb::CheckIndex(index),
        Found::Ours => Verb::CheckSession(session),
    };
    Some(on(&*target.key, verb))
}

/// The checks that a session holds all these rows.
fn held<'a>(rows: &'a [Key], session: &'a SessionId) -> Vec<Operation<'a>> {
    // Each row has one operation more, mostly, and a tree.
    let mut all = Vec::with_capacity(2 * rows.len() + 1);
    all.extend(
        rows.iter()
            .map(|row| on(&**row, Verb::CheckSession(session))),
    );
    all
}

fn trees<'a>(
    keys: impl IntoIterator<Item = &'a Key, IntoIter: ExactSizeIterator>,
    see: See,
) -> impl Iterator<Item = Operation<'a>> {
    let keys = keys.into_iter();
    let is_one = keys.len() == 1;
    let of_key = move |(number, key): (usize, &Key)| {
        let tree = |folder: String, tree| on(folder, Verb::GetTree(number, tree));
        // Of several keys one could stand below another, and its rows in the tree of the other.
        if is_one && see.line && see.sharers == Sharers::All {
            return [Some(tree(all_below(key), Tree::Both)), None];
        }
        let sharers = match see.sharers {
            Sharers::None => None,
            Sharers::Limited => Some(permits_of(key)),
            Sharers::All => Some(shares_of(key)),
        };
        let line = see.line.then(|| line_of(key));
        [
            sharers.map(|folder| tree(folder, Tree::Sharers)),
            line.map(|folder| tree(folder, Tree::Line)),
        ]
    };
    keys.enumerate().flat_map(of_key).flatten()
}

fn clear<'a>(tickets: &[Stalled]) -> Vec<Operation<'a>> {
    let one = |ticket: &Stalled| {
        let verb = Verb::DeleteCas(ticket.modify_index);
        on(ticket.slot.ticket_of(&ticket.key), verb)
    };
    tickets.iter().map(one).collect()
}
