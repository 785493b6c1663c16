//! A transaction that Consul rolled back (409). Each operation that failed says why.

use super::json::{Transaction, parse};
use super::rights::denied;
use super::texts::{Meaning, refusal};
use super::unexpected;
use super::words::told;
use crate::consul::http::HttpReply;
use crate::consul::operations::{Verb, operations};
use crate::core::messages::{Answer, Fault, Hold, Request};
use crate::error::Status;

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Held,
    Delayed,
    DeadSession,
    /// The session does not hold the key.
    NotOurs,
    Stale,
    Exists,
    /// The key has another index than the one that it was found with.
    Moved,
}

/// How Consul's texts begin and end. They quote the key between, which may contain any other text.
const TEXTS: [(&str, &str, Why); 9] = [
    (
        "failed to lock key \"",
        "\", lock is already held",
        Why::Held,
    ),
    (
        "failed to lock key \"",
        "\" due to lock delay",
        Why::Delayed,
    ),
    ("invalid session", "", Why::DeadSession),
    ("failed session check for key \"", "", Why::NotOurs),
    (
        "failed to check session, key \"",
        "\" doesn't exist",
        Why::NotOurs,
    ),
    ("failed to delete key \"", "\", index is stale", Why::Stale),
    ("key \"", "\" exists", Why::Exists),
    ("failed index check for key \"", "", Why::Moved),
    (
        "failed to check index, key \"",
        "\" doesn't exist",
        Why::Moved,
    ),
];

fn why(what: &str) -> Option<Why> {
    let is = |begin: &str, end: &str| what.starts_with(begin) && what.ends_with(end);
    let text = TEXTS.iter().find(|(begin, end, _)| is(begin, end));
    text.map(|(_, _, why)| *why)
}

/// An operation can fail so.
fn may_say(verb: &Verb<'_>, why: Why) -> bool {
    match verb {
        Verb::Lock(..) | Verb::Share(..) | Verb::Join(..) => {
            matches!(why, Why::Held | Why::Delayed | Why::DeadSession)
        }
        Verb::CheckSession(_) => why == Why::NotOurs,
        Verb::CheckIndex(_) => why == Why::Moved,
        Verb::CheckNotExists => why == Why::Exists,
        Verb::DeleteCas(_) => why == Why::Stale,
        Verb::Set(_) | Verb::Delete | Verb::GetTree(..) => false,
    }
}

/// Each error is one that its operation can say, and each operation says one thing. The refusal of another request
/// does not pass for this one's.
fn are_of(request: &Request, errors: &[(usize, &str)]) -> bool {
    let operations = operations(request);
    let said = |(number, what): &(usize, &str)| {
        let operation = operations.get(*number)?;
        Some(may_say(&operation.verb, why(what)?))
    };
    let is_second = |(at, error): (usize, &(usize, &str))| {
        let before = errors.get(..at).unwrap_or_default();
        before.iter().any(|(number, _)| *number == error.0)
    };
    errors.len() <= operations.len()
        && errors.iter().all(|error| said(error) == Some(true))
        && !errors.iter().enumerate().any(is_second)
}

/// Of [`Why::NotOurs`]: another session holds the key.
fn is_taken(what: &str) -> bool {
    let holder = what.rsplit_once("\", current session \"");
    what.starts_with("failed session check")
        && holder.is_some_and(|(_, holder)| !holder.starts_with('"'))
}

/// What the operations said, each with its number. None: the body is not the one of a transaction that was rolled
/// back.
fn errors<'a>(answer: &'a Transaction<'_>) -> Option<Vec<(usize, &'a str)>> {
    let errors = answer.errors.as_ref()?.iter();
    let whats: Vec<_> = errors.map(|error| (error.number, &*error.what)).collect();
    (!whats.is_empty()).then_some(whats)
}

/// Every error must be one that the library knows, and the one that matters most counts.
pub(super) fn verdict(request: &Request, reply: &HttpReply) -> Result<Answer, Fault> {
    let answer = parse::<Transaction<'_>>(&reply.body);
    let errors = answer.as_ref().and_then(errors);
    let errors = errors.ok_or_else(|| unexpected(request, reply))?;
    let first = errors.iter().map(|(number, _)| *number).min().unwrap_or(0);
    let whats: Vec<&str> = errors.iter().map(|(_, what)| *what).collect();
    let mut said_once = whats.clone();
    said_once.dedup();
    let text = said_once.join("; ");
    let refused_at = |why| {
        let mut errors = errors.iter();
        errors.find_map(|(number, what)| (refusal(what) == Some(why)).then_some(*number))
    };
    let denied = |number: usize| {
        let operations = operations(request);
        let key = operations.get(number).map(|operation| &*operation.key);
        denied(request, reply, &text, key)
    };
    if let Some(number) = refused_at(Meaning::Denied) {
        return Err(Fault::Final(denied(number)));
    }
    if let Some(number) = refused_at(Meaning::NoToken) {
        return Err(Fault::NotApplied(denied(number)));
    }
    let whys: Vec<Option<Why>> = whats.iter().map(|what| why(what)).collect();
    let any = |why| whys.contains(&Some(why));
    let all = |these: &[Why]| {
        let fits = |why: &Option<Why>| why.is_some_and(|why| these.contains(&why));
        whys.iter().all(fits)
    };
    if !are_of(request, &errors) {
        let error = told(request, reply, Status::Rejected, &text);
        return Err(Fault::Final(error));
    }
    let shares = match request {
        Request::Lock { hold, .. } | Request::Take { hold, .. } => {
            matches!(hold, Hold::Share { .. })
        }
        _ => false,
    };
    let operations = operations(request);
    let is_of_slot = |number: usize| {
        let verb = operations.get(number).map(|operation| &operation.verb);
        matches!(verb, Some(Verb::Share(..)))
    };
    let slot_refused = errors.iter().any(|(number, _)| is_of_slot(*number));
    Ok(match request {
        Request::Lock { .. }
        | Request::Join { .. }
        | Request::Take { .. }
        | Request::Downgrade { .. }
        | Request::Upgrade { .. }
            if any(Why::DeadSession) =>
        {
            let error = told(request, reply, Status::Unavailable, &text);
            return Err(Fault::SessionGone(error));
        }
        // A slot whose lock-delay runs is taken.
        Request::Join { .. } if all(&[Why::Held, Why::Delayed]) => Answer::Held,
        Request::Take { .. } if any(Why::NotOurs) => Answer::NoTicket,
        // Of one that shares: the key is held, or was changed. Its slot matters only when the key is free.
        Request::Lock { .. } | Request::Take { .. }
            if shares && (any(Why::Exists) || any(Why::Moved)) =>
        {
            Answer::Changed
        }
        Request::Lock { .. } if shares && all(&[Why::NotOurs]) => Answer::Changed,
        // A slot whose lock-delay runs is taken; so is one that a session has.
        Request::Lock { .. } | Request::Take { .. } if shares && slot_refused => Answer::Held,
        // The session does not hold the row that is to change, whatever else keeps it from changing.
        Request::Downgrade { .. } | Request::Upgrade { .. } if any(Why::NotOurs) => {
            Answer::NotOurs {
                taken: whats.iter().any(|what| is_taken(what)),
            }
        }
        Request::Downgrade { .. } | Request::Upgrade { .. } if any(Why::Stale) => Answer::Stale,
        Request::Downgrade { .. } if all(&[Why::Held, Why::Delayed]) => Answer::Held,
        Request::Upgrade { .. } => match (any(Why::Held), any(Why::Delayed)) {
            (true, _) => Answer::Held,
            (false, true) => Answer::Delayed,
            (false, false) => Answer::Changed,
        },
        // That the key has changed says less than that it is held.
        Request::Lock { .. } if all(&[Why::Held, Why::Exists, Why::Moved, Why::NotOurs]) => {
            match any(Why::Held) {
                true => Answer::Held,
                false => Answer::Changed,
            }
        }
        Request::Lock { .. } if any(Why::Held) => Answer::Held,
        Request::Lock { .. } if any(Why::Delayed) => Answer::Delayed,
        Request::Take { .. } if any(Why::Held) => Answer::Held,
        Request::Take { .. } if any(Why::Delayed) => Answer::Delayed,
        Request::Take { .. } if any(Why::Stale) => Answer::Stale,
        Request::Take { .. } => Answer::Changed,
        Request::Clear { .. } if all(&[Why::Stale]) => Answer::Stale,
        Request::Unlock { .. } | Request::Prove { .. } | Request::Write { .. }
            if all(&[Why::NotOurs]) =>
        {
            Answer::NotOurs {
                taken: whats.iter().any(|what| is_taken(what)),
            }
        }
        Request::Survey { .. } if all(&[Why::Exists, Why::Moved]) => Answer::Exists(first),
        _ => {
            let error = told(request, reply, Status::Rejected, &text);
            return Err(Fault::Final(error));
        }
    })
}
