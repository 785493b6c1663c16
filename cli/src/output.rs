//! What the command says: answers on the standard output, all else on the standard error.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};

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

/// Prints an answer to the standard output. False: the reader has gone, as with `head`, and wants no more. Any other
/// failure is said, and is the end of the command: an answer that is lost is no success.
pub fn print(text: impl Display) -> Result<bool, Exit> {
    print_after("", text)
}

/// As [`print()`], by a command that has done its work: the message of a failure begins with what was done.
pub fn print_after(done: &str, text: impl Display) -> Result<bool, Exit> {
    let mut out = std::io::stdout().lock();
    written(done, writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// The rule of [`print()`], for what was written in another way.
pub fn written(done: &str, outcome: std::io::Result<()>) -> Result<bool, Exit> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            say(format!(
                "{done}could not write to the standard output: {error}"
            ));
            Err(Exit::Unwritten)
        }
    }
}

/// Prints an error of the library as it is, and gives the exit status for it.
pub fn failed(error: &Error) -> Exit {
    say(&error.message);
    Exit::of(error)
}
