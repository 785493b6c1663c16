//! To which part of a core an answer belongs, and when each part wants to be woken.

use std::collections::{BTreeMap, BTreeSet};

use super::interface::{CallId, LockId};
use crate::clock::Time;

/// The undoing of something in Consul.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct UndoingId(pub(super) u64);

/// The number of an observed key in its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ObservedKeyId(pub(super) u64);

/// The part of a core that an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A lock, and a caller that waits for the answer.
    Lock(LockId),
    /// A lock that the library renews or checks by itself.
    Upkeep(LockId),
    /// The undoing of something in Consul.
    Undoing(UndoingId),
    /// The renewal of a warm session.
    Warm,
    /// A blocking query.
    Watch,
    /// The question for the holder of a key.
    Inquiry(CallId),
    /// The question for all that hold a key or wait for it.
    Census(CallId),
    /// The observers of a key.
    Observers(ObservedKeyId),
    /// The look at the nodes that the sessions are bound to.
    Footing,
}

/// A part of a core that wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Alarm {
    Lock(LockId),
    Undoing(UndoingId),
    Warm,
    Watches,
    Inquiry(CallId),
    Census(CallId),
    Observers(ObservedKeyId),
    Footing,
}

/// When each part wants to be woken.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Alarms {
    by_time: BTreeSet<(Time, Alarm)>,
    set: BTreeMap<Alarm, Time>,
}

impl Alarms {
    /// Sets, moves or (None) removes an alarm.
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

    /// The time of the earliest alarm.
    pub(super) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out an alarm that is due.
    pub(super) fn take_due(&mut self, now: Time) -> Option<Alarm> {
        let (at, alarm) = *self.by_time.first()?;
        (at <= now).then(|| {
            self.by_time.remove(&(at, alarm));
            self.set.remove(&alarm);
            alarm
        })
    }
}
