//! Standing in the line between processes.
//!
//! ```text
//!          ┌── the own ticket is gone ◀─────────┐
//!          ▼                                    │
//!        Join ──▶ which is before? ───none─▶ head: Look ──free──▶ Take
//!                   │        ▲                          └──held──▶ Watch the key
//!                   ▼        │ it is gone
//!                 Follow the ticket before the own
//!                   │ nothing moves: Look ──held──▶ Watch the key, then follow again
//!                   └ free, and the head does not take it for a whole grace: Take, past it
//! ```
//!
//! docs/protocol.md says why no waiter is overtaken without bound, and why none waits for ever.

use super::*;
use crate::core::messages::{LineSlot, Ticket, line_of};
#[cfg(test)]
use crate::core::sabotage::Sabotage;
use crate::core::waiters::PlaceInLine;
use crate::key::{MAX_TRANSACTION, in_transaction};

/// The grace of a head is that many round trips, if that is more than the option says.
const GRACE_ROUND_TRIPS: u32 = 20;

/// A waiter waits so much longer for a move, for each place before its own: the waiter that is next to act
/// comes first.
const PER_PLACE: Duration = Duration::from_millis(20);

/// Stalled tickets removed in one transaction at most. Consul allows 64 operations.
const MOST_AHEAD: usize = 50;

/// After so many slots in a row that belong to others the line is full, and the waiter waits without a ticket.
const MOST_COLLISIONS: u32 = 64;

/// Where a waiter stands in the line between processes.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) place: Option<PlaceInLine>,
    pub(super) stall: Option<Stall>,
    /// How many slots in a row belonged to others.
    collisions: u32,
    /// The line is full: this waiter waits without a ticket.
    is_crowded_out: bool,
}

impl Standing {
    /// The tickets before the own one, as the line was last read.
    pub(super) fn ahead(&self) -> &[Ticket] {
        self.place.as_ref().map_or(&[], |place| &place.ahead)
    }

    /// Others stand before this waiter.
    pub(super) fn is_behind(&self) -> bool {
        !self.ahead().is_empty()
    }

    fn head(&self) -> Option<Identity> {
        self.ahead().first().map(identity)
    }

    /// This waiter takes itself for the head.
    fn move_to_head(&mut self) {
        if let Some(place) = &mut self.place {
            place.ahead.clear();
        }
    }
}

/// The key is free, and the head of the line does not take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    head: Identity,
    /// When to look again.
    again: Time,
    /// The last look showed the same. Two looks may be two moments between which the key was held. So there
    /// are three, and the last two are so close that a living head would have taken the key between them.
    sure: bool,
}

/// CreateIndex and slot, for slots are used again.
type Identity = (u64, LineSlot);

fn identity(ticket: &Ticket) -> Identity {
    (ticket.create_index, ticket.slot)
}

impl Acquire {
    /// This acquire waits in line, not only for the key.
    pub(super) fn wants_ticket(&self, ctx: &Context) -> bool {
        self.arrival.is_some()
            && self.spec.fair
            && !self.standing.is_crowded_out
            && ctx.waiters.may_have_ticket(&self.spec.key)
    }

    /// Asks whether the key is free, and for the line.
    pub(super) fn survey(&mut self, ctx: &mut Context) {
        let key = self.spec.key.clone();
        self.step = Step::Survey(self.ask(ctx, Request::Survey { key }));
    }

    pub(super) fn surveyed(
        &mut self,
        ctx: &mut Context,
        answer: Result<Answer, Fault>,
    ) -> Progress {
        match answer {
            Ok(Answer::Line(line)) => {
                self.answered();
                ctx.waiters.note_line(&self.spec.key, &line, None);
                self.attempt.found = Found::Absent;
                self.found_free(ctx, false)
            }
            Ok(Answer::Exists) => {
                self.answered();
                self.look(ctx);
                Progress::GoesOn
            }
            answer => self.failed(ctx, answer, Access::Read, Next::Survey),
        }
    }

    /// Gets a ticket, with a session that lives.
    pub(super) fn get_ticket(&mut self, ctx: &mut Context) {
        self.purpose = Purpose::Ticket;
        self.standing.place = None;
        self.standing.stall = None;
        self.ready_session(ctx);
    }

    pub(super) fn join(&mut self, ctx: &mut Context) {
        self.retire_what_is_over(ctx);
        let Some(session) = self.session.id() else {
            return self.ready_session(ctx);
        };
        let request = Request::Join {
            key: self.spec.key.clone(),
            slot: ctx.waiters.slot(&self.spec.key, ctx.out.config.seed),
            session,
        };
        self.step = Step::Join(self.ask(ctx, request));
    }

    pub(super) fn joined(&mut self, ctx: &mut Context, answer: Result<Answer, Fault>) -> Progress {
        match answer {
            Ok(Answer::Line(line)) => {
                self.wrote();
                self.standing.collisions = 0;
                self.stand(ctx, line, false)
            }
            Ok(Answer::Held) => {
                self.wrote();
                self.standing.collisions += 1;
                ctx.waiters.note_collision(&self.spec.key);
                if self.standing.collisions > MOST_COLLISIONS {
                    self.standing.is_crowded_out = true;
                    self.look(ctx);
                } else {
                    self.join(ctx);
                }
                Progress::GoesOn
            }
            Err(Fault::SessionGone(cause)) => self.start_over(ctx, &cause),
            answer => {
                self.note_unknown(&answer);
                self.failed(ctx, answer, Access::Write, Next::Join)
            }
        }
    }

    /// The token may not read or write tickets.
    pub(super) fn without_rights(&mut self, ctx: &mut Context) {
        let key = self.spec.key.clone();
        self.without_tickets(ctx, || {
            format!(
                "the token may not write tickets; it needs key_prefix \"{key}\" {{ policy = \"write\" }}"
            )
        });
        self.attempt.request = None;
        self.look(ctx);
    }

    /// So much stands below the line's key that the line cannot be read. The library's own tickets are small
    /// and few.
    pub(super) fn without_line(&mut self, ctx: &mut Context, step: &Step, cause: &Error) {
        let line = line_of(&self.spec.key);
        self.without_tickets(ctx, || {
            format!(
                "the line cannot be read ({}); remove what does not belong below \"{line}\"",
                cause.message
            )
        });
        // Consul may have written what the request asked for besides the line: a ticket, which goes with its
        // session, or the key, which the next attempt asks for once more.
        if let Step::Join(_) | Step::Try(_) = step {
            self.session.note_doubt();
        }
        match (step, self.attempt.request.as_deref_mut()) {
            (Step::Try(_), Some(Request::Lock { line, .. })) => {
                *line = false;
                self.try_lock(ctx);
            }
            _ => {
                self.attempt.request = None;
                self.look(ctx);
            }
        }
    }

    /// Waits without a ticket, from now on.
    fn without_tickets(&mut self, ctx: &mut Context, why: impl FnOnce() -> String) {
        let key = &self.spec.key;
        ctx.waiters.note_no_tickets(key);
        let address = ctx.out.config.address.clone();
        ctx.out
            .log(Level::Warn, Often::OncePerKey("no tickets", key), || {
                let why = why();
                format!("waiting for \"{key}\" at {address} in no particular order: {why}")
            });
        // The ticket that stays in Consul goes with the session.
        if self.standing.place.take().is_some() {
            self.session.note_doubt();
        }
    }

    pub(super) fn read_line(&mut self, ctx: &mut Context, free: bool) {
        let key = self.spec.key.clone();
        self.step = Step::ReadLine(self.ask(ctx, Request::ReadLine { key }), free);
    }

    pub(super) fn line_read(
        &mut self,
        ctx: &mut Context,
        answer: Result<Answer, Fault>,
        free: bool,
    ) -> Progress {
        match answer {
            Ok(Answer::Line(line)) => {
                self.answered();
                self.stand(ctx, line, free)
            }
            answer => self.failed(ctx, answer, Access::Read, Next::ReadLine),
        }
    }

    /// Finds the own place in the line, and acts upon it. `free`: the key was free a moment ago.
    fn stand(&mut self, ctx: &mut Context, mut line: Vec<Ticket>, free: bool) -> Progress {
        let own = self.session.id();
        ctx.waiters.note_line(&self.spec.key, &line, own.as_ref());
        line.sort_by_key(identity);
        let slot = ctx.waiters.slot(&self.spec.key, ctx.out.config.seed);
        let ours = |ticket: &Ticket| ticket.slot == slot && Some(&ticket.session) == own.as_ref();
        let Some(position) = line.iter().position(ours) else {
            // An operator removed the ticket, the session ended, or a waiter took this one for dead.
            self.get_ticket(ctx);
            return Progress::GoesOn;
        };
        line.truncate(position);
        self.standing.place = Some(PlaceInLine { slot, ahead: line });
        let Some(head) = self.standing.head() else {
            self.standing.stall = None;
            if free {
                self.attempt(ctx);
            } else {
                self.look(ctx);
            }
            return Progress::GoesOn;
        };
        let now = ctx.out.time();
        let patience = self.patience_with_head(ctx);
        match &mut self.standing.stall {
            Some(stall) if stall.head == head => {
                #[cfg(test)]
                let free = free && !ctx.out.sabotaged(Sabotage::NeverPass);
                if free && now >= stall.again {
                    if stall.sure {
                        self.pass(ctx);
                        return Progress::GoesOn;
                    }
                    stall.sure = true;
                    stall.again = now + patience / 4;
                }
            }
            _ if free => self.note_stall(ctx, head),
            _ => self.standing.stall = None,
        }
        self.follow(ctx);
        Progress::GoesOn
    }

    fn note_stall(&mut self, ctx: &Context, head: Identity) {
        let again = ctx.out.time() + self.patience_with_head(ctx) * 3 / 4;
        self.standing.stall = Some(Stall {
            head,
            again,
            sure: false,
        });
    }

    /// How long the key may be free before this waiter passes those before it.
    fn patience_with_head(&self, ctx: &Context) -> Duration {
        let places = u32::try_from(self.standing.ahead().len()).unwrap_or(u32::MAX);
        self.grace(ctx) + PER_PLACE * places
    }

    fn grace(&self, ctx: &Context) -> Duration {
        let least = ctx.out.round_trip() * GRACE_ROUND_TRIPS;
        self.spec.grace.max(least)
    }

    /// Waits for the ticket before the own one to go, and not for ever.
    pub(super) fn follow(&mut self, ctx: &mut Context) {
        let now = ctx.out.time();
        let Some(before) = self.standing.ahead().last().cloned() else {
            return self.look(ctx);
        };
        let patience = self.patience_with_head(ctx);
        let until = match self.standing.stall {
            Some(stall) => stall.again,
            None => now + (patience - self.grace(ctx) / 2),
        };
        let key = before.slot.ticket_of(&self.spec.key).into();
        let index = before.modify_index;
        let until = until.max(now + Duration::from_millis(1));
        self.watch(ctx, Subject::Ticket(before), key, index, until);
    }

    /// Takes in what the watch of the ticket before the own one found.
    pub(super) fn followed(
        &mut self,
        ctx: &mut Context,
        before: &Ticket,
        seen: Observation,
    ) -> Progress {
        let is_still_there = |row: &KeyRow| {
            row.create_index == before.create_index && row.session.as_ref() == Some(&before.session)
        };
        match seen {
            Observation::Row { row: Some(row), .. } if is_still_there(&row) => {
                self.answered();
                self.look(ctx);
            }
            Observation::Row { .. } | Observation::Gone => {
                self.answered();
                if self.standing.ahead().len() == 1 {
                    self.standing.move_to_head();
                    self.standing.stall = None;
                    self.look(ctx);
                } else {
                    self.read_line(ctx, false);
                }
            }
            Observation::Nothing => self.look(ctx),
            Observation::Failed(error) => {
                return self.retry_later(ctx, Access::Read, &error, Next::Look);
            }
            Observation::Refused(error) if error.status == Status::Denied => {
                self.without_rights(ctx);
            }
            Observation::Refused(error) => return self.refused_for_good(ctx, &self.step, &error),
        }
        Progress::GoesOn
    }

    /// The key is held, and others stand before this waiter: only the holder's release can move the line.
    pub(super) fn wait_behind(&mut self, ctx: &mut Context, index: u64) {
        self.standing.stall = None;
        self.watch_key(ctx, index);
    }

    /// The key is free, and others stand before this waiter: the head is to take it. Finds out for how long it
    /// has not.
    pub(super) fn free_behind(&mut self, ctx: &mut Context, woken: bool) {
        #[cfg(test)]
        if ctx.out.sabotaged(Sabotage::AnyoneTakes) {
            self.standing.move_to_head();
            return self.attempt(ctx);
        }
        match self.standing.head() {
            // The key has just become free.
            Some(head) if woken => {
                self.note_stall(ctx, head);
                self.follow(ctx);
            }
            _ => self.read_line(ctx, true),
        }
    }

    /// Takes the key past a head that does not, and removes all tickets before the own one: their waiters
    /// let the key be, too.
    fn pass(&mut self, ctx: &mut Context) {
        let ahead = self.standing.ahead();
        let value = self.spec.value.as_ref().map_or(0, |value| value.0.len());
        // The transaction names the own ticket twice, and the key once.
        let key = &*self.spec.key;
        let besides = in_transaction(value, &[key, key, key]);
        if ahead.len() <= self.removable_beside(besides) {
            return self.attempt(ctx);
        }
        let ahead = ahead.iter().take(self.removable_beside(0));
        let request = Request::Clear {
            key: self.spec.key.clone(),
            ahead: ahead.cloned().collect(),
        };
        self.step = Step::Clear(self.ask(ctx, request));
    }

    /// How many stalled tickets a transaction can remove that has so many bytes already.
    fn removable_beside(&self, besides: usize) -> usize {
        let room = MAX_TRANSACTION.saturating_sub(besides);
        let operation = in_transaction(0, &[&self.spec.key]);
        (room / operation).min(MOST_AHEAD)
    }

    pub(super) fn cleared(&mut self, ctx: &mut Context, answer: Result<Answer, Fault>) -> Progress {
        match answer {
            Ok(Answer::Cleared) => {
                self.wrote();
                self.blame_next();
                self.look(ctx);
                Progress::GoesOn
            }
            Ok(Answer::Stale) => {
                self.wrote();
                self.read_line(ctx, false);
                Progress::GoesOn
            }
            answer => self.failed(ctx, answer, Access::Write, Next::ReadLine),
        }
    }

    /// The stalled tickets that are left have stalled as long as those that are gone.
    fn blame_next(&mut self) {
        let next = self.standing.ahead().get(self.removable_beside(0));
        if let (Some(next), Some(stall)) = (next.map(identity), &mut self.standing.stall) {
            stall.head = next;
        }
    }

    /// The transaction that takes the key; with a ticket, out of the line.
    pub(super) fn attempt_request(
        &self,
        ctx: &Context,
        session: SessionId,
        value: Value,
    ) -> Request {
        let (key, found) = (self.spec.key.clone(), self.attempt.found);
        match &self.standing.place {
            Some(place) => Request::Take {
                key,
                found,
                slot: place.slot,
                value,
                session,
                ahead: place.ahead.clone(),
            },
            None => Request::Lock {
                key,
                found,
                value,
                session,
                line: self.wants_ticket(ctx),
            },
        }
    }
}
