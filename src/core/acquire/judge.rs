//! Is the head of a line stalled, or does it wait rightly?
//!
//! The key is free, and the head does not take it. That alone says nothing of a head that waits for a slot among a limit,
//! or for other keys as well: a waiter behind passes only a head that could act.

use super::*;
#[cfg(test)]
use crate::core::sabotage::Sabotage;

/// How long the waiter that is next looks again at a head that waits rightly. Those behind have more patience.
const NEXT_LOOKS_AGAIN: Duration = Duration::from_secs(1);

/// The longest of those pauses.
const LONGEST_PATIENCE: Duration = Duration::from_secs(10);

/// What a head can do while the key is free.
pub(super) enum Ability {
    /// It can take the key.
    Able,
    /// All slots of its limit are taken.
    WaitsForSlot,
    /// It waits for all of these keys.
    WaitsForSeveral(Vec<Key>),
}

impl Acquire {
    /// What the head of the line can do. `sharers`: those who share the key with a limit.
    pub(super) fn ability(head: &Ticket, sharers: &[Sharer]) -> Ability {
        match (&head.several, head.want) {
            (Some(keys), _) if !keys.is_empty() => Ability::WaitsForSeveral(keys.to_vec()),
            (None, Want::Share(limit)) if sharers.len() >= usize::from(limit.get()) => {
                Ability::WaitsForSlot
            }
            _ => Ability::Able,
        }
    }

    /// Asks whether the head could take all of its keys.
    pub(super) fn judge(&mut self, ctx: &mut Context, keys: Vec<Key>) {
        let target = |key| LockTarget {
            key,
            found: Found::Absent,
        };
        let request = Request::Survey {
            targets: keys.into_iter().map(target).collect(),
            see: See {
                line: true,
                sharers: Sharers::None,
            },
        };
        self.step = Step::Judge(self.ask(ctx, request));
    }

    pub(super) fn judged(&mut self, ctx: &mut Context, answer: Result<Answer, Fault>) -> Progress {
        let Some(head) = self.head().cloned() else {
            self.read_line(ctx, false);
            return Progress::GoesOn;
        };
        let keys = head.several.clone().unwrap_or_default();
        let is_able = match answer {
            Ok(Answer::Line(below)) => {
                self.answered();
                let places = keys.iter().zip(&below).map(|(key, below)| {
                    let first = below.line.iter().min_by_key(|ticket| ticket.identity());
                    let same = |ticket: &&Ticket| {
                        ticket.session == head.session && ticket.create_index == head.create_index
                    };
                    let own = below.line.iter().find(same);
                    (key, own, first.is_some_and(|first| same(&first)))
                });
                let places: Vec<_> = places.collect();
                #[cfg(test)]
                let forgives = ctx.out.sabotaged(Sabotage::ForgivesLostTickets);
                #[cfg(not(test))]
                let forgives = false;
                // A head that has lost one of its tickets must begin anew: its others are worth nothing.
                let has_lost_one = places.iter().any(|(_, own, _)| own.is_none()) && !forgives;
                let is_first = places.iter().all(|(_, _, is_first)| *is_first);
                // All of its tickets go together.
                let others = places.iter().filter_map(|(key, own, _)| {
                    let own = own.filter(|_| *key != self.key())?;
                    Some(own.stalled_at(key))
                });
                self.standing.others_of_head = Some(others.collect());
                has_lost_one || is_first
            }
            Ok(Answer::Exists(_)) => {
                self.answered();
                false
            }
            // The token may not look at the other keys: the head counts as one of this key alone.
            Err(Fault::Final(_) | Fault::TooLarge(_)) => {
                self.standing.others_of_head = None;
                true
            }
            answer => return self.failed(ctx, answer, Access::Read, Next::ReadLine),
        };
        if is_able {
            self.suspect(ctx);
        } else {
            self.be_patient(ctx);
        }
        Progress::GoesOn
    }

    /// The head waits rightly: looks again later.
    pub(super) fn be_patient(&mut self, ctx: &mut Context) {
        self.standing.stall = None;
        let ahead = self.standing.ahead(self.at).len();
        let pause = match (ahead, self.standing.patience) {
            (0 | 1, _) => NEXT_LOOKS_AGAIN,
            (_, looks) => NEXT_LOOKS_AGAIN * (1 << looks.min(4)),
        };
        self.standing.patience = self.standing.patience.saturating_add(1);
        let until = ctx.out.time() + pause.min(LONGEST_PATIENCE);
        self.follow_until(ctx, until);
    }
}
