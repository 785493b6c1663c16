//! Locks whose keeper is gone. A thread of a host may be ended from outside (a worker of Node) without
//! a last word: what it waits for or holds would be the library's for ever, and be renewed for ever.
//! Such a thread binds its locks to its queue, which the system closes with it.
//!
//! There is no thread that looks: the library does when it asks Consul something for a lock that is
//! being acquired, when it has taken one, and when it has renewed one.

use std::sync::Arc;

use super::{Runtime, State};
use crate::core::{Call, CallId, Input, LockId, Phase};
use crate::queue::Queue;

impl State {
    /// It was bound to a queue, and nobody reads that any more.
    pub(super) fn is_orphan(&self, id: LockId) -> bool {
        let keeper = self.locks.get(&id).and_then(|it| it.keeper.as_ref());
        keeper.is_some_and(|queue| !queue.is_read())
    }
}

impl Runtime {
    /// From now on the lock goes with the queue.
    pub(crate) fn bind(&self, id: LockId, queue: Arc<Queue>) {
        let mut state = self.state.lock();
        let observed = state.locks.get_mut(&id);
        let before = observed.and_then(|observed| observed.keeper.replace(queue));
        drop(state);
        drop(before);
    }

    /// How to give up a lock that nobody keeps: a wait is cancelled, a lock that came too late is given
    /// back, and one that was held is left to its TTL, as when a process dies. Its handle may still be
    /// used.
    pub(super) fn end_of_orphan(&self, id: LockId, just_taken: bool) -> Option<Input> {
        let mut state = self.state.lock();
        let observed = state.locks.get_mut(&id)?;
        let what = match observed.shown.view().phase {
            // Not a cancel: the lock may come before this call does.
            Phase::Acquiring => Call::Release,
            Phase::Held if just_taken => Call::Release,
            Phase::Held => Call::LetGo,
            Phase::New | Phase::Lost | Phase::Over => return None,
        };
        // Once: what this asks of Consul is asked for an orphan, too. And it may have another keeper by
        // now.
        observed.keeper.take_if(|queue| !queue.is_read())?;
        // Nobody waits for this call.
        state.last_call += 1;
        let call = CallId(state.last_call);
        Some(Input::Call {
            lock: id,
            call,
            what,
        })
    }
}
