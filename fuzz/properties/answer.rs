//! What a reply means: the verdict on any status, index and body, for each kind of request.
//!
//! The first line of an input is `KIND STATUS INDEX`, the rest is the body. A kind is a name of the statistics, perhaps
//! with `/share`, for a request that shares its key, or `/several`, for one of two keys.

use std::time::Duration;

use super::head;
use crate::consul::credentials::{CredentialSettings, Credentials};
use crate::consul::encode::{Scope, encode};
use crate::consul::facts;
use crate::consul::http::HttpReply;
use crate::consul::secrets::Secret;
use crate::consul::verdict::verdict;
use crate::core::messages::{
    Answer, Below, Fault, Found, Hold, Key, Limit, LockTarget, Request, See, SessionId, Sharers,
    Slot, Stalled, Value, Want,
};

const SESSION: &str = "0e5c1fbd-0b6a-61a5-e0f6-d4a5a0f1b2c3";
/// Texts in which no other text of the library's has a part.
const VALUE: &str = "v4lue-of-the-lock";
const TOKEN: &str = "t0ken-of-the-client";

pub(super) fn property(data: &[u8]) {
    let (first, body) = head(data);
    let first = String::from_utf8_lossy(first);
    let mut words = first.split(' ');
    let kind = words.next().unwrap_or_default();
    let status = words.next().and_then(|word| word.parse().ok());
    let status = status
        .filter(|status| (100..1000).contains(status))
        .unwrap_or(200);
    let request = request(kind);
    assert!(encode(&request, &Scope::default()).is_some());
    let secret = CredentialSettings {
        token: Some(Secret(TOKEN.to_owned())),
        ..CredentialSettings::default()
    };
    let credentials = Credentials::new(secret);
    let reply = HttpReply {
        status,
        index: words.next().and_then(|word| word.parse().ok()),
        body: body.to_vec(),
        secrets: credentials.secrets(&credentials.token()),
    };
    let result = verdict(&request, Ok(reply.clone()));
    assert_eq!(
        result,
        verdict(&request, Ok(reply)),
        "the same reply means the same"
    );
    match result {
        Ok(answer) => check(&request, &answer, status, body),
        Err(fault) => check_fault(&request, &fault, status),
    }
}

/// What the core relies on.
fn check(request: &Request, answer: &Answer, status: u16, body: &[u8]) {
    let may_be = match answer {
        Answer::Row { .. } | Answer::Names { .. } => &[200, 404][..],
        Answer::NoNode => &[500],
        Answer::Described(None) | Answer::Node(None) | Answer::Agent(None) => &[200, 403],
        Answer::Held
        | Answer::Delayed
        | Answer::Changed
        | Answer::NotOurs { .. }
        | Answer::Exists(_)
        | Answer::NoTicket
        | Answer::Stale => &[409],
        _ => &[200],
    };
    assert!(may_be.contains(&status), "{status}: {answer:?}");
    match answer {
        Answer::Created(session) | Answer::Found(Some(session)) => is_an_id(session),
        Answer::Locked { index, below } => {
            assert!(*index > 0, "a fencing token");
            fits(request, below);
            // Nothing but the row of the session says that the session holds it. (JSON may escape the name.)
            let says = |text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
            assert!(says(SESSION) || body.contains(&b'\\'));
        }
        Answer::Unlocked { below } | Answer::Line(below) | Answer::Proved { below, .. } => {
            fits(request, below);
        }
        Answer::Exists(number) => {
            assert!(*number < 64);
        }
        Answer::Described(Some(row)) => is_shown(&[&row.name, &row.node]),
        Answer::Agent(Some(row)) => is_shown(&[&row.node]),
        Answer::Row { row: Some(row), .. } => {
            if let Some(session) = &row.session {
                assert!(!session.is_readable() || session.0.len() <= 64);
            }
        }
        _ => {}
    }
}

fn check_fault(request: &Request, fault: &Fault, status: u16) {
    let error = fault.error();
    let message = &error.message;
    assert!(
        super::is_fit_to_show(message) && message.len() < 20_000,
        "{message}"
    );
    for secret in [VALUE, TOKEN] {
        assert!(!message.contains(secret), "{message}");
    }
    // A reply of 200 that makes no sense does not say that a write was refused.
    if status == 200
        && !facts::TABLE[facts::number(request)]
            .to_string()
            .starts_with("GET")
    {
        let reads = matches!(
            request,
            Request::Prove { .. } | Request::Survey { .. } | Request::ReadLine { .. }
        );
        assert!(reads || !matches!(fault, Fault::Final(_)), "{fault:?}");
    }
}

fn is_an_id(session: &SessionId) {
    assert!(session.is_readable() && !session.0.is_empty() && session.0.len() <= 64);
    assert!(
        session
            .0
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || b == b'-')
    );
}

fn is_shown(texts: &[&String]) {
    for text in texts {
        assert!(!text.chars().any(char::is_control) && text.chars().count() <= 4_200);
    }
}

fn fits(request: &Request, below: &[Below]) {
    let keys = match request {
        Request::Lock { targets, .. } | Request::Take { targets, .. } => targets.len(),
        Request::Survey { targets, .. } => targets.len(),
        Request::Join { keys, .. } => keys.len(),
        Request::ReadLine { keys, .. } => keys.len(),
        _ => 1,
    };
    assert!(below.len() <= keys);
    for Below { line, sharers } in below {
        for ticket in line {
            is_an_id(&ticket.session);
        }
        for sharer in sharers {
            is_an_id(&sharer.session);
            assert!((1..=1_024).contains(&sharer.limit.get()) && sharer.slot.get() < 1_024);
        }
    }
}

fn keys(several: bool) -> Vec<Key> {
    let names: &[&str] = if several { &["k", "l/m"] } else { &["k"] };
    names.iter().map(|name| Key::from(*name)).collect()
}

/// A request of that kind.
fn request(kind: &str) -> Request {
    let (kind, variant) = kind.split_once('/').unwrap_or((kind, ""));
    let several = variant == "several";
    let session = SessionId(SESSION.into());
    let value = Value(VALUE.as_bytes().to_vec().into());
    let (slot, limit) = (Slot::new(10), Limit::new(3).expect("a limit"));
    let hold = match variant {
        "share" => Hold::Share {
            limit,
            slot,
            value: value.clone(),
            probe: true,
        },
        _ => Hold::Exclusive {
            value: value.clone(),
        },
    };
    let found = |key| LockTarget {
        key,
        found: Found::Absent,
    };
    let targets: Vec<LockTarget> = keys(several).into_iter().map(found).collect();
    let slots = vec![slot; targets.len()];
    let ahead = vec![Stalled {
        key: "k".into(),
        slot: Slot::new(9),
        modify_index: 311,
    }];
    let see = See {
        line: true,
        sharers: Sharers::All,
    };
    let (key, rows) = (Key::from("k"), keys(several));
    match kind {
        "create_session" => Request::CreateSession {
            name: "ours".into(),
            ttl: Duration::from_secs(10),
            node: (variant == "node").then(|| "locks".into()),
        },
        "find_session" => Request::FindSession {
            name: "ours".into(),
        },
        "renew_session" => Request::RenewSession { session },
        "destroy_session" => Request::DestroySession { session },
        "describe_session" => Request::DescribeSession { session },
        "unlock" => Request::Unlock {
            lines: rows.clone(),
            rows,
            session,
        },
        "prove" => Request::Prove {
            gates: rows.clone(),
            rows,
            session,
        },
        "survey" => Request::Survey { targets, see },
        "read_line" => Request::ReadLine { keys: rows, see },
        "join" => Request::Join {
            keys: rows.into(),
            slots,
            want: Want::Exclusive,
            session,
            see,
        },
        "take" => Request::Take {
            targets,
            hold,
            slots,
            session,
            ahead,
            see,
        },
        "clear" => Request::Clear { ahead },
        "downgrade" => Request::Downgrade {
            key,
            token: 7,
            session,
            limit,
            slot,
            value,
        },
        "upgrade" => {
            let target = found(key);
            Request::Upgrade {
                target,
                token: 7,
                session,
                limit,
                slot,
                value,
            }
        }
        "read" => Request::Read {
            key,
            consistent: true,
        },
        "watch" => Request::Watch {
            key,
            index: 5,
            wait: Duration::from_secs(1),
        },
        "watch_names" => Request::WatchNames {
            folder: "k/.fifo/".into(),
            index: 5,
            wait: Duration::from_secs(1),
        },
        "write" => Request::Write {
            rows,
            session,
            key: "data".into(),
            value: Some(value),
        },
        "register_node" => Request::RegisterNode {
            node: "locks".into(),
        },
        "describe_node" => Request::DescribeNode {
            node: "locks".into(),
        },
        "describe_agent" => Request::DescribeAgent,
        _ => Request::Lock {
            targets,
            hold,
            session,
            see,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inputs_name_every_kind_of_request() {
        for facts in &facts::TABLE {
            let request = request(facts.name);
            assert_eq!(facts::TABLE[facts::number(&request)].name, facts.name);
        }
    }
}
