//! The text of the flight recorder, and what must not be in it.

use super::late::Bench;
use crate::core::messages::{Answer, Fault, Request, SessionId, Value};
use crate::core::{Call, Patience};
use crate::error::{Error, Status};

/// A lock is lost with a write on its way. The record has no stored value, no text of Consul and no id of a session.
#[test]
fn no_secret_is_recorded() {
    const SECRETS: [&str; 4] = [
        "value-marker",
        "token-marker",
        "session-marker",
        "data-marker",
    ];
    let [value, token, session, data] = SECRETS;
    let mut bench = Bench::new();
    bench.acquires(Patience::Once);
    bench.finds_free();
    let (create, _) = bench.take("make a session", |request| {
        matches!(request, Request::CreateSession { .. })
    });
    let id = SessionId(session.into());
    bench.answer(create, Ok(Answer::Created(id.clone())));
    let (lock, _) = bench.take("lock", |request| matches!(request, Request::Lock { .. }));
    let (index, below) = (7, Vec::new());
    bench.answer(lock, Ok(Answer::Locked { index, below }));
    let write = Call::Write {
        key: data.into(),
        value: Some(Value(value.as_bytes().to_vec().into())),
    };
    bench.calls(2, write);
    let (write, _) = bench.take("write", |request| matches!(request, Request::Write { .. }));
    let doubt = Error::new(Status::Unavailable, token.to_owned());
    bench.answer(write, Err(Fault::Unknown(doubt)));
    bench.calls(3, Call::Renew);
    let renewal = bench.renewal_of(&id);
    let gone = Error::new(Status::Rejected, token.to_owned());
    bench.answer(renewal, Err(Fault::SessionGone(gone)));

    bench
        .logged
        .retain(|line| line.starts_with("flight recorder"));
    let text = bench.logged.join("\n");
    for word in ["acquire", "put", "renew", "session-gone", "lost", "tell"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    for secret in SECRETS {
        assert!(!text.contains(secret), "{text}");
    }
}
