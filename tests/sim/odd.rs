//! Answers that contradict each other, do not come from Consul, or do not come.

use std::time::Duration;

use super::late::{Bench, TTL, is_destroy, is_watch};
use crate::core::messages::{Answer, Below, Fault, Request, SessionId};
use crate::core::{Call, Done, Patience, Phase};
use crate::error::{Error, Status};

fn is_look(request: &Request) -> bool {
    matches!(request, Request::Read { .. })
}

fn is_create(request: &Request) -> bool {
    matches!(request, Request::CreateSession { .. })
}

fn is_renewal(request: &Request) -> bool {
    matches!(request, Request::RenewSession { .. })
}

fn lost() -> Result<Answer, Fault> {
    Err(Fault::Unknown(Error::new(Status::Unavailable, "cut off")))
}

fn free() -> Result<Answer, Fault> {
    let (row, index) = (None, 3);
    Ok(Answer::Row { row, index })
}

/// Takes a free key.
fn held() -> (Bench, SessionId) {
    let session = SessionId("ours".into());
    let mut bench = Bench::new();
    bench.acquires(Patience::Once);
    bench.finds_free();
    let (create, _) = bench.take("make a session", is_create);
    bench.answer(create, Ok(Answer::Created(session.clone())));
    let (attempt, _) = bench.take("try", |_| true);
    let (index, below) = (10, Vec::new());
    bench.answer(attempt, Ok(Answer::Locked { index, below }));
    assert_eq!(bench.phase, Phase::Held);
    (bench, session)
}

/// A middlebox answers reads with what it saw long ago: the key is free, and each transaction says that the key is
/// held or has changed. The core does not ask at full speed then.
#[test]
fn looks_that_an_attempt_contradicts() {
    for contradiction in [Answer::Changed, Answer::Held] {
        let session = SessionId("ours".into());
        let mut bench = Bench::new();
        bench.acquires(Patience::Forever);
        let begun = bench.now;
        let mut attempts = 0;
        while bench.now.since(begun) < Duration::from_secs(8) {
            bench.after(Duration::from_millis(1));
            let Some((id, request)) = bench.asked.pop() else {
                continue;
            };
            let answer = match request {
                Request::Survey { .. } => Ok(Answer::Line(Below::line_of_one(Vec::new()))),
                Request::CreateSession { .. } => Ok(Answer::Created(session.clone())),
                Request::RenewSession { .. } => Ok(Answer::Renewed),
                Request::Join { slots, .. } => {
                    let line = vec![super::late::ticket(slots[0], &session)];
                    Ok(Answer::Line(Below::line_of_one(line)))
                }
                Request::Lock { .. } | Request::Take { .. } => {
                    attempts += 1;
                    Ok(contradiction.clone())
                }
                _ => free(),
            };
            bench.answer(id, answer);
        }
        assert!(
            (10..100).contains(&attempts),
            "{contradiction:?}: {attempts}"
        );
    }
}

/// A renewal of a waiter that is never answered leaves time for another one, like a renewal of a holder.
#[test]
fn a_renewal_of_a_waiter_that_hangs() {
    let session = SessionId("first".into());
    let mut bench = Bench::new();
    bench.acquires(Patience::Forever);
    let (survey, _) = bench.take("look", |_| true);
    bench.answer(survey, Ok(Answer::Exists(0)));
    bench.finds_held();
    bench.stands_in_line(&session);
    let confirmed = bench.now;
    bench.after(TTL / 3);
    bench.renewal_of(&session);
    assert!(bench.by <= confirmed + TTL * 2 / 3, "one try a life");
}

/// The core asks for no ticket with a session whose lease is over.
#[test]
fn a_line_is_not_joined_with_a_session_that_is_over() {
    let session = SessionId("first".into());
    let is_join = |request: &Request| matches!(request, Request::Join { .. });
    let mut bench = Bench::new();
    bench.acquires(Patience::Forever);
    let (survey, _) = bench.take("look", |_| true);
    bench.answer(survey, Ok(Answer::Exists(0)));
    bench.finds_held();
    let (create, _) = bench.take("make a session", is_create);
    bench.answer(create, Ok(Answer::Created(session)));
    let (join, _) = bench.take("join", is_join);
    bench.after(TTL);
    bench.answer(join, lost());
    bench.after(Duration::from_secs(1));
    bench.take("end the session", is_destroy);
    bench.take("make another one", is_create);
    assert!(!bench.asked.iter().any(|(_, request)| is_join(request)));
}

/// One page of a proxy does not end the watch of a held lock; a missing right does.
#[test]
fn the_watch_of_a_held_lock_goes_on_after_an_answer_that_is_not_consuls() {
    let final_with = |status| Err(Fault::Final(Error::new(status, "no")));
    let (mut bench, _) = held();
    bench.after(Duration::from_secs(1));
    let (watch, _) = bench.take("watch", is_watch);
    bench.answer(watch, final_with(Status::Rejected));
    let watches = |bench: &Bench| bench.asked.iter().any(|(_, request)| is_watch(request));
    assert!(!watches(&bench), "not at once");
    bench.after(Duration::from_secs(2));
    let (watch, _) = bench.take("watch again", is_watch);
    bench.answer(watch, final_with(Status::Denied));
    bench.after(Duration::from_secs(4));
    assert!(!watches(&bench), "{:?}", bench.asked);
}

/// The core gives back a lock that came while its handle was being freed, and does not leave it to its TTL.
#[test]
fn a_lock_that_is_held_when_its_handle_is_freed() {
    let (mut bench, _) = held();
    bench.told.clear();
    bench.calls(2, Call::Free);
    let (look, _) = bench.take("make sure that it is ours", is_look);
    let row = Some(super::late::row_of(&SessionId("ours".into()), 10));
    bench.answer(look, Ok(Answer::Row { row, index: 10 }));
    let (destroy, _) = bench.take("end the session", is_destroy);
    bench.answer(destroy, Ok(Answer::Destroyed));
    assert!(
        matches!(&bench.told[..], [Ok(Done::Ok)]),
        "{:?}",
        bench.told
    );
    assert!(bench.core.is_idle());
}

/// The minute of an unknown token starts anew after an answer that shows that Consul knew the token.
#[test]
fn a_token_that_is_known_in_between() {
    let session = SessionId("ours".into());
    let unknown = || {
        let error = Error::new(Status::Denied, "ACL not found");
        Err(Fault::NotApplied(error))
    };
    let mut bench = Bench::new();
    bench.acquires(Patience::Forever);
    let (survey, _) = bench.take("look", |_| true);
    bench.answer(survey, Ok(Answer::Exists(0)));
    bench.finds_held();
    bench.stands_in_line(&session);
    let begun = bench.now;
    while bench.now.since(begun) < Duration::from_secs(120) {
        bench.after(Duration::from_millis(500));
        while let Some((id, request)) = bench.asked.pop() {
            if is_watch(&request) {
                bench.after(Duration::from_secs(2));
                bench.answer(id, unknown());
            } else if is_renewal(&request) {
                bench.answer(id, Ok(Answer::Renewed));
            } else if is_look(&request) {
                bench.asked.push((id, request));
                bench.finds_held();
            } else {
                bench.answer(id, Ok(Answer::Described(None)));
            }
        }
        assert!(bench.told.is_empty(), "{:?}", bench.told);
    }
}

/// The look at the nodes does not count the session of a lost lock that was abandoned.
#[test]
fn a_lost_lock_that_is_abandoned_holds_nothing() {
    for call in [Call::Abandon, Call::LetGo] {
        let (mut bench, _) = held();
        bench.calls(2, Call::Renew);
        let (renewal, _) = bench.take("renew", is_renewal);
        let gone = Fault::SessionGone(Error::new(Status::Unavailable, "gone"));
        bench.answer(renewal, Err(gone));
        assert_eq!(bench.phase, Phase::Lost);
        bench.calls(3, call);
        bench.after(Duration::from_secs(2));
        assert!(bench.asked.is_empty(), "{:?}", bench.asked);
        assert!(bench.core.is_idle());
    }
}

/// A process that was stopped finds that Consul gave it the lock after its time: its caller gets the outcome when
/// that is undone.
#[test]
fn a_lock_that_came_too_late_is_undone_before_that_is_told() {
    let mut bench = Bench::new();
    bench.acquires(Patience::Once);
    bench.finds_free();
    let (create, _) = bench.take("make a session", is_create);
    bench.answer(create, Ok(Answer::Created(SessionId("ours".into()))));
    let (attempt, _) = bench.take("try", |_| true);
    bench.now = bench.now + TTL;
    let (index, below) = (10, Vec::new());
    bench.answer(attempt, Ok(Answer::Locked { index, below }));
    let (destroy, _) = bench.take("end the session", is_destroy);
    assert!(bench.told.is_empty(), "{:?}", bench.told);
    bench.answer(destroy, Ok(Answer::Destroyed));
    assert!(
        matches!(&bench.told[..], [Err(error)] if error.status == Status::Unavailable),
        "{:?}",
        bench.told
    );
}
