//! Failures in a row of one kind of request: how long to wait before the next try, and when to tell
//! people.
//!
//! A kind of its own has a count of its own: a read that works says nothing about the writes, and
//! must not have them tried at full speed.

use std::time::Duration;

use super::interface::Level;
use super::log::Often;
use super::outbox::Outbox;
use crate::clock::Time;
use crate::error::{Error, Status};

/// A failure that lasts longer is told to people.
const LASTING: Duration = Duration::from_secs(1);

/// A core that cannot reach Consul says so this often at most.
const PAUSE: Duration = Duration::from_secs(10);

/// How often something failed since it last worked, and since when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures {
    count: u32,
    /// When the first was.
    since: Time,
}

impl Failures {
    /// It works again.
    pub(super) fn clear(&mut self) {
        *self = Failures::default();
    }

    /// One more, at this instant.
    pub(super) fn add(&mut self, now: Time) {
        if self.count == 0 {
            self.since = now;
        }
        self.count = self.count.saturating_add(1);
    }

    /// How many there were.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Takes in one more failure, and answers how long to wait before the next try. An outage that
    /// lasts is logged; at once where it is this host that fails, which does not pass by itself.
    pub(super) fn pause_after(&mut self, out: &mut Outbox, error: &Error) -> Duration {
        let now = out.time();
        self.add(now);
        let lasts = now.since(self.since) >= LASTING;
        if lasts || error.status == Status::NoResources {
            let count = self.count;
            out.log(Level::Warn, Often::Every("outage", PAUSE), || {
                format!("{error}; tried {count} times, and trying again")
            });
        }
        out.back_off(self.count)
    }
}
