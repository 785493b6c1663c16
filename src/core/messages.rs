//! What the core and Consul say to each other: the one vocabulary that both sides share.
//!
//! A [`Request`] is one HTTP request, made in `consul/encode.rs`; an [`Answer`] or a [`Fault`] is
//! what `consul/verdict.rs` made of the reply.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;

/// The full key of a lock in Consul's KV store.
pub type Key = Arc<str>;

/// The bytes stored under a key. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(pub Arc<[u8]>);

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.len())
    }
}

/// A session's id, as Consul made it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub Arc<str>);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing to ask Consul.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `PUT /v1/session/create`: behaviour delete, no lock-delay, no checks. Not idempotent.
    CreateSession { name: Arc<str>, ttl: Duration },
    /// `GET /v1/session/list`: after a lost reply to a create, did it make the session?
    FindSession { name: Arc<str> },
    /// `PUT /v1/session/renew/ID`. No Raft write.
    RenewSession { session: SessionId },
    /// `PUT /v1/session/destroy/ID`, which deletes every key that the session holds.
    DestroySession { session: SessionId },
    /// `GET /v1/session/info/ID`: the holder's name and node.
    DescribeSession { session: SessionId },
    /// `PUT /v1/txn` with one KV `lock`. Repeating it byte for byte is safe.
    Lock {
        key: Key,
        value: Value,
        session: SessionId,
    },
    /// `PUT /v1/txn` with `check-session` and `delete`: removes the key if the session holds it.
    Unlock { key: Key, session: SessionId },
    /// `GET /v1/kv/KEY`, `?consistent` where the answer must be the leader's own.
    Read { key: Key, consistent: bool },
    /// `GET /v1/kv/KEY?index=N&wait=T`: answers when the key changes, or after `wait`.
    Watch {
        key: Key,
        index: u64,
        wait: Duration,
    },
}

/// What Consul said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// [`Request::CreateSession`].
    Created(SessionId),
    /// [`Request::FindSession`]: the session of that name, if there is one.
    Found(Option<SessionId>),
    /// [`Request::RenewSession`].
    Renewed,
    /// [`Request::DestroySession`]; also for a session that Consul does not know.
    Destroyed,
    /// [`Request::DescribeSession`]; None: unknown, or no right to read it.
    Described(Option<SessionRow>),
    /// [`Request::Lock`]: ours now, or ours already. `index` is the ModifyIndex of the
    /// transaction that took it: the fencing token.
    Locked { index: u64 },
    /// [`Request::Lock`]: another session has the key.
    Held,
    /// [`Request::Lock`]: nobody has the key, but its lock-delay runs.
    Delayed,
    /// [`Request::Unlock`].
    Unlocked,
    /// [`Request::Unlock`]: the key is gone or held by another session; nothing was deleted.
    NotOurs,
    /// [`Request::Read`] and [`Request::Watch`]: the row, if the key exists, and the index to
    /// watch from.
    Row { row: Option<KeyRow>, index: u64 },
}

/// A key as Consul shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The session that holds it, if one does.
    pub session: Option<SessionId>,
    /// The Raft index at which the key came into being.
    pub create_index: u64,
    /// The Raft index of its last change.
    pub modify_index: u64,
    /// What is stored.
    pub value: Value,
}

/// A session as Consul shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The name it was created with.
    pub name: String,
    /// The node of the agent through which it was made.
    pub node: String,
}

/// Why there is no [`Answer`]: the classes that an algorithm can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Surely not applied: refused connection, no leader, 429, 503. Try again.
    NotApplied(Error),
    /// May have been applied, now or later: reset, time-out, EOF, leadership lost.
    Unknown(Error),
    /// Consul does not know the session (any more).
    SessionGone(Error),
    /// Trying again cannot help: no rights, a bad request, an answer that we do not know.
    Final(Error),
}

impl Fault {
    /// What to tell people.
    pub fn error(&self) -> &Error {
        match self {
            Fault::NotApplied(e) | Fault::Unknown(e) | Fault::SessionGone(e) | Fault::Final(e) => e,
        }
    }
}
