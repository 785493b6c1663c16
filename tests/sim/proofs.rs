//! How the holder of several keys learns that one of them is gone which the watch does not see, step by step.

use std::time::Duration;

use super::late::{Bench, is_watch, row_of};
use super::script::{
    FOREVER, is_look, is_proof, is_survey, limit, locked, lost, ours, seconds, session_gone,
    sharing,
};
use crate::core::messages::{Answer, Below, Fault, Key, Request};
use crate::core::{Call, Keys, LockSpec, Phase};
use crate::error::{Error, LostReason, Status};

fn of_keys(names: &[&str]) -> LockSpec {
    let names = names.iter().map(|name| Key::from(*name)).collect();
    LockSpec {
        keys: Keys::of(names).expect("keys"),
        ..LockSpec::exclusive("a", seconds(60), FOREVER)
    }
}

/// A lock of these keys, which is held.
fn held(spec: LockSpec) -> Bench {
    let keys = spec.keys.count();
    let free = Ok(Answer::Line(vec![Below::default(); keys]));
    let mut bench = Bench::new();
    bench.acquires_as(spec);
    bench.gets("look", is_survey, free);
    bench.makes_session(&ours());
    bench.gets(
        "lock",
        |request| matches!(request, Request::Lock { .. }),
        Ok(Answer::Locked {
            index: 20,
            below: vec![Below::default(); keys],
        }),
    );
    bench.told_ok();
    bench
}

/// The same, which is watched: `a` has a blocking query.
fn watched(names: &[&str]) -> Bench {
    let mut bench = held(of_keys(names));
    bench.after(seconds(1));
    assert!(bench.asks(|request| matches!(request, Request::Watch { key, .. } if &**key == "a")));
    bench
}

/// Time passes in small steps, until the core asks for all keys. Answers how long that took.
fn until_proof(bench: &mut Bench) -> Duration {
    let begun = bench.now;
    while !bench.asks(is_proof) {
        bench.after(Duration::from_millis(100));
        assert!(bench.now.since(begun) < seconds(30), "it does not ask");
    }
    bench.now.since(begun)
}

fn proved() -> Result<Answer, Fault> {
    let (index, below) = (20, Vec::new());
    Ok(Answer::Proved { index, below })
}

#[test]
fn the_library_asks_for_all_keys_every_five_seconds() {
    let mut bench = watched(&["a", "b", "c"]);
    for _ in 0..4 {
        let took = until_proof(&mut bench);
        assert!((seconds(3)..=seconds(6)).contains(&took), "{took:?}");
        let proof = bench.gets("ask for all", is_proof, proved());
        let Request::Prove {
            rows,
            session,
            gates,
        } = &proof
        else {
            panic!("{proof:?}")
        };
        let rows: Vec<&str> = rows.iter().map(|row| &**row).collect();
        assert_eq!((&rows[..], session), (&["a", "b", "c"][..], &ours()));
        assert!(gates.is_empty());
        assert!(!bench.asks(is_proof), "one at a time");
        assert_eq!(bench.phase, Phase::Held);
    }
}

#[test]
fn a_key_that_is_not_the_sessions_any_more_is_a_loss() {
    for (answer, why) in [
        (Ok(Answer::NotOurs { taken: false }), LostReason::KeyGone),
        (Ok(Answer::NotOurs { taken: true }), LostReason::TakenOver),
        (session_gone(), LostReason::SessionGone),
    ] {
        let mut bench = watched(&["a", "b"]);
        until_proof(&mut bench);
        bench.gets("ask for all", is_proof, answer);
        assert_eq!((bench.phase, bench.view.lost), (Phase::Lost, Some(why)));
        assert!(
            bench
                .logged
                .iter()
                .any(|line| line.contains("lost the lock"))
        );
    }
}

/// A question that Consul does not answer says nothing about the keys; the library asks again.
#[test]
fn a_proof_that_fails_is_no_loss() {
    let refused = |status| Err(Fault::Final(Error::new(status, "no")));
    let not_applied = Err(Fault::NotApplied(Error::new(
        Status::Unavailable,
        "No cluster leader",
    )));
    for answer in [
        lost(),
        not_applied,
        refused(Status::Denied),
        refused(Status::Rejected),
    ] {
        let mut bench = watched(&["a", "b"]);
        until_proof(&mut bench);
        bench.gets("ask for all", is_proof, answer);
        assert_eq!(bench.phase, Phase::Held);
        assert!(until_proof(&mut bench) >= seconds(4));
        bench.gets(
            "ask for all",
            is_proof,
            Ok(Answer::NotOurs { taken: false }),
        );
        assert_eq!(bench.phase, Phase::Lost);
    }
}

/// A server that lags behind says that the first key is gone, while the question for all keys is on its way.
#[test]
fn the_watch_and_the_proof_go_on_beside_each_other() {
    let mut bench = watched(&["a", "b"]);
    until_proof(&mut bench);
    // The watch sees something that the leader does not confirm.
    let gone = Answer::Row {
        row: None,
        index: 19,
    };
    bench.gets("watch", is_watch, Ok(gone));
    let ours = Answer::Row {
        row: Some(row_of(&ours(), 20)),
        index: 20,
    };
    bench.gets("look at it", is_look, Ok(ours));
    bench.gets("ask for all", is_proof, proved());
    assert_eq!(bench.phase, Phase::Held);
    bench.after(seconds(1));
    assert!(bench.asks(is_watch));
    until_proof(&mut bench);
}

/// Without a query the lock is not watched, and the library does not ask.
#[test]
fn a_lock_that_is_not_watched_is_not_asked_about() {
    let mut bench = watched(&["a", "b"]);
    // Consul cannot be reached, for 10 s.
    for _ in 0..100 {
        if bench.asks(is_watch) {
            bench.gets("watch", is_watch, lost());
        }
        assert!(!bench.asks(is_proof));
        bench.after(Duration::from_millis(100));
    }
    bench.after(seconds(1));
    until_proof(&mut bench);

    let unwatched = LockSpec {
        monitor: false,
        ..of_keys(&["a", "b"])
    };
    for spec in [unwatched, of_keys(&["a"])] {
        let mut bench = held(spec);
        for _ in 0..40 {
            bench.after(seconds(1));
            assert!(!bench.asks(is_proof));
        }
    }
}

#[test]
fn a_lock_that_shares_its_key_has_one_row_and_is_not_asked_about() {
    let mut bench = Bench::new();
    bench.acquires_as(LockSpec {
        ttl: seconds(60),
        ..sharing(limit(3), FOREVER)
    });
    bench.surveys(Vec::new(), Vec::new());
    bench.makes_session(&ours());
    bench.gets(
        "share",
        |request| matches!(request, Request::Lock { .. }),
        locked(20, Vec::new()),
    );
    bench.told_ok();
    for _ in 0..40 {
        bench.after(seconds(1));
        assert!(!bench.asks(is_proof));
    }
}

/// The release asks no more than it has to, and ends the question that is on its way.
#[test]
fn a_release_ends_the_question() {
    let mut bench = watched(&["a", "b"]);
    until_proof(&mut bench);
    bench.calls(2, Call::Release);
    let proof = bench.gets("make sure that all are ours", is_proof, proved());
    assert!(matches!(proof, Request::Prove { .. }));
    bench.ends_session(&ours());
    bench.told_ok();
    bench.owes_nothing();
}
