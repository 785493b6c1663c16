//! The mutexes of the library, and the order in which a thread may take them.
//!
//! Each has a [`Rank`]. A thread takes a mutex only while all that it holds have a lower rank: so no two threads
//! can wait for each other. A debug build, and so every test, panics where a thread does otherwise.

use std::ops::{Deref, DerefMut};
use std::sync::{self, Condvar, MutexGuard, PoisonError};
use std::time::Duration;

/// The order: what stands first is taken first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Rank {
    /// Options that a host fills in.
    Options,
    /// Keeps a fork away (`fork.rs`). So a thread that locks this holds nothing else but options; and while it
    /// is held no file is read, no client made and no line logged.
    Fork,
    /// A client's place for the runtime of this process.
    Client,
    /// What there is once in a process: the defaults, the log, the lists of runtimes and queues.
    Process,
    /// A client's core, and who waits for what.
    Runtime,
    /// A team of threads, with the requests that stand in its lines.
    Team,
    /// A client's connections.
    Wires,
    /// A thread for callbacks, with what it is to call.
    Callbacks,
    /// The events of a queue.
    Queue,
    /// The names of hosts that were looked up.
    Names,
    /// Work that runs aside, and who waits for it.
    Errand,
    /// Mutexes around a single value: nothing else is locked while one of them is held.
    Leaf,
}

/// A mutex. A panic elsewhere does not make what it guards invalid: nothing that can panic runs between two
/// changes that belong together (the core of a client that panicked is marked).
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    rank: Rank,
    inner: sync::Mutex<T>,
}

/// A mutex that is held.
#[derive(Debug)]
pub(crate) struct Guard<'a, T> {
    // Unlocked before it is counted as unlocked.
    inner: MutexGuard<'a, T>,
    held: Held,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(rank: Rank, value: T) -> Mutex<T> {
        Mutex {
            rank,
            inner: sync::Mutex::new(value),
        }
    }

    /// Waits for it, and holds it.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let held = Held::new(self.rank);
        Guard {
            inner: self.inner.lock().unwrap_or_else(PoisonError::into_inner),
            held,
        }
    }

    /// What it guards, for its only owner.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Guard<'_, T> {
    /// Unlocks the mutex until the condition variable is notified.
    pub(crate) fn wait(self, told: &Condvar) -> Self {
        let Guard { inner, held } = self;
        let inner = told.wait(inner).unwrap_or_else(PoisonError::into_inner);
        Guard { inner, held }
    }

    /// The same, for so much time at most. The second is true when that time is over.
    pub(crate) fn wait_timeout(self, told: &Condvar, time: Duration) -> (Self, bool) {
        let Guard { inner, held } = self;
        let waited = told.wait_timeout(inner, time);
        let (inner, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        (Guard { inner, held }, waited.timed_out())
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// A rank that this thread holds.
#[derive(Debug)]
pub(crate) struct Held(#[cfg(debug_assertions)] Rank);

#[cfg(debug_assertions)]
thread_local! {
    /// A bit for each rank. Without a destructor: a thread may take a mutex when its other thread-locals are
    /// gone already.
    static HELD: std::cell::Cell<u16> = const { std::cell::Cell::new(0) };
}

impl Held {
    #[cfg(debug_assertions)]
    pub(crate) fn new(rank: Rank) -> Held {
        let held = HELD.get();
        assert!(
            held >> rank as u8 == 0,
            "a defect of libconsul_lock: {rank:?} is taken by a thread that holds the ranks {held:b}"
        );
        HELD.set(held | 1 << rank as u8);
        Held(rank)
    }

    #[cfg(not(debug_assertions))]
    pub(crate) fn new(_: Rank) -> Held {
        Held()
    }
}

#[cfg(debug_assertions)]
impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(HELD.get() & !(1 << self.0 as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of each file of a folder.
    fn texts(folder: &std::path::Path, texts: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self::texts(&path, texts);
            } else {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                texts.push((path.display().to_string(), text));
            }
        }
    }

    #[test]
    fn no_mutex_is_without_a_rank() {
        let mut all = Vec::new();
        texts(
            &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut all,
        );
        for (path, text) in all {
            let (used, _) = text
                .split_once("#[cfg(test)]\nmod tests")
                .unwrap_or((&text, ""));
            let plain = used.lines().find(|line| {
                line.contains("std::sync") && line.contains("Mutex") || line.contains("sync::Mutex")
            });
            let allowed = path.ends_with("lockorder.rs");
            assert!(plain.is_none() || allowed, "{path}: {plain:?}");
        }
    }

    #[test]
    fn in_the_order_of_their_ranks() {
        let (first, second) = (Mutex::new(Rank::Fork, 1), Mutex::new(Rank::Leaf, 2));
        let held = first.lock();
        assert_eq!(*held + *second.lock(), 3);
        drop(held);
        let held = second.lock();
        let (held, timed_out) = held.wait_timeout(&Condvar::new(), Duration::from_millis(1));
        assert!(timed_out);
        drop(held);
        assert_eq!(*first.lock(), 1);
    }

    #[test]
    #[should_panic(expected = "Fork is taken by a thread that holds")]
    fn not_a_lower_one() {
        let (first, second) = (Mutex::new(Rank::Fork, 1), Mutex::new(Rank::Leaf, 2));
        let _held = second.lock();
        drop(first.lock());
    }

    #[test]
    #[should_panic(expected = "Leaf is taken by a thread that holds")]
    fn nor_two_of_a_kind() {
        let (one, other) = (Mutex::new(Rank::Leaf, 1), Mutex::new(Rank::Leaf, 2));
        let _held = one.lock();
        drop(other.lock());
    }
}
