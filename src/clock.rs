//! One clock for every deadline: time since boot, counted through a suspend.
//!
//! `CLOCK_MONOTONIC` stops while a Linux machine sleeps, and Consul's timers do not: a lease that is
//! counted on that clock would outlive the session. So the library uses `CLOCK_BOOTTIME`.

use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant on the boot-time clock, in nanoseconds since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// The present instant.
    pub fn now() -> Time {
        Time(crate::sys::boot_time_ns())
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, rhs: Duration) -> Time {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, rhs: Duration) -> Time {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_sub(nanos))
    }
}

/// An instant on both clocks: the boot-time clock for deadlines, and the wall clock for people
/// (`locked_at`), which decides nothing.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The boot-time clock.
    pub time: Time,
    /// Milliseconds since 1970-01-01 UTC.
    pub unix_ms: i64,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Now {
        let unix_ms = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        Now {
            time: Time::now(),
            unix_ms,
        }
    }
}
