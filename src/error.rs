//! What can go wrong, told once: a status for programs and a sentence for people.

use std::ffi::CStr;
use std::fmt;

/// The outcome of a call. The numbers are part of the ABI: they never change, and a retired number
/// is never used again. 1 to 19: misuse; 20 to 39: outcomes; 40 to 59: Consul could not be reached;
/// 60 to 79: Consul refused; 90 to 99: internal.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The call worked.
    Ok = 0,
    /// An argument is wrong: NULL where an object is needed, not UTF-8, or a key that Consul would
    /// change or refuse. Nothing was changed.
    InvalidArgument = 1,
    /// An option is unknown, in the wrong place, or out of its range. Nothing was changed.
    InvalidOption = 2,
    /// An environment variable is wrong. The message names it. Nothing was sent.
    InvalidEnvironment = 3,
    /// The lock is single use, and was used before.
    AlreadyUsed = 4,
    /// The value generator has no value. Nothing was sent, and the lock is not used up.
    ValueFailed = 5,
    /// Consul said until the deadline that the lock is not free: another session holds it, or its
    /// lock-delay runs.
    NotAcquired = 20,
    /// consul_lock_cancel() ended the call, or the lock was freed or released meanwhile.
    Cancelled = 21,
    /// The lock was held and is lost: it expired, or Consul or an operator ended it.
    Lost = 22,
    /// The lock is not held: it was never acquired, was released, or is used up.
    NotHeld = 23,
    /// Consul did not confirm a release in time: the library repeats the release while the process
    /// lives, and the session's TTL does the rest. Or Consul did not confirm a guarded write, which
    /// Consul may have applied, or may apply later while the lock is held.
    Unconfirmed = 24,
    /// The key is shared with another limit than the one that the lock was made with. The message
    /// names both.
    Conflict = 25,
    /// Consul gave no usable answer in time.
    Unavailable = 40,
    /// Consul refused for want of rights.
    Denied = 60,
    /// Consul refused the request itself, or the library does not know Consul's answer. Or the key
    /// of the lock holds the data of another program, which the library leaves as they are.
    Rejected = 61,
    /// The library has a defect. Please report it.
    Internal = 90,
    /// The object belongs to the parent process.
    Forked = 91,
    /// The system gave no thread, no descriptor, or no memory for a value, a request or a reply.
    /// (Without memory even for a few bytes, the process is aborted, as every program in Rust is.)
    NoResources = 92,
}

impl Status {
    /// Every status, in the order of the numbers.
    ///
    /// cbindgen:ignore
    pub const ALL: [Status; 18] = [
        Status::Ok,
        Status::InvalidArgument,
        Status::InvalidOption,
        Status::InvalidEnvironment,
        Status::AlreadyUsed,
        Status::ValueFailed,
        Status::NotAcquired,
        Status::Cancelled,
        Status::Lost,
        Status::NotHeld,
        Status::Unconfirmed,
        Status::Conflict,
        Status::Unavailable,
        Status::Denied,
        Status::Rejected,
        Status::Internal,
        Status::Forked,
        Status::NoResources,
    ];

    /// The name in messages and bindings, such as `NOT_ACQUIRED`.
    pub const fn name(self) -> &'static str {
        match self.c_name().to_str() {
            Ok(name) => name,
            Err(_) => "",
        }
    }

    /// The same name for C.
    pub const fn c_name(self) -> &'static CStr {
        match self {
            Status::Ok => c"OK",
            Status::InvalidArgument => c"INVALID_ARGUMENT",
            Status::InvalidOption => c"INVALID_OPTION",
            Status::InvalidEnvironment => c"INVALID_ENVIRONMENT",
            Status::AlreadyUsed => c"ALREADY_USED",
            Status::ValueFailed => c"VALUE_FAILED",
            Status::NotAcquired => c"NOT_ACQUIRED",
            Status::Cancelled => c"CANCELLED",
            Status::Lost => c"LOST",
            Status::NotHeld => c"NOT_HELD",
            Status::Unconfirmed => c"UNCONFIRMED",
            Status::Conflict => c"CONFLICT",
            Status::Unavailable => c"UNAVAILABLE",
            Status::Denied => c"DENIED",
            Status::Rejected => c"REJECTED",
            Status::Internal => c"INTERNAL",
            Status::Forked => c"FORKED",
            Status::NoResources => c"NO_RESOURCES",
        }
    }
}

/// The reason of a loss. The numbers are part of the ABI, as those of the statuses are.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LostReason {
    /// The lock's life ended before a release or a renewal.
    Expired = 1,
    /// Consul ended the session: an operator wanted it, or the session's node left or was removed.
    SessionGone = 2,
    /// The key is gone: deleted, or removed with the session.
    KeyGone = 3,
    /// Another session holds the key.
    TakenOver = 4,
}

impl LostReason {
    /// Every reason, in the order of the numbers.
    ///
    /// cbindgen:ignore
    pub const ALL: [LostReason; 4] = [
        LostReason::Expired,
        LostReason::SessionGone,
        LostReason::KeyGone,
        LostReason::TakenOver,
    ];

    /// The name in bindings and for C, such as `KEY_GONE`.
    pub const fn c_name(self) -> &'static CStr {
        match self {
            LostReason::Expired => c"EXPIRED",
            LostReason::SessionGone => c"SESSION_GONE",
            LostReason::KeyGone => c"KEY_GONE",
            LostReason::TakenOver => c"TAKEN_OVER",
        }
    }

    /// The end of the sentence "lost the lock: ...".
    pub const fn text(self) -> &'static str {
        match self {
            LostReason::Expired => "its time ran out before it was released or renewed",
            LostReason::SessionGone => {
                "Consul ended its session (it expired, an operator ended it, or its node left or was removed)"
            }
            LostReason::KeyGone => "its key is gone (deleted, or removed with its session)",
            LostReason::TakenOver => "another session holds its key",
        }
    }
}

/// A failure: a status and one line for people. It never carries a token or a stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of failure.
    pub status: Status,
    /// What failed, on which key and address, what Consul said, what to do. One line.
    pub message: String,
    /// The HTTP status that Consul answered, where there was one.
    pub http_status: Option<u16>,
    /// The same call may well work later without any change.
    pub retryable: bool,
    /// How the lock was lost, for [`Status::Lost`].
    pub lost: Option<LostReason>,
}

impl Error {
    /// An error with no HTTP status. NOT_ACQUIRED, UNAVAILABLE and NO_RESOURCES count as retryable.
    pub fn new(status: Status, message: impl Into<String>) -> Error {
        Error {
            status,
            message: message.into(),
            http_status: None,
            retryable: matches!(
                status,
                Status::NotAcquired | Status::Unavailable | Status::NoResources
            ),
            lost: None,
        }
    }

    /// The same error with the HTTP status of the answer it came from.
    #[must_use]
    pub fn with_http(mut self, http_status: u16) -> Error {
        self.http_status = Some(http_status);
        self
    }

    /// The same error with the reason of a loss.
    #[must_use]
    pub fn with_loss(mut self, why: LostReason) -> Error {
        self.lost = Some(why);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
