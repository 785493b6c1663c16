//! What a `fork` must find in order.
//!
//! A child has the memory of its parent, but one thread. A mutex that another thread held at that
//! instant stays locked in the child for ever; so the library's process-wide state is only touched
//! under [`Shared`], and a fork waits for whoever is inside. What belongs to the parent alone
//! (threads, sockets, locks) carries the [`Generation`] it was made in, which is compared before
//! anything of it is used.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::lockorder::{Held, Mutex, Rank};
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
    /// Without a destructor: a thread may fork when its other thread-locals are gone already.
    static FORKING: Cell<Option<ManuallyDrop<RwLockWriteGuard<'static, ()>>>> =
        const { Cell::new(None) };
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

/// While this lives no fork happens. Never held while user code runs or anything is waited for, and never twice
/// by a thread: a fork that waits in between would wait for it, and it for the fork.
pub(crate) struct Shared {
    _inside: RwLockReadGuard<'static, ()>,
    _held: Held,
}

/// Enters.
pub(crate) fn shared() -> Shared {
    // Not a Once: a fork while another thread is inside one leaves it shut in the child for ever.
    // Two threads may both install the handlers, which can be called twice.
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if !INSTALLED.load(Ordering::Acquire) {
        sys::at_fork(before, in_parent, in_child);
        INSTALLED.store(true, Ordering::Release);
    }
    let _held = Held::new(Rank::Fork);
    Shared {
        _held,
        _inside: INSIDE.read().unwrap_or_else(PoisonError::into_inner),
    }
}

/// Something that each process has one of: a child after a fork gets its own.
#[derive(Debug)]
pub(crate) struct OfProcess<T>(Mutex<Option<(Generation, Arc<T>)>>);

impl<T: Default> OfProcess<T> {
    /// Nothing yet.
    pub(crate) const fn new() -> OfProcess<T> {
        OfProcess(Mutex::new(Rank::Process, None))
    }

    /// This process's.
    pub(crate) fn get(&self) -> Arc<T> {
        let _inside = shared();
        let mut current = self.0.lock();
        if let Some((made_in, current)) = &*current
            && made_in.is_current()
        {
            return current.clone();
        }
        let made = Arc::new(T::default());
        // The parent's may be in the midst of a change: it is not touched.
        std::mem::forget(current.replace((Generation::current(), made.clone())));
        made
    }
}

extern "C" fn before() {
    let forking = FORKING.take().unwrap_or_else(|| {
        ManuallyDrop::new(INSIDE.write().unwrap_or_else(PoisonError::into_inner))
    });
    FORKING.set(Some(forking));
}

extern "C" fn in_parent() {
    drop(FORKING.take().map(ManuallyDrop::into_inner));
}

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Release);
    in_parent();
}
