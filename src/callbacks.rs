//! The host's callbacks: one thread runs them, in order, and does nothing else. A callback that never
//! returns delays other callbacks, but no renewal, deadline, cancel or blocking call. No function of the
//! library waits for a callback, so a callback may call each of them.
//!
//! A callback that will run later takes a [`Seat`] first. While a seat is taken the thread is there, so the
//! callback will run also when the system gives no more threads.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar};

use crate::error::{Error, Status};
use crate::fork::Generation;
use crate::lockorder::{Mutex, Rank};
use crate::threads::{HOST_STACK, LINGER, thread};

type Callback = Box<dyn FnOnce() + Send>;

/// Gets the outcome of a call without a caller that waits: exactly once, unless the call could not begin.
pub struct Completion<T> {
    tell: Box<dyn FnOnce(Result<T, Error>) + Send>,
    prompt: bool,
}

impl<T> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Completion")
    }
}

impl<T: 'static> Completion<T> {
    /// `tell` is code of the host: it runs on the thread for callbacks, and may block and call the library.
    pub fn new(tell: impl FnOnce(Result<T, Error>) + Send + 'static) -> Completion<T> {
        Completion {
            tell: Box::new(tell),
            prompt: false,
        }
    }

    /// `tell` never blocks and does not call the library: it runs at once, on the thread that has the
    /// answer, which saves a hop to another thread.
    pub fn prompt(tell: impl FnOnce(Result<T, Error>) + Send + 'static) -> Completion<T> {
        Completion {
            prompt: true,
            ..Completion::new(tell)
        }
    }

    /// The same completion for an outcome of another type.
    pub(crate) fn through<U: 'static>(
        self,
        into: impl FnOnce(U) -> T + Send + 'static,
    ) -> Completion<U> {
        self.through_outcome(|outcome| outcome.map(into))
    }

    /// As [`Completion::through`], also for errors.
    pub(crate) fn through_outcome<U: 'static>(
        self,
        into: impl FnOnce(Result<U, Error>) -> Result<T, Error> + Send + 'static,
    ) -> Completion<U> {
        Completion {
            prompt: self.prompt,
            tell: Box::new(move |outcome| (self.tell)(into(outcome))),
        }
    }

    /// The completion runs on the thread for callbacks.
    pub(crate) fn needs_a_seat(&self) -> bool {
        !self.prompt
    }

    pub(crate) fn tell(self, outcome: Result<T, Error>) {
        (self.tell)(outcome);
    }
}

/// The thread for callbacks, made when it is needed and ended when it is not. It outlives this handle until
/// its last callback has run.
///
/// It belongs to the process that made it: in a child after a fork the callbacks that wait never run.
#[derive(Debug)]
pub(crate) struct Callbacks(Arc<CallbackThread>);

impl Drop for Callbacks {
    fn drop(&mut self) {
        if self.0.generation.is_current() {
            self.0.state.lock().ended = true;
            self.0.work.notify_one();
        } else {
            // A reference that is never dropped keeps the state of the parent.
            std::mem::forget(self.0.clone());
        }
    }
}

/// The right to one callback. A seat that is dropped unused is free again.
#[derive(Debug)]
pub(crate) struct Seat(Option<Arc<CallbackThread>>);

struct CallbackThread {
    generation: Generation,
    state: Mutex<CallbackList>,
    work: Condvar,
}

#[derive(Default)]
struct CallbackList {
    queue: VecDeque<Callback>,
    seats: usize,
    running: bool,
    /// The library asks for no seat any more.
    ended: bool,
}

impl fmt::Debug for CallbackThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackThread")
    }
}

impl Default for Callbacks {
    fn default() -> Callbacks {
        Callbacks(Arc::new(CallbackThread {
            generation: Generation::current(),
            state: Mutex::new(Rank::Callbacks, CallbackList::default()),
            work: Condvar::new(),
        }))
    }
}

impl Callbacks {
    /// The process that the thread belongs to.
    pub(crate) fn generation(&self) -> Generation {
        self.0.generation
    }

    /// The right to one callback. NO_RESOURCES: the system gives no thread.
    pub(crate) fn seat(&self) -> Result<Seat, Error> {
        let mut state = self.0.state.lock();
        if !state.running {
            let inner = self.0.clone();
            thread(HOST_STACK, move || attend(inner)).map_err(|error| {
                let why = format!("cannot start a thread (callbacks): {error}");
                Error::new(Status::NoResources, why)
            })?;
            state.running = true;
        }
        state.seats += 1;
        Ok(Seat(Some(self.0.clone())))
    }

    /// Has a callback run, after those before it. NO_RESOURCES: the system gives no thread, and the callback
    /// will not run.
    pub(crate) fn run(&self, callback: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        self.seat()?.run(callback);
        Ok(())
    }

    /// The thread is there.
    pub(crate) fn is_running(&self) -> bool {
        self.0.state.lock().running
    }
}

impl Seat {
    /// Has the callback run, after those before it.
    pub(crate) fn run(mut self, callback: impl FnOnce() + Send + 'static) {
        self.leave(Some(Box::new(callback)));
    }

    /// Has the callback run, after those before it. The seat stays taken.
    pub(crate) fn run_before_leaving(&self, callback: impl FnOnce() + Send + 'static) {
        let callback: Callback = Box::new(callback);
        match &self.0 {
            Some(inner) if inner.generation.is_current() => {
                inner.state.lock().queue.push_back(callback);
                inner.work.notify_one();
            }
            // As for a seat that is left.
            _ => std::mem::forget(callback),
        }
    }

    fn leave(&mut self, callback: Option<Callback>) {
        let Some(inner) = self.0.take() else {
            return;
        };
        if !inner.generation.is_current() {
            // The thread is the parent's: its mutex may be locked for ever, and its callbacks must not run here.
            std::mem::forget((inner, callback));
            return;
        }
        let mut state = inner.state.lock();
        state.seats -= 1;
        state.queue.extend(callback);
        if !state.queue.is_empty() || state.seats == 0 {
            inner.work.notify_one();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave(None);
    }
}

fn attend(inner: Arc<CallbackThread>) {
    let mut state = inner.state.lock();
    loop {
        if let Some(callback) = state.queue.pop_front() {
            drop(state);
            // A panic ends neither the thread nor the process.
            let _ = catch_unwind(AssertUnwindSafe(callback));
            if !inner.generation.is_current() {
                // The callback forked and returned in the child: the other callbacks are the parent's.
                std::mem::forget(inner);
                return;
            }
            state = inner.state.lock();
        } else if state.seats > 0 {
            state = state.wait(&inner.work);
        } else if state.ended {
            state.running = false;
            return;
        } else {
            let (next, waited) = state.wait_timeout(&inner.work, LINGER);
            state = next;
            if waited && state.queue.is_empty() && state.seats == 0 {
                state.running = false;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread::ThreadId;
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn they_run_in_order_on_one_thread_which_survives_a_panic() {
        let callbacks = Callbacks::default();
        assert!(!callbacks.is_running(), "made on demand");
        let (told, heard) = channel::<(usize, ThreadId)>();
        for number in 0..1000 {
            let told = told.clone();
            let run = callbacks.run(move || {
                assert_ne!(number, 500, "on purpose");
                let _ = told.send((number, std::thread::current().id()));
            });
            run.expect("a thread");
        }
        drop(told);
        let mut threads = Vec::new();
        for number in (0..1000).filter(|n| *n != 500) {
            let (heard, thread) = heard.recv_timeout(SOON).expect("it runs");
            assert_eq!(heard, number);
            threads.push(thread);
        }
        threads.dedup();
        assert_eq!(threads.len(), 1);
        assert_ne!(threads, [std::thread::current().id()]);
    }

    #[test]
    fn one_may_ask_for_another_and_what_is_asked_outlives_the_asker() {
        let callbacks = Arc::new(Callbacks::default());
        let (told, heard) = channel();
        let inside = callbacks.clone();
        let asked = callbacks.run(move || {
            let more = inside.run(move || {
                let _ = told.send(());
            });
            more.expect("a thread");
        });
        asked.expect("a thread");
        drop(callbacks);
        heard.recv_timeout(SOON).expect("it runs");
    }

    #[test]
    fn a_seat_keeps_the_thread_and_its_end_lets_it_go() {
        let callbacks = Callbacks::default();
        let used = callbacks.seat().expect("a thread");
        let unused = callbacks.seat().expect("a thread");
        std::thread::sleep(LINGER + Duration::from_millis(500));
        assert!(callbacks.is_running(), "a seat is taken");
        let (told, heard) = channel();
        used.run(move || {
            let _ = told.send(());
        });
        heard.recv_timeout(SOON).expect("it runs");
        drop(unused);
        let deadline = std::time::Instant::now() + SOON;
        while callbacks.is_running() {
            assert!(std::time::Instant::now() < deadline, "it never ends");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
