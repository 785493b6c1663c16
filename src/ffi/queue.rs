//! Queues of outcomes, for event loops, as C sees them.

use std::ffi::{CStr, c_char, c_void};
use std::os::fd::IntoRawFd as _;
use std::ptr;

use super::error::{self, ErrorHandle};
use super::handle::{Owned, Shared, give, give_owned, look, share, take, take_owned};
use super::holder::HolderHandle;
use super::lock::LockHandle;
use super::text::copy_text;
use super::{answer, make, null, observe};
use crate::client::Holder;
use crate::error::{Error, LostReason, Status};
use crate::log::Level;
use crate::queue::{Event, News, Queue, Sender};

/// A status, a reason or a level that comes from C, where any number fits into an enumeration.
///
/// cbindgen:ignore
#[repr(transparent)]
pub struct StatusNumber(i32);

/// As [`StatusNumber`].
///
/// cbindgen:ignore
#[repr(transparent)]
pub struct LostReasonNumber(i32);

/// As [`StatusNumber`].
///
/// cbindgen:ignore
#[repr(transparent)]
pub struct LevelNumber(i32);

impl From<StatusNumber> for Status {
    fn from(number: StatusNumber) -> Status {
        let known = Status::ALL.into_iter().find(|it| *it as i32 == number.0);
        known.unwrap_or(Status::Internal)
    }
}

impl From<LostReasonNumber> for LostReason {
    fn from(number: LostReasonNumber) -> LostReason {
        let known = LostReason::ALL
            .into_iter()
            .find(|it| *it as i32 == number.0);
        known.unwrap_or(LostReason::Expired)
    }
}

impl From<LevelNumber> for Level {
    fn from(number: LevelNumber) -> Level {
        let known = Level::ALL.into_iter().find(|it| *it as i32 == number.0);
        known.unwrap_or(Level::Error)
    }
}

/// What an event tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// No event: NULL was given.
    None = 0,
    /// A call has ended: consul_lock_event_code() is its consul_lock_status.
    Done = 1,
    /// consul_lock_holder_start() has ended: the same, and consul_lock_event_take_holder().
    Holder = 2,
    /// A lock was lost: consul_lock_event_code() is the consul_lock_lost_reason.
    Lost = 3,
    /// A line of the log: consul_lock_event_code() is its consul_lock_log_level, and
    /// consul_lock_event_line() copies it.
    Log = 4,
}

/// A queue of events, for programs with an event loop and for languages whose interpreter must not be
/// entered by threads of others: instead of calling the program, the library puts an event here, and
/// makes a descriptor readable.
///
///   int32_t fd;
///   consul_lock_queue *queue = consul_lock_queue_new(&fd, &error);
///   consul_lock_sender *sender = consul_lock_sender_new(queue, 42);
///   consul_lock_acquire_start(lock, consul_lock_queue_done, sender, &error);
///   ... the event loop says that fd is readable: read what is there and throw it away, then
///   while ((event = consul_lock_queue_next(queue)) != NULL) { ... tag 42 ... }
///
/// Any thread may use it at any time. It belongs to the process that made it: in a child after fork
/// nothing goes into it and nothing comes out.
pub struct QueueHandle {
    _opaque: [u8; 0],
}

impl Shared for QueueHandle {
    type Inner = Queue;
}

/// The right to put events into a queue, under a number of yours: a user_data for the functions
/// consul_lock_queue_done(), consul_lock_queue_holder_done(), consul_lock_queue_lost() and
/// consul_lock_queue_log(), which are given to the library as callbacks.
pub struct SenderHandle {
    _opaque: [u8; 0],
}

impl Owned for SenderHandle {
    type Inner = Sender;
}

/// One thing that happened. Belongs to who took it from the queue; used by one thread at a time.
pub struct EventHandle {
    _opaque: [u8; 0],
}

impl Owned for EventHandle {
    type Inner = Told;
}

/// What is behind an [`EventHandle`]: what C asks for, piece by piece.
pub(super) struct Told {
    tag: u64,
    kind: EventType,
    code: i32,
    error: Option<Error>,
    holder: Option<Holder>,
    line: Option<String>,
}

impl From<Event> for Told {
    fn from(Event { tag, news }: Event) -> Told {
        let kind = match &news {
            News::Done(_) => EventType::Done,
            News::Holder(_) => EventType::Holder,
            News::Lost(_) => EventType::Lost,
            News::Line(..) => EventType::Log,
        };
        let mut told = Told {
            tag,
            kind,
            code: Status::Ok as i32,
            error: None,
            holder: None,
            line: None,
        };
        match news {
            News::Done(Ok(())) => {}
            News::Holder(Ok(holder)) => told.holder = holder,
            News::Done(Err(error)) | News::Holder(Err(error)) => {
                told.code = error.status as i32;
                told.error = Some(error);
            }
            News::Lost(reason) => told.code = reason as i32,
            News::Line(level, line) => {
                told.code = level as i32;
                told.line = Some(line);
            }
        }
        told
    }
}

/// Makes a queue. Any thread.
///
/// @param fd    Receives the descriptor to watch, which belongs to the caller, who closes it: the
///              reading end of a socket pair, non-blocking and closed on exec. It is readable when
///              events wait. Read the bytes away first, then take events until there is none. Not
///              NULL; -1 on failure.
/// @param error NULL, or receives NULL or a new error, which the caller frees.
/// @return The caller frees it with consul_lock_queue_free(). NULL on failure:
///         CONSUL_LOCK_NO_RESOURCES: the system gives no sockets; CONSUL_LOCK_INVALID_ARGUMENT: fd is
///         NULL.
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

/// Takes the event that waits longest. Any thread; never blocks.
///
/// @param queue The queue. NULL, or one of the parent process: NULL is returned.
/// @return The caller frees it with consul_lock_event_free(). NULL: none waits.
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

/// Frees a queue: events that wait are dropped, and so is what comes later with senders that are
/// still out. A lock whose acquire was to be told here is not given back by that. The descriptor is
/// the caller's to close, before or after.
///
/// @param queue The queue; not used afterwards. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_queue_free(queue: *mut QueueHandle) {
    observe((), || {
        // SAFETY: NULL or live and freed once, as the header asks.
        if let Some(queue) = unsafe { take(queue) } {
            queue.close();
        }
    });
}

/// Makes a sender. Any thread.
///
/// @param queue The queue, which may be freed before the sender. NULL: NULL is returned.
/// @param tag   A number by which you know its events again.
/// @return A user_data for the four functions below. consul_lock_queue_done() and
///         consul_lock_queue_holder_done() use it up; where it is given together with a
///         user_data_free, that is consul_lock_sender_free(); the caller frees it when the call that
///         it was given to fails.
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

/// Frees a sender: a consul_lock_user_data_free.
///
/// @param sender The sender; not used afterwards. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_sender_free(sender: *mut c_void) {
    let sender: *mut SenderHandle = sender.cast();
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take_owned(sender) }));
}

/// A consul_lock_done that puts an event into the sender's queue, and uses the sender up. It runs on
/// the thread that has the outcome, not on the one for callbacks, which saves a hop: it is also the
/// quickest way to hear.
///
/// @param status The event's code.
/// @param error  Goes into the event. NULL: none.
/// @param sender The sender. NULL: the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_queue_done(
    status: StatusNumber,
    error: *mut ErrorHandle,
    sender: *mut c_void,
) {
    // SAFETY: NULL or live and used up here, as the header asks.
    unsafe { put_last(sender, || News::Done(outcome(status, error))) };
}

/// A consul_lock_holder_done that does the same.
///
/// @param status The event's code.
/// @param holder Goes into the event. NULL: nobody.
/// @param error  Goes into the event. NULL: none.
/// @param sender The sender. NULL: holder and error are freed.
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

/// A consul_lock_lost_callback that puts an event into the sender's queue.
///
/// @param reason The event's code.
/// @param sender The sender, which can be used again. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_queue_lost(reason: LostReasonNumber, sender: *mut c_void) {
    // SAFETY: NULL or live, as the header asks.
    unsafe { put(sender, || News::Lost(reason.into())) };
}

/// A consul_lock_log_callback that puts an event into the sender's queue. Of lines 1,024 wait at most:
/// what comes beyond them is dropped, and a line says how many.
///
/// @param level  The event's code.
/// @param line   Copied. NULL: nothing happens.
/// @param sender The sender, which can be used again. NULL: nothing happens.
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

/// Ties a lock to a queue, for threads that may be ended from outside without a last word, such as the
/// workers of Node: when the queue is freed, or its reading end closed (as the system does with the
/// event loop that watched it), a pending acquire of the lock is cancelled, or given back if it had been
/// won, and a held lock is renewed no more, so that its TTL ends it: from then on it answers
/// CONSUL_LOCK_NOT_HELD, and no loss is told. The library looks when it asks Consul something for a lock
/// that is being acquired, when it has taken it, and when it has renewed it. A copy of the reading end in a
/// child process keeps it open. Any thread; never blocks.
///
/// @param lock  The lock. The last call counts.
/// @param queue The queue.
/// @param error NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_FORKED: the lock or the queue is the parent process's;
///         CONSUL_LOCK_INVALID_ARGUMENT: a NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_bind_to_queue(
    lock: *mut LockHandle,
    queue: *const QueueHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.bind(share(queue, "queue")?)) }
}

/// The number that the sender was made with.
///
/// @param event The event. NULL: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_tag(event: *const EventHandle) -> u64 {
    // SAFETY: NULL or live, as the header asks.
    observe(0, || unsafe { look(event) }.map_or(0, |event| event.tag))
}

/// What the event tells.
///
/// @param event The event. NULL: CONSUL_LOCK_EVENT_NONE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_kind(event: *const EventHandle) -> EventType {
    observe(EventType::None, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { look(event) }.map_or(EventType::None, |event| event.kind)
    })
}

/// What happened: the consul_lock_status of a call, the consul_lock_lost_reason of a lock, or the
/// consul_lock_log_level of a line, as consul_lock_event_kind() says.
///
/// @param event The event. NULL: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_code(event: *const EventHandle) -> i32 {
    // SAFETY: NULL or live, as the header asks.
    observe(0, || unsafe { look(event) }.map_or(0, |event| event.code))
}

/// Takes the error of a call that failed out of its event.
///
/// @param event The event. NULL: NULL is returned.
/// @return The caller frees it with consul_lock_error_free(). NULL: there is none, or it was taken.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_take_error(event: *mut EventHandle) -> *mut ErrorHandle {
    observe(ptr::null_mut(), || {
        // SAFETY: NULL or live, and only used by this thread, as the header asks.
        let error = unsafe { take_from(event) }.and_then(|event| event.error.take());
        error.map_or(ptr::null_mut(), error::object)
    })
}

/// Takes the answer of consul_lock_holder_start() out of its event.
///
/// @param event The event. NULL: NULL is returned.
/// @return The caller frees it with consul_lock_holder_free(). NULL: nobody holds the lock, the
///         question failed, or it was taken.
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

/// Copies a line of the log.
///
/// @param event The event. NULL, or not one of the log: the empty text.
/// @param buf   Receives at most cap bytes, the NUL included. NULL: nothing is copied.
/// @param cap   The size of buf in bytes.
/// @return The length of the whole line in bytes, without the NUL.
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
///
/// @param event The event; not used afterwards. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_event_free(event: *mut EventHandle) {
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take_owned(event) }));
}

/// What a call was told. The error is taken over.
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

/// # Safety
/// `event` is NULL or live, and no other thread uses it during `'a`.
unsafe fn take_from<'a>(event: *mut EventHandle) -> Option<&'a mut Told> {
    // SAFETY: the caller's contract.
    unsafe { event.cast::<Told>().as_mut() }
}
