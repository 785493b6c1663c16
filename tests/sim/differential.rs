//! The model against a real Consul: the same random requests go to both, and both must answer the same. So the
//! results of the simulation hold for Consul, as far as these requests ask for its rules. Both are asked through
//! sockets: the model's side is the server of `consul-lock dev`.
//!
//! The tests compare the status, the text and the indexes. The values of indexes differ from run to run, so the
//! tests compare which of them are equal and which is greater, over a whole sequence. LockIndex counts exactly.
//!
//! The tests need a Consul, from CONSUL_BIN or PATH. `DIFFERENTIAL_SEED=N` replays one sequence in words.

mod others;
mod sequences;
mod shares;
mod sides;
mod step;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use self::sequences::{oddities, op, sequence};
use self::shares::of_shares;
use self::sides::{Consul, Modelled, Party, Remote};
use self::step::Step;
use super::model::{Edition, Flaw, Model, Served};
use super::plan::Random;
use super::real::{Agent, Connection, ModelServer, start_agent};
use crate::clock::Time;
use crate::consul::encode::{Scope, encode};
use crate::consul::http::{HttpReply, HttpRequest, Method};
use crate::core::messages::{
    Found, Hold, Key, Limit, LockTarget, Request, See, SessionId, Sharers, Slot, Stalled, Value,
    Want, line_of, permits_of,
};

const SEQUENCES: u64 = 2_000;

/// A node of the catalog that no agent owns.
const NODE: &str = "locks";

/// The id of a session that never existed.
const UNKNOWN: &str = "11111111-2222-3333-4444-555555555555";

/// `api.LockFlagValue` of Consul's Go client.
const LOCK_FLAGS: &str = "3304740253564472344";

/// Runs a sequence on both. The error has the sequence in words up to the first difference.
fn compare(
    steps: &[(Option<Duration>, Step)],
    model: &mut dyn Consul,
    real: &mut dyn Consul,
) -> Result<String, String> {
    let (mut model, mut real) = (Party::new(model), Party::new(real));
    let mut told = String::new();
    for (at, step) in steps {
        if let Some(at) = at {
            model.consul.wait_until(*at);
            real.consul.wait_until(*at);
            let _ = write!(told, "at {at:?}: ");
        }
        let (expected, said) = (real.step(step), model.step(step));
        let _ = writeln!(told, "{}\n    {expected}", step.words());
        if said != expected {
            return Err(format!("{told}The model says:\n    {said}\n"));
        }
        if let Some(why) = order_differs(&model.indexes, &real.indexes) {
            return Err(format!("{told}{why}\n"));
        }
    }
    Ok(told)
}

/// The indexes of both sides, in the order in which they appeared, must compare alike.
fn order_differs(model: &[u64], real: &[u64]) -> Option<String> {
    let mut pairs: Vec<(u64, u64)> = real.iter().copied().zip(model.iter().copied()).collect();
    pairs.sort_unstable();
    let differs = |pair: &&[(u64, u64)]| pair[0].0.cmp(&pair[1].0) != pair[0].1.cmp(&pair[1].1);
    let pair = pairs.windows(2).find(differs)?;
    Some(format!(
        "Indexes: {} and {} are {} and {} in the model; all: {real:?}, model: {model:?}",
        pair[0].0, pair[1].0, pair[0].1, pair[1].1
    ))
}

/// The sequences of many seeds, one after another.
fn compare_all(
    seeds: std::ops::Range<u64>,
    model: &mut dyn Consul,
    real: &mut dyn Consul,
) -> Result<usize, String> {
    let mut requests = 0;
    for seed in seeds {
        let steps = sequence(seed);
        requests += steps.len();
        if let Err(told) = compare(&steps, model, real) {
            return Err(format!(
                "sequence {seed}:\n{told}DIFFERENTIAL_SEED={seed} replays it"
            ));
        }
    }
    Ok(requests)
}

#[test]
fn the_model_says_what_consul_says() {
    let agent = start_agent();
    let server = ModelServer::start(agent.edition());
    let (mut model, mut real) = (Remote::served(&server), Remote::real(&agent));
    if let Ok(seed) = std::env::var("DIFFERENTIAL_SEED") {
        let seed: u64 = seed.parse().expect("a number");
        let told = compare(&sequence(seed), &mut model, &mut real);
        println!("{}", told.as_ref().unwrap_or_else(|error| error));
        assert!(told.is_ok());
        return;
    }
    let begun = Instant::now();
    for steps in [oddities(), of_shares()] {
        match compare(&steps, &mut model, &mut real) {
            Ok(told) => println!("{told}"),
            Err(told) => panic!("{told}"),
        }
    }
    let requests =
        compare_all(0..SEQUENCES, &mut model, &mut real).unwrap_or_else(|told| panic!("{told}"));
    println!(
        "{SEQUENCES} sequences, {requests} requests, {:.1} s",
        begun.elapsed().as_secs_f64()
    );
}

#[test]
fn a_wrong_rule_is_noticed() {
    let modelled = |seed| Modelled::new(seed, Edition::V1_22);
    let right = compare_all(0..300, &mut modelled(1), &mut modelled(2));
    assert!(right.is_ok(), "two right models differ: {right:?}");
    for flaw in [
        Flaw::PutKeepsLockIndex,
        Flaw::RelockIsAChange,
        Flaw::ReleaseDeletes,
        Flaw::NoRollback,
    ] {
        let mut wrong = modelled(1);
        wrong.model.break_rule(flaw);
        let found = compare_all(0..300, &mut wrong, &mut modelled(2));
        assert!(found.is_err(), "{flaw:?} is not noticed");
    }
}

/// A change of the key wakes a blocking query on an existing key, any change below wakes one on a missing key, and
/// any change below its prefix wakes a listing.
#[test]
fn the_model_wakes_whom_consul_wakes() {
    let session = |place: usize| format!(",\"Session\":\"{{S{place}}}\"");
    let lock = |key: &str, place| Step::txn(&[op("lock", key, &session(place))]);
    let set = |key: &str| Step::put(format!("/v1/kv/{key}"), "v");
    let (key, line) = ("w/k", "/v1/kv/w/k/.fifo/");
    let [first, second] = ["w/k/.fifo/000", "w/k/.fifo/00a"];
    let permits = "/v1/kv/w/k/.share/slot/";
    let (one, another) = ("w/k/.share/slot/000", "w/k/.share/slot/001");
    let reader = "w/k/.share/000";
    let slots = |other: Step| {
        let target = format!("{permits}?keys&index={{M:{permits}}}&wait=200ms");
        Step::get(target).meanwhile(other)
    };
    let read = |key: &str| Step::get(format!("/v1/kv/{key}"));
    let watch = |key: &str, other: Step| {
        let query = format!("?index={{M:/v1/kv/{key}}}&wait=200ms");
        Step::get(format!("/v1/kv/{key}{query}")).meanwhile(other)
    };
    let names = |other: Step| {
        let target = format!("{line}?keys&index={{M:{line}}}&wait=200ms");
        Step::get(target).meanwhile(other)
    };
    let destroy = |place: usize| Step::put(format!("/v1/session/destroy/{{S{place}}}"), "");
    let steps = [
        Step::create(0, "3600s", "delete", "0s"),
        Step::create(1, "3600s", "delete", "0s"),
        lock(key, 0),
        read(key),
        watch(key, lock(first, 0)),
        watch(key, lock(first, 1)),
        watch(key, lock(key, 1)),
        watch(key, lock(key, 0)),
        watch(key, set("w/kx")),
        watch(key, set("w/k/x")),
        watch(key, set(key)),
        watch(key, Step::delete(format!("/v1/kv/{key}"))),
        // The key is missing now: every change below it wakes the query.
        watch(key, lock(second, 1)),
        watch(key, lock(second, 0)),
        watch(key, Step::txn(&[op("delete", second, "")])),
        watch(key, set("w/k/x/y")),
        watch(key, lock(key, 1)),
        // A ticket that the next waiter in line watches.
        lock(second, 1),
        read(first),
        watch(first, Step::txn(&[op("delete", second, "")])),
        watch(first, lock(second, 1)),
        watch(first, Step::txn(&[op("lock", first, &session(0))])),
        watch(first, destroy(0)),
        // The whole line.
        Step::get(format!("{line}?keys")),
        names(set(key)),
        names(set("w/kx")),
        names(set("w/k/x")),
        names(set("w/k/.fifoo")),
        names(lock(first, 1)),
        names(lock(second, 1)),
        names(lock(first, 0)),
        names(Step::txn(&[
            op("delete", first, ""),
            op("delete", second, ""),
        ])),
        names(set("w/k/.fifoo")),
        names(set("w/k/.fif")),
        names(lock(second, 1)),
        names(destroy(1)),
        // Those who share the key with a limit, as a waiter for a slot watches them.
        Step::create(2, "3600s", "delete", "0s"),
        lock(one, 2),
        Step::get(format!("{permits}?keys")),
        slots(lock(another, 2)),
        slots(lock(reader, 2)),
        slots(lock(key, 2)),
        slots(Step::txn(&[op("delete", one, "")])),
        slots(destroy(2)),
        slots(set("w/k/.share/slot/x")),
    ]
    .map(|step| (None, step));
    let agent = start_agent();
    let server = ModelServer::start(agent.edition());
    let (mut model, mut real) = (Remote::served(&server), Remote::real(&agent));
    let told = compare(&steps, &mut model, &mut real);
    println!("{}", told.as_ref().unwrap_or_else(|error| error));
    assert!(told.is_ok(), "{}", told.unwrap_err());
}

/// In the model's own time, as the simulation has it.
#[test]
fn the_model_ends_sessions_when_consul_does() {
    let agent = start_agent();
    let mut model = Modelled::new(1, agent.edition());
    sessions_end_alike(&mut model, &agent);
}

#[test]
fn the_server_ends_sessions_when_consul_does() {
    let agent = start_agent();
    let server = ModelServer::start(agent.edition());
    sessions_end_alike(&mut Remote::served(&server), &agent);
}

/// A session ends at twice its TTL, a renewed one later, and its lock-delay begins then. The probes come a second
/// before and after these instants.
fn sessions_end_alike(model: &mut dyn Consul, agent: &Agent) {
    let lock = |key: &str, session: usize| {
        Step::txn(&[op(
            "lock",
            &format!("t/{key}"),
            &format!(",\"Session\":\"{{S{session}}}\""),
        )])
    };
    let read = |key: &str| Step::get(format!("/v1/kv/t/{key}"));
    let renew = |session: usize| Step::put(format!("/v1/session/renew/{{S{session}}}"), "");
    let destroy = |session: usize| Step::put(format!("/v1/session/destroy/{{S{session}}}"), "");
    let at = |ms: u64, step: Step| (Some(Duration::from_millis(ms)), step);
    let steps = [
        at(0, Step::create(0, "10s", "delete", "0s")),
        at(0, Step::create(1, "10s", "delete", "0s")),
        at(0, Step::create(4, "10s", "delete", "3s")),
        at(0, Step::create(5, "3600s", "delete", "0s")),
        at(0, lock("plain", 0)),
        at(0, lock("renewed", 1)),
        at(0, lock("destroyed", 4)),
        at(0, destroy(4)),
        // Consul ends sessions of the same instant in any order, so these end one after the other.
        at(300, Step::create(2, "10s", "release", "4s")),
        at(300, lock("released", 2)),
        at(600, Step::create(3, "10s", "delete", "4s")),
        at(600, lock("delayed", 3)),
        at(1_500, lock("destroyed", 5)),
        at(1_500, Step::put("/v1/kv/t/destroyed?acquire={S5}", "v")),
        at(1_500, Step::put("/v1/kv/t/destroyed", "v")),
        at(4_500, lock("destroyed", 5)),
        at(7_000, renew(1)),
        at(18_500, read("plain")),
        at(18_500, read("released")),
        at(18_500, read("delayed")),
        at(21_000, read("plain")),
        at(21_000, read("released")),
        at(21_000, read("delayed")),
        at(21_000, read("renewed")),
        at(21_000, lock("plain", 5)),
        at(21_000, lock("released", 5)),
        at(21_000, lock("delayed", 5)),
        at(21_000, renew(0)),
        at(25_500, lock("released", 5)),
        at(25_500, lock("delayed", 5)),
        at(25_500, read("renewed")),
        at(28_500, read("renewed")),
        at(28_500, renew(1)),
    ];
    let told = compare(&steps, model, &mut Remote::real(agent));
    println!("{}", told.as_ref().unwrap_or_else(|error| error));
    assert!(told.is_ok(), "{}", told.unwrap_err());
}
