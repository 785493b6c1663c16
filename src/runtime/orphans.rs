//! Locks whose keeper is gone. A host may end a thread from outside (a worker of Node) and run no more
//! code of that thread: the library would then wait, hold and renew its locks for ever. Such a thread binds
//! its locks to its queue, and the system closes the queue's socket with the thread.
//!
//! The library looks for the reader of the queue when it sends a request for a pending acquire, when an
//! acquire succeeds, and after each renewal.

use std::sync::Arc;

use super::{Runtime, RuntimeState};
use crate::core::{Call, Input, LockId, Phase};
use crate::queue::Queue;

impl RuntimeState {
    /// The lock was bound to a queue that has no reader any more.
    pub(super) fn is_orphan(&self, id: LockId) -> bool {
        let keeper = self.locks.get(&id).and_then(|it| it.keeper.as_ref());
        keeper.is_some_and(|queue| !queue.is_read())
    }
}

impl Runtime {
    /// Binds a lock to a queue.
    pub(crate) fn bind(&self, id: LockId, queue: Arc<Queue>) {
        let mut state = self.state.lock();
        let observed = state.locks.get_mut(&id);
        let before = observed.and_then(|observed| observed.keeper.replace(queue));
        drop(state);
        drop(before);
    }

    /// The call that ends a lock without a keeper: the library cancels a wait, releases a lock that came
    /// too late, and leaves one that was held to its TTL, as when a process dies. The handle of the lock may
    /// still be used.
    pub(super) fn end_of_orphan(&self, id: LockId, just_taken: bool) -> Option<Input> {
        let mut state = self.state.lock();
        let observed = state.locks.get_mut(&id)?;
        let what = match observed.shown.view().phase {
            // A cancel would do nothing to a lock that comes before this call.
            Phase::Acquiring => Call::Release,
            Phase::Held if just_taken => Call::Release,
            Phase::Held => Call::LetGo,
            Phase::New | Phase::Lost | Phase::Over => return None,
        };
        // The keeper is taken out, because the requests of this call are requests of an orphan, too. The
        // lock may also have another keeper by now.
        observed.keeper.take_if(|queue| !queue.is_read())?;
        Some(Input::Call {
            lock: id,
            // No caller waits for it.
            call: state.calls.new_call(),
            what,
        })
    }
}
