//! A lock that shares its key, step by step.

use std::time::Duration;

use super::late::{Bench, is_watch, row_of, ticket};
use super::script::{
    FOREVER, gives_back, is_join, is_lock, is_name, is_names, is_renewal, is_survey, is_take,
    limit, lined, locked, lost, other, ours, seconds, session, sharing, slot_of, watched,
};
use crate::core::messages::{
    Answer, Fault, Limit, Request, SessionRow, Sharers, Slot, Ticket, Want,
};
use crate::core::{Patience, Phase};
use crate::error::{Error, Status};

/// A share at the instant before its attempt is answered.
fn tries(want: Limit, patience: Patience) -> Bench {
    let mut bench = Bench::new();
    bench.acquires_as(sharing(want, patience));
    bench.surveys(vec![], vec![]);
    bench.makes_session(&ours());
    bench
}

/// A share that is held with the token 10.
pub(super) fn shares(want: Limit) -> (Bench, Slot) {
    let mut bench = tries(want, FOREVER);
    let attempt = bench.gets("share", is_lock, locked(10, vec![]));
    bench.told_ok();
    assert_eq!(bench.phase, Phase::Held);
    (bench, slot_of(&attempt))
}

#[test]
fn a_share_whose_answer_is_lost_is_granted_once() {
    for want in [Limit::READERS, limit(3)] {
        let mut bench = tries(want, FOREVER);
        let first = bench.gets("share", is_lock, lost());
        bench.told_nothing();
        bench.after(Duration::from_millis(100));
        let again = bench.gets("ask again", is_lock, locked(10, vec![]));
        assert_eq!(first, again, "byte for byte");
        bench.told_ok();
        let slot = slot_of(&again);
        let in_limit = (want != Limit::READERS).then(|| slot.get());
        assert_eq!((bench.view.token, bench.view.slot), (Some(10), in_limit));
        gives_back(&mut bench, &want.row_of("k", slot), 10);
        bench.owes_nothing();
    }
}

/// An election answers the copies with "no leader": the waiter asks nothing else with a session that may have a share
/// already, for an exclusive waiter would wait for that share, and this waiter for the exclusive one.
#[test]
fn a_share_in_doubt_is_followed_up_through_an_election() {
    let mut bench = tries(Limit::READERS, FOREVER);
    let first = bench.gets("share", is_lock, lost());
    for _ in 0..3 {
        bench.after(seconds(1));
        let no_leader = Fault::NotApplied(Error::new(Status::Unavailable, "No cluster leader"));
        let again = bench.gets("ask again", is_lock, Err(no_leader));
        assert_eq!(first, again, "byte for byte");
    }
    bench.after(seconds(1));
    let again = bench.gets("ask again", is_lock, locked(10, vec![]));
    assert_eq!(first, again, "byte for byte");
    bench.gets("make the lock whole", is_renewal, Ok(Answer::Renewed));
    bench.told_ok();
}

/// Consul may have applied a copy of the attempt: the session goes, and whatever it has with it.
#[test]
fn a_share_that_is_refused_after_a_doubt_leaves_nothing() {
    for refusal in [Answer::Held, Answer::Changed] {
        let mut bench = tries(limit(3), FOREVER);
        bench.gets("share", is_lock, lost());
        bench.after(seconds(1));
        bench.gets("ask again", is_lock, Ok(refusal.clone()));
        bench.ends_session(&ours());
        bench.told_nothing();
        let second = session("second");
        bench.makes_session(&second);
        let join = bench.take("join", is_join).1;
        assert!(matches!(&join, Request::Join { session, .. } if *session == second));

        // A single attempt is over, and its caller gets the outcome when nothing is left.
        let mut bench = tries(limit(3), Patience::Once);
        bench.gets("share", is_lock, lost());
        bench.after(seconds(1));
        bench.gets("ask again", is_lock, Ok(refusal));
        bench.told_nothing();
        bench.ends_session(&ours());
        assert_eq!(bench.told_error().status, Status::NotAcquired);
        bench.owes_nothing();
    }
}

fn is_conflict(error: &Error, session: &str) {
    assert_eq!(error.status, Status::Conflict, "{error}");
    for part in ["at most 5", "at most 3", session] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
}

#[test]
fn another_limit_that_the_survey_shows() {
    let readers = other(Limit::READERS, 4, 9);
    for (sharers, line) in [
        (vec![other(limit(5), 1, 7), readers], vec![]),
        (
            vec![],
            vec![Ticket {
                want: Want::Share(limit(5)),
                ..ticket(Slot::new(1), &session("other-1"))
            }],
        ),
    ] {
        let mut bench = Bench::new();
        bench.acquires_as(sharing(limit(3), FOREVER));
        bench.surveys(sharers, line);
        let row = SessionRow {
            name: "consul_lock web@host7:412".to_owned(),
            node: "n".to_owned(),
            ttl: None,
        };
        bench.gets("ask who", is_name, Ok(Answer::Described(Some(row))));
        let error = bench.told_error();
        is_conflict(&error, "other-1");
        assert!(error.message.contains("web@host7:412"), "{error}");
        bench.owes_nothing();
    }
}

#[test]
fn another_limit_that_the_join_shows() {
    let mut bench = Bench::new();
    bench.acquires_as(sharing(limit(3), FOREVER));
    bench.gets("look", is_survey, Ok(Answer::Exists(0)));
    bench.finds_held();
    bench.makes_session(&ours());
    let line = vec![ticket(Slot::new(0), &ours())];
    bench.gets("join", is_join, lined(vec![other(limit(5), 1, 6)], line));
    bench.gets("ask who", is_name, Ok(Answer::Described(None)));
    bench.told_nothing();
    bench.ends_session(&ours());
    is_conflict(&bench.told_error(), "other-1");
    bench.owes_nothing();
}

/// Of two that share at the same instant with different limits the younger one gives its row back.
#[test]
fn another_limit_that_only_the_attempt_shows() {
    let mut bench = tries(limit(3), FOREVER);
    bench.gets("share", is_lock, locked(20, vec![other(limit(5), 1, 19)]));
    bench.told_nothing();
    assert_eq!(bench.phase, Phase::Over, "it was never held");
    bench.ends_session(&ours());
    is_conflict(&bench.told_error(), "other-1");
    bench.owes_nothing();

    let mut bench = tries(limit(3), FOREVER);
    bench.gets("share", is_lock, locked(20, vec![other(limit(5), 1, 21)]));
    bench.told_ok();
}

fn names(count: u64) -> Result<Answer, Fault> {
    let name = |slot| format!("k/.share/slot/{}", Slot::new(slot));
    let names = (0..count).map(name).collect();
    let index = 20 + count;
    Ok(Answer::Names { names, index })
}

/// A semaphore without a free slot: the waiter at the front watches the names of the slots.
#[test]
fn a_waiter_for_a_slot_takes_the_one_that_becomes_free() {
    let full = || vec![other(limit(2), 0, 5), other(limit(2), 1, 6)];
    let mut bench = Bench::new();
    bench.acquires_as(sharing(limit(2), FOREVER));
    bench.surveys(full(), vec![]);
    bench.makes_session(&ours());
    let own = || vec![ticket(Slot::new(9), &ours())];
    bench.gets("join", is_join, lined(full(), own()));
    bench.surveys(full(), own());
    let watch = bench.gets("watch the slots", is_names, names(2));
    assert!(
        matches!(&watch, Request::WatchNames { folder, .. } if &**folder == "k/.share/slot/"),
        "{watch:?}"
    );
    assert!(!bench.asks(is_survey), "the slots are taken");
    bench.after(Duration::from_millis(100));
    bench.gets("watch on", is_names, names(1));
    bench.surveys(vec![other(limit(2), 0, 5)], own());
    let take = bench.gets("take", is_take, locked(30, vec![other(limit(2), 0, 5)]));
    assert_eq!(slot_of(&take), Slot::new(1));
    bench.told_ok();
    assert_eq!(bench.view.slot, Some(1));
    gives_back(&mut bench, "k/.share/slot/001", 30);
}

/// At the front of a wide semaphore, each waiter leaves the free slots to those before it.
#[test]
fn the_second_at_the_front_leaves_the_only_free_slot_to_the_first() {
    let taken = |count: u64| (0..count).map(|slot| other(limit(8), slot, 5)).collect();
    let first = Ticket {
        want: Want::Share(limit(8)),
        create_index: 6,
        ..ticket(Slot::new(7), &session("first"))
    };
    let line = || vec![first.clone(), ticket(Slot::new(9), &ours())];
    let mut bench = Bench::new();
    bench.acquires_as(sharing(limit(8), FOREVER));
    bench.surveys(taken(8), vec![first.clone()]);
    bench.makes_session(&ours());
    bench.gets("join", is_join, lined(taken(8), line()));
    bench.surveys(taken(7), line());
    assert!(!bench.asks(is_take), "{:?}", bench.asked);
    assert_eq!(watched(&bench), "k/.fifo/007");
    // With two free slots, the second is this waiter's.
    bench.after(Duration::from_millis(500));
    let first_is_there = Answer::Row {
        row: Some(row_of(&session("first"), 6)),
        index: 7,
    };
    bench.gets("watch", is_watch, Ok(first_is_there));
    bench.surveys(taken(6), line());
    let take = bench.take("take", is_take).1;
    assert_eq!(slot_of(&take), Slot::new(7));
}

/// Readers of other processes have the slots that a reader tries: after three of them it asks for a list.
#[test]
fn a_reader_whose_slots_are_taken_asks_for_all_of_them() {
    let mut bench = tries(Limit::READERS, FOREVER);
    let mut tried = Vec::new();
    for _ in 0..4 {
        let attempt = bench.gets("share", is_lock, Ok(Answer::Held));
        tried.push(slot_of(&attempt));
    }
    assert!(!bench.asks(is_lock), "{:?}", bench.asked);
    let free = Slot::new(700);
    let all = (0..1_024)
        .filter(|slot| Slot::new(*slot) != free)
        .map(|slot| other(Limit::READERS, slot, 5));
    let survey = bench.surveys(all.collect(), vec![]);
    assert!(matches!(&survey, Request::Survey { see, .. } if see.sharers == Sharers::All));
    let attempt = bench.gets("share", is_lock, locked(10, vec![]));
    assert_eq!(slot_of(&attempt), free);
    bench.told_ok();
    tried.sort();
    tried.dedup();
    assert_eq!(tried.len(), 4, "each another one");
}

/// The slot of this process looks free, and is not: its lock-delay runs. Others are free.
#[test]
fn a_slot_whose_lock_delay_runs_is_left_for_another_one() {
    let mut bench = tries(limit(8), FOREVER);
    let refused = slot_of(&bench.take("share", is_lock).1);
    let mut bench = tries(limit(8), FOREVER);
    for _ in 0..20 {
        if let Some((id, request)) = bench.asked.pop() {
            let answer = match &request {
                Request::Survey { .. } => lined(vec![], vec![]),
                Request::Lock { .. } if slot_of(&request) == refused => Ok(Answer::Held),
                Request::Lock { .. } => locked(10, vec![]),
                _ => panic!("{request:?}"),
            };
            bench.answer(id, answer);
        }
        if bench.phase == Phase::Held {
            return;
        }
        bench.after(Duration::from_millis(250));
    }
    panic!("it tries {refused} for ever");
}
