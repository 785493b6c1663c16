//! The properties of waiting in line, and the book that checks them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::world::GRACE;
use crate::clock::Time;
use crate::core::{CallId, LockId};

/// A ticket as the model shows it: CreateIndex, name and process.
pub(super) type Standing = (u64, String, usize);

/// The waiters of one key.
#[derive(Default)]
pub(super) struct LineBook {
    /// The waiting acquires of each process, in the order of the calls.
    waiting: BTreeMap<usize, Vec<(CallId, LockId, Time)>>,
    /// Since when each process runs without a stop.
    live_since: HashMap<usize, Time>,
    /// Since when the key is free, and the ticket that was the head then.
    free_since: Option<(Time, Option<String>)>,
    /// How often each process went past each ticket.
    overtakes: HashMap<(u64, String, usize), u32>,
    /// The longest time for which the key was free while a waiter stood in line.
    pub(super) longest_free: Duration,
    pub(super) most_overtakes: u32,
}

impl LineBook {
    pub(super) fn waits(&mut self, process: usize, call: CallId, lock: LockId, now: Time) {
        self.waiting
            .entry(process)
            .or_default()
            .push((call, lock, now));
    }

    /// The waiters of one process are served in the order of their calls.
    pub(super) fn told(&mut self, process: usize, call: CallId, won: bool) -> Result<(), String> {
        let Some(waiting) = self.waiting.get_mut(&process) else {
            return Ok(());
        };
        let Some(at) = waiting.iter().position(|(c, _, _)| *c == call) else {
            return Ok(());
        };
        let (_, lock, _) = waiting.remove(at);
        if won && at > 0 {
            return Err(format!(
                "p{process}: lock {} was served before {at} that asked earlier",
                lock.0
            ));
        }
        Ok(())
    }

    /// The time of the acquire was over, or a cancel ended it.
    pub(super) fn gives_up(&mut self, process: usize, lock: LockId) {
        if let Some(waiting) = self.waiting.get_mut(&process) {
            waiting.retain(|(_, l, _)| *l != lock);
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

    /// The key is never free for longer than two graces, a few round trips and twice 20 ms for each place while a
    /// live waiter waits. A head that stalls gets one grace; a waiter that finds another head then gives that one
    /// a grace, too. The time starts anew with a new head.
    pub(super) fn look(
        &mut self,
        now: Time,
        free: bool,
        first: Option<String>,
        places: usize,
        delay: Duration,
    ) -> Result<(), String> {
        if !free {
            self.free_since = None;
            return Ok(());
        }
        let free_since = match self.free_since.take() {
            Some((since, before)) if before == first => since,
            _ => now,
        };
        self.free_since = Some((free_since, first));
        let per_place = Duration::from_millis(42) * u32::try_from(places).unwrap_or(u32::MAX);
        let bound = GRACE * 2 + per_place + delay * 60 + Duration::from_millis(50);
        for (process, waiting) in &self.waiting {
            let live = self.live_since.get(process).copied().unwrap_or_default();
            let Some((_, lock, since)) = waiting.first() else {
                continue;
            };
            let free = now.since(free_since.max(*since).max(live));
            self.longest_free = self.longest_free.max(free);
            if free > bound {
                return Err(format!(
                    "the key is free for {free:?}, and p{process} waits with lock {} (bound {bound:?})",
                    lock.0
                ));
            }
        }
        Ok(())
    }

    /// A process got the key by an attempt without a ticket: at most once past each ticket.
    pub(super) fn passed(&mut self, process: usize, standing: &[Standing]) -> Result<(), String> {
        for (index, name, owner) in standing {
            if *owner == process {
                continue;
            }
            let times = self
                .overtakes
                .entry((*index, name.clone(), process))
                .or_default();
            *times += 1;
            self.most_overtakes = self.most_overtakes.max(*times);
            if *times > 1 {
                return Err(format!(
                    "p{process} went past ticket {name} ({index}) of p{owner} {times} times"
                ));
            }
        }
        Ok(())
    }

    /// A process got the key with its ticket, which must have been the head.
    pub(super) fn served(&self, process: usize, standing: &[Standing]) -> Result<(), String> {
        match standing.iter().min() {
            Some((_, _, first)) if *first == process => Ok(()),
            first => Err(format!("p{process} was served before {first:?}")),
        }
    }
}
