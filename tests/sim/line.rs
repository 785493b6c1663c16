//! The properties of waiting in line, and the book that checks them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Time;
use crate::core::messages::{Key, Limit, SessionId, Want};
use crate::core::{CallId, Keys, LockId};

/// A ticket as the model shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) key: Key,
    pub(super) index: u64,
    pub(super) name: String,
    pub(super) process: usize,
    pub(super) session: String,
    pub(super) want: Want,
}

/// An acquire that waits.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) call: CallId,
    pub(super) lock: LockId,
    pub(super) keys: Keys,
    pub(super) want: Want,
}

impl Wait {
    /// The two wait for the same key.
    fn meets(&self, other: &Wait) -> bool {
        let mut keys = self.keys.all().iter();
        keys.any(|key| other.keys.all().contains(key))
    }
}

/// The waiters.
#[derive(Clone, Debug, Default)]
pub(super) struct LineBook {
    /// The waiting acquires of each process, in the order of the calls.
    waiting: BTreeMap<usize, Vec<Wait>>,
    /// Since when each process runs without a stop.
    live_since: BTreeMap<usize, Time>,
    /// Since when each waiter could take a key that is left alone, and the ticket that was the head then.
    free_since: BTreeMap<Key, BTreeMap<CallId, (Time, Option<String>)>>,
    /// When a waiter last stood behind several that do not act, while it had patience with the head.
    crowded: BTreeMap<Key, Time>,
    /// How often each process went past each ticket.
    overtakes: BTreeMap<(u64, String, usize), u32>,
    /// The longest time for which a key was left alone while a waiter could take it.
    pub(super) longest_free: Duration,
    pub(super) most_overtakes: u32,
}

impl LineBook {
    pub(super) fn waits(&mut self, process: usize, wait: Wait) {
        self.waiting.entry(process).or_default().push(wait);
    }

    /// The waiters of one process for the same key are served in the order of their calls.
    pub(super) fn told(&mut self, process: usize, call: CallId, won: bool) -> Result<(), String> {
        let Some(waiting) = self.waiting.get_mut(&process) else {
            return Ok(());
        };
        let Some(at) = waiting.iter().position(|wait| wait.call == call) else {
            return Ok(());
        };
        let wait = waiting.remove(at);
        let earlier = waiting.iter().take(at).find(|earlier| earlier.meets(&wait));
        match earlier {
            Some(earlier) if won => Err(format!(
                "p{process}: lock {} was served before lock {} that asked earlier",
                wait.lock.0, earlier.lock.0
            )),
            _ => Ok(()),
        }
    }

    /// The time of the acquire was over, or a cancel ended it.
    pub(super) fn gives_up(&mut self, process: usize, lock: LockId) {
        if let Some(waiting) = self.waiting.get_mut(&process) {
            waiting.retain(|wait| wait.lock != lock);
        }
    }

    pub(super) fn stops(&mut self, process: usize) {
        self.live_since.insert(process, Time(u64::MAX));
    }

    pub(super) fn continues(&mut self, process: usize, now: Time) {
        self.live_since.insert(process, now);
    }

    pub(super) fn dies(&mut self, process: usize) {
        self.waiting.remove(&process);
    }

    /// The key is held, or the head of its line waits rightly.
    pub(super) fn is_used(&mut self, key: &Key) {
        self.free_since.remove(key);
    }

    pub(super) fn is_crowded(&mut self, key: &Key, now: Time) {
        self.crowded.insert(key.clone(), now);
    }

    /// A waiter may still have the patience of that time.
    pub(super) fn was_crowded(&self, key: &Key, now: Time) -> bool {
        let crowded = self.crowded.get(key);
        crowded.is_some_and(|at| now.since(*at) < Duration::from_secs(12))
    }

    /// A key that the head of its line could take is never left alone for longer than the bound while a live waiter
    /// waits. The time starts anew with a new head. `can_take`: the waiter could take its keys now.
    pub(super) fn look(
        &mut self,
        now: Time,
        key: &Key,
        head: Option<String>,
        bound: Duration,
        can_take: impl Fn(&Wait) -> bool,
    ) -> Result<(), String> {
        let candidates = self.waiting.iter().filter_map(|(process, waiting)| {
            // The first of the waiters of this process for the key, unless it waits for others of its process.
            let at = waiting
                .iter()
                .position(|wait| wait.keys.all().contains(key))?;
            let wait = waiting.get(at)?;
            let is_parked = waiting.iter().take(at).any(|earlier| earlier.meets(wait));
            (!is_parked && can_take(wait)).then_some((*process, wait))
        });
        let candidates: Vec<(usize, &Wait)> = candidates.collect();
        let mut before = self.free_since.remove(key).unwrap_or_default();
        let since = candidates.iter().map(|(_, wait)| {
            let before = before.remove(&wait.call);
            let before = before.filter(|(_, before)| *before == head);
            (wait.call, before.unwrap_or_else(|| (now, head.clone())))
        });
        let since: BTreeMap<CallId, (Time, Option<String>)> = since.collect();
        for (process, wait) in candidates {
            let live = self.live_since.get(&process).copied().unwrap_or_default();
            let free_since = since.get(&wait.call).map_or(now, |(since, _)| *since);
            let free = now.since(free_since.max(live));
            self.longest_free = self.longest_free.max(free);
            // A waiter for several keys may find a stalled head in the line of each.
            let bound = bound * u32::try_from(wait.keys.count()).unwrap_or(u32::MAX);
            if free > bound {
                return Err(format!(
                    "{key} is left alone by {} for {free:?}, and p{process} waits with lock {} (bound {bound:?})",
                    head.as_deref().unwrap_or("all"),
                    wait.lock.0
                ));
            }
        }
        self.free_since.insert(key.clone(), since);
        Ok(())
    }

    /// A process got the key by an attempt without a ticket: at most once past each ticket. Those that share the key
    /// are not in each other's way.
    pub(super) fn passed(
        &mut self,
        process: usize,
        want: Want,
        standing: &[Standing],
    ) -> Result<(), String> {
        let in_the_way = |other: &&Standing| {
            let both_share = want != Want::Exclusive && other.want != Want::Exclusive;
            other.process != process && !both_share
        };
        for other in standing.iter().filter(in_the_way) {
            let ticket = (other.index, other.name.clone(), process);
            let times = self.overtakes.entry(ticket).or_default();
            *times += 1;
            self.most_overtakes = self.most_overtakes.max(*times);
            if *times > 1 {
                return Err(format!(
                    "p{process} went past ticket {} ({}) of p{} {times} times",
                    other.name, other.index, other.process
                ));
            }
        }
        Ok(())
    }

    /// A process got the key with its ticket: an exclusive one as the head, one that shares before no exclusive one,
    /// and one with a limit among the first of those.
    pub(super) fn served(
        &self,
        process: usize,
        session: &SessionId,
        want: Want,
        mut line: Vec<&Standing>,
    ) -> Result<(), String> {
        line.sort_by_key(|ticket| (ticket.index, ticket.name.clone()));
        let own = line.iter().position(|ticket| ticket.session == *session.0);
        let Some(ahead) = own.and_then(|own| line.get(..own)) else {
            return Err(format!("p{process} was served without a ticket"));
        };
        let exclusive = ahead.iter().find(|ticket| ticket.want == Want::Exclusive);
        let first = match want.limit() {
            None => ahead.first(),
            Some(Limit::READERS) => exclusive,
            Some(limit) => {
                let front = usize::from(limit.get() / 4).clamp(1, 8);
                exclusive.or(ahead.get(front - 1))
            }
        };
        match first {
            None => Ok(()),
            Some(first) => Err(format!("p{process} was served before {first:?}")),
        }
    }
}
