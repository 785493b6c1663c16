//! The broken cores: a walk of a small world finds each of them, without luck.
//!
//! Two of them cannot show in these worlds. `ReviveTheDead` needs a leader that stands still for longer than a TTL and
//! then answers from its memory, which the explorer's Consul does not. `HangUp` needs more waits side by side in one
//! process than a client has connections. `schedules.rs` catches both.

use super::search::shortest;
use super::worlds::Small;
use crate::core::sabotage::Sabotage;
use crate::sim::defects::Defect;

/// A walk of the world finds the defect, with so many faults at most.
fn finds(defect: Defect, world: &str, faults: u32) {
    let small = Small::of(world);
    let Some((needed, violation)) = shortest(small, Some(defect), faults) else {
        panic!("{defect:?} is not found in {world}");
    };
    println!(
        "{defect:?} {}",
        violation.in_words(small, Some(defect), needed)
    );
    // `every_schedule_keeps_every_promise` walks the same world without the defect.
    assert!(needed <= small.faults[1]);
}

macro_rules! defects {
    ($($name:ident: $defect:expr, $world:literal, $faults:literal;)*) => {
        $(
            #[test]
            fn $name() {
                finds($defect, $world, $faults);
            }
        )*
    };
}

defects! {
    a_lock_with_a_short_life: Defect::Core(Sabotage::HalfALife), "two", 1;
    an_end_under_an_unaware_holder: Defect::Core(Sabotage::HurriedEnd), "one", 0;
    doubt_taken_for_failure: Defect::Core(Sabotage::DoubtIsFailure), "one", 1;
    a_session_pooled_with_a_write_in_doubt: Defect::Core(Sabotage::PoolAfterWriteInDoubt), "one-again-writes", 1;
    a_head_that_is_never_passed: Defect::Core(Sabotage::NeverPass), "strays", 1;
    a_waiter_that_does_not_wait_for_its_turn: Defect::Core(Sabotage::AnyoneTakes), "line", 0;
    an_exclusive_lock_that_does_not_wait_for_those_who_share: Defect::Core(Sabotage::NoDrain), "reader-and-writer", 0;
    a_share_beside_an_exclusive_holder: Defect::Core(Sabotage::SharesBesideAHolder), "reader-and-writer", 0;
    one_more_than_the_limit: Defect::Core(Sabotage::OneTooMany), "limit-of-one", 0;
    a_take_of_several_keys_that_forgets_one: Defect::Core(Sabotage::ForgetsAKey), "two-keys", 0;
    a_waiter_that_misses_its_slot: Defect::Core(Sabotage::MissesItsSlot), "line-of-limits", 0;
    a_waiter_that_shares_and_never_passes: Defect::Core(Sabotage::SharerNeverPasses), "strays-of-limits", 1;
    a_dead_waiter_that_has_lost_a_ticket_and_is_forgiven: Defect::Core(Sabotage::ForgivesLostTickets), "maimed", 1;
    a_release_by_key: Defect::ReleaseByKey, "two-one-again", 1;
    a_write_without_a_check: Defect::WriteUnchecked, "one-writes", 1;
    a_lease_that_survives_a_suspend: Defect::ClockStopsInSuspend, "two", 1;
    a_lease_counted_from_the_reply: Defect::LeaseFromReply, "two", 1;
    data_that_are_taken_for_a_lock: Defect::TakeWhatIsThere, "data", 1;
    a_session_pooled_after_an_ambiguous_release: Defect::PoolAfterDoubt, "one-again", 1;
    a_write_in_doubt_that_is_told_as_not_done: Defect::DoubtIsNoWrite, "one-writes", 1;
    a_loss_that_no_caller_is_told: Defect::SilentLoss, "one", 0;
    a_late_lock_that_is_kept: Defect::KeepLateLock, "one", 1;
    a_create_that_is_looked_for_once: Defect::LookOnce, "one", 1;
    sessions_on_the_agents_node: Defect::AgentsNode, "node", 1;
    a_line_that_is_forgotten: Defect::ForgetTheLine, "line-again", 0;
}
