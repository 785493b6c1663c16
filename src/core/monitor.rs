//! Watching the key of a held lock, so that the library finds a loss within a round trip and not at the end of the
//! lease: an agent that leaves, an operator or a deregistration ends a session early.
//!
//! The holder shares the watch of the key with the waiters of this process, and goes without when connections
//! are scarce (`watch.rs`).

use std::time::Duration;

use super::alarms::Owner;
use super::context::Context;
use super::interface::{LockId, RequestId};
use super::life::Fate;
use super::messages::{Answer, Fault, Key, Request, SessionId};
use super::outbox::Outbox;
use super::watch::{LONGEST_WATCH, Need, Observation};
use crate::clock::Time;
use crate::error::Status;

/// How long a lock is held before it is worth a connection; and the pause after a watch that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The watch of one held lock.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct Monitor {
    /// From which index on to watch.
    index: u64,
    /// When to begin.
    at: Option<Time>,
    /// The check of what the watch saw: a server that lags behind says what was.
    check: Option<RequestId>,
}

impl Monitor {
    /// `token`: the index at which this session changed the key.
    pub(super) fn begin(now: Time, token: u64) -> Monitor {
        Monitor {
            index: token,
            at: Some(now + PAUSE),
            check: None,
        }
    }

    /// When to call [`Monitor::tend`], at the latest.
    pub(super) fn next(&self) -> Option<Time> {
        self.at
    }

    /// Ends the watch, and the check.
    pub(super) fn end(self, ctx: &mut Context, lock: LockId) {
        ctx.watches.unwatch(&mut ctx.out, lock);
        if let Some(check) = self.check {
            ctx.out.abort(check);
        }
    }

    /// Begins to watch when it is time.
    pub(super) fn tend(&mut self, ctx: &mut Context, lock: LockId, key: &Key) {
        let now = ctx.out.time();
        if self.at.is_some_and(|at| now >= at) {
            self.at = None;
            let (index, need) = (self.index, Need::Courtesy);
            ctx.watches.watch(
                &mut ctx.out,
                lock,
                key.clone(),
                index,
                now + LONGEST_WATCH,
                need,
            );
        }
    }

    /// Takes in what the watch of the key found. False: the watch will never find anything.
    pub(super) fn saw(
        &mut self,
        out: &mut Outbox,
        lock: LockId,
        key: &Key,
        session: &SessionId,
        news: Observation,
    ) -> bool {
        let now = out.time();
        match news {
            Observation::Row {
                row: Some(row),
                index,
            } if row.session.as_ref() == Some(session) => {
                self.index = index;
                self.at = Some(now);
            }
            Observation::Row { .. } | Observation::Gone => {
                let request = Request::Read {
                    key: key.clone(),
                    consistent: true,
                };
                let by = now + out.config.request_timeout;
                self.check = Some(out.send(Owner::Upkeep(lock), request, by));
            }
            // The token may not read the key: the lock goes without a watch.
            Observation::Refused(error) if error.status == Status::Denied => return false,
            // What is not Consul's (a page of a proxy) says nothing about the next answer.
            Observation::Nothing
            | Observation::Names { .. }
            | Observation::Failed(_)
            | Observation::Refused(_) => {
                self.at = Some(now + PAUSE);
            }
        }
        true
    }

    /// Takes in the leader's answer about what the watch saw. None: the answer belongs to another request.
    pub(super) fn checked(
        &mut self,
        now: Time,
        session: &SessionId,
        request: RequestId,
        answer: &Result<Answer, Fault>,
    ) -> Option<Fate> {
        self.check.take_if(|check| *check == request)?;
        let fate = match answer {
            Ok(Answer::Row { row, index }) => {
                let fate = Fate::of_row(row.as_ref(), session);
                if fate == Fate::Stays {
                    self.index = *index;
                }
                fate
            }
            _ => Fate::Stays,
        };
        if fate == Fate::Stays {
            self.at = Some(now + PAUSE);
        }
        Some(fate)
    }
}
