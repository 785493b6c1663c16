//! Locks of several keys, and waiters behind them, step by step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::late::{Bench, TTL, is_watch, row_of, ticket};
use super::script::{
    FOREVER, absent, is_create, is_join, is_lock, is_look, is_proof, is_renewal, is_survey,
    is_take, limit, other, ours, seconds, session,
};
use crate::consul::encode::{Scope, encode};
use crate::core::messages::{Answer, Below, Fault, Found, Key, Request, Slot, Ticket};
use crate::core::{Call, Keys, LockSpec, Patience, Phase, RequestId};
use crate::error::{Error, Status};

fn of_keys(names: &[&str], patience: Patience) -> LockSpec {
    let names = names.iter().map(|name| Key::from(*name)).collect();
    LockSpec {
        keys: Keys::of(names).expect("keys"),
        ..LockSpec::exclusive("k", TTL, patience)
    }
}

fn thirty() -> Vec<String> {
    (0..30).map(|number| format!("k{number:02}")).collect()
}

fn of_thirty(patience: Patience) -> LockSpec {
    let names = thirty();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    of_keys(&names, patience)
}

/// How many operations the transaction has.
fn operations(request: &Request) -> usize {
    let http = encode(request, &Scope::default()).expect("memory");
    let body = String::from_utf8(http.body.expect("a body")).expect("text");
    body.matches("{\"KV\":").count()
}

/// A line for each key.
fn lines(lines: Vec<Vec<Ticket>>) -> Result<Answer, Fault> {
    let sharers = Vec::new;
    let below = lines.into_iter().map(|line| Below {
        line,
        sharers: sharers(),
    });
    Ok(Answer::Line(below.collect()))
}

fn locked(index: u64, keys: usize) -> Result<Answer, Fault> {
    let below = vec![Below::default(); keys];
    Ok(Answer::Locked { index, below })
}

fn proved(index: u64, keys: usize) -> Result<Answer, Fault> {
    let below = vec![Below::default(); keys];
    Ok(Answer::Proved { index, below })
}

fn held_by_another(bench: &mut Bench, key: &str) {
    let row = Some(row_of(&session("another"), 5));
    let (look, request) = bench.take("look", is_look);
    assert!(
        matches!(&request, Request::Read { key: asked, .. } if &**asked == key),
        "{request:?}"
    );
    bench.answer(look, Ok(Answer::Row { row, index: 5 }));
}

/// Brings a lock of `a` and `b` into both lines, while `b` is held: it watches `b`.
fn waits() -> Bench {
    let mut bench = Bench::new();
    bench.acquires_as(of_keys(&["b", "a"], FOREVER));
    let survey = bench.gets("look", is_survey, Ok(Answer::Exists(1)));
    let Request::Survey { targets, see } = &survey else {
        panic!("{survey:?}")
    };
    let keys: Vec<&str> = targets.iter().map(|target| &*target.key).collect();
    assert_eq!((&keys[..], see.line), (&["a", "b"][..], true));
    held_by_another(&mut bench, "b");
    bench.makes_session(&ours());
    let own = |slot: u64| vec![ticket(Slot::new(slot), &ours())];
    bench.gets("join", is_join, lines(vec![own(1), own(2)]));
    bench.gets("look", is_survey, Ok(Answer::Exists(1)));
    held_by_another(&mut bench, "b");
    assert!(bench.asks(|request| matches!(request, Request::Watch { key, .. } if &**key == "b")));
    bench
}

#[test]
fn a_lock_of_several_keys_waits_for_the_one_that_is_held() {
    let mut bench = waits();
    bench.gets("watch", is_watch, absent());
    let own = |slot: u64| vec![ticket(Slot::new(slot), &ours())];
    bench.gets("look at all", is_survey, lines(vec![own(1), own(2)]));
    let take = bench.gets("take", is_take, locked(20, 2));
    let Request::Take { targets, slots, .. } = &take else {
        panic!("{take:?}")
    };
    assert!(targets.iter().all(|target| target.found == Found::Absent));
    assert_eq!(slots, &[Slot::new(1), Slot::new(2)]);
    bench.told_ok();
    assert_eq!((bench.phase, bench.view.token), (Phase::Held, Some(20)));
}

/// It stands first in one line, and behind another waiter in the other: it follows that one.
#[test]
fn a_lock_of_several_keys_follows_in_the_line_where_it_is_not_first() {
    let mut bench = Bench::new();
    bench.acquires_as(of_keys(&["a", "b"], FOREVER));
    bench.gets("look", is_survey, Ok(Answer::Exists(0)));
    held_by_another(&mut bench, "a");
    bench.makes_session(&ours());
    let first = Ticket {
        create_index: 6,
        ..ticket(Slot::new(9), &session("first"))
    };
    let own = |slot: u64| ticket(Slot::new(slot), &ours());
    bench.gets(
        "join",
        is_join,
        lines(vec![vec![own(1)], vec![first, own(2)]]),
    );
    let (_, watch) = bench.take("follow", is_watch);
    assert!(
        matches!(&watch, Request::Watch { key, .. } if &**key == "b/.fifo/009"),
        "{watch:?}"
    );
}

/// One of the tickets is gone, or came at another index: the others are worth nothing, and the waiter begins anew.
#[test]
fn tickets_that_are_no_whole_set_are_given_up() {
    let own = |slot: u64, index: u64| Ticket {
        create_index: index,
        ..ticket(Slot::new(slot), &ours())
    };
    for left in [
        vec![vec![own(1, 7)], vec![]],
        vec![vec![], vec![own(2, 7)]],
        vec![vec![own(1, 7)], vec![own(2, 8)]],
    ] {
        let mut bench = waits();
        bench.gets("watch", is_watch, absent());
        bench.gets("look at all", is_survey, lines(left));
        bench.ends_session(&ours());
        bench.makes_session(&session("second"));
        let (_, join) = bench.take("join", is_join);
        assert!(
            matches!(&join, Request::Join { session: of, keys, .. } if *of == session("second") && keys.len() == 2)
        );
        assert!(!bench.asks(is_take));
        bench.told_nothing();
    }
    // All are gone, and the session lives: it joins again.
    let mut bench = waits();
    bench.gets("watch", is_watch, absent());
    bench.gets("look at all", is_survey, lines(vec![vec![], vec![]]));
    let (_, join) = bench.take("join", is_join);
    assert!(matches!(&join, Request::Join { session, .. } if *session == ours()));
}

/// One held key of thirty refuses the attempt as a whole.
#[test]
fn an_attempt_that_is_refused_holds_no_key() {
    let mut bench = Bench::new();
    bench.acquires_as(of_keys(&["a", "b"], Patience::Once));
    bench.gets("look", is_survey, lines(vec![vec![], vec![]]));
    bench.makes_session(&ours());
    bench.gets("lock", is_lock, Ok(Answer::Held));
    bench.gets("look", is_survey, Ok(Answer::Exists(1)));
    held_by_another(&mut bench, "b");
    bench.gets(
        "ask who",
        |request| matches!(request, Request::DescribeSession { .. }),
        Ok(Answer::Described(None)),
    );
    if bench.asks(|request| matches!(request, Request::DestroySession { .. })) {
        bench.ends_session(&ours());
    }
    let error = bench.told_error();
    assert_eq!(error.status, Status::NotAcquired);
    assert!(error.message.contains("\"b\" is not free"), "{error}");
}

#[test]
fn thirty_free_keys_are_taken_in_two_transactions_and_proved() {
    let mut bench = Bench::new();
    bench.acquires_as(of_thirty(FOREVER));
    let survey = bench.gets("look", is_survey, lines(vec![vec![]; 30]));
    assert_eq!(operations(&survey), 60);
    bench.makes_session(&ours());
    let lock = bench.gets("lock", is_lock, locked(20, 0));
    assert_eq!(operations(&lock), 60, "no room for what stands below");
    bench.told_nothing();
    let proof = bench.gets("see who shares", is_proof, proved(20, 30));
    assert_eq!(operations(&proof), 60);
    bench.told_ok();
    assert_eq!(bench.view.token, Some(20));
    // Nothing but the end of the session gives them back, after a proof that all were held.
    bench.calls(2, Call::Release);
    let proof = bench.gets("make sure that all are ours", is_proof, proved(20, 0));
    assert_eq!(operations(&proof), 30);
    bench.ends_session(&ours());
    bench.told_ok();
    bench.owes_nothing();
}

/// Of the keys of a large lock, each may be shared: the proof shows that, where the attempt had no room.
#[test]
fn thirty_keys_of_which_one_is_shared() {
    let mut bench = Bench::new();
    bench.acquires_as(of_thirty(FOREVER));
    bench.gets("look", is_survey, lines(vec![vec![]; 30]));
    bench.makes_session(&ours());
    bench.gets("lock", is_lock, locked(20, 0));
    let mut below = vec![Below::default(); 30];
    below[17].sharers = vec![other(limit(3), 1, 5)];
    bench.gets(
        "see who shares",
        is_proof,
        Ok(Answer::Proved { index: 20, below }),
    );
    bench.told_nothing();
    let (watch, request) = bench.take("watch", is_watch);
    assert!(
        matches!(&request, Request::Watch { key, .. } if &**key == "k17/.share/slot/001"),
        "{request:?}"
    );
    bench.answer(watch, absent());
    bench.gets("see who shares", is_proof, proved(20, 30));
    bench.told_ok();
}

/// The take of thirty keys has to remove thirty tickets as well: there is no room for a check of each key.
#[test]
fn thirty_keys_out_of_the_line_fit_into_one_transaction() {
    let mut bench = Bench::new();
    bench.acquires_as(of_thirty(FOREVER));
    bench.gets("look", is_survey, Ok(Answer::Exists(3)));
    held_by_another(&mut bench, "k03");
    bench.makes_session(&ours());
    let own = || vec![vec![ticket(Slot::new(5), &ours())]; 30];
    let join = bench.gets("join", is_join, lines(own()));
    assert_eq!(operations(&join), 60);
    bench.gets("look", is_survey, lines(own()));
    let take = bench.gets("take", is_take, locked(20, 0));
    assert!(operations(&take) <= 64, "{}", operations(&take));
    let Request::Take { targets, .. } = &take else {
        panic!("{take:?}")
    };
    assert!(
        targets
            .iter()
            .all(|target| target.found == Found::Unchecked)
    );
    bench.gets("see who shares", is_proof, proved(20, 30));
    bench.told_ok();
}

/// Other programs left some of the keys without a session: the take checks none of them then.
#[test]
fn thirty_keys_of_which_some_are_there_without_a_session() {
    let mut bench = Bench::new();
    bench.acquires_as(of_thirty(FOREVER));
    bench.gets("look", is_survey, Ok(Answer::Exists(3)));
    held_by_another(&mut bench, "k03");
    bench.makes_session(&ours());
    let own = || vec![vec![ticket(Slot::new(5), &ours())]; 30];
    bench.gets("join", is_join, lines(own()));
    for number in 0..6 {
        bench.gets("look", is_survey, Ok(Answer::Exists(number)));
        let mut row = row_of(&ours(), 4);
        row.session = None;
        while !bench.asks(is_look) {
            bench.after(Duration::from_millis(10));
        }
        let left = Ok(Answer::Row {
            row: Some(row),
            index: 4,
        });
        bench.gets("look at it", is_look, left);
    }
    let survey = bench.gets("look", is_survey, lines(own()));
    let Request::Survey { targets, .. } = &survey else {
        panic!("{survey:?}")
    };
    let unlocked = targets
        .iter()
        .filter(|target| target.found == Found::Unlocked(4));
    assert_eq!(unlocked.count(), 6);
    while !bench.asks(is_take) {
        bench.after(Duration::from_millis(10));
        if bench.asks(is_renewal) {
            bench.gets("renew", is_renewal, Ok(Answer::Renewed));
        }
    }
    let take = bench.gets("take", is_take, locked(20, 0));
    assert!(operations(&take) <= 64, "{}", operations(&take));
    bench.gets("see who shares", is_proof, proved(20, 30));
    bench.told_ok();
}

/// What a waiter for `a` finds behind a head that waits for `a` and `b`.
struct Judged {
    /// How long after the beginning the waiter took the key; None: within ten seconds it did not.
    took: Option<Duration>,
    /// The tickets that it removed.
    removed: Vec<String>,
    /// How often it asked for the other keys.
    asked: usize,
    told: Vec<Status>,
}

/// Lets a waiter stand behind such a head, while `a` is free. `judgement`: the answer to the question for both keys.
fn judges(judgement: impl Fn() -> Result<Answer, Fault>) -> Judged {
    let head = head();
    let mut bench = Bench::new();
    bench.acquires_as(of_keys(&["a"], FOREVER));
    bench.gets("look", is_survey, lines(vec![vec![head.clone()]]));
    bench.makes_session(&ours());
    let begun = bench.now;
    let mut judged = Judged {
        took: None,
        removed: vec![],
        asked: 0,
        told: vec![],
    };
    let line = |slot: Slot| lines(vec![vec![head.clone(), ticket(slot, &ours())]]);
    let mut slot = Slot::new(0);
    let mut begun_at = BTreeMap::new();
    while bench.now.since(begun) < seconds(10) && bench.told.is_empty() {
        bench.after(Duration::from_millis(10));
        // Consul answers a blocking query after its wait.
        let now = bench.now;
        let is_due = |(id, request): &(RequestId, Request)| match request {
            Request::Watch { wait, .. } => now.since(*begun_at.entry(*id).or_insert(now)) >= *wait,
            _ => true,
        };
        let at = bench.asked.iter().position(is_due);
        let Some((id, request)) = at.map(|at| bench.asked.remove(at)) else {
            continue;
        };
        let answer = match &request {
            Request::Join { slots, .. } => {
                slot = slots[0];
                line(slot)
            }
            Request::ReadLine { .. } => line(slot),
            Request::Survey { targets, .. } => {
                assert_eq!(targets.len(), 2, "{request:?}");
                judged.asked += 1;
                judgement()
            }
            Request::Take { ahead, .. } => {
                let removed = ahead.iter().map(|one| one.slot.ticket_of(&one.key));
                judged.removed = removed.collect();
                judged.took = Some(bench.now.since(begun));
                locked(20, 1)
            }
            Request::RenewSession { .. } => Ok(Answer::Renewed),
            Request::Read { .. } => absent(),
            Request::Watch { index, .. } => Ok(Answer::Row {
                row: Some(row_of(&head.session, head.create_index)),
                index: *index,
            }),
            _ => panic!("{request:?}"),
        };
        bench.answer(id, answer);
    }
    let told = bench.told.iter().filter_map(|told| told.as_ref().err());
    judged.told = told.map(|error| error.status).collect();
    assert!(!bench.asks(is_create));
    judged
}

fn head() -> Ticket {
    let several: Arc<[Key]> = ["a", "b"].map(Key::from).into();
    Ticket {
        several: Some(several),
        create_index: 6,
        ..ticket(Slot::new(9), &session("head"))
    }
}

#[test]
fn a_head_that_waits_for_a_held_key_is_not_passed() {
    let judged = judges(|| Ok(Answer::Exists(1)));
    assert_eq!(judged.took, None);
    assert!(
        (3..=15).contains(&judged.asked),
        "once a second: {}",
        judged.asked
    );
}

#[test]
fn a_head_that_is_not_first_in_its_other_line_is_not_passed() {
    let before = Ticket {
        create_index: 5,
        ..ticket(Slot::new(4), &session("before"))
    };
    let judged = judges(|| lines(vec![vec![head()], vec![before.clone(), head()]]));
    assert_eq!(judged.took, None);
}

#[test]
fn a_head_that_takes_none_of_its_free_keys_is_passed_with_all_its_tickets() {
    let in_b = Ticket {
        slot: Slot::new(3),
        ..head()
    };
    let judged = judges(|| lines(vec![vec![head()], vec![in_b.clone()]]));
    assert_eq!(judged.removed, ["a/.fifo/009", "b/.fifo/003"]);
    let took = judged.took.expect("passed");
    assert!(
        took >= Duration::from_millis(300) && took < seconds(3),
        "{took:?}"
    );
}

/// A head that lost one of its tickets must begin anew: it takes nothing with the others.
#[test]
fn a_head_that_lost_one_of_its_tickets_is_passed() {
    let other = Ticket {
        create_index: 5,
        ..ticket(Slot::new(4), &session("before"))
    };
    let judged = judges(|| lines(vec![vec![head()], vec![other.clone()]]));
    assert_eq!(judged.removed, ["a/.fifo/009"]);
    assert!(judged.took.expect("passed") < seconds(3));
}

/// The token may look at `a` alone, or the list names more keys than one transaction takes: the head counts as one of `a`.
#[test]
fn a_head_whose_other_keys_cannot_be_looked_at_is_passed_like_any_other() {
    for status in [Status::Denied, Status::Rejected] {
        let judged = judges(|| Err(Fault::Final(Error::new(status, "no"))));
        assert_eq!(judged.told, [], "{status:?}");
        assert_eq!(judged.removed, ["a/.fifo/009"]);
        assert!(judged.took.expect("passed") < seconds(3));
    }
}
