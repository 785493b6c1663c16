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
const FASTER_OTHERS: u32 = 3;

/// The longest such pause.
const CONTRADICTION_PAUSE: Duration = Duration::from_millis(250);

/// Losers of a race look again spread over this time.
const RACE_SPREAD: Duration = Duration::from_millis(5);

/// The transaction that takes the key, and what the attempts before it have shown.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The transaction under way, kept to be repeated byte for byte. Boxed, because of thousands of waiters
    /// few try at a time.
    pub(super) request: Option<Box<Request>>,
    /// What the key was at the last look: the transaction takes it only if it still is.
    pub(super) found: Found,
    /// The value of the last attempt. The value of an attempt that Consul applied stays as it is.
    stored: Option<Value>,
    /// Refusals by lock-delay in a row.
    pub(super) delays: u32,
    /// How often in a row the key looked free, and the attempt was refused.
    pub(super) contradictions: u32,
}

impl Default for Attempt {
    fn default() -> Attempt {
        Attempt {
            request: None,
            found: Found::Absent,
            stored: None,
            delays: 0,
            contradictions: 0,
        }
    }
}

impl Attempt {
    /// The value to store: made once per attempt.
    fn value(&mut self, wanted: Option<&Value>, unix_ms: i64) -> Value {
        let stored = self.stored.take().filter(|_| self.found == Found::Ours);
        let value = stored.or_else(|| wanted.cloned());
        let value = value.unwrap_or_else(|| locked_at::stored(unix_ms));
        self.stored = Some(value.clone());
        value
    }
}

impl Acquire {
    /// The key is free, and this waiter may take it.
    pub(super) fn attempt(&mut self, ctx: &mut Context) {
        self.purpose = Purpose::Lock;
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

    pub(super) fn tried(&mut self, ctx: &mut Context, answer: Result<Answer, Fault>) -> Progress {
        let answer = self.provable(answer);
        let request = match answer {
            Err(Fault::Unknown(_)) => None,
            _ => self.attempt.request.take(),
        };
        if !matches!(answer, Ok(Answer::Delayed)) {
            self.attempt.delays = 0;
        }
        if answer.is_ok() {
            self.wrote();
        }
        match answer {
            Ok(Answer::Locked { index, line }) => {
                // The transaction that takes the key gives up the place in line.
                self.standing.place = None;
                if matches!(request.as_deref(), Some(Request::Lock { line: true, .. })) {
                    ctx.waiters.note_line(&self.spec.key, &line, None);
                }
                self.hand_out(ctx, index)
            }
            Ok(Answer::Held) => {
                self.known.fault = None;
                self.standing.stall = None;
                self.drop_doubtful(ctx);
                self.note_not_free(ctx, None);
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
                self.note_not_free(ctx, None);
                self.attempt.delays += 1;
                // The waiters before this one wait for the end of the lock-delay, too.
                self.standing.stall = None;
                let error = self.not_acquired(ctx);
                if self.is_single() {
                    return Progress::Failed(error);
                }
                let often = Often::OncePerKey("lock-delay", &self.spec.key);
                ctx.out.log(Level::Info, often, || error.message);
                let pause = ctx.out.back_off(self.attempt.delays).min(DELAY_PAUSE);
                self.pause(ctx, pause, Next::Look);
                Progress::GoesOn
            }
            // The key changed since the last look, perhaps by an attempt whose answer was lost.
            Ok(Answer::Changed) => {
                self.standing.stall = None;
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

    /// The key is not as the last look showed it: looks again, at once while that may be a race.
    fn look_after_contradiction(&mut self, ctx: &mut Context) {
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
        Progress::Won { session, token }
    }
}

/// The library repeats the closing renewal if it takes longer, so the caller gets a lock with three quarters of
/// its life at the least.
fn longest_closing(lease: &Lease) -> Duration {
    lease.ttl() / 4
}
