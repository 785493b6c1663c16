//! The observers of keys. Each is told the holder of its key at once, and again at each change of session or fencing
//! token. What an observer was told last is the present state in the end; the core may skip states in between.
//!
//! All observers of a key in a client share one blocking query ([`super::watch`]). Consul wakes the query of a key that
//! does not exist at each write beside the key, so there is a pause between two of these. An answer with a smaller
//! index than one before comes from a server that lags behind, or from a restored snapshot: the leader says which.

use std::collections::BTreeMap;
use std::time::Duration;

use super::alarms::{Alarm, ObservedKeyId, Owner};
use super::context::Context;
use super::failures::Failures;
use super::interface::{Action, Holder, Level, ObserverId, RequestId};
use super::locked_at;
use super::log::Often;
use super::messages::{Answer, Fault, Key, KeyRow, Request, SessionId};
use super::watch::{LONGEST_WATCH, Need, Observation};
use crate::clock::Time;
use crate::error::{Error, Status};

const WHAT: &str = "could not observe the holder of the lock";

/// The first pause before the query of a key that does not exist. Each further pause is twice as long, up to
/// [`LONGEST_PAUSE`]: where the next in line takes the key at once, the observers learn it soon.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two reads that follow each other.
const BETWEEN_READS: Duration = Duration::from_millis(100);

/// The pause after an answer that Consul gives again, such as a missing right.
const AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// All observers of a core.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Observers {
    keys: BTreeMap<ObservedKeyId, ObservedKey>,
    ids: BTreeMap<Key, ObservedKeyId>,
    key_of: BTreeMap<ObserverId, ObservedKeyId>,
    last: u64,
}

impl Observers {
    /// Begins to tell an observer the holder of `key`.
    pub(super) fn begin(&mut self, ctx: &mut Context, observer: ObserverId, key: Key) {
        let (last, now) = (&mut self.last, ctx.out.time());
        let id = *self.ids.entry(key.clone()).or_insert_with(|| {
            *last += 1;
            ObservedKeyId(*last)
        });
        self.key_of.insert(observer, id);
        let observed = self.keys.entry(id);
        let observed = observed.or_insert_with(|| ObservedKey::new(id, key, now));
        observed.observers.insert(observer, None);
        // What is known may be old, and a request that is on its way may show what was.
        match observed.step {
            ReadStep::Read { .. } => observed.again = true,
            ReadStep::Watch | ReadStep::Rest { .. } => observed.read(ctx, false),
        }
    }

    /// An observer wants to know nothing any more.
    pub(super) fn end(&mut self, ctx: &mut Context, observer: ObserverId) {
        let Some(id) = self.key_of.remove(&observer) else {
            return;
        };
        let Some(observed) = self.keys.get_mut(&id) else {
            return;
        };
        observed.observers.remove(&observer);
        if observed.observers.is_empty() {
            observed.stop(ctx);
            self.ids.remove(&observed.key);
            self.keys.remove(&id);
        }
    }

    pub(super) fn replied(
        &mut self,
        ctx: &mut Context,
        id: ObservedKeyId,
        answer: Result<Answer, Fault>,
    ) {
        if let Some(observed) = self.keys.get_mut(&id) {
            observed.replied(ctx, answer);
        }
    }

    pub(super) fn observed(&mut self, ctx: &mut Context, id: ObservedKeyId, seen: Observation) {
        if let Some(observed) = self.keys.get_mut(&id) {
            observed.observed(ctx, seen);
        }
    }

    pub(super) fn alarm(&mut self, ctx: &mut Context, id: ObservedKeyId) {
        if let Some(observed) = self.keys.get_mut(&id) {
            observed.alarm(ctx);
        }
    }
}

/// A key with observers.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
struct ObservedKey {
    id: ObservedKeyId,
    key: Key,
    /// Each observer with what it was told last.
    observers: BTreeMap<ObserverId, Option<Told>>,
    /// The index of the newest answer.
    index: u64,
    step: ReadStep,
    /// An observer came while a read was on its way.
    again: bool,
    failures: Failures,
    /// Since when Consul gives no usable answer.
    failing_since: Option<Time>,
    /// When the last read was sent.
    read_at: Time,
    /// How many answers in a row have shown that the key does not exist.
    absent: u32,
}

/// What the observers of a key wait for.
#[derive(Clone, Copy, Debug)]
enum ReadStep {
    /// The answer to a read; `by_leader`: of the leader, who knows what is true.
    Read { request: RequestId, by_leader: bool },
    /// A change of the key.
    Watch,
    /// An instant, before the next read or watch.
    Rest { until: Time, next: NextRead },
}

#[derive(Clone, Copy, Debug)]
enum NextRead {
    Read { by_leader: bool },
    Watch,
}

/// What an observer was told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Free,
    Held(SessionId, u64),
    Failed(Status),
}

impl ObservedKey {
    fn new(id: ObservedKeyId, key: Key, now: Time) -> ObservedKey {
        ObservedKey {
            id,
            key,
            observers: BTreeMap::new(),
            index: 0,
            step: ReadStep::Rest {
                until: now,
                next: NextRead::Read { by_leader: false },
            },
            again: false,
            failures: Failures::default(),
            failing_since: None,
            read_at: now,
            absent: 0,
        }
    }

    /// Ends what is under way.
    fn stop(&mut self, ctx: &mut Context) {
        ctx.watches.unwatch(&mut ctx.out, self.id);
        ctx.out.alarms.set(Alarm::Observers(self.id), None);
        if let ReadStep::Read { request, .. } = self.step {
            ctx.out.abort(request);
        }
    }

    fn read(&mut self, ctx: &mut Context, by_leader: bool) {
        self.stop(ctx);
        let now = ctx.out.time();
        let request = Request::Read {
            key: self.key.clone(),
            consistent: by_leader,
        };
        let by = now + ctx.out.config.request_timeout;
        let request = ctx.out.send(Owner::Observers(self.id), request, by);
        self.again = false;
        self.read_at = now;
        self.step = ReadStep::Read { request, by_leader };
    }

    fn rest(&mut self, ctx: &mut Context, pause: Duration, next: NextRead) {
        let until = ctx.out.time() + pause;
        self.step = ReadStep::Rest { until, next };
        ctx.out.alarms.set(Alarm::Observers(self.id), Some(until));
    }

    fn alarm(&mut self, ctx: &mut Context) {
        match self.step {
            ReadStep::Rest { until, next } if until <= ctx.out.time() => match next {
                NextRead::Read { by_leader } => self.read(ctx, by_leader),
                NextRead::Watch => self.watch(ctx),
            },
            _ => {}
        }
    }

    fn rest_until_next_read(&mut self, ctx: &mut Context, by_leader: bool) {
        let pause = BETWEEN_READS.saturating_sub(ctx.out.time().since(self.read_at));
        self.rest(ctx, pause, NextRead::Read { by_leader });
    }

    fn watch(&mut self, ctx: &mut Context) {
        self.step = ReadStep::Watch;
        let until = ctx.out.time() + LONGEST_WATCH;
        let key = self.key.clone();
        ctx.watches.watch(
            &mut ctx.out,
            self.id,
            key,
            self.index,
            until,
            Need::Observing,
        );
    }

    fn replied(&mut self, ctx: &mut Context, answer: Result<Answer, Fault>) {
        let ReadStep::Read { by_leader, .. } = self.step else {
            return;
        };
        // Nothing is on its way any more.
        self.step = ReadStep::Watch;
        match answer {
            Ok(Answer::Row { row, index }) => self.saw(ctx, row, index, by_leader),
            Ok(_) => self.rest_until_next_read(ctx, false),
            Err(Fault::NotApplied(error) | Fault::Unknown(error) | Fault::SessionGone(error)) => {
                self.failed(ctx, &error, self.read_at);
            }
            Err(Fault::TooLarge(error) | Fault::Final(error)) => self.refused(ctx, &error),
        }
    }

    fn observed(&mut self, ctx: &mut Context, seen: Observation) {
        if !matches!(self.step, ReadStep::Watch) {
            return;
        }
        match seen {
            Observation::Row { row, index } => self.saw(ctx, row, index, false),
            Observation::Names { .. } | Observation::Gone | Observation::Nothing => {
                self.rest_until_next_read(ctx, false);
            }
            Observation::Failed(error) => self.failed(ctx, &error, ctx.out.time()),
            Observation::Refused(error) => self.refused(ctx, &error),
        }
    }

    fn saw(&mut self, ctx: &mut Context, row: Option<KeyRow>, index: u64, by_leader: bool) {
        self.failures.clear();
        self.failing_since = None;
        if index < self.index && !by_leader {
            return self.rest_until_next_read(ctx, true);
        }
        self.index = index;
        self.absent = match row {
            Some(_) => 0,
            None => self.absent.saturating_add(1),
        };
        let holder = row.and_then(holder_of);
        let told = match &holder {
            Some(holder) => Told::Held(holder.session.clone(), holder.fencing_token),
            None => Told::Free,
        };
        self.tell(ctx, &told, || Ok(holder.clone()));
        if self.again {
            return self.read(ctx, false);
        }
        match self.absent {
            0 => self.watch(ctx),
            n => {
                let pause = FIRST_PAUSE.saturating_mul(1 << (n - 1).min(8));
                self.rest(ctx, pause.min(LONGEST_PAUSE), NextRead::Watch);
            }
        }
    }

    /// There is no usable answer. The observers learn it once that has lasted.
    fn failed(&mut self, ctx: &mut Context, cause: &Error, since: Time) {
        let since = *self.failing_since.get_or_insert(since);
        let error = ctx.out.error_from(cause, WHAT, &self.key);
        if ctx.out.time().since(since) >= ctx.out.config.request_timeout {
            self.tell(ctx, &Told::Failed(error.status), || Err(error.clone()));
        }
        let pause = self.failures.pause_after(&mut ctx.out, &error);
        self.rest(ctx, pause, NextRead::Read { by_leader: false });
    }

    /// Consul refuses to show the key.
    fn refused(&mut self, ctx: &mut Context, cause: &Error) {
        let error = ctx.out.error_from(cause, WHAT, &self.key);
        ctx.out.log(
            Level::Warn,
            Often::OncePerKey("not observed", &self.key),
            || {
                let pause = AFTER_REFUSAL.as_secs();
                format!("{error}; the library asks again every {pause} s")
            },
        );
        self.tell(ctx, &Told::Failed(error.status), || Err(error.clone()));
        self.failing_since = None;
        self.rest(ctx, AFTER_REFUSAL, NextRead::Read { by_leader: false });
    }

    /// Tells the observers that were told something else before.
    fn tell(
        &mut self,
        ctx: &mut Context,
        told: &Told,
        seen: impl Fn() -> Result<Option<Holder>, Error>,
    ) {
        for (observer, before) in &mut self.observers {
            if before.as_ref() != Some(told) {
                *before = Some(told.clone());
                ctx.out.actions.push(Action::Observed {
                    observer: *observer,
                    seen: seen(),
                });
            }
        }
    }
}

/// The holder as the row of its key shows it. Observers are not told what only the session says.
fn holder_of(row: KeyRow) -> Option<Holder> {
    Some(Holder {
        session: row.session?,
        name: None,
        node: None,
        ttl: None,
        fencing_token: row.modify_index,
        since: locked_at::claimed_at(&row.value),
        value: row.value,
    })
}

#[cfg(test)]
mod tests;
