//! What is true of each kind of request, in one table.

use crate::core::messages::Request;

/// One kind of request.
pub(crate) struct Facts {
    /// The name in the statistics.
    pub(crate) name: &'static str,
    /// Method and path, for messages.
    pub(super) path: &'static str,
    /// A read changes nothing: one without an answer was not "maybe applied".
    pub(super) reads: bool,
    /// Consul writes to its Raft log when it carries one out.
    pub(crate) is_logged: bool,
}

/// How many kinds there are.
pub(crate) const KINDS: usize = 19;

const TRANSACTION: &str = "PUT /v1/txn";
pub(super) const READ_KEY: &str = "GET /v1/kv";

/// In the order of [`number`].
pub(crate) const TABLE: [Facts; KINDS] = [
    write("create_session", "PUT /v1/session/create"),
    read("find_session", "GET /v1/session/list"),
    Facts {
        is_logged: false,
        ..write("renew_session", "PUT /v1/session/renew")
    },
    write("destroy_session", "PUT /v1/session/destroy"),
    read("describe_session", "GET /v1/session/info"),
    write("lock", TRANSACTION),
    write("unlock", TRANSACTION),
    read("survey", TRANSACTION),
    read("read_line", TRANSACTION),
    write("join", TRANSACTION),
    write("take", TRANSACTION),
    write("clear", TRANSACTION),
    read("read", READ_KEY),
    read("watch", READ_KEY),
    read("watch_names", READ_KEY),
    write("write", TRANSACTION),
    write("register_node", "PUT /v1/catalog/register"),
    read("describe_node", "GET /v1/catalog/node"),
    read("describe_agent", "GET /v1/agent/self"),
];

const fn write(name: &'static str, path: &'static str) -> Facts {
    Facts {
        name,
        path,
        reads: false,
        is_logged: true,
    }
}

const fn read(name: &'static str, path: &'static str) -> Facts {
    Facts {
        name,
        path,
        reads: true,
        is_logged: false,
    }
}

/// The row of a request in [`TABLE`].
pub(crate) fn number(request: &Request) -> usize {
    match request {
        Request::CreateSession { .. } => 0,
        Request::FindSession { .. } => 1,
        Request::RenewSession { .. } => 2,
        Request::DestroySession { .. } => 3,
        Request::DescribeSession { .. } => 4,
        Request::Lock { .. } => 5,
        Request::Unlock { .. } => 6,
        Request::Survey { .. } => 7,
        Request::ReadLine { .. } => 8,
        Request::Join { .. } => 9,
        Request::Take { .. } => 10,
        Request::Clear { .. } => 11,
        Request::Read { .. } => 12,
        Request::Watch { .. } => 13,
        Request::WatchNames { .. } => 14,
        Request::Write { .. } => 15,
        Request::RegisterNode { .. } => 16,
        Request::DescribeNode { .. } => 17,
        Request::DescribeAgent => 18,
    }
}

/// The row itself.
pub(super) fn of(request: &Request) -> &'static Facts {
    const ROWS: &[Facts] = &TABLE;
    const FIRST: &Facts = &TABLE[0];
    ROWS.get(number(request)).unwrap_or(FIRST)
}

impl Facts {
    pub(super) fn is_transaction(&self) -> bool {
        self.path == TRANSACTION
    }
}
