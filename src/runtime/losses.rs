//! Who is told that a lock is lost.

use std::fmt;

use super::Runtime;
use crate::callbacks::Seat;
use crate::core::LockId;
use crate::error::{Error, LostReason};

/// Told once, by the thread for callbacks.
pub type LostCallback = Box<dyn FnOnce(LostReason) + Send>;

/// A callback, and its right to be called. One that is never called is dropped by the thread for
/// callbacks, too: what it owns is the host's, and none of our threads may wait for the host.
pub(super) struct Listener(Option<(Seat, LostCallback)>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl Listener {
    pub(super) fn tell(mut self, why: LostReason) {
        if let Some((seat, callback)) = self.0.take() {
            seat.run(move || callback(why));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((seat, callback)) = self.0.take() {
            seat.run(move || drop(callback));
        }
    }
}

impl Runtime {
    /// Sets who is told of the loss of a lock, instead of who was before; at once if it is lost
    /// already. NO_RESOURCES: the system gives no thread, and nothing was changed.
    pub(crate) fn on_loss(&self, id: LockId, callback: Option<LostCallback>) -> Result<(), Error> {
        let listener = match callback {
            Some(callback) => Some(Listener(Some((self.callbacks.seat()?, callback)))),
            None => None,
        };
        let mut state = self.state.lock();
        if listener.is_some() {
            self.have_timer(&mut state)?;
        }
        // The core has forgotten a lock that is not shown: nobody will be told.
        let Some(observed) = state.locks.get(&id) else {
            return Ok(());
        };
        let before = match (observed.shown.view().lost, listener) {
            (Some(why), Some(listener)) => {
                listener.tell(why);
                None
            }
            (None, Some(listener)) => state.listeners.insert(id, listener),
            (_, None) => state.listeners.remove(&id),
        };
        drop(state);
        drop(before);
        Ok(())
    }
}
