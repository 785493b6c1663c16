//! The wait of an exclusive lock for those who share its keys.
//!
//! The waiter has taken the keys, so that no other session can begin to share them. It watches one of those who share,
//! chosen by chance: by the end of that one about half of the others have ended, too, so the waiter asks a
//! logarithm of their number times. The lock is held only when Consul shows, at one instant, that the keys are still
//! the waiter's and that no other session shares them.

use super::*;

/// The waiter asks again after so long, whatever the watch says.
const LONGEST_QUIET: Duration = Duration::from_secs(10);

impl Acquire {
    /// Those of other sessions, each with the number of the key that it shares.
    pub(super) fn others_among(&self, below: Vec<Below>) -> Vec<(usize, Sharer)> {
        let own = self.session.id();
        let sharers = below.into_iter().enumerate().flat_map(|(number, below)| {
            let sharers = below.sharers.into_iter();
            sharers.map(move |sharer| (number, sharer))
        });
        sharers
            .filter(|(_, sharer)| Some(&sharer.session) != own.as_ref())
            .collect()
    }

    /// The keys are taken, and others share them.
    pub(super) fn wait_for_sharers(
        &mut self,
        ctx: &mut Context,
        sharers: Vec<(usize, Sharer)>,
    ) -> Progress {
        let chosen = ctx.out.choose(sharers.len());
        let Some((number, one)) = sharers.get(chosen).cloned() else {
            self.prove(ctx);
            return Progress::GoesOn;
        };
        self.at = number;
        self.known.fault = None;
        let sharers = sharers.into_iter().map(|(_, sharer)| sharer).collect();
        self.note_not_free(ctx, Blocker::Sharers(sharers));
        // A single attempt gives the keys back at once: that is part of the end of the acquire.
        if self.is_single() {
            return Progress::Failed(self.not_acquired(ctx));
        }
        if self.last_look.has_begun(ctx.out.time()) {
            let _ = self.ask_name(ctx, Some(one.session.clone()));
        }
        let row = one.limit.row_of(self.key(), one.slot);
        let until = ctx.out.time() + LONGEST_QUIET;
        self.watch(ctx, Subject::Sharer, row, one.modify_index, until);
        Progress::GoesOn
    }

    /// Asks whether the keys are still this waiter's, and whether others share them.
    pub(super) fn prove(&mut self, ctx: &mut Context) {
        self.retire_what_is_over(ctx);
        let Some(session) = self.session.id() else {
            return self.look(ctx);
        };
        let keys = self.spec.keys.all().to_vec();
        let request = Request::Prove {
            rows: keys.clone(),
            session,
            gates: keys,
        };
        self.step = Step::Prove(self.ask(ctx, request));
    }

    pub(super) fn proved(&mut self, ctx: &mut Context, answer: Result<Answer, Fault>) -> Progress {
        match answer {
            Ok(Answer::Proved { index, below }) if self.attempt.gate == Some(index) => {
                self.answered();
                let sharers = self.others_among(below);
                if sharers.is_empty() {
                    self.attempt.gate = None;
                    return self.hand_out(ctx, index);
                }
                self.wait_for_sharers(ctx, sharers)
            }
            // An operator removed the keys, or wrote them, or the session ended. The session may hold some of them.
            Ok(Answer::Proved { .. } | Answer::NotOurs { .. }) => {
                self.answered();
                self.start_afresh(ctx)
            }
            answer => self.failed(ctx, answer, Access::Read, Next::Prove),
        }
    }
}
