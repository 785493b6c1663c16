//! A [`Request`] as HTTP. The same request gives the same bytes: a repeated `lock` must be
//! identical, or Consul counts it as a change.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fmt::Write as _;
use std::time::Duration;

use super::http::{HttpRequest, Method};
use crate::core::messages::{Key, Request, SessionId, Value};

/// `api.LockFlagValue` of Consul's Go client. It refuses to wait for a lock whose key carries
/// other flags (ErrLockConflict), so ours carry these.
const LOCK_FLAGS: u64 = 3_304_740_253_564_472_344;

/// Where the client's requests go, beyond the address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// The datacenter; None: the agent's own.
    pub(crate) datacenter: Option<String>,
}

/// Makes the HTTP request.
pub(crate) fn encode(request: &Request, scope: &Scope) -> HttpRequest {
    let (method, mut target, body) = match request {
        Request::CreateSession { name, ttl } => {
            let path = "/v1/session/create".to_owned();
            (Method::Put, path, Some(session(name, *ttl)))
        }
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
            value,
            session,
        } => (
            Method::Put,
            "/v1/txn".to_owned(),
            Some(lock(key, value, session)),
        ),
        Request::Unlock { key, session } => (
            Method::Put,
            "/v1/txn".to_owned(),
            Some(unlock(key, session)),
        ),
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
    };
    if let Some(datacenter) = &scope.datacenter {
        target.push_str(if target.contains('?') { "&dc=" } else { "?dc=" });
        percent_encode(&mut target, datacenter, b"");
    }
    HttpRequest {
        method,
        target,
        body: body.map(String::into_bytes),
    }
}

/// Every setting is named: without them Consul would add its `serfHealth` check, a lock-delay of
/// 15 s and no TTL. `Checks` and `NodeChecks` are the spellings before and since 1.7.
fn session(name: &str, ttl: Duration) -> String {
    format!(
        "{{\"Name\":{},\"TTL\":\"{}s\",\"Behavior\":\"delete\",\"LockDelay\":\"0s\",\
         \"Checks\":[],\"NodeChecks\":[]}}",
        json(name),
        ttl.as_secs()
    )
}

fn lock(key: &Key, value: &Value, session: &SessionId) -> String {
    let key = json(key);
    let mut body = String::with_capacity(160 + key.len() + value.0.len() * 4 / 3);
    let _ = write!(
        body,
        "[{{\"KV\":{{\"Verb\":\"lock\",\"Key\":{key},\"Value\":\""
    );
    BASE64.encode_string(&value.0, &mut body);
    let _ = write!(
        body,
        "\",\"Flags\":{LOCK_FLAGS},\"Session\":\"{session}\"}}}}]"
    );
    body
}

fn unlock(key: &Key, session: &SessionId) -> String {
    let key = json(key);
    format!(
        "[{{\"KV\":{{\"Verb\":\"check-session\",\"Key\":{key},\"Session\":\"{session}\"}}}},\
         {{\"KV\":{{\"Verb\":\"delete\",\"Key\":{key}}}}}]"
    )
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

/// Everything but RFC 3986's unreserved characters (section 2.3) and `besides`.
fn percent_encode(out: &mut String, text: &str, besides: &[u8]) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || besides.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: Request) -> String {
        let http = encode(&request, &Scope::default());
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
                },
                "Put /v1/session/create {\"Name\":\"n \\\"q\\\"\",\"TTL\":\"180s\",\"Behavior\":\
                 \"delete\",\"LockDelay\":\"0s\",\"Checks\":[],\"NodeChecks\":[]}",
            ),
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
                    value: Value(b"hi".to_vec().into()),
                    session: sid(),
                },
                "Put /v1/txn [{\"KV\":{\"Verb\":\"lock\",\"Key\":\"a b/%?ü\",\"Value\":\"aGk=\",\
                 \"Flags\":3304740253564472344,\"Session\":\"S-1\"}}]",
            ),
            (
                Request::Unlock {
                    key: key.clone(),
                    session: sid(),
                },
                "Put /v1/txn [{\"KV\":{\"Verb\":\"check-session\",\"Key\":\"a b/%?ü\",\"Session\":\
                 \"S-1\"}},{\"KV\":{\"Verb\":\"delete\",\"Key\":\"a b/%?ü\"}}]",
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
    fn the_datacenter_goes_into_the_query() {
        let scope = Scope {
            datacenter: Some("dc/2".to_owned()),
        };
        let target = |request| encode(&request, &scope).target;
        let read = |consistent| Request::Read {
            key: "k".into(),
            consistent,
        };
        assert_eq!(target(read(false)), "/v1/kv/k?dc=dc%2F2");
        assert_eq!(target(read(true)), "/v1/kv/k?consistent=&dc=dc%2F2");
    }
}
