//! What goes into a core and comes out of it: calls and answers in, actions out.

use std::sync::Arc;
use std::time::Duration;

use super::messages::{Answer, Fault, Key, Limit, Request, SessionId, Slot, Value, Want};
use crate::clock::Time;
use crate::error::{Error, LostReason};

/// The id of a lock. The caller of the core chooses it, and never uses it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockId(pub u64);

/// The id of a call. The caller of the core chooses it, and never uses it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// The id of an observer. The caller of the core chooses it, and never uses it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObserverId(pub u64);

/// The id of a request on its way. The core chooses it, and never uses it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// The settings of a client, from which a core is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Consul's address, for messages.
    pub address: String,
    /// What session names begin with: `consul_lock PROGRAM@HOST:PID NONCE`, the same for all clients of a
    /// process, and unique to the process. The library recognises its own sessions by it.
    pub identity: String,
    /// How long one request may take. Also the budget of a single attempt.
    pub request_timeout: Duration,
    /// How long a release waits for its confirmation.
    pub release_timeout: Duration,
    /// Sessions have a lock-delay: the end of one that still holds a key blocks the key for a while.
    pub lock_delay: bool,
    /// The Flags that the keys of locks have in Consul.
    pub flags: u64,
    /// The node of the catalog that sessions are bound to; None: that of the agent that makes them.
    pub session_node: Option<SessionNode>,
    /// How many connections the client may have.
    pub connections: usize,
    /// A number that is random and unique to this core: part of its session names, and the seed of the small
    /// random spreads.
    pub seed: u64,
}

/// A node of the catalog that no agent owns.
#[derive(Clone, Debug)]
pub struct SessionNode {
    /// The name of the node.
    pub name: Arc<str>,
    /// The command that registers the node, for an error text.
    pub registration: String,
}

/// The full keys of a lock: at least one, in the order of their bytes, no two the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// One key.
    One(Key),
    /// Several keys.
    Several(Arc<SeveralKeys>),
}

/// More than one key.
#[derive(Debug, PartialEq, Eq)]
pub struct SeveralKeys {
    all: Vec<Key>,
    /// The keys as an error text has them between two quotes.
    label: Key,
}

impl Keys {
    /// Several keys, or one. None: there is no key.
    pub fn of(mut keys: Vec<Key>) -> Option<Keys> {
        keys.sort();
        keys.dedup();
        match keys.as_slice() {
            [] => None,
            [one] => Some(Keys::One(one.clone())),
            several => {
                let label = several.join("\", \"").into();
                Some(Keys::Several(Arc::new(SeveralKeys { all: keys, label })))
            }
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Key] {
        match self {
            Keys::One(key) => std::slice::from_ref(key),
            Keys::Several(several) => &several.all,
        }
    }

    /// The key of that number; the first, where there is no such key.
    pub fn get(&self, number: usize) -> &Key {
        let all = self.all();
        all.get(number).or(all.first()).unwrap_or(self.label())
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.all().len()
    }

    /// There is more than one key.
    pub fn are_several(&self) -> bool {
        matches!(self, Keys::Several(_))
    }

    /// The keys for a message, which puts them between two quotes.
    pub fn label(&self) -> &Key {
        match self {
            Keys::One(key) => key,
            Keys::Several(several) => &several.label,
        }
    }
}

/// Everything about a lock that is fixed before it is acquired.
#[derive(Clone, Debug)]
pub struct LockSpec {
    /// The full keys.
    pub keys: Keys,
    /// What the lock wants of its keys.
    pub want: Want,
    /// The limit that the caller named. A lock that shares wants no other. An exclusive lock becomes a share of so
    /// many with a downgrade, and its acquire is a conflict where others share with another limit.
    pub limit: Option<Limit>,
    /// The value to store; None: a JSON object with `locked_at`, made anew for each attempt.
    pub value: Option<Value>,
    /// `lock_timeout_seconds`: the session's TTL.
    pub ttl: Duration,
    /// How long to wait.
    pub patience: Patience,
    /// Whether to wait in line. Otherwise all waiters try when the key is free.
    pub fair: bool,
    /// Whether the library watches the key of the held lock, to find a loss early.
    pub monitor: bool,
    /// How long the head of the line may leave the key free before another waiter passes it.
    pub grace: Duration,
    /// Whether the library renews the held lock by itself.
    pub upkeep: Upkeep,
}

#[cfg(test)]
impl LockSpec {
    /// An exclusive lock on one key, which waits in line and is not renewed.
    pub fn exclusive(key: &str, ttl: Duration, patience: Patience) -> LockSpec {
        LockSpec {
            keys: Keys::One(key.into()),
            want: Want::Exclusive,
            limit: None,
            value: None,
            ttl,
            patience,
            fair: true,
            monitor: true,
            grace: Duration::from_millis(300),
            upkeep: Upkeep::Off,
        }
    }
}

/// Whether the library renews a held lock by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// The library does not renew the lock.
    Off,
    /// The library renews the lock for so long after the acquire; None: until it is given back or lost.
    For(Option<Duration>),
}

/// How long an acquire waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Exactly one attempt, bounded by the request limit.
    Once,
    /// Until so long after the call.
    For(Duration),
    /// Until a cancel ends the wait.
    Forever,
}

/// What happens to a core.
#[derive(Clone, Debug)]
pub enum Input {
    /// A caller asks something of a lock. `Tell` for `call` follows exactly once (for [`Call::Cancel`],
    /// [`Call::LetGo`], [`Call::Abandon`] and, of a lock that is not held, [`Call::Free`] in the same step).
    Call {
        /// The lock; an id that the core does not know is a new lock for `Acquire`, and a lock that is over for
        /// all other calls.
        lock: LockId,
        /// The call that gets the outcome.
        call: CallId,
        /// What the caller wants.
        what: Call,
    },
    /// A caller asks for the holder of a key.
    Who {
        /// The call that gets the outcome.
        call: CallId,
        /// The full key.
        key: Key,
    },
    /// A caller asks for all that hold a key or wait for it.
    WhoAll {
        /// The call that gets the outcome.
        call: CallId,
        /// The full key.
        key: Key,
    },
    /// A caller wants to be told the holder of a key at each change: with [`Action::Observed`].
    Observe {
        /// The observer that is told.
        observer: ObserverId,
        /// The full key.
        key: Key,
    },
    /// An observer is to be told nothing more.
    Unobserve(ObserverId),
    /// The one answer to a `Send`, which comes after an `Abort` as well.
    Reply {
        /// The request of the `Send`.
        request: RequestId,
        /// The instant before the first byte of the request was sent; None: nothing was sent.
        sent: Option<Time>,
        /// What `consul/verdict.rs` made of it.
        answer: Result<Answer, Fault>,
    },
    /// The client ends: from now on the core keeps no session warm.
    Drain,
    /// Time has passed. Comes at [`wake_at`](super::Core::wake_at) at the latest.
    Tick,
}

/// What a caller can ask of a lock.
#[derive(Clone, Debug)]
pub enum Call {
    /// Take the lock.
    Acquire(LockSpec),
    /// End a pending acquire. An acquire that comes later answers CANCELLED.
    Cancel,
    /// Extend the lease by the full TTL.
    Renew,
    /// Ask Consul whether this client still holds the lock.
    Check,
    /// Turn the exclusive lock into a shared one, without a gap.
    Downgrade,
    /// Turn the shared lock into an exclusive one, without a gap, and wait so long for the others that share.
    Upgrade(Patience),
    /// Write a key of the KV store (None: delete it) in one transaction with a check that this client holds the
    /// lock.
    Write {
        /// The full key to write.
        key: Key,
        /// The value to store.
        value: Option<Value>,
    },
    /// Give the lock back; or cancel a pending acquire, and wait until it is undone.
    Release,
    /// Leave the lock to its TTL, without a request. Cancels a pending acquire.
    LetGo,
    /// Do the same, and forget the lock: no call will follow.
    Abandon,
    /// Forget the lock, whose handle is gone. The core gives a held lock back, and ends the session of a lost one.
    Free,
}

/// What the runtime must do, in order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Ask Consul, and answer with one `Reply`, soon after `by` at the latest.
    Send {
        /// The id that the `Reply` names.
        id: RequestId,
        /// The question to Consul.
        request: Request,
        /// When to give the request up; the answer is a fault then.
        by: Time,
        /// Which requests go first.
        lane: Lane,
        /// The lock whose caller may send the request on its own thread; None: no caller waits for it.
        lock: Option<LockId>,
    },
    /// End this request now: its answer is not wanted any more. Its `Reply` still comes.
    Abort(RequestId),
    /// The outcome of a call.
    Tell {
        /// The call that gets this outcome.
        call: CallId,
        /// The outcome.
        outcome: Outcome,
    },
    /// What observers of the lock see from now on.
    Publish {
        /// The lock.
        lock: LockId,
        /// What the observers see.
        view: View,
    },
    /// A lock that was held is lost. Comes once for each lost lock.
    Lost {
        /// The lock.
        lock: LockId,
        /// The reason of the loss.
        why: LostReason,
    },
    /// What an observer is told.
    Observed {
        /// The observer.
        observer: ObserverId,
        /// The exclusive holder of the key, None: the key has none; or why the library does not know it.
        seen: Result<Option<Holder>, Error>,
    },
    /// The core knows nothing of this lock any more.
    Forget(LockId),
    /// A line of the log, for an operator. It never has a token or a stored value.
    Log {
        /// How important the line is.
        level: Level,
        /// The text of the line.
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

/// How a request is performed. A request that keeps a promise is never behind one that makes a new promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Consul answers at once, and a promise depends on the answer: a renewal, a release, a question about a held
    /// lock or a write under it, an undoing.
    Keep,
    /// Consul answers at once, and gives something new: a look, a session, a place in a line, a lock.
    Make,
    /// The request is a blocking query: Consul answers when the key changes, or seconds later.
    Long,
}

/// How a call ended.
pub type Outcome = Result<Done, Error>;

/// The result of a call that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The result of each [`Call`].
    Ok,
    /// The result of [`Input::Who`]; None: no session holds the key.
    Holder(Option<Holder>),
    /// The result of [`Input::WhoAll`].
    Holders(Holders),
}

/// The holder of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The session that holds it.
    pub session: SessionId,
    /// The session's name; None: Consul did not say it.
    pub name: Option<String>,
    /// The node that the session is bound to; None: Consul did not say it.
    pub node: Option<String>,
    /// The TTL of the session; None: Consul did not say it, or the session has none.
    pub ttl: Option<Duration>,
    /// The ModifyIndex of the key: the holder's fencing token, unless a program wrote the key since.
    pub fencing_token: u64,
    /// When the holder took the lock by its own clock, as the stored value says, in milliseconds since
    /// 1970-01-01 UTC; None: the value does not say it.
    pub since: Option<i64>,
    /// The value that is stored under the key.
    pub value: Value,
}

/// All that hold a key or wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holders {
    /// The full key.
    pub key: Key,
    /// The exclusive holder, then those that share the key, then the line in its order.
    pub all: Vec<Party>,
}

/// A session that holds a key or waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// What the session does.
    pub role: Role,
    /// The session. A waiter has no fencing token and no value.
    pub holder: Holder,
    /// What the session has of the key, or wants of it.
    pub want: Want,
    /// The number of the shared row, of a session that shares the key.
    pub slot: Option<Slot>,
    /// The keys that a waiter waits for, if there are several.
    pub keys: Vec<Key>,
}

/// What a session does with a key. The numbers are part of the ABI.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// There is no such entry.
    None = 0,
    /// The session holds the key exclusively. While others still share the key, the session waits
    /// until they have ended, and no other session enters.
    Exclusive = 1,
    /// The session shares the key.
    Sharer = 2,
    /// The session stands in the line of the key. It stands for all waiters of one client in one
    /// process that want the same.
    Waiter = 3,
}

/// A lock as its observers see it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct View {
    /// Where in its life the lock is.
    pub phase: Phase,
    /// The end of the lease, for [`Phase::Held`]. Observers compare it with the clock themselves.
    pub lease_end: Option<Time>,
    /// The fencing token, once the lock was acquired.
    pub token: Option<u64>,
    /// The session, once the lock was acquired.
    pub session: Option<SessionId>,
    /// The reason of the loss, for [`Phase::Lost`].
    pub lost: Option<LostReason>,
    /// The number among those who share the key with a limit, from 0.
    pub slot: Option<u16>,
}

/// Where in its life a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// The caller has not called acquire yet.
    #[default]
    New,
    /// An acquire is under way.
    Acquiring,
    /// The lock is held until the lease ends.
    Held,
    /// The lock was held, and is lost.
    Lost,
    /// The lock was released or abandoned, or its acquire ended without it.
    Over,
}
