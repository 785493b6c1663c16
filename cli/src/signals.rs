//! The signals that end a command which waits or watches: it cleans up, and ends with 128 and the number.

use std::process;
use std::thread;

use nix::sys::signal::{SigSet, Signal};

/// Runs `before` on INT, TERM and HUP, and ends the process. Called before the library makes its threads, so that
/// the signals are for the thread that this function makes.
pub fn end_on_signal(before: impl FnOnce(Signal) + Send + 'static) {
    let mut ending = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        ending.add(signal);
    }
    // Where a signal cannot be blocked, it ends the process as without this function.
    if ending.thread_block().is_err() {
        return;
    }
    thread::spawn(move || {
        if let Ok(signal) = ending.wait() {
            before(signal);
            process::exit(128 + signal as i32);
        }
    });
}
