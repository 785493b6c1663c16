//! The end of a run at Consul: the release of the lock, and of what the library keeps.

use std::time::Duration;

use consul_lock::client::shutdown_start;
use consul_lock::error::{Error, Status};
use consul_lock::lock::Lock;
use nix::sys::signal::Signal;

use super::events::{Event, Events, PASSED_ON};
use super::plan::Plan;
use super::terminal::{To, default_action};
use super::words::say;

/// How long this process waits at its end for what Consul has not answered yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// What came of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    Yes,
    /// The lock had been lost before.
    Lost,
    /// Consul has not confirmed the release.
    Unknown,
}

/// Gives the lock back. A signal ends the wait for Consul's confirmation.
pub fn release(plan: &Plan, lock: &Lock, events: &Events) -> Released {
    let outcome = match lock.release_start(events.completion()) {
        Ok(()) => done(events),
        Err(error) => Ok(Err(error)),
    };
    let released = match outcome {
        Ok(Ok(())) => Released::Yes,
        Ok(Err(error)) => {
            // A loss during the life of the command was said then.
            if !matches!(error.status, Status::NotHeld) {
                say(&error);
            }
            match error.status {
                Status::Lost => Released::Lost,
                _ => Released::Unknown,
            }
        }
        Err(signal) => {
            say(format!(
                "{signal} came before Consul confirmed the release of the lock \"{}\": if the request did not \
                 arrive, the lock ends with its TTL",
                plan.label()
            ));
            Released::Unknown
        }
    };
    if released != Released::Unknown {
        clean_up(events);
    }
    released
}

/// Ends the sessions that the library keeps, and what it has not undone yet.
pub fn clean_up(events: &Events) {
    if shutdown_start(PATIENCE, events.completion()).is_ok() {
        let _ = done(events);
    }
}

/// Waits for the end of a call of the library, or for a signal that ends this process.
fn done(events: &Events) -> Result<Result<(), Error>, Signal> {
    loop {
        match events.next(None) {
            Event::Done(outcome) => return Ok(outcome),
            Event::Signal(Signal::SIGTSTP) => default_action(Signal::SIGTSTP, To::This),
            Event::Signal(signal) if PASSED_ON.contains(&signal) => return Err(signal),
            Event::Signal(_) | Event::LockChanged | Event::Time => {}
        }
    }
}
