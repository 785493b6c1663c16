//! THE classification: what an HTTP reply, or the lack of one, means to the algorithm.
//!
//! Statuses are not enough. A transaction answers 409 for a held lock, a lock-delay, a dead
//! session and missing rights alike; a validation error is a 500 like a lost leader; and of the
//! 500s some were surely not applied and some may have been (measured on 1.8.7, and read from the
//! sources of newer servers). So bodies and texts are compared, and a text that we do not know is
//! never taken for success, and never for "held". Nor does it say that nothing was done: whoever
//! stands between us and Consul may have said it after Consul did what was asked. So a request that
//! changes something is refused by a text of Consul's own, or its fate is unknown.

mod duration;
mod rows;
mod texts;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

use super::facts::{self, KV};
use super::http::{Failure, HttpReply};
use crate::core::messages::{
    AgentRow, Answer, Fault, KeyRow, NodeRow, Request, SessionId, SessionRow, Value,
};
use crate::error::{Error, Status};
use crate::text::one_line;
use rows::Rows;
use texts::{
    Refusal, exists, is_changed, is_dead_session, is_delayed, is_held, is_known, is_not_ours,
    is_stale, is_taken, refusal,
};

/// What is shown at most of a text of Consul's.
const LONGEST_TEXT: usize = 300;

/// What is taken at most of the name of a session or a node: option session_name allows 4,096.
const LONGEST_NAME: usize = 4_200;

/// What is shown at most of a reason why there is no answer. Some carry a remedy of ours.
const LONGEST_REASON: usize = 1_000;

/// Makes an answer, or a fault, out of what came back.
pub(crate) fn verdict(
    request: &Request,
    result: Result<HttpReply, Failure>,
) -> Result<Answer, Fault> {
    let reply = match result {
        Ok(reply) => reply,
        Err(Failure::NotSent(why)) => return Err(Fault::NotApplied(unreachable(request, &why))),
        Err(Failure::NoResources(why)) => {
            let mut error = unreachable(request, &why);
            error.status = Status::NoResources;
            return Err(Fault::NotApplied(error));
        }
        Err(Failure::Refused(why)) => {
            let mut error = unreachable(request, &why);
            error.retryable = false;
            return Err(Fault::Final(error));
        }
        // What may make it so large is not what the request itself is about: see there.
        Err(Failure::TooLarge(why)) if facts::of(request).reads() || shows_line(request) => {
            let mut error = unreachable(request, &why);
            (error.status, error.retryable) = (Status::Rejected, false);
            return Err(Fault::TooLarge(error));
        }
        Err(Failure::Unknown(why) | Failure::TooLarge(why)) => {
            let error = unreachable(request, &why);
            // Reading changes nothing: a read without an answer was not "maybe applied".
            return Err(if facts::of(request).reads() {
                Fault::NotApplied(error)
            } else {
                Fault::Unknown(error)
            });
        }
    };
    match (reply.status, request) {
        (200, _) => success(request, &reply),
        (404, Request::Read { .. } | Request::Watch { .. }) => row(request, &reply, None),
        (404, Request::WatchNames { .. }) => names(request, &reply, Vec::new()),
        // A proxy's "404 page not found" says nothing about the session.
        (404, Request::RenewSession { .. }) if text(&reply).starts_with("Session id") => Err(
            Fault::SessionGone(said(request, &reply, Status::Unavailable)),
        ),
        (409, _) if facts::of(request).is_transaction() => refused(request, &reply),
        // Only a node of our choice is for us to make; of an agent's own, that it is not there yet is a fault.
        (500, Request::CreateSession { node: Some(_), .. })
            if text(&reply).trim().ends_with("Missing node registration") =>
        {
            Ok(Answer::NoNode)
        }
        // These are extras. Without the right to read them, they are just missing.
        (403, Request::DescribeSession { .. }) => Ok(Answer::Described(None)),
        (403, Request::DescribeNode { .. }) => Ok(Answer::Node(None)),
        (403, Request::DescribeAgent) => Ok(Answer::Agent(None)),
        _ => Err(failed(request, &reply)),
    }
}

/// 200: success only if the body says what it must say.
fn success(request: &Request, reply: &HttpReply) -> Result<Answer, Fault> {
    let unreadable = || unreadable(request, reply);
    let json = || serde_json::from_slice::<Json>(&reply.body).map_err(|_| unreadable());
    let rows = || rows::read(request, &json()?).ok_or_else(unreadable);
    match request {
        Request::CreateSession { .. } => match json()?.get("ID").and_then(Json::as_str) {
            Some(id) if is_id(id) => Ok(Answer::Created(SessionId(id.into()))),
            _ => Err(unreadable()),
        },
        Request::RegisterNode { .. } => match text(reply).trim() {
            "true" => Ok(Answer::Registered),
            _ => Err(unreadable()),
        },
        // Of a node that is not there, or may not be read, Consul says null.
        Request::DescribeNode { node } => match json()?.get("Node") {
            Some(row) if member(row, "Node") == Some(node) => {
                let meta = row.get("Meta");
                let external = meta.and_then(|meta| member(meta, "external-node")) == Some("true");
                Ok(Answer::Node(Some(NodeRow { external })))
            }
            Some(_) => Err(unreadable()),
            None => Ok(Answer::Node(None)),
        },
        Request::DescribeAgent => agent(&json()?)
            .map(|row| Answer::Agent(Some(row)))
            .ok_or_else(unreadable),
        Request::FindSession { name } => find_session(&reply.body, name)
            .map(Answer::Found)
            .ok_or_else(unreadable),
        Request::RenewSession { session } => {
            let json = json()?;
            let rows = json.as_array().map_or(&[][..], Vec::as_slice);
            match rows {
                [row] if member(row, "ID") == Some(&session.0) => Ok(Answer::Renewed),
                _ => Err(unreadable()),
            }
        }
        Request::DestroySession { .. } => match text(reply).trim() {
            "true" => Ok(Answer::Destroyed),
            _ => Err(unreadable()),
        },
        Request::DescribeSession { session } => {
            let json = json()?;
            let rows = json.as_array().ok_or_else(unreadable)?;
            let row = rows.first();
            let row = row.filter(|row| member(row, "ID") == Some(&session.0));
            Ok(Answer::Described(row.and_then(|row| {
                let name = one_line(member(row, "Name")?, LONGEST_NAME);
                let node = one_line(member(row, "Node")?, LONGEST_NAME);
                let ttl = member(row, "TTL").and_then(duration::parse);
                Some(SessionRow { name, node, ttl })
            })))
        }
        Request::Lock { .. } | Request::Take { .. } => {
            let Rows { index, line } = rows()?;
            Ok(Answer::Locked { index, line })
        }
        Request::Unlock { .. } => Ok(Answer::Unlocked { line: rows()?.line }),
        Request::Survey { .. } | Request::ReadLine { .. } | Request::Join { .. } => {
            Ok(Answer::Line(rows()?.line))
        }
        Request::Write { .. } => rows().map(|_| Answer::Written),
        Request::Clear { .. } => rows().map(|_| Answer::Cleared),
        Request::Read { key, .. } | Request::Watch { key, .. } => {
            let json = json()?;
            let found = json.get(0).filter(|row| member(row, "Key") == Some(key));
            let found = found.and_then(key_row).ok_or_else(unreadable)?;
            row(request, reply, Some(found))
        }
        Request::WatchNames { folder, .. } => {
            let json = json()?;
            let list = json.as_array().ok_or_else(unreadable)?;
            let list = list.iter().map(|name| {
                let name = name.as_str().filter(|name| name.starts_with(&**folder))?;
                Some(name.to_owned())
            });
            names(
                request,
                reply,
                list.collect::<Option<_>>().ok_or_else(unreadable)?,
            )
        }
    }
}

/// A lone server is removed by none.
fn agent(json: &Json) -> Option<AgentRow> {
    let config = json.get("Config")?;
    let is_server = config.get("Server")?.as_bool()?;
    let raft = json.get("Stats").and_then(|stats| stats.get("raft"));
    let peers = raft.and_then(|raft| member(raft, "num_peers"));
    Some(AgentRow {
        node: one_line(member(config, "NodeName")?, LONGEST_NAME),
        server_among_others: is_server && peers != Some("0"),
    })
}

/// The session of that name in a list of sessions, of which it reads one after the other: the list of a large
/// cluster has megabytes, and all of it as values a hundred times that. None: it is no such list.
fn find_session(list: &[u8], name: &str) -> Option<Option<SessionId>> {
    /// A session of Consul's has some hundred bytes.
    const LONGEST: usize = 64 << 10;
    let list = list.trim_ascii().strip_prefix(b"[")?;
    let mut rest = list.strip_suffix(b"]")?.trim_ascii();
    let mut found = None;
    while !rest.is_empty() {
        let one = rest.get(..LONGEST).unwrap_or(rest);
        let mut sessions = serde_json::Deserializer::from_slice(one).into_iter::<Json>();
        let session = sessions.next()?.ok()?;
        if found.is_none() && member(&session, "Name") == Some(name) {
            found = Some(SessionId(
                member(&session, "ID").filter(|id| is_id(id))?.into(),
            ));
        }
        rest = rest.get(sessions.byte_offset()..)?.trim_ascii();
        if let Some(more) = rest.strip_prefix(b",") {
            rest = more.trim_ascii();
            // Something follows a comma.
            rest.first()?;
        } else if !rest.is_empty() {
            return None;
        }
    }
    Some(found)
}

fn row(request: &Request, reply: &HttpReply, row: Option<KeyRow>) -> Result<Answer, Fault> {
    match reply.index {
        Some(index) => Ok(Answer::Row { row, index }),
        // A 404 without an index is not from the KV store: a proxy, or another server.
        None => Err(unreadable(request, reply)),
    }
}

fn names(request: &Request, reply: &HttpReply, names: Vec<String>) -> Result<Answer, Fault> {
    match reply.index {
        Some(index) => Ok(Answer::Names { names, index }),
        None => Err(unreadable(request, reply)),
    }
}

fn key_row(json: &Json) -> Option<KeyRow> {
    let value = match json.get("Value")? {
        Json::Null => Vec::new(),
        Json::String(base64) => BASE64.decode(base64).ok()?,
        _ => return None,
    };
    // A session that cannot be read is not "nobody"; and what is no id goes nowhere from here.
    let session = match json.get("Session") {
        None | Some(Json::Null) => None,
        Some(session) => match session.as_str()? {
            "" => None,
            id if is_id(id) => Some(SessionId(id.into())),
            _ => Some(SessionId::unreadable()),
        },
    };
    Some(KeyRow {
        session,
        create_index: json.get("CreateIndex")?.as_u64()?,
        modify_index: json.get("ModifyIndex")?.as_u64()?,
        flags: json.get("Flags").and_then(Json::as_u64).unwrap_or(0),
        value: Value(value.into()),
    })
}

/// 409: a transaction was rolled back. Every error of it must be one that we know.
fn refused(request: &Request, reply: &HttpReply) -> Result<Answer, Fault> {
    let json: Option<Json> = serde_json::from_slice(&reply.body).ok();
    let errors = json
        .as_ref()
        .and_then(|json| json.get("Errors"))
        .and_then(Json::as_array);
    let whats = errors.and_then(|errors| {
        let whats = errors.iter().map(|error| member(error, "What"));
        whats.collect::<Option<Vec<&str>>>()
    });
    let Some(whats) = whats.filter(|whats| !whats.is_empty()) else {
        return Err(unreadable(request, reply));
    };
    // Each operation that may not be says so.
    let mut told_once = whats.clone();
    told_once.dedup();
    let text = told_once.join("; ");
    let all = |means: fn(&str) -> bool| whats.iter().all(|what| means(what));
    let any = |means: fn(&str) -> bool| whats.iter().any(|what| means(what));
    if any(|what| refusal(what) == Some(Refusal::Denied)) {
        return Err(Fault::Final(denied(request, reply, &text)));
    }
    if any(|what| refusal(what) == Some(Refusal::NoToken)) {
        return Err(Fault::NotApplied(denied(request, reply, &text)));
    }
    // Every operation that fails says so: all must be known, and the one that matters most counts.
    match request {
        Request::Lock { .. } | Request::Join { .. } | Request::Take { .. }
            if any(is_dead_session) && all(is_known) =>
        {
            let error = told(request, reply, Status::Unavailable, &text);
            Err(Fault::SessionGone(error))
        }
        // A slot whose lock-delay runs is taken.
        Request::Join { .. } if all(|what| is_held(what) || is_delayed(what)) => Ok(Answer::Held),
        Request::Take { .. } if all(is_known) && any(is_not_ours) => Ok(Answer::NoTicket),
        // That the key is not as it was found says less than that it is held.
        Request::Lock { .. }
            if all(|what| is_held(what) || is_changed(what) || is_not_ours(what)) =>
        {
            Ok(if any(is_held) {
                Answer::Held
            } else {
                Answer::Changed
            })
        }
        Request::Lock { .. } if all(is_delayed) => Ok(Answer::Delayed),
        Request::Take { .. } if all(is_known) => Ok(if any(is_held) {
            Answer::Held
        } else if any(is_delayed) {
            Answer::Delayed
        } else if any(is_stale) {
            Answer::Stale
        } else {
            Answer::Changed
        }),
        Request::Clear { .. } if all(is_stale) => Ok(Answer::Stale),
        Request::Unlock { .. } | Request::Write { .. } if all(is_not_ours) => Ok(Answer::NotOurs {
            taken: any(is_taken),
        }),
        Request::Survey { .. } if all(exists) => Ok(Answer::Exists),
        _ => Err(Fault::Final(told(request, reply, Status::Rejected, &text))),
    }
}

/// Any other status.
fn failed(request: &Request, reply: &HttpReply) -> Fault {
    let text = text(reply);
    if texts::speaks_tls(&text) {
        let why = "this port speaks TLS: use https:// or CONSUL_HTTP_SSL=true (option ssl)";
        let mut error = unreachable(request, why).with_http(reply.status);
        error.retryable = false;
        return Fault::Final(error);
    }
    let said = |status| said(request, reply, status);
    match refusal(&text) {
        Some(Refusal::Denied) => Fault::Final(denied(request, reply, &text)),
        Some(Refusal::NoToken) => Fault::NotApplied(denied(request, reply, &text)),
        Some(Refusal::NotNow | Refusal::Settling) => Fault::NotApplied(said(Status::Unavailable)),
        Some(Refusal::SessionGone) => Fault::SessionGone(said(Status::Unavailable)),
        Some(Refusal::Request) => Fault::Final(said(Status::Rejected)),
        // "leadership lost while committing log", "rpc error making call: EOF", "i/o deadline
        // reached", whatever a newer server may say, and whatever a proxy says.
        None => {
            let status = match reply.status {
                403 => Status::Denied,
                408 | 429 | 500.. => Status::Unavailable,
                _ => Status::Rejected,
            };
            match status {
                _ if !facts::of(request).reads() => Fault::Unknown(said(status)),
                // Reading changes nothing: what was not read was not "maybe applied".
                Status::Unavailable => Fault::NotApplied(said(status)),
                _ => Fault::Final(said(status)),
            }
        }
    }
}

/// An answer that is not Consul's, or not to this request. Nothing is known of a request that
/// changes something: it may have been applied.
fn unreadable(request: &Request, reply: &HttpReply) -> Fault {
    let error = unexpected(request, reply);
    if facts::of(request).reads() {
        Fault::Final(error)
    } else {
        Fault::Unknown(error)
    }
}

/// A write that answers with the line of its key, too.
fn shows_line(request: &Request) -> bool {
    match request {
        Request::Join { .. } => true,
        Request::Lock { line, .. } | Request::Unlock { line, .. } => *line,
        _ => false,
    }
}

/// A session's id goes into paths: only what Consul makes, a UUID, is taken for one.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

fn member<'a>(json: &'a Json, name: &str) -> Option<&'a str> {
    json.get(name)?.as_str()
}

fn text(reply: &HttpReply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

/// What the request stores.
fn stored(request: &Request) -> Option<&[u8]> {
    match request {
        Request::Lock { value, .. }
        | Request::Take { value, .. }
        | Request::Write {
            value: Some(value), ..
        } => Some(&value.0),
        _ => None,
    }
}

fn told(request: &Request, reply: &HttpReply, status: Status, text: &str) -> Error {
    // A server may quote what it was asked. What its text means has been looked at before this.
    let text = reply.secrets.hide(stored(request), text);
    let (facts, code) = (facts::of(request), reply.status);
    let line = match one_line(&text, LONGEST_TEXT) {
        line if line.is_empty() => "(no text)".to_owned(),
        line => line,
    };
    let hint = match code {
        300..400 => " (a redirect is never followed)",
        _ if refusal(&text) == Some(Refusal::Settling) => texts::settles(&text),
        _ if texts::is_short_of_ttl(&text) => {
            " (lock_timeout_seconds is below session_ttl_min of this agent)"
        }
        // Its path filter says no more. It knows the characters of its own version of Unicode.
        400 if facts.path == KV && text.trim().is_empty() => {
            " (this Consul does not take every character of the key)"
        }
        _ => "",
    };
    Error::new(
        status,
        format!("{facts} answered HTTP {code}: {line}{hint}"),
    )
    .with_http(code)
}

fn said(request: &Request, reply: &HttpReply, status: Status) -> Error {
    told(request, reply, status, &text(reply))
}

/// 403, or its like in a transaction. Consul's newer texts name the permission and the resource that
/// are missing; for older ones we say what the request needs. None says which rule gives it.
fn denied(request: &Request, reply: &HttpReply, text: &str) -> Error {
    let mut error = told(request, reply, Status::Denied, text);
    let hint = if text.contains("ACL not found") {
        "Consul does not know the token (mistyped, deleted, expired, or of another cluster)"
            .to_owned()
    } else if text.contains("lacks permission") {
        format!("give it that, as with {}", needed(request).1)
    } else {
        let (permission, rule) = needed(request);
        format!(
            "the token (option token, CONSUL_HTTP_TOKEN; without one the agent's own) needs \
             {permission}, as with {rule}"
        )
    };
    error.message.push_str(&format!("; {hint} (docs/acl.md)"));
    if let Some(all) = needed_in_all(request).filter(|_| !text.contains("ACL not found")) {
        error
            .message
            .push_str(&format!("; an acquire needs in all {all}"));
    }
    error
}

/// The rules that give all that an acquire needs, for a request that is part of one: a policy is not to grow by trial.
fn needed_in_all(request: &Request) -> Option<String> {
    let (key, sessions) = match request {
        Request::CreateSession { node, .. } => ("KEY", node.as_deref()),
        Request::Lock { key, .. }
        | Request::Survey { key }
        | Request::Join { key, .. }
        | Request::Take { key, .. }
        | Request::Read { key, .. }
        | Request::Watch { key, .. } => (&**key, None),
        _ => return None,
    };
    let key = one_line(key, 80);
    let sessions = match sessions {
        Some(node) => format!("session \"{node}\""),
        None => "session_prefix \"\"".to_owned(),
    };
    Some(format!(
        "key_prefix \"{key}\" {{ policy = \"write\" }} {sessions} {{ policy = \"write\" }}"
    ))
}

/// The permission that a request needs, and a rule that gives it.
fn needed(request: &Request) -> (String, String) {
    let session = |policy: &str, of: &str| {
        let permission = format!("session:{policy} on the {of}'s node");
        let rule = format!("session_prefix \"\" {{ policy = \"{policy}\" }}");
        (permission, rule)
    };
    let key = |kind: &str, key: &str, policy: &str| {
        let key = one_line(key, 80);
        let permission = format!("key:{policy} on \"{key}\"");
        let rule = format!("{kind} \"{key}\" {{ policy = \"{policy}\" }}");
        (permission, rule)
    };
    let node = |kind: &str, name: &str, policy: &str| {
        let permission = format!("{kind}:{policy} on \"{name}\"");
        let rule = format!("{kind} \"{name}\" {{ policy = \"{policy}\" }}");
        (permission, rule)
    };
    match request {
        Request::CreateSession {
            node: Some(name), ..
        } => node("session", name, "write"),
        Request::RegisterNode { node: name } => node("node", name, "write"),
        Request::DescribeNode { node: name } => node("node", name, "read"),
        Request::DescribeAgent => (
            "agent:read".to_owned(),
            "agent_prefix \"\" { policy = \"read\" }".to_owned(),
        ),
        Request::CreateSession { node: None, .. } => session("write", "agent"),
        Request::RenewSession { .. } | Request::DestroySession { .. } => {
            session("write", "session")
        }
        Request::FindSession { .. } | Request::DescribeSession { .. } => session("read", "session"),
        // Consul asks for write even where a transaction only checks that a key is not there.
        Request::Lock { key: k, .. }
        | Request::Unlock { key: k, .. }
        | Request::Survey { key: k } => key("key", k, "write"),
        // A ticket stands below the key.
        Request::Join { key: k, .. }
        | Request::Take { key: k, .. }
        | Request::Clear { key: k, .. } => key("key_prefix", k, "write"),
        Request::Write { lock, key: k, .. } => {
            let (write, write_rule) = key("key", k, "write");
            let (read, read_rule) = key("key", lock, "read");
            (
                format!("{write} and {read}"),
                format!("{write_rule} {read_rule}"),
            )
        }
        Request::WatchNames { folder, .. } => key("key_prefix", folder, "list"),
        Request::Read { key: k, .. } | Request::Watch { key: k, .. } => key("key", k, "read"),
        Request::ReadLine { key: k } => key("key_prefix", k, "read"),
    }
}

/// A 200 that says nothing we know. Its body is not shown: it may carry stored values.
fn unexpected(request: &Request, reply: &HttpReply) -> Error {
    let text = format!(
        "an answer of {} bytes that is not Consul's",
        reply.body.len()
    );
    told(request, reply, Status::Rejected, &text)
}

fn unreachable(request: &Request, why: &str) -> Error {
    let why = one_line(why, LONGEST_REASON);
    Error::new(
        Status::Unavailable,
        format!("{}: {why}", facts::of(request)),
    )
}

#[cfg(test)]
mod tests;
