//! An observer of a key's holder.

use std::fmt;
use std::sync::Arc;

use crate::core::ObserverId;
use crate::core::messages::Key;
use crate::error::Error;
use crate::runtime::Handle;
use crate::runtime::observers::ObserverListener;
pub use crate::runtime::observers::{Manner, ObserverCallback, Seen};

/// Is told the holder of a key at each change. Dropping the observer ends that: the drop waits for a callback that runs,
/// unless the callback itself drops the observer, and no callback runs afterwards.
///
/// An observer keeps its client alive. In a child after a fork an observer of the parent is told nothing.
pub struct Observer {
    runtime: Arc<Handle>,
    id: ObserverId,
    listener: Arc<ObserverListener>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.id).finish()
    }
}

impl Observer {
    pub(super) fn begin(
        runtime: Arc<Handle>,
        key: Key,
        manner: Manner,
        callback: ObserverCallback,
    ) -> Result<Observer, Error> {
        let (id, listener) = runtime.observe(key, manner, callback)?;
        Ok(Observer {
            runtime,
            id,
            listener,
        })
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if self.runtime.generation.is_current() {
            self.runtime.unobserve(self.id, &self.listener);
        } else {
            // A reference that is never dropped keeps the callback of the parent.
            std::mem::forget(self.listener.clone());
        }
    }
}
