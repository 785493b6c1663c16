//! One request of a sequence.

use super::*;

/// A request with places that each Consul fills differently: `{S1}` is the id of the second session, `{M:key}` the
/// ModifyIndex of a key in the last reply that showed it, and `{M:/v1/kv/key}` the index that came with the last
/// reply for a path.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) body: String,
    /// The reply names a session, which gets this place.
    pub(super) session: Option<usize>,
    /// The request that goes out while this one waits.
    pub(super) meanwhile: Option<Box<Step>>,
}

impl Step {
    pub(super) fn get(target: impl Into<String>) -> Step {
        Step {
            method: Method::Get,
            target: target.into(),
            body: String::new(),
            session: None,
            meanwhile: None,
        }
    }

    pub(super) fn put(target: impl Into<String>, body: impl Into<String>) -> Step {
        Step {
            method: Method::Put,
            target: target.into(),
            body: body.into(),
            session: None,
            meanwhile: None,
        }
    }

    pub(super) fn delete(target: impl Into<String>) -> Step {
        Step {
            method: Method::Delete,
            target: target.into(),
            body: String::new(),
            session: None,
            meanwhile: None,
        }
    }

    pub(super) fn create(session: usize, ttl: &str, behavior: &str, lock_delay: &str) -> Step {
        let body = format!(
            "{{\"Name\":\"n{session}\",\"TTL\":\"{ttl}\",\"Behavior\":\"{behavior}\",\
             \"LockDelay\":\"{lock_delay}\",\"Checks\":[],\"NodeChecks\":[]}}"
        );
        Step {
            session: Some(session),
            ..Step::put("/v1/session/create", body)
        }
    }

    pub(super) fn create_on_node(session: usize) -> Step {
        let body = format!(
            "{{\"Name\":\"n\",\"TTL\":\"10s\",\"Behavior\":\"delete\",\"LockDelay\":\"0s\",\
             \"NodeChecks\":[],\"Node\":\"{NODE}\"}}"
        );
        Step {
            session: Some(session),
            ..Step::put("/v1/session/create", body)
        }
    }

    pub(super) fn txn(ops: &[String]) -> Step {
        Step::put("/v1/txn", format!("[{}]", ops.join(",")))
    }

    /// A request of the library's own.
    pub(super) fn of(request: &Request) -> Step {
        let http = encode(request, &Scope::default()).expect("memory");
        let body = String::from_utf8(http.body.expect("a body")).expect("text");
        Step::put(http.target, body)
    }

    pub(super) fn meanwhile(self, other: Step) -> Step {
        Step {
            meanwhile: Some(Box::new(other)),
            ..self
        }
    }

    pub(super) fn words(&self) -> String {
        let own = format!("{:?} {} {}", self.method, self.target, self.body);
        match &self.meanwhile {
            None => own,
            Some(other) => format!("{own}\nwhile that waits: {}", other.words()),
        }
    }
}
