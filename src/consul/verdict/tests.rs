//! Replies of a real Consul 1.8.7 (and texts of newer servers), and what each must mean.

mod shares;

use super::*;
use crate::consul::operations::{Operation, Verb, operations};
use crate::consul::secrets::Secrets;
use crate::core::messages::{
    AgentRow, Below, Found, Hold, Key, KeyRow, LockTarget, NodeRow, See, SessionRow, Sharers, Slot,
    Stalled, Ticket, Value, Want,
};
use serde_json::Value as Json;
use std::time::Duration;

const SID: &str = "0e5c1fbd-0b6a-61a5-e0f6-d4a5a0f1b2c3";

const OTHER: &str = "12a803c7-0ccb-c9dd-2e09-aa09f4b1bf6c";

fn sid() -> SessionId {
    SessionId(SID.into())
}
fn key() -> Key {
    "k".into()
}
fn value() -> Value {
    Value(b"hunter2".to_vec().into())
}
fn create() -> Request {
    create_on(None)
}
fn create_on(node: Option<&str>) -> Request {
    Request::CreateSession {
        name: "ours".into(),
        ttl: Duration::from_secs(10),
        node: node.map(Into::into),
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
fn target(found: Found) -> LockTarget {
    LockTarget { key: key(), found }
}
fn see_line() -> See {
    See {
        line: true,
        sharers: Sharers::None,
    }
}
fn lock() -> Request {
    Request::Lock {
        targets: vec![target(Found::Absent)],
        hold: Hold::Exclusive { value: value() },
        session: sid(),
        see: See::NOTHING,
    }
}
fn unlock() -> Request {
    Request::Unlock {
        rows: vec![key()],
        session: sid(),
        lines: Vec::new(),
    }
}
fn write(value: Option<Value>) -> Request {
    Request::Write {
        rows: vec![key()],
        session: sid(),
        key: "data".into(),
        value,
    }
}
fn put() -> Request {
    write(Some(value()))
}
fn delete() -> Request {
    write(None)
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
    let with_line = |mut request| {
        match &mut request {
            Request::Lock { see, .. } => see.line = true,
            Request::Unlock { lines, .. } => lines.push(key()),
            _ => {}
        }
        request
    };
    let ahead = vec![Stalled {
        key: key(),
        slot: Slot::new(0x3ff),
        modify_index: 311,
    }];
    let (targets, see) = (vec![target(Found::Absent)], see_line());
    [
        with_line(lock()),
        with_line(unlock()),
        Request::Survey {
            targets: targets.clone(),
            see,
        },
        Request::ReadLine {
            keys: vec![key()],
            see,
        },
        Request::Join {
            keys: [key()].into(),
            slots: vec![Slot::new(0x00a)],
            want: Want::Exclusive,
            session: sid(),
            see,
        },
        Request::Take {
            targets,
            hold: Hold::Exclusive { value: value() },
            slots: vec![Slot::new(0x00a)],
            session: sid(),
            ahead: ahead.clone(),
            see: See::NOTHING,
        },
        Request::Clear { ahead },
    ]
}
fn ticket(slot: u64, index: u64) -> Ticket {
    let session = if slot == 0x00a { SID } else { OTHER };
    Ticket {
        slot: Slot::new(slot),
        session: SessionId(session.into()),
        want: Want::Exclusive,
        several: None,
        create_index: index,
        modify_index: index,
    }
}
fn lined(line: Vec<Ticket>) -> Answer {
    Answer::Line(Below::line_of_one(line))
}
fn unlocked(line: Vec<Ticket>) -> Answer {
    let below = Below::line_of_one(line);
    Answer::Unlocked { below }
}
fn every() -> Vec<Request> {
    let of_sessions = [create(), find(), renew(), destroy(), describe()];
    let of_keys = [lock(), unlock(), put(), delete(), read(), watch()];
    let plain = of_sessions.into_iter().chain(of_keys);
    plain.chain(of_the_line()).collect()
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

/// A transaction that Consul rolled back: each text with the number of the next operation that can say it.
fn errors(request: &Request, whats: &[&str]) -> String {
    let operations = operations(request);
    let mut next = 0;
    let errors = whats.iter().map(|what| {
        let says_it = |operation: &&Operation<'_>| may_say(&operation.verb, what);
        let later = operations.iter().skip(next);
        let number = later.clone().position(|operation| says_it(&operation));
        let number = number.map_or(next, |number| next + number);
        next = number + 1;
        (number, *what)
    });
    errors_at(&errors.collect::<Vec<_>>())
}

/// As Consul's source has it.
fn may_say(verb: &Verb<'_>, what: &str) -> bool {
    let begins = |texts: &[&str]| texts.iter().any(|text| what.starts_with(text));
    match verb {
        Verb::Lock(..) | Verb::Share(..) | Verb::Join(..) => {
            begins(&["failed to lock", "invalid session"])
        }
        Verb::CheckSession(_) => begins(&["failed session check", "failed to check session"]),
        Verb::CheckIndex(_) => begins(&["failed index check", "failed to check index"]),
        Verb::CheckNotExists => begins(&["key "]),
        Verb::DeleteCas(_) => begins(&["failed to delete"]),
        Verb::Set(_) | Verb::Delete | Verb::GetTree(..) => false,
    }
}

fn errors_at(errors: &[(usize, &str)]) -> String {
    let errors: Vec<Json> = errors
        .iter()
        .map(|(number, what)| serde_json::json!({"OpIndex": number, "What": what}))
        .collect();
    serde_json::json!({"Results": null, "Errors": errors}).to_string()
}

/// Replies, one a line: the status, and the text.
fn statuses_and_texts(table: &str) -> impl Iterator<Item = (u16, &str)> {
    table.lines().map(|line| {
        let (status, text) = line.split_once(' ').unwrap_or((line, ""));
        (status.parse().expect("a status"), text)
    })
}

/// The class of a fault, and the status in it.
type Class = (&'static str, Status);

const NOT_APPLIED: Class = ("not applied", Status::Unavailable);
const SESSION_GONE: Class = ("session gone", Status::Unavailable);
const DENIED: Class = ("final", Status::Denied);
const REJECTED: Class = ("final", Status::Rejected);
/// The class of an unexpected reply to a request that changes something.
const STRANGE: Class = ("unknown", Status::Rejected);

fn judged(request: &Request, status: u16, body: &str) -> Class {
    class(judge(request, status, body))
}

fn class(result: Result<Answer, Fault>) -> Class {
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
    let ok = |request: Request, body: &str, answer| {
        assert_eq!(judge(&request, 200, body), Ok(answer), "{body}");
    };
    let k = |index| shown("k", SID, index);
    let of_k = |index| results(&[k(index)], "");
    let index = 19;
    ok(
        lock(),
        &of_k(index),
        Answer::Locked {
            index,
            below: Vec::new(),
        },
    );
    ok(unlock(), &of_k(17), Answer::Unlocked { below: Vec::new() });
    let held = r#"failed to lock key "k", lock is already held"#;
    let delayed = r#"failed to lock key "k" due to lock delay"#;
    for (what, answer) in [(held, Answer::Held), (delayed, Answer::Delayed)] {
        assert_eq!(judge(&lock(), 409, &errors(&lock(), &[what])), Ok(answer));
    }
    for (gone, taken) in [
        (
            r#"ed session check for key "k", current session "x" != "y""#,
            true,
        ),
        (
            r#"ed session check for key "k", current session "" != "y""#,
            false,
        ),
        (r#"ed to check session, key "k" doesn't exist"#, false),
    ] {
        for request in [unlock(), put(), delete()] {
            let body = errors(&request, &[&format!("fail{gone}")]);
            let answer = judge(&request, 409, &body);
            assert_eq!(answer, Ok(Answer::NotOurs { taken }), "{gone}");
        }
    }
    let (checked, data) = (k(17), shown("data", "", 17));
    let written = results(&[checked.clone(), data.clone()], "");
    ok(put(), &written, Answer::Written);
    ok(delete(), &of_k(17), Answer::Written);
    for strange in [
        &[checked.clone()][..],
        &[checked.clone(), shown("other", "", 17)],
        &[shown("k", "", 17), data.clone()],
        &[checked.clone(), data.clone(), data.clone()],
        &[checked, data.replace("17", "0")],
    ] {
        let class = judged(&put(), 200, &results(strange, ""));
        assert_eq!(class, STRANGE, "{strange:?}");
    }
    let created = format!("{{\n    \"ID\": \"{SID}\"\n}}\n");
    ok(create(), &created, Answer::Created(sid()));
    let list = format!(r#"[{{"ID":"x","Name":"other"}},{{"ID":"{SID}","Name":"ours"}}]"#);
    ok(find(), &list, Answer::Found(Some(sid())));
    ok(find(), "[]", Answer::Found(None));
    let renewed = format!(r#"[{{"ID":"{SID}"}}]"#);
    ok(renew(), &renewed, Answer::Renewed);
    ok(destroy(), "true\n", Answer::Destroyed);
    let others = format!(r#"[{{"ID":"{OTHER}","Name":"theirs","Node":"n2"}}]"#);
    ok(describe(), &others, Answer::Described(None));
    let info = format!(r#"[{{"ID":"{SID}","Name":"ours","Node":"n1","TTL":"30s"}}]"#);
    let row = SessionRow {
        name: "ours".to_owned(),
        node: "n1".to_owned(),
        ttl: Some(Duration::from_secs(30)),
    };
    ok(describe(), &info, Answer::Described(Some(row)));
    ok(describe(), "[]", Answer::Described(None));
    let denied = judge(&describe(), 403, "Permission denied");
    assert_eq!(denied, Ok(Answer::Described(None)));
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
            below: Below::line_of_one(line.clone()),
        };
        assert_eq!(judge(&lock, 200, &body), Ok(locked));
        assert_eq!(judge(&unlock, 200, &body), Ok(unlocked(line)));
    }
    // The check of the key that was found unlocked, or ours, shows it first.
    let unlocked = main.replace(&format!(",\"Session\":\"{SID}\""), "");
    assert_ne!(unlocked, main);
    for (state, checked) in [(Found::Unlocked(9), &unlocked), (Found::Ours, &main)] {
        let mut found = lock.clone();
        if let Request::Lock { targets, .. } = &mut found {
            *targets = vec![target(state)];
        }
        let rows = [checked.clone(), main.clone(), other.clone()];
        let below = Below::line_of_one(line.clone());
        let locked = Answer::Locked { index: 315, below };
        assert_eq!(judge(&found, 200, &results(&rows, "")), Ok(locked));
        let without = results(&rows[1..2], "");
        assert!(judge(&found, 200, &without).is_err());
        assert!(judge(&lock, 200, &results(&rows, "")).is_err());
    }
    for (rows, line) in [(vec![], vec![]), (vec![other.clone()], line)] {
        let body = results(&rows, READ_ONLY);
        for request in [&survey, &read_line] {
            assert_eq!(judge(request, 200, &body), Ok(lined(line.clone())));
        }
    }
    let exists = errors(&survey, &[r#"key "k" exists"#]);
    assert_eq!(judge(&survey, 409, &exists), Ok(Answer::Exists(0)));

    // The row of the lock, then those of the tree, with the own ticket among them.
    let body = results(&[own.clone(), own.clone(), other.clone()], "");
    let both = vec![ticket(0x00a, 312), ticket(0x3ff, 311)];
    assert_eq!(judge(&join, 200, &body), Ok(lined(both)));
    let held = errors(
        &join,
        &[r#"failed to lock key "k/.fifo/00a", lock is already held"#],
    );
    // A slot whose lock-delay runs is as good as taken: there are others.
    let delayed = errors(
        &join,
        &[r#"failed to lock key "k/.fifo/00a" due to lock delay"#],
    );
    for refusal in [held, delayed] {
        assert_eq!(judge(&join, 409, &refusal), Ok(Answer::Held));
    }

    let body = results(&[own.clone(), main.clone()], "");
    let locked = Answer::Locked {
        index: 315,
        below: vec![],
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
        assert_eq!(judged(request, 200, &body), STRANGE, "{request:?} {body}");
    }
}

/// Every operation of a transaction that fails says so.
#[test]
fn refusals_in_a_line() {
    let [lock, unlock, survey, read_line, join, mut take, mut clear] = of_the_line();
    if let (Request::Take { ahead, .. }, Request::Clear { ahead: more }) = (&mut take, &mut clear) {
        ahead.push(ahead[0].clone());
        more.clone_from(ahead);
    }
    let judge_as_found = |request: &Request, whats: &[&str]| {
        let mut request = request.clone();
        let is_index = |what: &&&str| what.contains(" index check") || what.contains("check index");
        let is_own = |what: &&&str| what.contains("session") && what.contains(r#""k""#);
        let found = match (whats.iter().find(is_index), whats.iter().find(is_own)) {
            (Some(_), _) => Found::Unlocked(7),
            (None, Some(_)) => Found::Ours,
            (None, None) => Found::Absent,
        };
        if let Request::Lock { targets, .. } | Request::Take { targets, .. } = &mut request {
            targets[0].found = found;
        }
        judge(&request, 409, &errors(&request, whats))
    };
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
        assert_eq!(judge_as_found(&take, whats), Ok(answer), "{whats:?}");
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
        assert_eq!(judge_as_found(&lock, whats), Ok(answer), "{whats:?}");
    }
    assert_eq!(
        judge(&clear, 409, &errors(&clear, &[stale, stale])),
        Ok(Answer::Stale)
    );
    assert_eq!(
        judge(&lock, 409, &errors(&lock, &[delayed])),
        Ok(Answer::Delayed)
    );
    assert_eq!(
        judge(&unlock, 409, &errors(&unlock, &[missing])),
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
        let said = judged(request, 409, &errors(request, whats));
        assert_eq!(said, SESSION_GONE, "{request:?} {whats:?}");
    }
    // A text of another request's operation is no answer to this one; nor is an unknown text, also beside a known
    // one.
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
        let said = judged(request, 409, &errors(request, whats));
        assert_eq!(said, REJECTED, "{request:?} {whats:?}");
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
            let Err(Fault::Final(error)) = judge(&request, 409, &errors(&request, whats)) else {
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
        let whats = errors(&request, &[held, "ACL not found"]);
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
    ];
    let real = shown("k/.fifo/3ff", OTHER, 311);
    for row in &strange {
        let body = results(&[row.clone(), real.clone(), row.clone()], READ_ONLY);
        let line = vec![ticket(0x3ff, 311)];
        for request in [&survey, &read_line] {
            let said = judge(request, 200, &body);
            assert_eq!(said, Ok(lined(line.clone())), "{row}");
        }
        let body = results(&[shown("k", SID, 315), row.clone(), real.clone()], "");
        let locked = Answer::Locked {
            index: 315,
            below: Below::line_of_one(line.clone()),
        };
        assert_eq!(judge(&lock, 200, &body), Ok(locked), "{row}");
        let body = results(
            &[shown("k/.fifo/00a", SID, 312), row.clone(), real.clone()],
            "",
        );
        assert_eq!(judge(&join, 200, &body), Ok(lined(line)), "{row}");
    }
    // What is not below the prefix is no answer to this question. A row without what Consul says of each is not Consul's.
    let (index, other) = (|of: &str| format!("\"{of}Index\":7"), format!("{OTHER:?}"));
    let odd = [
        ("\"Flags\":0,", String::new()),
        (&*index("Create"), "\"CreateIndex\":-7".to_owned()),
        (&*index("Modify"), "\"ModifyIndex\":null".to_owned()),
        (&*other, "7".to_owned()),
    ];
    let odd = odd.map(|(part, with)| shown("k/.fifo/001", OTHER, 7).replace(part, &with));
    let elsewhere = [
        shown("x/.fifo/001", OTHER, 7),
        shown("k/.fifoo001", OTHER, 7),
        shown("k", OTHER, 7),
        r#"{"KV":{}}"#.to_owned(),
    ];
    for row in elsewhere.into_iter().chain(odd) {
        let body = results(&[shown("k", SID, 315), row.clone(), real.clone()], "");
        assert_eq!(judged(&lock, 200, &body).0, "unknown", "{row}");
        let body = results(&[real.clone(), row.clone()], READ_ONLY);
        for request in [&survey, &read_line] {
            assert_eq!(judged(request, 200, &body).0, "final", "{row}");
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
    let key_row = |session: Option<SessionId>, value: &[u8]| KeyRow {
        session,
        create_index: 3,
        modify_index: 4,
        flags: 0,
        value: Value(value.to_vec().into()),
    };
    for request in [read(), watch()] {
        let judge = |status, index, body: &str| {
            let reply = HttpReply {
                index,
                ..reply(status, body)
            };
            verdict(&request, Ok(reply))
        };
        let held = row(&format!(r#","Session":"{SID}""#), r#""aGk=""#);
        let free = row("", "null");
        for (status, body, row) in [
            (200, &*held, Some(key_row(Some(sid()), b"hi"))),
            (200, &free, Some(key_row(None, b""))),
            (404, "", None),
        ] {
            let expected = Answer::Row { row, index: 9 };
            assert_eq!(judge(status, Some(9), body), Ok(expected));
        }
        for (status, index, body) in [
            // Not from Consul's KV store.
            (404, None, "404 page not found"),
            (200, None, &*held),
            (200, Some(9), &row("", r#""not base64!""#)),
            // The row of another key.
            (200, Some(9), &held.replace("\"k\"", "\"other\"")),
            // A key with a session of any form is not free.
            (200, Some(9), &row(r#","Session":7"#, "null")),
        ] {
            let class = class(judge(status, index, body));
            assert_eq!(class, REJECTED, "{status} {index:?} {body}");
        }
        // What is no id of Consul's holds the key, and is not passed on.
        for id in ["../../kv/x?raw", "a b", "x\\ny", "\u{e9}", &"a".repeat(65)] {
            let odd = row(&format!(r#","Session":"{id}""#), "null");
            let Ok(Answer::Row { row: Some(row), .. }) = judge(200, Some(9), &odd) else {
                panic!("{id}")
            };
            assert_eq!(row.session, Some(SessionId::unreadable()));
        }
    }
}

#[test]
fn surely_not_applied() {
    const REPLIES: &str = "\
500 No cluster leader
500 No path to datacenter
500 No known Consul servers
500 Not ready to serve consistent reads
500 rpc error getting client: failed to get conn: dial tcp 127.0.0.1:8300: connect: connection refused
500 rpc error getting client: failed to get conn: rpc error: lead thread didn't get connection
500 rpc error making call: rpc error getting client: failed to get conn: rpc error: lead thread didn't get connection
500 raft apply failed: leadership transfer in progress
429 Your IP is issuing too many concurrent connections, please rate limit your calls
429 rate limit exceeded, try again later or against a different server
503 rate limit exceeded for operation that can only be performed by the leader, try again later";
    for request in every() {
        for (status, text) in statuses_and_texts(REPLIES) {
            assert_eq!(judged(&request, status, text), NOT_APPLIED, "{text}");
        }
        let refused = Err(Failure::NotSent("connection refused".to_owned()));
        assert_eq!(class(verdict(&request, refused)), NOT_APPLIED);
    }
}

#[test]
fn perhaps_applied() {
    for request in every() {
        // A read that failed was not "maybe applied".
        let expected = match facts::of(&request).reads() {
            true => NOT_APPLIED,
            false => ("unknown", Status::Unavailable),
        };
        for (status, text) in [
            (500, "leadership lost while committing log"),
            (
                500,
                "raft apply failed: leadership lost while committing log",
            ),
            (500, "raft apply failed: raft is already shutdown"),
            (500, "shutdown waiting for leader"),
            (500, "rpc error making call: EOF"),
            (
                500,
                "rpc error making call: rpc error making call: i/o deadline reached",
            ),
            (500, "raft is already shutdown"),
            (500, "connection is shut down"),
            (500, "something that no Consul has said so far"),
            (500, ""),
            // A proxy's: Consul may have applied the request before the proxy lost it.
            (502, ""),
            (503, "upstream connect error"),
            (503, ""),
            (504, ""),
        ] {
            assert_eq!(judged(&request, status, text), expected, "{status} {text}");
        }
        let lost = Err(Failure::Unknown("no reply in time".to_owned()));
        assert_eq!(class(verdict(&request, lost)), expected);
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
            assert_eq!(judged(&request, 403, text), DENIED);
        }
        // The server may not know the token yet.
        assert_eq!(
            judged(&request, 403, "ACL not found"),
            ("not applied", Status::Denied)
        );
    }
    for request in [lock(), unlock(), put(), delete()] {
        let body = errors(&request, &["Permission denied", "Permission denied"]);
        assert_eq!(judged(&request, 409, &body), DENIED);
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

/// One side refuses the other: trying again is no use.
#[test]
fn a_connection_that_cannot_work() {
    for request in every() {
        let refused = Err(Failure::Refused("one side refuses the other".to_owned()));
        let Err(Fault::Final(error)) = verdict(&request, refused) else {
            panic!("{request:?}")
        };
        assert_eq!(
            (error.status, error.retryable),
            (Status::Unavailable, false)
        );
        let text = "Client sent an HTTP request to an HTTPS server.";
        assert_eq!(judged(&request, 400, text), ("final", Status::Unavailable));
    }
}

#[test]
fn sessions_that_are_gone() {
    let text = format!("invalid session \"{SID}\"");
    let not_found = format!("Session id '{SID}' not found");
    for (request, status, body, expected) in [
        (lock(), 409, &*errors(&lock(), &[&text]), SESSION_GONE),
        (lock(), 500, &text, SESSION_GONE),
        (renew(), 404, &not_found, SESSION_GONE),
        // Not Consul's 404.
        (renew(), 404, "404 page not found\n", STRANGE),
        (renew(), 404, "", STRANGE),
    ] {
        assert_eq!(judged(&request, status, body), expected, "{body}");
    }
}

#[test]
fn final_refusals() {
    const REPLIES: &str = "\
400 Request decode failed: EOF
400 Failed to parse body: EOF
400 Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature
413 Transaction contains too many operations (65 > 64)
400 invalid key name, keys should respect the format
413 Request body(600000 bytes) too large, max size: 524288 bytes.
405 method POST not allowed
500 Invalid Session TTL '10000000000', must be between [1m0s=24h0m0s]
500 invalid key name, keys should respect the \"^[a-z]+$\" format.";
    for (status, text) in statuses_and_texts(REPLIES) {
        for request in [lock(), create()] {
            assert_eq!(judged(&request, status, text), REJECTED, "{text}");
        }
    }
    let short = "Invalid Session TTL '10000000000', must be between [1m0s=24h0m0s]";
    let error = judge(&create(), 500, short).expect_err("refused");
    let remedy = "(lock_timeout_seconds is below session_ttl_min of this agent)";
    assert!(error.error().message.contains(remedy), "{error:?}");
    // An unknown text in a transaction is an error, never "held"; nor is a mixture.
    let held = r#"failed to lock key "k", lock is already held"#;
    let delayed = r#"failed to lock key "k" due to lock delay"#;
    for whats in [
        &["something new"][..],
        &["lock is already held"],
        &[held, "something new"],
        &[held, delayed],
    ] {
        assert_eq!(judged(&lock(), 409, &errors(&lock(), whats)), REJECTED);
    }
    assert_eq!(
        judged(&unlock(), 409, &errors(&unlock(), &[held])).0,
        "final"
    );
    // An error without a text is unknown.
    let silent = format!(
        r#"{{"Results":null,"Errors":[{{"OpIndex":0,"What":{}}},{{"OpIndex":1}}]}}"#,
        serde_json::json!(held)
    );
    // A body that is no refusal of a transaction may come from a proxy.
    for body in [&*silent, &errors_at(&[]), "", "conflict", "{}", "<html>"] {
        assert_eq!(judged(&lock(), 409, body).0, "unknown", "{body}");
    }
}

/// A proxy may say so after Consul has carried out the request.
#[test]
fn what_consul_does_not_say_is_unknown() {
    const REPLIES: &str = "\
201
204
301
307 <a href=\"/\">Temporary Redirect</a>
400 <html>Bad Request</html>
403
403 <html>Forbidden: Permission denied</html>
404
404 404 page not found
408 Request Time-out
409 <html>No cluster leader</html>
418 ACL? Permission denied
429 <html>rate limit exceeded</html>
429
499
500 <html>Missing node registration, Invalid Session TTL</html>
502 <html>rpc error getting client</html>
503 no healthy upstream";
    for (status, text) in statuses_and_texts(REPLIES) {
        let expected = match status {
            403 => Status::Denied,
            408 | 429 | 500.. => Status::Unavailable,
            _ => Status::Rejected,
        };
        let changes = |request: &Request| !facts::of(request).reads();
        for request in every().into_iter().filter(changes) {
            let judged = judged(&request, status, text);
            assert_eq!(judged, ("unknown", expected), "{request:?} {status} {text}");
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
            ("Permission denied", DENIED),
            ("No cluster leader", NOT_APPLIED),
            ("leadership transfer in progress", NOT_APPLIED),
            ("invalid session \"x\"", SESSION_GONE),
            ("Invalid Behavior setting 'x'", REJECTED),
            (
                "leadership lost while committing log",
                ("unknown", Status::Unavailable),
            ),
        ] {
            let said = judged(&create(), 500, &format!("{before}{text}"));
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
        let delayed = format!("failed to lock key {key} due to lock delay");
        let absent = format!("failed to check session, key {key} doesn't exist");
        let stale = format!("failed to delete key {key}, index is stale");
        let there = format!("key {key} exists");
        let other = format!(r#"failed session check for key {key}, current session "a" != "b""#);
        let (free, taken) = (
            Answer::NotOurs { taken: false },
            Answer::NotOurs { taken: true },
        );
        let [_, _, survey, _, join, take, clear] = of_the_line();
        for (requests, what, answer) in [
            (&[lock(), join, take.clone()][..], &held, Answer::Held),
            (&[lock(), take.clone()], &delayed, Answer::Delayed),
            (&[unlock(), put(), delete()], &absent, free),
            (&[unlock(), put(), delete()], &other, taken),
            (&[survey], &there, Answer::Exists(0)),
            (&[clear, take.clone()], &stale, Answer::Stale),
            (&[take], &absent, Answer::NoTicket),
        ] {
            for request in requests {
                let judged = judge(request, 409, &errors(request, &[what]));
                assert_eq!(judged.as_ref(), Ok(&answer), "{request:?} {what}");
            }
        }
        let unknown = format!("failed to do something new with key {key}");
        let plain = [lock(), unlock(), put(), delete()];
        for request in plain.into_iter().chain(of_the_line()) {
            assert_eq!(
                judged(&request, 409, &errors(&request, &[&unknown])),
                REJECTED
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
    // The answer has another key or session than the request.
    for (key, session) in [
        ("other", SID),
        ("k", "11111111-2222-3333-4444-555555555555"),
    ] {
        let body = format!(
            r#"{{"Results":[{{"KV":{{"Key":"{key}","Session":"{session}","ModifyIndex":19}}}}],"Errors":null}}"#
        );
        assert_eq!(judged(&lock(), 200, &body).0, "unknown");
        assert_eq!(judged(&unlock(), 200, &body).0, "unknown");
        assert_eq!(judged(&delete(), 200, &body).0, "unknown");
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
            assert_eq!(judged(&request, 200, &body).0, "unknown", "{body}");
        }
    }
    let evil = r#"{"ID":"../../kv/x?recurse"}"#;
    assert_eq!(judged(&create(), 200, evil).0, "unknown");
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

#[test]
fn a_node_of_our_choice_that_is_missing() {
    for text in [
        "Missing node registration",
        "rpc error making call: Missing node registration\n",
    ] {
        assert_eq!(
            judge(&create_on(Some("locks")), 500, text),
            Ok(Answer::NoNode)
        );
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
            create_on(Some("locks")),
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
