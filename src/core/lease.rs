//! How long a session is surely alive, by this process's clock.

use std::time::Duration;

use super::messages::SessionId;
use super::outbox::Outbox;
#[cfg(test)]
use super::sabotage::Sabotage;
use crate::clock::Time;

/// The part of a session's life that Consul has promised.
///
/// Consul counts the TTL from the instant at which a create or a renewal reached its leader. The library knows
/// one instant that was surely earlier: the one before it sent the request. So the lease begins there, and
/// ends a thousandth of the TTL early, for the drift between two clocks. Consul keeps a session for up to
/// twice its TTL, and longer after a change of leader; no holder may count on that.
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

    /// Counts from a newer confirmation. An older one that was answered late changes nothing, nor does any that
    /// is answered after the end of the lease. False: the lease has ended.
    ///
    /// A lease that is over stays over. A paused leader of Consul answers the renewals that it finds waiting from
    /// its own memory, and tells no other server: the session may have ended on the other servers, or ends
    /// there as if no renewal had come.
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

    /// The lease has ended.
    pub(super) fn is_over(&self, now: Time) -> bool {
        now >= self.end()
    }

    /// How long ago Consul confirmed the lease.
    pub(super) fn age(&self, now: Time) -> Duration {
        now.since(self.confirmed)
    }

    /// From which instant on the lease counts.
    pub(super) fn confirmed(&self) -> Time {
        self.confirmed
    }

    /// The full length of the lease.
    pub(super) fn ttl(&self) -> Duration {
        self.ttl
    }
}

/// A session of this core.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// The id that Consul gave.
    pub(super) id: SessionId,
    /// How long the session surely lives.
    pub(super) lease: Lease,
    /// A request with it may still be on its way. The library never uses such a session for another lock: a
    /// late copy of `check-session` + `delete` would remove the next lock that the session holds.
    pub(super) doubtful: bool,
    /// The fencing token of the last lock that the session took; 0: it took none. The next token is larger.
    pub(super) last_token: u64,
}

impl Session {
    /// A session that Consul has just made, for a request that was about to be sent at `sent`. Without that
    /// instant the lease is over.
    pub(super) fn new(id: SessionId, sent: Option<Time>, ttl: Duration) -> Session {
        Session {
            id,
            lease: Lease::new(sent.unwrap_or_default(), ttl),
            doubtful: false,
            last_token: 0,
        }
    }

    /// Consul confirmed a renewal that was about to be sent at `sent`. False: the confirmation came too late, and
    /// the session is as good as gone.
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
