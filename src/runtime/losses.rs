//! The callbacks that report the loss of a lock.

use std::fmt;

use super::Runtime;
use crate::callbacks::Seat;
use crate::core::LockId;
use crate::error::{Error, LostReason};

/// Reports a loss, once, on the thread for callbacks.
pub type LostCallback = Box<dyn FnOnce(LostReason) + Send>;

/// A callback, with its seat on the thread for callbacks. That thread also drops a callback that is never
/// called: dropping it may run code of the host, and no other thread of the library may wait for that.
pub(super) struct LossListener(Option<(Seat, LostCallback)>);

impl fmt::Debug for LossListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LossListener")
    }
}

impl LossListener {
    pub(super) fn tell(mut self, why: LostReason) {
        if let Some((seat, callback)) = self.0.take() {
            seat.run(move || callback(why));
        }
    }
}

impl Drop for LossListener {
    fn drop(&mut self) {
        if let Some((seat, callback)) = self.0.take() {
            seat.run(move || drop(callback));
        }
    }
}

impl Runtime {
    /// Sets the callback for the loss of a lock, in place of the one before. A lock that is lost already
    /// is reported at once. NO_RESOURCES: the system gives no thread, and nothing was changed.
    pub(crate) fn on_loss(&self, id: LockId, callback: Option<LostCallback>) -> Result<(), Error> {
        let listener = match callback {
            Some(callback) => Some(LossListener(Some((self.callbacks.seat()?, callback)))),
            None => None,
        };
        let mut state = self.state.lock();
        if listener.is_some() {
            self.have_timer(&mut state)?;
        }
        // The core has forgotten this lock, and will report nothing.
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
