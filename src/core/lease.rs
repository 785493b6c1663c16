//! How long a session is surely alive, by our own clock.

use std::time::Duration;

use super::messages::SessionId;
use crate::clock::Time;

/// The part of a session's life that Consul has promised.
///
/// Consul counts the TTL from when a create or renewal reached its leader; the only instant before
/// that which we know is the one before we sent it. So the lease is counted from there, and a
/// thousandth of the TTL is left to the drift between two clocks. Consul keeps a session for up to
/// twice its TTL and longer after a change of leader: that belongs to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    confirmed: Time,
    ttl: Duration,
}

impl Lease {
    /// A lease confirmed by the answer to a request that was about to be sent at `sent`.
    pub(super) fn new(sent: Time, ttl: Duration) -> Lease {
        Lease {
            confirmed: sent,
            ttl,
        }
    }

    /// Counts from a newer confirmation; an older one, answered late, changes nothing.
    pub(super) fn extend(&mut self, sent: Time) {
        self.confirmed = self.confirmed.max(sent);
    }

    /// The instant from which on the holder must not count on it.
    pub(super) fn end(&self) -> Time {
        self.confirmed + (self.ttl - self.ttl / 1000)
    }

    /// It has ended.
    pub(super) fn is_over(&self, now: Time) -> bool {
        now >= self.end()
    }

    /// How long ago it was confirmed.
    pub(super) fn age(&self, now: Time) -> Duration {
        now.since(self.confirmed)
    }

    /// When it was confirmed.
    pub(super) fn confirmed(&self) -> Time {
        self.confirmed
    }

    /// Its full length.
    pub(super) fn ttl(&self) -> Duration {
        self.ttl
    }
}

/// A session of ours.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Its id.
    pub(super) id: SessionId,
    /// How long it surely lives.
    pub(super) lease: Lease,
    /// A request sent with it may still be on its way. Such a session is never used for another
    /// lock: a late copy of `check-session` + `delete` would remove the next lock held by it.
    pub(super) doubtful: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_a_thousandth_before_the_ttl_counted_from_before_sending() {
        let lease = Lease::new(Time(5_000_000_000), Duration::from_secs(10));
        assert_eq!(lease.end(), Time(14_990_000_000));
        assert!(!lease.is_over(Time(14_989_999_999)));
        assert!(lease.is_over(Time(14_990_000_000)));
    }

    #[test]
    fn a_late_answer_to_an_early_renewal_does_not_shorten_it() {
        let mut lease = Lease::new(Time(9_000_000_000), Duration::from_secs(10));
        lease.extend(Time(4_000_000_000));
        assert_eq!(lease.confirmed(), Time(9_000_000_000));
    }
}
