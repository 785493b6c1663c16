//! What the machines of one core share while a step runs: the instant, the requests on their way,
//! the alarms, the warm sessions and the list of actions.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::footing::Footing;
use super::line::Lines;
use super::log::Said;
use super::messages::{Key, Request, SessionId};
use super::pool::{JobId, Pool};
use super::watch::Watches;
use super::{Action, CallId, Config, Lane, LockId, Outcome, RequestId};
use crate::clock::{Now, Time};
use crate::error::{Error, Status};

/// Whom an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A lock.
    Lock(LockId),
    /// A lock, which is renewed without a caller who waits for it.
    Upkeep(LockId),
    /// The undoing of something.
    Job(JobId),
    /// The renewal of a warm session.
    Warm,
    /// A blocking query.
    Watch,
    /// A question who holds a key.
    Inquiry(CallId),
    /// The look at what the sessions stand on.
    Footing,
}

impl Lane {
    /// That of a request which Consul answers at once.
    fn of(owner: Owner, request: &Request) -> Lane {
        let keeps = match owner {
            Owner::Upkeep(_) | Owner::Job(_) | Owner::Warm => true,
            // The leader's own word on a key is only asked for a lock that is held, or given back.
            Owner::Lock(_) => matches!(
                request,
                Request::RenewSession { .. }
                    | Request::DestroySession { .. }
                    | Request::Unlock { .. }
                    | Request::Write { .. }
                    | Request::Read {
                        consistent: true,
                        ..
                    }
            ),
            Owner::Watch | Owner::Inquiry(_) | Owner::Footing => false,
        };
        if keeps { Lane::Keep } else { Lane::Make }
    }
}

/// What wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Alarm {
    Lock(LockId),
    Job(JobId),
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

/// Everything of a core but its locks and inquiries.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) pool: Pool,
    pub(super) alarms: Alarms,
    pub(super) owners: HashMap<RequestId, Owner>,
    /// Sessions that locks of this core hold a key with, for "it is this very process".
    pub(super) holding: BTreeSet<SessionId>,
    pub(super) said: Said,
    /// Pauses before another try.
    pub(super) retries: u64,
    pub(super) lines: Lines,
    pub(super) watches: Watches,
    pub(super) footing: Footing,
    /// How long the last answers took, and how many there were.
    round_trips: [Duration; RECENT],
    answers: usize,
    requests: u64,
    names: u64,
    random: u64,
    #[cfg(test)]
    pub(super) sabotage: Option<super::sabotage::Sabotage>,
}

/// So many answers tell how long Consul takes.
const RECENT: usize = 8;

impl Shared {
    pub(super) fn new(config: Config) -> Shared {
        Shared {
            random: config.seed,
            config: Arc::new(config),
            pool: Pool::default(),
            alarms: Alarms::default(),
            owners: HashMap::new(),
            holding: BTreeSet::new(),
            said: Said::default(),
            retries: 0,
            lines: Lines::default(),
            watches: Watches::default(),
            footing: Footing::default(),
            round_trips: [Duration::ZERO; RECENT],
            answers: 0,
            requests: 0,
            names: 0,
            #[cfg(test)]
            sabotage: None,
        }
    }

    /// A pseudo-random number, for spreading only (splitmix64: Steele, Lea and Flood, "Fast
    /// splittable pseudorandom number generators", 2014).
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random part of `most`.
    pub(super) fn spread(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.next_random() % nanos.max(1))
    }

    /// Takes in how long an answer took.
    pub(super) fn note_round_trip(&mut self, took: Duration) {
        let oldest = self.answers % RECENT;
        self.answers = self.answers.wrapping_add(1);
        if let Some(recent) = self.round_trips.get_mut(oldest) {
            *recent = took;
        }
    }

    /// How long Consul takes to answer: the fastest of the last few. A process that was stopped
    /// meanwhile, or an agent that was, says nothing about the way.
    pub(super) fn round_trip(&self) -> Duration {
        let seen = self.round_trips.iter().take(self.answers);
        seen.min().copied().unwrap_or_default()
    }

    /// How long to wait before trying again after `faults` failures in a row: 20 ms, doubled each
    /// time up to 1 s, less a random part of up to a half. A server without a leader answers some
    /// errors within a millisecond, so the first pause is not zero.
    pub(super) fn back_off(&mut self, faults: u32) -> Duration {
        self.retries += 1;
        let full = Duration::from_millis(20 << faults.saturating_sub(1).min(6)).min(MAX_BACK_OFF);
        full - self.spread(full / 2)
    }
}

const MAX_BACK_OFF: Duration = Duration::from_secs(1);

/// One step of a core.
pub(super) struct Context<'a> {
    pub(super) now: Now,
    pub(super) shared: &'a mut Shared,
    pub(super) out: &'a mut Vec<Action>,
}

impl Context<'_> {
    pub(super) fn time(&self) -> Time {
        self.now.time
    }

    /// Asks Consul. `by` is never later than the request limit allows.
    pub(super) fn send(&mut self, owner: Owner, request: Request, by: Time) -> RequestId {
        let limit = self.time() + self.shared.config.request_timeout;
        self.send_in(Lane::of(owner, &request), owner, request, by.min(limit))
    }

    /// Asks for a blocking query, which may wait beyond the request limit.
    pub(super) fn send_long(&mut self, owner: Owner, request: Request, by: Time) -> RequestId {
        self.send_in(Lane::Long, owner, request, by)
    }

    fn send_in(&mut self, lane: Lane, owner: Owner, request: Request, by: Time) -> RequestId {
        self.shared.requests += 1;
        let id = RequestId(self.shared.requests);
        self.shared.owners.insert(id, owner);
        let lock = match owner {
            Owner::Lock(lock) => Some(lock),
            _ => None,
        };
        self.out.push(Action::Send {
            id,
            request,
            by,
            lane,
            lock,
        });
        id
    }

    /// Ends a request that nobody waits for any more. Its late answer finds no owner.
    pub(super) fn abort(&mut self, request: RequestId) {
        self.shared.owners.remove(&request);
        self.out.push(Action::Abort(request));
    }

    pub(super) fn tell(&mut self, call: CallId, outcome: Outcome) {
        self.out.push(Action::Tell { call, outcome });
    }

    /// A session name that no other session has: `consul_lock PROGRAM@HOST:PID NONCE-N`.
    pub(super) fn session_name(&mut self) -> Arc<str> {
        self.shared.names += 1;
        let Config { identity, seed, .. } = self.shared.config.as_ref();
        format!("{identity}-{seed:x}-{}", self.shared.names).into()
    }

    /// An error about `key`: `could not acquire the lock "K" at ADDRESS: …`.
    pub(super) fn error(&self, status: Status, what: &str, key: &Key, why: &str) -> Error {
        let address = &self.shared.config.address;
        // The core learns the key with the acquire.
        let quoted = (!key.is_empty()).then(|| format!(" \"{key}\""));
        let quoted = quoted.unwrap_or_default();
        Error::new(status, format!("{what}{quoted} at {address}: {why}"))
    }

    /// The same for what Consul, or the way to it, said.
    pub(super) fn error_from(&self, cause: &Error, what: &str, key: &Key) -> Error {
        let mut error = self.error(cause.status, what, key, &cause.message);
        error.http_status = cause.http_status;
        error.retryable = cause.retryable;
        error
    }

    #[cfg(test)]
    pub(super) fn sabotaged(&self, sabotage: super::sabotage::Sabotage) -> bool {
        self.shared.sabotage == Some(sabotage)
    }
}
