//! Performs requests: on which connection, and how often.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::stats::RequestKind;
use super::wires::Lent;
use super::{Runtime, defect};
use crate::clock::Time;
use crate::consul::encode::encode;
use crate::consul::http::{Exchange, HttpRequest};
use crate::consul::interrupt::Interrupt;
use crate::consul::transport::Wire;
use crate::consul::verdict::verdict;
use crate::core::messages::{Answer, Fault, Request};
use crate::core::{Input, Lane, LockId, RequestId};
use crate::error::{Error, Status};

/// A request to perform.
#[derive(Debug)]
pub(super) struct RequestJob {
    pub(super) id: RequestId,
    pub(super) request: Request,
    pub(super) by: Time,
    pub(super) lane: Lane,
    pub(super) lock: Option<LockId>,
    pub(super) interrupt: Interrupt,
    /// The request was sent already.
    pub(super) ahead: Option<Ahead>,
}

/// A request that the thread of the caller has sent, and whose answer is to be received.
#[derive(Debug)]
pub(super) struct Ahead {
    pub(super) http: HttpRequest,
    pub(super) lent: Lent,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) interrupt: Interrupt,
    pub(super) kind: RequestKind,
}

impl Runtime {
    /// Asks Consul, and takes the answer to the core. Returns the requests that follow.
    pub(super) fn perform(&self, mut job: RequestJob, wire: Option<Lent>) -> Vec<RequestJob> {
        let ahead = job.ahead.take();
        let performed = catch_unwind(AssertUnwindSafe(|| self.ask(&job, ahead, wire)));
        let (sent, answer) = performed.unwrap_or_else(|_| (None, Err(Fault::Unknown(defect()))));
        self.step(Input::Reply {
            request: job.id,
            sent,
            answer,
        })
    }

    /// The instant before the first byte was sent, and the answer. Another address or another connection
    /// gets the request where the first one surely did not take it.
    fn ask(
        &self,
        job: &RequestJob,
        ahead: Option<Ahead>,
        wire: Option<Lent>,
    ) -> (Option<Time>, Result<Answer, Fault>) {
        let not_sent = |status, why: &str| (None, Err(Fault::NotApplied(Error::new(status, why))));
        let mut is_sent = ahead.is_some();
        let (http, mut old) = match ahead {
            Some(Ahead { http, lent }) => (Some(http), Some(lent)),
            None => (encode(&job.request, &self.scope), wire),
        };
        let Some(http) = http else {
            let why = "the system gives no memory for the request";
            return not_sent(Status::NoResources, why);
        };
        loop {
            let mut lent = old.take().or_else(|| self.wires.open(job.lane, job.by));
            let Some(wire) = lent.as_mut().and_then(Lent::wire) else {
                let why = "no connection was free in time: too many requests at once";
                return not_sent(Status::Unavailable, why);
            };
            let is_sent = std::mem::take(&mut is_sent);
            let (complete, sent, answer) = self.exchange(wire, job, &http, is_sent);
            let again = match &answer {
                _ if job.interrupt.is_ended() => false,
                // That agent said that it cannot serve. Another one may, and is asked at once: some
                // calls have no second attempt.
                Err(Fault::NotApplied(why)) if why.http_status.is_some() => {
                    self.wires.has_better(wire)
                }
                Err(Fault::NotApplied(why)) if why.status == Status::NoResources => {
                    old = lent.take_if(Lent::falls_back);
                    old.is_some()
                }
                _ => false,
            };
            if let (true, Some(lent)) = (complete, lent) {
                lent.put();
            }
            if !again {
                return (sent, answer);
            }
        }
    }

    /// Sends the request, unless that was done, and receives the answer. Sends it again where Consul refused the token and
    /// there is another one by now. Says first whether the connection can be used again.
    fn exchange(
        &self,
        wire: &mut Wire,
        job: &RequestJob,
        http: &HttpRequest,
        mut is_sent: bool,
    ) -> (bool, Option<Time>, Result<Answer, Fault>) {
        let (by, interrupt) = (job.by, &job.interrupt);
        let mut again = false;
        loop {
            let Exchange { sent, result } = match std::mem::take(&mut is_sent) {
                true => wire.receive(http, by, interrupt),
                false => wire.perform(http, by, interrupt),
            };
            let complete = result.is_ok();
            let answer = verdict(&job.request, result);
            match &answer {
                Err(Fault::Final(error) | Fault::NotApplied(error))
                    if error.status == Status::Denied && !again =>
                {
                    again = wire.has_newer_token(by, interrupt);
                    if again {
                        continue;
                    }
                }
                Err(Fault::NotApplied(_) | Fault::Unknown(_)) if !interrupt.is_ended() => {
                    self.wires.note_failure(wire);
                }
                _ => {}
            }
            return (complete, sent, answer);
        }
    }

    /// Answers a request that the library could not send: Consul surely did not apply it.
    pub(super) fn refuse(&self, job: RequestJob, why: Error) -> Vec<RequestJob> {
        self.step(Input::Reply {
            request: job.id,
            sent: None,
            answer: Err(Fault::NotApplied(why)),
        })
    }

    /// Gives the requests to the workers.
    pub(super) fn hand_over(&self, jobs: Vec<RequestJob>) {
        let mut jobs = VecDeque::from(jobs);
        while let Some(job) = jobs.pop_front() {
            if let Some((job, why)) = self.submit(job) {
                jobs.extend(self.refuse(job, why));
            }
        }
    }
}
