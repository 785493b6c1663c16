//! How long a session is surely alive, by our own clock.

use std::time::Duration;

use super::messages::SessionId;
use super::outbox::Outbox;
#[cfg(test)]
use super::sabotage::Sabotage;
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

    /// Counts from a newer confirmation. An older one, answered late, changes nothing, and so does
    /// any that is answered after the lease has ended. False: the lease has ended.
    ///
    /// Once over, always over. A leader of Consul that was paused answers the renewals that it finds
    /// waiting from its own memory, and tells no other server: the session may have ended elsewhere,
    /// or ends there as if it had not been renewed.
    #[must_use]
    pub(super) fn extend(&mut self, now: Time, sent: Time) -> bool {
        let lives = !self.is_over(now);
        if lives {
            self.confirmed = self.confirmed.max(sent);
        }
        lives
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
    /// The fencing token of the last lock that was taken with it; 0: none was. The token of the next
    /// one is larger.
    pub(super) last_token: u64,
}

impl Session {
    /// One that Consul has just made, asked at `sent`. Without that instant it has no life.
    pub(super) fn new(id: SessionId, sent: Option<Time>, ttl: Duration) -> Session {
        Session {
            id,
            lease: Lease::new(sent.unwrap_or_default(), ttl),
            doubtful: false,
            last_token: 0,
        }
    }

    /// Consul confirmed a renewal that was about to be sent at `sent`. False: that is too late, and the
    /// session is as good as gone.
    #[must_use]
    pub(super) fn confirm(&mut self, out: &Outbox, sent: Option<Time>) -> bool {
        let confirmed = sent.unwrap_or_default();
        #[cfg(test)]
        if out.sabotaged(Sabotage::ReviveTheDead) {
            self.lease = Lease::new(confirmed.max(self.lease.confirmed), self.lease.ttl);
            return true;
        }
        self.lease.extend(out.time(), confirmed)
    }
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
        assert!(lease.extend(Time(9_500_000_000), Time(4_000_000_000)));
        assert_eq!(lease.confirmed(), Time(9_000_000_000));
    }

    #[test]
    fn a_lease_that_is_over_stays_over() {
        let mut lease = Lease::new(Time(5_000_000_000), Duration::from_secs(10));
        let before = lease;
        assert!(!lease.extend(Time(14_990_000_000), Time(14_000_000_000)));
        assert_eq!(lease, before);
        assert!(lease.extend(Time(14_989_999_999), Time(14_000_000_000)));
        assert_eq!(lease.confirmed(), Time(14_000_000_000));
    }
}
