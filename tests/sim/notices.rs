//! The book of notices: the holder of a key that an operator deletes, or whose session an operator ends, is told soon,
//! whichever of its keys it is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::defects::Defect;
use super::holders::Who;
use super::network::Weather;
use super::plan::{Plan, Random};
use super::schedules::run;
use crate::clock::Time;
use crate::core::sabotage::Sabotage;

/// How late a notice may come in good weather. The watch begins a second after the acquire, and tells of the first key
/// within two round trips; the library asks for all keys of several every 5 s.
const SOON: Duration = Duration::from_secs(7);

/// What the operator did to a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Blow {
    /// The operator ended the session.
    Session,
    /// The operator deleted the only key, or the first of several.
    FirstKey,
    /// The operator deleted another key of several.
    OtherKey,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Notices {
    owed: BTreeMap<Who, (Time, Blow)>,
    /// How many holders were told.
    pub(super) counts: BTreeMap<Blow, u64>,
}

impl Notices {
    /// The operator has dealt a blow to a lock whose holder can be told.
    pub(super) fn owes(&mut self, who: Who, blow: Blow, now: Time) {
        self.owed.entry(who).or_insert((now + SOON, blow));
    }

    /// The holder is told.
    pub(super) fn told(&mut self, who: Who) {
        if let Some((_, blow)) = self.owed.remove(&who) {
            *self.counts.entry(blow).or_default() += 1;
        }
    }

    /// The caller does something with the lock by which it learns of the loss, or needs to know no more.
    pub(super) fn forgets(&mut self, who: Who) {
        self.owed.remove(&who);
    }

    pub(super) fn crashed(&mut self, process: usize) {
        self.owed.retain(|(of, _), _| *of != process);
    }

    /// No notice is late.
    pub(super) fn in_time(&self, now: Time) -> Result<(), String> {
        let late = self.owed.iter().find(|(_, (by, _))| now > *by);
        match late {
            Some(((process, lock), (_, blow))) => Err(format!(
                "the holder of lock {} of p{process} is not told of its loss: {blow:?}",
                lock.0
            )),
            None => Ok(()),
        }
    }
}

/// An operator meddles with locks that are held for long, in good weather.
fn plan(seed: u64) -> Plan {
    let mut random = Random::new(seed ^ 0x7e11);
    let delay = Duration::from_micros([200, 2_000, 20_000][random.below(3) as usize]);
    let mut plan = Plan {
        users: 1,
        keys: 2 + random.below(4),
        ..Plan::mixed(&mut random)
    };
    plan = Plan {
        processes: 1 + random.below(3) as usize,
        rounds: 3,
        weather: Weather {
            delay,
            ..Weather::calm()
        },
        longest_hold: Duration::from_secs(25),
        hot: true,
        stops: false,
        crashes: false,
        leader_changes: false,
        leader_freezes: None,
        operator: true,
        squatter: false,
        removals: false,
        plain: false,
        fair: true,
        ..plan
    };
    let keys = plan.keys;
    if let Some(mix) = &mut plan.mix {
        mix.limits.resize(keys as usize, mix.limits[0]);
        mix.several = 70;
    }
    plan
}

#[test]
fn a_holder_is_told_soon_whichever_key_is_lost() {
    let mut counts: BTreeMap<Blow, u64> = BTreeMap::new();
    for seed in 0..3_000 {
        let (world, result) = run(seed, plan(seed), None, false);
        if result.is_err() {
            let (world, _) = run(seed, plan(seed), None, true);
            panic!(
                "{}\nseed {seed}: {result:?}",
                world.history.unwrap_or_default()
            );
        }
        for (blow, count) in world.notices.counts {
            *counts.entry(blow).or_default() += count;
        }
    }
    println!("{counts:?}");
    for blow in [Blow::Session, Blow::FirstKey, Blow::OtherKey] {
        assert!(
            counts.get(&blow).is_some_and(|count| *count > 50),
            "{counts:?}"
        );
    }
}

#[test]
fn a_core_that_asks_for_the_first_key_alone_is_caught() {
    let defect = Some(Defect::Core(Sabotage::WatchesTheFirstAlone));
    let caught = (0..3_000).find_map(|seed| run(seed, plan(seed), defect, false).1.err());
    let error = caught.expect("a holder that is not told");
    assert!(error.contains("OtherKey"), "{error}");
}
