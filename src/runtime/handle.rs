//! Tells when nothing more can be asked: clients and locks hold a runtime by a [`Handle`], its threads do not.

use std::ops::Deref;
use std::sync::Arc;

use super::Runtime;

/// A runtime in the hands of clients and locks. When the last of them is gone, nothing more will be asked: what
/// is under way ends, and then the threads and the connections do, at once.
///
/// In a child after a fork the parent's is left alone: its threads do not exist there, and its sockets are the
/// parent's.
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
            // One more that is never given back.
            std::mem::forget(self.0.clone());
        }
    }
}
