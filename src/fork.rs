//! What makes a `fork` safe.
//!
//! A child has the memory of its parent, but one thread. A mutex that another thread of the parent held
//! at that instant stays locked in the child for ever. So threads touch the state of the process only
//! under [`NoFork`], and a fork waits for them. Objects that belong to the parent alone (threads, sockets,
//! locks) have the [`Generation`] that they were made in, which the library compares before it uses them.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::lockorder::{HeldRank, Mutex, Rank};
use crate::sys;

/// One process's life, from its fork to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    forks: u64,
    /// Also tells a child that was not made by the C library (`clone(2)`).
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
    /// The generation of this process.
    pub(crate) fn current() -> Generation {
        Generation {
            forks: FORKS.load(Ordering::Acquire),
            pid: std::process::id(),
        }
    }

    /// The generation is that of this process.
    pub(crate) fn is_current(self) -> bool {
        self == Generation::current()
    }
}

/// While this lives no fork happens. No thread holds it while it waits for something or runs code of the host, or
/// holds it twice: a fork that waits in between and the thread would wait for each other.
pub(crate) struct NoFork {
    _inside: RwLockReadGuard<'static, ()>,
    _held: HeldRank,
}

/// Waits until no fork happens.
pub(crate) fn shared() -> NoFork {
    // Not a Once: after a fork while another thread is inside it, the child could never get in. Two
    // threads may both install the handlers, which may run twice.
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if !INSTALLED.load(Ordering::Acquire) {
        sys::at_fork(before, in_parent, in_child);
        INSTALLED.store(true, Ordering::Release);
    }
    let _held = HeldRank::new(Rank::Fork);
    NoFork {
        _held,
        _inside: INSIDE.read().unwrap_or_else(PoisonError::into_inner),
    }
}

/// A value that each process has one of: a child after a fork gets its own.
#[derive(Debug)]
pub(crate) struct OfProcess<T>(Mutex<Option<(Generation, Arc<T>)>>);

impl<T: Default> OfProcess<T> {
    /// A value that is made when it is first used.
    pub(crate) const fn new() -> OfProcess<T> {
        OfProcess(Mutex::new(Rank::Process, None))
    }

    /// The value of this process.
    pub(crate) fn get(&self) -> Arc<T> {
        let _inside = shared();
        let mut current = self.0.lock();
        if let Some((made_in, current)) = &*current
            && made_in.is_current()
        {
            return current.clone();
        }
        let made = Arc::new(T::default());
        // The value of the parent may be in the midst of a change, and so is not dropped.
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
