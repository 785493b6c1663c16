//! The value of a ticket in the line of a key: the keys that a waiter lists are those that others read, and from a value of
//! another program come only keys that stand in the value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::consul::credentials::{CredentialSettings, Credentials};
use crate::consul::encode::{Scope, encode};
use crate::consul::http::HttpReply;
use crate::consul::verdict::verdict;
use crate::core::messages::{Answer, Key, Request, SEVERAL, See, SessionId, Sharers, Slot, Want};

const SESSION: &str = "0e5c1fbd-0b6a-61a5-e0f6-d4a5a0f1b2c3";

const SEEN: See = See {
    line: true,
    sharers: Sharers::None,
};

pub(super) fn property(data: &[u8]) {
    let read = keys_of(&STANDARD.encode(data));
    if !read.is_empty() {
        let json: Json = serde_json::from_slice(data).expect("JSON");
        assert_eq!(json["keys"], json!(texts(&read)));
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let keys: Vec<Key> = text.lines().take(8).map(Key::from).collect();
    if keys.len() > 1 {
        let value = written(&keys);
        assert_eq!(keys_of(&value), keys, "{value}");
    }
}

fn texts(keys: &[Key]) -> Vec<&str> {
    keys.iter().map(|key| &**key).collect()
}

/// The value of the tickets of a waiter for these keys, in base64.
fn written(keys: &[Key]) -> String {
    let request = Request::Join {
        keys: keys.to_vec().into(),
        slots: vec![Slot::new(10); keys.len()],
        want: Want::Exclusive,
        session: SessionId(SESSION.into()),
        see: SEEN,
    };
    let http = encode(&request, &Scope::default()).expect("memory");
    let body: Json = serde_json::from_slice(&http.body.expect("a body")).expect("JSON");
    let operations = body.as_array().expect("operations").iter();
    let mut values = operations.filter_map(|operation| operation["KV"]["Value"].as_str());
    let first = values.next().expect("a ticket").to_owned();
    assert!(values.all(|value| value == first), "the same in each line");
    first
}

/// The keys of a waiter for several, whose ticket has this value.
fn keys_of(value: &str) -> Vec<Key> {
    let row = json!({
        "Key": "k/.fifo/00a", "Flags": SEVERAL, "Value": value, "Session": SESSION,
        "LockIndex": 1, "CreateIndex": 20, "ModifyIndex": 21,
    });
    let body = json!({"Results": [{"KV": row}], "Errors": null});
    let request = Request::ReadLine {
        keys: vec!["k".into()],
        see: SEEN,
    };
    let credentials = Credentials::new(CredentialSettings::default());
    let reply = HttpReply {
        status: 200,
        index: None,
        body: body.to_string().into_bytes(),
        secrets: credentials.secrets(&credentials.token()),
    };
    match verdict(&request, Ok(reply)) {
        Ok(Answer::Line(below)) => {
            let tickets: Vec<_> = below.iter().flat_map(|below| &below.line).collect();
            assert_eq!(tickets.len(), 1, "{below:?}");
            let several = tickets[0].several.as_ref().expect("several keys");
            several.to_vec()
        }
        other => panic!("{value}: {other:?}"),
    }
}
