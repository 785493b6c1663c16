//! Downgrades and upgrades, step by step.

use std::time::Duration;

use super::late::{Bench, is_watch, row_of};
use super::script::{
    FOREVER, absent, exclusive, gives_back, is_create, is_lock, is_look, is_proof, limit, locked,
    lost, other, ours, proved, seconds, session, session_gone, two, watched,
};
use super::share::shares;
use crate::core::messages::{Answer, Fault, Limit, Request, Slot};
use crate::core::{Call, Done, LockSpec, Patience, Phase};
use crate::error::{Error, LostReason, Status};

fn is_downgrade(request: &Request) -> bool {
    matches!(request, Request::Downgrade { .. })
}

fn is_upgrade(request: &Request) -> bool {
    matches!(request, Request::Upgrade { .. })
}

/// An exclusive lock that is held with the token 10.
fn held(limit: Option<Limit>) -> Bench {
    let mut bench = Bench::new();
    let spec = exclusive(FOREVER);
    bench.acquires_as(LockSpec { limit, ..spec });
    bench.surveys(vec![], vec![]);
    bench.makes_session(&ours());
    bench.gets("lock", is_lock, locked(10, vec![]));
    bench.told_ok();
    bench
}

/// A share whose upgrade has the key with the token 12, while two others share it.
fn upgrades(patience: Patience) -> (Bench, Slot) {
    let (mut bench, slot) = shares(limit(3));
    bench.calls(2, Call::Upgrade(patience));
    let up = bench.gets("upgrade", is_upgrade, locked(12, two()));
    assert!(matches!(up, Request::Upgrade { slot: own, .. } if own == slot));
    bench.told_nothing();
    (bench, slot)
}

/// The lock is the share that it was, after the answer to this downgrade.
fn turns_back(bench: &mut Bench, slot: Slot, index: u64) {
    let down = bench.gets("go back to the share", is_downgrade, locked(index, vec![]));
    assert!(
        matches!(&down, Request::Downgrade { slot: own, limit: of, .. } if *own == slot && *of == limit(3))
    );
    assert_eq!((bench.phase, bench.view.token), (Phase::Held, Some(index)));
    assert_eq!(bench.view.slot, Some(slot.get()));
}

#[test]
fn a_downgrade_keeps_the_lock() {
    for (of, expected) in [(None, Limit::READERS), (Some(limit(3)), limit(3))] {
        let mut bench = held(of);
        bench.calls(2, Call::Downgrade);
        let down = bench.gets("downgrade", is_downgrade, locked(12, vec![]));
        let Request::Downgrade { limit, slot, .. } = down else {
            panic!("{down:?}")
        };
        assert_eq!(limit, expected);
        bench.told_ok();
        assert_eq!((bench.phase, bench.view.token), (Phase::Held, Some(12)));
        assert_eq!(bench.view.slot, of.map(|_| slot.get()));
        bench.calls(3, Call::Downgrade);
        assert_eq!(bench.told_error().status, Status::InvalidArgument);
        gives_back(&mut bench, &limit.row_of("k", slot), 12);
        bench.owes_nothing();
    }
}

#[test]
fn an_upgrade_of_the_only_share_is_exclusive_at_once() {
    let (mut bench, _) = shares(limit(3));
    bench.calls(2, Call::Upgrade(Patience::Once));
    bench.gets("upgrade", is_upgrade, locked(12, vec![]));
    bench.told_ok();
    assert_eq!((bench.phase, bench.view.token), (Phase::Held, Some(12)));
    assert_eq!(bench.view.slot, None);
    bench.calls(3, Call::Upgrade(FOREVER));
    assert_eq!(bench.told_error().status, Status::InvalidArgument);
    gives_back(&mut bench, "k", 12);
}

#[test]
fn an_upgrade_waits_for_the_others_that_share() {
    let (mut bench, _) = upgrades(FOREVER);
    bench.gets("watch", is_watch, absent());
    let left = vec![other(Limit::READERS, 1, 6)];
    bench.gets("ask for proof", is_proof, proved(12, left));
    bench.told_nothing();
    assert_eq!(watched(&bench), "k/.share/001");
    bench.gets("watch", is_watch, absent());
    bench.gets("ask for proof", is_proof, proved(12, vec![]));
    bench.told_ok();
    assert_eq!(bench.view.token, Some(12));
    gives_back(&mut bench, "k", 12);
}

/// Two that upgrade would wait for each other.
#[test]
fn an_upgrade_is_refused_while_another_session_has_the_key() {
    let (mut bench, slot) = shares(limit(3));
    bench.calls(2, Call::Upgrade(FOREVER));
    bench.gets("upgrade", is_upgrade, Ok(Answer::Held));
    let error = bench.told_error();
    assert_eq!(error.status, Status::NotAcquired);
    assert!(error.message.contains("another session has the key"));
    assert_eq!((bench.phase, bench.view.token), (Phase::Held, Some(10)));
    assert_eq!(bench.view.slot, Some(slot.get()));
    gives_back(&mut bench, &limit(3).row_of("k", slot), 10);
}

#[test]
fn an_upgrade_whose_answer_is_lost_is_confirmed_by_the_key() {
    let (mut bench, _) = shares(limit(3));
    bench.calls(2, Call::Upgrade(FOREVER));
    let first = bench.gets("upgrade", is_upgrade, lost());
    bench.after(seconds(1));
    let refused = Ok(Answer::NotOurs { taken: false });
    let again = bench.gets("ask again", is_upgrade, refused);
    assert_eq!(first, again, "byte for byte");
    let row = Ok(Answer::Row {
        row: Some(row_of(&ours(), 12)),
        index: 12,
    });
    let read = bench.gets("read the key", is_look, row);
    assert!(matches!(&read, Request::Read { key, consistent: true } if &**key == "k"));
    bench.told_nothing();
    bench.gets("ask for proof", is_proof, proved(12, vec![]));
    bench.told_ok();
    assert_eq!(bench.view.token, Some(12));
}

#[test]
fn a_downgrade_whose_answer_is_lost_is_confirmed_by_the_row() {
    let mut bench = held(Some(limit(3)));
    bench.calls(2, Call::Downgrade);
    let first = bench.gets("downgrade", is_downgrade, lost());
    bench.after(seconds(1));
    let refused = Ok(Answer::NotOurs { taken: false });
    let again = bench.gets("ask again", is_downgrade, refused);
    assert_eq!(first, again, "byte for byte");
    let Request::Downgrade { slot, .. } = first else {
        panic!("{first:?}")
    };
    let row = Ok(Answer::Row {
        row: Some(row_of(&ours(), 12)),
        index: 12,
    });
    let read = bench.gets("read the row", is_look, row);
    let expected = limit(3).row_of("k", slot);
    assert!(matches!(&read, Request::Read { key, consistent: true } if *key == expected));
    bench.told_ok();
    assert_eq!(
        (bench.view.token, bench.view.slot),
        (Some(12), Some(slot.get()))
    );
}

/// Consul applied no copy, and the row is lost: the lock is not what the library takes it for.
#[test]
fn a_turn_that_finds_the_lock_lost_tells_so() {
    let (mut bench, _) = shares(limit(3));
    bench.calls(2, Call::Upgrade(FOREVER));
    bench.gets("upgrade", is_upgrade, lost());
    bench.after(seconds(1));
    let gone = || Ok(Answer::NotOurs { taken: false });
    bench.gets("ask again", is_upgrade, gone());
    bench.gets("read the key", is_look, absent());
    bench.gets("read it once more", is_look, absent());
    bench.after(seconds(1));
    bench.gets("try anew", is_upgrade, gone());
    assert_eq!(bench.told_error().status, Status::Lost);
    assert_eq!(bench.view.lost, Some(LostReason::KeyGone));
}

/// A middlebox doubles answers: the index of one gives it away.
#[test]
fn an_answer_to_an_earlier_turn_proves_nothing() {
    let mut bench = held(Some(limit(3)));
    bench.calls(2, Call::Downgrade);
    bench.gets("downgrade", is_downgrade, locked(10, vec![]));
    bench.told_nothing();
    bench.after(seconds(1));
    bench.gets("ask again", is_downgrade, locked(12, vec![]));
    bench.told_ok();
}

#[test]
fn an_upgrade_whose_time_is_up_is_the_share_as_before() {
    let (mut bench, slot) = upgrades(Patience::For(seconds(1)));
    bench.after(seconds(1));
    bench.told_nothing();
    turns_back(&mut bench, slot, 14);
    let error = bench.told_error();
    assert_eq!(error.status, Status::NotAcquired);
    for part in ["2 others still share it", "other-0", "as before"] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
    gives_back(&mut bench, &limit(3).row_of("k", slot), 14);
    bench.owes_nothing();

    // With no time at all, the others are seen in the answer.
    let (mut bench, slot) = shares(limit(3));
    bench.calls(2, Call::Upgrade(Patience::Once));
    bench.gets("upgrade", is_upgrade, locked(12, two()));
    turns_back(&mut bench, slot, 14);
    assert_eq!(bench.told_error().status, Status::NotAcquired);
}

/// A proof that comes in time ends the wait, also where the time is up before the next one.
#[test]
fn a_proof_under_way_does_not_outlive_the_time_of_an_upgrade() {
    let (mut bench, slot) = upgrades(Patience::For(seconds(1)));
    bench.gets("watch", is_watch, absent());
    assert!(bench.asks(is_proof));
    bench.after(seconds(1));
    assert!(!bench.asks(is_proof), "it is ended");
    turns_back(&mut bench, slot, 14);
    assert_eq!(bench.told_error().status, Status::NotAcquired);
}

#[test]
fn a_cancel_of_an_upgrade_keeps_the_share() {
    let (mut bench, slot) = upgrades(FOREVER);
    bench.calls(3, Call::Cancel);
    bench.told_ok();
    turns_back(&mut bench, slot, 14);
    assert_eq!(bench.told_error().status, Status::Cancelled);

    // The cancel comes while Consul takes the key: the upgrade goes back when it would have to wait.
    let (mut bench, slot) = shares(limit(3));
    bench.calls(2, Call::Upgrade(FOREVER));
    bench.calls(3, Call::Cancel);
    bench.told_ok();
    bench.gets("upgrade", is_upgrade, locked(12, two()));
    turns_back(&mut bench, slot, 14);
    assert_eq!(bench.told_error().status, Status::Cancelled);

    // Without others there is nothing to wait for.
    let (mut bench, _) = shares(limit(3));
    bench.calls(2, Call::Upgrade(FOREVER));
    bench.calls(3, Call::Cancel);
    bench.told_ok();
    bench.gets("upgrade", is_upgrade, locked(12, vec![]));
    bench.told_ok();
    assert_eq!(bench.view.slot, None);

    // Between two tries nothing is on its way.
    let (mut bench, slot) = shares(limit(3));
    bench.calls(2, Call::Upgrade(FOREVER));
    let failed = Err(Fault::NotApplied(Error::new(Status::Unavailable, "no")));
    bench.gets("upgrade", is_upgrade, failed);
    bench.calls(3, Call::Cancel);
    let [cancelled, done] = &bench.told.split_off(0)[..] else {
        panic!("two outcomes")
    };
    let error = cancelled.clone().expect_err("cancelled");
    assert_eq!((error.status, done), (Status::Cancelled, &Ok(Done::Ok)));
    assert_eq!(bench.view.slot, Some(slot.get()));
    bench.after(seconds(2));
    assert!(!bench.asks(is_upgrade), "{:?}", bench.asked);
}

#[test]
fn a_lock_that_is_lost_while_it_upgrades() {
    for (answer, why) in [
        (Ok(Answer::NotOurs { taken: true }), LostReason::TakenOver),
        (Ok(Answer::NotOurs { taken: false }), LostReason::KeyGone),
        (session_gone(), LostReason::SessionGone),
    ] {
        let (mut bench, _) = upgrades(FOREVER);
        bench.gets("watch", is_watch, absent());
        bench.gets("ask for proof", is_proof, answer);
        assert_eq!(bench.told_error().status, Status::Lost);
        assert_eq!((bench.phase, bench.view.lost), (Phase::Lost, Some(why)));
        assert!(!bench.asks(is_watch) && !bench.asks(is_proof));
    }
    // The lease ends while the others share on.
    let (mut bench, _) = upgrades(FOREVER);
    bench.after(seconds(10));
    assert_eq!(bench.told_error().status, Status::Lost);
    assert_eq!(bench.view.lost, Some(LostReason::Expired));
}

/// The library knows that the lock is the key: it gives the key back.
#[test]
fn a_release_ends_an_upgrade_that_waits() {
    let (mut bench, _) = upgrades(FOREVER);
    gives_back_during(
        &mut bench,
        |request| matches!(request, Request::Read { key, .. } if &**key == "k"),
    );
}

/// The library does not know which row the lock is: the end of the session removes either.
#[test]
fn a_release_ends_a_turn_that_is_not_answered() {
    let (mut bench, _) = shares(limit(3));
    bench.calls(2, Call::Upgrade(FOREVER));
    assert!(bench.asks(is_upgrade));
    gives_back_during(
        &mut bench,
        |request| matches!(request, Request::RenewSession { session } if *session == ours()),
    );
    let mut bench = held(None);
    bench.calls(2, Call::Downgrade);
    assert!(bench.asks(is_downgrade));
    gives_back_during(
        &mut bench,
        |request| matches!(request, Request::RenewSession { session } if *session == ours()),
    );
}

fn gives_back_during(bench: &mut Bench, is_question: impl Fn(&Request) -> bool) {
    bench.calls(3, Call::Release);
    assert_eq!(bench.told_error().status, Status::NotHeld, "the change");
    let (question, request) = bench.take("make sure that it is ours", is_question);
    let answer = match request {
        Request::RenewSession { .. } => Answer::Renewed,
        _ => Answer::Row {
            row: Some(row_of(&ours(), 12)),
            index: 12,
        },
    };
    bench.answer(question, Ok(answer));
    bench.ends_session(&ours());
    bench.told_ok();
    bench.owes_nothing();
}

#[test]
fn one_change_at_a_time() {
    let (mut bench, _) = upgrades(FOREVER);
    for call in [Call::Downgrade, Call::Upgrade(FOREVER)] {
        bench.calls(3, call);
        let error = bench.told_error();
        assert_eq!(error.status, Status::InvalidArgument);
        assert!(error.message.contains("still under way"), "{error}");
    }
    bench.gets("watch", is_watch, absent());
    bench.gets("ask for proof", is_proof, proved(12, vec![]));
    bench.told_ok();
}

/// A late copy of the downgrade turns only the row that it was made for: each transaction names its index.
#[test]
fn an_upgrade_after_a_downgrade_in_doubt_names_another_row() {
    let mut bench = held(Some(limit(3)));
    bench.calls(2, Call::Downgrade);
    let first = bench.gets("downgrade", is_downgrade, lost());
    assert!(matches!(first, Request::Downgrade { token: 10, .. }));
    bench.after(seconds(1));
    let again = bench.gets("ask again", is_downgrade, locked(12, vec![]));
    assert_eq!(again, first);
    bench.told_ok();
    bench.calls(3, Call::Upgrade(FOREVER));
    let up = bench.gets("upgrade", is_upgrade, locked(14, vec![]));
    assert!(matches!(up, Request::Upgrade { token: 12, .. }));
    bench.told_ok();
    bench.calls(4, Call::Downgrade);
    let down = bench.gets("downgrade", is_downgrade, locked(16, vec![]));
    assert!(matches!(down, Request::Downgrade { token: 14, .. }));
    bench.told_ok();
}

/// Another program wrote the row, so that it has another index: the change goes on with that one.
#[test]
fn a_row_that_another_program_wrote_changes_all_the_same() {
    let mut bench = held(Some(limit(3)));
    bench.calls(2, Call::Downgrade);
    bench.gets("downgrade", is_downgrade, Ok(Answer::Stale));
    let row = Some(row_of(&ours(), 11));
    bench.gets("read the row", is_look, Ok(Answer::Row { row, index: 11 }));
    bench.after(seconds(1));
    let down = bench.gets("downgrade", is_downgrade, locked(12, vec![]));
    assert!(matches!(down, Request::Downgrade { token: 11, .. }));
    bench.told_ok();

    let mut bench = held(Some(limit(3)));
    bench.calls(2, Call::Downgrade);
    bench.gets("downgrade", is_downgrade, Ok(Answer::Stale));
    bench.gets("read the row", is_look, absent());
    assert_eq!(bench.told_error().status, Status::Lost);
    assert_eq!(bench.view.lost, Some(LostReason::KeyGone));
}

/// Another program left the key without a session: the upgrade takes its place, unless it is data.
#[test]
fn an_upgrade_of_a_key_that_is_there_without_a_session() {
    let (mut bench, _) = shares(limit(3));
    bench.calls(2, Call::Upgrade(FOREVER));
    bench.gets("upgrade", is_upgrade, Ok(Answer::Changed));
    let mut row = row_of(&session("x"), 11);
    row.session = None;
    bench.gets(
        "read the key",
        is_look,
        Ok(Answer::Row {
            row: Some(row.clone()),
            index: 11,
        }),
    );
    bench.after(seconds(1));
    let up = bench.gets("upgrade", is_upgrade, locked(12, vec![]));
    let found = crate::core::messages::Found::Unlocked(11);
    assert!(matches!(&up, Request::Upgrade { target, .. } if target.found == found));
    bench.told_ok();

    let (mut bench, _) = shares(limit(3));
    bench.calls(2, Call::Upgrade(FOREVER));
    bench.gets("upgrade", is_upgrade, Ok(Answer::Changed));
    row.flags = 1;
    bench.gets(
        "read the key",
        is_look,
        Ok(Answer::Row {
            row: Some(row),
            index: 11,
        }),
    );
    assert_eq!(bench.told_error().status, Status::Rejected);
    assert_eq!((bench.phase, bench.view.token), (Phase::Held, Some(10)));
    bench.after(Duration::from_millis(500));
    assert!(!bench.asks(is_upgrade) && !bench.asks(is_create));
}
