//! The connections: never more than Consul serves gladly, and those that wait for their next
//! request.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::lock;
use crate::clock::Time;
use crate::consul::connect::{Endpoint, Route};
use crate::consul::transport::{Connections, Wire};

/// Kept idle at most; more are closed.
const MOST_IDLE: usize = 16;

/// One that waited longer is not used again: whatever stands between may have forgotten it.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Wires {
    route: Arc<Route>,
    /// There are never more than these, idle or not.
    most: usize,
    connections: Arc<Connections>,
    state: Mutex<State>,
    /// One came back, or was closed.
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// A stack: the connection used last is used next, and the others may age.
    idle: Vec<(Wire, Time)>,
    /// How many are in use.
    lent: usize,
    waiting: usize,
}

/// A connection in use. Closed when it is dropped, unless it was put back.
#[derive(Debug)]
pub(super) struct Lent<'a> {
    wire: Option<Wire>,
    wires: &'a Wires,
}

impl Wires {
    pub(super) fn new(endpoint: Endpoint, most: usize) -> Wires {
        Wires {
            route: Route::new(endpoint),
            most,
            connections: Arc::default(),
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// An open connection, if one is idle. Those that died or aged while they waited are dropped.
    pub(super) fn take_open(&self) -> Option<Lent<'_>> {
        self.take_idle(&mut lock(&self.state))
    }

    fn take_idle(&self, state: &mut State) -> Option<Lent<'_>> {
        let now = Time::now();
        loop {
            let (wire, since) = state.idle.pop()?;
            let is_young = now.since(since) <= LONGEST_IDLE;
            if is_young && wire.is_open() && !self.route.is_set_aside(wire.at()) {
                return Some(self.lend(state, wire));
            }
        }
    }

    fn lend(&self, state: &mut State, wire: Wire) -> Lent<'_> {
        state.lent += 1;
        Lent {
            wire: Some(wire),
            wires: self,
        }
    }

    /// An open connection, or one that opens itself; None: all are in use until `by`.
    pub(super) fn open(&self, by: Time) -> Option<Lent<'_>> {
        let mut state = lock(&self.state);
        loop {
            if let Some(lent) = self.take_idle(&mut state) {
                return Some(lent);
            }
            if state.lent < self.most {
                let wire = Wire::new(&self.route).counted_by(&self.connections);
                return Some(self.lend(&mut state, wire));
            }
            let left = by.since(Time::now());
            if left.is_zero() {
                return None;
            }
            state.waiting += 1;
            state = self
                .freed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.waiting -= 1;
        }
    }

    /// The agent at the other end could not serve: another address, if there is one, comes first.
    pub(super) fn note_failure(&self, wire: &Wire) {
        self.route.note_failure(wire.at());
    }

    /// Its address failed lately, and there is another one that did not.
    pub(super) fn has_better(&self, wire: &Wire) -> bool {
        self.route.is_set_aside(wire.at())
    }

    /// How many there are, idle or not.
    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    fn give_back(&self, wire: Option<Wire>) {
        let now = Time::now();
        let mut state = lock(&self.state);
        state.lent -= 1;
        let aged = state
            .idle
            .iter()
            .take_while(|(_, since)| now.since(*since) > LONGEST_IDLE)
            .count();
        let full = usize::from(state.idle.len() - aged >= MOST_IDLE);
        let closed: Vec<_> = state.idle.drain(..aged + full).collect();
        state.idle.extend(wire.map(|wire| (wire, now)));
        let wanted = state.waiting > 0;
        drop(state);
        // Closing is a system call each: not under the mutex.
        drop(closed);
        if wanted {
            self.freed.notify_one();
        }
    }
}

impl Lent<'_> {
    /// The connection itself.
    pub(super) fn wire(&mut self) -> Option<&mut Wire> {
        self.wire.as_mut()
    }

    /// Takes it back after a complete exchange.
    pub(super) fn put(mut self) {
        let wire = self.wire.take();
        self.wires.give_back(wire);
        std::mem::forget(self);
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // Closed before it is counted as closed.
        drop(self.wire.take());
        self.wires.give_back(None);
    }
}
