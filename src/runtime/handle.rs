//! Notices that no call can come any more: clients and locks hold a runtime by a [`Handle`], and its
//! threads do not.

use std::ops::Deref;
use std::sync::Arc;

use super::Runtime;

/// A runtime in the hands of clients and locks. When the last of them is gone, no call can come any more:
/// the threads and the connections end as soon as nothing is under way.
///
/// A child after a fork leaves the runtime of its parent alone: the threads do not exist there, and the
/// sockets are the parent's.
#[derive(Debug)]
pub(crate) struct Handle(Arc<Runtime>);

impl Handle {
    pub(crate) fn new(runtime: &Arc<Runtime>) -> Arc<Handle> {
        Arc::new(Handle(runtime.clone()))
    }
}

impl Deref for Handle {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.generation.is_current() {
            self.leave();
        } else {
            // A reference that is never dropped keeps the runtime of the parent.
            std::mem::forget(self.0.clone());
        }
    }
}
