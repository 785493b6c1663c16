//! Ends an exchange, or a wait, from another thread.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar};
use std::time::Duration;

use crate::clock::Time;
use crate::lockorder::{Mutex, Rank};
use crate::sys::Ours;

/// Ends one exchange from another thread, also before the exchange has begun. Each exchange needs a new one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<Interruptible>);

#[derive(Debug)]
struct Interruptible {
    state: Mutex<Target>,
    changed: Condvar,
}

impl Default for Interruptible {
    fn default() -> Interruptible {
        Interruptible {
            state: Mutex::new(Rank::Leaf, Target::default()),
            changed: Condvar::new(),
        }
    }
}

#[derive(Debug, Default)]
struct Target {
    ended: bool,
    /// The result of the wait may have come.
    woken: bool,
    socket: Option<Arc<Ours<TcpStream>>>,
}

impl Interrupt {
    /// Ends the exchange: a call that blocks on its socket returns at once.
    pub(crate) fn end(&self) {
        let mut target = self.0.state.lock();
        target.ended = true;
        // The program may have closed the socket, and another connection of the program's may have the number.
        if let Some(socket) = target.socket.take().filter(|socket| socket.is_open()) {
            // The shutdown fails if the peer has closed the connection: there is nothing to end.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.0.changed.notify_all();
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.0.state.lock().ended
    }

    /// Lets `end` shut down this socket from now on. False: the exchange has ended already.
    pub(super) fn attach(&self, socket: &Arc<Ours<TcpStream>>) -> bool {
        let mut target = self.0.state.lock();
        if !target.ended {
            target.socket = Some(socket.clone());
        }
        !target.ended
    }

    /// The exchange is over: `end` leaves the socket alone, which another exchange may use.
    pub(super) fn detach(&self) {
        self.0.state.lock().socket = None;
    }

    /// Whether a socket is attached.
    #[cfg(test)]
    pub(super) fn has_socket(&self) -> bool {
        self.0.state.lock().socket.is_some()
    }

    /// Whether both are the same interrupt.
    pub(super) fn is(&self, other: &Interrupt) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Makes [`Interrupt::wait`] return.
    pub(super) fn wake(&self) {
        self.0.state.lock().woken = true;
        self.0.changed.notify_all();
    }

    /// Waits until the exchange is ended, or woken since the last wait, and until `by` at the latest.
    pub(super) fn wait(&self, by: Time) {
        let mut target = self.0.state.lock();
        while !target.ended && !std::mem::take(&mut target.woken) {
            let left = by.since(Time::now());
            if left.is_zero() {
                return;
            }
            (target, _) = target.wait_timeout(&self.0.changed, left);
        }
    }

    /// Waits for this time, or until the exchange is ended.
    pub(super) fn pause(&self, time: Duration) {
        let target = self.0.state.lock();
        if !target.ended {
            drop(target.wait_timeout(&self.0.changed, time));
        }
    }
}
