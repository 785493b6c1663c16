//! The end of a run at Consul: the release of the lock, and of what the library keeps.

use std::time::Duration;

use consul_lock::client::shutdown_start;
use consul_lock::clock::Time;
use consul_lock::error::{Error, Status};
use consul_lock::lock::Lock;
use nix::sys::signal::Signal;

use super::events::{Event, Events, PASSED_ON};
use super::plan::Plan;
use super::terminal::{To, default_action};
use super::words::say;

/// How long this process waits at its end for what Consul has not answered yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long this process waits after a signal.
const MOMENT: Duration = Duration::from_secs(1);

/// What came of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    Yes,
    /// The lock had been lost before.
    Lost,
    /// Consul has not confirmed the release.
    Unknown,
}

/// Gives the lock back. A signal shortens the wait for Consul's confirmation.
/// `told`: the lock is lost, and people know it. Then there is little to give back, and the wait is short.
pub fn release(plan: &Plan, lock: &Lock, events: &Events, told: bool) -> Released {
    let outcome = match lock.release_start(events.completion()) {
        Ok(()) => done(events, None, told.then_some(PATIENCE)),
        Err(error) => Ok(Err(error)),
    };
    let released = match outcome {
        Ok(Ok(())) => Released::Yes,
        Ok(Err(error)) => {
            match error.status {
                Status::Lost if told => {}
                // The library's words are for programs: they tell them to call consul_lock_shutdown().
                Status::Unconfirmed => say(format!(
                    "could not confirm the release of the lock \"{}\": Consul did not answer in time; if the request \
                     did not arrive, the lock ends with its TTL (Consul may take up to twice as long)",
                    plan.label()
                )),
                _ => say(&error),
            }
            match error.status {
                Status::Lost => Released::Lost,
                _ => Released::Unknown,
            }
        }
        Err(Cut::Time) => Released::Unknown,
        Err(Cut::Signal(signal)) => {
            say(format!(
                "{signal} came before Consul confirmed the release of the lock \"{}\": if the request did not \
                 arrive, the lock ends with its TTL",
                plan.label()
            ));
            Released::Unknown
        }
    };
    if released != Released::Unknown {
        clean_up(events, None);
    }
    released
}

/// Ends the sessions that the library keeps, and what it has not undone yet.
/// `after`: the signal that is the cause.
pub fn clean_up(events: &Events, after: Option<Signal>) {
    if shutdown_start(PATIENCE, events.completion()).is_ok() {
        let _ = done(events, after, None);
    }
}

/// What has cut a wait short.
enum Cut {
    Signal(Signal),
    Time,
}

/// Waits for the end of a call of the library, for `at_most` this long. A signal shortens the wait to a moment, in
/// which a Consul that answers at all has answered; a second one ends the wait.
fn done(
    events: &Events,
    after: Option<Signal>,
    at_most: Option<Duration>,
) -> Result<Result<(), Error>, Cut> {
    let mut signalled = after;
    let mut by = at_most.map(|time| Time::now() + time);
    let hurry = |by: Option<Time>| {
        let moment = Time::now() + MOMENT;
        Some(by.map_or(moment, |by| by.min(moment)))
    };
    if after.is_some() {
        by = hurry(by);
    }
    loop {
        match (events.next(by), signalled) {
            (Event::Done(outcome), _) => return Ok(outcome),
            (Event::Signal(Signal::SIGTSTP), _) => default_action(Signal::SIGTSTP, To::This),
            (Event::Signal(signal), None) if PASSED_ON.contains(&signal) => {
                signalled = Some(signal);
                by = hurry(by);
            }
            (Event::Signal(signal), Some(_)) if PASSED_ON.contains(&signal) => {
                return Err(Cut::Signal(signal));
            }
            (Event::Time, Some(signal)) => return Err(Cut::Signal(signal)),
            (Event::Time, None) if by.is_some() => return Err(Cut::Time),
            _ => {}
        }
    }
}
