//! What the core asks Consul, and what Consul answers.
//!
//! A [`Request`] is one HTTP request, made in `consul/encode.rs`; an [`Answer`] or a [`Fault`] is
//! what `consul/verdict.rs` made of the reply.

use std::sync::Arc;
use std::time::Duration;

pub use super::rows::*;
use crate::error::Error;
pub use crate::key::Key;

/// One thing to ask Consul.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `PUT /v1/session/create`: behaviour delete, no lock-delay, no checks. Not idempotent. `node`: the
    /// node of the catalog that the session is bound to; None: the agent's own.
    CreateSession {
        name: Arc<str>,
        ttl: Duration,
        node: Option<Arc<str>>,
    },
    /// `PUT /v1/catalog/register` of a node that no agent owns. A node of that name stays as it is.
    RegisterNode { node: Arc<str> },
    /// `GET /v1/catalog/node/NAME`: does an agent own the node?
    DescribeNode { node: Arc<str> },
    /// `GET /v1/agent/self`: is the agent a server?
    DescribeAgent,
    /// `GET /v1/session/list`: after a lost reply to a create, did it make the session?
    FindSession { name: Arc<str> },
    /// `PUT /v1/session/renew/ID`. No Raft write.
    RenewSession { session: SessionId },
    /// `PUT /v1/session/destroy/ID`, which deletes every key that the session holds.
    DestroySession { session: SessionId },
    /// `GET /v1/session/info/ID`: the holder's name and node.
    DescribeSession { session: SessionId },
    /// `PUT /v1/txn` with a check that each key is as it was found and a KV `lock` of the rows of the hold; and
    /// `get-tree` of what `see` asks for, at no further write. The library may repeat it: a copy that comes after
    /// the transaction was applied finds an exclusive key changed, and a shared row as it is.
    Lock {
        targets: Vec<LockTarget>,
        hold: Hold,
        session: SessionId,
        see: See,
    },
    /// `PUT /v1/txn` with `check-session` and `delete` of each row of a hold: removes them all if the session holds
    /// them all; and `get-tree` of the lines of `lines`.
    Unlock {
        rows: Vec<Key>,
        session: SessionId,
        lines: Vec<Key>,
    },
    /// `PUT /v1/txn?consistent` with `check-session` on each row of a hold, and `get-tree` of the sharers of `gates`:
    /// does the session hold all rows, and who shares the keys, at one instant? Only reads: no Raft write.
    Prove {
        rows: Vec<Key>,
        session: SessionId,
        gates: Vec<Key>,
    },
    /// `PUT /v1/txn` with a check that each key is as it was found, and `get-tree` of what `see` asks for: are the keys
    /// free, and who stands below them? Only reads: no Raft write.
    Survey { targets: Vec<LockTarget>, see: See },
    /// `PUT /v1/txn` with `get-tree` of what `see` asks for. Only reads.
    ReadLine { keys: Vec<Key>, see: See },
    /// `PUT /v1/txn` with `lock` of a ticket in the line of each key, and `get-tree` of what `see` asks for. The
    /// library may repeat it byte for byte.
    Join {
        keys: Arc<[Key]>,
        /// The slot of the ticket in the line of each key.
        slots: Vec<Slot>,
        want: Want,
        session: SessionId,
        see: See,
    },
    /// `PUT /v1/txn` which takes the keys from the line, all or nothing: removes the stalled tickets `ahead` if they
    /// are still the same (`delete-cas`), gives up the own tickets (`check-session`, `delete`), and locks the rows of
    /// the hold if each key is as it was found; and `get-tree` of what `see` asks for.
    Take {
        targets: Vec<LockTarget>,
        hold: Hold,
        /// The slot of the own ticket in the line of each key.
        slots: Vec<Slot>,
        session: SessionId,
        ahead: Vec<Stalled>,
        see: See,
    },
    /// `PUT /v1/txn` with `delete-cas` of stalled tickets, where they are too many for the transaction that takes
    /// the key.
    Clear { ahead: Vec<Stalled> },
    /// `PUT /v1/txn` which turns the exclusive hold of a key into a shared one, without a gap: `check-session` and
    /// `delete-cas` of the key, `lock` of the shared row. The library may repeat it: a copy that comes late finds the key
    /// without the session, or with another index than `token`.
    Downgrade {
        key: Key,
        /// The ModifyIndex of the row that is given up.
        token: u64,
        session: SessionId,
        limit: Limit,
        slot: Slot,
        value: Value,
    },
    /// `PUT /v1/txn` which turns a shared hold of a key into an exclusive one, without a gap: `check-session` and
    /// `delete-cas` of the shared row, `lock` of the key if it is as it was found; and `get-tree` of those who share the
    /// key, for whose end the new holder waits.
    Upgrade {
        target: LockTarget,
        /// The ModifyIndex of the row that is given up.
        token: u64,
        session: SessionId,
        limit: Limit,
        slot: Slot,
        value: Value,
    },
    /// `PUT /v1/txn` with `check-session` on each row of a hold, and `set` of `key`, or `delete` where
    /// there is no value: writes only while the session holds the lock.
    Write {
        rows: Vec<Key>,
        session: SessionId,
        key: Key,
        value: Option<Value>,
    },
    /// `GET /v1/kv/KEY`, `?consistent` where the answer must be the leader's own.
    Read { key: Key, consistent: bool },
    /// `GET /v1/kv/KEY?index=N&wait=T`: Consul answers when the key changes, or after `wait`.
    Watch {
        key: Key,
        index: u64,
        wait: Duration,
    },
    /// `GET /v1/kv/FOLDER?keys&index=N&wait=T`: Consul answers with the names in a folder when one came or went,
    /// or after `wait`.
    WatchNames {
        folder: Key,
        index: u64,
        wait: Duration,
    },
}

/// What Consul answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The answer to [`Request::CreateSession`].
    Created(SessionId),
    /// The answer to [`Request::CreateSession`]: the catalog does not have the node; nothing was made.
    NoNode,
    /// The answer to [`Request::RegisterNode`]; also for a node that was there before.
    Registered,
    /// The answer to [`Request::DescribeNode`]; None: unknown, or no right to read it.
    Node(Option<NodeRow>),
    /// The answer to [`Request::DescribeAgent`]; None: no right to read it.
    Agent(Option<AgentRow>),
    /// The answer to [`Request::FindSession`]: the session of that name, if there is one.
    Found(Option<SessionId>),
    /// The answer to [`Request::RenewSession`].
    Renewed,
    /// The answer to [`Request::DestroySession`]; also for a session that Consul does not know.
    Destroyed,
    /// The answer to [`Request::DescribeSession`]; None: unknown, or no right to read it.
    Described(Option<SessionRow>),
    /// The answer to [`Request::Lock`] and [`Request::Take`]: the session holds the key, now or since an earlier
    /// copy. `index` is the ModifyIndex of the transaction that took it: the fencing token. `below`: what stands
    /// below each key, as far as the request asked for it. The answer to [`Request::Downgrade`] and
    /// [`Request::Upgrade`] as well.
    Locked { index: u64, below: Vec<Below> },
    /// The answer to [`Request::Lock`] and [`Request::Take`]: another session has a key, or the slot of the shared row.
    /// The answer to [`Request::Join`] and [`Request::Downgrade`]: another session has a slot. The answer to
    /// [`Request::Upgrade`]: another session has the key.
    Held,
    /// The answer to [`Request::Lock`] and [`Request::Take`]: no session has the key, but its lock-delay runs.
    Delayed,
    /// The answer to [`Request::Lock`] and [`Request::Take`]: the key is not as it was found; Consul changed
    /// nothing.
    Changed,
    /// The answer to [`Request::Unlock`]. `below`: the tickets of each line that the request asked for.
    Unlocked { below: Vec<Below> },
    /// The answer to [`Request::Prove`]: the session holds all rows. `index`: the largest ModifyIndex of a row.
    /// `below`: those who share each of the `gates`.
    Proved { index: u64, below: Vec<Below> },
    /// The answer to [`Request::Unlock`], [`Request::Prove`], [`Request::Write`], [`Request::Downgrade`] and
    /// [`Request::Upgrade`]: the session does not hold all rows of the lock, and Consul
    /// changed nothing. `taken`: another session holds one of them; otherwise it is gone, or free.
    NotOurs { taken: bool },
    /// The answer to [`Request::Write`].
    Written,
    /// The answer to [`Request::Survey`] of keys that are as they were found, to [`Request::ReadLine`] and to
    /// [`Request::Join`]: what stands below each key, as far as the request asked for it.
    Line(Vec<Below>),
    /// The answer to [`Request::Survey`]: the target of this number, and perhaps others, is not as it was found.
    Exists(usize),
    /// The answer to [`Request::Take`]: the own ticket is gone; Consul changed nothing.
    NoTicket,
    /// The answer to [`Request::Take`] and [`Request::Clear`]: a ticket ahead is not the same any more. The answer to
    /// [`Request::Downgrade`] and [`Request::Upgrade`]: the row to give up has another index. Consul changed nothing.
    Stale,
    /// The answer to [`Request::Clear`].
    Cleared,
    /// The answer to [`Request::Read`] and [`Request::Watch`]: the row, if the key exists, and the index to
    /// watch from.
    Row { row: Option<KeyRow>, index: u64 },
    /// The answer to [`Request::WatchNames`].
    Names { names: Vec<String>, index: u64 },
}

/// A key as Consul shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The session that holds the key, if one does; [`SessionId::unreadable`] where the text is no id.
    pub session: Option<SessionId>,
    /// The Raft index at which the key came into being.
    pub create_index: u64,
    /// The Raft index of its last change.
    pub modify_index: u64,
    /// A number that a program stores beside the value; it tells a lock from other data.
    pub flags: u64,
    /// The stored value.
    pub value: Value,
}

/// A session as Consul shows it. Its texts are one line each and can be shown (`text.rs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The name with which it was created.
    pub name: String,
    /// The node that the session is bound to.
    pub node: String,
    /// The TTL; None: the session has none, or the text is no duration.
    pub ttl: Option<Duration>,
}

/// A node as the catalog shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// The node is marked as one that no agent owns.
    pub external: bool,
}

/// An agent as it shows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRow {
    /// The node of the agent.
    pub node: String,
    /// The agent is one of several servers.
    pub server_among_others: bool,
}

/// Why there is no [`Answer`], in the classes that the algorithm can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Consul surely did not apply the request: refused connection, no leader, a node or a token that is not known
    /// yet. The core tries again.
    NotApplied(Error),
    /// Consul may have applied the request, or may later: reset, time-out, EOF, leadership lost, an answer that is
    /// not Consul's.
    Unknown(Error),
    /// Consul does not know the session (any more).
    SessionGone(Error),
    /// Consul answered with more than the library reads of one answer, and would do so again. Consul may have
    /// applied a write, which asks for the line as well; the core repeats it without the line.
    TooLarge(Error),
    /// Another try cannot help: no rights, a bad request, or an unknown answer to a question.
    Final(Error),
}

impl Fault {
    /// The error for the caller and the log.
    pub fn error(&self) -> &Error {
        match self {
            Fault::NotApplied(e)
            | Fault::Unknown(e)
            | Fault::SessionGone(e)
            | Fault::TooLarge(e)
            | Fault::Final(e) => e,
        }
    }
}
