//! What the library reads from files that may be replaced meanwhile: the token, certificates and keys.

use std::sync::Arc;

use super::errand::{Errand, Undone, Wait};
use crate::lockorder::{Mutex, Rank};
use crate::log::{self, Level};

/// The last content that could be read.
#[derive(Debug)]
pub(super) struct Replaceable<T> {
    inner: Arc<Latest<T>>,
    /// One thread at a time reads the files, and no thread holds a mutex meanwhile.
    reading: Arc<Errand<()>>,
}

#[derive(Debug)]
struct Latest<T> {
    current: Mutex<Arc<T>>,
    /// The beginning of the line of the log that says that new files cannot be used.
    complaint: &'static str,
    /// The last reason in the log: the library logs a reason once.
    logged: Mutex<String>,
}

impl<T: PartialEq + Send + Sync + 'static> Replaceable<T> {
    pub(super) fn new(first: T, complaint: &'static str) -> Replaceable<T> {
        Replaceable {
            inner: Arc::new(Latest {
                current: Mutex::new(Rank::Leaf, Arc::new(first)),
                complaint,
                logged: Mutex::new(Rank::Leaf, String::new()),
            }),
            reading: Arc::default(),
        }
    }

    pub(super) fn current(&self) -> Arc<T> {
        self.inner.current.lock().clone()
    }

    /// Whether there is other content than `used` by now. If there is none, `read` looks: it gets `used`, and gives
    /// None where nothing has changed. Files that cannot be read change nothing, and the log says so once.
    pub(super) fn has_newer(
        &self,
        used: &Arc<T>,
        wait: Wait<'_>,
        read: impl FnOnce(&T) -> Result<Option<T>, String> + Send + 'static,
    ) -> bool {
        let is_newer = || !Arc::ptr_eq(&self.current(), used);
        // Another thread may have read the files meanwhile.
        if !is_newer() {
            let (inner, used) = (self.inner.clone(), used.clone());
            let read = move || inner.take(read(&used));
            if let Err(Undone::Late) = self.reading.run(wait, read) {
                self.inner
                    .complain("the file was not read in time (is a file server gone?)");
            }
        }
        is_newer()
    }
}

impl<T: PartialEq> Latest<T> {
    fn take(&self, found: Result<Option<T>, String>) {
        match found {
            Err(why) => self.complain(&why),
            Ok(found) => {
                self.logged.lock().clear();
                let mut current = self.current.lock();
                if let Some(found) = found.filter(|found| *found != **current) {
                    *current = Arc::new(found);
                }
            }
        }
    }

    fn complain(&self, why: &str) {
        let mut logged = self.logged.lock();
        if *logged == why {
            return;
        }
        why.clone_into(&mut logged);
        drop(logged);
        log::write(Level::Warn, &format!("{}: {why}", self.complaint));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::clock::Time;
    use crate::consul::interrupt::Interrupt;

    #[test]
    fn a_file_that_cannot_be_read_delays_no_caller() {
        let replaceable = Replaceable::new(1, "of a test");
        let first = replaceable.current();
        let interrupt = Interrupt::default();
        let wait = |ms| Wait {
            by: Time::now() + Duration::from_millis(ms),
            patience: Duration::from_secs(60),
            interrupt: &interrupt,
        };
        let (go, gone) = channel();
        let hangs = move |_: &i32| {
            let _ = gone.recv();
            Ok(Some(2))
        };
        let not_again = |_: &i32| panic!("it is being read");
        assert!(!replaceable.has_newer(&first, wait(20), hangs));
        assert!(!replaceable.has_newer(&first, wait(20), not_again));
        assert_eq!(*replaceable.current(), 1);
        // The late result is not lost.
        go.send(()).expect("it waits");
        assert!(replaceable.has_newer(&first, wait(60_000), not_again));
        let second = replaceable.current();
        assert_eq!(*second, 2);
        assert!(!replaceable.has_newer(&second, wait(60_000), |_| Err("broken".to_owned())));
        assert!(!replaceable.has_newer(&second, wait(60_000), |_| Ok(None)));
        assert!(!replaceable.has_newer(&second, wait(60_000), |used| Ok(Some(*used))));
        assert!(Arc::ptr_eq(&second, &replaceable.current()));
    }
}
