//! Replies of a real Consul 1.8.7 (and texts of newer servers), and what each must mean.

use super::*;
use crate::consul::secrets::Secrets;
use crate::core::messages::{
    AgentRow, Found, Key, KeyRow, LineSlot, NodeRow, SessionRow, Ticket, Value,
};
use std::time::Duration;

const SID: &str = "0e5c1fbd-0b6a-61a5-e0f6-d4a5a0f1b2c3";

const OTHER: &str = "12a803c7-0ccb-c9dd-2e09-aa09f4b1bf6c";

fn sid() -> SessionId {
    SessionId(SID.into())
}
fn key() -> Key {
    "k".into()
}
fn create() -> Request {
    Request::CreateSession {
        name: "ours".into(),
        ttl: Duration::from_secs(10),
        node: None,
    }
}
fn find() -> Request {
    Request::FindSession {
        name: "ours".into(),
    }
}
fn renew() -> Request {
    Request::RenewSession { session: sid() }
}
fn destroy() -> Request {
    Request::DestroySession { session: sid() }
}
fn describe() -> Request {
    Request::DescribeSession { session: sid() }
}
fn lock() -> Request {
    Request::Lock {
        key: key(),
        found: Found::Absent,
        value: Value(b"hunter2".to_vec().into()),
        session: sid(),
        line: false,
    }
}
fn unlock() -> Request {
    Request::Unlock {
        key: key(),
        session: sid(),
        line: false,
    }
}
fn put() -> Request {
    Request::Write {
        lock: key(),
        session: sid(),
        key: "data".into(),
        value: Some(Value(b"hunter2".to_vec().into())),
    }
}
fn delete() -> Request {
    Request::Write {
        lock: key(),
        session: sid(),
        key: "data".into(),
        value: None,
    }
}
fn read() -> Request {
    Request::Read {
        key: key(),
        consistent: true,
    }
}
fn watch() -> Request {
    Request::Watch {
        key: key(),
        index: 5,
        wait: Duration::from_secs(1),
    }
}
/// The requests that concern the line of a key.
fn of_the_line() -> [Request; 7] {
    let mut with_line = [lock(), unlock()];
    for request in &mut with_line {
        if let Request::Lock { line, .. } | Request::Unlock { line, .. } = request {
            *line = true;
        }
    }
    let [lock, unlock] = with_line;
    let ahead = vec![ticket(0x3ff, 311)];
    [
        lock,
        unlock,
        Request::Survey { key: key() },
        Request::ReadLine { key: key() },
        Request::Join {
            key: key(),
            slot: LineSlot::new(0x00a),
            session: sid(),
        },
        Request::Take {
            key: key(),
            found: Found::Absent,
            slot: LineSlot::new(0x00a),
            value: Value(b"hunter2".to_vec().into()),
            session: sid(),
            ahead: ahead.clone(),
        },
        Request::Clear { key: key(), ahead },
    ]
}
fn ticket(slot: u64, index: u64) -> Ticket {
    let session = if slot == 0x00a { SID } else { OTHER };
    Ticket {
        slot: LineSlot::new(slot),
        session: SessionId(session.into()),
        create_index: index,
        modify_index: index,
    }
}
fn every() -> Vec<Request> {
    let plain = [
        create(),
        find(),
        renew(),
        destroy(),
        describe(),
        lock(),
        unlock(),
        put(),
        delete(),
        read(),
        watch(),
    ];
    plain.into_iter().chain(of_the_line()).collect()
}

/// A row as a transaction shows it.
fn shown(key: &str, session: &str, index: u64) -> String {
    format!(
        r#"{{"KV":{{"LockIndex":1,"Key":{},"Flags":0,"Value":null,"Session":"{session}","CreateIndex":{index},"ModifyIndex":{index}}}}}"#,
        serde_json::json!(key)
    )
}

/// A transaction that went through; `tail` as one that only reads has it.
fn results(rows: &[String], tail: &str) -> String {
    let rows = rows.join(",");
    format!(r#"{{"Results":[{rows}],"Errors":null{tail}}}"#)
}

const READ_ONLY: &str = r#","Index":0,"LastContact":0,"KnownLeader":true,"ConsistencyLevel":"""#;

fn reply(status: u16, body: &str) -> HttpReply {
    HttpReply {
        status,
        index: None,
        body: body.as_bytes().to_vec(),
        secrets: Secrets::default(),
    }
}

fn judge(request: &Request, status: u16, body: &str) -> Result<Answer, Fault> {
    verdict(request, Ok(reply(status, body)))
}

fn errors(whats: &[&str]) -> String {
    let errors: Vec<Json> = whats
        .iter()
        .map(|w| serde_json::json!({"OpIndex": 0, "What": w}))
        .collect();
    serde_json::json!({"Results": null, "Errors": errors}).to_string()
}

/// The class, and the status in it.
fn class(result: Result<Answer, Fault>) -> (&'static str, Status) {
    match result {
        Ok(answer) => panic!("an answer: {answer:?}"),
        Err(Fault::NotApplied(e)) => ("not applied", e.status),
        Err(Fault::Unknown(e)) => ("unknown", e.status),
        Err(Fault::SessionGone(e)) => ("session gone", e.status),
        Err(Fault::TooLarge(e)) => ("too large", e.status),
        Err(Fault::Final(e)) => ("final", e.status),
    }
}

#[test]
fn answers() {
    let locked = format!(
        r#"{{"Results":[{{"KV":{{"LockIndex":1,"Key":"k","Flags":3304740253564472344,"Value":null,"Session":"{SID}","CreateIndex":17,"ModifyIndex":19}}}}],"Errors":null}}"#
    );
    assert_eq!(
        judge(&lock(), 200, &locked),
        Ok(Answer::Locked {
            index: 19,
            line: Vec::new()
        })
    );
    let held = r#"{"Results":null,"Errors":[{"OpIndex":0,"What":"failed to lock key \"k\", lock is already held"}]}"#;
    assert_eq!(judge(&lock(), 409, held), Ok(Answer::Held));
    let delayed = r#"{"Results":null,"Errors":[{"OpIndex":0,"What":"failed to lock key \"k\" due to lock delay"}]}"#;
    assert_eq!(judge(&lock(), 409, delayed), Ok(Answer::Delayed));
    let unlocked = format!(
        r#"{{"Results":[{{"KV":{{"LockIndex":1,"Key":"k","Flags":0,"Value":null,"Session":"{SID}","CreateIndex":17,"ModifyIndex":17}}}}],"Errors":null}}"#
    );
    assert_eq!(
        judge(&unlock(), 200, &unlocked),
        Ok(Answer::Unlocked { line: Vec::new() })
    );
    for (gone, taken) in [
        (
            r#"failed session check for key "k", current session "other" != "ours""#,
            true,
        ),
        (
            r#"failed session check for key "k", current session "" != "ours""#,
            false,
        ),
        (r#"failed to check session, key "k" doesn't exist"#, false),
    ] {
        for request in [unlock(), put(), delete()] {
            let answer = judge(&request, 409, &errors(&[gone]));
            assert_eq!(answer, Ok(Answer::NotOurs { taken }), "{gone}");
        }
    }
    let row = |key: &str, session: &str| {
        format!(
            r#"{{"KV":{{"LockIndex":1,"Key":"{key}","Flags":0,"Value":null{session},"CreateIndex":17,"ModifyIndex":17}}}}"#
        )
    };
    let checked = row("k", &format!(r#","Session":"{SID}""#));
    let results = |rows: &[&str]| format!(r#"{{"Results":[{}],"Errors":null}}"#, rows.join(","));
    let written = results(&[&checked, &row("data", "")]);
    assert_eq!(judge(&put(), 200, &written), Ok(Answer::Written));
    assert_eq!(
        judge(&delete(), 200, &results(&[&checked])),
        Ok(Answer::Written)
    );
    for strange in [
        results(&[&checked]),
        results(&[&checked, &row("other", "")]),
        results(&[&row("k", ""), &row("data", "")]),
        results(&[&checked, &row("data", ""), &row("data", "")]),
        results(&[&checked, &row("data", "").replace("17", "0")]),
    ] {
        let class = class(judge(&put(), 200, &strange));
        assert_eq!(class, ("unknown", Status::Rejected), "{strange}");
    }
    let created = format!("{{\n    \"ID\": \"{SID}\"\n}}\n");
    assert_eq!(judge(&create(), 200, &created), Ok(Answer::Created(sid())));
    let list = format!(r#"[{{"ID":"x","Name":"other"}},{{"ID":"{SID}","Name":"ours"}}]"#);
    assert_eq!(judge(&find(), 200, &list), Ok(Answer::Found(Some(sid()))));
    assert_eq!(judge(&find(), 200, "[]"), Ok(Answer::Found(None)));
    assert_eq!(
        judge(&renew(), 200, &format!(r#"[{{"ID":"{SID}"}}]"#)),
        Ok(Answer::Renewed)
    );
    assert_eq!(judge(&destroy(), 200, "true\n"), Ok(Answer::Destroyed));
    let others = format!(r#"[{{"ID":"{OTHER}","Name":"theirs","Node":"n2"}}]"#);
    assert_eq!(
        judge(&describe(), 200, &others),
        Ok(Answer::Described(None))
    );
    let info = format!(r#"[{{"ID":"{SID}","Name":"ours","Node":"n1","TTL":"30s"}}]"#);
    let row = SessionRow {
        name: "ours".to_owned(),
        node: "n1".to_owned(),
        ttl: Some(Duration::from_secs(30)),
    };
    assert_eq!(
        judge(&describe(), 200, &info),
        Ok(Answer::Described(Some(row)))
    );
    assert_eq!(judge(&describe(), 200, "[]"), Ok(Answer::Described(None)));
    assert_eq!(
        judge(&describe(), 403, "Permission denied"),
        Ok(Answer::Described(None))
    );
}

#[test]
fn a_list_of_sessions_is_read_one_by_one() {
    let others = "{\"\":0}, ".repeat(200_000);
    let name = match find() {
        Request::FindSession { name } => name,
        _ => unreachable!(),
    };
    let list = |id: &str| format!(" [ {others}{{\"ID\":\"{id}\",\"Name\":\"{name}\"}} ]\n");
    let id = sid().to_string();
    let found = judge(&find(), 200, &list(&id));
    assert_eq!(found, Ok(Answer::Found(Some(sid()))));
    let long = format!("[{{\"a\":\"{}\"}}]", "a".repeat(100_000));
    for no_list in [
        &list("../x"),
        &long,
        "",
        "[",
        "null",
        "{}",
        "[{}",
        "[{},]",
        "[,{}]",
        "[{}{}]",
        "[{}] []",
        "[{]",
    ] {
        let judged = judge(&find(), 200, no_list);
        assert!(matches!(judged, Err(Fault::Final(_))), "{judged:?}");
    }
}

#[test]
fn answers_about_a_line() {
    let [lock, unlock, survey, read_line, join, take, clear] = of_the_line();
    let (main, own, other) = (
        shown("k", SID, 315),
        shown("k/.fifo/00a", SID, 312),
        shown("k/.fifo/3ff", OTHER, 311),
    );
    let line = vec![ticket(0x3ff, 311)];
    for (rows, line) in [
        (vec![main.clone()], vec![]),
        (vec![main.clone(), other.clone()], line.clone()),
    ] {
        let body = results(&rows, "");
        let locked = Answer::Locked {
            index: 315,
            line: line.clone(),
        };
        assert_eq!(judge(&lock, 200, &body), Ok(locked));
        assert_eq!(judge(&unlock, 200, &body), Ok(Answer::Unlocked { line }));
    }
    // The check of the key that was found unlocked, or ours, shows it first.
    let unlocked = main.replace(&format!(",\"Session\":\"{SID}\""), "");
    assert_ne!(unlocked, main);
    for (state, checked) in [(Found::Unlocked(9), &unlocked), (Found::Ours, &main)] {
        let mut found = lock.clone();
        if let Request::Lock { found, .. } = &mut found {
            *found = state;
        }
        let rows = [checked.clone(), main.clone(), other.clone()];
        let line = line.clone();
        let locked = Answer::Locked { index: 315, line };
        assert_eq!(judge(&found, 200, &results(&rows, "")), Ok(locked));
        let without = results(&rows[1..2], "");
        assert!(judge(&found, 200, &without).is_err());
        assert!(judge(&lock, 200, &results(&rows, "")).is_err());
    }
    for (rows, line) in [(vec![], vec![]), (vec![other.clone()], line)] {
        let body = results(&rows, READ_ONLY);
        for request in [&survey, &read_line] {
            assert_eq!(judge(request, 200, &body), Ok(Answer::Line(line.clone())));
        }
    }
    let exists = errors(&[r#"key "k" exists"#]);
    assert_eq!(judge(&survey, 409, &exists), Ok(Answer::Exists));

    // The row of the lock, then those of the tree, with the own ticket among them.
    let body = results(&[own.clone(), own.clone(), other.clone()], "");
    let both = vec![ticket(0x00a, 312), ticket(0x3ff, 311)];
    assert_eq!(judge(&join, 200, &body), Ok(Answer::Line(both)));
    let held = errors(&[r#"failed to lock key "k/.fifo/00a", lock is already held"#]);
    assert_eq!(judge(&join, 409, &held), Ok(Answer::Held));

    let body = results(&[own.clone(), main.clone()], "");
    let locked = Answer::Locked {
        index: 315,
        line: vec![],
    };
    assert_eq!(judge(&take, 200, &body), Ok(locked));
    assert_eq!(judge(&clear, 200, &results(&[], "")), Ok(Answer::Cleared));

    // What must be the lock's or the ticket's own row is something else.
    for (request, rows) in [
        (&clear, vec![main.clone()]),
        (&lock, vec![]),
        (&lock, vec![other.clone()]),
        // A guarded write's.
        (&lock, vec![main.clone(), shown("data", "", 316)]),
        (&lock, vec![main.clone(), main.clone()]),
        (&lock, vec![other.clone(), main.clone()]),
        (&lock, vec![own.clone(), main.clone()]),
        (&lock, vec![shown("k", OTHER, 315)]),
        (&unlock, vec![]),
        (&unlock, vec![other.clone()]),
        (&unlock, vec![own.clone(), main.clone()]),
        (&join, vec![]),
        (&join, vec![other.clone(), own.clone()]),
        (&join, vec![shown("k/.fifo/00a", OTHER, 312), own.clone()]),
        (&join, vec![main.clone()]),
        (&take, vec![]),
        (&take, vec![own.clone()]),
        // An unlock's, and a lock's.
        (&take, vec![main.clone()]),
        (&take, vec![main.clone(), main.clone()]),
        (&take, vec![own.clone(), own.clone(), main.clone()]),
        (&take, vec![own.clone(), main.clone(), other.clone()]),
        (&take, vec![shown("k/.fifo/00a", OTHER, 312), main.clone()]),
        (&take, vec![main.clone(), own.clone()]),
        (&take, vec![own.clone(), shown("k", OTHER, 315)]),
    ] {
        let body = results(&rows, "");
        assert_eq!(
            class(judge(request, 200, &body)),
            ("unknown", Status::Rejected),
            "{request:?} {body}"
        );
    }
}

/// Every operation of a transaction that fails says so.
#[test]
fn refusals_in_a_line() {
    let [lock, unlock, survey, read_line, join, take, clear] = of_the_line();
    let dead = format!(r#"invalid session "{SID}""#);
    let stale = r#"failed to delete key "k/.fifo/3ff", index is stale"#;
    let missing = r#"failed to check session, key "k/.fifo/00a" doesn't exist"#;
    let taken = format!(
        r#"failed session check for key "k/.fifo/00a", current session "{OTHER}" != "{SID}""#
    );
    let held = r#"failed to lock key "k", lock is already held"#;
    let delayed = r#"failed to lock key "k" due to lock delay"#;
    let exists = r#"key "k" exists"#;
    let moved = r#"failed index check for key "k", current modify index 9 != 7"#;
    let gone = r#"failed to check index, key "k" doesn't exist"#;
    for (whats, answer) in [
        (&[stale][..], Answer::Stale),
        (&[stale, stale], Answer::Stale),
        (&[missing], Answer::NoTicket),
        (&[&taken], Answer::NoTicket),
        (&[stale, missing, held], Answer::NoTicket),
        (&[&taken, held], Answer::NoTicket),
        (&[held], Answer::Held),
        (&[stale, held], Answer::Held),
        (&[delayed], Answer::Delayed),
        (&[stale, delayed], Answer::Delayed),
        (&[exists], Answer::Changed),
        (&[moved], Answer::Changed),
        (&[stale, gone], Answer::Stale),
        (&[exists, held], Answer::Held),
        (&[missing, exists, held], Answer::NoTicket),
    ] {
        assert_eq!(judge(&take, 409, &errors(whats)), Ok(answer), "{whats:?}");
    }
    let not_mine =
        format!(r#"failed session check for key "k", current session "{OTHER}" != "{SID}""#);
    for (whats, answer) in [
        (&[held][..], Answer::Held),
        (&[exists, held], Answer::Held),
        (&[moved, held], Answer::Held),
        (&[&not_mine, held], Answer::Held),
        (&[exists], Answer::Changed),
        (&[moved], Answer::Changed),
        (&[gone], Answer::Changed),
        (
            &[r#"failed to check session, key "k" doesn't exist"#],
            Answer::Changed,
        ),
    ] {
        assert_eq!(judge(&lock, 409, &errors(whats)), Ok(answer), "{whats:?}");
    }
    assert_eq!(
        judge(&clear, 409, &errors(&[stale, stale])),
        Ok(Answer::Stale)
    );
    assert_eq!(judge(&lock, 409, &errors(&[delayed])), Ok(Answer::Delayed));
    assert_eq!(
        judge(&unlock, 409, &errors(&[missing])),
        Ok(Answer::NotOurs { taken: false })
    );
    // A dead session counts before all else: its ticket went with it.
    for (request, whats) in [
        (&lock, &[&*dead][..]),
        (&join, &[&*dead]),
        (&take, &[&*dead]),
        (&take, &[missing, &dead]),
        (&take, &[stale, missing, &dead]),
    ] {
        let said = class(judge(request, 409, &errors(whats)));
        assert_eq!(
            said,
            ("session gone", Status::Unavailable),
            "{request:?} {whats:?}"
        );
    }
    // What an operation of another request would say is no answer to this one; nor is a text that
    // we do not know, whatever stands beside it.
    let new = "something new";
    for (request, whats) in [
        (&survey, &[new][..]),
        (&survey, &[exists, new]),
        (&survey, &[held]),
        (&read_line, &[exists]),
        (&read_line, &[missing]),
        (&join, &[stale]),
        (&join, &[held, new]),
        (&join, &[&dead, new]),
        (&take, &[new]),
        (&take, &[stale, new]),
        (&take, &[missing, &dead, new]),
        (&clear, &[missing]),
        (&clear, &[stale, new]),
        (&clear, &[&dead]),
        (&lock, &[stale]),
        (&unlock, &[stale]),
        (&unlock, &[missing, &dead]),
    ] {
        let said = class(judge(request, 409, &errors(whats)));
        assert_eq!(said, ("final", Status::Rejected), "{request:?} {whats:?}");
    }
    // Without rights, one operation says so, or each; the others may say anything.
    let denial = "Permission denied";
    for request in of_the_line() {
        for whats in [
            &[denial][..],
            &[denial, denial, denial, denial],
            &[stale, missing, denial],
            &[&dead, denial],
            &["Permission denied: token with AccessorID '5' lacks permission 'key:write' on \"k\""],
        ] {
            let Err(Fault::Final(error)) = judge(&request, 409, &errors(whats)) else {
                panic!("{request:?} {whats:?}")
            };
            assert_eq!(error.status, Status::Denied);
            // Only reading a line is done with read: check-not-exists wants to write.
            let needs = match request {
                Request::ReadLine { .. } => "key:read on \"k\"",
                _ => "key:write on \"k\"",
            };
            // A newer Consul names the permission.
            if !whats[0].contains("lacks") {
                assert!(error.message.contains(needs), "{request:?}: {error}");
            }
            let denials = error.message.matches("Permission denied").count();
            assert!(denials <= 1, "said once: {error}");
        }
        let whats = errors(&[held, "ACL not found"]);
        let Err(Fault::NotApplied(error)) = judge(&request, 409, &whats) else {
            panic!("{request:?}")
        };
        assert_eq!(error.status, Status::Denied);
        let why = "Consul does not know the token";
        assert!(error.message.contains(why), "{error}");
    }
}

/// Any program may write below the line's prefix.
#[test]
fn what_is_no_ticket_orders_no_waiter() {
    let [lock, _, survey, read_line, join, ..] = of_the_line();
    let unlocked = |name: &str| {
        format!(
            r#"{{"KV":{{"LockIndex":0,"Key":"k/.fifo/{name}","Flags":0,"Value":"eA==","CreateIndex":5,"ModifyIndex":6}}}}"#
        )
    };
    let strange = [
        unlocked("001"),
        shown("k/.fifo/001", "", 7),
        shown("k/.fifo/001", "../../x?recurse", 7),
        shown("k/.fifo/0001", OTHER, 7),
        shown("k/.fifo/01", OTHER, 7),
        shown("k/.fifo/", OTHER, 7),
        shown("k/.fifo/00A", OTHER, 7),
        shown("k/.fifo/3FF", OTHER, 7),
        shown("k/.fifo/400", OTHER, 7),
        shown("k/.fifo/fff", OTHER, 7),
        shown("k/.fifo/+01", OTHER, 7),
        shown("k/.fifo/0x1", OTHER, 7),
        shown("k/.fifo/001/x", OTHER, 7),
        shown("k/.fifo/x/001", OTHER, 7),
        shown("k/.fifo/\u{e9}1", OTHER, 7),
        r#"{"KV":{"Key":"k/.fifo/001","Session":7,"CreateIndex":5,"ModifyIndex":6}}"#.to_owned(),
        format!(r#"{{"KV":{{"Key":"k/.fifo/001","Session":"{OTHER}","ModifyIndex":6}}}}"#),
        format!(
            r#"{{"KV":{{"Key":"k/.fifo/001","Session":"{OTHER}","CreateIndex":-5,"ModifyIndex":6}}}}"#
        ),
    ];
    let real = shown("k/.fifo/3ff", OTHER, 311);
    for row in &strange {
        let body = results(&[row.clone(), real.clone(), row.clone()], READ_ONLY);
        let line = vec![ticket(0x3ff, 311)];
        for request in [&survey, &read_line] {
            let said = judge(request, 200, &body);
            assert_eq!(said, Ok(Answer::Line(line.clone())), "{row}");
        }
        let body = results(&[shown("k", SID, 315), row.clone(), real.clone()], "");
        let locked = Answer::Locked {
            index: 315,
            line: line.clone(),
        };
        assert_eq!(judge(&lock, 200, &body), Ok(locked), "{row}");
        let body = results(
            &[shown("k/.fifo/00a", SID, 312), row.clone(), real.clone()],
            "",
        );
        assert_eq!(judge(&join, 200, &body), Ok(Answer::Line(line)), "{row}");
    }
    // What is not below the prefix is no answer to this question.
    for row in [
        shown("x/.fifo/001", OTHER, 7),
        shown("k/.fifoo001", OTHER, 7),
        shown("k", OTHER, 7),
        r#"{"KV":{}}"#.to_owned(),
    ] {
        let body = results(&[shown("k", SID, 315), row.clone(), real.clone()], "");
        assert_eq!(class(judge(&lock, 200, &body)).0, "unknown", "{row}");
        let body = results(&[real.clone(), row.clone()], READ_ONLY);
        for request in [&survey, &read_line] {
            assert_eq!(class(judge(request, 200, &body)).0, "final", "{row}");
        }
    }
}

#[test]
fn rows() {
    let row = |session: &str, value: &str| {
        format!(
            r#"[{{"LockIndex":1,"Key":"k","Flags":0,"Value":{value}{session},"CreateIndex":3,"ModifyIndex":4}}]"#
        )
    };
    let with_index = |status, body: &str| HttpReply {
        index: Some(9),
        ..reply(status, body)
    };
    let key_row = |session: Option<SessionId>, value: &[u8]| KeyRow {
        session,
        create_index: 3,
        modify_index: 4,
        flags: 0,
        value: Value(value.to_vec().into()),
    };
    for request in [read(), watch()] {
        let judge = |reply| verdict(&request, Ok(reply));
        let held = row(&format!(r#","Session":"{SID}""#), r#""aGk=""#);
        let expected = Answer::Row {
            row: Some(key_row(Some(sid()), b"hi")),
            index: 9,
        };
        assert_eq!(judge(with_index(200, &held)), Ok(expected));
        let free = Answer::Row {
            row: Some(key_row(None, b"")),
            index: 9,
        };
        assert_eq!(judge(with_index(200, &row("", "null"))), Ok(free));
        assert_eq!(
            judge(with_index(404, "")),
            Ok(Answer::Row {
                row: None,
                index: 9
            })
        );
        // Not from Consul's KV store.
        assert_eq!(
            class(judge(reply(404, "404 page not found"))),
            ("final", Status::Rejected)
        );
        assert_eq!(class(judge(reply(200, &held))), ("final", Status::Rejected));
        let broken = row("", r#""not base64!""#);
        assert_eq!(
            class(judge(with_index(200, &broken))),
            ("final", Status::Rejected)
        );
        // Of another key.
        let other = held.replace("\"k\"", "\"other\"");
        assert_eq!(
            class(judge(with_index(200, &other))),
            ("final", Status::Rejected)
        );
        // What is no id of Consul's holds the key, and is not passed on.
        for id in ["../../kv/x?raw", "a b", "x\\ny", "\u{e9}", &"a".repeat(65)] {
            let odd = row(&format!(r#","Session":"{id}""#), "null");
            let Ok(Answer::Row { row: Some(row), .. }) = judge(with_index(200, &odd)) else {
                panic!("{id}")
            };
            assert_eq!(row.session, Some(SessionId::unreadable()));
        }
        // A key with a session of any form is not free.
        let strange = row(r#","Session":7"#, "null");
        assert_eq!(
            class(judge(with_index(200, &strange))),
            ("final", Status::Rejected)
        );
    }
}

#[test]
fn surely_not_applied() {
    for text in [
        "No cluster leader",
        "No path to datacenter",
        "No known Consul servers",
        "Not ready to serve consistent reads",
        "rpc error getting client: failed to get conn: dial tcp 127.0.0.1:8300: connect: connection refused",
        "rpc error getting client: failed to get conn: rpc error: lead thread didn't get connection",
        "rpc error making call: rpc error getting client: failed to get conn: rpc error: lead thread didn't get connection",
        "raft apply failed: leadership transfer in progress",
    ] {
        for request in every() {
            assert_eq!(
                class(judge(&request, 500, text)),
                ("not applied", Status::Unavailable)
            );
        }
    }
    for (status, text) in [
        (
            429,
            "Your IP is issuing too many concurrent connections, please rate limit your calls\n",
        ),
        (
            429,
            "rate limit exceeded, try again later or against a different server",
        ),
        (
            503,
            "rate limit exceeded for operation that can only be performed by the leader, try again later",
        ),
    ] {
        for request in every() {
            assert_eq!(
                class(judge(&request, status, text)),
                ("not applied", Status::Unavailable)
            );
        }
    }
    for request in every() {
        let refused = Err(Failure::NotSent("connection refused".to_owned()));
        assert_eq!(
            class(verdict(&request, refused)),
            ("not applied", Status::Unavailable)
        );
    }
}

#[test]
fn perhaps_applied() {
    for request in every() {
        // A read that failed was not "maybe applied".
        let expected = if facts::of(&request).reads() {
            "not applied"
        } else {
            "unknown"
        };
        for text in [
            "leadership lost while committing log",
            "raft apply failed: leadership lost while committing log",
            "raft apply failed: raft is already shutdown",
            "shutdown waiting for leader",
            "rpc error making call: EOF",
            "rpc error making call: rpc error making call: i/o deadline reached",
            "raft is already shutdown",
            "connection is shut down",
            "something that no Consul has said so far",
            "",
        ] {
            assert_eq!(
                class(judge(&request, 500, text)),
                (expected, Status::Unavailable),
                "{text}"
            );
        }
        // A proxy's: Consul may have applied it before the proxy lost it.
        for (status, text) in [
            (502, ""),
            (503, "upstream connect error"),
            (503, ""),
            (504, ""),
        ] {
            assert_eq!(
                class(judge(&request, status, text)),
                (expected, Status::Unavailable),
                "{status}"
            );
        }
        let lost = Err(Failure::Unknown("no reply in time".to_owned()));
        assert_eq!(
            class(verdict(&request, lost)),
            (expected, Status::Unavailable)
        );
    }
}

#[test]
fn an_answer_that_is_too_large_is_not_a_lost_one() {
    let too_large = |request: &Request| {
        let failure = Failure::TooLarge("more than is read".to_owned());
        class(verdict(request, Err(failure)))
    };
    let [with_line, and_unlock, survey, line, join, take, clear] = of_the_line();
    for request in [read(), watch(), with_line, and_unlock, survey, line, join] {
        assert_eq!(too_large(&request), ("too large", Status::Rejected));
    }
    // These cannot be repeated without the line: Consul may have applied them.
    for request in [create(), lock(), unlock(), put(), delete(), take, clear] {
        assert_eq!(too_large(&request), ("unknown", Status::Unavailable));
    }
}

#[test]
fn rights() {
    for request in every() {
        if matches!(request, Request::DescribeSession { .. }) {
            continue;
        }
        for text in [
            "Permission denied",
            "Permission denied: token with AccessorID '5' lacks permission 'key:write' on \"k\"",
        ] {
            assert_eq!(class(judge(&request, 403, text)), ("final", Status::Denied));
        }
        // The server may not know the token yet.
        assert_eq!(
            class(judge(&request, 403, "ACL not found")),
            ("not applied", Status::Denied)
        );
    }
    for request in [lock(), unlock(), put(), delete()] {
        let body = errors(&["Permission denied", "Permission denied"]);
        assert_eq!(
            class(judge(&request, 409, &body)),
            ("final", Status::Denied)
        );
    }
    let Err(Fault::Final(error)) = judge(&lock(), 403, "Permission denied") else {
        panic!()
    };
    let all = "; an acquire needs in all key_prefix \"k\" { policy = \"write\" } session_prefix \"\" { policy = \"write\" }";
    assert!(error.message.ends_with(all), "{error}");
    let rule = "key:write on \"k\", as with key \"k\" { policy = \"write\" } (docs/acl.md)";
    assert!(error.message.contains(rule), "{error}");
    for newer in [
        "Permission denied: token with AccessorID '5' lacks permission 'key:write' on \"k\"",
        "Permission denied: anonymous token lacks permission 'key:write' on \"k\". The anonymous token is used \
         implicitly when a request does not specify a token.",
    ] {
        let Err(Fault::Final(error)) = judge(&lock(), 403, newer) else {
            panic!()
        };
        let hint = "; give the token that permission, as with key \"k\" { policy = \"write\" } (docs/acl.md)";
        assert!(error.message.contains(&format!("{newer}{hint}")), "{error}");
    }
}

/// A slot whose lock-delay runs is as good as taken: there are others.
#[test]
fn a_slot_with_a_lock_delay_is_taken() {
    let [_, _, _, _, join, ..] = of_the_line();
    let whats = ["failed to lock key \"k/.fifo/00a\" due to lock delay"];
    assert_eq!(judge(&join, 409, &errors(&whats)), Ok(Answer::Held));
}

/// One side refuses the other: trying again is no use.
#[test]
fn a_connection_that_cannot_work() {
    for request in every() {
        let refused = Err(Failure::Refused("we refuse it".to_owned()));
        let Err(Fault::Final(error)) = verdict(&request, refused) else {
            panic!("{request:?}")
        };
        assert_eq!(
            (error.status, error.retryable),
            (Status::Unavailable, false)
        );
        let text = "Client sent an HTTP request to an HTTPS server.";
        assert_eq!(
            class(judge(&request, 400, text)),
            ("final", Status::Unavailable)
        );
    }
}

#[test]
fn sessions_that_are_gone() {
    let text = format!("invalid session \"{SID}\"");
    assert_eq!(
        class(judge(&lock(), 409, &errors(&[&text]))).0,
        "session gone"
    );
    assert_eq!(class(judge(&lock(), 500, &text)).0, "session gone");
    assert_eq!(
        class(judge(
            &renew(),
            404,
            &format!("Session id '{SID}' not found")
        ))
        .0,
        "session gone"
    );
    // Not Consul's 404.
    for text in ["404 page not found\n", ""] {
        assert_eq!(
            class(judge(&renew(), 404, text)),
            ("unknown", Status::Rejected)
        );
    }
}

#[test]
fn final_refusals() {
    for (status, text) in [
        (400, "Request decode failed: EOF"),
        (400, "Failed to parse body: EOF"),
        (
            400,
            "Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature",
        ),
        (413, "Transaction contains too many operations (65 > 64)"),
        (400, "invalid key name, keys should respect the format"),
        (
            413,
            "Request body(600000 bytes) too large, max size: 524288 bytes.",
        ),
        (405, "method POST not allowed"),
        (
            500,
            "Invalid Session TTL '10000000000', must be between [1m0s=24h0m0s]",
        ),
        (
            500,
            "invalid key name, keys should respect the \"^[a-z]+$\" format.",
        ),
    ] {
        assert_eq!(
            class(judge(&lock(), status, text)),
            ("final", Status::Rejected),
            "{text}"
        );
        assert_eq!(
            class(judge(&create(), status, text)),
            ("final", Status::Rejected),
            "{text}"
        );
    }
    let short = "Invalid Session TTL '10000000000', must be between [1m0s=24h0m0s]";
    let error = judge(&create(), 500, short).expect_err("refused");
    let remedy = "(lock_timeout_seconds is below session_ttl_min of this agent)";
    assert!(error.error().message.contains(remedy), "{error:?}");
    // An unknown text in a transaction is an error, never "held"; nor is a mixture.
    for whats in [
        &["something new"][..],
        &["lock is already held"],
        &[
            r#"failed to lock key "k", lock is already held"#,
            "something new",
        ],
        &[
            r#"failed to lock key "k", lock is already held"#,
            r#"failed to lock key "k" due to lock delay"#,
        ],
    ] {
        assert_eq!(
            class(judge(&lock(), 409, &errors(whats))),
            ("final", Status::Rejected)
        );
    }
    let held = r#"failed to lock key "k", lock is already held"#;
    assert_eq!(class(judge(&unlock(), 409, &errors(&[held]))).0, "final");
    // An error without a text is not one that we know.
    let silent = format!(
        r#"{{"Results":null,"Errors":[{{"OpIndex":0,"What":{}}},{{"OpIndex":1}}]}}"#,
        serde_json::json!(held)
    );
    // A body that is no refusal of a transaction may come from a proxy.
    for body in [&*silent, &errors(&[]), "", "conflict", "{}", "<html>"] {
        assert_eq!(class(judge(&lock(), 409, body)).0, "unknown", "{body}");
    }
}

/// A proxy may say so after Consul has carried out the request.
#[test]
fn what_consul_does_not_say_is_unknown() {
    for (status, text) in [
        (201, ""),
        (204, ""),
        (301, ""),
        (307, "<a href=\"/\">Temporary Redirect</a>"),
        (400, "<html>Bad Request</html>"),
        (403, ""),
        (403, "<html>Forbidden: Permission denied</html>"),
        (404, ""),
        (404, "404 page not found\n"),
        (408, "Request Time-out"),
        (409, "<html>No cluster leader</html>"),
        (418, "ACL? Permission denied"),
        (429, "<html>rate limit exceeded</html>"),
        (429, ""),
        (499, ""),
        (
            500,
            "<html>Missing node registration, Invalid Session TTL</html>",
        ),
        (502, "<html>rpc error getting client</html>"),
        (503, "no healthy upstream"),
    ] {
        for request in every() {
            if facts::of(&request).reads() {
                continue;
            }
            let (class, told) = class(judge(&request, status, text));
            assert_eq!(class, "unknown", "{request:?} {status} {text}");
            let expected = match status {
                403 => Status::Denied,
                408 | 429 | 500.. => Status::Unavailable,
                _ => Status::Rejected,
            };
            assert_eq!(told, expected, "{status} {text}");
        }
    }
}

/// An agent that has just started is not in the catalog yet, a check has not run.
#[test]
fn states_that_settle() {
    for text in [
        "Missing node registration",
        "rpc error making call: Missing node registration",
        "Missing check 'mem' registration",
        "Check 'mem' is in critical state",
    ] {
        let Err(Fault::NotApplied(error)) = judge(&create(), 500, text) else {
            panic!("{text}")
        };
        assert_eq!(error.status, Status::Unavailable);
        assert!(error.retryable, "{error}");
        assert!(error.message.contains(text), "{error}");
    }
}

/// A server passes on the text of another server.
#[test]
fn a_text_of_consuls_that_was_passed_on() {
    for before in [
        "rpc error making call: ",
        "rpc error making call: rpc error making call: ",
        "[raft] apply failed: ",
        "rpc error making call: apply failed: ",
    ] {
        for (text, expected) in [
            ("Permission denied", ("final", Status::Denied)),
            ("No cluster leader", ("not applied", Status::Unavailable)),
            (
                "leadership transfer in progress",
                ("not applied", Status::Unavailable),
            ),
            (
                "invalid session \"x\"",
                ("session gone", Status::Unavailable),
            ),
            ("Invalid Behavior setting 'x'", ("final", Status::Rejected)),
            (
                "leadership lost while committing log",
                ("unknown", Status::Unavailable),
            ),
        ] {
            let said = class(judge(&create(), 500, &format!("{before}{text}")));
            assert_eq!(said, expected, "{before}{text}");
        }
    }
}

/// Consul's texts quote the key, and the user chooses keys.
#[test]
fn a_key_is_not_taken_for_a_text() {
    for text in [
        "Permission denied",
        "ACL not found",
        "invalid session",
        "lock is already held",
        "\", lock is already held",
        "due to lock delay",
        "\" due to lock delay",
        "failed session check",
        ", current session ",
        "\", current session \"",
        "failed session check for key \"",
        "failed to check session, key \"k\" doesn't exist",
        "failed to lock key \"k\", lock is already held",
        "failed to lock key \"k\" due to lock delay",
        "failed to delete key \"k\", index is stale",
        "\", index is stale",
        "key \"k\" exists",
        "\" exists",
        "\" doesn't exist",
        "a\\\"b",
        "No cluster leader",
        "rate limit",
    ] {
        // As Go's %q writes it.
        let key = serde_json::json!(text);
        let held = format!("failed to lock key {key}, lock is already held");
        assert_eq!(judge(&lock(), 409, &errors(&[&held])), Ok(Answer::Held));
        let delayed = format!("failed to lock key {key} due to lock delay");
        assert_eq!(
            judge(&lock(), 409, &errors(&[&delayed])),
            Ok(Answer::Delayed)
        );
        let absent = format!("failed to check session, key {key} doesn't exist");
        for request in [unlock(), put(), delete()] {
            assert_eq!(
                judge(&request, 409, &errors(&[&absent])),
                Ok(Answer::NotOurs { taken: false })
            );
        }
        let stale = format!("failed to delete key {key}, index is stale");
        let there = format!("key {key} exists");
        let [_, _, survey, _, join, take, clear] = of_the_line();
        assert_eq!(judge(&survey, 409, &errors(&[&there])), Ok(Answer::Exists));
        assert_eq!(judge(&join, 409, &errors(&[&held])), Ok(Answer::Held));
        assert_eq!(judge(&clear, 409, &errors(&[&stale])), Ok(Answer::Stale));
        for (what, answer) in [
            (&held, Answer::Held),
            (&delayed, Answer::Delayed),
            (&absent, Answer::NoTicket),
            (&stale, Answer::Stale),
        ] {
            assert_eq!(judge(&take, 409, &errors(&[what])), Ok(answer), "{what}");
        }
        let other = format!(r#"failed session check for key {key}, current session "a" != "b""#);
        for request in [unlock(), put(), delete()] {
            assert_eq!(
                judge(&request, 409, &errors(&[&other])),
                Ok(Answer::NotOurs { taken: true })
            );
        }
        let unknown = format!("failed to do something new with key {key}");
        let plain = [lock(), unlock(), put(), delete()];
        for request in plain.into_iter().chain(of_the_line()) {
            assert_eq!(
                class(judge(&request, 409, &errors(&[&unknown]))),
                ("final", Status::Rejected)
            );
        }
    }
}

#[test]
fn a_200_is_not_a_success() {
    for body in [
        "",
        "false",
        "true",
        "null",
        "{}",
        "[]",
        "[{}]",
        "<html>",
        "{\"Results\":[],\"Errors\":[{}]}",
    ] {
        for request in every() {
            let fine = match request {
                Request::DestroySession { .. } => body == "true",
                Request::FindSession { .. } => body == "[]" || body == "[{}]",
                Request::DescribeSession { .. } => body == "[]" || body == "[{}]",
                _ => false,
            };
            assert_eq!(
                judge(&request, 200, body).is_ok(),
                fine,
                "{request:?} {body}"
            );
        }
    }
    // Another key or session in the answer is not ours.
    for (key, session) in [
        ("other", SID),
        ("k", "11111111-2222-3333-4444-555555555555"),
    ] {
        let body = format!(
            r#"{{"Results":[{{"KV":{{"Key":"{key}","Session":"{session}","ModifyIndex":19}}}}],"Errors":null}}"#
        );
        assert_eq!(class(judge(&lock(), 200, &body)).0, "unknown");
        assert_eq!(class(judge(&unlock(), 200, &body)).0, "unknown");
        assert_eq!(class(judge(&delete(), 200, &body)).0, "unknown");
        let body = format!(r#"[{{"ID":"{session}"}}]"#);
        assert_eq!(judge(&renew(), 200, &body).is_ok(), session == SID);
    }
    // A transaction that did nothing, and one that did not go through.
    let ours = format!(r#"{{"KV":{{"Key":"k","Session":"{SID}","ModifyIndex":19}}}}"#);
    for body in [
        r#"{"Results":[],"Errors":null}"#.to_owned(),
        format!(r#"{{"Results":[{ours}],"Errors":[{{"OpIndex":0,"What":"x"}}]}}"#),
    ] {
        for request in [lock(), unlock(), put(), delete()] {
            assert_eq!(class(judge(&request, 200, &body)).0, "unknown", "{body}");
        }
    }
    let evil = r#"{"ID":"../../kv/x?recurse"}"#;
    assert_eq!(class(judge(&create(), 200, evil)).0, "unknown");
}

#[test]
fn rubbish_is_an_error_and_never_shown() {
    let mut state = 1_u64;
    let mut byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for round in 0..5_000 {
        let body: Vec<u8> = (0..round % 80).map(|_| byte()).collect();
        let plain = [
            create(),
            renew(),
            lock(),
            unlock(),
            put(),
            delete(),
            read(),
            watch(),
        ];
        for request in plain.into_iter().chain(of_the_line()) {
            for status in [200, 409] {
                let reply = HttpReply {
                    status,
                    index: Some(3),
                    body: body.clone(),
                    secrets: Secrets::default(),
                };
                assert!(verdict(&request, Ok(reply)).is_err());
            }
        }
    }
    // What a 200 carries may be a stored value.
    let Err(fault) = judge(&read(), 200, "[{\"Value\":\"hunter2\"}]") else {
        panic!()
    };
    assert!(!fault.error().message.contains("hunter2"));
    let long = format!("bad\r\n\x1b[31m{}", "x".repeat(10_000));
    let Err(fault) = judge(&create(), 400, &long) else {
        panic!()
    };
    assert!(fault.error().message.len() < 400 && !fault.error().message.contains('\n'));
    let refused = Err(Failure::NotSent(long));
    let Err(fault) = verdict(&create(), refused) else {
        panic!()
    };
    assert!(fault.error().message.len() < 1_100 && !fault.error().message.contains('\n'));
}

fn create_on(node: &str) -> Request {
    Request::CreateSession {
        name: "ours".into(),
        ttl: Duration::from_secs(10),
        node: Some(node.into()),
    }
}

#[test]
fn a_node_of_our_choice_that_is_missing() {
    for text in [
        "Missing node registration",
        "rpc error making call: Missing node registration\n",
    ] {
        assert_eq!(judge(&create_on("locks"), 500, text), Ok(Answer::NoNode));
        // The library does not register the agent's own node.
        assert!(judge(&create(), 500, text).is_err());
    }
    let register = Request::RegisterNode {
        node: "locks".into(),
    };
    assert_eq!(judge(&register, 200, "true\n"), Ok(Answer::Registered));
    assert!(matches!(
        judge(&register, 200, "false"),
        Err(Fault::Unknown(_))
    ));
    for (request, words) in [
        (
            register,
            "needs node:write on \"locks\", as with node \"locks\" { policy = \"write\" }",
        ),
        (
            create_on("locks"),
            "needs session:write on \"locks\", as with session \"locks\" { policy = \"write\" }",
        ),
    ] {
        let fault = judge(&request, 403, "Permission denied").expect_err("denied");
        assert_eq!(fault.error().status, Status::Denied);
        assert!(fault.error().message.contains(words), "{}", fault.error());
    }
}

#[test]
fn what_sessions_stand_on() {
    let node = Request::DescribeNode {
        node: "locks".into(),
    };
    let row = |meta: &str| {
        format!("{{\"Node\":{{\"Node\":\"locks\",\"Meta\":{meta}}},\"Services\":{{}}}}")
    };
    for (body, external) in [
        ("null".to_owned(), None),
        (row("null"), Some(false)),
        (row("{\"external-node\":\"false\"}"), Some(false)),
        (row("{\"external-node\":\"true\"}"), Some(true)),
    ] {
        let expected = external.map(|external| NodeRow { external });
        assert_eq!(judge(&node, 200, &body), Ok(Answer::Node(expected)));
    }
    assert_eq!(
        judge(&node, 403, "Permission denied"),
        Ok(Answer::Node(None))
    );
    assert!(judge(&node, 200, &row("null").replace("locks", "other")).is_err());

    let agent = |server: bool, peers: &str| {
        let config = format!("{{\"Server\":{server},\"NodeName\":\"n\"}}");
        format!("{{\"Config\":{config},\"Stats\":{{\"raft\":{{{peers}}}}}}}")
    };
    for (body, server_among_others) in [
        (agent(true, "\"num_peers\":\"2\""), true),
        (agent(true, ""), true),
        (agent(true, "\"num_peers\":\"0\""), false),
        (agent(false, ""), false),
    ] {
        let row = AgentRow {
            node: "n".to_owned(),
            server_among_others,
        };
        let told = judge(&Request::DescribeAgent, 200, &body);
        assert_eq!(told, Ok(Answer::Agent(Some(row))), "{body}");
    }
    let denied = judge(&Request::DescribeAgent, 403, "Permission denied");
    assert_eq!(denied, Ok(Answer::Agent(None)));
    assert!(judge(&Request::DescribeAgent, 200, "{}").is_err());
}
