//! The threads of the library.

use std::time::Duration;

use crate::sys;

/// How long a thread stays idle before it ends.
pub(crate) const LINGER: Duration = Duration::from_secs(5);

/// The stack of a thread that may run code of the host, as large as that of Rust's own threads.
pub(crate) const HOST_STACK: usize = 2 << 20;

/// Starts a thread with so much stack for `run`. It never gets the host's signals.
pub(crate) fn thread(stack: usize, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let stack = stack.saturating_add(sys::stack_overhead());
    let builder = std::thread::Builder::new()
        .name("consul_lock".to_owned())
        .stack_size(stack);
    sys::without_signals(|| builder.spawn(run)).map(drop)
}
