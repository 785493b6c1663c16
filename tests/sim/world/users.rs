//! The users of the processes: what they do with their locks, and which outcomes they get.

use super::*;

impl World {
    pub(super) fn user(&mut self, process: usize, user: usize) -> Result<(), String> {
        let state = &self.processes[process].users[user];
        let (doing, lock, rounds) = (state.doing, state.lock, state.rounds);
        match doing {
            Doing::Thinking if rounds == 0 => {
                self.processes[process].users[user].doing = Doing::Done;
                Ok(())
            }
            Doing::Thinking => self.user_acquires(process, user),
            Doing::Holding => {
                if !self.plan.plain && self.random.chance(60) {
                    self.note(|| format!("p{process}: abandons lock {}", lock.0));
                    return self.user_forgets(process, user);
                }
                self.note(|| format!("p{process}: releases lock {}", lock.0));
                // The outcome may come before the call returns.
                let call = CallId(self.calls + 1);
                self.processes[process].users[user].doing = Doing::Releasing(call);
                self.call(process, lock, Call::Release)?;
                Ok(())
            }
            Doing::Acquiring(_) | Doing::Releasing(_) | Doing::Done => Ok(()),
        }
    }

    pub(super) fn user_acquires(&mut self, process: usize, user: usize) -> Result<(), String> {
        if let Some(script) = &self.plan.script {
            let locks = &script[process];
            let left = self.processes[process].users[user].rounds as usize;
            let spec = locks[locks.len() - left].spec.clone();
            return self.user_begins(process, user, spec).map(drop);
        }
        let wish = self.wish();
        let patience = match self.random.below(4) {
            _ if self.plan.plain => Patience::Once,
            _ if self.plan.patient => Patience::Forever,
            // A user that gives up leaves its place to the next, too.
            0 if self.plan.line.is_some() => {
                Patience::For(self.random.duration(Duration::from_secs(1)))
            }
            _ if self.plan.line.is_some() => Patience::Forever,
            0 => Patience::Once,
            1 => Patience::For(self.random.duration(Duration::from_secs(1))),
            2 => Patience::For(self.random.duration(Duration::from_secs(40))),
            _ => Patience::Forever,
        };
        let ttl = Duration::from_secs(if self.plan.plain || self.plan.line.is_some() {
            10
        } else {
            10 + 5 * self.random.below(2)
        });
        let upkeep = match self.random.below(4) {
            _ if !self.plan.upkeep => Upkeep::Off,
            0 => Upkeep::For(None),
            1 => Upkeep::For(Some(self.random.duration(Duration::from_secs(40)))),
            _ => Upkeep::Off,
        };
        let spec = LockSpec {
            upkeep,
            fair: self.plan.fair,
            monitor: self.plan.fair || self.random.chance(500),
            grace: GRACE,
            keys: wish.keys,
            want: wish.want,
            limit: wish.limit,
            ..LockSpec::exclusive(KEY, ttl, patience)
        };
        let lock = self.user_begins(process, user, spec)?;
        let end = match patience {
            Patience::Forever if self.plan.line.is_some() => None,
            Patience::Forever => Some(self.random.duration(Duration::from_secs(60))),
            _ if self.plan.plain => None,
            _ => self
                .random
                .chance(100)
                .then(|| self.random.duration(Duration::from_secs(5))),
        };
        if let Some(end) = end {
            let what = if self.random.chance(700) {
                Call::Cancel
            } else {
                Call::Release
            };
            self.after(
                end,
                Happening::Ask {
                    process,
                    lock,
                    what,
                },
            );
        }
        Ok(())
    }

    /// Begins an acquire.
    fn user_begins(
        &mut self,
        process: usize,
        user: usize,
        spec: LockSpec,
    ) -> Result<LockId, String> {
        self.locks += 1;
        let lock = LockId(self.locks);
        self.note(|| {
            format!(
                "p{process}: acquires {:?} as lock {} for {:?}, {:?}, renewed {:?}: {:?}",
                spec.keys.all(),
                lock.0,
                spec.ttl,
                spec.patience,
                spec.upkeep,
                spec.want
            )
        });
        let state = &mut self.processes[process].users[user];
        state.lock = lock;
        state.rounds -= 1;
        state.doing = Doing::Acquiring(CallId(self.calls + 1));
        self.ledger.wants(process, lock, &spec, self.now);
        if spec.patience != Patience::Once && self.plan.line.is_some() {
            let wait = Wait {
                call: CallId(self.calls + 1),
                lock,
                keys: spec.keys.clone(),
                want: spec.want,
            };
            self.line.waits(process, wait);
        }
        self.call(process, lock, Call::Acquire(spec))?;
        Ok(lock)
    }

    /// Writes under the lock, a little after its release at the latest.
    pub(super) fn user_writes(&mut self, process: usize, lock: LockId, hold: Duration) {
        let scripted = self.plan.script.as_ref().map(|_| 1);
        let writes = scripted.unwrap_or_else(|| [0, 0, 1, 3][self.random.below(4) as usize]);
        for _ in 0..writes {
            self.writes += 1;
            let value = self.random.chance(800);
            let what = Call::Write {
                key: format!("{WRITTEN}{}", self.writes).into(),
                value: value.then(|| Value(b"v".to_vec().into())),
            };
            let at = self.random.duration(hold + hold / 16);
            self.after(
                at,
                Happening::Ask {
                    process,
                    lock,
                    what,
                },
            );
        }
    }

    pub(super) fn user_forgets(&mut self, process: usize, user: usize) -> Result<(), String> {
        let lock = self.processes[process].users[user].lock;
        self.processes[process].users[user].doing = Doing::Thinking;
        let think = if self.plan.hot { 1 } else { 4_000 };
        let think = self.random.duration(Duration::from_millis(think));
        self.after(think, Happening::User { process, user });
        // Half of the handles stay, and are freed after they were used once more.
        if lock.0.is_multiple_of(2) {
            self.call(process, lock, Call::LetGo)?;
            self.call(process, lock, Call::Check)?;
        }
        self.call(process, lock, Call::Abandon).map(drop)
    }

    pub(super) fn told(
        &mut self,
        process: usize,
        call: CallId,
        outcome: Outcome,
    ) -> Result<(), String> {
        self.note(|| format!("p{process}: call {} is told {outcome:?}", call.0));
        if self.is_explored {
            let status = outcome.as_ref().map(drop).map_err(|error| error.status);
            self.outcome = Some(format!("p{process}: {status:?}"));
        }
        let stopped = self.processes[process].stopped_for;
        self.ledger.told(call, self.now, stopped, &outcome)?;
        self.line.told(process, call, outcome.is_ok())?;
        if let Some(((process, lock), clashes)) =
            self.ledger.holders.changed(call, outcome.is_ok())?
        {
            self.changed(process, lock, clashes, &outcome)?;
        }
        let users = &self.processes[process].users;
        let Some(user) = users
            .iter()
            .position(|u| u.doing == Doing::Acquiring(call) || u.doing == Doing::Releasing(call))
        else {
            return Ok(());
        };
        let (doing, lock) = (users[user].doing, users[user].lock);
        match (doing, outcome) {
            (Doing::Acquiring(_), Ok(Done::Ok)) => {
                let clock = self.clock_at(process, self.now);
                self.ledger.acquired(process, lock, clock)?;
                let state = &mut self.processes[process].users[user];
                (state.doing, state.since) = (Doing::Holding, self.now);
                let mut hold = self.random.duration(self.plan.longest_hold);
                if self.ledger.is_kept_up(process, lock) {
                    hold *= 2;
                }
                if self.plan.writes {
                    self.user_writes(process, lock, hold);
                }
                self.user_changes(process, lock, hold);
                self.holds_its_rows(process, lock)?;
                if !self.plan.plain && self.random.chance(300) {
                    let at = self.random.duration(hold);
                    let what = if self.random.chance(700) {
                        Call::Renew
                    } else {
                        Call::Check
                    };
                    self.after(
                        at,
                        Happening::Ask {
                            process,
                            lock,
                            what,
                        },
                    );
                }
                self.after(hold, Happening::User { process, user });
                Ok(())
            }
            (Doing::Acquiring(_), Err(error)) => {
                if self.plan.plain {
                    return Err(format!("a free lock was refused: {error}"));
                }
                self.may_fail(process, lock, &error)?;
                self.user_forgets_soon(process, user);
                Ok(())
            }
            (Doing::Releasing(_), outcome) => {
                if self.plan.plain && outcome != Ok(Done::Ok) {
                    return Err(format!("a release failed: {outcome:?}"));
                }
                self.user_forgets_soon(process, user);
                Ok(())
            }
            (_, outcome) => Err(format!("an outcome that was not asked for: {outcome:?}")),
        }
    }

    /// The user frees the handle, and the next round begins, but not inside the step that told the outcome.
    pub(super) fn user_forgets_soon(&mut self, process: usize, user: usize) {
        let lock = self.processes[process].users[user].lock;
        self.processes[process].users[user].doing = Doing::Thinking;
        self.after(
            Duration::ZERO,
            Happening::Ask {
                process,
                lock,
                what: Call::Free,
            },
        );
        let think = Duration::from_millis(if self.plan.hot { 1 } else { 4_000 });
        let think = self.random.duration(think) + Duration::from_micros(1);
        let think = if self.plan.script.is_some() {
            Duration::ZERO
        } else {
            think
        };
        self.after(think, Happening::User { process, user });
    }
}
