//! An exclusive lock that waits for those who share its key, step by step.

use std::time::Duration;

use super::late::{Bench, TTL, is_watch};
use super::script::{
    FOREVER, absent, exclusive, gives_back, is_join, is_lock, is_name, is_proof, is_renewal,
    locked, other, ours, proved, seconds, session, session_gone, two, watched,
};
use crate::core::messages::{Answer, Fault, Limit, Request, Sharers};
use crate::core::{Call, Done, Patience, Phase};
use crate::error::{Error, Status};

/// An exclusive lock that has the key, with the token 10, while two others share it. The row that it watches.
fn drains(patience: Patience) -> (Bench, String) {
    let mut bench = Bench::new();
    bench.acquires_as(exclusive(patience));
    bench.surveys(vec![], vec![]);
    bench.makes_session(&ours());
    bench.gets("lock", is_lock, locked(10, two()));
    bench.told_nothing();
    let watched = watched(&bench);
    assert!(
        ["k/.share/slot/000", "k/.share/001"].contains(&&*watched),
        "{watched}"
    );
    (bench, watched)
}

#[test]
fn an_exclusive_lock_waits_for_those_who_share_the_key() {
    let (mut bench, _) = drains(FOREVER);
    bench.gets("watch", is_watch, absent());
    let left = vec![other(Limit::READERS, 1, 6)];
    let proof = bench.gets("ask for proof", is_proof, proved(10, left));
    let Request::Prove { rows, gates, .. } = &proof else {
        panic!("{proof:?}")
    };
    assert_eq!((&*rows[0], &*gates[0]), ("k", "k"));
    bench.told_nothing();
    assert_eq!(watched(&bench), "k/.share/001", "the one that is left");
    bench.gets("watch", is_watch, absent());
    bench.gets("ask for proof", is_proof, proved(10, vec![]));
    bench.told_ok();
    assert_eq!((bench.phase, bench.view.token), (Phase::Held, Some(10)));
    gives_back(&mut bench, "k", 10);
    bench.owes_nothing();
}

#[test]
fn the_time_is_up_while_others_share_the_key() {
    let (mut bench, _) = drains(Patience::For(seconds(2)));
    bench.after(Duration::from_millis(1_500));
    bench.gets("ask for proof", is_proof, proved(10, two()));
    let name = bench.gets("ask who", is_name, Ok(Answer::Described(None)));
    bench.after(Duration::from_millis(500));
    bench.told_nothing();
    bench.ends_session(&ours());
    let error = bench.told_error();
    assert_eq!(error.status, Status::NotAcquired);
    let Request::DescribeSession { session } = name else {
        panic!("{name:?}")
    };
    for part in ["share it", &*session.0] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
    bench.owes_nothing();
}

#[test]
fn a_cancel_while_others_share_the_key_gives_the_key_back() {
    let (mut bench, _) = drains(FOREVER);
    bench.calls(2, Call::Cancel);
    let [cancelled, done] = &bench.told.split_off(0)[..] else {
        panic!("two outcomes")
    };
    let error = cancelled.clone().expect_err("cancelled");
    assert_eq!((error.status, done), (Status::Cancelled, &Ok(Done::Ok)));
    assert!(error.message.contains("share it"), "{error}");
    bench.ends_session(&ours());
    bench.owes_nothing();
}

#[test]
fn a_session_that_ends_while_others_share_the_key() {
    let (mut bench, _) = drains(FOREVER);
    bench.after(TTL / 2);
    bench.gets("renew", is_renewal, session_gone());
    bench.ends_session(&ours());
    let second = session("second");
    bench.makes_session(&second);
    let join = bench.take("join", is_join).1;
    assert!(matches!(&join, Request::Join { session, .. } if *session == second));
    bench.told_nothing();
}

/// The key is not as this waiter took it: nothing proves that no other session began to share it in between.
#[test]
fn a_proof_with_another_index_begins_anew() {
    let not_ours = || Ok(Answer::NotOurs { taken: false });
    for proof in [proved(11, vec![]), proved(9, vec![]), not_ours()] {
        let (mut bench, _) = drains(FOREVER);
        bench.gets("watch", is_watch, absent());
        bench.gets("ask for proof", is_proof, proof);
        bench.told_nothing();
        bench.ends_session(&ours());
        let second = session("second");
        bench.makes_session(&second);
        assert!(bench.asks(is_join), "{:?}", bench.asked);
    }
}

/// The proof is a question, and is asked until it is answered.
#[test]
fn a_proof_whose_answer_is_lost_is_asked_for_again() {
    let (mut bench, _) = drains(FOREVER);
    bench.gets("watch", is_watch, absent());
    let failed = || Err(Fault::NotApplied(Error::new(Status::Unavailable, "no")));
    for _ in 0..3 {
        bench.gets("ask for proof", is_proof, failed());
        bench.after(seconds(1));
    }
    bench.gets("ask for proof", is_proof, proved(10, vec![]));
    bench.gets("renew", is_renewal, Ok(Answer::Renewed));
    bench.told_ok();
}

/// An exclusive single attempt sees those who share the key before it takes anything; those that came in between are
/// in its answer, and it gives the key back.
#[test]
fn a_single_attempt_closes_no_key_that_others_share() {
    let mut bench = Bench::new();
    bench.acquires_as(exclusive(Patience::Once));
    let survey = bench.surveys(two(), vec![]);
    assert!(
        matches!(&survey, Request::Survey { see, .. } if see.sharers == Sharers::All && !see.line)
    );
    bench.gets("ask who", is_name, Ok(Answer::Described(None)));
    assert_eq!(bench.told_error().status, Status::NotAcquired);
    bench.owes_nothing();

    let mut bench = Bench::new();
    bench.acquires_as(exclusive(Patience::Once));
    bench.surveys(vec![], vec![]);
    bench.makes_session(&ours());
    bench.gets("lock", is_lock, locked(10, two()));
    bench.told_nothing();
    bench.ends_session(&ours());
    let error = bench.told_error();
    assert_eq!(error.status, Status::NotAcquired);
    assert!(error.message.contains("share it"), "{error}");
}
