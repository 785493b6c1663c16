//! The mutexes of the library, and the order in which a thread may take them.
//!
//! Each mutex has a [`Rank`]. A thread takes a mutex only while all mutexes that it holds have a lower rank: so no
//! two threads can wait for each other. A debug build, and so every test, panics where a thread breaks the order.

use std::ops::{Deref, DerefMut};
use std::sync::{self, Condvar, MutexGuard, PoisonError};
use std::time::Duration;

/// The order: a mutex of an earlier rank is taken first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Rank {
    /// The options of a host.
    Options,
    /// Keeps a fork away (`fork.rs`). A thread that takes this rank holds nothing else but options. While it
    /// holds the rank, it reads no file, makes no client and logs no line.
    Fork,
    /// A client's place for the runtime of this process.
    Client,
    /// The state of the process: the defaults, the log, the lists of runtimes and queues.
    Process,
    /// A client's core, and its pending calls.
    Runtime,
    /// A team of threads, with the requests that wait for one.
    Team,
    /// A client's connections.
    Wires,
    /// The thread for callbacks, with the callbacks that it is to run.
    Callbacks,
    /// The events of a queue.
    Queue,
    /// The look-ups of host names.
    Names,
    /// Work that runs aside, and its outcome.
    Errand,
    /// Mutexes around a single value: a thread that holds one takes no other.
    Leaf,
}

/// A mutex. A panic of a thread that holds it does not make its value invalid: no code that can panic runs
/// between two changes that belong together. (A client marks its core after a panic.)
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    rank: Rank,
    inner: sync::Mutex<T>,
}

/// A mutex that is held.
#[derive(Debug)]
pub(crate) struct Guard<'a, T> {
    // Dropped first: the thread holds the rank until the mutex is free.
    inner: MutexGuard<'a, T>,
    held: HeldRank,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(rank: Rank, value: T) -> Mutex<T> {
        Mutex {
            rank,
            inner: sync::Mutex::new(value),
        }
    }

    /// Waits until the mutex is free, and takes it.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let held = HeldRank::new(self.rank);
        Guard {
            inner: self.inner.lock().unwrap_or_else(PoisonError::into_inner),
            held,
        }
    }

    /// The value, for the only owner of the mutex.
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

    /// The same, for `time` at most. The second value is true when that time is over.
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

/// A rank that the thread holds while this lives.
#[derive(Debug)]
pub(crate) struct HeldRank(#[cfg(debug_assertions)] Rank);

#[cfg(debug_assertions)]
thread_local! {
    /// A bit for each rank. Without a destructor: a thread may take a mutex when its other thread-locals are
    /// gone already.
    static HELD: std::cell::Cell<u16> = const { std::cell::Cell::new(0) };
}

impl HeldRank {
    #[cfg(debug_assertions)]
    pub(crate) fn new(rank: Rank) -> HeldRank {
        let held = HELD.get();
        assert!(
            held >> rank as u8 == 0,
            "a defect of libconsul_lock: {rank:?} is taken by a thread that holds the ranks {held:b}"
        );
        HELD.set(held | 1 << rank as u8);
        HeldRank(rank)
    }

    #[cfg(not(debug_assertions))]
    pub(crate) fn new(_: Rank) -> HeldRank {
        HeldRank()
    }
}

#[cfg(debug_assertions)]
impl Drop for HeldRank {
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
