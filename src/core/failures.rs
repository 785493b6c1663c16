//! Failures in a row of one kind of request: how long to wait before the next try, and when to log them.
//!
//! Each kind has a count of its own: a read that works says nothing about the writes, which must not be tried
//! at full speed then.

use std::time::Duration;

use super::interface::Level;
use super::log::Often;
use super::outbox::Outbox;
use crate::clock::Time;
use crate::error::{Error, Status};

/// A failure that lasts longer is logged.
const LASTING: Duration = Duration::from_secs(1);

/// A core that cannot reach Consul logs so this often at most.
const PAUSE: Duration = Duration::from_secs(10);

/// How often a kind of request has failed since it last worked, and since when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures {
    count: u32,
    /// The time of the first failure.
    since: Time,
}

impl Failures {
    /// The kind of request works again.
    pub(super) fn clear(&mut self) {
        *self = Failures::default();
    }

    /// Takes in one more failure.
    pub(super) fn add(&mut self, now: Time) {
        if self.count == 0 {
            self.since = now;
        }
        self.count = self.count.saturating_add(1);
    }

    /// The number of failures in a row.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Takes in one more failure, and answers how long to wait before the next try. Logs an outage that lasts;
    /// at once where this host fails, for that does not pass by itself.
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
