//! The threads of the library.

use std::time::Duration;

use crate::sys;

/// How long a thread waits for more to do before it ends.
pub(crate) const LINGER: Duration = Duration::from_secs(5);

/// As deep as a thread of Rust's own: for a thread on which the host's code may run.
pub(crate) const HOST_STACK: usize = 2 << 20;

/// A thread of the library's, which never sees the host's signals, with so much stack for what it runs.
pub(crate) fn thread(stack: usize, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let stack = stack.saturating_add(sys::stack_overhead());
    let builder = std::thread::Builder::new()
        .name("consul_lock".to_owned())
        .stack_size(stack);
    sys::without_signals(|| builder.spawn(run)).map(drop)
}
