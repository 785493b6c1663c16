//! What goes into a core and comes out of it: calls and answers in, actions out.

use std::sync::Arc;
use std::time::Duration;

use super::messages::{Answer, Fault, Key, Request, SessionId, Value};
use crate::clock::Time;
use crate::error::{Error, LostReason};

/// A lock, made by whoever calls the core; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockId(pub u64);

/// A call that somebody waits for; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// A request on its way; made by the core; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What one core is told at birth: the client's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where Consul is, for messages.
    pub address: String,
    /// What session names begin with: `consul_lock PROGRAM@HOST:PID NONCE`, the same for all
    /// clients of a process and unique to it. A session of this process is recognised by it.
    pub identity: String,
    /// How long one request may take. Also the budget of a single attempt.
    pub request_timeout: Duration,
    /// How long a release waits for its confirmation.
    pub release_timeout: Duration,
    /// Sessions have a lock-delay: the end of one that still holds a key blocks the key for a while.
    pub lock_delay: bool,
    /// What the keys of locks carry as their Flags.
    pub flags: u64,
    /// The node of the catalog that sessions are bound to; None: that of the agent that makes them.
    pub session_node: Option<SessionNode>,
    /// How many connections there may be.
    pub connections: usize,
    /// Random and unique to this core: part of its session names, and the seed of the small
    /// random spreads.
    pub seed: u64,
}

/// A node of the catalog that no agent owns.
#[derive(Clone, Debug)]
pub struct SessionNode {
    /// Its name.
    pub name: Arc<str>,
    /// The command that registers it, for people.
    pub registration: String,
}

/// Everything about a lock that is fixed before it is acquired.
#[derive(Clone, Debug)]
pub struct LockSpec {
    /// The full key.
    pub key: Key,
    /// What to store; None: a JSON object with `locked_at`, made anew for each attempt.
    pub value: Option<Value>,
    /// `lock_timeout_seconds`: the session's TTL.
    pub ttl: Duration,
    /// How long to wait.
    pub patience: Patience,
    /// Whether to wait in line, or to try with everybody else when the key is free.
    pub fair: bool,
    /// Whether the key is watched while it is held, so that a loss is told early.
    pub monitor: bool,
    /// How long whoever is first in line may leave the key free before it is passed.
    pub grace: Duration,
    /// Whether it is renewed while it is held, without anybody asking.
    pub upkeep: Upkeep,
}

/// Whether a held lock is renewed without anybody asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// It is not.
    Off,
    /// Until that long after it was taken; None: until it is given back or lost.
    For(Option<Duration>),
}

/// How long an acquire waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Exactly one attempt, bounded by the request limit.
    Once,
    /// Until that long after the call.
    For(Duration),
    /// Until cancelled.
    Forever,
}

/// What happens to a core.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody calls. `Tell` for `call` follows exactly once (for [`Call::Cancel`],
    /// [`Call::LetGo`], [`Call::Abandon`] and, of a lock that is not held, [`Call::Free`] at once).
    Call {
        /// Which lock; an id that the core does not know is a new lock for `Acquire` and over for
        /// all else.
        lock: LockId,
        /// Who waits for the outcome.
        call: CallId,
        /// What they want.
        what: Call,
    },
    /// Somebody wants to know who holds a key.
    Who {
        /// Who waits for the outcome.
        call: CallId,
        /// The full key.
        key: Key,
    },
    /// The one answer to a `Send`; also after `Abort`.
    Reply {
        /// Which request.
        request: RequestId,
        /// The instant before its first byte was sent; None: nothing was sent.
        sent: Option<Time>,
        /// What `consul/verdict.rs` made of it.
        answer: Result<Answer, Fault>,
    },
    /// The client ends: no session is kept warm from now on.
    Drain,
    /// Time went by: at the latest at [`wake_at`](super::Core::wake_at).
    Tick,
}

/// What can be asked of a lock.
#[derive(Clone, Debug)]
pub enum Call {
    /// Take it.
    Acquire(LockSpec),
    /// End a pending acquire; sticky: an acquire that comes later answers CANCELLED.
    Cancel,
    /// Extend the lease by the full TTL.
    Renew,
    /// Ask Consul whether it is still ours.
    Check,
    /// Write a key of the KV store (None: delete it) in one transaction with a check that the lock
    /// is ours.
    Write {
        /// Which key, as Consul knows it.
        key: Key,
        /// What to store.
        value: Option<Value>,
    },
    /// Give it back, or cancel a pending acquire and wait until that is undone.
    Release,
    /// Hold it no more, without a request: the TTL ends it. Cancels a pending acquire.
    LetGo,
    /// The same, and forget it: nobody will ask for it any more.
    Abandon,
    /// Forget it: its handle is gone. A held lock is given back, and the session of a lost one is ended.
    Free,
}

/// What the runtime must do, in order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Ask Consul, and answer with `Reply` once, at the latest soon after `by`.
    Send {
        /// To be named in the `Reply`.
        id: RequestId,
        /// What to ask.
        request: Request,
        /// When to give up; the answer is a fault then.
        by: Time,
        /// Before and behind which others.
        lane: Lane,
        /// The lock whose caller may perform it on its own thread; None: nobody waits for it.
        lock: Option<LockId>,
    },
    /// Nobody waits for this request any more: end it now. Its `Reply` still comes.
    Abort(RequestId),
    /// The outcome of a call.
    Tell {
        /// Whose.
        call: CallId,
        /// What.
        outcome: Outcome,
    },
    /// What observers of the lock see from now on.
    Publish {
        /// Which lock.
        lock: LockId,
        /// What they see.
        view: View,
    },
    /// A lock that was held is lost: told once for each that is.
    Lost {
        /// Which lock.
        lock: LockId,
        /// How.
        why: LostReason,
    },
    /// The core knows nothing of this lock any more.
    Forget(LockId),
    /// Something that an operator wants to know. Never a token or a stored value.
    Log {
        /// How much.
        level: Level,
        /// One line.
        line: String,
    },
}

/// The importance of a log line. The numbers are part of the ABI.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// An operator must look: a lock was lost, or something was left behind in Consul.
    Error = 1,
    /// A trouble that may become worse: Consul cannot be reached, or does not confirm.
    Warn = 2,
    /// A fact worth knowing once: something works otherwise than the caller asked for.
    Info = 3,
    /// Details for the search for faults.
    Debug = 4,
}

impl Level {
    /// Every level, the most important first.
    ///
    /// cbindgen:ignore
    pub const ALL: [Level; 4] = [Level::Error, Level::Warn, Level::Info, Level::Debug];
}

/// How a request is performed. What keeps a promise is never behind what makes a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Consul answers at once, and a promise depends on it: a renewal, a release, a question about a held
    /// lock or a write under it, an undoing.
    Keep,
    /// Consul answers at once, and what it gives is new: a look, a session, a place in a line, a lock.
    Make,
    /// A blocking query: Consul answers when the key changes, or seconds later.
    Long,
}

/// How a call ended.
pub type Outcome = Result<Done, Error>;

/// What a call that worked gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Acquire, renew, check, write, release, cancel, let go, abandon.
    Ok,
    /// [`Input::Who`]: nobody, or who.
    Holder(Option<Holder>),
}

/// Who holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The session that holds it.
    pub session: SessionId,
    /// The session's name; None: Consul would not say.
    pub name: Option<String>,
    /// The node that the session is bound to; None: Consul would not say.
    pub node: Option<String>,
    /// The TTL of the session; None: Consul would not say, or there is none.
    pub ttl: Option<Duration>,
    /// The ModifyIndex of the key: the holder's fencing token, unless a program wrote the key since.
    pub fencing_token: u64,
    /// When the holder took the lock by its own clock, as the stored value says, in milliseconds since
    /// 1970-01-01 UTC; None: the value does not say it.
    pub since: Option<i64>,
    /// What is stored under the key.
    pub value: Value,
}

/// A lock as its observers see it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct View {
    /// Where in its life it is.
    pub phase: Phase,
    /// Until when it is held, for [`Phase::Held`]. Observers compare it with the clock themselves.
    pub lease_end: Option<Time>,
    /// The fencing token, once acquired.
    pub token: Option<u64>,
    /// The session, once acquired.
    pub session: Option<SessionId>,
    /// How it was lost, for [`Phase::Lost`].
    pub lost: Option<LostReason>,
}

/// Where in its life a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// Not acquired yet.
    #[default]
    New,
    /// An acquire is under way.
    Acquiring,
    /// Held until the lease ends.
    Held,
    /// Was held, and is not any more, though nobody gave it back.
    Lost,
    /// Released, abandoned, or an acquire ended without it.
    Over,
}
