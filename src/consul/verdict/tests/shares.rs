//! Replies of a real Consul 1.8.7 to the transactions of shares, and of several keys.

use std::sync::Arc;

use super::*;
use crate::core::messages::{Limit, Sharer};

/// A reply of Consul's, with the ids of the sessions in the places of OURS and THEIRS.
fn body(text: &str) -> String {
    text.replace("OURS", SID).replace("THEIRS", OTHER)
}

fn limit(number: u64) -> Limit {
    Limit::new(number).expect("a limit")
}

fn hi() -> Value {
    Value(b"hi".to_vec().into())
}

fn share(number: u64, slot: u64, probe: bool) -> Hold {
    Hold::Share {
        limit: limit(number),
        slot: Slot::new(slot),
        value: hi(),
        probe,
    }
}

fn see(line: bool, sharers: Sharers) -> See {
    See { line, sharers }
}

fn targets(keys: &[&str]) -> Vec<LockTarget> {
    let target = |key: &&str| LockTarget {
        key: (*key).into(),
        found: Found::Absent,
    };
    keys.iter().map(target).collect()
}

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| Key::from(*name)).collect()
}

/// A share of the slot 2 of `k`, which sees everything but for a reader.
fn enter(hold: Hold) -> Request {
    let sharers = match &hold {
        Hold::Share { limit, .. } if *limit == Limit::READERS => Sharers::Limited,
        _ => Sharers::All,
    };
    Request::Lock {
        targets: targets(&["k"]),
        hold,
        session: sid(),
        see: see(true, sharers),
    }
}

fn prove(rows: &[&str], gates: &[&str]) -> Request {
    Request::Prove {
        rows: keys(rows),
        session: sid(),
        gates: keys(gates),
    }
}

fn downgrade(number: u64) -> Request {
    Request::Downgrade {
        key: key(),
        token: 7,
        session: sid(),
        limit: limit(number),
        slot: Slot::new(2),
        value: hi(),
    }
}

fn upgrade(number: u64) -> Request {
    Request::Upgrade {
        target: target(Found::Absent),
        token: 7,
        session: sid(),
        limit: limit(number),
        slot: Slot::new(2),
        value: hi(),
    }
}

fn survey(names: &[&str], line: bool, sharers: Sharers) -> Request {
    Request::Survey {
        targets: targets(names),
        see: see(line, sharers),
    }
}

fn sharer(number: u64, slot: u64, session: &str, index: u64) -> Sharer {
    Sharer {
        limit: limit(number),
        slot: Slot::new(slot),
        session: SessionId(session.into()),
        create_index: index,
        modify_index: index,
        value: hi(),
    }
}

fn wanting(want: Want, slot: u64, session: &str, index: u64) -> Ticket {
    Ticket {
        slot: Slot::new(slot),
        session: SessionId(session.into()),
        want,
        several: None,
        create_index: index,
        modify_index: index,
    }
}

/// The answer must be that one, and no answer when a row is missing or doubled, or is another session's.
fn answers(request: &Request, text: &str, answer: Answer) {
    let said = body(text);
    assert_eq!(judge(request, 200, &said), Ok(answer.clone()), "{said}");
    let json: Json = serde_json::from_str(&said).expect("JSON");
    let rows = json["Results"].as_array().expect("rows");
    for number in 0..rows.len() {
        let (mut without, mut twice) = (rows.clone(), rows.clone());
        without.remove(number);
        twice.insert(number, rows[number].clone());
        for rows in [without, twice] {
            let other = serde_json::json!({"Results": rows, "Errors": null}).to_string();
            assert_ne!(judge(request, 200, &other), Ok(answer.clone()), "{other}");
        }
    }
}

fn refuses(request: &Request, errors: &str, answer: Answer) {
    let said = body(&format!(r#"{{"Results":null,"Errors":[{errors}]}}"#));
    assert_eq!(judge(request, 409, &said), Ok(answer), "{said}");
}

const READER: &str = r#"{"KV":{"LockIndex":1,"Key":"k/.share/002","Flags":1024,"Value":"aGk=","Session":"THEIRS","CreateIndex":16,"ModifyIndex":16}}"#;
const LIMITED: &str = r#"{"KV":{"LockIndex":1,"Key":"k/.share/slot/002","Flags":3,"Value":"aGk=","Session":"OURS","CreateIndex":17,"ModifyIndex":17}}"#;
const LIMITED_ROW: &str = r#"{"KV":{"LockIndex":1,"Key":"k/.share/slot/002","Flags":3,"Value":null,"Session":"OURS","CreateIndex":17,"ModifyIndex":17}}"#;
const TICKET: &str = r#"{"KV":{"LockIndex":1,"Key":"k/.fifo/00a","Flags":3,"Value":"aGk=","Session":"THEIRS","CreateIndex":20,"ModifyIndex":20}}"#;
const GATE: &str = r#"{"KV":{"LockIndex":1,"Key":"k","Flags":9,"Value":null,"Session":"OURS","CreateIndex":21,"ModifyIndex":21}}"#;

fn of(rows: &[&str]) -> String {
    format!(r#"{{"Results":[{}],"Errors":null}}"#, rows.join(","))
}

#[test]
fn a_share_and_what_it_sees() {
    let reader = r#"{"KV":{"LockIndex":1,"Key":"k/.share/002","Flags":1024,"Value":null,"Session":"OURS","CreateIndex":16,"ModifyIndex":16}}"#;
    let alone = Answer::Locked {
        index: 16,
        below: vec![Below::default()],
    };
    answers(&enter(share(1_024, 2, false)), &of(&[reader]), alone);

    let sharers = vec![sharer(1_024, 2, OTHER, 16), sharer(3, 2, SID, 17)];
    let line = vec![wanting(Want::Share(limit(3)), 0x00a, OTHER, 20)];
    let below = vec![Below { line, sharers }];
    let all = of(&[LIMITED_ROW, READER, LIMITED, TICKET]);
    let entered = Answer::Locked {
        index: 17,
        below: below.clone(),
    };
    answers(&enter(share(3, 2, false)), &all, entered);
    let shown = of(&[READER, LIMITED, TICKET]);
    answers(
        &survey(&["k"], true, Sharers::All),
        &shown,
        Answer::Line(below),
    );

    // With a lock-delay the key is locked and removed on the way.
    let key = GATE.replace("21", "17");
    let probed = Answer::Locked {
        index: 17,
        below: vec![Below {
            line: vec![],
            sharers: vec![sharer(3, 2, SID, 17)],
        }],
    };
    answers(
        &enter(share(3, 2, true)),
        &of(&[&key, LIMITED_ROW, LIMITED]),
        probed,
    );
    // A reader's row is not one with a limit, nor the other way round.
    for request in [enter(share(1_024, 2, false)), enter(share(4, 3, false))] {
        let said = body(&of(&[LIMITED_ROW]));
        assert_eq!(judged(&request, 200, &said), STRANGE);
    }
}

#[test]
fn a_share_that_is_refused() {
    let exists = r#"{"OpIndex":0,"What":"key \"k\" exists"}"#;
    let taken =
        r#"{"OpIndex":1,"What":"failed to lock key \"k/.share/slot/002\", lock is already held"}"#;
    let delayed =
        r#"{"OpIndex":1,"What":"failed to lock key \"k/.share/slot/002\" due to lock delay"}"#;
    let shares = enter(share(3, 2, false));
    refuses(&shares, taken, Answer::Held);
    refuses(&shares, exists, Answer::Changed);
    refuses(&shares, &format!("{exists},{taken}"), Answer::Changed);
    // A slot whose lock-delay runs is taken; a key whose lock-delay runs lets no session in.
    refuses(&shares, delayed, Answer::Held);
    let probes = enter(share(3, 2, true));
    let key_delayed = r#"{"OpIndex":1,"What":"failed to lock key \"k\" due to lock delay"}"#;
    refuses(&probes, key_delayed, Answer::Delayed);
    let slot_taken = taken.replace(":1,", ":3,");
    refuses(&probes, &slot_taken, Answer::Held);
    let dead = body(r#"{"Errors":[{"OpIndex":1,"What":"invalid session \"OURS\""}]}"#);
    assert_eq!(judged(&shares, 409, &dead), SESSION_GONE);
    // The errors of other operations are not those of this request.
    for strange in [
        taken.replace(":1,", ":0,"),
        exists.replace(":0,", ":1,"),
        format!("{taken},{delayed}"),
        slot_taken,
    ] {
        let said = format!(r#"{{"Errors":[{strange}]}}"#);
        assert_eq!(judged(&shares, 409, &said), REJECTED, "{strange}");
    }
}

/// One that shares takes its slot out of the line.
#[test]
fn a_share_out_of_the_line() {
    let take = Request::Take {
        targets: targets(&["k"]),
        hold: share(3, 2, false),
        slots: vec![Slot::new(0x00a)],
        session: sid(),
        ahead: vec![],
        see: see(false, Sharers::All),
    };
    let ticket = TICKET.replace("THEIRS", "OURS").replace("20", "15");
    let taken = Answer::Locked {
        index: 17,
        below: vec![Below {
            line: vec![],
            sharers: vec![sharer(1_024, 2, OTHER, 16), sharer(3, 2, SID, 17)],
        }],
    };
    answers(&take, &of(&[&ticket, LIMITED_ROW, READER, LIMITED]), taken);
    let gone =
        r#"{"OpIndex":0,"What":"failed to check session, key \"k/.fifo/00a\" doesn't exist"}"#;
    let exists = r#"{"OpIndex":2,"What":"key \"k\" exists"}"#;
    let slot =
        r#"{"OpIndex":3,"What":"failed to lock key \"k/.share/slot/002\", lock is already held"}"#;
    refuses(&take, gone, Answer::NoTicket);
    refuses(&take, &[gone, exists, slot].join(","), Answer::NoTicket);
    refuses(&take, exists, Answer::Changed);
    refuses(&take, &[exists, slot].join(","), Answer::Changed);
    refuses(&take, slot, Answer::Held);
}

#[test]
fn the_proof_of_a_gate() {
    let proved = |index, sharers| Answer::Proved {
        index,
        below: vec![Below {
            line: vec![],
            sharers,
        }],
    };
    let gate = prove(&["k"], &["k"]);
    answers(
        &gate,
        &of(&[GATE, READER]),
        proved(21, vec![sharer(1_024, 2, OTHER, 16)]),
    );
    answers(&gate, &of(&[GATE]), proved(21, vec![]));
    let row = prove(&["k/.share/slot/002"], &[]);
    let mine = Answer::Proved {
        index: 17,
        below: vec![],
    };
    answers(&row, &of(&[LIMITED_ROW]), mine);
    let other = r#"{"OpIndex":0,"What":"failed session check for key \"k\", current session \"THEIRS\" != \"OURS\""}"#;
    let gone = r#"{"OpIndex":0,"What":"failed to check session, key \"k\" doesn't exist"}"#;
    refuses(&gate, other, Answer::NotOurs { taken: true });
    refuses(&gate, gone, Answer::NotOurs { taken: false });
    // The row of another session proves nothing; a question changes nothing, so the fault is final.
    let said = body(&of(&[&GATE.replace("OURS", "THEIRS")]));
    assert_eq!(judged(&gate, 200, &said), REJECTED);
}

#[test]
fn a_downgrade_and_an_upgrade() {
    let down = r#"{"KV":{"LockIndex":1,"Key":"k/.share/slot/002","Flags":3,"Value":null,"Session":"OURS","CreateIndex":25,"ModifyIndex":25}}"#;
    let shared = Answer::Locked {
        index: 25,
        below: vec![],
    };
    answers(&downgrade(3), &of(&[GATE, down]), shared);
    let gone = r#"{"OpIndex":0,"What":"failed to check session, key \"k\" doesn't exist"}"#;
    let slot =
        r#"{"OpIndex":2,"What":"failed to lock key \"k/.share/slot/002\", lock is already held"}"#;
    refuses(&downgrade(3), gone, Answer::NotOurs { taken: false });
    let both = format!("{gone},{slot}");
    refuses(&downgrade(3), &both, Answer::NotOurs { taken: false });
    refuses(&downgrade(3), slot, Answer::Held);

    let up = Answer::Locked {
        index: 21,
        below: vec![Below {
            line: vec![],
            sharers: vec![sharer(1_024, 2, OTHER, 16)],
        }],
    };
    answers(&upgrade(3), &of(&[LIMITED_ROW, GATE, READER]), up);
    let exists = r#"{"OpIndex":2,"What":"key \"k\" exists"}"#;
    let held = r#"{"OpIndex":3,"What":"failed to lock key \"k\", lock is already held"}"#;
    let row = r#"{"OpIndex":0,"What":"failed to check session, key \"k/.share/slot/002\" doesn't exist"}"#;
    let delayed = r#"{"OpIndex":3,"What":"failed to lock key \"k\" due to lock delay"}"#;
    let free = Answer::NotOurs { taken: false };
    refuses(&upgrade(3), &[exists, held].join(","), Answer::Held);
    refuses(&upgrade(3), exists, Answer::Changed);
    refuses(&upgrade(3), delayed, Answer::Delayed);
    // What Consul says to the copy of an upgrade that it has applied.
    refuses(&upgrade(3), &[row, exists].join(","), free.clone());
    refuses(&upgrade(3), &[row, exists, held].join(","), free);
}

/// Other programs may write below `.share`; no slot is taken by it.
#[test]
fn what_is_no_share_takes_no_slot() {
    let row = |name: &str, flags: u64, session: &str| {
        format!(
            r#"{{"KV":{{"LockIndex":1,"Key":"k/.share/{name}","Flags":{flags},"Value":"aGk="{session},"CreateIndex":28,"ModifyIndex":28}}}}"#
        )
    };
    let ours = r#","Session":"OURS""#;
    let junk = [
        row("004", 0, ours),
        row("005", 5_000, ours),
        row("005", 66_560, ours),
        row("006", 1_024, ""),
        row("007", 1_024, r#","Session":"no id""#),
        row("slot/003/y", 3, ours),
        row("slot/400", 3, ours),
        row("slot/slot/001", 3, ours),
        row("slot/", 3, ours),
        row("slot/zz", 0, ""),
        row("x", 0, ""),
        row("008", 1_024, ours).replace("aGk=", "not base64!"),
    ];
    let real = vec![sharer(1_024, 2, OTHER, 16), sharer(3, 2, SID, 17)];
    let below = vec![Below {
        line: vec![wanting(Want::Share(limit(3)), 0x00a, OTHER, 20)],
        sharers: real,
    }];
    for junk in &junk {
        let said = body(&of(&[READER, junk, LIMITED, TICKET]));
        let answer = judge(&survey(&["k"], true, Sharers::All), 200, &said);
        assert_eq!(answer, Ok(Answer::Line(below.clone())), "{junk}");
    }
    // What another program keeps in a folder of a similar name is in the tree of both folders, and says nothing.
    let alike = [
        READER.replace("k/.share", "k/.shared"),
        READER.replace("k/.share", "k/.share2"),
        TICKET.replace("k/.fifo", "k/.fifos"),
    ];
    for other in &alike {
        let said = body(&of(&[READER, other, LIMITED, TICKET]));
        let answer = judge(&survey(&["k"], true, Sharers::All), 200, &said);
        assert_eq!(answer, Ok(Answer::Line(below.clone())), "{other}");
        // The tree of one folder has no rows of another one.
        let said = body(&of(&[READER, other, LIMITED]));
        let judged = judged(&survey(&["k"], false, Sharers::All), 200, &said);
        assert_eq!(judged, REJECTED, "{other}");
    }
    // No tree has a row of another key, or the key itself.
    for other in [READER.replace("k/.share", "x/.share"), GATE.to_owned()] {
        let said = body(&of(&[READER, &other, LIMITED, TICKET]));
        let judged = judged(&survey(&["k"], true, Sharers::All), 200, &said);
        assert_eq!(judged, REJECTED, "{other}");
    }
    // One that asked for those with a limit alone gets no others.
    let said = body(&of(&[READER, LIMITED, TICKET]));
    let limited = survey(&["k"], true, Sharers::Limited);
    assert_eq!(judged(&limited, 200, &said), REJECTED);
    let said = body(&of(&[LIMITED, TICKET]));
    assert!(judge(&limited, 200, &said).is_ok());
}

/// Consul does not say where a tree ends. No key of a lock has a segment `.share` or `.fifo`, so no folder of one key
/// begins like that of another key, and each row belongs to one tree.
#[test]
fn the_trees_of_keys_that_look_alike() {
    let names = [
        "a",
        "a/.x",
        "a/.fif",
        "a/.fifo2",
        "a/.shar",
        "a/.share2",
        "a/b",
        "a/b/slot",
        "a/slot",
        "aa",
    ];
    let mut every_key = keys(&names);
    every_key.sort();
    let names: Vec<&str> = every_key.iter().map(|key| &**key).collect();
    let folders: Vec<String> = names
        .iter()
        .flat_map(|key| ["share/", "fifo/"].map(|folder| format!("{key}/.{folder}")))
        .collect();
    for (number, folder) in folders.iter().enumerate() {
        for (other, like) in folders.iter().enumerate() {
            assert!(
                number == other || !like.starts_with(folder),
                "{folder} {like}"
            );
        }
    }
    // Every selection of trees that have rows is told apart.
    for chosen in 0..1_u32 << names.len() {
        let mut rows = Vec::new();
        let mut expected = Vec::new();
        for (number, key) in names.iter().enumerate() {
            let mut below = Below::default();
            let index = 30 + u64::try_from(number).expect("small");
            if chosen & 1 << number != 0 {
                let share = READER.replace("k/.share", &format!("{key}/.share"));
                rows.push(share.replace(":16", &format!(":{index}")));
                below.sharers = vec![sharer(1_024, 2, OTHER, index)];
            }
            if chosen & 1 << (names.len() - 1 - number) != 0 {
                let ticket = TICKET.replace("k/.fifo", &format!("{key}/.fifo"));
                rows.push(ticket.replace(":20", &format!(":{index}")));
                below.line = vec![wanting(Want::Share(limit(3)), 0x00a, OTHER, index)];
            }
            expected.push(below);
        }
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let said = body(&of(&rows));
        let answer = judge(&survey(&names, true, Sharers::All), 200, &said);
        assert_eq!(answer, Ok(Answer::Line(expected)), "{said}");
    }
}

/// The list of keys in a ticket is what another program wrote: whatever it names, the answer panics nowhere, and no
/// row is taken for another tree's where the names are those of locks.
#[test]
fn the_trees_of_keys_that_are_no_locks() {
    let nested = survey(&["k", "k/.fifo/x"], true, Sharers::None);
    let inner = TICKET.replace("k/.fifo", "k/.fifo/x/.fifo");
    let said = body(&of(&[TICKET, &inner]));
    let Ok(Answer::Line(below)) = judge(&nested, 200, &said) else {
        panic!("{said}")
    };
    // The inner row is no ticket of the outer line, and the inner line looks empty: its waiter has no ticket there.
    assert_eq!(below.len(), 2);
    assert_eq!(below[0].line.len(), 1);
    assert_eq!(below[1], Below::default());
    let twice = survey(&["k", "k"], true, Sharers::None);
    let said = body(&of(&[TICKET, TICKET]));
    let Ok(Answer::Line(below)) = judge(&twice, 200, &said) else {
        panic!("{said}")
    };
    assert_eq!((below[0].line.len(), below[1].line.len()), (2, 0));
}

/// The rows of a waiter for `a` and `a/b`, as Consul shows them.
fn ticket_of_two(key: &str, slot: &str, value: &str) -> String {
    format!(
        r#"{{"KV":{{"LockIndex":1,"Key":"{key}/.fifo/{slot}","Flags":65536,"Value":{value},"Session":"OURS","CreateIndex":36,"ModifyIndex":36}}}}"#
    )
}

const TWO: &str = r#""eyJrZXlzIjpbImEiLCJhL2IiXSwidiI6MX0=""#;

fn row_of_two(key: &str) -> String {
    GATE.replace(r#""k""#, &format!(r#""{key}""#))
        .replace("21", "38")
}

#[test]
fn the_lines_of_several_keys() {
    let names = ["a", "a/b"];
    let join = Request::Join {
        keys: keys(&names).into(),
        slots: vec![Slot::new(0x00a), Slot::new(0x00b)],
        want: Want::Exclusive,
        session: sid(),
        see: see_line(),
    };
    let rows: Vec<String> = ["null", TWO]
        .iter()
        .flat_map(|value| {
            [("a", "00a"), ("a/b", "00b")].map(|(key, slot)| ticket_of_two(key, slot, value))
        })
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let several: Arc<[Key]> = keys(&names).into();
    let below = |slot: u64, several: Arc<[Key]>| Below {
        line: vec![Ticket {
            several: Some(several),
            ..wanting(Want::Exclusive, slot, SID, 36)
        }],
        sharers: vec![],
    };
    let lines = vec![below(0x00a, several.clone()), below(0x00b, several)];
    answers(&join, &of(&rows), Answer::Line(lines));
    refuses(
        &join,
        r#"{"OpIndex":1,"What":"failed to lock key \"a/b/.fifo/00b\", lock is already held"}"#,
        Answer::Held,
    );
    // A ticket that says it is of several keys, and whose list cannot be read, has an empty one.
    for value in ["null", r#""aGk=""#, r#""eyJrZXlzIjpbMV19""#] {
        let said = body(&of(&[&ticket_of_two("k", "00a", value)]));
        let line = judge(&survey(&["k"], true, Sharers::None), 200, &said);
        let unread = below(0x00a, Arc::from([]));
        assert_eq!(line, Ok(Answer::Line(vec![unread])), "{value}");
    }
}

#[test]
fn the_survey_of_several_keys() {
    let two = survey(&["a", "a/b"], true, Sharers::All);
    let nothing = vec![Below::default(), Below::default()];
    answers(&two, &of(&[]), Answer::Line(nothing));
    let first = r#"{"OpIndex":0,"What":"key \"a\" exists"}"#;
    let second = r#"{"OpIndex":1,"What":"key \"a/b\" exists"}"#;
    refuses(&two, &[first, second].join(","), Answer::Exists(0));
    refuses(&two, second, Answer::Exists(1));
    // There is no third key.
    let third = r#"{"Errors":[{"OpIndex":2,"What":"key \"a/b\" exists"}]}"#;
    assert_eq!(judged(&two, 409, third), REJECTED);
    // A key that no session held: it is there no more, or it has changed.
    let mut targets = targets(&["zz", "a/b"]);
    targets[0].found = Found::Unlocked(1);
    let indexed = Request::Survey {
        targets,
        see: see_line(),
    };
    let gone = r#"{"OpIndex":0,"What":"failed to check index, key \"zz\" doesn't exist"}"#;
    let moved =
        r#"{"OpIndex":0,"What":"failed index check for key \"zz\", current modify index 38 != 1"}"#;
    refuses(&indexed, gone, Answer::Exists(0));
    refuses(&indexed, &[moved, second].join(","), Answer::Exists(0));
}

#[test]
fn several_keys_taken_and_proved() {
    let names = ["a", "a/b"];
    let (first, second) = (row_of_two("a"), row_of_two("a/b"));
    let both = [&*first, &*second];
    let lock = Request::Lock {
        targets: targets(&names),
        hold: Hold::Exclusive { value: hi() },
        session: sid(),
        see: see(false, Sharers::All),
    };
    let below = vec![Below::default(), Below::default()];
    let locked = Answer::Locked {
        index: 38,
        below: below.clone(),
    };
    answers(&lock, &of(&both), locked.clone());
    let held = |key: &str, number: usize| {
        format!(
            r#"{{"OpIndex":{number},"What":"key \"{key}\" exists"}},{{"OpIndex":{},"What":"failed to lock key \"{key}\", lock is already held"}}"#,
            number + 1
        )
    };
    let all_held = [held("a", 0), held("a/b", 2)].join(",");
    refuses(&lock, &all_held, Answer::Held);
    refuses(&lock, &held("a/b", 2), Answer::Held);
    let free_but_there = r#"{"OpIndex":2,"What":"key \"a/b\" exists"}"#;
    refuses(&lock, free_but_there, Answer::Changed);
    // One key is held, and the lock-delay of the other runs.
    let delayed = r#"{"OpIndex":1,"What":"failed to lock key \"a\" due to lock delay"}"#;
    refuses(&lock, &[delayed, &held("a/b", 2)].join(","), Answer::Held);
    refuses(&lock, delayed, Answer::Delayed);

    let take = Request::Take {
        targets: targets(&names),
        hold: Hold::Exclusive { value: hi() },
        slots: vec![Slot::new(0x00a), Slot::new(0x00b)],
        session: sid(),
        ahead: vec![],
        see: see(false, Sharers::All),
    };
    let ticket = ticket_of_two("a", "00a", "null");
    answers(&take, &of(&[&ticket, &first, &second]), locked);

    let proof = prove(&names, &names);
    let proved = Answer::Proved { index: 38, below };
    answers(&proof, &of(&both), proved);
    let gone = r#"{"OpIndex":0,"What":"failed to check session, key \"a\" doesn't exist"}"#;
    refuses(&proof, gone, Answer::NotOurs { taken: false });
    let unlock = Request::Unlock {
        rows: keys(&names),
        session: sid(),
        lines: keys(&names),
    };
    refuses(&unlock, gone, Answer::NotOurs { taken: false });
    let empty = Answer::Unlocked {
        below: vec![Below::default(), Below::default()],
    };
    answers(&unlock, &of(&both), empty);
}
