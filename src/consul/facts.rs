//! The facts of each kind of request, in one table.

use std::fmt;

use super::http::Method;
use crate::core::messages::Request;

/// One kind of request.
pub(crate) struct Facts {
    /// The name in the statistics.
    pub(crate) name: &'static str,
    pub(super) method: Method,
    /// The path of the API, without the name of a key, a session or a node.
    pub(super) path: &'static str,
    effect: Effect,
}

/// What Consul does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// A read changes nothing: a read without an answer was not "maybe applied".
    Reads,
    /// A renewal changes something outside of the Raft log.
    Renews,
    Writes,
}

impl Facts {
    pub(super) fn reads(&self) -> bool {
        self.effect == Effect::Reads
    }

    /// Consul writes to its Raft log when it carries out the request.
    pub(crate) fn is_logged(&self) -> bool {
        self.effect == Effect::Writes
    }

    pub(super) fn is_transaction(&self) -> bool {
        self.path == TRANSACTION
    }
}

impl fmt::Display for Facts {
    /// Method and path, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = format!("{:?}", self.method).to_uppercase();
        write!(f, "{method} {}", self.path)
    }
}

const TRANSACTION: &str = "/v1/txn";
pub(super) const KV: &str = "/v1/kv";

/// A row stands for the requests of one variant of [`Request`], whatever the order of the rows.
macro_rules! table {
    ($($request:ident: $name:literal $method:ident $path:tt $effect:ident,)*) => {
        #[derive(Clone, Copy)]
        enum Row { $($request,)* }

        /// How many kinds there are.
        pub(crate) const KINDS: usize = [$(Row::$request,)*].len();

        pub(crate) const TABLE: [Facts; KINDS] = [$(Facts {
            name: $name,
            method: Method::$method,
            path: $path,
            effect: Effect::$effect,
        },)*];

        /// The row of a request in [`TABLE`].
        pub(crate) fn number(request: &Request) -> usize {
            let row = match request { $(Request::$request { .. } => Row::$request,)* };
            row as usize
        }
    };
}

table! {
    CreateSession:   "create_session"   Put "/v1/session/create"   Writes,
    FindSession:     "find_session"     Get "/v1/session/list"     Reads,
    RenewSession:    "renew_session"    Put "/v1/session/renew"    Renews,
    DestroySession:  "destroy_session"  Put "/v1/session/destroy"  Writes,
    DescribeSession: "describe_session" Get "/v1/session/info"     Reads,
    Lock:            "lock"             Put TRANSACTION            Writes,
    Unlock:          "unlock"           Put TRANSACTION            Writes,
    Prove:           "prove"            Put TRANSACTION            Reads,
    Survey:          "survey"           Put TRANSACTION            Reads,
    ReadLine:        "read_line"        Put TRANSACTION            Reads,
    Join:            "join"             Put TRANSACTION            Writes,
    Take:            "take"             Put TRANSACTION            Writes,
    Clear:           "clear"            Put TRANSACTION            Writes,
    Downgrade:       "downgrade"        Put TRANSACTION            Writes,
    Upgrade:         "upgrade"          Put TRANSACTION            Writes,
    Read:            "read"             Get KV                     Reads,
    Watch:           "watch"            Get KV                     Reads,
    WatchNames:      "watch_names"      Get KV                     Reads,
    Write:           "write"            Put TRANSACTION            Writes,
    RegisterNode:    "register_node"    Put "/v1/catalog/register" Writes,
    DescribeNode:    "describe_node"    Get "/v1/catalog/node"     Reads,
    DescribeAgent:   "describe_agent"   Get "/v1/agent/self"       Reads,
}

/// The facts of a request.
pub(super) fn of(request: &Request) -> &'static Facts {
    const ROWS: &[Facts] = &TABLE;
    const FIRST: &Facts = &TABLE[0];
    ROWS.get(number(request)).unwrap_or(FIRST)
}
