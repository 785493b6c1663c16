//! Passing a head of the line that leaves the key free.

use super::*;
#[cfg(test)]
use crate::core::sabotage::Sabotage;
use crate::key::{MAX_TRANSACTION, in_transaction};

/// The grace of a head is that many round trips, if that is more than the option says.
const GRACE_ROUND_TRIPS: u32 = 20;

/// A waiter waits so much longer for a move, for each place before its own: the waiter that is next to act
/// comes first.
const PER_PLACE: Duration = Duration::from_millis(20);

/// Stalled tickets removed in one transaction at most. Consul allows 64 operations.
const MOST_AHEAD: usize = 50;

/// The key is free, and the head of the line does not take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    pub(super) head: (u64, Slot),
    /// When to look again.
    pub(super) again: Time,
    /// The last look showed the same. Two looks may be two moments between which the key was held. So there
    /// are three, and the last two are so close that a living head would have taken the key between them.
    sure: bool,
}

impl Acquire {
    /// The key is free, and the head could take it: passes the head, if it has not done so for long enough.
    pub(super) fn suspect(&mut self, ctx: &mut Context) {
        if self.is_stalled(ctx) {
            self.pass(ctx);
        } else {
            self.follow(ctx);
        }
    }

    /// A slot is free, and those before this waiter, which stand at the front as well, are to take it.
    pub(super) fn wait_at_front(&mut self, ctx: &mut Context) {
        if self.is_stalled(ctx) {
            return self.pass(ctx);
        }
        let (until, last) = (self.stall_until(ctx), self.standing.ahead(self.at).last());
        match last.cloned() {
            Some(last) => self.follow_ticket(ctx, last, until),
            None => self.look_after_contradiction(ctx),
        }
    }

    /// Notes that the head leaves the key free. True: it has done so for long enough.
    fn is_stalled(&mut self, ctx: &mut Context) -> bool {
        let Some(head) = self.head().map(Ticket::identity) else {
            return false;
        };
        let now = ctx.out.time();
        let patience = self.patience_with_head(ctx);
        #[cfg(test)]
        if ctx.out.sabotaged(Sabotage::NeverPass)
            || (self.shares() && ctx.out.sabotaged(Sabotage::SharerNeverPasses))
        {
            return false;
        }
        match &mut self.standing.stall {
            Some(stall) if stall.head == head => {
                if now >= stall.again {
                    if stall.sure {
                        return true;
                    }
                    stall.sure = true;
                    stall.again = now + patience / 4;
                }
            }
            _ => self.note_stall(ctx, head),
        }
        false
    }

    pub(super) fn note_stall(&mut self, ctx: &Context, head: (u64, Slot)) {
        let again = ctx.out.time() + self.patience_with_head(ctx) * 3 / 4;
        self.standing.stall = Some(Stall {
            head,
            again,
            sure: false,
        });
    }

    /// How long the key may be free before this waiter passes those before it.
    pub(super) fn patience_with_head(&self, ctx: &Context) -> Duration {
        let places = self.standing.ahead(self.at).len();
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        self.grace(ctx) + PER_PLACE * places
    }

    pub(super) fn grace(&self, ctx: &Context) -> Duration {
        let least = ctx.out.round_trip() * GRACE_ROUND_TRIPS;
        self.spec.grace.max(least)
    }

    /// Takes the key past a head that does not, and removes the tickets before the own one: their waiters
    /// let the key be, too. A reader removes only exclusive tickets: other readers do not keep a reader out.
    fn pass(&mut self, ctx: &mut Context) {
        let ahead = self.standing.ahead(self.at).iter();
        let is_in_the_way = |ticket: &&Ticket| {
            self.spec.want != Want::Share(Limit::READERS) || ticket.want == Want::Exclusive
        };
        let ahead = ahead
            .filter(is_in_the_way)
            .map(|ticket| ticket.stalled_at(self.key()));
        let mut ahead: Vec<Stalled> = ahead.collect();
        ahead.extend(self.standing.others_of_head.iter().flatten().cloned());
        let value = self.spec.value.as_ref().map_or(0, |value| value.0.len());
        // The transaction names the own ticket twice, and the key once.
        let key = &**self.key();
        let besides = in_transaction(value, [key, key, key]);
        if !self.spec.keys.are_several() && ahead.len() <= self.removable_beside(besides) {
            self.attempt.passed = ahead;
            self.purpose = Purpose::Lock;
            return self.ready_session(ctx);
        }
        ahead.truncate(self.removable_beside(0));
        self.step = Step::Clear(self.ask(ctx, Request::Clear { ahead }));
    }

    /// How many stalled tickets a transaction can remove that has so many bytes already.
    fn removable_beside(&self, besides: usize) -> usize {
        let room = MAX_TRANSACTION.saturating_sub(besides);
        let operation = in_transaction(0, [&**self.key()]);
        (room / operation).min(MOST_AHEAD)
    }

    pub(super) fn cleared(&mut self, ctx: &mut Context, answer: Result<Answer, Fault>) -> Progress {
        match answer {
            Ok(Answer::Cleared) => {
                self.wrote();
                if self.spec.keys.are_several() {
                    self.read_line(ctx, false);
                } else {
                    self.blame_next();
                    self.look(ctx);
                }
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
        let next = self.standing.ahead(self.at).get(self.removable_beside(0));
        if let (Some(next), Some(stall)) = (next.map(Ticket::identity), &mut self.standing.stall) {
            stall.head = next;
        }
    }
}
