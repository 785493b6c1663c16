//! The defects that a schedule may be run with: the simulation must catch each of them, or it proves
//! nothing.

use crate::core::Outcome;
use crate::core::messages::{Answer, Fault, Request};
use crate::core::sabotage::Sabotage;
use crate::error::Status;
use crate::key::LOCK_FLAGS;

/// A defect to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    /// One inside of a core.
    Core(Sabotage),
    /// A release deletes the key by its name.
    ReleaseByKey,
    /// A write under a lock does not check that the lock is held.
    WriteUnchecked,
    /// The clock stops while the machine sleeps.
    ClockStopsInSuspend,
    /// The lease is counted from the answer, not from before the request.
    LeaseFromReply,
    /// The data of another program under the key of a lock is taken for a free lock.
    TakeWhatIsThere,
    /// A session is used again although the answer to a release was lost.
    PoolAfterDoubt,
    /// A write whose answer was lost is said not to have been done when the lock is lost.
    DoubtIsNoWrite,
    /// No caller is told that a lock's time ran out.
    SilentLoss,
    /// A lock that arrives after its caller was told no is left in Consul.
    KeepLateLock,
    /// A session whose create was not answered is looked for once.
    LookOnce,
    /// Sessions are bound to the agent's node, whatever `session_node` says.
    AgentsNode,
    /// A line that was seen is forgotten at once.
    ForgetTheLine,
}

impl Defect {
    /// What a core with the defect makes of an answer.
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
                Ok(Answer::Unlocked { line: Vec::new() })
            }
            (Defect::ForgetTheLine, Request::Survey { .. }, Ok(Answer::Line(_))) => {
                Ok(Answer::Line(Vec::new()))
            }
            (Defect::ForgetTheLine, _, Ok(Answer::Locked { index, .. })) => {
                let line = Vec::new();
                Ok(Answer::Locked { index, line })
            }
            (Defect::ForgetTheLine, _, Ok(Answer::Unlocked { .. })) => {
                Ok(Answer::Unlocked { line: Vec::new() })
            }
            (_, _, answer) => answer,
        }
    }

    /// What a caller is told by a core with the defect.
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
