//! What the core and Consul say to each other: the one vocabulary that both sides share.
//!
//! A [`Request`] is one HTTP request, made in `consul/encode.rs`; an [`Answer`] or a [`Fault`] is
//! what `consul/verdict.rs` made of the reply.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
pub use crate::key::Key;

/// The bytes stored under a key. Never printed. (A `Vec` inside: it can be made where memory may be refused.)
#[derive(Clone, PartialEq, Eq)]
pub struct Value(pub Arc<Vec<u8>>);

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.len())
    }
}

/// A session's id, as Consul made it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub Arc<str>);

impl SessionId {
    /// Stands for what another program stored as the session of a key, and what is no id of
    /// Consul's: the key is held, and nothing can be asked about who holds it.
    pub fn unreadable() -> SessionId {
        SessionId(UNREADABLE.into())
    }

    /// It is one that Consul may have made.
    pub fn is_readable(&self) -> bool {
        &*self.0 != UNREADABLE
    }
}

const UNREADABLE: &str = "(unreadable)";

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
    /// `PUT /v1/session/create`: behaviour delete, no lock-delay, no checks. Not idempotent. `node`: the
    /// node of the catalog that it is bound to; None: the agent's own.
    CreateSession {
        name: Arc<str>,
        ttl: Duration,
        node: Option<Arc<str>>,
    },
    /// `PUT /v1/catalog/register` of a node that no agent owns. A node of that name stays as it is.
    RegisterNode { node: Arc<str> },
    /// `GET /v1/catalog/node/NAME`: does an agent own it?
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
    /// `PUT /v1/txn` with a check that the key is as it was found and a KV `lock`, and `get-tree` of
    /// the key's line where `line` asks for it, for no further write. Repeating it is safe: a copy that
    /// comes after it was applied finds the key changed.
    Lock {
        key: Key,
        found: Found,
        value: Value,
        session: SessionId,
        line: bool,
    },
    /// `PUT /v1/txn` with `check-session` and `delete`: removes the key if the session holds it;
    /// and `get-tree` of the key's line where `line` asks for it.
    Unlock {
        key: Key,
        session: SessionId,
        line: bool,
    },
    /// `PUT /v1/txn` with `check-not-exists` on the key and `get-tree` of its line: is it free, and
    /// who waits for it? Only reads: no Raft write.
    Survey { key: Key },
    /// `PUT /v1/txn` with `get-tree` of the key's line. Only reads.
    ReadLine { key: Key },
    /// `PUT /v1/txn` with `lock` of a ticket and `get-tree` of the line. Repeating it byte for byte
    /// is safe.
    Join {
        key: Key,
        slot: LineSlot,
        session: SessionId,
    },
    /// `PUT /v1/txn` which takes the key from the line, all or nothing: removes the stalled tickets
    /// `ahead` if they are still the same (`delete-cas`), gives up the own ticket (`check-session`,
    /// `delete`) and locks the key, if that is as it was found.
    Take {
        key: Key,
        found: Found,
        slot: LineSlot,
        value: Value,
        session: SessionId,
        ahead: Vec<Ticket>,
    },
    /// `PUT /v1/txn` with `delete-cas` of stalled tickets: more than one transaction can remove
    /// together with taking the key.
    Clear { key: Key, ahead: Vec<Ticket> },
    /// `PUT /v1/txn` with `check-session` on the key `lock`, and `set` of `key`, or `delete` where
    /// there is no value: writes only while the session holds the lock.
    Write {
        lock: Key,
        session: SessionId,
        key: Key,
        value: Option<Value>,
    },
    /// `GET /v1/kv/KEY`, `?consistent` where the answer must be the leader's own.
    Read { key: Key, consistent: bool },
    /// `GET /v1/kv/KEY?index=N&wait=T`: answers when the key changes, or after `wait`.
    Watch {
        key: Key,
        index: u64,
        wait: Duration,
    },
    /// `GET /v1/kv/FOLDER?keys&index=N&wait=T`: the names in a folder, when one came or went, or
    /// after `wait`.
    WatchNames {
        folder: Key,
        index: u64,
        wait: Duration,
    },
}

/// What a key was when it was looked at. A transaction that takes it checks that nothing has changed:
/// the data of another program is never overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There was no such key.
    Absent,
    /// It was there, a lock that no session held, last changed at this index.
    Unlocked(u64),
    /// Our own session held it.
    Ours,
}

/// What Consul said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// [`Request::CreateSession`].
    Created(SessionId),
    /// [`Request::CreateSession`]: the catalog does not have the node; nothing was made.
    NoNode,
    /// [`Request::RegisterNode`]; also for a node that was there before.
    Registered,
    /// [`Request::DescribeNode`]; None: unknown, or no right to read it.
    Node(Option<NodeRow>),
    /// [`Request::DescribeAgent`]; None: no right to read it.
    Agent(Option<AgentRow>),
    /// [`Request::FindSession`]: the session of that name, if there is one.
    Found(Option<SessionId>),
    /// [`Request::RenewSession`].
    Renewed,
    /// [`Request::DestroySession`]; also for a session that Consul does not know.
    Destroyed,
    /// [`Request::DescribeSession`]; None: unknown, or no right to read it.
    Described(Option<SessionRow>),
    /// [`Request::Lock`] and [`Request::Take`]: ours now, or ours already. `index` is the
    /// ModifyIndex of the transaction that took it: the fencing token. `line`: who waits, if that
    /// was asked for.
    Locked { index: u64, line: Vec<Ticket> },
    /// [`Request::Lock`] and [`Request::Take`]: another session has the key; [`Request::Join`]:
    /// another session has the slot.
    Held,
    /// [`Request::Lock`] and [`Request::Take`]: nobody has the key, but its lock-delay runs.
    Delayed,
    /// [`Request::Lock`] and [`Request::Take`]: the key is not as it was found; nothing was done.
    Changed,
    /// [`Request::Unlock`]. `line`: who waits, if that was asked for.
    Unlocked { line: Vec<Ticket> },
    /// [`Request::Unlock`] and [`Request::Write`]: the session does not hold the lock's key, and
    /// nothing was done. `taken`: another one does; else the key is gone, or free.
    NotOurs { taken: bool },
    /// [`Request::Write`].
    Written,
    /// [`Request::Survey`] of a key that does not exist, [`Request::ReadLine`] and
    /// [`Request::Join`]: who waits, in no particular order.
    Line(Vec<Ticket>),
    /// [`Request::Survey`]: the key exists, held or not.
    Exists,
    /// [`Request::Take`]: the own ticket is gone; nothing was done.
    NoTicket,
    /// [`Request::Take`] and [`Request::Clear`]: a ticket ahead is not the same any more; nothing
    /// was done.
    Stale,
    /// [`Request::Clear`].
    Cleared,
    /// [`Request::Read`] and [`Request::Watch`]: the row, if the key exists, and the index to
    /// watch from.
    Row { row: Option<KeyRow>, index: u64 },
    /// [`Request::WatchNames`].
    Names { names: Vec<String>, index: u64 },
}

/// The number of a ticket in a key's line. A process keeps its own for a key, and uses it again:
/// Consul walks every name that was deleted in the last quarter of an hour on each listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineSlot(u16);

impl LineSlot {
    /// How many there are.
    ///
    /// cbindgen:ignore
    pub const COUNT: u16 = 1_024;

    /// One of them.
    pub fn new(number: u64) -> LineSlot {
        // The remainder is below COUNT.
        LineSlot(u16::try_from(number % u64::from(LineSlot::COUNT)).unwrap_or(0))
    }

    /// The key under which a ticket with this number stands.
    pub fn ticket_of(self, key: &str) -> String {
        format!("{}{:03x}", line_of(key), self.0)
    }

    /// The slot that a name below [`line_of`] stands for, if it is one.
    pub fn parse(name: &str) -> Option<LineSlot> {
        let digits =
            name.len() == 3 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = digits
            .then(|| u16::from_str_radix(name, 16).ok())
            .flatten()?;
        (number < LineSlot::COUNT).then_some(LineSlot(number))
    }
}

/// Where the line of a key stands: below the key, so that who may write the key may stand in line;
/// with the final slash, so that neighbours never meet.
pub fn line_of(key: &str) -> String {
    format!("{key}/.fifo/")
}

/// Somebody's place in a line. Its identity is slot and CreateIndex, for slots are used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Its name.
    pub slot: LineSlot,
    /// Whose it is.
    pub session: SessionId,
    /// When it was written. The order of the line is that of (CreateIndex, slot).
    pub create_index: u64,
    /// For `delete-cas`.
    pub modify_index: u64,
}

/// A key as Consul shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The session that holds it, if one does; [`SessionId::unreadable`] where its id is none.
    pub session: Option<SessionId>,
    /// The Raft index at which the key came into being.
    pub create_index: u64,
    /// The Raft index of its last change.
    pub modify_index: u64,
    /// A number that a program stores beside the value. It tells a lock from other data.
    pub flags: u64,
    /// What is stored.
    pub value: Value,
}

/// A session as Consul shows it. Its texts are one line and can be shown (`text.rs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The name it was created with.
    pub name: String,
    /// The node that it is bound to.
    pub node: String,
    /// Its TTL; None: it has none, or one that cannot be read.
    pub ttl: Option<Duration>,
}

/// A node as the catalog shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// It is marked as one that no agent owns.
    pub external: bool,
}

/// An agent as it shows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRow {
    /// Its node.
    pub node: String,
    /// It is one of several servers.
    pub server_among_others: bool,
}

/// Why there is no [`Answer`]: the classes that an algorithm can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Surely not applied: refused connection, no leader, a node or a token that is not known yet.
    /// Try again.
    NotApplied(Error),
    /// May have been applied, now or later: reset, time-out, EOF, leadership lost, an answer that
    /// is not Consul's.
    Unknown(Error),
    /// Consul does not know the session (any more).
    SessionGone(Error),
    /// Consul answered, with more than is read of one answer, and would do so again. A write may have
    /// been applied: it shows the line of its key, too, and can be repeated without.
    TooLarge(Error),
    /// Trying again cannot help: no rights, a bad request; to a question, an answer that we do not
    /// know.
    Final(Error),
}

impl Fault {
    /// What to tell people.
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
