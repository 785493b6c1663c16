//! What happens to a lock, and what becomes of it.

use super::interface::{Call, CallId, RequestId};
use super::messages::{Answer, Fault, KeyRow, SessionId};
use super::watch::Observation;
use crate::clock::Time;
use crate::error::LostReason;

/// What happens to a lock.
#[derive(Debug)]
pub(super) enum LockEvent {
    /// Somebody calls.
    Call(CallId, Call),
    /// The answer to a request.
    Reply {
        request: RequestId,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    },
    /// It is the first of its key's waiters here.
    First,
    /// What it watches has news.
    Saw(Observation),
    /// Time went by.
    Alarm,
    /// The undoing is over; confirmed by Consul, or given up.
    Undone(bool),
}

/// What becomes of a held lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Fate {
    /// It stays held, as far as is known.
    Stays,
    /// It is lost.
    Lost(LostReason),
}

impl Fate {
    /// What the leader's own word on the lock's key says of the session that held it.
    pub(super) fn of_row(row: Option<&KeyRow>, session: &SessionId) -> Fate {
        match row.map(|row| row.session.as_ref()) {
            Some(Some(holder)) if holder == session => Fate::Stays,
            Some(Some(_)) => Fate::Lost(LostReason::TakenOver),
            Some(None) | None => Fate::Lost(LostReason::KeyGone),
        }
    }

    /// What a transaction says that found the session without the key.
    pub(super) fn not_ours(taken: bool) -> LostReason {
        if taken {
            LostReason::TakenOver
        } else {
            LostReason::KeyGone
        }
    }
}
