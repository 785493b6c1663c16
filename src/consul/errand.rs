//! Work that cannot be interrupted: the look-up of a name, the reading of a file on a file server that is gone.
//! Each piece of work has a thread of its own, which the library may leave behind. A caller waits for the result
//! within the time that the caller has.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::interrupt::Interrupt;
use crate::clock::Time;
use crate::fork::OfProcess;
use crate::lockorder::{Mutex, Rank};
use crate::threads::thread;

/// How many threads of a process may do such work, including those that were left behind.
const MOST: usize = 16;

/// Modules of the C library that look names up need more stack than the library's own code.
const STACK: usize = 1 << 20;

static RUNNING: OfProcess<AtomicUsize> = OfProcess::new();

/// How long a caller waits for the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait<'a> {
    pub(crate) by: Time,
    /// Counted from the beginning of the work: a later caller does not wait that long again for work that hangs.
    pub(crate) patience: Duration,
    /// Ends the wait, and not the work.
    pub(crate) interrupt: &'a Interrupt,
}

/// How long the library waits for a file that it reads again, after a refusal or for a new connection.
const FILE: Duration = Duration::from_secs(2);

impl<'a> Wait<'a> {
    /// The wait for files that may have been replaced.
    pub(super) fn for_files(by: Time, interrupt: &'a Interrupt) -> Wait<'a> {
        Wait {
            by,
            patience: FILE,
            interrupt,
        }
    }
}

/// The result of `work`, which reads files, if it comes within `patience`.
pub(crate) fn aside<T: Clone + Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Undone> {
    let wait = Wait {
        by: Time::now() + patience,
        patience,
        interrupt: &Interrupt::default(),
    };
    Arc::new(Errand::default()).run(wait, work)
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// The work goes on.
    Late,
    Interrupted,
    /// The work could not begin.
    NoThread(String),
}

/// One piece of work that is done again and again, never twice at the same time: all callers that ask during a run
/// share the result of that run.
#[derive(Debug)]
pub(super) struct Errand<T>(Mutex<Runs<T>>);

#[derive(Debug)]
struct Runs<T> {
    /// When the run that is under way began.
    since: Option<Time>,
    begun: u64,
    /// The result of the last run; None if that run panicked.
    result: Option<T>,
    waiting: Vec<Interrupt>,
}

impl<T> Default for Errand<T> {
    fn default() -> Errand<T> {
        Errand(Mutex::new(
            Rank::Errand,
            Runs {
                since: None,
                begun: 0,
                result: None,
                waiting: Vec::new(),
            },
        ))
    }
}

impl<T: Clone + Send + 'static> Errand<T> {
    /// Runs `work`, or waits for the run that is under way, and answers with its result.
    pub(super) fn run(
        self: &Arc<Self>,
        wait: Wait<'_>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        // Before the mutex: `get` may wait for a fork.
        let running = RUNNING.get();
        let mut state = self.0.lock();
        let since = match state.since {
            Some(since) => since,
            None => {
                let me = self.clone();
                // The thread that ends the run waits for the mutex, which is locked here.
                let work = move || me.end(catch_unwind(AssertUnwindSafe(work)).ok());
                spawn(running, work)?;
                state.begun += 1;
                *state.since.insert(Time::now())
            }
        };
        let mine = state.begun;
        state.waiting.push(wait.interrupt.clone());
        drop(state);
        let by = wait.by.min(since + wait.patience);
        loop {
            let state = self.0.lock();
            if state.since.is_none() || state.begun > mine {
                let defect = || Undone::NoThread("a defect of libconsul_lock".to_owned());
                return state.result.clone().ok_or_else(defect);
            }
            drop(state);
            let why = match wait.interrupt.is_ended() {
                true => Undone::Interrupted,
                false if Time::now() >= by => Undone::Late,
                false => {
                    wait.interrupt.wait(by);
                    continue;
                }
            };
            let mut state = self.0.lock();
            state.waiting.retain(|other| !other.is(wait.interrupt));
            return Err(why);
        }
    }

    fn end(&self, result: Option<T>) {
        let mut state = self.0.lock();
        state.since = None;
        state.result = result;
        for waiting in state.waiting.drain(..) {
            waiting.wake();
        }
    }
}

fn spawn(running: Arc<AtomicUsize>, work: impl FnOnce() + Send + 'static) -> Result<(), Undone> {
    /// Counts the thread while it lives.
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::AcqRel);
        }
    }
    let before = running.fetch_add(1, Ordering::AcqRel);
    let counted = Counted(running);
    if before >= MOST {
        let why = format!("{MOST} look-ups of names and readings of files hang already");
        return Err(Undone::NoThread(why));
    }
    thread(STACK, move || {
        work();
        drop(counted);
    })
    .map_err(|error| Undone::NoThread(format!("cannot start a thread: {error}")))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    fn wait(interrupt: &Interrupt, ms: u64) -> Wait<'_> {
        Wait {
            by: Time::now() + Duration::from_millis(ms),
            patience: Duration::MAX,
            interrupt,
        }
    }

    #[test]
    fn all_callers_share_one_piece_of_work() {
        let errand = Arc::new(Errand::default());
        let (go, gone) = channel();
        let interrupt = Interrupt::default();
        let late = errand.run(wait(&interrupt, 20), move || gone.recv().map_err(drop));
        assert_eq!(late, Err(Undone::Late));
        let not_again = || panic!("it is being done");
        // The patience of this caller was over long ago.
        let impatient = Wait {
            patience: Duration::from_millis(1),
            ..wait(&interrupt, 60_000)
        };
        assert_eq!(errand.run(impatient, not_again), Err(Undone::Late));
        let over = Interrupt::default();
        over.end();
        let run = errand.run(wait(&over, 60_000), not_again);
        assert_eq!(run, Err(Undone::Interrupted));
        let (asking, cancelled) = (&errand, Interrupt::default());
        thread::scope(|scope| {
            let asks = || {
                let interrupt = Interrupt::default();
                errand.run(wait(&interrupt, 60_000), not_again)
            };
            let waiting = [scope.spawn(asks), scope.spawn(asks)];
            let cancelled = &cancelled;
            let other = scope.spawn(move || asking.run(wait(cancelled, 60_000), not_again));
            while errand.0.lock().waiting.len() < 3 {
                thread::yield_now();
            }
            cancelled.end();
            assert_eq!(other.join().unwrap(), Err(Undone::Interrupted));
            go.send(5).unwrap();
            for waiting in waiting {
                assert_eq!(waiting.join().unwrap(), Ok(Ok(5)));
            }
        });
        // The work can run again.
        let again = errand.run(wait(&Interrupt::default(), 60_000), || Ok(6));
        assert_eq!(again, Ok(Ok(6)));
        let broken = errand.run(wait(&Interrupt::default(), 60_000), || panic!("on purpose"));
        assert!(matches!(broken, Err(Undone::NoThread(_))), "{broken:?}");
    }
}
