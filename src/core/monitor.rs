//! Watching the key of a held lock, so that the library finds a loss within a round trip and not at the end of the
//! lease: an agent that leaves, an operator or a deregistration ends a session early.
//!
//! The holder shares the watch of the key with the waiters of this process, and goes without when connections
//! are scarce (`watch.rs`).
//!
//! A lock of several keys has the watch of its first key. The end of the session removes all keys, so this watch finds
//! it. Another key may be deleted or taken alone: while the watch runs, the library also asks for all keys now and then.

use std::time::Duration;

use super::alarms::Owner;
use super::claim::Claim;
use super::context::Context;
use super::interface::{LockId, RequestId};
use super::life::Fate;
use super::messages::{Answer, Fault, Key, Request, SessionId};
use super::outbox::Outbox;
#[cfg(test)]
use super::sabotage::Sabotage;
use super::watch::{LONGEST_WATCH, Need, Observation};
use crate::clock::Time;
use crate::error::{LostReason, Status};

/// How long a lock is held before it is worth a connection; and the pause after a watch that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the library asks for all keys of a lock that has several. So often it renews a blocking query, too.
const PROOF: Duration = Duration::from_secs(5);

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
    /// When to ask for all keys, of a lock that has several.
    prove_at: Option<Time>,
    /// The question for all keys.
    proof: Option<RequestId>,
}

impl Monitor {
    /// `token`: the index at which this session changed the keys.
    pub(super) fn begin(now: Time, token: u64, claim: &Claim) -> Monitor {
        Monitor {
            index: token,
            at: Some(now + PAUSE),
            check: None,
            prove_at: claim.keys.are_several().then_some(now + PROOF),
            proof: None,
        }
    }

    /// When to call [`Monitor::tend`], at the latest.
    pub(super) fn next(&self) -> Option<Time> {
        self.at.into_iter().chain(self.prove_at).min()
    }

    /// Ends the watch, and the questions.
    pub(super) fn end(self, ctx: &mut Context, lock: LockId) {
        ctx.watches.unwatch(&mut ctx.out, lock);
        for question in self.check.into_iter().chain(self.proof) {
            ctx.out.abort(question);
        }
    }

    /// Asks for all keys, and begins to watch, when it is time.
    pub(super) fn tend(
        &mut self,
        ctx: &mut Context,
        lock: LockId,
        claim: &Claim,
        session: &SessionId,
    ) {
        let now = ctx.out.time();
        if self.prove_at.take_if(|at| now >= *at).is_some() {
            // The questions are as rare as the queries: a client with thousands of held locks watches few at a time.
            if ctx.watches.has_query(claim.keys.get(0)) {
                self.prove(&mut ctx.out, lock, claim, session);
            } else {
                self.prove_at = Some(now + PAUSE);
            }
        }
        if self.at.is_some_and(|at| now >= at) {
            self.at = None;
            let (index, need) = (self.index, Need::Courtesy);
            ctx.watches.watch(
                &mut ctx.out,
                lock,
                claim.row(),
                index,
                now + LONGEST_WATCH,
                need,
            );
        }
    }

    /// Asks the leader whether the session holds all keys.
    fn prove(&mut self, out: &mut Outbox, lock: LockId, claim: &Claim, session: &SessionId) {
        #[cfg(test)]
        if out.sabotaged(Sabotage::WatchesTheFirstAlone) {
            return;
        }
        let by = out.time() + out.config.request_timeout;
        let question = claim.proof_of(session);
        self.proof = Some(out.send(Owner::Upkeep(lock), question, by));
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

    /// Takes in the leader's answer about what the watch saw, or about all keys. None: the answer belongs to another
    /// request.
    pub(super) fn checked(
        &mut self,
        now: Time,
        session: &SessionId,
        request: RequestId,
        answer: &Result<Answer, Fault>,
    ) -> Option<Fate> {
        if self.proof.take_if(|proof| *proof == request).is_some() {
            self.prove_at = Some(now + PROOF);
            return Some(match answer {
                Ok(Answer::NotOurs { taken }) => Fate::Lost(Fate::not_ours(*taken)),
                Err(Fault::SessionGone(_)) => Fate::Lost(LostReason::SessionGone),
                _ => Fate::Stays,
            });
        }
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
