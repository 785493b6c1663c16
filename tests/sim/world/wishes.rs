//! Locks of all kinds: which lock a user wants, and how a holder changes its lock.

use super::*;
use crate::core::Keys;
use crate::core::messages::Limit;
use crate::error::Error;

/// What a lock is on, and what it wants.
pub(super) struct Wish {
    pub(super) keys: Keys,
    pub(super) want: Want,
    pub(super) limit: Option<Limit>,
}

/// Limits that are wrong for every key of a plan, or right for some.
const OTHER_LIMITS: [u64; 4] = [2, 3, 5, 1_024];

impl World {
    pub(super) fn random_key(&mut self) -> u64 {
        match self.plan.mix {
            Some(_) => self.random.below(self.plan.keys),
            None => 0,
        }
    }

    /// What a user wants next.
    pub(super) fn wish(&mut self) -> Wish {
        let first = self.random.below(self.plan.keys);
        let exclusive = |keys, limit| Wish {
            keys,
            want: Want::Exclusive,
            limit,
        };
        let Some(mix) = self.plan.mix.clone() else {
            return exclusive(Keys::One(key_number(first)), None);
        };
        if self.random.below(100) < mix.several {
            let count = 2 + self.random.below(3.min(self.plan.keys - 1));
            let mut numbers: Vec<u64> = (0..self.plan.keys).collect();
            while numbers.len() as u64 > count {
                let at = self.random.below(numbers.len() as u64) as usize;
                numbers.remove(at);
            }
            let keys = numbers.into_iter().map(key_number).collect();
            return exclusive(Keys::of(keys).expect("keys"), None);
        }
        let mut limit = mix.limits[first as usize];
        if mix.conflicts && self.random.chance(150) {
            let other = OTHER_LIMITS[self.random.below(4) as usize];
            limit = Limit::new(other).unwrap_or(limit);
        }
        let keys = Keys::One(key_number(first));
        if self.random.below(100) < mix.shares {
            return Wish {
                keys,
                want: Want::Share(limit),
                limit: Some(limit),
            };
        }
        // Without a limit a downgrade makes a reader of it.
        let named = limit != Limit::READERS || self.random.chance(500);
        exclusive(keys, named.then_some(limit))
    }

    /// Some holders make a share of their lock, or the reverse, and some do so several times.
    pub(super) fn user_changes(&mut self, process: usize, lock: LockId, hold: Duration) {
        if let Some(script) = &self.plan.script {
            let left = self.processes[process].users[0].rounds as usize;
            let locks = &script[process];
            if let Some(what) = locks[locks.len() - left - 1].change.clone() {
                let ask = Happening::Ask {
                    process,
                    lock,
                    what,
                };
                self.after(Duration::ZERO, ask);
            }
            return;
        }
        let Some(mix) = self.plan.mix.clone() else {
            return;
        };
        if self.random.below(100) >= mix.changes {
            return;
        }
        for _ in 0..1 + self.random.below(3) {
            let at = self.random.duration(hold + Duration::from_micros(1));
            let what = match self.random.below(2) {
                0 => Call::Downgrade,
                _ => Call::Upgrade(self.patience_of_upgrade()),
            };
            let cancels = matches!(what, Call::Upgrade(Patience::Forever));
            let ask = |what| Happening::Ask {
                process,
                lock,
                what,
            };
            self.after(at, ask(what));
            if cancels {
                let wait = self.random.duration(Duration::from_secs(3));
                self.after(at + wait, ask(Call::Cancel));
            }
        }
    }

    fn patience_of_upgrade(&mut self) -> Patience {
        match self.random.below(4) {
            0 => Patience::Once,
            1 => Patience::Forever,
            2 => Patience::For(self.random.duration(Duration::from_millis(20))),
            _ => Patience::For(self.random.duration(Duration::from_secs(5))),
        }
    }

    /// A caller asks for a change only where the lock is one that can change so.
    pub(super) fn may_ask(&self, process: usize, lock: LockId, what: &Call) -> bool {
        let holders = &self.ledger.holders;
        match what {
            Call::Downgrade => holders.may_change((process, lock), false),
            Call::Upgrade(_) => holders.may_change((process, lock), true),
            _ => true,
        }
    }

    /// How long a change may take. Where answers are lost, only the end of the lease is a limit.
    pub(super) fn limit_of_change(&self, what: &Call) -> Option<Duration> {
        if !self.plan.is_kind() {
            return None;
        }
        match what {
            Call::Upgrade(Patience::For(budget)) => Some(REQUEST_TIMEOUT + *budget),
            Call::Upgrade(Patience::Forever) => None,
            _ => Some(REQUEST_TIMEOUT),
        }
    }

    /// A downgrade or an upgrade has its outcome.
    pub(super) fn changed(
        &mut self,
        process: usize,
        lock: LockId,
        clashes: Vec<Clash>,
        outcome: &Outcome,
    ) -> Result<(), String> {
        self.no_clash(process, lock, clashes)?;
        if matches!(self.foreigner, Some((_, true))) && self.is_alone_on_its_key(process, lock) {
            return Err(format!("p{process} and a foreigner hold one key"));
        }
        match outcome {
            Ok(_) => self.holds_its_rows(process, lock),
            Err(error) if error.status == Status::Internal => {
                Err(format!("internal error: {error}"))
            }
            Err(_) => Ok(()),
        }
    }

    /// The lock believes to hold the key of the foreigner alone.
    pub(super) fn is_alone_on_its_key(&self, process: usize, lock: LockId) -> bool {
        let (holders, me) = (&self.ledger.holders, (process, lock));
        let keys = holders.keys_of(me);
        let is_its = keys.is_some_and(|keys| keys.all().iter().any(|key| &**key == KEY));
        is_its && holders.is_alone(me)
    }

    /// An acquire failed: for a reason that there is in this plan.
    pub(super) fn may_fail(
        &mut self,
        process: usize,
        lock: LockId,
        error: &Error,
    ) -> Result<(), String> {
        match error.status {
            Status::Internal => return Err(format!("internal error: {error}")),
            Status::Conflict => self.ledger.holders.counts.conflicts += 1,
            _ => {}
        }
        let conflicts = self.plan.mix.as_ref().is_some_and(|mix| mix.conflicts);
        if error.status == Status::Conflict && !conflicts {
            return Err(format!(
                "p{process} lock {}: a conflict where all limits are the same: {error}",
                lock.0
            ));
        }
        Ok(())
    }
}
