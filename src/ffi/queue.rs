//! Queues of outcomes, for event loops, as C sees them.

use std::ffi::{CStr, c_char, c_void};
use std::os::fd::IntoRawFd as _;
use std::ptr;

use super::error;
use super::handle::{give, give_owned, look, share, take, take_owned};
use super::objects::{
    ErrorHandle, EventHandle, EventKind, EventParts, HolderHandle, HoldersHandle, LockHandle,
    QueueHandle, SenderHandle,
};
use super::text::copy_text;
use super::{answer, known, make, null, observe};
use crate::client::{Holder, Holders};
use crate::error::{Error, LostReason, Status};
use crate::log::Level;
use crate::queue::{Event, News, Queue};

/// A status that comes from C, where an enumeration may have any number.
///
/// cbindgen:ignore
#[repr(transparent)]
pub struct StatusNumber(i32);

/// A lost reason that comes from C.
///
/// cbindgen:ignore
#[repr(transparent)]
pub struct LostReasonNumber(i32);

/// A level that comes from C.
///
/// cbindgen:ignore
#[repr(transparent)]
pub struct LevelNumber(i32);

impl From<StatusNumber> for Status {
    fn from(number: StatusNumber) -> Status {
        known(Status::ALL, number.0, |known| known as i32).unwrap_or(Status::Internal)
    }
}

impl From<LostReasonNumber> for LostReason {
    fn from(number: LostReasonNumber) -> LostReason {
        known(LostReason::ALL, number.0, |known| known as i32).unwrap_or(LostReason::Expired)
    }
}

impl From<LevelNumber> for Level {
    fn from(number: LevelNumber) -> Level {
        known(Level::ALL, number.0, |known| known as i32).unwrap_or(Level::Error)
    }
}

impl From<Event> for EventParts {
    fn from(Event { tag, news }: Event) -> EventParts {
        let kind = match &news {
            News::Done(_) => EventKind::Done,
            News::Holder(_) => EventKind::Holder,
            News::Holders(_) => EventKind::Holders,
            News::Observed(_) => EventKind::Observed,
            News::Lost(_) => EventKind::Lost,
            News::Line(..) => EventKind::Log,
        };
        let mut parts = EventParts {
            tag,
            kind,
            code: Status::Ok as i32,
            error: None,
            holder: None,
            holders: None,
            line: None,
        };
        match news {
            News::Done(Ok(())) => {}
            News::Holder(Ok(holder)) | News::Observed(Ok(holder)) => parts.holder = holder,
            News::Holders(Ok(holders)) => parts.holders = Some(holders),
            News::Done(Err(error))
            | News::Holder(Err(error))
            | News::Holders(Err(error))
            | News::Observed(Err(error)) => {
                parts.code = error.status as i32;
                parts.error = Some(error);
            }
            News::Lost(reason) => parts.code = reason as i32,
            News::Line(level, line) => {
                parts.code = level as i32;
                parts.line = Some(line);
            }
        }
        parts
    }
}

/// Makes a queue.
///
/// @param fd Receives the descriptor to watch: the reading end of a socket pair, non-blocking and
///           closed on exec. It is readable when events wait: read the bytes away first, then take
///           events until there is none. The caller closes it. Receives -1 on failure. Not NULL.
/// @return Free it with consul_lock_queue_free(). NULL on failure, with the code
///         CONSUL_LOCK_NO_RESOURCES: the system gives no sockets.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_queue_new(
    fd: *mut i32,
    error: *mut *mut ErrorHandle,
) -> *mut QueueHandle {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        if !fd.is_null() {
            fd.write(-1);
        }
        make(error, || {
            if fd.is_null() {
                return Err(null("fd"));
            }
            let (queue, reader) = Queue::new()?;
            fd.write(reader.into_raw_fd());
            Ok(give(queue))
        })
    }
}

/// Takes the event that has waited longest.
///
/// @return Free it with consul_lock_event_free(). NULL: no event waits, or the queue is the parent
///         process's.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_queue_next(queue: *mut QueueHandle) -> *mut EventHandle {
    observe(ptr::null_mut(), || {
        // SAFETY: NULL or live, as the header asks.
        let queue = unsafe { share(queue, "queue") }.ok();
        let event = queue.and_then(|queue| queue.next());
        event.map_or(ptr::null_mut(), |event| give_owned(event.into()))
    })
}

/// Frees a queue. The library drops events that wait, and those that senders put later. A lock
/// stays held if the event that reports its acquire is dropped. The caller closes the descriptor,
/// before or after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_queue_free(queue: *mut QueueHandle) {
    observe((), || {
        // SAFETY: NULL or live and freed once, as the header asks.
        if let Some(queue) = unsafe { take(queue) } {
            queue.close();
        }
    });
}

/// Makes a sender. consul_lock_queue_done(), consul_lock_queue_holder_done() and
/// consul_lock_queue_holders_done() free it; if the call that takes the sender fails, the caller
/// frees it. consul_lock_queue_lost(), consul_lock_queue_observed() and consul_lock_queue_log() do
/// not: give them together with consul_lock_sender_free() as user_data_free.
///
/// @param queue The queue, which may be freed before the sender.
/// @param tag   The number that consul_lock_event_tag() returns for the sender's events.
/// @return Free it with consul_lock_sender_free(), unless a callback has done so.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_sender_new(
    queue: *const QueueHandle,
    tag: u64,
) -> *mut SenderHandle {
    observe(ptr::null_mut(), || {
        // SAFETY: NULL or live, as the header asks.
        let queue = unsafe { share(queue, "queue") };
        queue.map_or(ptr::null_mut(), |queue| give_owned(queue.sender(tag)))
    })
}

/// Frees a sender. It is a consul_lock_user_data_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_sender_free(sender: *mut c_void) {
    let sender: *mut SenderHandle = sender.cast();
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take_owned(sender) }));
}

/// Puts an event into the sender's queue and frees the sender. It is a consul_lock_done, and runs
/// on the thread that has the outcome, not on the thread for callbacks. So no other way reports an
/// outcome sooner.
///
/// @param status The event's code.
/// @param error  Goes into the event. NULL: none.
/// @param sender NULL: the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_queue_done(
    status: StatusNumber,
    error: *mut ErrorHandle,
    sender: *mut c_void,
) {
    // SAFETY: NULL or live and used up here, as the header asks.
    unsafe { put_last(sender, || News::Done(outcome(status, error))) };
}

/// Does the same for a holder. It is a consul_lock_holder_done.
///
/// @param status The event's code.
/// @param holder Goes into the event. NULL: the lock is free.
/// @param error  Goes into the event. NULL: none.
/// @param sender NULL: holder and error are freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_queue_holder_done(
    status: StatusNumber,
    holder: *mut HolderHandle,
    error: *mut ErrorHandle,
    sender: *mut c_void,
) {
    // SAFETY: NULL or live and used up here, as the header asks.
    unsafe {
        put_last(sender, || {
            let holder: Option<Holder> = take_owned(holder).map(|holder| *holder);
            News::Holder(outcome(status, error).map(|()| holder))
        });
    }
}

/// Does the same for holders. It is a consul_lock_holders_done.
///
/// @param status  The event's code.
/// @param holders Goes into the event. NULL: the call failed.
/// @param error   Goes into the event. NULL: none.
/// @param sender  NULL: holders and error are freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_queue_holders_done(
    status: StatusNumber,
    holders: *mut HoldersHandle,
    error: *mut ErrorHandle,
    sender: *mut c_void,
) {
    // SAFETY: NULL or live and used up here, as the header asks.
    unsafe {
        put_last(sender, || {
            let holders: Option<Holders> = take_owned(holders).map(|holders| *holders);
            let failed = outcome(status, error);
            let none = || Err(Error::new(Status::Internal, "no holders and no error"));
            News::Holders(failed.and_then(|()| holders.map_or_else(none, Ok)))
        });
    }
}

/// Puts an event into the sender's queue. It is a consul_lock_observe_callback, and runs on the
/// thread that has the news. The observer ends by itself after an event that no program can read,
/// because the queue was freed or its reading end was closed; consul_lock_observer_free() still
/// frees it.
///
/// @param status The event's code.
/// @param holder Goes into the event. NULL: no session holds the key.
/// @param error  Goes into the event. NULL: none.
/// @param sender NULL: holder and error are freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_queue_observed(
    status: StatusNumber,
    holder: *mut HolderHandle,
    error: *mut ErrorHandle,
    sender: *mut c_void,
) {
    // SAFETY: NULL or live, and holder and error used up here, as the header asks.
    unsafe {
        put(sender, || {
            let holder: Option<Holder> = take_owned(holder).map(|holder| *holder);
            News::Observed(outcome(status, error).map(|()| holder))
        });
    }
}

/// Puts an event into the sender's queue. It is a consul_lock_lost_callback.
///
/// @param reason The event's code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_queue_lost(reason: LostReasonNumber, sender: *mut c_void) {
    // SAFETY: NULL or live, as the header asks.
    unsafe { put(sender, || News::Lost(reason.into())) };
}

/// Puts an event into the sender's queue. It is a consul_lock_log_callback. At most 1,024 lines
/// wait: the library drops the rest, and a line says how many.
///
/// @param level The event's code.
/// @param line  Goes into the event. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_queue_log(
    level: LevelNumber,
    line: *const c_char,
    sender: *mut c_void,
) {
    if line.is_null() {
        return;
    }
    // SAFETY: NUL-terminated, and the sender NULL or live, as the header asks.
    unsafe {
        put(sender, || {
            let line = CStr::from_ptr(line).to_string_lossy().into_owned();
            News::Line(level.into(), line)
        });
    }
}

/// Ties a lock to a queue, for threads that may end at any moment, such as the workers of Node. The
/// lock has no user any more when the queue is freed or its reading end is closed (as the system
/// does when the event loop that watched it ends). Then the library cancels a pending acquire,
/// releases a lock that was just won, and stops the renewal of a held lock, so that its TTL ends
/// it. From then on the lock returns CONSUL_LOCK_NOT_HELD, and the library reports no loss.
///
/// The library checks for a reader whenever it sends a request for a pending acquire, when an
/// acquire succeeds, and after each renewal. A copy of the reading end in a child process counts as
/// a reader.
///
/// @param lock The last call for this lock counts.
/// @return CONSUL_LOCK_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_bind_to_queue(
    lock: *mut LockHandle,
    queue: *const QueueHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.bind(share(queue, "queue")?)) }
}

/// Returns the tag of the sender that put the event into the queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_tag(event: *const EventHandle) -> u64 {
    // SAFETY: NULL or live, as the header asks.
    observe(0, || unsafe { look(event) }.map_or(0, |event| event.tag))
}

/// Returns the kind of an event, which says what its code is and what else it has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_kind(event: *const EventHandle) -> EventKind {
    observe(EventKind::None, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { look(event) }.map_or(EventKind::None, |event| event.kind)
    })
}

/// Returns the event's code: see consul_lock_event_kind_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_code(event: *const EventHandle) -> i32 {
    // SAFETY: NULL or live, as the header asks.
    observe(0, || unsafe { look(event) }.map_or(0, |event| event.code))
}

/// Takes the error of a failed call out of its event.
///
/// @return Free it with consul_lock_error_free(). NULL: there is none, or it was taken.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_take_error(event: *mut EventHandle) -> *mut ErrorHandle {
    observe(ptr::null_mut(), || {
        // SAFETY: NULL or live, and only used by this thread, as the header asks.
        let error = unsafe { take_from(event) }.and_then(|event| event.error.take());
        error.map_or(ptr::null_mut(), error::object)
    })
}

/// Takes the holder out of the event of a consul_lock_holder_start() or of an observer.
///
/// @return Free it with consul_lock_holder_free(). NULL: the lock is free, the code is not
///         CONSUL_LOCK_OK, or the holder was taken.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_take_holder(
    event: *mut EventHandle,
) -> *mut HolderHandle {
    observe(ptr::null_mut(), || {
        // SAFETY: NULL or live, and only used by this thread, as the header asks.
        let holder = unsafe { take_from(event) }.and_then(|event| event.holder.take());
        holder.map_or(ptr::null_mut(), give_owned)
    })
}

/// Takes the holders out of the event of a consul_lock_holders_start().
///
/// @return Free it with consul_lock_holders_free(). NULL: the call failed, or the holders were
///         taken.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_take_holders(
    event: *mut EventHandle,
) -> *mut HoldersHandle {
    observe(ptr::null_mut(), || {
        // SAFETY: NULL or live, and only used by this thread, as the header asks.
        let holders = unsafe { take_from(event) }.and_then(|event| event.holders.take());
        holders.map_or(ptr::null_mut(), give_owned)
    })
}

/// Copies a log line; the empty text for another kind of event.
///
/// @return See TEXT AND BYTES.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_line(
    event: *const EventHandle,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        let line = unsafe { look(event) }.and_then(|event| event.line.as_deref());
        // SAFETY: NULL or with room for `cap` bytes, as the header asks.
        unsafe { copy_text(line.unwrap_or(""), buf, cap) }
    })
}

/// Frees an event, with what was not taken out of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_free(event: *mut EventHandle) {
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take_owned(event) }));
}

/// Makes an outcome of a status and an error of C, and takes the error.
///
/// # Safety
/// `error` is NULL or live, and not used afterwards.
unsafe fn outcome(status: StatusNumber, error: *mut ErrorHandle) -> Result<(), Error> {
    // SAFETY: the caller's contract.
    let error = unsafe { error::taken(error) };
    match (Status::from(status), error) {
        (Status::Ok, _) => Ok(()),
        (_, Some(error)) => Err(error),
        (status, None) => Err(Error::new(status, "")),
    }
}

/// Puts an event into the queue of a sender, unless the sender is NULL.
///
/// # Safety
/// `sender` is NULL or live.
unsafe fn put(sender: *mut c_void, news: impl FnOnce() -> News) {
    observe((), || {
        let news = news();
        // SAFETY: the caller's contract.
        if let Some(sender) = unsafe { look(sender.cast::<SenderHandle>()) } {
            sender.put(news);
        }
    });
}

/// Puts the last event of a sender, and frees the sender.
///
/// # Safety
/// `sender` is NULL or live, and not used afterwards.
unsafe fn put_last(sender: *mut c_void, news: impl FnOnce() -> News) {
    observe((), || {
        let news = news();
        // SAFETY: the caller's contract.
        if let Some(sender) = unsafe { take_owned(sender.cast::<SenderHandle>()) } {
            sender.put(news);
        }
    });
}

/// Borrows an event to take a piece out of it.
///
/// # Safety
/// `event` is NULL or live, and no other thread uses it during `'a`.
unsafe fn take_from<'a>(event: *mut EventHandle) -> Option<&'a mut EventParts> {
    // SAFETY: the caller's contract.
    unsafe { event.cast::<EventParts>().as_mut() }
}
