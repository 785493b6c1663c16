//! What a run says to people: on the standard error, and in the name of its session.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Display;
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::gethostname;

use super::plan::Plan;
use super::writer::write_to_standard_error;
use crate::output;

/// Prints a line for people to the standard error, and does not wait for the reader: this process must never wait for a
/// reader while it looks after a command. No word is said before the guard was forked, except by a run that ends there.
pub fn say(text: impl Display) {
    if write_to_standard_error(output::line(&text)) {
        return;
    }
    let stderr = std::io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut ready, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
        output::say(text);
    }
}

/// The name of the session, in the form of the library's own, with the command as the program: an operator who asks for
/// the holder wants to know the command.
pub fn session_name(plan: &Plan) -> String {
    let plain = |text: Cow<'_, str>| -> String {
        let printable = |c: char| if c.is_ascii_graphic() { c } else { '_' };
        text.chars().map(printable).take(64).collect()
    };
    let program = Path::new(&plan.program)
        .file_name()
        .unwrap_or(OsStr::new("consul-lock"));
    let host = gethostname().unwrap_or_default();
    format!(
        "consul_lock {}@{}:{}",
        plain(program.to_string_lossy()),
        plain(host.to_string_lossy()),
        std::process::id()
    )
}
