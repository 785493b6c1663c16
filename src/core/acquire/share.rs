//! Sharing a key with others: the slot, the limit, and the wait while there is no slot.
//!
//! One of those who share holds the row `KEY/.share/XXX`, or `KEY/.share/slot/XXX` where there is a limit. XXX is below
//! the limit, and two sessions cannot lock one row: so there are never more than the limit allows.

use super::*;
#[cfg(test)]
use crate::core::sabotage::Sabotage;

/// A reader does not know the slots of the other processes. After so many that were taken it asks for all of them.
const BLIND_TRIES: u32 = 3;

/// A waiter looks again after so long, whatever the watch of the slots says.
const LONGEST_QUIET: Duration = Duration::from_secs(10);

impl Acquire {
    /// No session holds the key, and this waiter is at the front of the line.
    pub(super) fn share(&mut self, ctx: &mut Context, below: &Below) -> Progress {
        let Want::Share(limit) = self.spec.want else {
            return Progress::Failed(self.unexpected(ctx));
        };
        if limit == Limit::READERS && self.attempt.taken_slots <= BLIND_TRIES {
            self.attempt.slot = ctx.waiters.share_slot(self.key(), ctx.out.config.seed);
            self.attempt(ctx);
            return Progress::GoesOn;
        }
        #[cfg(test)]
        let limit = match ctx.out.sabotaged(Sabotage::OneTooMany) {
            true => Limit::new(u64::from(limit.get()) + 1).unwrap_or(limit),
            false => limit,
        };
        let free = free_slots(limit, below);
        let before = self.standing.ahead(self.at).len();
        // Each of those at the front has a slot of its own in mind, so that they do not meet.
        let chosen = match &self.standing.place {
            // The slot that looks free was not, as while its lock-delay runs.
            _ if self.attempt.taken_slots > 0 && free.len() > before => {
                free.get(ctx.out.choose(free.len()))
            }
            Some(_) if limit != Limit::READERS => free.get(before),
            _ => {
                let last = ctx.waiters.last_share(self.key());
                let last = free.iter().find(|slot| Some(**slot) == last);
                last.or_else(|| free.get(ctx.out.choose(free.len())))
            }
        };
        match (chosen, free.first()) {
            (Some(slot), _) => {
                self.attempt.slot = *slot;
                self.attempt(ctx);
                Progress::GoesOn
            }
            // Those before this waiter are to take the slots that are free.
            (None, Some(slot)) => {
                self.attempt.slot = *slot;
                self.wait_at_front(ctx);
                Progress::GoesOn
            }
            (None, None) => self.wait_for_slot(ctx, limit, below),
        }
    }

    /// All slots are taken.
    fn wait_for_slot(&mut self, ctx: &mut Context, limit: Limit, below: &Below) -> Progress {
        let sharers = below.sharers.clone();
        let oldest = sharers.iter().min_by_key(|sharer| sharer.create_index);
        let oldest = oldest.map(|sharer| sharer.session.clone());
        let index = sharers.iter().map(|sharer| sharer.modify_index).max();
        self.attempt.contradictions = 0;
        self.standing.stall = None;
        self.note_not_free(ctx, Blocker::Sharers(sharers));
        if self.is_single() {
            return self.ask_name(ctx, oldest);
        }
        if self.last_look.has_begun(ctx.out.time()) {
            let _ = self.ask_name(ctx, oldest);
        }
        if self.standing.place.is_none() && self.wants_ticket(ctx) {
            self.get_ticket(ctx);
        } else {
            self.watch_permits(ctx, limit, index.unwrap_or(0));
        }
        Progress::GoesOn
    }

    fn watch_permits(&mut self, ctx: &mut Context, limit: Limit, index: u64) {
        let folder = limit.folder_of(self.key()).into();
        let full = usize::from(limit.get());
        let until = ctx.out.time() + LONGEST_QUIET;
        self.step = Step::Watch {
            subject: Subject::Permits,
            index,
        };
        let (watches, out) = (&mut ctx.watches, &mut ctx.out);
        watches.watch_folder(out, self.lock, (folder, full), index, until);
    }

    /// So many share the key with a limit.
    pub(super) fn saw_permits(&mut self, ctx: &mut Context, count: usize, index: u64) -> Progress {
        self.answered();
        let limit = self.spec.want.limit().unwrap_or(Limit::READERS);
        // An index that went backwards (a restored snapshot) means nothing any more.
        let is_newer = matches!(self.step, Step::Watch { index: before, .. } if index >= before);
        let is_full = count >= usize::from(limit.get());
        #[cfg(test)]
        let is_full = is_full || ctx.out.sabotaged(Sabotage::MissesItsSlot);
        if is_full && is_newer {
            self.watch_permits(ctx, limit, index);
        } else {
            self.look(ctx);
        }
        Progress::GoesOn
    }

    /// Another session has the slot of the attempt.
    pub(super) fn find_slot_taken(&mut self, ctx: &mut Context) {
        self.known.fault = None;
        self.standing.stall = None;
        self.attempt.taken_slots += 1;
        let is_reader = self.spec.want == Want::Share(Limit::READERS);
        if is_reader && self.attempt.taken_slots <= BLIND_TRIES {
            ctx.waiters.note_collision(self.spec.keys.get(self.at));
            self.attempt.slot = ctx.waiters.share_slot(self.key(), ctx.out.config.seed);
            self.attempt(ctx);
        } else {
            self.look_after_contradiction(ctx);
        }
    }

    /// The slot for an attempt without a look.
    pub(super) fn choose_slot_blindly(&mut self, ctx: &mut Context) {
        if let Want::Share(limit) = self.spec.want {
            let last = ctx.waiters.last_share(self.key());
            let last = last.filter(|slot| limit != Limit::READERS && slot.get() < limit.get());
            let slot = ctx.waiters.share_slot(self.key(), ctx.out.config.seed);
            let within = || Slot::new(u64::from(slot.get() % limit.get()));
            self.attempt.slot = last.unwrap_or_else(within);
        }
    }

    /// The limits differ: nothing was taken yet, and the acquire ends. The answer is what becomes of it.
    pub(super) fn find_conflict(&mut self, ctx: &mut Context, below: &[Below]) -> Option<Progress> {
        let (limits, session) = self.conflict(below, None)?;
        self.known.conflict = Some(Box::new((limits, session.clone())));
        Some(self.end_with_name(ctx, session))
    }

    /// Others share the key, or wait to share it, with another limit: the oldest says what the limit is. `taken`: the
    /// index at which this waiter took its own row; it is in the wrong only towards those that came before. The answer
    /// is the own limit, theirs, and the session that named it.
    pub(super) fn conflict(
        &self,
        below: &[Below],
        taken: Option<u64>,
    ) -> Option<((Limit, Limit), SessionId)> {
        let limit = self.spec.want.limit().or(self.spec.limit)?;
        let own = self.session.id();
        let is_of_others = |session: &SessionId| Some(session) != own.as_ref();
        let sharers = below.iter().flat_map(|below| &below.sharers);
        let sharers = sharers.filter(|sharer| {
            is_of_others(&sharer.session) && taken.is_none_or(|taken| sharer.create_index < taken)
        });
        let oldest = sharers
            .min_by_key(|sharer| sharer.create_index)
            .map(|sharer| (sharer.limit, &sharer.session));
        let in_line = || {
            let tickets = below.iter().flat_map(|below| &below.line);
            let mine = tickets
                .clone()
                .find(|ticket| !is_of_others(&ticket.session));
            let mine = mine.map_or(u64::MAX, |ticket| ticket.create_index);
            let before = tickets.filter(|ticket| ticket.create_index < mine);
            let sharing = before.filter_map(|ticket| Some((ticket.want.limit()?, ticket)));
            sharing
                .min_by_key(|(_, ticket)| ticket.create_index)
                .map(|(limit, ticket)| (limit, &ticket.session))
        };
        let (theirs, session) = match taken {
            Some(_) => oldest,
            None => oldest.or_else(in_line),
        }?;
        (theirs != limit).then(|| ((limit, theirs), session.clone()))
    }
}

impl Acquire {
    /// The first slot that no other session has.
    pub(super) fn first_free(&self, limit: Limit, sharers: &[Sharer]) -> Option<Slot> {
        let is_taken = |slot: &Slot| sharers.iter().any(|sharer| sharer.slot == *slot);
        limit.slots().find(|slot| !is_taken(slot))
    }
}

fn free_slots(limit: Limit, below: &Below) -> Vec<Slot> {
    let taken: std::collections::BTreeSet<Slot> = below
        .sharers
        .iter()
        .filter(|sharer| (sharer.limit == Limit::READERS) == (limit == Limit::READERS))
        .map(|sharer| sharer.slot)
        .collect();
    limit.slots().filter(|slot| !taken.contains(slot)).collect()
}
