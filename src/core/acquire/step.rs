//! Where an acquire stands, and what comes next.

use std::sync::Arc;

use crate::clock::Time;
use crate::core::interface::RequestId;
use crate::core::messages::Ticket;

#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) enum Step {
    /// Other waiters of this process come first.
    Parked,
    /// Are the keys free, and what stands below them?
    Survey(RequestId),
    /// The key at which the waiter stands.
    Look(RequestId),
    /// The request to create a session, and the name of that session.
    Open(RequestId, Arc<str>),
    /// The request that registers the node of the session.
    Register(RequestId),
    Renew(RequestId),
    Join(RequestId),
    /// True: the key was free a moment ago.
    ReadLine(RequestId, bool),
    Clear(RequestId),
    /// Could the head of the line, which waits for several keys, take them all?
    Judge(RequestId),
    Try(RequestId),
    /// The keys are the waiter's own; does anyone still share them?
    Prove(RequestId),
    /// Consul gave the lock with this fencing token. The library renews the lease before the caller gets the lock.
    Refresh(RequestId, u64),
    Watch {
        subject: Subject,
        index: u64,
    },
    Pause(Time, Next),
    /// The outcome is decided; only the holder's name is still asked for.
    Name,
    /// The last answer is taken in, and no request is on its way.
    Answered,
}

impl Step {
    /// The request whose answer this step waits for.
    pub(super) fn request(&self) -> Option<RequestId> {
        match self {
            Step::Survey(id)
            | Step::Look(id)
            | Step::Open(id, _)
            | Step::Register(id)
            | Step::Renew(id)
            | Step::Join(id)
            | Step::ReadLine(id, _)
            | Step::Clear(id)
            | Step::Judge(id)
            | Step::Try(id)
            | Step::Prove(id)
            | Step::Refresh(id, _) => Some(*id),
            Step::Parked | Step::Watch { .. } | Step::Pause(..) | Step::Name | Step::Answered => {
                None
            }
        }
    }

    /// Consul may apply the request of this step after the end of the acquire.
    pub(super) fn may_be_applied(&self) -> bool {
        matches!(
            self,
            Step::Join(_) | Step::Clear(_) | Step::Try(_) | Step::Refresh(..)
        )
    }

    pub(super) fn watches_key(&self) -> bool {
        let subject = match self {
            Step::Watch { subject, .. } => Some(subject),
            _ => None,
        };
        matches!(subject, Some(Subject::Key))
    }
}

/// What a waiter watches.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    Key,
    /// A ticket before the own one.
    Ticket(Ticket),
    /// The names of those who share the key with a limit.
    Permits,
    /// One of those who share a key that is the waiter's own otherwise.
    Sharer,
}

/// What the session is needed for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Lock,
    Ticket,
}

/// What follows a pause.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    Survey,
    Look,
    LookAtKey,
    Join,
    ReadLine,
    Try,
    Prove,
    /// Consul gave the lock with this fencing token: its lease is renewed, then the caller gets the lock.
    HandOut(u64),
}
