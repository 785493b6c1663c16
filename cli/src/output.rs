//! What the command says: answers on the standard output, all else on the standard error.

use std::fmt::Display;
use std::io::Write as _;

use consul_lock::error::Error;

use crate::exit::Exit;

/// Prints a line for people to the standard error, after the name of the command. A standard error that is closed
/// ends nothing.
pub fn say(text: impl Display) {
    let _ = std::io::stderr().write_all(line(text).as_bytes());
}

/// A line for people.
pub fn line(text: impl Display) -> String {
    format!("consul-lock: {text}\n")
}

/// Prints an answer to the standard output. False: the reader has gone.
#[must_use]
pub fn print(text: impl Display) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

/// Prints an error of the library as it is, and gives the exit status for it.
pub fn failed(error: &Error) -> Exit {
    say(&error.message);
    Exit::of(error)
}
