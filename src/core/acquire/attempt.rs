//! The attempt: from the transaction to the lock that is held, or to the certainty that it is not.

use super::session::too_late;
use super::*;
use crate::core::lease::Lease;
#[cfg(test)]
use crate::core::sabotage::Sabotage;

/// While a lock-delay runs an attempt costs no Raft write, and its end wakes no waiter: the library tries
/// this often at most.
const DELAY_PAUSE: Duration = Duration::from_millis(250);

/// The attempt that follows a look may contradict it so many times in a row, because others were faster.
/// After more of them the looks are not the truth (a middlebox answers with what it saw long ago), and the
/// library pauses after each.
pub(super) const FASTER_OTHERS: u32 = 3;

/// The longest such pause.
pub(super) const CONTRADICTION_PAUSE: Duration = Duration::from_millis(250);

/// Consul takes no more operations in one transaction.
pub(super) const MOST_OPERATIONS: usize = 64;

/// Losers of a race look again spread over this time.
const RACE_SPREAD: Duration = Duration::from_millis(5);

/// The transaction that takes the keys, and what the attempts before it have shown.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct Attempt {
    /// The transaction under way, kept to be repeated byte for byte. Boxed, because of thousands of waiters
    /// few try at a time.
    pub(super) request: Option<Box<Request>>,
    /// What each key was at the last look: the transaction takes them only if they still are.
    pub(super) found: Vec<Found>,
    /// The stalled tickets that the transaction removes.
    pub(super) passed: Vec<Stalled>,
    /// The slot with which the transaction shares the key.
    pub(super) slot: Slot,
    /// The token of the rows that Consul gave this waiter, and that the caller does not have yet: the waiter
    /// waits for the sessions that share its keys, or gives the rows back.
    pub(super) gate: Option<u64>,
    /// The value of the last attempt. The value of an attempt that Consul applied stays as it is.
    stored: Option<Value>,
    /// Refusals by lock-delay in a row.
    pub(super) delays: u32,
    /// How often in a row the key looked free, and the attempt was refused.
    pub(super) contradictions: u32,
    /// How many slots in a row turned out to be taken.
    pub(super) taken_slots: u32,
}

impl Default for Attempt {
    fn default() -> Attempt {
        Attempt {
            request: None,
            found: Vec::new(),
            passed: Vec::new(),
            slot: Slot::new(0),
            gate: None,
            stored: None,
            delays: 0,
            contradictions: 0,
            taken_slots: 0,
        }
    }
}

impl Attempt {
    /// The waiter looks at that many keys from now on. Of thousands of waiters few do.
    pub(super) fn look_at(&mut self, keys: usize) {
        self.found.resize(keys, Found::Absent);
    }

    /// Notes what the key of that number is.
    pub(super) fn set_found(&mut self, number: usize, found: Found) {
        if let Some(place) = self.found.get_mut(number) {
            *place = found;
        }
    }

    /// The keys are the own session's: the next attempt asks for the index at which it took them.
    pub(super) fn set_ours(&mut self) {
        self.found.fill(Found::Ours);
    }

    fn is_ours(&self) -> bool {
        self.found.iter().all(|found| *found == Found::Ours)
    }

    /// The value to store: made once per attempt.
    fn value(&mut self, wanted: Option<&Value>, unix_ms: i64) -> Value {
        let stored = self.stored.take().filter(|_| self.is_ours());
        let value = stored.or_else(|| wanted.cloned());
        let value = value.unwrap_or_else(|| locked_at::stored(unix_ms));
        self.stored = Some(value.clone());
        value
    }
}

impl Acquire {
    /// The keys are free, and this waiter may take them.
    pub(super) fn attempt(&mut self, ctx: &mut Context) {
        self.purpose = Purpose::Lock;
        self.attempt.passed.clear();
        self.ready_session(ctx);
    }

    /// Sends an attempt, or the same one again.
    pub(super) fn try_lock(&mut self, ctx: &mut Context) {
        self.retire_what_is_over(ctx);
        let Some(session) = self.session.id() else {
            return self.look(ctx);
        };
        let request = self.attempt.request.take().unwrap_or_else(|| {
            let (wanted, now) = (self.spec.value.as_ref(), ctx.out.now.unix_ms);
            let value = self.attempt.value(wanted, now);
            Box::new(self.attempt_request(ctx, session, value))
        });
        self.step = Step::Try(self.ask(ctx, (*request).clone()));
        self.attempt.request = Some(request);
    }

    /// The transaction that takes the keys; with tickets, out of the line.
    fn attempt_request(&self, ctx: &Context, session: SessionId, value: Value) -> Request {
        let keys = self.spec.keys.all().iter().zip(&self.attempt.found);
        let targets = keys.map(|(key, found)| LockTarget {
            key: key.clone(),
            found: *found,
        });
        let targets: Vec<LockTarget> = targets.collect();
        #[cfg(test)]
        let targets = self.sabotaged(ctx, targets);
        let hold = match self.spec.want {
            Want::Exclusive => Hold::Exclusive { value },
            Want::Share(limit) => Hold::Share {
                limit,
                slot: self.attempt.slot,
                value,
                probe: ctx.out.config.lock_delay,
            },
        };
        // A check and a lock for each key.
        let least = targets.len() * 2;
        match &self.standing.place {
            Some(place) => {
                let ahead = self.attempt.passed.clone();
                let least = least + targets.len() + 1 + ahead.len();
                Request::Take {
                    hold,
                    slots: place.slots.clone(),
                    session,
                    ahead,
                    see: self.see_within(least, false, targets.len()),
                    targets: self.checked_within(least, targets),
                }
            }
            None => Request::Lock {
                hold,
                session,
                see: self.see_within(least, self.wants_ticket(ctx), targets.len()),
                targets,
            },
        }
    }

    #[cfg(test)]
    fn sabotaged(&self, ctx: &Context, mut targets: Vec<LockTarget>) -> Vec<LockTarget> {
        if ctx.out.sabotaged(Sabotage::SharesBesideAHolder) && self.shares() {
            for target in &mut targets {
                target.found = Found::Unchecked;
            }
        }
        if ctx.out.sabotaged(Sabotage::ForgetsAKey) && targets.len() > 1 {
            targets.pop();
        }
        targets
    }

    /// What a transaction of so many operations can show besides: first those who share the keys, then the line.
    fn see_within(&self, least: usize, line: bool, keys: usize) -> See {
        let room = MOST_OPERATIONS.saturating_sub(least) / keys.max(1);
        See {
            sharers: if room > 0 {
                self.whom_to_see()
            } else {
                Sharers::None
            },
            line: line && room > 1,
        }
    }

    /// Of several keys, a take needs a check and a lock for each, the removal of each ticket, and one check of a
    /// ticket. Where that is too much, the keys go without a check: a survey has just shown them to be free.
    pub(super) fn checked_within(
        &self,
        least: usize,
        mut targets: Vec<LockTarget>,
    ) -> Vec<LockTarget> {
        if least > MOST_OPERATIONS {
            let others = targets
                .iter_mut()
                .filter(|target| target.found != Found::Ours);
            others.for_each(|target| target.found = Found::Unchecked);
        }
        targets
    }

    /// Those who share the key that matter to this waiter. Readers need not know each other: a thousand of them have
    /// 220 KB in each answer.
    pub(super) fn whom_to_see(&self) -> Sharers {
        match self.spec.want {
            Want::Share(Limit::READERS) => Sharers::Limited,
            Want::Share(_) | Want::Exclusive => Sharers::All,
        }
    }

    pub(super) fn tried(&mut self, ctx: &mut Context, answer: Result<Answer, Fault>) -> Progress {
        let answer = self.provable(answer);
        // A look does not show whether Consul applied an earlier copy for one that shares: only the same transaction
        // tells, so the waiter asks for nothing else with this session before.
        let is_open = match answer {
            Err(Fault::Unknown(_)) => true,
            Err(Fault::NotApplied(_)) => self.shares() && self.is_doubtful(),
            _ => false,
        };
        let request = match is_open {
            true => None,
            false => self.attempt.request.take(),
        };
        if !matches!(answer, Ok(Answer::Delayed)) {
            self.attempt.delays = 0;
        }
        if answer.is_ok() {
            self.wrote();
        }
        match answer {
            Ok(Answer::Locked { index, below }) => {
                // The transaction that takes the keys gives up the place in line.
                self.standing.place = None;
                let see = match request.as_deref() {
                    Some(Request::Lock { see, .. } | Request::Take { see, .. }) => *see,
                    _ => See::NOTHING,
                };
                if see.line {
                    self.note_lines(ctx, &below, None);
                }
                self.locked(ctx, index, see, below)
            }
            // The session of a request that was lost may share the key by now: it is not used again.
            Ok(
                Answer::Held | Answer::Changed | Answer::NoTicket | Answer::Stale | Answer::Delayed,
            ) if self.shares() && self.is_doubtful() => self.start_afresh(ctx),
            Ok(Answer::Held) if self.shares() => {
                self.find_slot_taken(ctx);
                Progress::GoesOn
            }
            Ok(Answer::Held) => {
                self.known.fault = None;
                self.standing.stall = None;
                self.drop_doubtful(ctx);
                self.note_not_free(ctx, Blocker::Unknown);
                if !self.wants_ticket(ctx) {
                    // A single attempt is over; a look finds the winner.
                    let spread = ctx.out.spread(RACE_SPREAD);
                    if self.is_single() {
                        self.look(ctx);
                    } else {
                        self.pause(ctx, spread, Next::Look);
                    }
                } else if self.standing.place.is_some() {
                    // Only the head of the line tries, so the look need not be spread.
                    self.look_after_contradiction(ctx);
                } else {
                    self.get_ticket(ctx);
                }
                Progress::GoesOn
            }
            Ok(Answer::Delayed) => {
                self.known.fault = None;
                self.note_not_free(ctx, Blocker::Unknown);
                self.attempt.delays += 1;
                // The waiters before this one wait for the end of the lock-delay, too.
                self.standing.stall = None;
                let error = self.not_acquired(ctx);
                if self.is_single() {
                    return Progress::Failed(error);
                }
                let often = Often::OncePerKey("lock-delay", self.spec.keys.label());
                ctx.out.log(Level::Info, often, || error.message);
                let pause = ctx.out.back_off(self.attempt.delays).min(DELAY_PAUSE);
                self.pause(ctx, pause, Next::Look);
                Progress::GoesOn
            }
            // The key changed since the last look, perhaps by an attempt whose answer was lost.
            Ok(Answer::Changed) => {
                self.standing.stall = None;
                // Of several keys only some are the session's: another program has removed the others.
                if self.attempt.is_ours() && self.spec.keys.are_several() {
                    return self.start_afresh(ctx);
                }
                self.look_after_contradiction(ctx);
                Progress::GoesOn
            }
            // Consul may have applied the transaction, or may still: the same transaction again tells.
            Err(Fault::Unknown(cause)) => {
                #[cfg(test)]
                if ctx.out.sabotaged(Sabotage::DoubtIsFailure) {
                    self.session.live = None;
                    return Progress::Failed(cause);
                }
                self.session.note_doubt();
                self.retry_later(ctx, Access::Write, &cause, Next::Try)
            }
            Err(Fault::NotApplied(cause)) if is_open => {
                self.retry_later(ctx, Access::Write, &cause, Next::Try)
            }
            Err(Fault::SessionGone(cause)) => self.start_over(ctx, &cause),
            // The own ticket is gone: by an attempt whose answer was lost, or removed by another program.
            Ok(Answer::NoTicket) => {
                self.standing.place = None;
                self.look_after_contradiction(ctx);
                Progress::GoesOn
            }
            Ok(Answer::Stale) => {
                self.standing.stall = None;
                self.read_line(ctx, false);
                Progress::GoesOn
            }
            answer => self.failed(ctx, answer, Access::Write, Next::Look),
        }
    }

    /// Consul gave the rows of the lock. `below`: what stood below each key at that instant, as `see` asked for it.
    fn locked(&mut self, ctx: &mut Context, index: u64, see: See, below: Vec<Below>) -> Progress {
        self.attempt.taken_slots = 0;
        if let Some((limits, session)) = self.conflict(&below, Some(index)) {
            // The end of the acquire gives the rows back.
            self.attempt.gate = Some(index);
            return Progress::Failed(self.limits_differ(ctx, limits, &session));
        }
        if self.shares() {
            return self.hand_out(ctx, index);
        }
        #[cfg(test)]
        if ctx.out.sabotaged(Sabotage::NoDrain) {
            return self.hand_out(ctx, index);
        }
        let sharers = self.others_among(below);
        if see.sharers == Sharers::None {
            self.attempt.gate = Some(index);
            self.prove(ctx);
            Progress::GoesOn
        } else if sharers.is_empty() {
            self.hand_out(ctx, index)
        } else {
            self.attempt.gate = Some(index);
            self.wait_for_sharers(ctx, sharers)
        }
    }

    /// Goes on with another session: this one may hold something that the waiter knows nothing of.
    pub(super) fn start_afresh(&mut self, ctx: &mut Context) -> Progress {
        // A single attempt is over. The end of the acquire ends the session, before the caller gets the outcome.
        if self.is_single() {
            self.note_not_free(ctx, Blocker::Unknown);
            return Progress::Failed(self.not_acquired(ctx));
        }
        self.standing.stall = None;
        self.retire_session(ctx);
        self.attempt.found.fill(Found::Absent);
        if self.wants_ticket(ctx) {
            self.get_ticket(ctx);
        } else {
            self.look_after_contradiction(ctx);
        }
        Progress::GoesOn
    }

    fn is_doubtful(&self) -> bool {
        self.session
            .live
            .as_ref()
            .is_some_and(|session| session.doubtful)
    }

    /// The key is not as the last look showed it: looks again, at once while that may be a race.
    pub(super) fn look_after_contradiction(&mut self, ctx: &mut Context) {
        self.attempt.contradictions += 1;
        match self.attempt.contradictions.saturating_sub(FASTER_OTHERS) {
            0 => self.look(ctx),
            more => {
                let pause = ctx.out.back_off(more).min(CONTRADICTION_PAUSE);
                self.pause(ctx, pause, Next::Look);
            }
        }
    }

    /// An answer with an index that is not above the last token belongs to an earlier request (a middlebox
    /// doubled it). The outcome of the last request is unknown then.
    fn provable(&self, answer: Result<Answer, Fault>) -> Result<Answer, Fault> {
        let live = self.session.live.as_ref();
        let last = live.map_or(0, |session| session.last_token);
        match answer {
            Ok(Answer::Locked { index, .. }) if index <= last => {
                let why = "the answer belongs to an earlier request";
                Err(Fault::Unknown(Error::new(Status::Unavailable, why)))
            }
            answer => answer,
        }
    }

    /// Consul gave the lock. The caller gets it if its whole life is ahead; otherwise the library renews it
    /// first. A lock that does not get that far is given back.
    pub(super) fn hand_out(&mut self, ctx: &mut Context, token: u64) -> Progress {
        let now = ctx.out.time();
        let (Some(session), Some(lease)) = (self.session.id(), self.session.lease()) else {
            // The session has ended, and the lock with it.
            self.look(ctx);
            return Progress::GoesOn;
        };
        if lease.is_over(now) {
            return self.came_too_late(ctx);
        }
        #[cfg(test)]
        if ctx.out.sabotaged(Sabotage::HalfALife) {
            return self.won(ctx, token);
        }
        if lease.age(now) <= FRESH {
            return self.won(ctx, token);
        }
        let until = lease.end().min(now + longest_closing(&lease));
        let request = Request::RenewSession { session };
        self.step = Step::Refresh(self.ask_until(ctx, request, until), token);
        Progress::GoesOn
    }

    pub(super) fn refreshed(
        &mut self,
        ctx: &mut Context,
        token: u64,
        sent: Option<Time>,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        match answer {
            Ok(Answer::Renewed) if self.confirm(ctx, sent) => match self.session.lease() {
                Some(lease) if lease.age(ctx.out.time()) <= longest_closing(&lease) => {
                    self.won(ctx, token)
                }
                _ => self.hand_out(ctx, token),
            },
            Ok(Answer::Renewed) => self.came_too_late(ctx),
            Err(Fault::SessionGone(_)) => {
                self.retire_session(ctx);
                self.look(ctx);
                Progress::GoesOn
            }
            answer => {
                self.note_unknown(&answer);
                self.failed(ctx, answer, Access::Write, Next::HandOut(token))
            }
        }
    }

    /// Consul gave the lock, and its lease is over: the library gives it back. For a single attempt the end
    /// of the acquire does so, and the caller gets the outcome when that is done.
    fn came_too_late(&mut self, ctx: &mut Context) -> Progress {
        if !self.is_single() {
            self.retire_session(ctx);
        }
        self.retry_later(ctx, Access::Write, &too_late(), Next::Look)
    }

    fn won(&mut self, ctx: &mut Context, token: u64) -> Progress {
        let Some(mut session) = self.session.live.take() else {
            return Progress::Failed(self.unexpected(ctx));
        };
        session.last_token = token;
        let slot = self.shares().then_some(self.attempt.slot);
        Progress::Won {
            session,
            token,
            slot,
        }
    }
}

/// The library repeats the closing renewal if it takes longer, so the caller gets a lock with three quarters of
/// its life at the least.
fn longest_closing(lease: &Lease) -> Duration {
    lease.ttl() / 4
}
