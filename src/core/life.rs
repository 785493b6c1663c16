//! What happens to a lock, and what becomes of it.

use super::interface::{Call, CallId, RequestId};
use super::messages::{Answer, Fault, KeyRow, SessionId};
use super::watch::Observation;
use crate::clock::Time;
use crate::error::LostReason;

/// What happens to a lock.
#[derive(Debug)]
pub(super) enum LockEvent {
    /// A caller asks something of the lock.
    Call(CallId, Call),
    /// Consul answered a request, or the request failed.
    Reply {
        request: RequestId,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    },
    /// The lock has become the first of this process's waiters for its key.
    First,
    /// A watch of the lock found something.
    Saw(Observation),
    /// The time that the lock wanted to be woken at has come.
    Alarm,
    /// The undoing is over. True: Consul confirmed it; false: the library gave it up.
    Undone(bool),
}

/// What becomes of a held lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Fate {
    /// The lock stays held, as far as the library knows.
    Stays,
    /// The lock is lost.
    Lost(LostReason),
}

impl Fate {
    /// What the leader's answer about the key says of the session that held it.
    pub(super) fn of_row(row: Option<&KeyRow>, session: &SessionId) -> Fate {
        match row.map(|row| row.session.as_ref()) {
            Some(Some(holder)) if holder == session => Fate::Stays,
            Some(Some(_)) => Fate::Lost(LostReason::TakenOver),
            Some(None) | None => Fate::Lost(LostReason::KeyGone),
        }
    }

    /// Why the lock is lost, after a transaction that found the session without the key.
    pub(super) fn not_ours(taken: bool) -> LostReason {
        if taken {
            LostReason::TakenOver
        } else {
            LostReason::KeyGone
        }
    }
}
