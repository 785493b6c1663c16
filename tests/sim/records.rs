//! Flight records of simulated locks, replayed; or those of a log from the field.

use std::time::Duration;

use super::schedules::{random_plan, run};
use crate::clock::{Now, Time};
use crate::core::messages::{Answer, Fault, Request, SessionId, Value};
use crate::core::replay::read;
use crate::core::{Action, Call, CallId, Config, Core, Event, LockId, Patience, Spec, Upkeep};
use crate::error::{Error, Status};

/// The records of some schedules.
fn records(seeds: std::ops::Range<u64>) -> String {
    let mut text = String::new();
    for seed in seeds {
        let (world, result) = run(seed, random_plan(seed), None, false);
        assert_eq!(result, Ok(()), "seed {seed}");
        text.push_str(&world.records);
    }
    text
}

#[test]
fn what_was_recorded_is_replayed() {
    if let Ok(file) = std::env::var("SIM_RECORD") {
        let text = std::fs::read_to_string(&file).unwrap();
        let records = read(&text).unwrap();
        assert!(!records.is_empty(), "{file} holds no record");
        for record in records {
            println!(
                "{:?}",
                record
                    .replay()
                    .unwrap_or_else(|why| panic!("{record:?}\n{why}"))
            );
        }
        return;
    }
    let text = records(0..2_000);
    let (mut lost, mut unconfirmed, mut events) = (0, 0, 0);
    for record in read(&text).unwrap() {
        let replayed = record
            .replay()
            .unwrap_or_else(|why| panic!("{record:?}\n{why}"));
        lost += u32::from(replayed.lost);
        unconfirmed += u32::from(replayed.unconfirmed);
        events += replayed.events;
    }
    println!("{lost} lost, {unconfirmed} unconfirmed, {events} events replayed");
    assert!(
        lost > 100 && unconfirmed > 100,
        "{lost} lost, {unconfirmed} unconfirmed"
    );
}

/// A record with one number or word changed, or one entry left out, where the replay can see it.
#[test]
fn a_record_that_was_changed_is_noticed() {
    let text = records(0..300);
    let lost = text.lines().filter(|line| line.contains("part 1 of 1"));
    let mut changed = 0;
    for line in lost.take(100) {
        let count = |line: &str, word: &str| line.matches(word).count();
        let held = line.find("held s").unwrap();
        let (before, after) = line.split_at(held);
        for (word, other) in [
            (" | view 3", " | view 4"),
            ("lost 1", "lost 3"),
            ("ask-destroy", "ask-renew"),
            ("renewed ", "unknown "),
            ("session-gone ", "renewed "),
            ("view 2 ", "view 2 1"),
            ("tell ", "tell 9"),
        ] {
            if count(after, word) == 0 {
                continue;
            }
            let tampered = format!("{before}{}", after.replacen(word, other, 1));
            let record = read(&tampered).unwrap().pop().unwrap();
            assert!(record.replay().is_err(), "{tampered}\nof\n{line}");
            changed += 1;
        }
        // Without the last thing that was done.
        let (shorter, _) = line.rsplit_once(" | ").unwrap();
        assert!(
            read(shorter).unwrap().pop().unwrap().replay().is_err(),
            "{line}"
        );
    }
    assert!(changed > 100, "{changed}");
    let many = text
        .lines()
        .find(|line| line.contains("part 2 of 2"))
        .unwrap();
    assert!(read(many).is_err(), "the first part is missing");
    assert!(read("flight recorder of \"k\" part 1 of 1: limits 1 2 0 | +0 nonsense").is_err());
}

/// A lock of a core alone, which is lost with a write on its way: nothing that was stored, that
/// Consul said or that names a session is in its record.
#[test]
fn no_secret_is_recorded() {
    const SECRETS: [&str; 4] = [
        "value-marker",
        "token-marker",
        "session-marker",
        "data-marker",
    ];
    let [value, token, session, data] = SECRETS;
    let bytes = |text: &str| Value(text.as_bytes().to_vec().into());
    let limit = Duration::from_secs(10);
    let mut core = Core::new(Config {
        address: "sim:8500".to_owned(),
        identity: "consul_lock sim".to_owned(),
        request_timeout: limit,
        release_timeout: limit,
        lock_delay: false,
        flags: 0,
        session_node: None,
        connections: 32,
        seed: 1,
    });
    let mut now = Time(1_000_000_000);
    let (mut calls, mut lines) = (0, Vec::new());
    let mut step = |core: &mut Core, event| {
        now = now + Duration::from_millis(1);
        let mut out = Vec::new();
        let sent = Some(now);
        core.step(
            Now {
                time: now,
                unix_ms: 0,
            },
            event,
            &mut out,
        );
        let mut asked = None;
        for action in out {
            match action {
                Action::Send { id, request, .. } => asked = Some((id, request, sent)),
                Action::Log { line, .. } => lines.push(line),
                _ => {}
            }
        }
        asked
    };
    let mut call = |what| {
        calls += 1;
        let (lock, call) = (LockId(1), CallId(calls));
        Event::Call { lock, call, what }
    };
    let mut asked = step(
        &mut core,
        call(Call::Acquire(Spec {
            key: "locks/k".into(),
            value: Some(bytes(value)),
            ttl: limit,
            patience: Patience::Once,
            fair: true,
            monitor: true,
            grace: limit,
            upkeep: Upkeep::For(None),
        })),
    );
    let id = SessionId(session.into());
    while let Some((request, what, sent)) = asked {
        let answer = match what {
            Request::Read { .. } => Answer::Row {
                row: None,
                index: 1,
            },
            Request::CreateSession { .. } => Answer::Created(id.clone()),
            Request::Lock { .. } => Answer::Locked {
                index: 7,
                line: Vec::new(),
            },
            other => panic!("{other:?}"),
        };
        let answer = Ok(answer);
        asked = step(
            &mut core,
            Event::Reply {
                request,
                sent,
                answer,
            },
        );
    }
    let write = Call::Write {
        key: data.into(),
        value: Some(bytes(value)),
    };
    let (request, _, sent) = step(&mut core, call(write)).unwrap();
    let doubt = Error::new(Status::Unavailable, token.to_owned());
    let answer = Err(Fault::Unknown(doubt));
    step(
        &mut core,
        Event::Reply {
            request,
            sent,
            answer,
        },
    );
    let (request, _, sent) = step(&mut core, call(Call::Renew)).unwrap();
    let gone = Error::new(Status::Rejected, token.to_owned());
    let answer = Err(Fault::SessionGone(gone));
    step(
        &mut core,
        Event::Reply {
            request,
            sent,
            answer,
        },
    );

    lines.retain(|line| line.starts_with("flight recorder"));
    let text = lines.join("\n");
    for word in ["acquire", "put", "renew", "session-gone", "lost", "tell"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    for secret in SECRETS {
        assert!(!text.contains(secret), "{text}");
    }
    let replayed = read(&text).unwrap().pop().unwrap().replay().unwrap();
    assert!(replayed.lost && replayed.unconfirmed);
}

#[test]
fn a_line_is_not_too_long() {
    let text = records(0..300);
    assert!(
        text.lines().any(|line| line.contains("part 2 of ")),
        "long ones, too"
    );
    for line in text.lines() {
        assert!(line.len() < 1_000, "{line}");
    }
}
