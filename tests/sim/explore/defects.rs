//! The broken cores: a walk of a small world finds each of them, without luck.

use super::search::shortest;
use super::worlds::{
    ANSWERS, CANCELS, DATA, DEATHS, FREEZES, MAIMS, NONE, OPERATORS, REMOVALS, REQUESTS, STOPS,
    Small,
};
use crate::core::sabotage::Sabotage;
use crate::sim::defects::Defect;
use crate::sim::world::Faults;

/// A walk of the world finds the defect, with so many faults of that kind at most. The walk of the same world with all
/// of its faults, and without the defect, is that of `every_schedule_keeps_every_promise`.
fn finds(defect: Defect, world: &str, kinds: Faults, faults: u32) {
    let small = Small::of(world).with(kinds);
    let Some(violation) = shortest(&small, Some(defect), faults) else {
        panic!("{defect:?} is not found in {world}");
    };
    let words = violation.in_words(&small, Some(defect), faults);
    println!("{defect:?}: {words}");
}

macro_rules! defects {
    ($($name:ident: $defect:expr, $world:literal, $kinds:expr, $faults:literal;)*) => {
        $(
            #[test]
            fn $name() {
                finds($defect, $world, $kinds, $faults);
            }
        )*
    };
}

defects! {
    a_lock_with_a_short_life: Defect::Core(Sabotage::HalfALife), "two", ANSWERS, 1;
    an_end_under_an_unaware_holder: Defect::Core(Sabotage::HurriedEnd), "one", NONE, 0;
    doubt_taken_for_failure: Defect::Core(Sabotage::DoubtIsFailure), "one", ANSWERS, 1;
    a_session_pooled_with_a_write_in_doubt: Defect::Core(Sabotage::PoolAfterWriteInDoubt), "one-again-writes", REQUESTS, 1;
    a_lease_that_is_counted_from_the_answer: Defect::LeaseFromReply, "two-with-answers", ANSWERS, 2;
    a_blocking_query_that_is_aborted: Defect::Core(Sabotage::HangUp), "few-connections", CANCELS, 3;
    a_head_that_is_never_passed: Defect::Core(Sabotage::NeverPass), "strays", DEATHS, 1;
    a_waiter_that_does_not_wait_for_its_turn: Defect::Core(Sabotage::AnyoneTakes), "line", NONE, 0;
    an_exclusive_lock_that_does_not_wait_for_those_who_share: Defect::Core(Sabotage::NoDrain), "reader-and-writer", NONE, 0;
    a_share_beside_an_exclusive_holder: Defect::Core(Sabotage::SharesBesideAHolder), "reader-and-writer", NONE, 0;
    one_more_than_the_limit: Defect::Core(Sabotage::OneTooMany), "limit-of-one", NONE, 0;
    a_take_of_several_keys_that_forgets_one: Defect::Core(Sabotage::ForgetsAKey), "two-keys", NONE, 0;
    a_waiter_that_misses_its_slot: Defect::Core(Sabotage::MissesItsSlot), "line-of-limits", NONE, 0;
    a_dead_waiter_that_has_lost_a_ticket_and_is_forgiven: Defect::Core(Sabotage::ForgivesLostTickets), "maimed", MAIMS, 1;
    a_waiter_that_shares_and_never_passes: Defect::Core(Sabotage::SharerNeverPasses), "strays-of-limits", DEATHS, 1;
    a_release_by_key: Defect::ReleaseByKey, "two-one-again", REQUESTS, 1;
    a_write_without_a_check: Defect::WriteUnchecked, "one-writes", REQUESTS, 1;
    a_lease_that_survives_a_suspend: Defect::ClockStopsInSuspend, "two", STOPS, 1;
    data_that_are_taken_for_a_lock: Defect::TakeWhatIsThere, "data", DATA, 1;
    a_session_pooled_after_an_ambiguous_release: Defect::PoolAfterDoubt, "one-again", REQUESTS, 1;
    a_write_in_doubt_that_is_told_as_not_done: Defect::DoubtIsNoWrite, "one-writes", ANSWERS, 1;
    a_loss_that_no_caller_is_told: Defect::SilentLoss, "one", NONE, 0;
    a_late_lock_that_is_kept: Defect::KeepLateLock, "one", CANCELS, 1;
    a_create_that_is_looked_for_once: Defect::LookOnce, "one", REQUESTS, 1;
    sessions_on_the_agents_node: Defect::AgentsNode, "node", REMOVALS, 1;
    a_session_that_an_old_leader_revives: Defect::Core(Sabotage::ReviveTheDead), "old-leader", FREEZES, 1;
    a_watch_of_the_first_key_alone: Defect::Core(Sabotage::WatchesTheFirstAlone), "operator", OPERATORS, 1;
    a_line_that_is_forgotten: Defect::ForgetTheLine, "line-again", NONE, 0;
}
