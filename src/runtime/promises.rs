//! The promises of the library: each lock that is held counts as one, and so does each that the library
//! will renew once it is held. While there is a promise, a thread that keeps the time, a thread that
//! performs requests and a connection stay at hand: a host that gives no more of them loses no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of promises of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct Promises(Arc<AtomicUsize>);

/// A promise, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Promise(Promises);

impl Promises {
    /// Makes a promise.
    pub(super) fn one(&self) -> Promise {
        self.0.fetch_add(1, Ordering::AcqRel);
        Promise(self.clone())
    }

    /// There is at least one promise.
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        (self.0.0).fetch_sub(1, Ordering::AcqRel);
    }
}
