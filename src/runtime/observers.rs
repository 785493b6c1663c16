//! The callbacks of observers, which the library calls again and again: on the thread for callbacks, or on the thread
//! that has the news where the callback never blocks.
//!
//! A callback that is slower than the changes of its key gets the newest state, and misses those in between. So an
//! observer costs no memory that grows.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar};
use std::thread::{self, ThreadId};

use super::{Runtime, defect};
use crate::callbacks::Seat;
use crate::core::messages::Key;
use crate::core::{Holder, Input, ObserverId};
use crate::error::Error;
use crate::fork::Generation;
use crate::lockorder::{Mutex, Rank};

/// What an observer is told: the holder, None where there is none, or why the library does not know it.
pub type Seen = Result<Option<Holder>, Error>;

/// Gets what an observer is told. False: there is nothing left that wants to know, and the observer ends.
pub type ObserverCallback = Box<dyn FnMut(Seen) -> bool + Send>;

/// How the library calls the callback of an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The callback is code of the host: it runs on the thread for callbacks, and may block and call the library.
    Hosted,
    /// The callback never blocks and does not call the library: it runs at once, on the thread that has the news.
    Prompt,
}

/// The callback of one observer, and what it is to be told next.
pub(crate) struct ObserverListener {
    generation: Generation,
    /// The seat on the thread for callbacks; None: a prompt callback.
    seat: Option<Seat>,
    state: Mutex<ListenerState>,
    /// Notified when the callback has returned.
    returned: Condvar,
}

struct ListenerState {
    /// None: the callback runs, or is gone.
    callback: Option<ObserverCallback>,
    news: Option<Seen>,
    /// The thread that runs the callback.
    running: Option<ThreadId>,
    /// The thread for callbacks will come.
    scheduled: bool,
    ended: bool,
}

impl fmt::Debug for ObserverListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObserverListener")
    }
}

impl ObserverListener {
    /// Notes what the observer is to be told, in place of what it was not told yet.
    pub(super) fn note(&self, seen: Seen) {
        let mut state = self.state.lock();
        if !state.ended {
            state.news = Some(seen);
        }
    }

    /// Has the callback run, if there is news. False: the observer is to end.
    pub(super) fn tell(self: &Arc<Self>) -> bool {
        let Some(seat) = &self.seat else {
            while self.run_once() {}
            return !self.state.lock().ended;
        };
        let mut state = self.state.lock();
        if !state.scheduled && state.news.is_some() {
            state.scheduled = true;
            drop(state);
            let listener = self.clone();
            seat.run_before_leaving(move || {
                listener.run_once();
                if listener.generation.is_current() {
                    listener.state.lock().scheduled = false;
                    // Other callbacks come first: the news of one observer must not keep them waiting.
                    listener.tell();
                } else {
                    // The callback forked and returned in the child: the listener is the parent's.
                    std::mem::forget(listener);
                }
            });
        }
        true
    }

    /// Runs the callback with the news, unless another thread does. True: there was news, and may be more.
    fn run_once(&self) -> bool {
        let mut state = self.state.lock();
        let Some(mut callback) = state.callback.take() else {
            return false;
        };
        let Some(seen) = state.news.take() else {
            state.callback = Some(callback);
            return false;
        };
        state.running = Some(thread::current().id());
        drop(state);
        // A panic ends neither the thread nor the process.
        let goes_on = catch_unwind(AssertUnwindSafe(|| callback(seen))).unwrap_or(true);
        if !self.generation.is_current() {
            std::mem::forget(callback);
            return false;
        }
        let mut state = self.state.lock();
        state.running = None;
        state.ended |= !goes_on;
        let more = !state.ended;
        let over = match more {
            true => {
                state.callback = Some(callback);
                None
            }
            false => Some(callback),
        };
        // It may run code of the host.
        drop(state);
        drop(over);
        self.returned.notify_all();
        more
    }

    /// Ends the observer, and waits until its callback has returned, unless this is the thread that runs it.
    fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.news = None;
        while state.running.is_some_and(|id| id != thread::current().id()) {
            state = state.wait(&self.returned);
        }
        let callback = state.callback.take();
        drop(state);
        drop(callback);
    }
}

impl Runtime {
    /// Tells `callback` the holder of a key, at once and at each change. NO_RESOURCES: the system gives no thread, and
    /// nothing was begun.
    pub(crate) fn observe(
        &self,
        key: Key,
        manner: Manner,
        callback: ObserverCallback,
    ) -> Result<(ObserverId, Arc<ObserverListener>), Error> {
        let seat = (manner == Manner::Hosted).then(|| self.callbacks.seat());
        let seat = seat.transpose()?;
        let mut state = self.state.lock();
        if state.broken {
            return Err(defect());
        }
        // The host may give no more threads later.
        self.have_timer(&mut state)?;
        self.have_keeper()?;
        state.last_observer += 1;
        let observer = ObserverId(state.last_observer);
        let listener = Arc::new(ObserverListener {
            generation: self.generation,
            seat,
            state: Mutex::new(
                Rank::Leaf,
                ListenerState {
                    callback: Some(callback),
                    news: None,
                    running: None,
                    scheduled: false,
                    ended: false,
                },
            ),
            returned: Condvar::new(),
        });
        state.observers.insert(observer, listener.clone());
        drop(state);
        self.take(Input::Observe { observer, key });
        Ok((observer, listener))
    }

    /// Ends an observer. Its callback has returned then, and will not run again.
    pub(crate) fn unobserve(&self, observer: ObserverId, listener: &ObserverListener) {
        self.take(Input::Unobserve(observer));
        listener.end();
    }
}
