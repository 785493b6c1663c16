//! Processes that a test has stopped.

use std::fs;

use super::consul::until;

/// Waits until a process that was sent SIGSTOP stands still: one thread takes the signal and tells the others, and on a
/// busy machine they run until then.
pub(crate) fn stands_still(pid: u32) {
    let threads = format!("/proc/{pid}/task");
    until("each of its threads is stopped", || {
        let threads = fs::read_dir(&threads).expect("its threads");
        threads.flatten().all(|thread| {
            // 1234 (consul) T ...; of one that has just ended there is none.
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            state.is_empty() || state.starts_with(['T', 't', 'Z', 'X'])
        })
    });
}
