//! A [`Request`] as HTTP. The same request gives the same bytes: a repeated `lock` must be
//! identical, or Consul counts the repetition as a change.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Serialize, Serializer};

use super::facts;
use super::http::{HttpRequest, Method};
use super::operations::{Operation, Verb, operations};
use crate::core::messages::{Key, Request, SEVERAL, SessionId, Want};
use crate::key::{LOCK_FLAGS, in_transaction, is_unreserved};

/// The value of a ticket: short, because each waiter reads the whole line. The session of a ticket has the waiter's
/// name.
#[derive(Serialize)]
struct TicketAsStored<'a> {
    /// All keys of a waiter for several.
    #[serde(skip_serializing_if = "<[Key]>::is_empty", serialize_with = "texts")]
    keys: &'a [Key],
    v: u8,
}

fn texts<S: Serializer>(keys: &&[Key], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(keys.iter().map(|key| &**key))
}

fn ticket(several: &[Key]) -> Vec<u8> {
    let ticket = TicketAsStored {
        keys: several,
        v: 1,
    };
    // Texts and numbers always have JSON.
    serde_json::to_vec(&ticket).unwrap_or_default()
}

/// What all requests of a client have in common, beyond the address.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// The datacenter; None: the agent's own.
    pub(crate) datacenter: Option<String>,
    /// The namespace (Consul Enterprise); None: that of the token, or of the agent.
    pub(crate) namespace: Option<String>,
    /// The partition (Consul Enterprise); None: that of the agent.
    pub(crate) partition: Option<String>,
    /// The flags of the lock's key.
    pub(crate) flags: u64,
    /// For how long Consul lets no session take a lock that was lost.
    pub(crate) lock_delay: Duration,
    /// The ids of the checks that end a session.
    pub(crate) session_checks: Vec<String>,
}

impl Default for Scope {
    fn default() -> Scope {
        Scope {
            datacenter: None,
            namespace: None,
            partition: None,
            flags: LOCK_FLAGS,
            lock_delay: Duration::ZERO,
            session_checks: Vec::new(),
        }
    }
}

/// Makes the HTTP request. None: there is no memory for the request.
pub(crate) fn encode(request: &Request, scope: &Scope) -> Option<HttpRequest> {
    let facts = facts::of(request);
    let mut target = facts.path.to_owned();
    let mut body = Vec::new();
    match request {
        Request::CreateSession { name, ttl, node } => {
            body = session(name, *ttl, node.as_deref(), scope).into_bytes();
        }
        Request::RegisterNode { node } => body = registration(node, scope).into_bytes(),
        Request::DescribeNode { node } => segment(&mut target, node, b""),
        Request::DescribeAgent | Request::FindSession { .. } => {}
        Request::RenewSession { session }
        | Request::DestroySession { session }
        | Request::DescribeSession { session } => segment(&mut target, &session.0, b""),
        Request::Lock { .. }
        | Request::Unlock { .. }
        | Request::Survey { .. }
        | Request::ReadLine { .. }
        | Request::Join { .. }
        | Request::Take { .. }
        | Request::Clear { .. }
        | Request::Downgrade { .. }
        | Request::Upgrade { .. }
        | Request::Write { .. } => body = transaction(request, scope)?,
        // A server that is not the leader any more must not say that no session shares the key.
        Request::Prove { .. } => {
            body = transaction(request, scope)?;
            target.push_str("?consistent=");
        }
        Request::Read { key, consistent } => {
            segment(&mut target, key, b"/");
            target.push_str(if *consistent { "?consistent=" } else { "" });
        }
        Request::Watch { key, index, wait } => {
            segment(&mut target, key, b"/");
            let _ = write!(target, "?index={index}&wait={}ms", at_least_1(*wait));
        }
        Request::WatchNames {
            folder,
            index,
            wait,
        } => {
            segment(&mut target, folder, b"/");
            let _ = write!(target, "?keys=&index={index}&wait={}ms", at_least_1(*wait));
        }
    }
    let takes: &[&str] = match request {
        Request::DescribeAgent => &[],
        // Consul takes the datacenter of a registration from the body alone; a node is in no namespace.
        Request::RegisterNode { .. } => &["partition"],
        Request::DescribeNode { .. } => &["dc", "partition"],
        // Consul takes namespace and partition of a transaction from each operation alone.
        _ if facts.is_transaction() => &["dc"],
        _ => &["dc", "ns", "partition"],
    };
    add_scope(&mut target, scope, takes);
    Some(HttpRequest {
        method: facts.method,
        target,
        body: (facts.method == Method::Put).then_some(body),
    })
}

/// Adds what the path of a tool's question takes. The API of an agent itself has no datacenter.
pub(crate) fn in_scope(target: &mut String, scope: &Scope) {
    let takes: &[&str] = match target.starts_with("/v1/agent/") {
        true => &[],
        false => &["dc", "ns", "partition"],
    };
    add_scope(target, scope, takes);
}

fn add_scope(target: &mut String, scope: &Scope, takes: &[&str]) {
    let query = [
        ("dc", &scope.datacenter),
        ("ns", &scope.namespace),
        ("partition", &scope.partition),
    ];
    for (name, value) in query.into_iter().filter(|(name, _)| takes.contains(name)) {
        if let Some(value) = value {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(name);
            target.push('=');
            percent_encode(target, value, b"");
        }
    }
}

/// Consul refuses a negative wait, and takes 0 for its default of 5 minutes.
fn at_least_1(wait: Duration) -> u128 {
    wait.as_millis().max(1)
}

/// The body names every setting: without them Consul would add its `serfHealth` check, a lock-delay of
/// 15 s and no TTL. `Checks` and `NodeChecks` are the spellings before and since 1.7.
fn session(name: &str, ttl: Duration, node: Option<&str>, scope: &Scope) -> String {
    let checks: Vec<String> = scope.session_checks.iter().map(|id| json(id)).collect();
    let checks = checks.join(",");
    // With a unit: Consul takes a number below 1000 for seconds.
    let delay = match scope.lock_delay.as_millis() {
        0 => "0s".to_owned(),
        ms => format!("{ms}ms"),
    };
    let node = node.map(|node| format!(",\"Node\":{}", json(node)));
    format!(
        "{{\"Name\":{},\"TTL\":\"{}s\",\"Behavior\":\"delete\",\"LockDelay\":\"{delay}\",\
         \"Checks\":[{checks}],\"NodeChecks\":[{checks}]{}}}",
        json(name),
        ttl.as_secs(),
        node.unwrap_or_default()
    )
}

/// A node that no agent owns. Its metadata say so, and keep consul-esm from probing the node (consul-esm would
/// remove a node that does not answer). Consul wants an address; no host has this one (RFC 5737). A node of
/// that name that another program has registered meanwhile stays as it is.
fn registration(node: &str, scope: &Scope) -> String {
    let datacenter = scope.datacenter.as_ref();
    let datacenter = datacenter.map(|dc| format!(",\"Datacenter\":{}", json(dc)));
    format!(
        "{{\"Node\":{},\"Address\":\"192.0.2.1\",\"NodeMeta\":{{\"external-node\":\"true\",\
         \"external-probe\":\"false\"}},\"SkipNodeUpdate\":true{}}}",
        json(node),
        datacenter.unwrap_or_default()
    )
}

/// The body of a transaction, written into one buffer. None: there is no memory for its value.
fn transaction(request: &Request, scope: &Scope) -> Option<Vec<u8>> {
    /// An operation without a long key or value.
    const USUAL: usize = 192;
    let operations = operations(request);
    let mut body = Vec::with_capacity(USUAL * operations.len());
    body.push(b'[');
    for (number, Operation { key, verb }) in operations.into_iter().enumerate() {
        body.extend_from_slice(if number > 0 { b"," } else { b"" });
        push(
            &mut body,
            &["{\"KV\":{\"Verb\":\"", verb.name(), "\",\"Key\":"],
        );
        push_json(&mut body, &*key);
        for (name, of) in [
            (",\"Namespace\":", &scope.namespace),
            (",\"Partition\":", &scope.partition),
        ] {
            if let Some(of) = of {
                push(&mut body, &[name]);
                push_json(&mut body, &**of);
            }
        }
        match verb {
            Verb::Lock(value, session) => {
                push_lock(&mut body, &key, value, scope.flags, session)?;
            }
            Verb::Share(limit, value, session) => {
                let flags = Want::Share(limit).flags();
                push_lock(&mut body, &key, value, flags, session)?;
            }
            Verb::Join(want, several, session) => {
                let bit = if several.is_empty() { 0 } else { SEVERAL };
                let flags = want.flags() | bit;
                push_lock(&mut body, &key, &ticket(several), flags, session)?;
            }
            Verb::Set(value) => push_value(&mut body, &key, value)?,
            Verb::CheckSession(session) => push_session(&mut body, session),
            Verb::CheckIndex(index) | Verb::DeleteCas(index) => {
                push(&mut body, &[",\"Index\":"]);
                push_json(&mut body, &index);
            }
            Verb::CheckNotExists | Verb::Delete | Verb::GetTree(..) => {}
        }
        body.extend_from_slice(b"}}");
    }
    body.push(b']');
    Some(body)
}

fn push_lock(
    body: &mut Vec<u8>,
    key: &str,
    value: &[u8],
    flags: u64,
    session: &SessionId,
) -> Option<()> {
    push_value(body, key, value)?;
    push(body, &[",\"Flags\":"]);
    push_json(body, &flags);
    push_session(body, session);
    Some(())
}

fn push_value(body: &mut Vec<u8>, key: &str, value: &[u8]) -> Option<()> {
    body.try_reserve(in_transaction(value.len(), [key])).ok()?;
    push(body, &[",\"Value\":\""]);
    let begin = body.len();
    body.resize(begin + base64::encoded_len(value.len(), true)?, 0);
    BASE64.encode_slice(value, body.get_mut(begin..)?).ok()?;
    body.push(b'"');
    Some(())
}

/// The id of a session has no character that JSON escapes.
fn push_session(body: &mut Vec<u8>, session: &SessionId) {
    push(body, &[",\"Session\":\"", &session.0, "\""]);
}

fn push(body: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        body.extend_from_slice(text.as_bytes());
    }
}

fn push_json<T: Serialize + ?Sized>(body: &mut Vec<u8>, value: &T) {
    // A text or a number always has JSON, and a vector takes all of it.
    let _ = serde_json::to_writer(body, value);
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Adds a slash and `text`.
fn segment(path: &mut String, text: &str, besides: &[u8]) {
    path.push('/');
    percent_encode(path, text, besides);
}

/// Encodes everything but unreserved characters and `besides`.
pub(crate) fn percent_encode(out: &mut String, text: &str, besides: &[u8]) {
    for byte in text.bytes() {
        if is_unreserved(byte) || besides.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::messages::{
        Found, Hold, Limit, LockTarget, See, Sharers, Slot, Stalled, Value,
    };

    fn text_in(scope: &Scope, request: Request) -> String {
        let http = encode(&request, scope).expect("memory");
        let body = String::from_utf8(http.body.unwrap_or_default()).unwrap();
        format!("{:?} {} {body}", http.method, http.target)
    }

    fn text(request: Request) -> String {
        text_in(&Scope::default(), request)
    }

    fn sid() -> SessionId {
        SessionId("S-1".into())
    }

    fn create(seconds: u64, node: Option<&str>) -> Request {
        Request::CreateSession {
            name: "n \"q\"".into(),
            ttl: Duration::from_secs(seconds),
            node: node.map(Into::into),
        }
    }

    fn value() -> Value {
        Value(b"hi".to_vec().into())
    }

    fn target(key: &Key, found: Found) -> LockTarget {
        LockTarget {
            key: key.clone(),
            found,
        }
    }

    fn exclusive() -> Hold {
        Hold::Exclusive { value: value() }
    }

    fn shared(limit: u64, probe: bool) -> Hold {
        Hold::Share {
            limit: Limit::new(limit).expect("a limit"),
            slot: Slot::new(2),
            value: value(),
            probe,
        }
    }

    fn see(line: bool, sharers: Sharers) -> See {
        See { line, sharers }
    }

    fn lock(key: &Key, found: Found, line: bool) -> Request {
        Request::Lock {
            targets: vec![target(key, found)],
            hold: exclusive(),
            session: sid(),
            see: see(line, Sharers::None),
        }
    }

    fn unlock(key: &Key, line: bool) -> Request {
        Request::Unlock {
            rows: vec![key.clone()],
            session: sid(),
            lines: line.then(|| key.clone()).into_iter().collect(),
        }
    }

    fn write(lock: &Key, key: &str, value: Option<Value>) -> Request {
        Request::Write {
            rows: vec![lock.clone()],
            session: sid(),
            key: key.into(),
            value,
        }
    }

    fn read(key: &Key, consistent: bool) -> Request {
        Request::Read {
            key: key.clone(),
            consistent,
        }
    }

    #[test]
    fn a_question_of_a_tool_has_the_scope() {
        let scope = Scope {
            datacenter: Some("dc 1".to_owned()),
            namespace: Some("team".to_owned()),
            partition: Some("p".to_owned()),
            ..Scope::default()
        };
        let scoped = |path: &str| {
            let mut target = path.to_owned();
            in_scope(&mut target, &scope);
            target
        };
        assert_eq!(scoped("/v1/kv/a"), "/v1/kv/a?dc=dc%201&ns=team&partition=p");
        assert_eq!(
            scoped("/v1/kv/a?keys="),
            "/v1/kv/a?keys=&dc=dc%201&ns=team&partition=p"
        );
        assert_eq!(scoped("/v1/agent/self"), "/v1/agent/self");
    }

    const REGISTRATION: &str = r#"{"Node":"locks","Address":"192.0.2.1","NodeMeta":{"external-node":"true","external-probe":"false"},"SkipNodeUpdate":true"#;

    #[test]
    fn every_request_as_it_goes_out() {
        let key: Key = "a b/%?ü".into();
        let node: Arc<str> = "locks".into();
        for (request, expected) in [
            (
                create(180, None),
                r#"Put /v1/session/create {"Name":"n \"q\"","TTL":"180s","Behavior":"delete","LockDelay":"0s","Checks":[],"NodeChecks":[]}"#,
            ),
            (
                create(10, Some("locks")),
                r#"Put /v1/session/create {"Name":"n \"q\"","TTL":"10s","Behavior":"delete","LockDelay":"0s","Checks":[],"NodeChecks":[],"Node":"locks"}"#,
            ),
            (
                Request::RegisterNode { node },
                &format!("Put /v1/catalog/register {REGISTRATION}}}"),
            ),
            (
                Request::DescribeNode {
                    node: "lo/cks".into(),
                },
                "Get /v1/catalog/node/lo%2Fcks ",
            ),
            (Request::DescribeAgent, "Get /v1/agent/self "),
            (
                Request::FindSession { name: "n".into() },
                "Get /v1/session/list ",
            ),
            (
                Request::RenewSession { session: sid() },
                "Put /v1/session/renew/S-1 ",
            ),
            (
                Request::DestroySession { session: sid() },
                "Put /v1/session/destroy/S-1 ",
            ),
            (
                Request::DescribeSession { session: sid() },
                "Get /v1/session/info/S-1 ",
            ),
            (
                lock(&key, Found::Absent, false),
                r#"Put /v1/txn [{"KV":{"Verb":"check-not-exists","Key":"a b/%?ü"}},{"KV":{"Verb":"lock","Key":"a b/%?ü","Value":"aGk=","Flags":3304740253564472344,"Session":"S-1"}}]"#,
            ),
            (
                unlock(&key, false),
                r#"Put /v1/txn [{"KV":{"Verb":"check-session","Key":"a b/%?ü","Session":"S-1"}},{"KV":{"Verb":"delete","Key":"a b/%?ü"}}]"#,
            ),
            (
                write(&key, "data \"1\"", Some(value())),
                r#"Put /v1/txn [{"KV":{"Verb":"check-session","Key":"a b/%?ü","Session":"S-1"}},{"KV":{"Verb":"set","Key":"data \"1\"","Value":"aGk="}}]"#,
            ),
            (
                write(&key, "data", None),
                r#"Put /v1/txn [{"KV":{"Verb":"check-session","Key":"a b/%?ü","Session":"S-1"}},{"KV":{"Verb":"delete","Key":"data"}}]"#,
            ),
            (read(&key, false), "Get /v1/kv/a%20b/%25%3F%C3%BC "),
            (
                read(&key, true),
                "Get /v1/kv/a%20b/%25%3F%C3%BC?consistent= ",
            ),
            (
                Request::Watch {
                    key,
                    index: 7,
                    wait: Duration::from_nanos(1),
                },
                "Get /v1/kv/a%20b/%25%3F%C3%BC?index=7&wait=1ms ",
            ),
            (
                Request::WatchNames {
                    folder: "a b/".into(),
                    index: 7,
                    wait: Duration::from_secs(2),
                },
                "Get /v1/kv/a%20b/?keys=&index=7&wait=2000ms ",
            ),
        ] {
            assert_eq!(text(request), expected);
        }
    }

    #[test]
    fn transactions_of_the_line() {
        let stalled = Stalled {
            key: "k".into(),
            slot: Slot::new(0x3ff),
            modify_index: 6,
        };
        let operations = |request| {
            let text = text(request);
            let body = text
                .split_once(" [")
                .map(|(_, body)| format!("[{body}"))
                .unwrap();
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            let operations = json.as_array().unwrap().iter().map(|operation| {
                let kv = &operation["KV"];
                let rest = ["Index", "Session", "Flags"]
                    .iter()
                    .map(|name| kv[name].to_string());
                format!(
                    "{} {} {}",
                    kv["Verb"],
                    kv["Key"],
                    rest.collect::<Vec<_>>().join(" ")
                )
            });
            operations
                .collect::<Vec<_>>()
                .join("; ")
                .replace('"', "")
                .replace("null", "-")
        };
        let (key, other): (Key, Key) = ("k".into(), "l".into());
        let slot = Slot::new(0x0a);
        for (request, expected) in [
            (
                Request::Take {
                    targets: vec![target(&key, Found::Absent)],
                    hold: exclusive(),
                    slots: vec![slot],
                    session: sid(),
                    ahead: vec![stalled.clone()],
                    see: see(false, Sharers::All),
                },
                "delete-cas k/.fifo/3ff 6 - -; check-session k/.fifo/00a - S-1 -; \
                 delete k/.fifo/00a - - -; check-not-exists k - - -; \
                 lock k - S-1 3304740253564472344; get-tree k/.share/ - - -",
            ),
            (
                lock(&key, Found::Unlocked(7), false),
                "check-index k 7 - -; lock k - S-1 3304740253564472344",
            ),
            (
                lock(&key, Found::Ours, false),
                "check-session k - S-1 -; lock k - S-1 3304740253564472344",
            ),
            (
                Request::Join {
                    keys: [key.clone()].into(),
                    slots: vec![slot],
                    want: Want::Exclusive,
                    session: sid(),
                    see: see(true, Sharers::None),
                },
                "lock k/.fifo/00a - S-1 0; get-tree k/.fifo/ - - -",
            ),
            (
                Request::Survey {
                    targets: vec![target(&key, Found::Absent)],
                    see: see(true, Sharers::None),
                },
                "check-not-exists k - - -; get-tree k/.fifo/ - - -",
            ),
            (
                Request::ReadLine {
                    keys: vec![key.clone()],
                    see: see(true, Sharers::None),
                },
                "get-tree k/.fifo/ - - -",
            ),
            (
                unlock(&key, true),
                "check-session k - S-1 -; delete k - - -; get-tree k/.fifo/ - - -",
            ),
            (
                Request::Clear {
                    ahead: vec![stalled],
                },
                "delete-cas k/.fifo/3ff 6 - -",
            ),
            (
                Request::Lock {
                    targets: vec![target(&key, Found::Absent)],
                    hold: shared(1_024, false),
                    session: sid(),
                    see: see(true, Sharers::Limited),
                },
                "check-not-exists k - - -; lock k/.share/002 - S-1 1024; \
                 get-tree k/.share/slot/ - - -; get-tree k/.fifo/ - - -",
            ),
            (
                Request::Lock {
                    targets: vec![target(&key, Found::Absent)],
                    hold: shared(3, true),
                    session: sid(),
                    see: see(false, Sharers::All),
                },
                "check-not-exists k - - -; lock k - S-1 3304740253564472344; delete k - - -; \
                 lock k/.share/slot/002 - S-1 3; get-tree k/.share/ - - -",
            ),
            (
                Request::Lock {
                    targets: vec![target(&key, Found::Ours)],
                    hold: shared(3, true),
                    session: sid(),
                    see: See::NOTHING,
                },
                "check-session k/.share/slot/002 - S-1 -; lock k/.share/slot/002 - S-1 3",
            ),
            (
                Request::Prove {
                    rows: vec![key.clone()],
                    session: sid(),
                    gates: vec![key.clone()],
                },
                "check-session k - S-1 -; get-tree k/.share/ - - -",
            ),
            (
                Request::Downgrade {
                    key: key.clone(),
                    token: 7,
                    session: sid(),
                    limit: Limit::READERS,
                    slot,
                    value: value(),
                },
                "check-session k - S-1 -; delete-cas k 7 - -; lock k/.share/00a - S-1 1024",
            ),
            (
                Request::Upgrade {
                    target: target(&key, Found::Absent),
                    token: 7,
                    session: sid(),
                    limit: Limit::READERS,
                    slot,
                    value: value(),
                },
                "check-session k/.share/00a - S-1 -; delete-cas k/.share/00a 7 - -; \
                 check-not-exists k - - -; lock k - S-1 3304740253564472344; \
                 get-tree k/.share/ - - -",
            ),
            (
                Request::Take {
                    targets: vec![
                        target(&key, Found::Unchecked),
                        target(&other, Found::Absent),
                    ],
                    hold: exclusive(),
                    slots: vec![slot, Slot::new(0x0b)],
                    session: sid(),
                    ahead: Vec::new(),
                    see: See::NOTHING,
                },
                "check-session k/.fifo/00a - S-1 -; delete k/.fifo/00a - - -; \
                 delete l/.fifo/00b - - -; lock k - S-1 3304740253564472344; \
                 check-not-exists l - - -; lock l - S-1 3304740253564472344",
            ),
            (
                Request::Join {
                    keys: [key.clone(), other.clone()].into(),
                    slots: vec![slot, slot],
                    want: Want::Exclusive,
                    session: sid(),
                    see: see(true, Sharers::None),
                },
                "lock k/.fifo/00a - S-1 65536; lock l/.fifo/00a - S-1 65536; \
                 get-tree k/.fifo/ - - -; get-tree l/.fifo/ - - -",
            ),
        ] {
            assert_eq!(operations(request), expected);
        }
    }

    #[test]
    fn what_a_client_says_of_its_sessions_and_keys() {
        let scope = Scope {
            datacenter: Some("dc/1".to_owned()),
            namespace: Some("a b".to_owned()),
            partition: Some("p\"".to_owned()),
            flags: 7,
            lock_delay: Duration::from_millis(1_500),
            session_checks: vec!["serfHealth".to_owned(), "m\"".to_owned()],
        };
        let (key, node): (Key, Arc<str>) = ("k".into(), "locks".into());
        for (request, expected) in [
            (
                create(10, None),
                r#"Put /v1/session/create?dc=dc%2F1&ns=a%20b&partition=p%22 {"Name":"n \"q\"","TTL":"10s","Behavior":"delete","LockDelay":"1500ms","Checks":["serfHealth","m\""],"NodeChecks":["serfHealth","m\""]}"#,
            ),
            (
                Request::RegisterNode { node: node.clone() },
                &format!(
                    r#"Put /v1/catalog/register?partition=p%22 {REGISTRATION},"Datacenter":"dc/1"}}"#
                ),
            ),
            (
                Request::DescribeNode { node },
                "Get /v1/catalog/node/locks?dc=dc%2F1&partition=p%22 ",
            ),
            (Request::DescribeAgent, "Get /v1/agent/self "),
            (
                read(&key, false),
                "Get /v1/kv/k?dc=dc%2F1&ns=a%20b&partition=p%22 ",
            ),
            (
                read(&key, true),
                "Get /v1/kv/k?consistent=&dc=dc%2F1&ns=a%20b&partition=p%22 ",
            ),
            (
                unlock(&key, false),
                r#"Put /v1/txn?dc=dc%2F1 [{"KV":{"Verb":"check-session","Key":"k","Namespace":"a b","Partition":"p\"","Session":"S-1"}},{"KV":{"Verb":"delete","Key":"k","Namespace":"a b","Partition":"p\""}}]"#,
            ),
        ] {
            assert_eq!(text_in(&scope, request), expected);
        }
        let lock = text_in(&scope, lock(&key, Found::Absent, true));
        assert!(lock.contains("\"Flags\":7,"), "{lock}");
        assert_eq!(lock.matches("\"Namespace\":\"a b\"").count(), 3, "{lock}");
    }
}
