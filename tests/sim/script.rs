//! What the scripted shares, gates, changes and locks of several keys have in common.

use std::time::Duration;

use super::late::{Bench, TTL, is_destroy, is_watch, row_of};
use crate::core::messages::{
    Answer, Below, Fault, Hold, Limit, Request, SessionId, Sharer, Slot, Ticket, Value, Want,
};
use crate::core::{Call, Done, LockSpec, Patience};
use crate::error::{Error, Status};

pub(super) const FOREVER: Patience = Patience::Forever;

pub(super) fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

pub(super) fn limit(number: u64) -> Limit {
    Limit::new(number).expect("a limit")
}

pub(super) fn sharing(limit: Limit, patience: Patience) -> LockSpec {
    LockSpec {
        want: Want::Share(limit),
        limit: Some(limit),
        ..LockSpec::exclusive("k", TTL, patience)
    }
}

pub(super) fn exclusive(patience: Patience) -> LockSpec {
    LockSpec::exclusive("k", TTL, patience)
}

/// One of another process that shares the key.
pub(super) fn other(limit: Limit, slot: u64, index: u64) -> Sharer {
    Sharer {
        limit,
        slot: Slot::new(slot),
        session: session(&format!("other-{slot}")),
        create_index: index,
        modify_index: index,
        value: Value(b"".to_vec().into()),
    }
}

pub(super) fn session(id: &str) -> SessionId {
    SessionId(id.into())
}

pub(super) fn ours() -> SessionId {
    session("ours")
}

pub(super) fn below(sharers: Vec<Sharer>, line: Vec<Ticket>) -> Vec<Below> {
    vec![Below { line, sharers }]
}

pub(super) fn lined(sharers: Vec<Sharer>, line: Vec<Ticket>) -> Result<Answer, Fault> {
    Ok(Answer::Line(below(sharers, line)))
}

pub(super) fn locked(index: u64, sharers: Vec<Sharer>) -> Result<Answer, Fault> {
    let below = below(sharers, Vec::new());
    Ok(Answer::Locked { index, below })
}

pub(super) fn proved(index: u64, sharers: Vec<Sharer>) -> Result<Answer, Fault> {
    let below = below(sharers, Vec::new());
    Ok(Answer::Proved { index, below })
}

pub(super) fn lost() -> Result<Answer, Fault> {
    Err(Fault::Unknown(Error::new(Status::Unavailable, "cut off")))
}

pub(super) fn session_gone() -> Result<Answer, Fault> {
    Err(Fault::SessionGone(Error::new(Status::Unavailable, "gone")))
}

pub(super) fn absent() -> Result<Answer, Fault> {
    let (row, index) = (None, 3);
    Ok(Answer::Row { row, index })
}

pub(super) fn is_survey(request: &Request) -> bool {
    matches!(request, Request::Survey { .. })
}

pub(super) fn is_look(request: &Request) -> bool {
    matches!(request, Request::Read { .. })
}

pub(super) fn is_create(request: &Request) -> bool {
    matches!(request, Request::CreateSession { .. })
}

pub(super) fn is_lock(request: &Request) -> bool {
    matches!(request, Request::Lock { .. })
}

pub(super) fn is_join(request: &Request) -> bool {
    matches!(request, Request::Join { .. })
}

pub(super) fn is_take(request: &Request) -> bool {
    matches!(request, Request::Take { .. })
}

pub(super) fn is_proof(request: &Request) -> bool {
    matches!(request, Request::Prove { .. })
}

pub(super) fn is_names(request: &Request) -> bool {
    matches!(request, Request::WatchNames { .. })
}

pub(super) fn is_name(request: &Request) -> bool {
    matches!(request, Request::DescribeSession { .. })
}

pub(super) fn is_renewal(request: &Request) -> bool {
    matches!(request, Request::RenewSession { .. })
}

impl Bench {
    /// Answers the next request of a kind.
    pub(super) fn gets(
        &mut self,
        what: &str,
        is_it: impl Fn(&Request) -> bool,
        answer: Result<Answer, Fault>,
    ) -> Request {
        let (id, request) = self.take(what, is_it);
        self.answer(id, answer);
        request
    }

    pub(super) fn surveys(&mut self, sharers: Vec<Sharer>, line: Vec<Ticket>) -> Request {
        self.gets("look", is_survey, lined(sharers, line))
    }

    pub(super) fn makes_session(&mut self, id: &SessionId) {
        let created = Ok(Answer::Created(id.clone()));
        self.gets("make a session", is_create, created);
    }

    pub(super) fn ends_session(&mut self, id: &SessionId) {
        let request = self.gets("end the session", is_destroy, Ok(Answer::Destroyed));
        assert!(matches!(&request, Request::DestroySession { session } if session == id));
    }

    pub(super) fn asks(&self, is_it: impl Fn(&Request) -> bool) -> bool {
        self.asked.iter().any(|(_, request)| is_it(request))
    }

    /// The one outcome so far, which is an error.
    pub(super) fn told_error(&mut self) -> Error {
        match &self.told.split_off(0)[..] {
            [Err(error)] => error.clone(),
            told => panic!("one error, not {told:?}"),
        }
    }

    pub(super) fn told_ok(&mut self) {
        let told = self.told.split_off(0);
        assert_eq!(told, [Ok(Done::Ok)]);
    }

    /// Nothing is left to do. A blocking query on its way may serve another lock, and ends by itself; so does the look
    /// at the agent of a lock that was held for a second.
    pub(super) fn owes_nothing(&self) {
        assert!(
            !self.asks(|request| !is_watch(request) && *request != Request::DescribeAgent),
            "{:?}",
            self.asked
        );
        assert!(self.core.is_idle());
    }

    pub(super) fn told_nothing(&self) {
        assert!(self.told.is_empty(), "{:?}", self.told);
    }
}

/// The slot of an attempt to share.
pub(super) fn slot_of(request: &Request) -> Slot {
    match request {
        Request::Lock { hold, .. } | Request::Take { hold, .. } => match hold {
            Hold::Share { slot, .. } => *slot,
            Hold::Exclusive { .. } => panic!("no share: {request:?}"),
        },
        _ => panic!("no attempt: {request:?}"),
    }
}

/// Gives a held lock back with the end of its session.
pub(super) fn gives_back(bench: &mut Bench, row: &str, index: u64) {
    bench.calls(99, Call::Release);
    let request = bench.gets(
        "make sure that it is ours",
        is_look,
        Ok(Answer::Row {
            row: Some(row_of(&ours(), index)),
            index,
        }),
    );
    assert!(matches!(&request, Request::Read { key, .. } if **key == *row));
    bench.ends_session(&ours());
    bench.told_ok();
}

/// One with a limit and a reader share the key.
pub(super) fn two() -> Vec<Sharer> {
    vec![other(limit(3), 0, 5), other(Limit::READERS, 1, 6)]
}

/// The key of the one watch under way.
pub(super) fn watched(bench: &Bench) -> String {
    let keys = bench.asked.iter().filter_map(|(_, request)| match request {
        Request::Watch { key, .. } => Some(key.to_string()),
        _ => None,
    });
    let keys: Vec<String> = keys.collect();
    assert_eq!(keys.len(), 1, "{:?}", bench.asked);
    keys[0].clone()
}
