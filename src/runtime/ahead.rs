//! Sends a request of a call that does not wait on the thread of the caller, ahead of the worker that receives the answer.
//! So the wake-up of the worker costs no time: the worker wakes while Consul works.
//!
//! The caller only does what cannot block, on a connection that is open. All else is the worker's, as for every request: a
//! new connection, a newer token, another address, and what a failure means.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::requests::{Ahead, RequestJob};
use super::{Runtime, defect};
use crate::consul::encode::encode;
use crate::consul::http::HttpRequest;
use crate::core::messages::{Fault, Hold, Request};
use crate::core::{Input, Lane};

/// The longest request that the caller sends. A longer one takes time to encode, and more than a socket without a request
/// has room for.
const LONGEST: usize = 16 << 10;

impl Runtime {
    /// Gives the requests to the workers. One of them is sent before, if this thread can do that without waiting, and if a
    /// worker would take this request as the next one.
    pub(super) fn set_out(&self, mut jobs: Vec<RequestJob>) {
        let first = jobs.iter().position(|job| job.lane != Lane::Long);
        let lane = first.and_then(|at| jobs.get(at)).map(|job| job.lane);
        let team = lane.map(|lane| (self.workers.team(lane), lane));
        let reserved = team.and_then(|(team, lane)| team.reserve(lane));
        if let Some((at, reserved)) = first.zip(reserved) {
            let mut job = jobs.remove(at);
            // A panic in the library never reaches the host.
            match catch_unwind(AssertUnwindSafe(|| self.send_ahead(&job))) {
                Ok(ahead) => {
                    job.ahead = ahead;
                    reserved.fill(job);
                }
                Err(_) => {
                    drop(reserved);
                    jobs.extend(self.step(Input::Reply {
                        request: job.id,
                        sent: None,
                        answer: Err(Fault::Unknown(defect())),
                    }));
                }
            }
        }
        self.hand_over(jobs);
    }

    /// None: not one byte was sent.
    fn send_ahead(&self, job: &RequestJob) -> Option<Ahead> {
        #[cfg(test)]
        tests::reached(tests::Part::Begin);
        if value_length(&job.request) > LONGEST {
            return None;
        }
        let mut lent = self.wires.take_open(job.lane)?;
        let http = encode(&job.request, &self.scope);
        let fits = |http: &HttpRequest| {
            http.target.len() + http.body.as_ref().map_or(0, Vec::len) <= LONGEST
        };
        let Some(http) = http.filter(fits) else {
            lent.put();
            return None;
        };
        let sent = lent.wire()?.send_at_once(&http, &job.interrupt);
        #[cfg(test)]
        tests::reached(tests::Part::Sent);
        sent.then_some(Ahead { http, lent })
    }
}

/// The length of the value that a request stores.
fn value_length(request: &Request) -> usize {
    match request {
        Request::Lock { hold, .. } | Request::Take { hold, .. } => match hold {
            Hold::Exclusive { value } | Hold::Share { value, .. } => value.0.len(),
        },
        Request::Downgrade { value, .. }
        | Request::Upgrade { value, .. }
        | Request::Write {
            value: Some(value), ..
        } => value.0.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
