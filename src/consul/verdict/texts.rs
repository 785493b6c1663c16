//! The words in which Consul refuses. Any other text may come from a proxy on the way, and then says nothing
//! about what Consul did.

/// What a refusal of Consul's means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A right is missing.
    Denied,
    /// The server does not know the token, or not yet: tokens reach a server later than others, and
    /// an agent remembers for half a minute that there was none.
    NoToken,
    /// A state that settles: an agent or a check that has just started is not in the catalog yet.
    Settling,
    /// No leader, or it cannot be reached, or the server will not serve us now.
    NotNow,
    /// The session is gone.
    SessionGone,
    /// The request itself is refused.
    Request,
}

/// How the texts begin. Measured on 1.8.7, and read from the sources of newer servers.
const TEXTS: [(&str, Refusal); 30] = [
    ("Permission denied", Refusal::Denied),
    ("ACL not found", Refusal::NoToken),
    ("Missing node registration", Refusal::Settling),
    ("Missing check", Refusal::Settling),
    ("Missing service check", Refusal::Settling),
    ("No cluster leader", Refusal::NotNow),
    ("No path to datacenter", Refusal::NotNow),
    ("No known Consul servers", Refusal::NotNow),
    ("Not ready to serve consistent reads", Refusal::NotNow),
    ("rpc error getting client", Refusal::NotNow),
    ("failed to get conn", Refusal::NotNow),
    ("leadership transfer in progress", Refusal::NotNow),
    ("rate limit exceeded", Refusal::NotNow),
    ("RPC rate limit exceeded", Refusal::NotNow),
    ("Your IP is issuing too many concurrent", Refusal::NotNow),
    ("invalid session", Refusal::SessionGone),
    ("Invalid Session TTL", Refusal::Request),
    ("Session TTL '", Refusal::Request),
    ("Invalid Behavior setting", Refusal::Request),
    ("cross datacenter lock must be created", Refusal::Request),
    ("invalid key name", Refusal::Request),
    ("Must provide key", Refusal::Request),
    ("failed session lookup", Refusal::Request),
    ("Request decode failed", Refusal::Request),
    ("Failed to parse body", Refusal::Request),
    ("Transaction contains too many", Refusal::Request),
    ("Request body(", Refusal::Request),
    ("Value for key", Refusal::Request),
    ("Bad request: ", Refusal::Request),
    ("Missing session", Refusal::Request),
];

/// What a server puts before the text of the one that it asked.
const BEFORE: [&str; 4] = [
    "rpc error making call: ",
    "raft apply failed: ",
    "[raft] apply failed: ",
    "apply failed: ",
];

/// What it means, if it is Consul's. A text that begins with anything else is not: a page of a
/// proxy may quote whatever it likes.
pub(super) fn refusal(text: &str) -> Option<Refusal> {
    let mut text = text.trim();
    while let Some(rest) = BEFORE.iter().find_map(|before| text.strip_prefix(before)) {
        text = rest;
    }
    if let Some((_, meaning)) = TEXTS.iter().find(|(begin, _)| text.starts_with(begin)) {
        return Some(*meaning);
    }
    if text.starts_with("Check '") && text.contains("' is in ") && text.ends_with(" state") {
        return Some(Refusal::Settling);
    }
    let method = text.starts_with("method ") && text.ends_with(" not allowed");
    method.then_some(Refusal::Request)
}

/// What to say about a state that does not settle.
pub(super) fn settles(text: &str) -> &'static str {
    if text.contains("node registration") {
        " (the agent's node is not in the catalog: it has just started, or was deregistered; in \
         another datacenter than the agent's own a session needs a node of that datacenter: option \
         session_node)"
    } else {
        " (a check of option session_checks is unknown to the agent's node, or critical)"
    }
}

/// A server wants a longer TTL: no TTL of this library is too long for any server.
pub(super) fn is_short_of_ttl(text: &str) -> bool {
    text.contains("Invalid Session TTL") && text.contains("must be between")
}

/// What a server says to plain HTTP where it speaks TLS: Go's, and nginx.
pub(super) fn speaks_tls(text: &str) -> bool {
    text.contains("Client sent an HTTP request to an HTTPS server")
        || text.contains("The plain HTTP request was sent to HTTPS port")
}

// What a transaction's errors say. They quote the key, which may contain any of the other texts:
// so only what stands before and behind it counts.

pub(super) fn is_held(what: &str) -> bool {
    what.starts_with("failed to lock key \"") && what.ends_with("\", lock is already held")
}

pub(super) fn is_delayed(what: &str) -> bool {
    what.starts_with("failed to lock key \"") && what.ends_with("\" due to lock delay")
}

pub(super) fn is_dead_session(what: &str) -> bool {
    what.starts_with("invalid session")
}

pub(super) fn is_not_ours(what: &str) -> bool {
    what.starts_with("failed session check for key \"")
        || what.starts_with("failed to check session, key \"") && what.ends_with("\" doesn't exist")
}

/// Of [`is_not_ours`]: another session holds the key.
pub(super) fn is_taken(what: &str) -> bool {
    let holder = what.rsplit_once("\", current session \"");
    what.starts_with("failed session check")
        && holder.is_some_and(|(_, holder)| !holder.starts_with('"'))
}

pub(super) fn is_stale(what: &str) -> bool {
    what.starts_with("failed to delete key \"") && what.ends_with("\", index is stale")
}

/// What a transaction that takes a key can be refused for.
pub(super) fn is_known(what: &str) -> bool {
    let known = [
        is_dead_session,
        is_not_ours,
        is_held,
        is_delayed,
        is_stale,
        is_changed,
    ];
    known.iter().any(|means| means(what))
}

/// The key is not as it was found.
pub(super) fn is_changed(what: &str) -> bool {
    exists(what)
        || what.starts_with("failed index check for key \"")
        || what.starts_with("failed to check index, key \"") && what.ends_with("\" doesn't exist")
}

pub(super) fn exists(what: &str) -> bool {
    what.starts_with("key \"") && what.ends_with("\" exists")
}
