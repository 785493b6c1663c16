//! What the library has promised: each lock that is held, and each that will be renewed once it is, counts as
//! one. While there is a promise, a thread that keeps the time, a thread that performs requests and a connection
//! stay at hand for it: a host that gives no more of them loses no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the promises of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct Promises(Arc<AtomicUsize>);

/// One promise. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Promise(Promises);

impl Promises {
    /// One more.
    pub(super) fn one(&self) -> Promise {
        self.0.fetch_add(1, Ordering::AcqRel);
        Promise(self.clone())
    }

    /// There is at least one.
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        (self.0.0).fetch_sub(1, Ordering::AcqRel);
    }
}
