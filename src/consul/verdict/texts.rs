//! The words in which Consul refuses a request. Any other text may come from a proxy, and then says nothing about
//! what Consul did.

/// The meaning of a refusal of Consul's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A right is missing.
    Denied,
    /// The server does not know the token, or not yet: a new token reaches some servers later than others, and
    /// an agent remembers for half a minute that a token did not exist.
    NoToken,
    /// A state that settles: an agent or a check that has just started is not in the catalog yet.
    Settling,
    /// There is no leader, or the server cannot reach the leader, or does not serve the library now.
    NotNow,
    /// The session is gone.
    SessionGone,
    /// The request itself is refused.
    Request,
}

/// How the texts begin. Measured on 1.8.7, and read from the sources of newer servers.
const TEXTS: [(&str, Meaning); 30] = [
    ("Permission denied", Meaning::Denied),
    ("ACL not found", Meaning::NoToken),
    ("Missing node registration", Meaning::Settling),
    ("Missing check", Meaning::Settling),
    ("Missing service check", Meaning::Settling),
    ("No cluster leader", Meaning::NotNow),
    ("No path to datacenter", Meaning::NotNow),
    ("No known Consul servers", Meaning::NotNow),
    ("Not ready to serve consistent reads", Meaning::NotNow),
    ("rpc error getting client", Meaning::NotNow),
    ("failed to get conn", Meaning::NotNow),
    ("leadership transfer in progress", Meaning::NotNow),
    ("rate limit exceeded", Meaning::NotNow),
    ("RPC rate limit exceeded", Meaning::NotNow),
    ("Your IP is issuing too many concurrent", Meaning::NotNow),
    ("invalid session", Meaning::SessionGone),
    ("Invalid Session TTL", Meaning::Request),
    ("Session TTL '", Meaning::Request),
    ("Invalid Behavior setting", Meaning::Request),
    ("cross datacenter lock must be created", Meaning::Request),
    ("invalid key name", Meaning::Request),
    ("Must provide key", Meaning::Request),
    ("failed session lookup", Meaning::Request),
    ("Request decode failed", Meaning::Request),
    ("Failed to parse body", Meaning::Request),
    ("Transaction contains too many", Meaning::Request),
    ("Request body(", Meaning::Request),
    ("Value for key", Meaning::Request),
    ("Bad request: ", Meaning::Request),
    ("Missing session", Meaning::Request),
];

/// What a server puts before the text of another server that it asked.
const BEFORE: [&str; 4] = [
    "rpc error making call: ",
    "raft apply failed: ",
    "[raft] apply failed: ",
    "apply failed: ",
];

/// What a text of Consul's means. A text that begins otherwise is not Consul's: a page of a proxy may quote
/// anything.
pub(super) fn refusal(text: &str) -> Option<Meaning> {
    let mut text = text.trim();
    while let Some(rest) = BEFORE.iter().find_map(|before| text.strip_prefix(before)) {
        text = rest;
    }
    if let Some((_, meaning)) = TEXTS.iter().find(|(begin, _)| text.starts_with(begin)) {
        return Some(*meaning);
    }
    if text.starts_with("Check '") && text.contains("' is in ") && text.ends_with(" state") {
        return Some(Meaning::Settling);
    }
    let method = text.starts_with("method ") && text.ends_with(" not allowed");
    method.then_some(Meaning::Request)
}

/// The advice for a state that does not settle.
pub(super) fn settles(text: &str) -> &'static str {
    if text.contains("node registration") {
        " (the agent's node is not in the catalog: the agent has just started, or its node was \
         deregistered; in another datacenter than the agent's own a session needs a node of that \
         datacenter: option session_node)"
    } else {
        " (the agent's node does not have a check of option session_checks, or the check is critical)"
    }
}

/// The server wants a longer TTL. (No TTL of this library is too long for a server.)
pub(super) fn is_short_of_ttl(text: &str) -> bool {
    text.contains("Invalid Session TTL") && text.contains("must be between")
}

/// The answer to plain HTTP on a port that speaks TLS, of Go's servers and of nginx.
pub(super) fn speaks_tls(text: &str) -> bool {
    text.contains("Client sent an HTTP request to an HTTPS server")
        || text.contains("The plain HTTP request was sent to HTTPS port")
}
