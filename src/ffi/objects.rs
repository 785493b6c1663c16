//! The objects of the header, and how each is owned: [`Shared`] between calls, or [`Owned`] by C alone.

use std::ffi::CString;

use super::handle::{Owned, Shared};
use crate::client::{Client, Holder, Holders, Observer};
use crate::error::Error;
use crate::lock::Lock;
use crate::lockorder::Mutex;
use crate::options::Options;
use crate::queue::{Queue, Sender};

/// A lock on one key, or on several. Single use: acquire it once, release it, free it.
pub struct LockHandle {
    _opaque: [u8; 0],
}

impl Shared for LockHandle {
    type Inner = Lock;
}

/// A set of options, by name. docs/OPTIONS.md lists them all. consul_lock_new() and
/// consul_lock_client_new() read a set and do not keep it, so one set can serve many calls.
///
/// A set remembers the first refusal of a setter, and consul_lock_new() and
/// consul_lock_client_new() fail with it. So the caller may ignore the status of the setters: a
/// wrong option never becomes a default.
pub struct OptionsHandle {
    _opaque: [u8; 0],
}

impl Shared for OptionsHandle {
    type Inner = Mutex<OfLock>;
}

/// The options of a lock, with the client that the lock will use.
#[derive(Clone, Default)]
pub(super) struct OfLock {
    pub(super) options: Options,
    pub(super) client: Option<Client>,
}

/// The way to reach Consul, and what the locks that use it share: connections, sessions kept for
/// reuse, one place in the line of each key. A simple program needs no client: its locks use the
/// default client, which the library makes on first use from the environment (CONSUL_HTTP_ADDR and
/// the other variables of docs/OPTIONS.md).
pub struct ClientHandle {
    _opaque: [u8; 0],
}

impl Shared for ClientHandle {
    type Inner = Client;
}

/// The reason why a call failed: a status and one line for people. An error never changes, so any
/// number of threads may read it.
pub struct ErrorHandle {
    _opaque: [u8; 0],
}

impl Owned for ErrorHandle {
    type Inner = OwnedError;
}

/// The object behind an [`ErrorHandle`].
pub(super) struct OwnedError {
    pub(super) error: Error,
    pub(super) message: CString,
}

/// The holder of a lock at the moment of Consul's answer. It never changes, so any number of
/// threads may read it.
pub struct HolderHandle {
    _opaque: [u8; 0],
}

impl Owned for HolderHandle {
    type Inner = Holder;
}

/// All sessions that hold a key or wait for it, at the moments of Consul's answers. It never
/// changes, so any number of threads may read it.
pub struct HoldersHandle {
    _opaque: [u8; 0],
}

impl Owned for HoldersHandle {
    type Inner = Holders;
}

/// An observer of a key's holder.
pub struct ObserverHandle {
    _opaque: [u8; 0],
}

impl Owned for ObserverHandle {
    type Inner = Observer;
}

/// The place where a value generator puts the value. Valid only during the call of the generator.
pub struct ValueHandle {
    _opaque: [u8; 0],
}

/// A queue of events. Instead of calling the program, the library puts an event into it and makes a
/// descriptor readable. The queue belongs to the process that made it: in a child after fork no
/// event goes in and none comes out.
pub struct QueueHandle {
    _opaque: [u8; 0],
}

impl Shared for QueueHandle {
    type Inner = Queue;
}

/// The right to put events into a queue, under a number of the caller's choice (the tag). A sender
/// is the user_data of the functions below, which the library has as callbacks.
pub struct SenderHandle {
    _opaque: [u8; 0],
}

impl Owned for SenderHandle {
    type Inner = Sender;
}

/// One thing that happened. Only one thread at a time may use it.
pub struct EventHandle {
    _opaque: [u8; 0],
}

impl Owned for EventHandle {
    type Inner = EventParts;
}

/// The object behind an [`EventHandle`], in the pieces that C asks for.
pub(super) struct EventParts {
    pub(super) tag: u64,
    pub(super) kind: EventKind,
    pub(super) code: i32,
    pub(super) error: Option<Error>,
    pub(super) holder: Option<Holder>,
    pub(super) holders: Option<Holders>,
    pub(super) line: Option<String>,
}

/// The kind of an event. The numbers are part of the ABI. (The name ends in _t because
/// consul_lock_event_kind() is a function.)
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// There is no event: NULL was given.
    None = 0,
    /// A call ended. The event's code is the consul_lock_status.
    Done = 1,
    /// consul_lock_holder_start() ended. The event's code is the consul_lock_status, and
    /// consul_lock_event_take_holder() has the holder.
    Holder = 2,
    /// A lock was lost. The event's code is the consul_lock_lost_reason.
    Lost = 3,
    /// The log has a line, for consul_lock_event_line(). The event's code is the
    /// consul_lock_log_level.
    Log = 4,
    /// consul_lock_holders_start() ended. The event's code is the consul_lock_status, and
    /// consul_lock_event_take_holders() has the holders.
    Holders = 5,
    /// An observer has news. The event's code is the consul_lock_status. For CONSUL_LOCK_OK
    /// consul_lock_event_take_holder() has the holder, or returns NULL: no session holds the key.
    Observed = 6,
}
