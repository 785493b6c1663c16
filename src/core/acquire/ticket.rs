//! Standing in the line between processes.
//!
//! ```text
//!          ┌── our ticket is gone ◀─────────────┐
//!          ▼                                    │
//!        Join ──▶ who is before us? ──nobody──▶ head: Look ──free──▶ Take
//!                   │        ▲                          └──held──▶ Watch the key
//!                   ▼        │ it is gone
//!                 Follow the one before us
//!                   │ nothing moves: Look ──held──▶ Watch the key, then follow again
//!                   └ free, and the head does not take it for a whole grace: Take, past it
//! ```
//!
//! docs/protocol.md says why nobody is overtaken without bound, and why nobody waits for ever.

use std::time::Duration;

use super::{Access, Acquire, Next, Progress, Purpose, Step, Subject};
use crate::clock::Time;
use crate::core::alarms::Owner;
use crate::core::context::Context;
use crate::core::interface::Level;
use crate::core::log::Often;
use crate::core::messages::{
    Answer, Fault, Found, KeyRow, LineSlot, Request, SessionId, Ticket, Value, line_of,
};
#[cfg(test)]
use crate::core::sabotage::Sabotage;
use crate::core::waiters::PlaceInLine;
use crate::core::watch::Observation;
use crate::error::{Error, Status};
use crate::key::{MAX_TRANSACTION, in_transaction};

/// The grace of a head is that many round trips, if that is more than the option says.
const GRACE_ROUND_TRIPS: u32 = 20;

/// Whoever stands further behind waits so much longer for a move, for each place: the one that is
/// next to act comes first.
const PER_PLACE: Duration = Duration::from_millis(20);

/// Stalled tickets removed in one transaction at most. Consul allows 64 operations.
const MOST_AHEAD: usize = 50;

/// So many slots in a row that are somebody else's: the line is full, wait without a ticket.
const MOST_COLLISIONS: u32 = 64;

/// The key is free, and this ticket was the first then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    head: Identity,
    /// When to look again.
    again: Time,
    /// It was so the last time, too. What is seen now and then may be two moments between which the
    /// key was held: so there are three looks, the last two so close that a head that lives would
    /// have taken the key between them.
    sure: bool,
}

/// A ticket is not its slot alone: slots are used again.
type Identity = (u64, LineSlot);

fn identity(ticket: &Ticket) -> Identity {
    (ticket.create_index, ticket.slot)
}

impl Acquire {
    /// Waits in line, not only for the key.
    pub(super) fn wants_ticket(&self, ctx: &Context) -> bool {
        self.arrival.is_some()
            && self.spec.fair
            && !self.without_ticket
            && ctx.waiters.may_have_ticket(&self.spec.key)
    }

    /// Is the key free, and does anybody wait for it?
    pub(super) fn survey(&mut self, ctx: &mut Context) {
        let request = Request::Survey {
            key: self.spec.key.clone(),
        };
        self.step = Step::Survey(ctx.out.send(Owner::Lock(self.lock), request, self.by()));
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
                self.found = Found::Absent;
                self.found_free(ctx, false)
            }
            Ok(Answer::Exists) => {
                self.answered();
                self.look(ctx);
                Progress::GoesOn
            }
            Err(fault) => self.retry_later(ctx, Access::Read, fault.error(), Next::Survey),
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
        }
    }

    /// Gets a ticket, with a session that lives.
    pub(super) fn get_ticket(&mut self, ctx: &mut Context) {
        self.purpose = Purpose::Ticket;
        self.place = None;
        self.stall = None;
        self.ready_session(ctx);
    }

    pub(super) fn join(&mut self, ctx: &mut Context) {
        self.retire_what_is_over(ctx);
        let Some(session) = &self.session else {
            return self.ready_session(ctx);
        };
        let request = Request::Join {
            key: self.spec.key.clone(),
            slot: ctx.waiters.slot(&self.spec.key, ctx.out.config.seed),
            session: session.id.clone(),
        };
        self.step = Step::Join(ctx.out.send(Owner::Lock(self.lock), request, self.by()));
    }

    pub(super) fn joined(&mut self, ctx: &mut Context, answer: Result<Answer, Fault>) -> Progress {
        match answer {
            Ok(Answer::Line(line)) => {
                self.wrote();
                self.collisions = 0;
                self.stand(ctx, line, false)
            }
            Ok(Answer::Held) => {
                self.wrote();
                self.collisions += 1;
                ctx.waiters.note_collision(&self.spec.key);
                if self.collisions > MOST_COLLISIONS {
                    self.without_ticket = true;
                    self.look(ctx);
                } else {
                    self.join(ctx);
                }
                Progress::GoesOn
            }
            Err(Fault::SessionGone(cause)) => self.start_over(ctx, &cause),
            Err(fault) => {
                self.note_doubt(&fault);
                self.retry_later(ctx, Access::Write, fault.error(), Next::Join)
            }
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
        }
    }

    /// Our token may not see or write tickets.
    pub(super) fn without_rights(&mut self, ctx: &mut Context) {
        let key = self.spec.key.clone();
        self.without_tickets(ctx, || {
            format!(
                "the token may not write tickets; it needs key_prefix \"{key}\" {{ policy = \"write\" }}"
            )
        });
        self.attempt = None;
        self.look(ctx);
    }

    /// So much stands in the line that it cannot be read: our tickets are small and few.
    pub(super) fn without_line(&mut self, ctx: &mut Context, step: &Step, cause: &Error) {
        let line = line_of(&self.spec.key);
        self.without_tickets(ctx, || {
            format!(
                "the line cannot be read ({}); remove what does not belong below \"{line}\"",
                cause.message
            )
        });
        // What was asked for besides the line may have been done: a ticket, which goes with its
        // session, or the key, which is asked for once more.
        if let (Step::Join(_) | Step::Try(_), Some(session)) = (step, &mut self.session) {
            session.doubtful = true;
        }
        match (step, self.attempt.as_deref_mut()) {
            (Step::Try(_), Some(Request::Lock { line, .. })) => {
                *line = false;
                self.try_lock(ctx);
            }
            _ => {
                self.attempt = None;
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
        // A ticket that we leave behind goes with the session.
        if let (Some(_), Some(session)) = (self.place.take(), &mut self.session) {
            session.doubtful = true;
        }
    }

    pub(super) fn read_line(&mut self, ctx: &mut Context, free: bool) {
        let request = Request::ReadLine {
            key: self.spec.key.clone(),
        };
        let id = ctx.out.send(Owner::Lock(self.lock), request, self.by());
        self.step = Step::ReadLine(id, free);
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
            Err(fault) => self.retry_later(ctx, Access::Read, fault.error(), Next::ReadLine),
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
        }
    }

    /// Finds our place in the line, and acts upon it. `free`: the key was free a moment ago.
    fn stand(&mut self, ctx: &mut Context, mut line: Vec<Ticket>, free: bool) -> Progress {
        let own = self.session.as_ref().map(|session| session.id.clone());
        ctx.waiters.note_line(&self.spec.key, &line, own.as_ref());
        line.sort_by_key(identity);
        let slot = ctx.waiters.slot(&self.spec.key, ctx.out.config.seed);
        let ours = |ticket: &Ticket| ticket.slot == slot && Some(&ticket.session) == own.as_ref();
        let Some(position) = line.iter().position(ours) else {
            // An operator, the end of the session, or somebody who took us for dead.
            self.get_ticket(ctx);
            return Progress::GoesOn;
        };
        line.truncate(position);
        self.place = Some(PlaceInLine { slot, ahead: line });
        let Some(head) = self.place.as_ref().and_then(|place| place.ahead.first()) else {
            self.stall = None;
            if free {
                self.attempt(ctx);
            } else {
                self.look(ctx);
            }
            return Progress::GoesOn;
        };
        let head = identity(head);
        let now = ctx.out.time();
        let patience = self.patience_with_head(ctx);
        match &mut self.stall {
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
            _ => self.stall = None,
        }
        self.follow(ctx);
        Progress::GoesOn
    }

    fn note_stall(&mut self, ctx: &Context, head: Identity) {
        let again = ctx.out.time() + self.patience_with_head(ctx) * 3 / 4;
        self.stall = Some(Stall {
            head,
            again,
            sure: false,
        });
    }

    /// How long the key may be free before we pass those before us.
    fn patience_with_head(&self, ctx: &Context) -> Duration {
        let places = self.place.as_ref().map_or(0, |place| place.ahead.len());
        self.grace(ctx) + PER_PLACE * u32::try_from(places).unwrap_or(u32::MAX)
    }

    fn grace(&self, ctx: &Context) -> Duration {
        self.spec
            .grace
            .max(ctx.out.round_trip() * GRACE_ROUND_TRIPS)
    }

    /// Waits for the one before us to go, and not for ever.
    pub(super) fn follow(&mut self, ctx: &mut Context) {
        let now = ctx.out.time();
        let Some(before) = self
            .place
            .as_ref()
            .and_then(|place| place.ahead.last())
            .cloned()
        else {
            return self.look(ctx);
        };
        let patience = self.patience_with_head(ctx);
        let until = match self.stall {
            Some(stall) => stall.again,
            None => now + (patience - self.grace(ctx) / 2),
        };
        let key = before.slot.ticket_of(&self.spec.key).into();
        let index = before.modify_index;
        let until = until.max(now + Duration::from_millis(1));
        self.watch(ctx, Subject::Ticket(before), key, index, until);
    }

    /// Observation of the one before us.
    pub(super) fn followed(
        &mut self,
        ctx: &mut Context,
        before: &Ticket,
        news: Observation,
    ) -> Progress {
        let still_there = |row: &KeyRow| {
            row.create_index == before.create_index && row.session.as_ref() == Some(&before.session)
        };
        match news {
            Observation::Row { row: Some(row), .. } if still_there(&row) => {
                self.answered();
                self.look(ctx);
                Progress::GoesOn
            }
            Observation::Row { .. } | Observation::Gone => {
                self.answered();
                let only_one = self
                    .place
                    .as_ref()
                    .is_some_and(|place| place.ahead.len() == 1);
                if let (true, Some(place)) = (only_one, &mut self.place) {
                    place.ahead.clear();
                    self.stall = None;
                    self.look(ctx);
                } else {
                    self.read_line(ctx, false);
                }
                Progress::GoesOn
            }
            Observation::Nothing => {
                self.look(ctx);
                Progress::GoesOn
            }
            Observation::Failed(error) => self.retry_later(ctx, Access::Read, &error, Next::Look),
            Observation::Refused(error) if error.status == Status::Denied => {
                self.without_rights(ctx);
                Progress::GoesOn
            }
            Observation::Refused(error) => self.refused_for_good(ctx, &self.step, &error),
        }
    }

    /// The key is held, and others stand before us: its release is what can move anything.
    pub(super) fn wait_behind(&mut self, ctx: &mut Context, index: u64) {
        self.stall = None;
        self.watch_key(ctx, index);
    }

    /// The key is free, and others stand before us: it is for the head to take it. For how long has
    /// it not?
    pub(super) fn free_behind(&mut self, ctx: &mut Context, woken: bool) {
        #[cfg(test)]
        if ctx.out.sabotaged(Sabotage::AnyoneTakes) {
            if let Some(place) = &mut self.place {
                place.ahead.clear();
            }
            return self.attempt(ctx);
        }
        let head = self.place.as_ref().and_then(|place| place.ahead.first());
        match head.map(identity) {
            // It has just become free.
            Some(head) if woken => {
                self.note_stall(ctx, head);
                self.follow(ctx);
            }
            _ => self.read_line(ctx, true),
        }
    }

    /// Takes the key past a head that does not, and removes everybody who stands in front of us:
    /// all of them let it be.
    fn pass(&mut self, ctx: &mut Context) {
        let ahead = self.place.as_ref().map_or(&[][..], |place| &place.ahead);
        let value = self.spec.value.as_ref().map_or(0, |value| value.0.len());
        // Our own ticket is named twice, and the key once.
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
        self.step = Step::Clear(ctx.out.send(Owner::Lock(self.lock), request, self.by()));
    }

    /// An operation on a ticket, in bytes.
    fn operation(&self) -> usize {
        in_transaction(0, &[&self.spec.key])
    }

    /// How many stalled tickets a transaction can remove that has so many bytes already.
    fn removable_beside(&self, besides: usize) -> usize {
        let room = MAX_TRANSACTION.saturating_sub(besides);
        (room / self.operation()).min(MOST_AHEAD)
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
            Err(fault) => self.retry_later(ctx, Access::Write, fault.error(), Next::ReadLine),
            Ok(_) => Progress::Failed(self.unexpected(ctx)),
        }
    }

    /// Those who are left of the stalled ones have stood by as long as those that are gone.
    fn blame_next(&mut self) {
        let place = self.place.as_ref();
        let next = place.and_then(|place| place.ahead.get(self.removable_beside(0)));
        if let (Some(next), Some(stall)) = (next.map(identity), &mut self.stall) {
            stall.head = next;
        }
    }

    /// The transaction that takes the key, out of the line if we stand in it.
    pub(super) fn attempt_request(
        &self,
        ctx: &Context,
        session: SessionId,
        value: Value,
    ) -> Request {
        let key = self.spec.key.clone();
        match &self.place {
            Some(place) => Request::Take {
                key,
                found: self.found,
                slot: place.slot,
                value,
                session,
                ahead: place.ahead.clone(),
            },
            None => {
                let line = self.wants_ticket(ctx);
                Request::Lock {
                    key,
                    found: self.found,
                    value,
                    session,
                    line,
                }
            }
        }
    }
}
