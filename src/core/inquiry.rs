//! The question for the holder of a key: one read of the key, and one of the session.

use super::alarms::Owner;
use super::failures::Failures;
use super::interface::{CallId, Done, Holder, RequestId};
use super::locked_at;
use super::messages::{Answer, Fault, Key, KeyRow, Request, SessionId, SessionRow};
use super::outbox::Outbox;
use crate::clock::Time;
use crate::error::Status;

const WHAT: &str = "could not read the holder of the lock";

/// One such question under way.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct Inquiry {
    call: CallId,
    key: Key,
    by: Time,
    found: Option<KeyRow>,
    request: Option<RequestId>,
    failures: Failures,
    again: Option<Time>,
}

impl Inquiry {
    pub(super) fn begin(out: &mut Outbox, call: CallId, key: Key) -> Inquiry {
        let by = out.time() + out.config.request_timeout;
        let mut inquiry = Inquiry {
            call,
            key,
            by,
            found: None,
            request: None,
            failures: Failures::default(),
            again: None,
        };
        inquiry.ask(out);
        inquiry
    }

    pub(super) fn wake_at(&self) -> Option<Time> {
        self.again
    }

    pub(super) fn alarm(&mut self, out: &mut Outbox) {
        if self.again.is_some_and(|at| out.time() >= at) {
            self.again = None;
            self.ask(out);
        }
    }

    fn ask(&mut self, out: &mut Outbox) {
        let session = self.found.as_ref().and_then(|row| row.session.clone());
        let request = match session {
            Some(session) => Request::DescribeSession { session },
            None => Request::Read {
                key: self.key.clone(),
                consistent: false,
            },
        };
        self.request = Some(out.send(Owner::Inquiry(self.call), request, self.by));
    }

    /// True: the question is over, and the caller has the outcome.
    pub(super) fn replied(
        &mut self,
        out: &mut Outbox,
        request: RequestId,
        answer: Result<Answer, Fault>,
    ) -> bool {
        if self.request != Some(request) {
            return false;
        }
        let outcome = match answer {
            Ok(Answer::Row { row: Some(row), .. }) if row.session.is_some() => {
                let known = row.session.as_ref().is_some_and(SessionId::is_readable);
                self.found = Some(row);
                if known {
                    self.ask(out);
                    return false;
                }
                Ok(Done::Holder(self.holder(None)))
            }
            Ok(Answer::Row { .. }) => Ok(Done::Holder(None)),
            Ok(Answer::Described(described)) => Ok(Done::Holder(self.holder(described))),
            // A token that Consul does not know yet is an answer: the caller of a question waits for none.
            Err(Fault::NotApplied(cause) | Fault::Unknown(cause))
                if cause.status != Status::Denied =>
            {
                let error = out.error_from(&cause, WHAT, &self.key);
                let at = out.time() + self.failures.pause_after(out, &error);
                if at < self.by {
                    self.again = Some(at);
                    return false;
                }
                Err(error)
            }
            // Without the name of the session, the row still names the holder.
            Err(_) if self.found.is_some() => Ok(Done::Holder(self.holder(None))),
            Err(fault) => Err(out.error_from(fault.error(), WHAT, &self.key)),
            Ok(_) => Ok(Done::Holder(self.holder(None))),
        };
        out.tell(self.call, outcome);
        true
    }

    fn holder(&mut self, described: Option<SessionRow>) -> Option<Holder> {
        let row = self.found.take()?;
        let ttl = described.as_ref().and_then(|session| session.ttl);
        let (name, node) = described
            .map(|session| (session.name, session.node))
            .unzip();
        Some(Holder {
            session: row.session?,
            name,
            node,
            ttl,
            fencing_token: row.modify_index,
            since: locked_at::claimed_at(&row.value),
            value: row.value,
        })
    }
}
