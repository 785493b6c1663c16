//! A queue of events for a host with an event loop: a socket becomes readable when events wait. So no
//! thread of the library has to enter an interpreter, which may be busy, have ended, or belong to another
//! process after a fork.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};

use crate::core::{Holder, Holders};
use crate::error::{Error, LostReason, Status};
use crate::fork::{self, Generation};
use crate::lockorder::{Guard, Mutex, Rank};
use crate::log::Level;
use crate::sys::{self, Ours};

/// The largest number of log lines that wait: a host that does not read its log must not cost memory
/// without end.
const MOST_LINES: usize = 1024;

/// Something that happened, for the host.
#[derive(Debug)]
pub struct Event {
    /// The number that the host gave for it.
    pub tag: u64,
    /// What happened.
    pub news: News,
}

/// What happened.
#[derive(Debug)]
pub enum News {
    /// A call has ended.
    Done(Result<(), Error>),
    /// A call for the holder of a key has ended.
    Holder(Result<Option<Holder>, Error>),
    /// A call for all that hold a key or wait for it has ended.
    Holders(Result<Holders, Error>),
    /// An observer has news.
    Observed(Result<Option<Holder>, Error>),
    /// A lock was lost.
    Lost(LostReason),
    /// A line of the log.
    Line(Level, String),
}

/// A queue of events. It belongs to the process that made it: a child after a fork gets nothing from it.
#[derive(Debug)]
pub struct Queue {
    generation: Generation,
    state: Mutex<QueueState>,
}

#[derive(Debug, Default)]
struct QueueState {
    events: VecDeque<Event>,
    lines: usize,
    dropped_lines: u64,
    /// The library's end of the socket pair; None: the queue was closed.
    wake: Option<Arc<Ours<UnixStream>>>,
}

/// Puts events into a queue, under a number of the host's.
#[derive(Debug)]
pub struct Sender {
    queue: Arc<Queue>,
    tag: u64,
}

impl Queue {
    /// Makes a queue, and the end of the socket pair that becomes readable when events wait: non-blocking,
    /// closed on exec. Also closes the queues without a reader. NO_RESOURCES: the system gives no sockets.
    pub fn new() -> Result<(Arc<Queue>, OwnedFd), Error> {
        let (wake, reader) = pair().map_err(|error| {
            let why = format!("the system gives no socket pair for a queue: {error}");
            Error::new(Status::NoResources, why)
        })?;
        let queue = Queue {
            generation: Generation::current(),
            state: Mutex::new(
                Rank::Queue,
                QueueState {
                    wake: Some(Arc::new(Ours::new(wake))),
                    ..QueueState::default()
                },
            ),
        };
        let queue = Arc::new(queue);
        register(&queue);
        Ok((queue, reader.into()))
    }

    /// Takes the event that waits longest; None: no event waits. Never blocks.
    pub fn next(&self) -> Option<Event> {
        let mut state = self.state()?;
        let event = state.events.pop_front();
        if matches!(&event, Some(event) if matches!(event.news, News::Line(..))) {
            state.lines -= 1;
        }
        event
    }

    /// Closes the queue: the library drops the events that wait, and those that come.
    pub fn close(&self) {
        if let Some(mut state) = self.state() {
            state.wake = None;
            let events = std::mem::take(&mut state.events);
            drop(state);
            drop(events);
        }
    }

    /// The queue has a reader: neither the queue nor the reading end was closed.
    pub(crate) fn is_read(&self) -> bool {
        let state = self.state();
        state.is_some_and(|state| state.wake.as_ref().is_some_and(|wake| sys::has_peer(wake)))
    }

    /// A sender of events with this number.
    pub fn sender(self: &Arc<Self>, tag: u64) -> Sender {
        Sender {
            queue: self.clone(),
            tag,
        }
    }

    /// This process made the queue, and not its parent.
    pub(crate) fn is_ours(&self) -> bool {
        self.generation.is_current()
    }

    /// None: the queue is the parent's, and its mutex may be locked for ever.
    fn state(&self) -> Option<Guard<'_, QueueState>> {
        self.is_ours().then(|| self.state.lock())
    }
}

/// The queues of this process. Only touched inside [`fork::shared`].
static QUEUES: Mutex<Vec<(Generation, Weak<Queue>)>> = Mutex::new(Rank::Process, Vec::new());

/// Adds a queue, and closes those without a reader: a thread that a host ends from outside frees no queue, and
/// the library's end of its socket would stay open for ever.
fn register(queue: &Arc<Queue>) {
    let _inside = fork::shared();
    let mut queues = QUEUES.lock();
    // A reference to a queue of the parent must not be made here: the queue might be dropped with it.
    queues.retain(|(made_in, weak)| {
        let queue = made_in.is_current().then(|| weak.upgrade()).flatten();
        queue.is_some_and(|queue| {
            let is_read = queue.is_read();
            if !is_read {
                queue.close();
            }
            is_read
        })
    });
    queues.push((queue.generation, Arc::downgrade(queue)));
}

impl Drop for Queue {
    fn drop(&mut self) {
        if !self.is_ours() {
            // Another thread of the parent may have been in the middle of a change when it forked.
            std::mem::forget(std::mem::take(self.state.get_mut()));
        }
    }
}

impl QueueState {
    /// Returns the socket to write to when the state is unlocked. Only the first event wakes the reader, which
    /// takes events until none is left.
    fn put(&mut self, event: Event) -> Option<Arc<Ours<UnixStream>>> {
        let wake = self.wake.as_ref()?;
        let wake = self.events.is_empty().then(|| wake.clone());
        self.events.push_back(event);
        wake
    }
}

impl Sender {
    /// The queue has a reader.
    pub fn is_read(&self) -> bool {
        self.queue.is_read()
    }

    /// Puts an event into the queue. Never blocks, and runs no code of the host.
    pub fn put(&self, news: News) {
        let Some(mut state) = self.queue.state() else {
            return;
        };
        let tag = self.tag;
        let mut wake = None;
        if matches!(news, News::Line(..)) {
            if state.lines >= MOST_LINES {
                state.dropped_lines += 1;
                return;
            }
            let dropped = std::mem::take(&mut state.dropped_lines);
            if dropped > 0 {
                let line = format!("the host does not read its log: {dropped} lines were dropped");
                let news = News::Line(Level::Warn, line);
                state.lines += 1;
                wake = state.put(Event { tag, news });
            }
            state.lines += 1;
        }
        let wake = state.put(Event { tag, news }).or(wake);
        drop(state);
        // The program may have closed the socket, and another file of the program's may have the number.
        if let Some(wake) = wake.filter(|wake| wake.is_open()) {
            // A socket that is full or closed is readable already, so an error does not matter.
            sys::send_byte(&wake);
        }
    }
}

fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (wake, reader) = sys::socket_pair()?;
    wake.set_nonblocking(true)?;
    reader.set_nonblocking(true)?;
    Ok((wake, reader))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn queue() -> (Arc<Queue>, UnixStream) {
        let (queue, reader) = Queue::new().expect("a queue");
        (queue, reader.into())
    }

    fn bytes(reader: &mut UnixStream) -> usize {
        let mut buffer = [0; 64];
        match reader.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn events_come_in_order_and_the_first_wakes() {
        let (queue, mut reader) = queue();
        assert!(queue.next().is_none() && bytes(&mut reader) == 0);
        for tag in 0..100 {
            queue.sender(tag).put(News::Done(Ok(())));
        }
        assert_eq!(bytes(&mut reader), 1, "one byte for all that wait");
        for tag in 0..100 {
            assert_eq!(queue.next().expect("an event").tag, tag);
        }
        assert!(queue.next().is_none());
        queue.sender(7).put(News::Lost(LostReason::Expired));
        assert_eq!(bytes(&mut reader), 1, "and one for the next that comes");
        assert!(matches!(
            queue.next().expect("an event").news,
            News::Lost(LostReason::Expired)
        ));
    }

    #[test]
    fn a_reader_is_not_missed_for_a_signal() {
        let (queue, _reader) = queue();
        let begun = std::time::Instant::now();
        sys::under_signals(|| {
            while begun.elapsed() < std::time::Duration::from_millis(500) {
                assert!(queue.is_read());
            }
        });
    }

    #[test]
    fn a_host_that_does_not_read_its_log_costs_no_memory() {
        let (queue, _reader) = queue();
        let sender = queue.sender(1);
        for number in 0..MOST_LINES + 10 {
            sender.put(News::Line(Level::Info, number.to_string()));
        }
        sender.put(News::Done(Ok(())));
        let events = std::iter::from_fn(|| queue.next());
        assert_eq!(events.count(), MOST_LINES + 1, "and nothing but lines");
        sender.put(News::Line(Level::Info, "late".to_owned()));
        let News::Line(Level::Warn, line) = queue.next().expect("an event").news else {
            panic!("it says so first");
        };
        assert!(line.contains("10 lines"), "{line}");
        assert!(queue.next().is_some() && queue.next().is_none());
    }

    #[test]
    fn what_a_reader_leaves_behind_is_closed() {
        let (left, reader) = queue();
        let (kept, _reader) = queue();
        left.sender(1).put(News::Done(Ok(())));
        kept.sender(1).put(News::Done(Ok(())));
        drop(reader);
        let _next = queue();
        assert!(left.state().expect("ours").wake.is_none() && left.next().is_none());
        assert!(kept.is_read() && kept.next().is_some());
    }

    #[test]
    fn a_queue_without_a_reader_drops_its_events() {
        let (queue, reader) = queue();
        assert!(queue.is_read());
        queue.sender(0).put(News::Done(Ok(())));
        assert!(queue.is_read(), "it may come back to it");
        queue.next().expect("an event");
        drop(reader);
        assert!(!queue.is_read());
        let sender = queue.sender(2);
        sender.put(News::Done(Ok(())));
        queue.close();
        sender.put(News::Done(Ok(())));
        assert!(queue.next().is_none() && !queue.is_read());
    }
}
