//! The question for all that hold a key or wait for it: one read of the key, one of what stands below it, and one of
//! each session for its name.
//!
//! The reads are not of one instant: a lock that changes hands in between may show twice, or not at all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::alarms::Owner;
use super::failures::Failures;
use super::interface::{CallId, Done, Holder, Holders, Party, RequestId, Role};
use super::locked_at;
use super::messages::{
    Answer, Below, Fault, Key, KeyRow, Request, See, SessionId, SessionRow, Sharers, Ticket, Value,
    Want,
};
use super::outbox::Outbox;
use crate::clock::Time;
use crate::error::{Error, Status};

const WHAT: &str = "could not read the holders of the lock";

/// The library asks for the names of so many sessions at most.
const MOST_NAMES: usize = 64;

/// So many sessions are asked for at once.
const NAMES_AT_ONCE: usize = 8;

/// One such question under way.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(super) struct Census {
    call: CallId,
    key: Key,
    by: Time,
    /// The row of the key, once Consul has shown it.
    row: Option<Option<KeyRow>>,
    /// What stands below the key, once Consul has shown it.
    below: Option<Below>,
    /// The requests for the two on their way.
    reading: [Option<RequestId>; 2],
    /// The sessions without a name yet.
    nameless: VecDeque<SessionId>,
    naming: BTreeMap<RequestId, SessionId>,
    names: BTreeMap<SessionId, SessionRow>,
    failures: Failures,
    again: Option<Time>,
}

impl Census {
    pub(super) fn begin(out: &mut Outbox, call: CallId, key: Key) -> Census {
        let by = out.time() + out.config.request_timeout;
        let mut census = Census {
            call,
            key,
            by,
            row: None,
            below: None,
            reading: [None; 2],
            nameless: VecDeque::new(),
            naming: BTreeMap::new(),
            names: BTreeMap::new(),
            failures: Failures::default(),
            again: None,
        };
        census.ask(out);
        census
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

    /// Asks what is not known and not on its way, unless there is a pause.
    fn ask(&mut self, out: &mut Outbox) {
        if self.again.is_some() {
            return;
        }
        let owner = Owner::Census(self.call);
        let [row, below] = &mut self.reading;
        if self.row.is_none() && row.is_none() {
            let request = Request::Read {
                key: self.key.clone(),
                consistent: false,
            };
            *row = Some(out.send(owner, request, self.by));
        }
        if self.below.is_none() && below.is_none() {
            let request = Request::ReadLine {
                keys: vec![self.key.clone()],
                see: See {
                    line: true,
                    sharers: Sharers::All,
                },
            };
            *below = Some(out.send(owner, request, self.by));
        }
        while self.naming.len() < NAMES_AT_ONCE
            && let Some(session) = self.nameless.pop_front()
        {
            let request = Request::DescribeSession {
                session: session.clone(),
            };
            let request = out.send(owner, request, self.by);
            self.naming.insert(request, session);
        }
    }

    /// True: the question is over, and the caller has the outcome.
    pub(super) fn replied(
        &mut self,
        out: &mut Outbox,
        request: RequestId,
        answer: Result<Answer, Fault>,
    ) -> bool {
        let outcome = match self.naming.remove(&request) {
            Some(session) => {
                self.named(out, session, answer);
                Ok(())
            }
            None => {
                for reading in &mut self.reading {
                    reading.take_if(|id| *id == request);
                }
                self.read(out, answer)
            }
        };
        if outcome.is_ok() {
            self.ask(out);
            let is_known = self.row.is_some() && self.below.is_some();
            if !is_known || !self.nameless.is_empty() || !self.naming.is_empty() {
                return false;
            }
        }
        for request in self.reading.into_iter().flatten() {
            out.abort(request);
        }
        out.tell(self.call, outcome.map(|()| Done::Holders(self.holders())));
        true
    }

    fn read(&mut self, out: &mut Outbox, answer: Result<Answer, Fault>) -> Result<(), Error> {
        match answer {
            Ok(Answer::Row { row, .. }) => self.row = Some(row),
            Ok(Answer::Line(below)) => {
                self.below = Some(below.into_iter().next().unwrap_or_default())
            }
            Ok(_) => {}
            // As a question for the holder does, this one takes a token that Consul does not know for an answer.
            Err(Fault::NotApplied(cause) | Fault::Unknown(cause))
                if cause.status != Status::Denied =>
            {
                let error = out.error_from(&cause, WHAT, &self.key);
                return self.pause(out, &error).ok_or(error);
            }
            Err(fault) => return Err(out.error_from(fault.error(), WHAT, &self.key)),
        }
        if let (Some(row), Some(below)) = (&self.row, &self.below) {
            let holder = row.as_ref().and_then(|row| row.session.as_ref());
            let sharers = below.sharers.iter().map(|sharer| &sharer.session);
            let waiters = below.line.iter().map(|ticket| &ticket.session);
            let sessions = holder.into_iter().chain(sharers).chain(waiters);
            let mut seen = BTreeSet::new();
            let new = sessions.filter(|id| id.is_readable() && seen.insert(*id));
            self.nameless = new.take(MOST_NAMES).cloned().collect();
        }
        Ok(())
    }

    /// A session that Consul does not describe has no name.
    fn named(&mut self, out: &mut Outbox, session: SessionId, answer: Result<Answer, Fault>) {
        match answer {
            Ok(Answer::Described(Some(row))) => {
                self.names.insert(session, row);
            }
            Err(Fault::NotApplied(cause) | Fault::Unknown(cause))
                if cause.status != Status::Denied =>
            {
                let error = out.error_from(&cause, WHAT, &self.key);
                if self.pause(out, &error).is_some() {
                    self.nameless.push_back(session);
                } else {
                    self.nameless.clear();
                }
            }
            _ => {}
        }
    }

    /// Waits before the next request. None: the time of the question is over.
    fn pause(&mut self, out: &mut Outbox, error: &Error) -> Option<()> {
        let at = out.time() + self.failures.pause_after(out, error);
        (at < self.by).then(|| self.again = Some(at))
    }

    fn holders(&mut self) -> Holders {
        let row = self.row.take().flatten();
        let Below {
            mut line,
            mut sharers,
        } = self.below.take().unwrap_or_default();
        line.sort_by_key(Ticket::identity);
        sharers.sort_by_key(|sharer| (sharer.create_index, sharer.slot));
        let exclusive = row.and_then(|row| {
            let holder = self.holder(row.session?, row.modify_index, row.value);
            Some(Party {
                role: Role::Exclusive,
                holder,
                want: Want::Exclusive,
                slot: None,
                keys: Vec::new(),
            })
        });
        let sharers = sharers.into_iter().map(|sharer| Party {
            role: Role::Sharer,
            holder: self.holder(sharer.session, sharer.modify_index, sharer.value),
            want: Want::Share(sharer.limit),
            slot: Some(sharer.slot),
            keys: Vec::new(),
        });
        let waiters = line.into_iter().map(|ticket| Party {
            role: Role::Waiter,
            holder: self.holder(ticket.session, 0, Value(Vec::new().into())),
            want: ticket.want,
            slot: None,
            keys: ticket.several.map(|keys| keys.to_vec()).unwrap_or_default(),
        });
        Holders {
            key: self.key.clone(),
            all: exclusive
                .into_iter()
                .chain(sharers)
                .chain(waiters)
                .collect(),
        }
    }

    fn holder(&self, session: SessionId, index: u64, value: Value) -> Holder {
        let row = self.names.get(&session);
        Holder {
            name: row.map(|row| row.name.clone()),
            node: row.map(|row| row.node.clone()),
            ttl: row.and_then(|row| row.ttl),
            session,
            fencing_token: index,
            since: locked_at::claimed_at(&value),
            value,
        }
    }
}
