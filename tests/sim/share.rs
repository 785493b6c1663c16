//! A lock that shares its key, and an exclusive one that waits for those who do, step by step.

use std::time::Duration;

use super::late::{Bench, TTL, is_destroy, is_watch, row_of, ticket};
use crate::core::messages::{
    Answer, Below, Fault, Hold, Limit, Request, SessionId, SessionRow, Sharer, Sharers, Slot,
    Ticket, Value, Want,
};
use crate::core::{Call, Done, LockSpec, Patience, Phase};
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

/// An exclusive lock that has the key, with the token 10, while two others share it. The row that it watches.
pub(super) fn drains(patience: Patience) -> (Bench, String) {
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
