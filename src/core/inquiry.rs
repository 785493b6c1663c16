//! Who holds a key: one read, and one for the session's name.

use super::context::{Context, Owner};
use super::failures::Failures;
use super::messages::{Answer, Fault, Key, KeyRow, Request, SessionId, SessionRow};
use super::value;
use super::{CallId, Done, Holder, RequestId};
use crate::clock::Time;

const WHAT: &str = "could not look who holds the lock";

/// One question under way.
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
    pub(super) fn begin(ctx: &mut Context<'_>, call: CallId, key: Key) -> Inquiry {
        let by = ctx.time() + ctx.shared.config.request_timeout;
        let mut inquiry = Inquiry {
            call,
            key,
            by,
            found: None,
            request: None,
            failures: Failures::default(),
            again: None,
        };
        inquiry.ask(ctx);
        inquiry
    }

    pub(super) fn wake_at(&self) -> Option<Time> {
        self.again
    }

    pub(super) fn alarm(&mut self, ctx: &mut Context<'_>) {
        if self.again.is_some_and(|at| ctx.time() >= at) {
            self.again = None;
            self.ask(ctx);
        }
    }

    fn ask(&mut self, ctx: &mut Context<'_>) {
        let session = self.found.as_ref().and_then(|row| row.session.clone());
        let request = match session {
            Some(session) => Request::DescribeSession { session },
            None => Request::Read {
                key: self.key.clone(),
                consistent: false,
            },
        };
        self.request = Some(ctx.send(Owner::Inquiry(self.call), request, self.by));
    }

    /// True: it is over.
    pub(super) fn replied(
        &mut self,
        ctx: &mut Context<'_>,
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
                    self.ask(ctx);
                    return false;
                }
                Ok(Done::Holder(self.holder(None)))
            }
            Ok(Answer::Row { .. }) => Ok(Done::Holder(None)),
            Ok(Answer::Described(described)) => Ok(Done::Holder(self.holder(described))),
            Err(Fault::NotApplied(cause) | Fault::Unknown(cause)) => {
                let error = ctx.error_from(&cause, WHAT, &self.key);
                let at = ctx.time() + ctx.pause_after(&mut self.failures, &error);
                if at < self.by {
                    self.again = Some(at);
                    return false;
                }
                Err(error)
            }
            // The name is an extra: without it there is still the row.
            Err(_) if self.found.is_some() => Ok(Done::Holder(self.holder(None))),
            Err(fault) => Err(ctx.error_from(fault.error(), WHAT, &self.key)),
            Ok(_) => Ok(Done::Holder(self.holder(None))),
        };
        ctx.tell(self.call, outcome);
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
            since: value::claimed_at(&row.value),
            value: row.value,
        })
    }
}
