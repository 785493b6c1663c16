//! The connections: a bounded number, some of them only for requests that keep a promise, and the idle ones
//! that wait for their next request.

use std::sync::{Arc, Condvar};
use std::time::Duration;

use super::promises::Promises;
use crate::clock::Time;
use crate::consul::connect::{Endpoint, Route};
use crate::consul::transport::{Connections, Wire};
use crate::core::Lane;
use crate::lockorder::{Mutex, Rank};
use crate::threads::LINGER;

/// The largest number of idle connections; more are closed.
const MOST_IDLE: usize = 16;

/// A connection that was idle for longer is only used where no new one can be opened: a firewall or a
/// proxy on the way may have forgotten it.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Wires {
    route: Arc<Route>,
    /// The largest number of connections, idle or not.
    most: usize,
    /// How many of them are lent only to keep promises.
    kept: usize,
    promises: Promises,
    connections: Arc<Connections>,
    state: Mutex<WiresState>,
    /// Both are notified when a connection came back or was closed. Requests that keep promises wait for the
    /// first, all others for the second.
    freed_to_keep: Condvar,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct WiresState {
    /// A stack: the connection used last is used next, and the others may age. Each is in a box, as it moves often.
    idle: Vec<(Box<Wire>, Time)>,
    /// How many are in use.
    lent: usize,
    /// How many of them keep a promise.
    keeping: usize,
    waiting_to_keep: usize,
    waiting: usize,
}

/// A connection in use. It is closed when this is dropped, unless it was put back.
#[derive(Debug)]
pub(super) struct Lent {
    wire: Option<Box<Wire>>,
    /// An old connection, used if no new one can be opened.
    spare: Option<Box<Wire>>,
    lane: Lane,
    /// The connection was put back: its last exchange is complete.
    is_put: bool,
    wires: Arc<Wires>,
}

impl Wires {
    pub(super) fn new(endpoint: Endpoint, most: usize, promises: &Promises) -> Arc<Wires> {
        Arc::new(Wires {
            route: Route::new(endpoint),
            most,
            kept: (most / 16).clamp(1, 2),
            promises: promises.clone(),
            connections: Arc::default(),
            state: Mutex::new(Rank::Wires, WiresState::default()),
            freed_to_keep: Condvar::new(),
            freed: Condvar::new(),
        })
    }

    /// An open connection, if one is idle. Connections that died or aged are closed.
    pub(super) fn take_open(self: &Arc<Self>, lane: Lane) -> Option<Lent> {
        let mut state = self.state.lock();
        if !self.has_room(&state, lane) {
            return None;
        }
        self.take_idle(&mut state, lane, &mut None)
    }

    /// Whether one more connection may be in use.
    fn has_room(&self, state: &WiresState, lane: Lane) -> bool {
        let others = state.lent - state.keeping;
        state.lent < self.most && (lane == Lane::Keep || others < self.most - self.kept)
    }

    /// An idle connection. One that is open, but old, goes into `old`.
    fn take_idle(
        self: &Arc<Self>,
        state: &mut WiresState,
        lane: Lane,
        old: &mut Option<Box<Wire>>,
    ) -> Option<Lent> {
        let now = Time::now();
        loop {
            // While there is a promise, one connection is always left for it.
            let last = state.idle.len() + state.keeping <= 1;
            if lane != Lane::Keep && last && self.promises.any() {
                return None;
            }
            let (mut wire, since) = state.idle.pop()?;
            if !wire.is_open() || self.route.is_set_aside(wire.at()) {
                continue;
            }
            if now.since(since) <= LONGEST_IDLE {
                return Some(self.lend(state, lane, wire, None));
            }
            *old = Some(wire);
        }
    }

    fn lend(
        self: &Arc<Self>,
        state: &mut WiresState,
        lane: Lane,
        wire: Box<Wire>,
        spare: Option<Box<Wire>>,
    ) -> Lent {
        state.lent += 1;
        state.keeping += usize::from(lane == Lane::Keep);
        Lent {
            wire: Some(wire),
            spare,
            lane,
            is_put: false,
            wires: self.clone(),
        }
    }

    /// An open connection, or a new one that opens itself; None: all are in use until `by`.
    pub(super) fn open(self: &Arc<Self>, lane: Lane, by: Time) -> Option<Lent> {
        let mut old = None;
        let mut state = self.state.lock();
        loop {
            if self.has_room(&state, lane) {
                if let Some(lent) = self.take_idle(&mut state, lane, &mut old) {
                    return Some(lent);
                }
                let wire = Box::new(Wire::new(&self.route).counted_by(&self.connections));
                return Some(self.lend(&mut state, lane, wire, old));
            }
            let left = by.since(Time::now());
            if left.is_zero() {
                return None;
            }
            let keeps = lane == Lane::Keep;
            let freed = if keeps {
                state.waiting_to_keep += 1;
                &self.freed_to_keep
            } else {
                state.waiting += 1;
                &self.freed
            };
            state = state.wait_timeout(freed, left).0;
            if keeps {
                state.waiting_to_keep -= 1;
            } else {
                state.waiting -= 1;
            }
        }
    }

    /// The agent at the other end could not serve: another address, if there is one, comes first from now on.
    pub(super) fn note_failure(&self, wire: &Wire) {
        self.route.note_failure(wire.at());
    }

    /// The address of the connection failed lately, and there is another one that did not.
    pub(super) fn has_better(&self, wire: &Wire) -> bool {
        self.route.is_set_aside(wire.at())
    }

    /// The addresses, for messages.
    pub(super) fn shown(&self) -> String {
        self.route.shown()
    }

    /// The number of connections, idle or not.
    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Some connections wait for their next request.
    pub(super) fn has_idle(&self) -> bool {
        !self.state.lock().idle.is_empty()
    }

    /// How many connections were idle for as long as a thread is before it ends, without the one that is left for
    /// a promise.
    fn aged(&self, state: &WiresState, now: Time) -> usize {
        let idle = state.idle.iter();
        let aged = idle
            .take_while(|(_, since)| now.since(*since) >= LINGER)
            .count();
        let last = aged == state.idle.len() && state.keeping == 0;
        aged.saturating_sub(usize::from(last && self.promises.any()))
    }

    /// Some idle connections are to be closed.
    pub(super) fn has_aged(&self, now: Time) -> bool {
        self.aged(&self.state.lock(), now) > 0
    }

    /// Closes the idle connections that have aged.
    pub(super) fn close_aged(&self, now: Time) {
        let mut state = self.state.lock();
        let aged = self.aged(&state, now);
        let closed: Vec<_> = state.idle.drain(..aged).collect();
        drop(state);
        // Closing is a system call each: not under the mutex.
        drop(closed);
    }

    /// Closes all idle connections.
    pub(super) fn close_all_idle(&self) {
        let closed = std::mem::take(&mut self.state.lock().idle);
        drop(closed);
    }

    fn give_back(&self, lane: Lane, wire: Option<Box<Wire>>) {
        let mut state = self.state.lock();
        state.lent -= 1;
        state.keeping -= usize::from(lane == Lane::Keep);
        let closed = (state.idle.len() >= MOST_IDLE).then(|| state.idle.remove(0));
        state.idle.extend(wire.map(|wire| (wire, Time::now())));
        // Both are notified: a request that keeps a promise may have been woken before, and need nothing more.
        let (to_keep, others) = (state.waiting_to_keep > 0, state.waiting > 0);
        drop(state);
        drop(closed);
        if to_keep {
            self.freed_to_keep.notify_one();
        }
        if others {
            self.freed.notify_one();
        }
    }
}

impl Lent {
    /// The connection itself.
    pub(super) fn wire(&mut self) -> Option<&mut Wire> {
        self.wire.as_deref_mut()
    }

    /// Takes the old connection instead of a new one that could not be opened. False: there is none.
    pub(super) fn falls_back(&mut self) -> bool {
        let mut spare = self.spare.take();
        // The peer may have closed it while the library tried to open the new one.
        let is_open = spare.as_deref_mut().is_some_and(Wire::is_open);
        if is_open {
            self.wire = spare;
        }
        is_open
    }

    /// Gives the connection back after a complete exchange.
    pub(super) fn put(mut self) {
        self.is_put = true;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Closed before it is counted as closed.
        drop(self.spare.take());
        let wire = self.wire.take().filter(|_| self.is_put);
        self.wires.give_back(self.lane, wire);
    }
}
