//! For whom an answer is, and when to wake whom.

use std::collections::{BTreeSet, HashMap};

use super::interface::{CallId, LockId};
use crate::clock::Time;

/// The undoing of something in Consul.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct UndoingId(pub(super) u64);

/// Whom an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A lock.
    Lock(LockId),
    /// A lock, which is renewed without a caller who waits for it.
    Upkeep(LockId),
    /// The undoing of something.
    Undoing(UndoingId),
    /// The renewal of a warm session.
    Warm,
    /// A blocking query.
    Watch,
    /// A question who holds a key.
    Inquiry(CallId),
    /// The look at what the sessions stand on.
    Footing,
}

/// What wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Alarm {
    Lock(LockId),
    Undoing(UndoingId),
    Warm,
    Watches,
    Inquiry(CallId),
    Footing,
}

/// When each of them wants it.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    by_time: BTreeSet<(Time, Alarm)>,
    set: HashMap<Alarm, Time>,
}

impl Alarms {
    /// Sets, moves or (None) removes one.
    pub(super) fn set(&mut self, alarm: Alarm, at: Option<Time>) {
        let before = match at {
            Some(at) => self.set.insert(alarm, at),
            None => self.set.remove(&alarm),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, alarm));
        }
        if let Some(at) = at {
            self.by_time.insert((at, alarm));
        }
    }

    /// The earliest.
    pub(super) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out one that is due.
    pub(super) fn take_due(&mut self, now: Time) -> Option<Alarm> {
        let (at, alarm) = *self.by_time.first()?;
        (at <= now).then(|| {
            self.by_time.remove(&(at, alarm));
            self.set.remove(&alarm);
            alarm
        })
    }
}
