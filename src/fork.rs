//! What a `fork` must find in order.
//!
//! A child has the memory of its parent, but one thread. A mutex that another thread held at that
//! instant stays locked in the child for ever; so the library's process-wide state is only touched
//! under [`Shared`], and a fork waits for whoever is inside. What belongs to the parent alone
//! (threads, sockets, locks) carries the [`Generation`] it was made in, which is compared before
//! anything of it is used.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::sys;

/// One process's life, from its fork to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    forks: u64,
    /// Also finds a child whose maker went round the C library (`clone(2)`).
    pid: u32,
}

static FORKS: AtomicU64 = AtomicU64::new(0);
static INSIDE: RwLock<()> = RwLock::new(());

thread_local! {
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

impl Generation {
    /// The one that runs now.
    pub(crate) fn current() -> Generation {
        Generation {
            forks: FORKS.load(Ordering::Acquire),
            pid: std::process::id(),
        }
    }

    /// It is this process's.
    pub(crate) fn is_current(self) -> bool {
        self == Generation::current()
    }
}

/// While this lives no fork happens. Never held while user code runs, and never twice by a thread.
pub(crate) struct Shared {
    _inside: RwLockReadGuard<'static, ()>,
}

/// Enters.
pub(crate) fn shared() -> Shared {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| sys::at_fork(before, in_parent, in_child));
    Shared {
        _inside: INSIDE.read().unwrap_or_else(PoisonError::into_inner),
    }
}

extern "C" fn before() {
    let guard = INSIDE.write().unwrap_or_else(PoisonError::into_inner);
    FORKING.with_borrow_mut(|forking| *forking = Some(guard));
}

extern "C" fn in_parent() {
    FORKING.with_borrow_mut(Option::take);
}

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Release);
    in_parent();
}
