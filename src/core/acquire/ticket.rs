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

use super::judge::Ability;
use super::stall::Stall;
use super::*;
#[cfg(test)]
use crate::core::sabotage::Sabotage;

/// After so many slots in a row that belong to others the line is full, and the waiter waits without a ticket.
const MOST_COLLISIONS: u32 = 64;

/// Of those that share a key with a limit, so many stand at the front at once: a quarter of the limit, and at most this
/// many. With one at a time a semaphore of 20 gives half as many grants (measured).
const WIDEST_FRONT: usize = 8;

/// Where a waiter stands in the lines between processes.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) place: Option<Box<PlaceInLine>>,
    pub(super) stall: Option<Stall>,
    /// The tickets that the head of the line has in other lines.
    pub(super) others_of_head: Option<Box<[Stalled]>>,
    /// How often the head was seen to wait rightly.
    pub(super) patience: u32,
    /// How many slots in a row belonged to others.
    collisions: u32,
    /// The line is full: this waiter waits without a ticket.
    is_crowded_out: bool,
}

impl Standing {
    /// The tickets before the own one in the line of the key of that number, as the line was last read.
    pub(super) fn ahead(&self, number: usize) -> &[Ticket] {
        let place = self.place.as_ref();
        place
            .and_then(|place| place.ahead.get(number))
            .map_or(&[], Vec::as_slice)
    }

    /// This waiter takes itself for the head of that line.
    fn move_to_head(&mut self, number: usize) {
        let place = self.place.as_mut();
        if let Some(ahead) = place.and_then(|place| place.ahead.get_mut(number)) {
            ahead.clear();
        }
    }
}

/// The ticket whose end may let a waiter in; None: the waiter stands at the front. An exclusive waiter follows the
/// ticket right before its own. One that shares follows the last exclusive one: all that share behind it can enter
/// together. Without an exclusive one, a limit lets only so many to the front.
fn followed_by(want: Want, ahead: &[Ticket]) -> Option<&Ticket> {
    let limit = match want {
        Want::Exclusive => return ahead.last(),
        Want::Share(limit) => limit,
    };
    let exclusive = ahead.iter().rfind(|ticket| ticket.want == Want::Exclusive);
    exclusive.or_else(|| {
        let width = usize::from(limit.get() / 4).clamp(1, WIDEST_FRONT);
        let at = ahead.len().checked_sub(width)?;
        ahead.get(at).filter(|_| limit != Limit::READERS)
    })
}

/// Where the own tickets are in the lines that Consul showed.
enum Whereabouts {
    /// One in each line.
    Place(PlaceInLine),
    /// In none.
    Nowhere,
    /// Only in some, or not all of one transaction.
    Parts,
}

impl Acquire {
    /// This acquire waits in line, not only for the key.
    pub(super) fn wants_ticket(&self, ctx: &Context) -> bool {
        let mut keys = self.spec.keys.all().iter();
        self.arrival.is_some()
            && self.spec.fair
            && !self.standing.is_crowded_out
            && keys.all(|key| ctx.waiters.may_have_ticket(key))
    }

    /// Others stand before this waiter.
    pub(super) fn is_behind(&self) -> bool {
        followed_by(self.spec.want, self.standing.ahead(self.at)).is_some()
    }

    /// The head of the line that this waiter stands in behind others.
    pub(super) fn head(&self) -> Option<&Ticket> {
        self.standing.ahead(self.at).first()
    }

    /// Takes in the lines that Consul showed.
    pub(super) fn note_lines(&self, ctx: &mut Context, below: &[Below], own: Option<&SessionId>) {
        for (key, below) in self.spec.keys.all().iter().zip(below) {
            ctx.waiters.note_line(key, &below.line, own);
        }
    }

    /// Gets tickets, with a session that lives.
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
        let keys: Arc<[Key]> = self.spec.keys.all().into();
        let slots = keys.iter();
        let slots = slots.map(|key| ctx.waiters.slot(key, ctx.out.config.seed));
        let request = Request::Join {
            slots: slots.collect(),
            want: self.spec.want,
            session,
            see: self.see_in_line(),
            keys,
        };
        self.step = Step::Join(self.ask(ctx, request));
    }

    /// What matters to a waiter in line: the line, and to one that shares, who shares.
    fn see_in_line(&self) -> See {
        let sharers = match self.spec.want {
            Want::Exclusive => Sharers::None,
            Want::Share(_) => self.whom_to_see(),
        };
        See {
            line: true,
            sharers,
        }
    }

    pub(super) fn joined(&mut self, ctx: &mut Context, answer: Result<Answer, Fault>) -> Progress {
        match answer {
            Ok(Answer::Line(below)) => {
                self.wrote();
                self.standing.collisions = 0;
                if let Some(conflict) = self.find_conflict(ctx, &below) {
                    return conflict;
                }
                self.stand(ctx, below, false)
            }
            Ok(Answer::Held) => {
                self.wrote();
                self.standing.collisions += 1;
                for key in self.spec.keys.all().iter() {
                    ctx.waiters.note_collision(key);
                }
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
        // A single attempt has no ticket: its survey was to show who shares the key.
        if self.is_single() {
            return self.look(ctx);
        }
        let key = self.key().clone();
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
        let line = line_of(self.key());
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
            (Step::Try(_), Some(Request::Lock { see, .. })) => {
                see.line = false;
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
        for key in self.spec.keys.all().iter() {
            ctx.waiters.note_no_tickets(key);
        }
        let key = self.spec.keys.label();
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

    /// Reads the lines. `free`: the key where this waiter stands was free a moment ago.
    pub(super) fn read_line(&mut self, ctx: &mut Context, free: bool) {
        let mut see = See {
            line: true,
            sharers: Sharers::None,
        };
        let waits_for_slot = |want: Want| want.limit().is_some_and(|l| l != Limit::READERS);
        if free
            && (self.head().is_some_and(|head| waits_for_slot(head.want))
                || waits_for_slot(self.spec.want))
        {
            see.sharers = Sharers::Limited;
        }
        let keys = self.spec.keys.all().to_vec();
        self.step = Step::ReadLine(self.ask(ctx, Request::ReadLine { keys, see }), free);
    }

    pub(super) fn line_read(
        &mut self,
        ctx: &mut Context,
        answer: Result<Answer, Fault>,
        free: bool,
    ) -> Progress {
        match answer {
            Ok(Answer::Line(below)) => {
                self.answered();
                self.stand(ctx, below, free)
            }
            answer => self.failed(ctx, answer, Access::Read, Next::ReadLine),
        }
    }

    /// Finds the own tickets in the lines.
    fn find_place(&self, ctx: &mut Context, below: &mut [Below]) -> Whereabouts {
        let own = self.session.id();
        self.note_lines(ctx, below, own.as_ref());
        let mut place = PlaceInLine {
            slots: Vec::new(),
            ahead: Vec::new(),
        };
        let mut came_at = None;
        let mut missing = 0;
        for below in below {
            let line = &mut below.line;
            line.sort_by_key(Ticket::identity);
            let own = line
                .iter()
                .position(|ticket| Some(&ticket.session) == own.as_ref());
            let Some(ticket) = own.and_then(|at| line.get(at)) else {
                missing += 1;
                continue;
            };
            place.slots.push(ticket.slot);
            if *came_at.get_or_insert(ticket.create_index) != ticket.create_index {
                return Whereabouts::Parts;
            }
            place
                .ahead
                .push(line.iter().take(own.unwrap_or(0)).cloned().collect());
        }
        match (missing, place.slots.len()) {
            (0, 1..) => Whereabouts::Place(place),
            (_, 0) => Whereabouts::Nowhere,
            _ => Whereabouts::Parts,
        }
    }

    /// Takes up the place that Consul showed. False: the place is lost, and the waiter gets another one.
    pub(super) fn take_place(&mut self, ctx: &mut Context, below: &mut [Below]) -> bool {
        match self.find_place(ctx, below) {
            Whereabouts::Place(place) => {
                let is_behind = |ahead: &Vec<Ticket>| followed_by(self.spec.want, ahead).is_some();
                self.at = place.ahead.iter().position(is_behind).unwrap_or(0);
                self.standing.place = Some(Box::new(place));
                true
            }
            // An operator removed the tickets, the session ended, or a waiter took this one for dead.
            Whereabouts::Nowhere => {
                self.get_ticket(ctx);
                false
            }
            // What is left of them goes with the session.
            Whereabouts::Parts => {
                self.retire_session(ctx);
                self.get_ticket(ctx);
                false
            }
        }
    }

    /// Takes up the place in the lines, and acts upon it. `free`: the key was free a moment ago.
    fn stand(&mut self, ctx: &mut Context, mut below: Vec<Below>, free: bool) -> Progress {
        let before = self.at;
        if !self.take_place(ctx, &mut below) {
            return Progress::GoesOn;
        }
        let free = free && self.at == before;
        if !self.is_behind() {
            if free && !self.surveys() {
                self.standing.stall = None;
                self.attempt(ctx);
            } else {
                self.look(ctx);
            }
            return Progress::GoesOn;
        }
        let head = self.head().cloned();
        let is_suspected = |head: &Ticket| {
            let stall = self.standing.stall.as_ref();
            stall.is_some_and(|stall| stall.head == head.identity())
        };
        match head {
            Some(head) if free => {
                let below = below.get(self.at);
                let sharers = below.map_or(&[][..], |below| &below.sharers);
                if let Want::Share(limit) = self.spec.want
                    && limit != Limit::READERS
                {
                    let Some(free) = self.first_free(limit, sharers) else {
                        // Whatever the head does, there is no slot for this waiter.
                        self.be_patient(ctx);
                        return Progress::GoesOn;
                    };
                    self.attempt.slot = free;
                }
                match Acquire::ability(&head, sharers) {
                    Ability::Able => {
                        self.standing.others_of_head = None;
                        self.suspect(ctx);
                    }
                    Ability::WaitsForSlot => self.be_patient(ctx),
                    Ability::WaitsForSeveral(keys) => self.judge(ctx, keys),
                }
            }
            head => {
                if !head.as_ref().is_some_and(is_suspected) {
                    self.standing.stall = None;
                    self.standing.patience = 0;
                }
                self.follow(ctx);
            }
        }
        Progress::GoesOn
    }

    /// Waits for the ticket before the own one to go, and not for ever.
    pub(super) fn follow(&mut self, ctx: &mut Context) {
        let until = self.stall_until(ctx);
        self.follow_until(ctx, until);
    }

    /// When to look again whether the head moves.
    pub(super) fn stall_until(&self, ctx: &Context) -> Time {
        let patience = self.patience_with_head(ctx);
        match self.standing.stall {
            Some(stall) => stall.again,
            None => ctx.out.time() + (patience - self.grace(ctx) / 2),
        }
    }

    pub(super) fn follow_until(&mut self, ctx: &mut Context, until: Time) {
        let before = followed_by(self.spec.want, self.standing.ahead(self.at));
        match before.cloned() {
            Some(before) => self.follow_ticket(ctx, before, until),
            None => self.look(ctx),
        }
    }

    pub(super) fn follow_ticket(&mut self, ctx: &mut Context, before: Ticket, until: Time) {
        let key = before.slot.ticket_of(self.key()).into();
        let index = before.modify_index;
        let until = until.max(ctx.out.time() + Duration::from_millis(1));
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
                if self.standing.ahead(self.at).len() == 1 {
                    self.standing.move_to_head(self.at);
                    self.standing.stall = None;
                    self.look(ctx);
                } else {
                    self.read_line(ctx, false);
                }
            }
            // A ticket has no names below it.
            Observation::Nothing | Observation::Names { .. } => self.look(ctx),
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
            self.standing.move_to_head(self.at);
            return self.attempt(ctx);
        }
        match self.head() {
            // The key has just become free.
            Some(head) if woken && head.several.is_none() && head.want == Want::Exclusive => {
                self.note_stall(ctx, head.identity());
                self.follow(ctx);
            }
            _ => self.read_line(ctx, true),
        }
    }
}
