//! The log of the library: one callback in a process, which gets one line at a time.
//!
//! A thread of the log delivers the lines in order, never two at once and never on a thread of the host. So
//! neither a slow log nor a callback of a client can delay the other. [`MOST_QUEUED`] lines wait at most: the
//! library drops further ones, and the next line says how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crate::callbacks::{Callbacks, Seat};
pub use crate::core::Level;
use crate::fork;
use crate::lockorder::{Mutex, Rank};
use crate::text::one_line;

/// Gets each line. A line never contains a token, a stored value or a line break.
pub type LogCallback = Box<dyn Fn(Level, &str) + Send + Sync>;

/// The largest number of lines that wait for a slow callback.
const MOST_QUEUED: usize = 256;

/// The least important level that the host wants; 0: none.
static WANTED: AtomicU8 = AtomicU8::new(0);

/// Only touched inside [`fork::shared`]. No code of the host runs while it is locked.
static LOG: Mutex<Option<Log>> = Mutex::new(Rank::Process, None);

struct Log {
    listener: Arc<LogListener>,
    callbacks: Callbacks,
    /// Keeps the thread: the log must work on a host that gives no more threads.
    seat: Option<Seat>,
}

struct LogListener {
    callback: LogCallback,
    /// Another callback has taken its place: this one gets no more lines.
    replaced: AtomicBool,
    queued: AtomicUsize,
    dropped: AtomicU64,
}

impl LogListener {
    fn new(callback: LogCallback) -> Arc<LogListener> {
        Arc::new(LogListener {
            callback,
            replaced: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    fn hear(&self, level: Level, line: &str) {
        if !self.replaced.load(Ordering::Acquire) {
            (self.callback)(level, line);
        }
    }

    /// Delivers a line that has waited.
    fn hear_queued(&self, level: Level, line: &str) {
        self.hear(level, line);
        self.queued.fetch_sub(1, Ordering::AcqRel);
        let dropped = self.dropped.swap(0, Ordering::AcqRel);
        if dropped > 0 {
            let line = format!("the log callback is too slow: {dropped} lines were dropped");
            self.hear(Level::Warn, &line);
        }
    }
}

/// Sets the callback for the log of this process, from `level` up; None turns the log off. The callback
/// before may still run when this returns; it is dropped after its last call. In a child after a fork the
/// same callback gets the lines of the child, and none of the parent's.
pub fn set_callback(callback: Option<LogCallback>, level: Level) {
    let log = callback.map(|callback| {
        let callbacks = Callbacks::default();
        Log {
            listener: LogListener::new(callback),
            // Where the system gives no thread, the next line asks again.
            seat: callbacks.seat().ok(),
            callbacks,
        }
    });
    let wanted = log.as_ref().map_or(0, |_| level as u8);
    let before = {
        let _inside = fork::shared();
        WANTED.store(wanted, Ordering::Release);
        std::mem::replace(&mut *LOG.lock(), log)
    };
    if let Some(log) = before {
        log.listener.replaced.store(true, Ordering::Release);
    }
}

/// Logs a line, if the host wants its level. Never blocks.
pub(crate) fn write(level: Level, line: &str) {
    if level as u8 > WANTED.load(Ordering::Acquire) {
        return;
    }
    let _inside = fork::shared();
    let mut log = LOG.lock();
    let Some(Log {
        listener,
        callbacks,
        seat,
    }) = log.as_mut()
    else {
        return;
    };
    if !callbacks.generation().is_current() {
        // The lines that wait are the parent's.
        *seat = None;
        *callbacks = Callbacks::default();
        listener.queued.store(0, Ordering::Release);
        listener.dropped.store(0, Ordering::Release);
    }
    if seat.is_none() {
        *seat = callbacks.seat().ok();
    }
    if listener.queued.fetch_add(1, Ordering::AcqRel) >= MOST_QUEUED {
        listener.queued.fetch_sub(1, Ordering::AcqRel);
        listener.dropped.fetch_add(1, Ordering::AcqRel);
        return;
    }
    let hearing = listener.clone();
    let line = one_line(line, usize::MAX);
    if callbacks
        .run(move || hearing.hear_queued(level, &line))
        .is_err()
    {
        // The system gives no thread.
        listener.queued.fetch_sub(1, Ordering::AcqRel);
        listener.dropped.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use super::*;

    /// The tests of this module take turns, because they use the one log of the process.
    static ALONE: Mutex<()> = Mutex::new(());

    fn listen(level: Level) -> Receiver<(Level, String)> {
        let (told, heard) = channel();
        let told = Mutex::new(told);
        let callback = move |level, line: &str| {
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = told.send((level, line.to_owned()));
        };
        set_callback(Some(Box::new(callback)), level);
        heard
    }

    fn next(heard: &Receiver<(Level, String)>) -> (Level, String) {
        // Other tests of this process log, too.
        loop {
            let line = heard
                .recv_timeout(Duration::from_secs(20))
                .expect("a line comes");
            if line.1.starts_with("the log") {
                return line;
            }
        }
    }

    #[test]
    fn one_hears_its_levels_in_order_until_it_is_replaced() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = listen(Level::Warn);
        write(Level::Debug, "the log: debug");
        write(Level::Info, "the log: info");
        write(Level::Warn, "the log: two\nlines\0");
        write(Level::Error, "the log: error");
        assert_eq!(
            next(&heard),
            (Level::Warn, "the log: two lines?".to_owned())
        );
        assert_eq!(next(&heard), (Level::Error, "the log: error".to_owned()));
        let other = listen(Level::Debug);
        write(Level::Debug, "the log: debug");
        assert_eq!(next(&other).1, "the log: debug");
        assert!(
            !heard.iter().any(|(_, line)| line.starts_with("the log")),
            "the first is gone, and heard no more"
        );
        set_callback(None, Level::Debug);
        write(Level::Error, "the log: without a callback");
        assert!(!other.iter().any(|(_, line)| line.starts_with("the log")));
    }

    #[test]
    fn a_slow_one_loses_lines_and_is_told_how_many() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (go, wait) = channel::<()>();
        let (told, heard) = channel();
        let inside = Mutex::new((wait, told));
        let callback = move |_, line: &str| {
            let inside = inside.lock().unwrap_or_else(PoisonError::into_inner);
            // Blocks at the first line, until the other end is dropped.
            let _ = inside.0.recv();
            let _ = inside.1.send(line.to_owned());
        };
        // Nothing of the other tests of this process is an error.
        set_callback(Some(Box::new(callback)), Level::Error);
        for number in 0..MOST_QUEUED + 50 {
            write(Level::Error, &format!("the log: {number}"));
        }
        drop(go);
        let mut lines = Vec::new();
        for _ in 0..=MOST_QUEUED {
            let line = heard.recv_timeout(Duration::from_secs(20));
            lines.push(line.expect("it goes on"));
        }
        set_callback(None, Level::Error);
        assert_eq!(lines.first().map(String::as_str), Some("the log: 0"));
        let dropped = lines.iter().position(|line| line.contains("50 lines"));
        assert_eq!(dropped, Some(1), "{lines:?}");
        let last = format!("the log: {}", MOST_QUEUED - 1);
        assert_eq!(lines.last(), Some(&last));
    }
}
