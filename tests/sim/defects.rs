//! The defects with which a schedule may run. The simulation must catch each of them, or proves nothing.

use crate::core::Outcome;
use crate::core::messages::{Answer, Below, Fault, Request};
use crate::core::sabotage::Sabotage;
use crate::error::Status;
use crate::key::LOCK_FLAGS;

/// A defect of a core, or of what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    /// A defect inside of a core.
    Core(Sabotage),
    /// A release deletes the key by its name.
    ReleaseByKey,
    /// A write under a lock does not check that the lock is held.
    WriteUnchecked,
    /// The clock stops while the machine sleeps.
    ClockStopsInSuspend,
    /// The lease counts from the answer, not from before the request.
    LeaseFromReply,
    /// The core takes the data of another program under the key for a free lock.
    TakeWhatIsThere,
    /// The core uses a session again although the answer to a release was lost.
    PoolAfterDoubt,
    /// When the lock is lost, a write whose answer was lost counts as not done.
    DoubtIsNoWrite,
    /// No caller learns that the time of a lock ran out.
    SilentLoss,
    /// A lock that arrives after the caller got another outcome stays in Consul.
    KeepLateLock,
    /// The core looks once for a session whose create was not answered.
    LookOnce,
    /// Sessions are bound to the agent's node, whatever `session_node` says.
    AgentsNode,
    /// The core forgets a line at once.
    ForgetTheLine,
}

impl Defect {
    /// The answer that a core with the defect takes in.
    pub(super) fn falsify(
        self,
        request: &Request,
        answer: Result<Answer, Fault>,
    ) -> Result<Answer, Fault> {
        match (self, request, answer) {
            (Defect::TakeWhatIsThere, _, Ok(Answer::Row { row, index })) => {
                let row = row.map(|mut row| {
                    row.flags = LOCK_FLAGS;
                    row
                });
                Ok(Answer::Row { row, index })
            }
            (Defect::PoolAfterDoubt, Request::Unlock { .. }, Err(Fault::Unknown(_))) => {
                Ok(Answer::Unlocked { below: Vec::new() })
            }
            (Defect::ForgetTheLine, Request::Survey { .. }, Ok(Answer::Line(below))) => {
                Ok(Answer::Line(without_lines(below)))
            }
            (Defect::ForgetTheLine, _, Ok(Answer::Locked { index, below })) => {
                let below = without_lines(below);
                Ok(Answer::Locked { index, below })
            }
            (Defect::ForgetTheLine, _, Ok(Answer::Unlocked { .. })) => {
                Ok(Answer::Unlocked { below: Vec::new() })
            }
            (_, _, answer) => answer,
        }
    }

    /// The outcome that a core with the defect tells.
    pub(super) fn mistell(self, mut outcome: Outcome) -> Outcome {
        if let (Defect::DoubtIsNoWrite, Err(error)) = (self, &mut outcome)
            && error.status == Status::Unconfirmed
            && error.message.contains("under the lock")
        {
            error.status = Status::Lost;
        }
        outcome
    }
}

fn without_lines(mut below: Vec<Below>) -> Vec<Below> {
    for below in &mut below {
        below.line.clear();
    }
    below
}
