//! Which rights a request needs, and the error that says so.

use super::LONGEST_NAME;
use super::words::told;
use crate::consul::http::HttpReply;
use crate::core::messages::{Hold, Key, LockTarget, Request};
use crate::error::{Error, Status};
use crate::text::one_line;

/// 403, or the same in a transaction. Consul's newer texts name the missing permission and its resource; for older
/// ones the error says what the request needs. No text of Consul's says which rule gives the permission. `at`: the key
/// of the operation that Consul refused, if Consul says which one.
pub(super) fn denied(request: &Request, reply: &HttpReply, text: &str, at: Option<&str>) -> Error {
    let mut error = told(request, reply, Status::Denied, text);
    let knows_token = !text.contains("ACL not found");
    let (permission, rule) = needed(request, at);
    let hint = if !knows_token {
        "Consul does not know the token (mistyped, deleted, expired, or of another cluster)"
            .to_owned()
    } else if text.contains("lacks permission") {
        format!("give the token that permission, as with {rule}")
    } else {
        format!(
            "the token (option token, CONSUL_HTTP_TOKEN; without one the agent's own) needs \
             {permission}, as with {rule}"
        )
    };
    error.message += &format!("; {hint} (docs/acl.md)");
    if let Some(all) = needed_in_all(request, at).filter(|_| knows_token) {
        error.message += &format!("; an acquire needs in all {all}");
    }
    error
}

/// The rules for a whole acquire, if the request is part of one: so that an operator need not add rule by rule.
fn needed_in_all(request: &Request, at: Option<&str>) -> Option<String> {
    let (key, node) = match request {
        Request::CreateSession { node, .. } => ("KEY", node.as_deref()),
        Request::Lock { targets, .. }
        | Request::Survey { targets, .. }
        | Request::Take { targets, .. } => (refused_target(targets, at), None),
        Request::Join { keys, .. } => (refused_key(keys.iter(), at), None),
        Request::Read { key, .. } | Request::Watch { key, .. } => (&**key, None),
        _ => return None,
    };
    let of_sessions = match node {
        Some(node) => rule("session", node, "write"),
        None => rule("session_prefix", "", "write"),
    };
    Some(format!(
        "{} {of_sessions}",
        rule("key_prefix", key, "write")
    ))
}

/// The permission that a request needs, and the rule that gives the permission.
fn needed(request: &Request, at: Option<&str>) -> (String, String) {
    let (kind, name, policy) = match request {
        Request::CreateSession {
            node: Some(node), ..
        } => ("session", &**node, "write"),
        Request::CreateSession { node: None, .. }
        | Request::RenewSession { .. }
        | Request::DestroySession { .. } => ("session_prefix", "", "write"),
        Request::FindSession { .. } | Request::DescribeSession { .. } => {
            ("session_prefix", "", "read")
        }
        Request::RegisterNode { node } => ("node", &**node, "write"),
        Request::DescribeNode { node } => ("node", &**node, "read"),
        Request::DescribeAgent => ("agent_prefix", "", "read"),
        // Consul asks for write even where a transaction only checks that a key is not there. What is below a
        // key needs the prefix.
        Request::Lock { targets, hold, .. } => match hold {
            Hold::Exclusive { .. } => ("key", refused_target(targets, at), "write"),
            Hold::Share { .. } => ("key_prefix", refused_target(targets, at), "write"),
        },
        Request::Survey { targets, .. } => ("key", refused_target(targets, at), "write"),
        Request::Unlock { rows, .. } => ("key", first_key(rows), "write"),
        Request::Prove { rows, .. } => ("key", first_key(rows), "read"),
        Request::Write { key, .. } => ("key", &**key, "write"),
        Request::Downgrade { key, .. } => ("key_prefix", &**key, "write"),
        Request::Upgrade { target, .. } => ("key_prefix", &*target.key, "write"),
        // A ticket stands below the key.
        Request::Join { keys, .. } => ("key_prefix", refused_key(keys.iter(), at), "write"),
        Request::Take { targets, .. } => ("key_prefix", refused_target(targets, at), "write"),
        Request::Clear { ahead } => {
            let key = ahead.first().map_or("", |ticket| &*ticket.key);
            ("key_prefix", key, "write")
        }
        Request::Read { key, .. } | Request::Watch { key, .. } => ("key", &**key, "read"),
        Request::ReadLine { keys, .. } => ("key_prefix", first_key(keys), "read"),
        Request::WatchNames { folder, .. } => ("key_prefix", &**folder, "list"),
    };
    let resource = kind.trim_end_matches("_prefix");
    let on = match (kind, request) {
        ("agent_prefix", _) => String::new(),
        (_, Request::CreateSession { node: None, .. }) => " on the agent's node".to_owned(),
        ("session_prefix", _) => " on the session's node".to_owned(),
        _ => format!(" on {}", quoted(kind, name)),
    };
    let (permission, rule_of) = (format!("{resource}:{policy}{on}"), rule(kind, name, policy));
    match request {
        Request::Write { rows, .. } => {
            let lock = first_key(rows);
            (
                format!("{permission} and key:read on {}", quoted("key", lock)),
                format!("{rule_of} {}", rule("key", lock, "read")),
            )
        }
        _ => (permission, rule_of),
    }
}

fn first_key(keys: &[Key]) -> &str {
    keys.first().map_or("", |key| key)
}

/// Of several keys, the one at which, or below which, Consul refused an operation; the first, where Consul does not say
/// it.
fn refused_key<'a>(keys: impl Iterator<Item = &'a Key>, at: Option<&str>) -> &'a str {
    let mut keys = keys.peekable();
    let first = keys.peek().map_or("", |key| &***key);
    let is_at = |key: &&Key| {
        let below = at.and_then(|at| at.strip_prefix(&***key));
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    };
    let longest = keys.filter(is_at).max_by_key(|key| key.len());
    longest.map_or(first, |key| key)
}

fn refused_target<'a>(targets: &'a [LockTarget], at: Option<&str>) -> &'a str {
    refused_key(targets.iter().map(|target| &target.key), at)
}

fn rule(kind: &str, name: &str, policy: &str) -> String {
    let name = quoted(kind, name);
    format!("{kind} {name} {{ policy = \"{policy}\" }}")
}

fn quoted(kind: &str, name: &str) -> String {
    let most = if kind.starts_with("key") {
        80
    } else {
        LONGEST_NAME
    };
    format!("\"{}\"", one_line(name, most))
}
