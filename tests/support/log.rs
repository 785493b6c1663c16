//! What the library's log says. A process has one callback for it, and many tests that listen.

use std::sync::{Mutex, OnceLock};

use consul_lock::log::{Level, set_callback};

/// All that was said since the first test listened, from warnings on.
fn lines() -> &'static Mutex<Vec<String>> {
    static LINES: OnceLock<Mutex<Vec<String>>> = OnceLock::new();
    LINES.get_or_init(|| {
        let callback = |_, line: &str| lines().lock().expect("not poisoned").push(line.to_owned());
        set_callback(Some(Box::new(callback)), Level::Warn);
        Mutex::default()
    })
}

/// Hears what the log says from now on.
pub(crate) struct Log(usize);

impl Log {
    pub(crate) fn listen() -> Log {
        Log(lines().lock().expect("not poisoned").len())
    }

    /// The lines that have all of these words. One of them is this test's own: a key, an address.
    pub(crate) fn said(&self, words: &[&str]) -> Vec<String> {
        let lines = lines().lock().expect("not poisoned");
        let has_all = |line: &&String| words.iter().all(|word| line.contains(word));
        lines[self.0..].iter().filter(has_all).cloned().collect()
    }
}
