//! A [`Request`] as HTTP. The same request gives the same bytes: a repeated `lock` must be
//! identical, or Consul counts it as a change.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fmt::Write as _;
use std::time::Duration;

use super::http::{HttpRequest, Method};
use crate::core::messages::{Found, Request, SessionId, Value, line_of};
use crate::key::is_unreserved;

/// `api.LockFlagValue` of Consul's Go client. It refuses to wait for a lock whose key carries
/// other flags (ErrLockConflict), so ours carry these.
pub(crate) const LOCK_FLAGS: u64 = 3_304_740_253_564_472_344;

/// What all requests of a client have in common, beyond the address.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// The datacenter; None: the agent's own.
    pub(crate) datacenter: Option<String>,
    /// Of Consul Enterprise; None: that of the token, or of the agent.
    pub(crate) namespace: Option<String>,
    pub(crate) partition: Option<String>,
    /// Of the lock's key.
    pub(crate) flags: u64,
    /// For how long nobody can take a lock that was lost.
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

/// Makes the HTTP request. None: there is no memory for it.
pub(crate) fn encode(request: &Request, scope: &Scope) -> Option<HttpRequest> {
    let (method, mut target, body) = match request {
        Request::CreateSession { name, ttl, node } => {
            let body = session(name, *ttl, node.as_deref(), scope);
            (Method::Put, "/v1/session/create".to_owned(), Some(body))
        }
        Request::RegisterNode { node } => {
            let body = registration(node, scope);
            (Method::Put, "/v1/catalog/register".to_owned(), Some(body))
        }
        Request::DescribeNode { node } => {
            let mut path = "/v1/catalog/node/".to_owned();
            percent_encode(&mut path, node, b"");
            (Method::Get, path, None)
        }
        Request::DescribeAgent => (Method::Get, "/v1/agent/self".to_owned(), None),
        Request::FindSession { .. } => (Method::Get, "/v1/session/list".to_owned(), None),
        Request::RenewSession { session } => (
            Method::Put,
            format!("/v1/session/renew/{session}"),
            Some(String::new()),
        ),
        Request::DestroySession { session } => (
            Method::Put,
            format!("/v1/session/destroy/{session}"),
            Some(String::new()),
        ),
        Request::DescribeSession { session } => {
            (Method::Get, format!("/v1/session/info/{session}"), None)
        }
        Request::Lock {
            key,
            found,
            value,
            session,
            line,
        } => {
            let mut txn = Txn::new(scope);
            txn.check_found(key, *found, session);
            txn.lock(key, value, scope.flags, session);
            if *line {
                txn.get_tree(&line_of(key));
            }
            txn.put()?
        }
        Request::Unlock { key, session, line } => {
            let mut txn = Txn::new(scope);
            txn.check_session(key, session);
            txn.delete(key);
            if *line {
                txn.get_tree(&line_of(key));
            }
            txn.put()?
        }
        Request::Survey { key } => {
            let mut txn = Txn::new(scope);
            txn.check_not_exists(key);
            txn.get_tree(&line_of(key));
            txn.put()?
        }
        Request::ReadLine { key } => {
            let mut txn = Txn::new(scope);
            txn.get_tree(&line_of(key));
            txn.put()?
        }
        Request::Join { key, slot, session } => {
            let mut txn = Txn::new(scope);
            txn.lock(&slot.ticket_of(key), &ticket_value(), 0, session);
            txn.get_tree(&line_of(key));
            txn.put()?
        }
        Request::Take {
            key,
            found,
            slot,
            value,
            session,
            ahead,
        } => {
            let mut txn = Txn::new(scope);
            for ticket in ahead {
                txn.delete_cas(&ticket.slot.ticket_of(key), ticket.modify_index);
            }
            let own = slot.ticket_of(key);
            txn.check_session(&own, session);
            txn.delete(&own);
            txn.check_found(key, *found, session);
            txn.lock(key, value, scope.flags, session);
            txn.put()?
        }
        Request::Clear { key, ahead } => {
            let mut txn = Txn::new(scope);
            for ticket in ahead {
                txn.delete_cas(&ticket.slot.ticket_of(key), ticket.modify_index);
            }
            txn.put()?
        }
        Request::Write {
            lock,
            session,
            key,
            value,
        } => {
            let mut txn = Txn::new(scope);
            txn.check_session(lock, session);
            match value {
                Some(value) => txn.set(key, value),
                None => txn.delete(key),
            }
            txn.put()?
        }
        Request::Read { key, consistent } => {
            let query = if *consistent { "?consistent=" } else { "" };
            (Method::Get, format!("{}{query}", kv_path(key)), None)
        }
        Request::Watch { key, index, wait } => {
            // Consul refuses a negative wait and takes 0 for its default of 5 minutes.
            let wait = wait.as_millis().max(1);
            (
                Method::Get,
                format!("{}?index={index}&wait={wait}ms", kv_path(key)),
                None,
            )
        }
        Request::WatchNames {
            folder,
            index,
            wait,
        } => {
            let (path, wait) = (kv_path(folder), wait.as_millis().max(1));
            let target = format!("{path}?keys=&index={index}&wait={wait}ms");
            (Method::Get, target, None)
        }
    };
    let takes: &[&str] = match request {
        Request::DescribeAgent => &[],
        // It takes the datacenter in the body, and only there; and no node is in a namespace.
        Request::RegisterNode { .. } => &["partition"],
        Request::DescribeNode { .. } => &["dc", "partition"],
        // A transaction takes namespace and partition inside of each operation, and only there.
        _ if target == TXN => &["dc"],
        _ => &["dc", "ns", "partition"],
    };
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
            percent_encode(&mut target, value, b"");
        }
    }
    Some(HttpRequest {
        method,
        target,
        body: body.map(String::into_bytes),
    })
}

/// Every setting is named: without them Consul would add its `serfHealth` check, a lock-delay of
/// 15 s and no TTL. `Checks` and `NodeChecks` are the spellings before and since 1.7.
fn session(name: &str, ttl: Duration, node: Option<&str>, scope: &Scope) -> String {
    let checks: Vec<String> = scope.session_checks.iter().map(|id| json(id)).collect();
    let checks = checks.join(",");
    // With a unit: a number below 1000 would be seconds.
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

/// A node that no agent owns: marked so, and as one that consul-esm is not to probe (it would remove a
/// node that does not answer). Consul wants an address; no host has this one (RFC 5737). A node of that
/// name that came into being meanwhile stays as it is.
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

const TXN: &str = "/v1/txn";

/// The body of a transaction, operation by operation.
struct Txn<'a> {
    body: String,
    scope: &'a Scope,
    /// There is no memory for it.
    starved: bool,
}

impl<'a> Txn<'a> {
    fn new(scope: &'a Scope) -> Txn<'a> {
        Txn {
            body: String::new(),
            scope,
            starved: false,
        }
    }

    fn operation(&mut self, verb: &str, key: &str) -> &mut String {
        let Txn { body, scope, .. } = self;
        body.push(if body.is_empty() { '[' } else { ',' });
        let _ = write!(body, "{{\"KV\":{{\"Verb\":\"{verb}\",\"Key\":{}", json(key));
        let besides = [
            ("Namespace", &scope.namespace),
            ("Partition", &scope.partition),
        ];
        for (name, value) in besides {
            if let Some(value) = value {
                let _ = write!(body, ",\"{name}\":{}", json(value));
            }
        }
        body
    }

    /// Makes room for an operation that stores a value. False: there is no memory for it.
    fn has_room(&mut self, key: &str, value: &Value) -> bool {
        let wanted = 160 + key.len() + value.0.len().div_ceil(3) * 4;
        self.starved |= self.body.try_reserve(wanted).is_err();
        !self.starved
    }

    fn lock(&mut self, key: &str, value: &Value, flags: u64, session: &SessionId) {
        if !self.has_room(key, value) {
            return;
        }
        let body = self.operation("lock", key);
        body.push_str(",\"Value\":\"");
        BASE64.encode_string(&*value.0, body);
        let _ = write!(body, "\",\"Flags\":{flags},\"Session\":\"{session}\"}}}}");
    }

    fn set(&mut self, key: &str, value: &Value) {
        if !self.has_room(key, value) {
            return;
        }
        let body = self.operation("set", key);
        body.push_str(",\"Value\":\"");
        BASE64.encode_string(&*value.0, body);
        body.push_str("\"}}");
    }

    fn check_session(&mut self, key: &str, session: &SessionId) {
        let body = self.operation("check-session", key);
        let _ = write!(body, ",\"Session\":\"{session}\"}}}}");
    }

    fn check_index(&mut self, key: &str, index: u64) {
        let _ = write!(self.operation("check-index", key), ",\"Index\":{index}}}}}");
    }

    fn check_found(&mut self, key: &str, found: Found, session: &SessionId) {
        match found {
            Found::Absent => self.check_not_exists(key),
            Found::Unlocked(index) => self.check_index(key, index),
            Found::Ours => self.check_session(key, session),
        }
    }

    fn check_not_exists(&mut self, key: &str) {
        self.operation("check-not-exists", key).push_str("}}");
    }

    fn delete(&mut self, key: &str) {
        self.operation("delete", key).push_str("}}");
    }

    fn delete_cas(&mut self, key: &str, index: u64) {
        let _ = write!(self.operation("delete-cas", key), ",\"Index\":{index}}}}}");
    }

    fn get_tree(&mut self, prefix: &str) {
        self.operation("get-tree", prefix).push_str("}}");
    }

    fn put(mut self) -> Option<(Method, String, Option<String>)> {
        self.body.push(']');
        (!self.starved).then(|| (Method::Put, TXN.to_owned(), Some(self.body)))
    }
}

/// What is stored in a ticket: short, for everybody who joins reads the whole line. The session's
/// name says whose it is.
fn ticket_value() -> Value {
    Value(b"{\"v\":1}".to_vec().into())
}

fn json(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

fn kv_path(key: &str) -> String {
    let mut path = String::with_capacity(8 + key.len());
    path.push_str("/v1/kv/");
    percent_encode(&mut path, key, b"/");
    path
}

/// Everything but unreserved characters and `besides`.
fn percent_encode(out: &mut String, text: &str, besides: &[u8]) {
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
    use crate::core::messages::{Found, Key, LineSlot, Ticket};

    fn text(request: Request) -> String {
        let http = encode(&request, &Scope::default()).expect("memory");
        let body = String::from_utf8(http.body.unwrap_or_default()).unwrap();
        format!("{:?} {} {body}", http.method, http.target)
    }

    fn sid() -> SessionId {
        SessionId("S-1".into())
    }

    #[test]
    fn every_request_as_it_goes_out() {
        let key: Key = "a b/%?ü".into();
        for (request, expected) in [
            (
                Request::CreateSession {
                    name: "n \"q\"".into(),
                    ttl: Duration::from_secs(180),
                    node: None,
                },
                "Put /v1/session/create {\"Name\":\"n \\\"q\\\"\",\"TTL\":\"180s\",\"Behavior\":\
                 \"delete\",\"LockDelay\":\"0s\",\"Checks\":[],\"NodeChecks\":[]}",
            ),
            (
                Request::CreateSession {
                    name: "n".into(),
                    ttl: Duration::from_secs(10),
                    node: Some("locks".into()),
                },
                "Put /v1/session/create {\"Name\":\"n\",\"TTL\":\"10s\",\"Behavior\":\"delete\",\
                 \"LockDelay\":\"0s\",\"Checks\":[],\"NodeChecks\":[],\"Node\":\"locks\"}",
            ),
            (
                Request::RegisterNode {
                    node: "locks".into(),
                },
                "Put /v1/catalog/register {\"Node\":\"locks\",\"Address\":\"192.0.2.1\",\"NodeMeta\":\
                 {\"external-node\":\"true\",\"external-probe\":\"false\"},\"SkipNodeUpdate\":true}",
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
                Request::Lock {
                    key: key.clone(),
                    found: Found::Absent,
                    value: Value(b"hi".to_vec().into()),
                    session: sid(),
                    line: false,
                },
                "Put /v1/txn [{\"KV\":{\"Verb\":\"check-not-exists\",\"Key\":\"a b/%?ü\"}},{\"KV\":\
                 {\"Verb\":\"lock\",\"Key\":\"a b/%?ü\",\"Value\":\"aGk=\",\"Flags\":3304740253564472344,\
                 \"Session\":\"S-1\"}}]",
            ),
            (
                Request::Unlock {
                    key: key.clone(),
                    session: sid(),
                    line: false,
                },
                "Put /v1/txn [{\"KV\":{\"Verb\":\"check-session\",\"Key\":\"a b/%?ü\",\"Session\":\
                 \"S-1\"}},{\"KV\":{\"Verb\":\"delete\",\"Key\":\"a b/%?ü\"}}]",
            ),
            (
                Request::Write {
                    lock: key.clone(),
                    session: sid(),
                    key: "data \"1\"".into(),
                    value: Some(Value(b"hi".to_vec().into())),
                },
                "Put /v1/txn [{\"KV\":{\"Verb\":\"check-session\",\"Key\":\"a b/%?ü\",\"Session\":\
                 \"S-1\"}},{\"KV\":{\"Verb\":\"set\",\"Key\":\"data \\\"1\\\"\",\"Value\":\"aGk=\"}}]",
            ),
            (
                Request::Write {
                    lock: key.clone(),
                    session: sid(),
                    key: "data".into(),
                    value: None,
                },
                "Put /v1/txn [{\"KV\":{\"Verb\":\"check-session\",\"Key\":\"a b/%?ü\",\"Session\":\
                 \"S-1\"}},{\"KV\":{\"Verb\":\"delete\",\"Key\":\"data\"}}]",
            ),
            (
                Request::Read {
                    key: key.clone(),
                    consistent: false,
                },
                "Get /v1/kv/a%20b/%25%3F%C3%BC ",
            ),
            (
                Request::Read {
                    key: key.clone(),
                    consistent: true,
                },
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
        ] {
            assert_eq!(text(request), expected);
        }
    }

    #[test]
    fn transactions_of_the_line() {
        let ticket = Ticket {
            slot: LineSlot::new(0x3ff),
            session: SessionId("S-0".into()),
            create_index: 5,
            modify_index: 6,
        };
        let operations = |request| {
            let text = text(request);
            let body = text.strip_prefix("Put /v1/txn ").unwrap();
            let json: serde_json::Value = serde_json::from_str(body).unwrap();
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
        let key: Key = "k".into();
        let value = Value(b"v".to_vec().into());
        assert_eq!(
            operations(Request::Take {
                key: key.clone(),
                found: Found::Absent,
                slot: LineSlot::new(0x0a),
                value,
                session: sid(),
                ahead: vec![ticket.clone()],
            }),
            "delete-cas k/.fifo/3ff 6 - -; check-session k/.fifo/00a - S-1 -; \
             delete k/.fifo/00a - - -; check-not-exists k - - -; \
             lock k - S-1 3304740253564472344"
        );
        for (found, check) in [
            (Found::Unlocked(7), "check-index k 7 - -"),
            (Found::Ours, "check-session k - S-1 -"),
        ] {
            assert_eq!(
                operations(Request::Lock {
                    key: key.clone(),
                    found,
                    value: Value(b"v".to_vec().into()),
                    session: sid(),
                    line: false,
                }),
                format!("{check}; lock k - S-1 3304740253564472344")
            );
        }
        assert_eq!(
            operations(Request::Join {
                key: key.clone(),
                slot: LineSlot::new(0x0a),
                session: sid(),
            }),
            "lock k/.fifo/00a - S-1 0; get-tree k/.fifo/ - - -"
        );
        assert_eq!(
            operations(Request::Survey { key: key.clone() }),
            "check-not-exists k - - -; get-tree k/.fifo/ - - -"
        );
        assert_eq!(
            operations(Request::ReadLine { key: key.clone() }),
            "get-tree k/.fifo/ - - -"
        );
        assert_eq!(
            operations(Request::Unlock {
                key: key.clone(),
                session: sid(),
                line: true,
            }),
            "check-session k - S-1 -; delete k - - -; get-tree k/.fifo/ - - -"
        );
        assert_eq!(
            operations(Request::Clear {
                key,
                ahead: vec![ticket],
            }),
            "delete-cas k/.fifo/3ff 6 - -"
        );
    }

    #[test]
    fn the_datacenter_goes_into_the_query() {
        let scope = Scope {
            datacenter: Some("dc/2".to_owned()),
            ..Scope::default()
        };
        let target = |request| encode(&request, &scope).expect("memory").target;
        let read = |consistent| Request::Read {
            key: "k".into(),
            consistent,
        };
        assert_eq!(target(read(false)), "/v1/kv/k?dc=dc%2F2");
        assert_eq!(target(read(true)), "/v1/kv/k?consistent=&dc=dc%2F2");
    }

    #[test]
    fn what_a_client_says_of_its_sessions_and_keys() {
        let scope = Scope {
            datacenter: Some("dc1".to_owned()),
            namespace: Some("a b".to_owned()),
            partition: Some("p\"".to_owned()),
            flags: 7,
            lock_delay: Duration::from_millis(1_500),
            session_checks: vec!["serfHealth".to_owned(), "m\"".to_owned()],
        };
        let text = |request| {
            let http = encode(&request, &scope).expect("memory");
            let body = String::from_utf8(http.body.unwrap_or_default()).unwrap();
            format!("{} {body}", http.target)
        };
        assert_eq!(
            text(Request::CreateSession {
                name: "n".into(),
                ttl: Duration::from_secs(10),
                node: None,
            }),
            "/v1/session/create?dc=dc1&ns=a%20b&partition=p%22 {\"Name\":\"n\",\"TTL\":\"10s\",\
             \"Behavior\":\"delete\",\"LockDelay\":\"1500ms\",\"Checks\":[\"serfHealth\",\"m\\\"\"],\
             \"NodeChecks\":[\"serfHealth\",\"m\\\"\"]}"
        );
        let node: Arc<str> = "l".into();
        assert_eq!(
            text(Request::RegisterNode { node: node.clone() }),
            "/v1/catalog/register?partition=p%22 {\"Node\":\"l\",\"Address\":\"192.0.2.1\",\"NodeMeta\":\
             {\"external-node\":\"true\",\"external-probe\":\"false\"},\"SkipNodeUpdate\":true,\
             \"Datacenter\":\"dc1\"}"
        );
        assert_eq!(
            text(Request::DescribeNode { node }),
            "/v1/catalog/node/l?dc=dc1&partition=p%22 "
        );
        assert_eq!(text(Request::DescribeAgent), "/v1/agent/self ");
        let unlock = Request::Unlock {
            key: "k".into(),
            session: sid(),
            line: false,
        };
        assert_eq!(
            text(unlock),
            "/v1/txn?dc=dc1 [{\"KV\":{\"Verb\":\"check-session\",\"Key\":\"k\",\"Namespace\":\"a b\",\
             \"Partition\":\"p\\\"\",\"Session\":\"S-1\"}},{\"KV\":{\"Verb\":\"delete\",\"Key\":\"k\",\
             \"Namespace\":\"a b\",\"Partition\":\"p\\\"\"}}]"
        );
        let lock = text(Request::Lock {
            key: "k".into(),
            found: Found::Absent,
            value: Value(b"v".to_vec().into()),
            session: sid(),
            line: true,
        });
        assert!(lock.contains("\"Flags\":7,"), "{lock}");
        assert_eq!(lock.matches("\"Namespace\":\"a b\"").count(), 3, "{lock}");
    }
}
