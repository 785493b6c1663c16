//! The schedules that the tests run, and the broken cores that they must catch.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::defects::Defect;
use super::holders::Counts;
use super::plan::{Plan, Random};
use super::world::{World, leftovers};
use crate::core::sabotage::Sabotage;

/// Longest schedule in virtual time before it counts as hanging.
const LONGEST: Duration = Duration::from_secs(1_200);

/// How long after the weather has become good Consul may keep what live processes left: a request that was sent
/// before may take its 10 s to fail, then a pause and a retry.
const TIDY: Duration = Duration::from_secs(16);

/// Runs one schedule. An error says which property the schedule broke.
pub(super) fn run(
    seed: u64,
    plan: Plan,
    defect: Option<Defect>,
    trace: bool,
) -> (World, Result<(), String>) {
    let mut world = World::new(seed, plan, defect, trace);
    let result = judge(&mut world);
    (world, result)
}

pub(super) fn judge(world: &mut World) -> Result<(), String> {
    let start = world.now;
    while !world.is_over() {
        if world.now.since(start) > LONGEST {
            return Err("the schedule hangs".to_owned());
        }
        let until = world.now + Duration::from_secs(5);
        world.run_until(until)?;
    }
    world.calm_down();
    let until = world.now + TIDY;
    world.run_until(until)?;
    let waiting = world.ledger.still_waiting();
    if !waiting.is_empty() {
        return Err(format!("calls {waiting:?} are never told"));
    }
    // All is gone that a live process did not abandon.
    for (session, name) in world
        .model
        .sessions()
        .map(|(s, n)| (s.to_owned(), n.to_owned()))
        .collect::<Vec<_>>()
    {
        let keys = world
            .model
            .held_keys()
            .into_iter()
            .filter(|(_, s)| *s == session)
            .count();
        if world.ledger.is_excused(&session, &name, keys > 0) {
            continue;
        }
        return Err(format!(
            "session {session} \"{name}\" is left, holding {keys} keys"
        ));
    }
    // After twice the longest TTL, and as much again for a change of leader, everything is gone.
    let until = world.now + Duration::from_secs(100);
    world.run_until(until)?;
    let left = leftovers(world);
    if !left.is_empty() {
        return Err(format!("left for ever: {left:?}"));
    }
    Ok(())
}

/// The theme of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theme {
    Anything,
    /// Many want one key: every fifth schedule.
    Line,
    /// A leader stands still, and then answers: every twentieth schedule.
    OldLeader,
    /// Anything, with locks of all kinds: three of twenty.
    Mixed,
    /// Many want the same few keys, with locks of all kinds: every fifth schedule.
    Crowd,
}

impl Theme {
    fn of(seed: u64) -> Theme {
        match seed % 20 {
            4 | 9 | 14 | 19 => Theme::Line,
            7 => Theme::OldLeader,
            1 | 6 | 12 => Theme::Mixed,
            2 | 8 | 13 | 15 => Theme::Crowd,
            _ => Theme::Anything,
        }
    }

    /// The themes in which a defect shows: a line has good weather, and an old leader is rare elsewhere.
    fn that_shows(defect: Defect) -> Theme {
        match defect {
            Defect::ForgetTheLine | Defect::Core(Sabotage::NeverPass | Sabotage::AnyoneTakes) => {
                Theme::Line
            }
            Defect::Core(Sabotage::ReviveTheDead) => Theme::OldLeader,
            Defect::Core(
                Sabotage::NoDrain
                | Sabotage::ForgivesLostTickets
                | Sabotage::SharesBesideAHolder
                | Sabotage::OneTooMany
                | Sabotage::ForgetsAKey
                | Sabotage::MissesItsSlot
                | Sabotage::SharerNeverPasses,
            ) => Theme::Crowd,
            _ => Theme::Anything,
        }
    }
}

pub(super) fn random_plan(seed: u64) -> Plan {
    let mut random = Random::new(seed ^ 0x5eed);
    match Theme::of(seed) {
        Theme::Anything => Plan::random(&mut random),
        Theme::Line => Plan::contended(&mut random),
        Theme::OldLeader => Plan::old_leader(&mut random),
        Theme::Mixed => Plan::mixed(&mut random),
        Theme::Crowd => Plan::crowd(&mut random),
    }
}

/// What many schedules have done.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    schedules: u64,
    held: u64,
    /// The holds of the schedules with locks of all kinds.
    kinds: Counts,
}

/// Runs `count` schedules from `first` on all cores, and answers the first seed that fails. `SIM_THEME=Crowd` runs
/// those of one theme; `SIM_GO_ON=1` tells each seed that fails, and goes on.
fn search(first: u64, count: u64, defect: Option<Defect>) -> (Tally, Option<u64>) {
    let next = AtomicU64::new(first);
    let failed = AtomicU64::new(u64::MAX);
    let tally = Mutex::new(Tally::default());
    let theme = std::env::var("SIM_THEME").ok();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || failed.load(Ordering::Relaxed) < seed {
                        return;
                    }
                    if defect.is_some_and(|defect| Theme::of(seed) != Theme::that_shows(defect)) {
                        continue;
                    }
                    if theme
                        .as_ref()
                        .is_some_and(|theme| *theme != format!("{:?}", Theme::of(seed)))
                    {
                        continue;
                    }
                    let (world, result) = run(seed, random_plan(seed), defect, false);
                    let mut tally = tally.lock().unwrap();
                    tally.schedules += 1;
                    tally.held += world.ledger.acquisitions;
                    if world.plan.mix.is_some() {
                        tally.kinds.add(world.ledger.holders.counts);
                    }
                    drop(tally);
                    if let (Err(error), Ok(_)) = (&result, std::env::var("SIM_GO_ON")) {
                        println!("seed {seed} ({:?}) fails: {error}", Theme::of(seed));
                        continue;
                    }
                    if result.is_err() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    (
        tally.into_inner().unwrap(),
        (failed != u64::MAX).then_some(failed),
    )
}

/// The history of a seed in words, with the property that it broke.
fn replay(seed: u64, defect: Option<Defect>) -> (String, Result<(), String>) {
    let plan = random_plan(seed);
    let head = format!("seed {seed}: {plan:#?}\n");
    let (world, result) = run(seed, plan, defect, true);
    (head + &world.history.unwrap_or_default(), result)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_schedules_keep_every_promise() {
    if let Some(seed) = number("SIM_SEED") {
        let (history, result) = replay(seed, None);
        println!("{history}\nseed {seed}: {result:?}");
        assert_eq!(result, Ok(()));
        return;
    }
    let count = number("SIM_SCHEDULES").unwrap_or(10_000);
    let first = number("SIM_FIRST").unwrap_or(0);
    let begun = Instant::now();
    let (tally, failed) = search(first, count, None);
    println!("{tally:?}, {:.1} s", begun.elapsed().as_secs_f64());
    if let Some(seed) = failed {
        let (history, result) = replay(seed, None);
        panic!("{history}\nseed {seed} fails: {result:?}; replay it with SIM_SEED={seed} make sim");
    }
    // A simulation in which no user gets a lock proves nothing.
    assert!(tally.held > tally.schedules);
}

/// The ticket that is left of such a waiter stands before live ones: they pass it within a grace or two, not only when
/// its TTL is over.
#[test]
fn a_dead_waiter_for_several_keys_that_has_lost_one_of_its_tickets_is_passed() {
    let (mut maimed, mut held) = (0, 0);
    for seed in 0..4_000 {
        let plan = random_plan(seed);
        if !plan.mix.as_ref().is_some_and(|mix| mix.maims) {
            continue;
        }
        let (world, result) = run(seed, plan, None, false);
        assert_eq!(result, Ok(()), "seed {seed}");
        maimed += world.maimed;
        held += world.ledger.holders.counts.several;
    }
    println!("{maimed} waiters lost a ticket, {held} locks of several keys held");
    assert!(maimed > 20 && held > 100);
}

fn catches(defect: Defect) {
    let (_, failed) = search(0, 200_000, Some(defect));
    let seed = failed.unwrap_or_else(|| panic!("{defect:?} is not caught"));
    let (_, broken) = replay(seed, Some(defect));
    println!("{defect:?} is caught by seed {seed}: {broken:?}");
    assert!(broken.is_err());
    assert_eq!(
        replay(seed, None).1,
        Ok(()),
        "the same schedule without the defect"
    );
}

#[test]
fn a_lease_counted_from_the_reply_is_caught() {
    catches(Defect::LeaseFromReply);
}

#[test]
fn a_session_that_an_old_leader_revives_is_caught() {
    catches(Defect::Core(Sabotage::ReviveTheDead));
}

#[test]
fn a_lock_with_a_short_life_is_caught() {
    catches(Defect::Core(Sabotage::HalfALife));
}

#[test]
fn an_end_under_an_unaware_holder_is_caught() {
    catches(Defect::Core(Sabotage::HurriedEnd));
}

#[test]
fn data_that_are_taken_for_a_lock_are_caught() {
    catches(Defect::TakeWhatIsThere);
}

#[test]
fn a_line_that_is_forgotten_is_caught() {
    catches(Defect::ForgetTheLine);
}

#[test]
fn a_head_that_is_never_passed_is_caught() {
    catches(Defect::Core(Sabotage::NeverPass));
}

#[test]
fn a_waiter_that_does_not_wait_for_its_turn_is_caught() {
    catches(Defect::Core(Sabotage::AnyoneTakes));
}

#[test]
fn an_exclusive_lock_that_does_not_wait_for_those_who_share_is_caught() {
    catches(Defect::Core(Sabotage::NoDrain));
}

#[test]
fn a_share_beside_an_exclusive_holder_is_caught() {
    catches(Defect::Core(Sabotage::SharesBesideAHolder));
}

#[test]
fn one_more_than_the_limit_is_caught() {
    catches(Defect::Core(Sabotage::OneTooMany));
}

#[test]
fn a_take_of_several_keys_that_forgets_one_is_caught() {
    catches(Defect::Core(Sabotage::ForgetsAKey));
}

#[test]
fn a_waiter_that_misses_its_slot_is_caught() {
    catches(Defect::Core(Sabotage::MissesItsSlot));
}

#[test]
fn a_waiter_that_shares_and_never_passes_is_caught() {
    catches(Defect::Core(Sabotage::SharerNeverPasses));
}

#[test]
fn a_dead_waiter_that_has_lost_a_ticket_and_is_forgiven_is_caught() {
    catches(Defect::Core(Sabotage::ForgivesLostTickets));
}

#[test]
fn a_release_by_key_is_caught() {
    catches(Defect::ReleaseByKey);
}

#[test]
fn doubt_taken_for_failure_is_caught() {
    catches(Defect::Core(Sabotage::DoubtIsFailure));
}

#[test]
fn a_session_pooled_after_an_ambiguous_release_is_caught() {
    catches(Defect::PoolAfterDoubt);
}

#[test]
fn a_lease_that_survives_a_suspend_is_caught() {
    catches(Defect::ClockStopsInSuspend);
}

#[test]
fn a_write_without_a_check_is_caught() {
    catches(Defect::WriteUnchecked);
}

#[test]
fn a_write_in_doubt_that_is_told_as_not_done_is_caught() {
    catches(Defect::DoubtIsNoWrite);
}

#[test]
fn a_loss_that_nobody_is_told_is_caught() {
    catches(Defect::SilentLoss);
}

#[test]
fn a_create_that_is_looked_for_once_is_caught() {
    catches(Defect::LookOnce);
}

#[test]
fn a_blocking_query_that_is_aborted_is_caught() {
    catches(Defect::Core(Sabotage::HangUp));
}

#[test]
fn sessions_on_the_agents_node_are_caught() {
    catches(Defect::AgentsNode);
}

#[test]
fn a_late_lock_that_is_kept_is_caught() {
    catches(Defect::KeepLateLock);
}

/// Runs a calm world of `rounds` locks to its end, and counts the Raft writes.
fn writes_of(rounds: u32) -> u64 {
    let mut world = World::new(7, Plan::calm(rounds), None, false);
    while !world.is_over() {
        let until = world.now + Duration::from_millis(10);
        world.run_until(until).unwrap();
    }
    let until = world.now + Duration::from_secs(5);
    world.run_until(until).unwrap();
    assert_eq!(
        leftovers(&world).len(),
        0,
        "5 s after the last release nothing is left"
    );
    world.model.raft_writes()
}

#[test]
fn one_lock_costs_three_raft_writes_and_a_hot_loop_two_each() {
    assert_eq!(writes_of(1), 3);
    // The first lock of a process ends its session; the second makes a session that the others use.
    assert_eq!(writes_of(101), 3 + 1 + 2 * 100 + 1);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    assert_eq!(replay(11, None), replay(11, None));
}
