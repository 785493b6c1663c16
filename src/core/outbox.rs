//! What every part of a core needs while a step runs: the instant, the list of actions, the requests on
//! their way, the alarms, and the sources of names and random numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::alarms::{Alarms, Owner};
use super::interface::{Action, CallId, Config, Lane, Level, LockId, Outcome, RequestId};
use super::log::{Often, Said};
use super::messages::{Key, Request};
use super::splitmix;
use crate::clock::{Now, Time};
use crate::error::{Error, LostReason, Status};

/// How many answers tell how long Consul takes.
const RECENT: usize = 8;

const MAX_BACK_OFF: Duration = Duration::from_secs(1);

/// What a step does, and what the step needs for that.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) config: Arc<Config>,
    /// The instant of the step.
    pub(super) now: Now,
    /// What the runtime must do, in order.
    pub(super) actions: Vec<Action>,
    pub(super) owners: BTreeMap<RequestId, Owner>,
    pub(super) alarms: Alarms,
    /// How many pauses before another try there were.
    pub(super) retries: u64,
    said: Said,
    /// How long the last answers took, and how many there were.
    round_trips: [Duration; RECENT],
    answers: usize,
    requests: u64,
    names: u64,
    random: u64,
    #[cfg(test)]
    pub(super) sabotage: Option<super::sabotage::Sabotage>,
    #[cfg(test)]
    pub(super) is_steady: bool,
}

impl Outbox {
    pub(super) fn new(config: Config) -> Outbox {
        Outbox {
            random: config.seed,
            config: Arc::new(config),
            now: Now {
                time: Time::default(),
                unix_ms: 0,
            },
            actions: Vec::new(),
            owners: BTreeMap::new(),
            alarms: Alarms::default(),
            retries: 0,
            said: Said::default(),
            round_trips: [Duration::ZERO; RECENT],
            answers: 0,
            requests: 0,
            names: 0,
            #[cfg(test)]
            sabotage: None,
            #[cfg(test)]
            is_steady: false,
        }
    }

    pub(super) fn time(&self) -> Time {
        self.now.time
    }

    /// Asks Consul, until `by` or the request limit, whichever comes first.
    pub(super) fn send(&mut self, owner: Owner, request: Request, by: Time) -> RequestId {
        let limit = self.time() + self.config.request_timeout;
        self.send_in(Lane::of(owner, &request), owner, request, by.min(limit))
    }

    /// Sends a blocking query, which may wait beyond the request limit.
    pub(super) fn send_long(&mut self, owner: Owner, request: Request, by: Time) -> RequestId {
        self.send_in(Lane::Long, owner, request, by)
    }

    fn send_in(&mut self, lane: Lane, owner: Owner, request: Request, by: Time) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.owners.insert(id, owner);
        let lock = match owner {
            Owner::Lock(lock) => Some(lock),
            _ => None,
        };
        self.actions.push(Action::Send {
            id,
            request,
            by,
            lane,
            lock,
        });
        id
    }

    /// Ends a request whose answer is not wanted any more. A late answer finds no owner.
    pub(super) fn abort(&mut self, request: RequestId) {
        self.owners.remove(&request);
        self.actions.push(Action::Abort(request));
    }

    pub(super) fn tell(&mut self, call: CallId, outcome: Outcome) {
        self.actions.push(Action::Tell { call, outcome });
    }

    /// A session name that no other session has: `consul_lock PROGRAM@HOST:PID NONCE-N`.
    pub(super) fn session_name(&mut self) -> Arc<str> {
        self.names += 1;
        let Config { identity, seed, .. } = self.config.as_ref();
        format!("{identity}-{seed:x}-{}", self.names).into()
    }

    /// An error about `key`: `could not acquire the lock "K" at ADDRESS: …`.
    pub(super) fn error(&self, status: Status, what: &str, key: &Key, why: &str) -> Error {
        let address = &self.config.address;
        // The core learns the key with the acquire.
        let quoted = (!key.is_empty()).then(|| format!(" \"{key}\""));
        let quoted = quoted.unwrap_or_default();
        Error::new(status, format!("{what}{quoted} at {address}: {why}"))
    }

    /// The same, with what Consul or the connection to Consul said.
    pub(super) fn error_from(&self, cause: &Error, what: &str, key: &Key) -> Error {
        let mut error = self.error(cause.status, what, key, &cause.message);
        error.http_status = cause.http_status;
        error.retryable = cause.retryable;
        error
    }

    /// Logs one line, which must not contain a token or a stored value.
    pub(super) fn log(&mut self, level: Level, often: Often<'_>, line: impl FnOnce() -> String) {
        if self.said.is_due(often, self.now.time) {
            let line = line();
            self.actions.push(Action::Log { level, line });
        }
    }

    /// Gives a caller the outcome; logs an outcome that Consul did not confirm in time.
    pub(super) fn tell_late(&mut self, call: CallId, outcome: Outcome) {
        if let Err(error) = &outcome
            && error.status == Status::Unconfirmed
        {
            self.log(Level::Warn, Often::Always, || error.message.clone());
        }
        self.tell(call, outcome);
    }

    /// The error of a call on a lost lock.
    pub(super) fn lost(&self, key: &Key, why: LostReason) -> Error {
        self.error(Status::Lost, "lost the lock", key, why.text())
            .with_loss(why)
    }

    /// Logs and reports that a lock is lost.
    pub(super) fn say_lost(&mut self, lock: LockId, why: LostReason, error: &Error) {
        self.log(Level::Error, Often::Always, || error.message.clone());
        self.actions.push(Action::Lost { lock, why });
    }

    /// The test has built this defect in.
    #[cfg(test)]
    pub(super) fn sabotaged(&self, sabotage: super::sabotage::Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    /// A pseudo-random number, for spreading only.
    fn next_random(&mut self) -> u64 {
        #[cfg(test)]
        if self.is_steady {
            return 0;
        }
        self.random = self.random.wrapping_add(splitmix::STEP);
        splitmix::stir(self.random)
    }

    /// A random number below `count`; 0 for none.
    pub(super) fn choose(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        usize::try_from(self.next_random() % count.max(1)).unwrap_or(0)
    }

    /// A random duration below `most`.
    pub(super) fn spread(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.next_random() % nanos.max(1))
    }

    /// Notes how long an answer took.
    pub(super) fn note_round_trip(&mut self, took: Duration) {
        let oldest = self.answers % RECENT;
        self.answers = self.answers.wrapping_add(1);
        if let Some(recent) = self.round_trips.get_mut(oldest) {
            *recent = took;
        }
    }

    /// How long Consul takes to answer: the fastest of the last answers. The slower ones may have met a process
    /// or an agent that was stopped for a while.
    pub(super) fn round_trip(&self) -> Duration {
        let seen = self.round_trips.iter().take(self.answers);
        seen.min().copied().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn fastest(&self) -> Vec<Duration> {
        let seen = self.answers.min(RECENT);
        let newest_first = (1..=seen).map(|back| self.round_trips[(self.answers - back) % RECENT]);
        let newest_first: Vec<Duration> = newest_first.collect();
        let after = |slower: usize| newest_first.iter().take(RECENT - slower).min().copied();
        (0..RECENT).filter_map(after).collect()
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

impl Lane {
    /// The lane of a request that Consul answers at once.
    fn of(owner: Owner, request: &Request) -> Lane {
        let keeps = match owner {
            Owner::Upkeep(_) | Owner::Undoing(_) | Owner::Warm => true,
            // Only for a lock that is held or given back the library asks the leader itself (`consistent`).
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
            Owner::Watch
            | Owner::Inquiry(_)
            | Owner::Census(_)
            | Owner::Observers(_)
            | Owner::Footing => false,
        };
        if keeps { Lane::Keep } else { Lane::Make }
    }
}
